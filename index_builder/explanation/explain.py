"""The one way to an explanation, whichever the method."""

from __future__ import annotations

from typing import Literal

from index_builder.cases.space import Space
from index_builder.errors import ExplanationError
from index_builder.explanation.base import (
    METHODS,
    Explanation,
    FindingTarget,
    Inputs,
    Method,
    Progress,
    SimilarityTarget,
    Target,
)
from index_builder.explanation.subject import passed_stages, subject
from index_builder.systems.base import RetrievalSystem


def methods_for(system: RetrievalSystem, inputs: Inputs, target: Target) -> tuple[Method, ...]:
    """The methods offered for a case, quickest first: those that can answer and are not withheld."""
    withheld = system.config.withheld.get(_asked(target), {}).get(_read(inputs), ())
    return tuple(method for method in answering(system, inputs, target) if method not in withheld)


def answering(system: RetrievalSystem, inputs: Inputs, target: Target) -> tuple[Method, ...]:
    """The methods that have something to say of a case, faithful or not, quickest first."""
    has_film, has_text = inputs.film is not None, bool(inputs.text.strip())
    pooled = (not has_film or system.gathers("image")) and (not has_text or system.gathers("text"))
    asked: dict[Method, bool] = {
        "attention": pooled and (has_film or has_text),
        "grad-cam": has_film,
        "integrated-gradients": has_film or has_text,
        "similarity": pooled and isinstance(target, SimilarityTarget) and (has_film or has_text),
    }
    return tuple(method for method in METHODS if asked[method])


def layers_of(system: RetrievalSystem) -> tuple[str, ...]:
    """Stages of the image encoder that Grad-CAM can look at, first to last; it takes the last by default."""
    return passed_stages(system)


def explain(
    system: RetrievalSystem,
    inputs: Inputs,
    target: Target,
    method: Method,
    *,
    layer: str | None = None,
    steps: int = 32,
    progress: Progress | None = None,
) -> Explanation:
    """Explain a target of a case.

    The score explained is the log-odds of a label or the cosine with another case: of the film's vector, the text's, or
    of both joined where both are given. Any number of threads may call it; one explanation of a system is computed at a
    time, searches go on meanwhile.

    Args:
        system: In evaluation mode; its weights, gradients and hooks are left as they are.
        inputs: The case.
        target: What is asked. To compare two cases, ask each with the other's vector: both maps and words are in
            units of the one cosine and can be drawn on one scale.
        method: One of `answering`; users are offered `methods_for`.
        layer: For "grad-cam", one of `layers_of`; None: the last.
        steps: For "integrated-gradients".
        progress: Told of "integrated-gradients" steps; returning False stops it.

    Raises:
        ExplanationError: Method, layer, label or inputs do not fit.
        Cancelled: `progress` said so.
    """
    if method not in answering(system, inputs, target):
        raise ExplanationError(
            f"method {method!r} does not apply here. Choose one of: "
            f"{', '.join(methods_for(system, inputs, target)) or 'none without a film or a text'}."
        )
    stage = _stage(system, layer) if method == "grad-cam" else ""
    with subject(system, inputs, target) as asked:
        if method == "attention":
            from index_builder.explanation.attention import attention

            return attention(asked)
        if method == "grad-cam":
            from index_builder.explanation.grad_cam import grad_cam

            return grad_cam(asked, stage)
        if method == "integrated-gradients":
            from index_builder.explanation.integrated import integrated_gradients

            return integrated_gradients(asked, steps, progress)
        from index_builder.explanation.similarity import similarity

        return similarity(asked)


def _asked(target: Target) -> Literal["finding", "likeness"]:
    return "finding" if isinstance(target, FindingTarget) else "likeness"


def _read(inputs: Inputs) -> Space:
    return "text" if inputs.film is None else "joint" if inputs.text.strip() else "image"


def _stage(system: RetrievalSystem, layer: str | None) -> str:
    stages = passed_stages(system)
    if layer is None:
        return stages[-1]
    if layer not in stages:
        raise ExplanationError(f"the image encoder has no stage {layer!r}. Choose one of: {', '.join(stages)}.")
    return layer
