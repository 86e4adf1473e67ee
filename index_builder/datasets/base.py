"""The interface of dataset readers: cases, a card, and the film of a case on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import Case
from index_builder.cases.labels import LabelKind

if TYPE_CHECKING:
    from index_builder.imaging import Film


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """The card of a dataset: what a reader of a casebook must know about its source.

    Of stages (`label_kind`) every case carries exactly one, or has all of them in `Case.unknown`. Their order is that
    of `Dataset.label_names`.
    """

    name: str
    title: str
    description: str
    citation: str
    licence: str
    source: str
    label_definition: str
    synthetic: bool = False
    label_kind: LabelKind = "findings"


class Dataset(Protocol):
    """Reader of one source.

    A class per source, one file each. The constructor checks that the source is there and raises
    `DatasetError` with the remedy; it reads no pixels. It may know more: `LocatesFindings`, `DrawsFindings`.
    """

    card: DatasetCard
    #: All labels a case may carry, in display order; stages from lowest to highest.
    label_names: tuple[str, ...]

    def cases(self) -> Sequence[Case]:
        """All cases in stable order, without pixels. Raises `DatasetError` naming file, row and column."""
        ...

    def load_film(self, reference: str) -> Film:
        """Decode one film by a reference found in `Case.image` or `Case.other_images`.

        Thread-safe. Raises `ImagingError` naming the file.
        """
        ...


@dataclass(frozen=True, slots=True)
class FindingPlace:
    """A label's finding and its place on a film.

    Attributes:
        label: Label of the dataset.
        focal: Whether it lies in a place, not in a whole organ.
        mask: [H, W] bool, pixels of the film that it covers.
    """

    label: str
    focal: bool
    mask: NDArray[np.bool_]


@runtime_checkable
class LocatesFindings(Protocol):
    """A dataset that also knows where findings lie, on some of its films at least."""

    def finding_places(self, case: Case, shape: tuple[int, int]) -> Sequence[FindingPlace]:
        """By label of a case's film of this shape, (H, W); empty where nothing is known."""
        ...


@runtime_checkable
class DrawsFindings(Protocol):
    """A dataset that draws its films from what reports say, which is more than a film can show."""

    #: Labels whose finding is on nearly every film of a case that carries them.
    drawn_labels: tuple[str, ...]

    def visible_labels(self, case: Case) -> tuple[str, ...]:
        """The labels of a case that its film shows."""
        ...

    def drawn_findings(self, case: Case) -> tuple[str, ...]:
        """Names of what is drawn on its film."""
        ...
