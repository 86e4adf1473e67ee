"""Vectors of a dataset's cases: every film read once and every text encoded once, whatever is measured afterwards."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.cases.case import Case
from index_builder.cases.space import SPACES, Space
from index_builder.datasets.base import Dataset
from index_builder.progress import Progress
from index_builder.systems.backbones.encoders import ImageEncoder
from index_builder.systems.base import RetrievalSystem
from index_builder.systems.graphs.cases import encode_cases
from index_builder.systems.running.parts import torch_encoder

#: A film [H, W] to what an encoder reads, [S, S].
Prepare = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_BATCH = 32
#: Batches whose films are being decoded while one is encoded; what bounds memory.
_AHEAD = 3
#: Candidates whose vectors are in memory while queries are compared with them.
_COMPARED_AT_ONCE = 4096
_READERS = max(2, os.cpu_count() or 1)


class Vectors(Protocol):
    """Vectors of N cases, [N, D] float32, L2-normalised; a zero row: the case lacks the modality.

    An array is one; vectors that stay on disk are too, and give some rows at a time.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.integer], /) -> NDArray[np.float32]: ...


def similarities(
    vectors: Vectors, queries: NDArray[np.integer], candidates: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Cosines of some cases and others, [Q, C] for rows [Q] and [C]; besides those, memory holds some candidates."""
    asked = vectors[queries]
    found = np.empty((len(queries), len(candidates)), np.float32)
    for start in range(0, len(candidates), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        found[:, part] = asked @ vectors[candidates[part]].T
    return found


def whole(vectors: Vectors) -> NDArray[np.float32]:
    """All of them in memory."""
    return vectors if isinstance(vectors, np.ndarray) else vectors[np.arange(len(vectors))]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of N cases.

    Attributes:
        spaces: Per modality.
        frozen: [N, F] float32 mean patch token of an untrained encoder, zero without a film; None: not asked for.
    """

    spaces: Mapping[Space, Vectors]
    frozen: NDArray[np.float32] | None = None


@torch.inference_mode()
def embed_modality(
    system: RetrievalSystem,
    dataset: Dataset,
    cases: Sequence[Case],
    modality: Space,
    progress: Progress,
    *,
    frozen: ImageEncoder | None = None,
) -> Embedded:
    """Embed all cases in one pass; memory holds a few batches of films.

    Args:
        system: In evaluation mode.
        dataset: Decodes the films.
        cases: N cases.
        modality: "image" and "text" give that space alone. "joint" gives all three: what each case has is joined.
        progress: Called as cases are done.
        frozen: A second encoder that sees the same films, for a baseline.

    Raises:
        ImagingError: A film cannot be decoded.
    """
    encoder, device = torch_encoder(system), next(system.parameters()).device
    texts = ["" if modality == "image" else system.read(case) for case in cases]
    references = [None if modality == "text" else case.image for case in cases]
    wanted = SPACES if modality == "joint" else (modality,)
    spaces = {space: np.zeros((len(cases), system.config.embedding_dim), np.float32) for space in wanted}
    pooled = None if frozen is None else np.zeros((len(cases), frozen.dim), np.float32)
    # Texts of like length share a batch: padding would otherwise double the text encoder's work.
    order = sorted(range(len(cases)), key=lambda row: len(texts[row]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    done = 0
    for rows, films in _with_films(dataset, references, batches, system.prepare):
        counts = np.array([int(film is not None) for film in films])
        pixels = np.array([film for film in films if film is not None])
        for space, found in encode_cases(encoder, pixels, counts, [texts[row] for row in rows], wanted).spaces.items():
            spaces[space][rows] = found
        if frozen is not None and pooled is not None and len(pixels):
            tokens = frozen(torch.from_numpy(pixels).to(device))
            pooled[np.asarray(rows)[counts > 0]] = tokens.mean(1).float().cpu().numpy()
        done += len(rows)
        progress("Embedding cases", done, len(cases))
    return Embedded(spaces, pooled)


@torch.inference_mode()
def frozen_features(
    encoder: ImageEncoder, dataset: Dataset, cases: Sequence[Case], prepare: Prepare, progress: Progress
) -> NDArray[np.float32]:
    """Mean patch tokens of an untrained encoder, [N, F], zero without a film; what `embed_modality` gives as `frozen`.

    Raises:
        CxrError: The dataset's source cannot be reached, or a film cannot be decoded.
    """
    features = np.zeros((len(cases), encoder.dim), np.float32)
    rows = [row for row, case in enumerate(cases) if case.image is not None]
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    device, done = next(encoder.parameters()).device, 0
    for batch, films in _with_films(dataset, [case.image for case in cases], batches, prepare):
        pixels = torch.from_numpy(np.stack([film for film in films if film is not None])).to(device)
        features[batch] = encoder(pixels).mean(1).float().cpu().numpy()
        done += len(batch)
        progress("Reading films for baselines", done, len(rows))
    return features


def _with_films(
    dataset: Dataset, references: Sequence[str | None], batches: Sequence[list[int]], prepare: Prepare
) -> Iterator[tuple[list[int], list[NDArray[np.float32] | None]]]:
    """Batches of rows with their films, [S, S] float32 or None; the next batches are decoded meanwhile."""
    with ThreadPoolExecutor(_READERS) as readers:

        def load(reference: str) -> NDArray[np.float32]:
            return prepare(dataset.load_film(reference).pixels)

        def submit(rows: list[int]) -> list[Future[NDArray[np.float32]] | None]:
            found = [references[row] for row in rows]
            return [None if reference is None else readers.submit(load, reference) for reference in found]

        ahead = deque(submit(rows) for rows in batches[:_AHEAD])
        try:
            for number, rows in enumerate(batches):
                films = [None if future is None else future.result() for future in ahead.popleft()]
                if number + _AHEAD < len(batches):
                    ahead.append(submit(batches[number + _AHEAD]))
                yield rows, films
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
