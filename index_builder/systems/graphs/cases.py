"""Vectors of batches in which some cases lack a modality and some have several films."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.space import SPACES, Space
from index_builder.systems.graphs.encoder import EncodedBatch, Encoder


@dataclass(frozen=True, slots=True)
class EncodedCases:
    """Vectors of B cases.

    Attributes:
        spaces: [B, D] float32 per space, zero where a case lacks the modality (joint: both).
        films: [b, D] float32, of every film by itself.
        features: [b, F] float32, what the image backbone alone saw of every film; empty without films.
        image_seconds, text_seconds: What the encoders took.
    """

    spaces: dict[Space, NDArray[np.float32]]
    films: NDArray[np.float32]
    features: NDArray[np.float32]
    image_seconds: float
    text_seconds: float


def encode_cases(
    encoder: Encoder,
    films: NDArray[np.float32],
    counts: NDArray[np.integer],
    texts: Sequence[str],
    spaces: Collection[Space] = SPACES,
) -> EncodedCases:
    """Encode whatever each case has.

    The image vector of a case of several films is that of all of them (`fused`). Its joint vector joins the text with
    its first film: systems were trained to look at one film with a text.

    Args:
        encoder: Of the system.
        films: [b, S, S] float32 in 0..1 of all cases in order, a case's first film before its others; not read where no
            case has one.
        counts: [B], how many films each case has.
        texts: B strings, empty where a case has no text.
        spaces: Which are wanted.
    """
    with_film, with_text = np.flatnonzero(counts), np.flatnonzero([bool(text) for text in texts])
    began = perf_counter()
    image = encoder.encode_films(films) if len(with_film) else None
    middle = perf_counter()
    text = encoder.encode_texts([text for text in texts if text]) if len(with_text) else None
    done = perf_counter()
    found = {space: np.zeros((len(texts), encoder.record.dim), np.float32) for space in spaces}
    alone, features = np.zeros((0, encoder.record.dim), np.float32), np.zeros((0, 0), np.float32)
    if image is not None and image.features is not None:
        alone, features = image.vectors, image.features
        if "image" in found:
            found["image"][with_film] = fused(alone, counts[with_film])
        image = image.take((np.cumsum(counts) - counts)[with_film])
    if text is not None and "text" in found:
        found["text"][with_text] = text.vectors
    if "joint" in found and (image is not None or text is not None):
        found["joint"] = _joined(encoder, image, with_film, text, with_text, len(texts))
    return EncodedCases(found, alone, features, middle - began, done - middle)


def fused(films: NDArray[np.float32], counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """Vectors of studies: the normalised sum of those of their films; of a study of one film that film's as it is.

    Args:
        films: [b, D] float32, L2-normalised, of all studies in order.
        counts: [n], how many films each study has, at least 1.

    Returns:
        [n, D] float32.
    """
    firsts = np.cumsum(counts) - counts
    vectors = films[firsts]
    for study in np.flatnonzero(counts > 1).tolist():
        summed = films[firsts[study] : firsts[study] + counts[study]].sum(0)
        vectors[study] = summed / max(float(np.linalg.norm(summed)), 1e-12)
    return vectors


def _joined(
    encoder: Encoder,
    image: EncodedBatch | None,
    with_film: NDArray[np.integer],
    text: EncodedBatch | None,
    with_text: NDArray[np.integer],
    count: int,
) -> NDArray[np.float32]:
    """Join whatever each of `count` cases has, [count, D], zero where a case has neither."""
    joint = encoder.join(
        None if image is None else image.at(with_film, count), None if text is None else text.at(with_text, count)
    )
    joint[np.setdiff1d(np.arange(count), np.union1d(with_film, with_text))] = 0
    return joint
