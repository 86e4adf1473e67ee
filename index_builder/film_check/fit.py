"""Fit the check of films on a casebook's own films; nothing but the films and their patients is looked at.

Limits come from films of the training and validation parts, each compared with films of other patients. A film is
unlike the others when it is farther from them than 99 % of those are. Beyond the distance that chest films reach when
they are turned or inverted, it is called no chest film: such copies are as strange as a chest film gets.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from index_builder.cases.case import LATERAL, Case
from index_builder.film_check.check import (
    NEIGHBOURS,
    TURNS,
    FilmCheck,
    nearest_distances,
    orientation_input,
    turned,
    unit,
)
from index_builder.systems.graphs.encoder import Encoder

#: Indexed films that others are compared with.
REFERENCES = 2_000
#: With fewer films than this no limit can be set.
FEWEST = 20
#: Films whose copies teach orientation, and the share of all films whose copies are encoded, at most so many.
_TURNED_FILMS = 300
_ENCODED_SHARE, _ENCODED_FILMS = 0.05, 48
#: Films of other patients that are farther from the rest than their limits: what false alarms cost.
_FALSE_ALARMS = 0.01
_BATCH = 16


@dataclass(frozen=True, slots=True)
class References:
    """Films that others are compared with.

    Attributes:
        films: [R] int64, their numbers among the films of all cases.
        rows: [R] int64, rows of their cases.
        places: [R] int64, which film of its case each is; 0: the primary one.
    """

    films: NDArray[np.int64]
    rows: NDArray[np.int64]
    places: NDArray[np.int64]


def reference_films(counts: NDArray[np.int64]) -> References:
    """The films that others are compared with, of so many of each case: all, or evenly spread ones."""
    firsts = np.cumsum(counts) - counts
    films = np.arange(int(counts.sum()))
    films = films[:: max(1, -(-len(films) // REFERENCES))]
    rows = np.repeat(np.arange(len(counts)), counts)[films]
    return References(films, rows, films - firsts[rows])


def fit_film_check(
    encoder: Encoder,
    cases: Sequence[Case],
    references: References,
    features: NDArray[np.floating],
    vectors: NDArray[np.floating],
    thumbnail: Callable[[int], bytes],
    *,
    numbered: bool,
) -> FilmCheck | None:
    """Fit.

    Args:
        encoder: Encoder that embedded the films.
        cases: All cases.
        references: R films.
        features: [R, F], see `EncodedBatch.features`.
        vectors: [R, D] of the films by themselves.
        thumbnail: JPEG of the film of a place among the R.
        numbered: Whether there is a table of films.

    Returns:
        None where there are too few films, or too few patients, to compare.
    """
    if len(references.rows) < FEWEST:
        return None
    compared = [cases[int(row)] for row in references.rows]
    patients = np.array([case.patient_id for case in compared])
    own = patients[:, None] == patients[None]
    trusted = np.array([case.split != "test" for case in compared], bool)
    if trusted.sum() < FEWEST or ((~own).sum(axis=1) < NEIGHBOURS).any():
        return None
    known = unit(features).astype(np.float16).astype(np.float32)
    distances = nearest_distances(known[trusted], known, own[trusted])
    unlike = float(np.quantile(distances, 1 - _FALSE_ALARMS))
    strange = _strange_distances(encoder, own, trusted, known, thumbnail)
    shown = _spread(np.flatnonzero(trusted), _TURNED_FILMS)
    weights, bias = _fit_orientation([_pixels(thumbnail(place)) for place in shown.tolist()])
    views = [case.films[place].view for case, place in zip(compared, references.places.tolist(), strict=True)]
    return FilmCheck(
        references=known.astype(np.float16),
        rows=references.rows,
        distances=_percentiles(distances),
        similarities=_similarity_percentiles(_similarities(vectors.astype(np.float32), own)[trusted]),
        unlike=_rounded(unlike),
        no_chest=_rounded(max(unlike, float(strange.max()))),
        weights=_rounded(weights),
        bias=_rounded(bias),
        films=references.films if numbered else None,
        views=np.array([-1 if view is None else int(view == LATERAL) for view in views], np.int8),
    )


def _strange_distances(
    encoder: Encoder,
    own: NDArray[np.bool_],
    trusted: NDArray[np.bool_],
    references: NDArray[np.float32],
    thumbnail: Callable[[int], bytes],
) -> NDArray[np.float32]:
    """Distances of turned and inverted copies of some films, each copied one way."""
    count = int(np.clip(_ENCODED_SHARE * len(own), len(TURNS) - 1, _ENCODED_FILMS))
    chosen = _spread(np.flatnonzero(trusted), count)
    copies = [
        turned(_pixels(thumbnail(place)), TURNS[1 + number % (len(TURNS) - 1)])
        for number, place in enumerate(chosen.tolist())
    ]
    inputs = np.stack([encoder.prepare(copy) for copy in copies])
    batches = [encoder.encode_films(inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
    features = np.concatenate([batch.features for batch in batches if batch.features is not None])
    return nearest_distances(unit(features), references, own[chosen])


def _fit_orientation(films: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    from sklearn.linear_model import LogisticRegression

    inputs = np.stack([orientation_input(turned(film, turn)) for turn in TURNS for film in films])
    classes = np.repeat(np.arange(len(TURNS)), len(films))
    fitted = LogisticRegression(C=0.01, max_iter=500).fit(inputs, classes)
    return fitted.coef_, fitted.intercept_


def _similarities(vectors: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean cosine of each film to the nearest of other patients, [R]."""
    cosine = np.where(own, -np.inf, vectors @ vectors.T)
    return np.asarray(np.partition(cosine, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1), np.float32)


def _similarity_percentiles(similar: NDArray[np.float32]) -> NDArray[np.float32]:
    """Percentiles. A film like n others is farther than all of them once in n + 1 times: few cannot call it far."""
    found = _percentiles(similar)
    if 1 / (len(similar) + 1) > _FALSE_ALARMS:
        found[0] = -1
    return found


def _spread(values: NDArray, count: int) -> NDArray:
    """At most `count` of the values, evenly spread."""
    return values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).astype(int))]


def _percentiles(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return _rounded(np.percentile(values, np.arange(101)))


def _rounded(values: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Four decimals: what another thread count may change lies beyond them."""
    return np.asarray(np.round(values, 4), np.float32)


def _pixels(jpeg: bytes) -> NDArray[np.float32]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("L"), np.float32) / np.float32(255)
