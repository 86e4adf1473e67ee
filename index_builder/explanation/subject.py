"""A case as an explanation computes with it: a private copy of the system, its inputs and the score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from index_builder.errors import ExplanationError
from index_builder.explanation.base import FindingTarget, Inputs, SimilarityTarget, Target, Voters
from index_builder.systems.base import Encoding, RetrievalSystem


@dataclass(slots=True)
class _Double:
    """A copy of a system that shares its weights, the lock that whoever uses the copy holds, and `passed_stages`."""

    system: RetrievalSystem
    lock: Lock
    stages: tuple[str, ...] | None = None


_doubles: WeakKeyDictionary[RetrievalSystem, _Double] = WeakKeyDictionary()
_doubles_lock = Lock()


@dataclass(frozen=True, slots=True)
class Subject:
    """A case and the question about it.

    Attributes:
        system: Private copy in evaluation mode: hooks on it disturb no search that runs meanwhile.
        film: [1, S, S] float32; None: no film.
        text: Empty: no text.
        target: What is asked.
    """

    system: Any
    film: Tensor | None
    text: str
    target: Target

    def encode_film(self) -> Encoding | None:
        """The film, to be held while something else varies."""
        with torch.no_grad():
            return None if self.film is None else self.system.encode_images(self.film)

    def encode_text(self) -> Encoding | None:
        """The text as the system encodes it."""
        with torch.no_grad():
            return self.system.encode_texts([self.text]) if self.text else None

    def vectors(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        """Vectors of encodings of B films and B texts, either of which may be one that is held: [B, D]."""
        if image is not None and text is not None:
            count = max(len(image.vector), len(text.vector))
            joined: Tensor = self.system.join(_repeated(image, count), _repeated(text, count))
            return joined
        one = image if image is not None else text
        assert one is not None, "`subject` refuses cases without film and text"
        return one.vector

    def score(self, image: Encoding | None, text: Encoding | None) -> Tensor:
        """Score of such encodings: [B] float32."""
        vectors = self.vectors(image, text)
        if isinstance(self.target, SimilarityTarget):
            return vectors @ torch.as_tensor(self.target.vector, dtype=vectors.dtype, device=vectors.device)
        log_odds = self.system.label_log_odds(vectors)
        if log_odds is not None:
            return log_odds[:, self.system.config.label_names.index(self.target.label)]
        assert self.target.voters is not None, "`subject` refuses votes without voters"
        return vote_log_odds(vectors, self.target.voters)


@contextmanager
def subject(system: RetrievalSystem, inputs: Inputs, target: Target) -> Iterator[Subject]:
    """Prepare a case; one explanation of a system is computed at a time.

    The copy shares the system's weights, so nothing is read or held twice, and the system's hooks, mode, gradients and
    tokenizer are left alone. It is made once; a system is moved to its device before.

    Raises:
        ExplanationError: Neither film nor text, a film of another size, an unknown label, or no voters where they
            decide.
    """
    _check(system, inputs, target)
    double = _double_of(system)
    with double.lock, torch.enable_grad():
        film = None
        if inputs.film is not None:
            film = torch.from_numpy(np.ascontiguousarray(inputs.film)).to(next(system.parameters()).device)[None]
        yield Subject(double.system, film, inputs.text.strip(), target)


def passed_stages(system: RetrievalSystem) -> tuple[str, ...]:
    """Names of the stages that films pass, first to last; a pyramid leaves out what follows its finest maps."""
    double = _double_of(system)
    with double.lock:
        if double.stages is None:
            passed: list[str] = []
            handles = [
                stage.register_forward_hook(lambda module, inputs, output, name=name: passed.append(name))
                for name, stage in double.system.image_stages().items()
            ]
            size = system.config.image_size
            with torch.no_grad():
                double.system.encode_images(next(system.parameters()).new_zeros(1, size, size))
            for handle in handles:
                handle.remove()
            double.stages = tuple(name for name in double.system.image_stages() if name in passed)
        return double.stages


def vote_log_odds(vectors: Tensor, voters: Voters) -> Tensor:
    """Log-odds of a label by the vote of cases, each weighing exp(cosine / temperature): [B].

    A case of cosine 0 is added on either side, so that a unanimous vote has odds, too; it weighs next to nothing
    against real voters.

    Args:
        vectors: [B, D].
        voters: Who votes.
    """
    others = torch.as_tensor(voters.vectors, dtype=vectors.dtype, device=vectors.device)
    nearness = functional.pad(vectors @ others.T / voters.temperature, (0, 1))
    carries = functional.pad(torch.as_tensor(voters.carries, dtype=torch.bool, device=vectors.device), (0, 1))
    lacks = ~carries
    carries = carries.clone()
    carries[-1] = True
    return torch.logsumexp(nearness[:, carries], 1) - torch.logsumexp(nearness[:, lacks], 1)


def _double_of(system: RetrievalSystem) -> _Double:
    with _doubles_lock:
        if system not in _doubles:
            _doubles[system] = _Double(_copy(system), Lock())
        return _doubles[system]


def _copy(system: RetrievalSystem) -> RetrievalSystem:
    shared: list[Any] = [*chain(system.parameters(), system.buffers()), system.ranking]
    return deepcopy(system, {id(one): one for one in shared}).eval()


def _repeated(encoding: Encoding, count: int) -> Encoding:
    if len(encoding.vector) == count:
        return encoding
    return encoding.take(torch.zeros(count, dtype=torch.long, device=encoding.vector.device))


def _check(system: RetrievalSystem, inputs: Inputs, target: Target) -> None:
    size = system.config.image_size
    if inputs.film is None and not inputs.text.strip():
        raise ExplanationError("nothing to explain. Give a film, a text, or both.")
    if inputs.film is not None and inputs.film.shape != (size, size):
        raise ExplanationError(
            f"a film of shape {inputs.film.shape} where {system.name} reads {size} by {size} pixels. "
            "Prepare it with its `prepare`."
        )
    if isinstance(target, FindingTarget):
        names = system.config.label_names
        if target.label not in names:
            raise ExplanationError(f"{system.name} knows no label {target.label!r}. Known: {', '.join(names)}.")
        if target.voters is None and not _has_classifier(system):
            raise ExplanationError(
                f"{system.name} has no classifier: its labels are explained by the voting cases. Give their vectors."
            )
    elif target.vector.shape != (system.config.embedding_dim,):
        raise ExplanationError(
            f"a vector of shape {target.vector.shape} where the system's have {system.config.embedding_dim} numbers. "
            "Give a vector of the same casebook."
        )


def _has_classifier(system: RetrievalSystem) -> bool:
    """Whether labels come from a classifier; otherwise cases vote."""
    with torch.no_grad():
        nothing = next(system.parameters()).new_zeros(1, system.config.embedding_dim)
        return system.label_log_odds(nothing) is not None
