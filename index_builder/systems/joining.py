"""Vectors of batches in which some cases lack a modality and some have several films."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from index_builder.cases.space import SPACES, Space
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.encoding import Encoding, normalise


@dataclass(frozen=True, slots=True)
class EncodedCases:
    """Vectors of B cases.

    Attributes:
        spaces: [B, D] float32 per space, zero where a case lacks the modality (joint: both).
        films: [b, D] float32, of every film by itself.
        image_seconds, text_seconds: What the encoders took.
    """

    spaces: dict[Space, NDArray[np.float32]]
    films: NDArray[np.float32]
    image_seconds: float
    text_seconds: float


@torch.inference_mode()
def encode_cases(
    system: RetrievalSystem, films: Tensor, counts: Tensor, texts: Sequence[str], spaces: Collection[Space] = SPACES
) -> EncodedCases:
    """Encode whatever each case has.

    The image vector of a case of several films is that of all of them (`fused`). Its joint vector joins the text with
    its first film: systems were trained to look at one film with a text.

    Args:
        system: In evaluation mode, on any device.
        films: [b, S, S] float32 in 0..1 of all cases in order, a case's first film before its others; not read where no
            case has one.
        counts: [B] int64 on the CPU, how many films each case has.
        texts: B strings, empty where a case has no text.
        spaces: Which are wanted.
    """
    device = next(system.parameters()).device
    has_film, has_text = counts > 0, torch.tensor([bool(text) for text in texts])
    began = perf_counter()
    image = system.encode_images(films.to(device)) if has_film.any() else None
    middle = perf_counter()
    text = system.encode_texts([text for text in texts if text]) if has_text.any() else None
    done = perf_counter()
    dim = system.config.embedding_dim
    found = {space: torch.zeros(len(texts), dim) for space in spaces}
    alone = torch.zeros(0, dim)
    if image is not None:
        alone = image.vector.float().cpu()
        firsts = (counts.cumsum(0) - counts)[has_film]
        if len(firsts) < len(alone):
            image = image.take(firsts.to(device))
        if "image" in found:
            found["image"][has_film] = fused(alone, counts[has_film])
    if text is not None and "text" in found:
        found["text"][has_text] = text.vector.float().cpu()
    if "joint" in found:
        found["joint"] = join_cases(system, image, has_film.to(device), text, has_text.to(device)).cpu()
    vectors = {space: tensor.numpy() for space, tensor in found.items()}
    return EncodedCases(vectors, alone.numpy(), middle - began, done - middle)


def fused(films: Tensor, counts: Tensor) -> Tensor:
    """Vectors of studies: the normalised sum of those of their films; of a study of one film that film's as it is.

    Args:
        films: [b, D] float32, L2-normalised, of all studies in order.
        counts: [n] int64, how many films each study has, at least 1.

    Returns:
        [n, D] float32.
    """
    firsts = counts.cumsum(0) - counts
    vectors = films[firsts]
    for study in torch.nonzero(counts > 1)[:, 0].tolist():
        start = int(firsts[study])
        vectors[study] = normalise(films[start : start + int(counts[study])].sum(0))
    return vectors


def join_cases(
    system: RetrievalSystem,
    image: Encoding | None,
    has_film: Tensor,
    text: Encoding | None,
    has_text: Tensor,
    *,
    use_film: Tensor | None = None,
    use_text: Tensor | None = None,
) -> Tensor:
    """Join whatever each case has.

    Args:
        system: Does the joining.
        image: Encoding of the cases with a film, in order; None when there is none.
        has_film: [B] bool.
        text: Encoding of the cases with a text, in order; None when there is none.
        has_text: [B] bool.
        use_film: [B] bool, a subset of `has_film` that is joined in fact; all by default.
        use_text: The same of texts.

    Returns:
        [B, D] float32, zero where a case has (or uses) neither.
    """
    use_film = has_film if use_film is None else use_film
    use_text = has_text if use_text is None else use_text
    out = torch.zeros(len(has_film), system.config.embedding_dim, device=has_film.device)
    for film, worded in ((True, True), (True, False), (False, True)):
        wanted = (use_film == film) & (use_text == worded)
        if wanted.any():
            taken_image = image.take(wanted[has_film]) if film and image is not None else None
            taken_text = text.take(wanted[has_text]) if worded and text is not None else None
            out[wanted] = system.join(taken_image, taken_text).float()
    return out
