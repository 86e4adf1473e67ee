"""The interface of dataset readers: cases, a card, and the film of a case on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
    `DatasetError` with the remedy; it reads no pixels.
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
