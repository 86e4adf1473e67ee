"""Encoders run by ONNX Runtime, two to three times as fast on a processor as by PyTorch (docs/explanation/scale.md).

What is converted are the backbones alone: nearly all of the work. What was trained on top of them, and everything that
needs a gradient, stays in PyTorch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from index_builder.systems.backbones.backbone import first_line
from index_builder.systems.backbones.session import Session

if TYPE_CHECKING:
    from index_builder.systems.base import RetrievalSystem

_log = logging.getLogger(__name__)

#: Converted and original outputs may differ by this share of the largest: single precision through a hundred layers.
_TOLERANCE = 1e-3


def accelerate(system: RetrievalSystem) -> None:
    """Let ONNX Runtime run both encoders of a system wherever `torch.inference_mode` says that no gradient is wanted.

    An encoder that cannot be converted, or gives something else then, stays in PyTorch, and the log says so. The
    system's weights must not change afterwards.

    Args:
        system: In evaluation mode on the processor.
    """
    image, text = system.image_encoder, system.text_encoder
    size = system.config.image_size
    films = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside other work several threads wait longer for one another than they save
    try:
        image.session = _converted("image", _Films(image), ((films[:2],), (films,)), [{0: "films"}])
        if text is None:
            return
        words = [text.tokenize(texts) for texts in (["no effusion", "clear"], ["small right effusion", "", "scar"])]
        text.session = _converted("text", _Words(text), words, [{0: "texts", 1: "pieces"}] * len(words[0]))
    finally:
        torch.set_num_threads(threads)


class _Films(nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, films: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder.eager_features(films))


class _Words(nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.encoder.eager_outputs(inputs))


def _converted(
    name: str, module: nn.Module, examples: Sequence[Sequence[Tensor]], axes: Sequence[Mapping[int, str]]
) -> Session | None:
    """Convert by the first example; the others, of other sizes, must come out as from the module."""
    try:
        session = Session(module.eval(), examples[0], axes)
        for example in examples:
            with torch.inference_mode():
                expected = module(*example)
            for ours, theirs in zip(session(*example), expected, strict=True):
                worst = float((ours - theirs).abs().max() / theirs.abs().max())
                if not worst < _TOLERANCE:
                    raise ValueError(f"its output differs by {worst:.1e} of the largest value")
    except Exception as error:  # the exporter and the runtime raise whatever they meet
        _log.warning("the %s encoder stays in PyTorch, slower: it cannot be converted (%s)", name, first_line(error))
        return None
    return session
