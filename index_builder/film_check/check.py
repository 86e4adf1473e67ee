"""The check as it lies in a casebook: how far a film's features are from those indexed, how it lies, and its view.

Distance: mean of the distances to the five nearest indexed films in the space of backbone features of length 1 (deep
nearest neighbours: Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022).
Orientation: logistic regression that tells films from their own turned and inverted copies (as the pretext task of
Gidaris, Singh and Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018).
View: share of laterals among the nearest indexed films whose view is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.errors import CasebookError
from index_builder.imaging import model_input
from index_builder.numerics import softmax

Turn = Literal["upright", "inverted", "turned left", "upside down", "turned right"]
#: In the order of the orientation's classes; a film "turned left" was turned a quarter counter-clockwise.
TURNS: tuple[Turn, ...] = ("upright", "inverted", "turned left", "upside down", "turned right")
_QUARTERS: dict[Turn, int] = {"turned left": 1, "upside down": 2, "turned right": 3}

#: Indexed films that are nearest.
NEIGHBOURS = 5
#: Nearest films of known view that tell a film's own, and how many there must be of either view.
VIEW_NEIGHBOURS = 15
#: Edge of the small film that orientation is told from.
_SIDE = 16
#: A film whose values spread less than this shows nothing.
_FAINTEST = 1e-3


@dataclass(frozen=True, slots=True)
class FilmCheck:
    """The reference that a film is compared with.

    Attributes:
        references: [R, F] float16, features of indexed films, of length 1.
        rows: [R] int64, the rows of their cases in the casebook.
        distances: [101] float32, percentiles of the distance of indexed films to the others, none of its own patient.
        similarities: [101] float32, the same of mean cosine to the nearest in the image space; the first is -1, which
            no film undercuts, where too few films tell how far is too far.
        unlike: [] float32, a film farther than this is unlike those indexed.
        no_chest: [] float32, one farther than this is farther than chest films are that were turned or inverted.
        weights: [5, 256] float32, of the orientation, rows as in `TURNS`.
        bias: [5] float32.
        films: [R] int64, their numbers in the table of films; None where there is none, or in an older casebook.
        views: [R] int8, 1 a lateral, 0 a frontal film, -1 unknown; None in an older casebook.
    """

    references: NDArray[np.float16]
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]
    similarities: NDArray[np.float32]
    unlike: NDArray[np.float32]
    no_chest: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    films: NDArray[np.int64] | None = None
    views: NDArray[np.int8] | None = None

    def of_rows(self, rows: Sequence[int], films: NDArray[np.int64] | None = None) -> FilmCheck | None:
        """The check of a casebook that holds only some of the rows, in that order; its limits stay those of the whole.

        None where too few films are left to compare with.

        Args:
            rows: Which.
            films: Numbers of their films, where that casebook has a table of films.
        """
        place = {row: number for number, row in enumerate(rows)}
        kept = np.array([row in place for row in self.rows.tolist()], bool)
        if kept.sum() < NEIGHBOURS:
            return None
        own = self.of_references(kept)
        moved = np.array([place[row] for row in own.rows.tolist()], np.int64)
        numbers = None if films is None or own.films is None else np.searchsorted(films, own.films)
        return replace(own, rows=moved, films=numbers)

    def of_references(self, kept: NDArray[np.bool_]) -> FilmCheck:
        """The check with some of the references alone, [R] bool; its limits stay those of all."""
        return replace(
            self,
            references=self.references[kept],
            rows=self.rows[kept],
            films=None if self.films is None else self.films[kept],
            views=None if self.views is None else self.views[kept],
        )

    def distance(self, features: NDArray[np.floating], without: NDArray[np.bool_] | None = None) -> float:
        """Mean distance of features [F] to those of the nearest indexed films, leaving out those of [R] `without`."""
        kept = self.references if without is None else self.references[~without]
        return float(nearest_distances(unit(features)[None], kept.astype(np.float32))[0])

    def lateral_share(self, features: NDArray[np.floating], without: NDArray[np.bool_] | None = None) -> float | None:
        """Share of laterals, 0..1, among the films of known view that are nearest to features [F].

        None where too few films of either view are known to tell.

        Args:
            features: [F].
            without: [R], films that do not count.
        """
        if self.views is None:
            return None
        kept = self.views >= 0 if without is None else (self.views >= 0) & ~without
        views = self.views[kept]
        if min(int((views == 1).sum()), int((views == 0).sum())) < VIEW_NEIGHBOURS:
            return None
        nearness = self.references[kept].astype(np.float32) @ unit(features)
        return float(views[np.argpartition(-nearness, VIEW_NEIGHBOURS)[:VIEW_NEIGHBOURS]].mean())

    def likeliest_turn(self, pixels: NDArray[np.float32]) -> tuple[Turn, float]:
        """How a film [H, W] seems to lie, and the probability of that."""
        shares = softmax(self.weights @ orientation_input(pixels) + self.bias)
        best = int(shares.argmax())
        return TURNS[best], float(shares[best])

    def write(self, path: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        held = {one.name: getattr(self, one.name) for one in fields(self)}
        save_file({name: np.ascontiguousarray(value) for name, value in held.items() if value is not None}, path)

    @classmethod
    def read(cls, path: Path) -> FilmCheck | None:
        """Read what `write` wrote; None where the casebook has no check.

        Raises:
            CasebookError: The file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not path.is_file():
            return None
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error


def unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [..., F] brought to length 1."""
    found = np.asarray(features, np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)


def nearest_distances(
    queries: NDArray[np.float32], references: NDArray[np.float32], barred: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Mean distance to the `NEIGHBOURS` nearest references, [Q], of features of length 1.

    Args:
        queries: [Q, F].
        references: [R, F].
        barred: [Q, R], pairs that do not count.
    """
    squares = (2 - 2 * queries @ references.T).clip(0)
    if barred is not None:
        squares[barred] = np.inf
    k = min(NEIGHBOURS, len(references))
    return np.sqrt(np.partition(squares, k - 1, axis=1)[:, :k]).mean(axis=1)


def is_blank(pixels: NDArray[np.float32]) -> bool:
    """Whether a film [H, W] shows nothing at all."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    return bool(high - low < _FAINTEST)


def turned(pixels: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """An upright film [H, W] as it would look turned or inverted."""
    if turn == "inverted":
        return np.asarray(pixels.max() + pixels.min() - pixels, np.float32)
    return np.ascontiguousarray(np.rot90(pixels, _QUARTERS.get(turn, 0)))


def righted(pixels: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """What `turned` undone gives."""
    back: dict[Turn, Turn] = {"turned left": "turned right", "turned right": "turned left"}
    return turned(pixels, back.get(turn, turn))


def orientation_input(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A film [H, W] as the orientation sees it: small, mean 0, spread 1, [256] float32."""
    small = model_input(pixels, _SIDE).ravel()
    small = small - small.mean()
    return small / max(float(small.std()), 1e-6)
