"""The interface of dataset readers: plain `Case` records, and the film of a case on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

ProfileValue = str | float | int | bool

#: A film taken from the side, as views are named; the others, "PA" and "AP", are frontal.
LATERAL = "LATERAL"

#: The code of Open-i of a report whose findings nobody coded.
UNCODED = "No Indexing"

#: Report sections in reading order. A reader may add others (e.g. `notes`); these come first.
SECTION_ORDER = ("indication", "comparison", "findings", "impression", "notes")

#: Sections that say what is seen, in the order a text encoder reads them. Indication and comparison name what is
#: suspected or was seen before.
REPORT_SECTIONS = ("findings", "impression", "notes")


@dataclass(frozen=True, slots=True)
class CaseFilm:
    """A film of a study: its reference for `load_film`, and its view, "PA", "AP", "LATERAL" or None when unknown."""

    reference: str
    view: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One study: its films, of which one is the primary, a report, a patient profile and its labels.

    Attributes:
        case_id: Unique and stable in its dataset; survives `--limit`, reordering and rebuilding.
        patient_id: Whatever groups studies of one person. Never shown.
        split: Deterministic part of the data; no patient (Open-i: no report text) is in two parts.
        labels: Finding names of the dataset's label set, sorted, possibly empty.
        image: Reference of the primary film, understood by the reader's `load_film`; None: text-only case.
        other_images: References of further films of the study (laterals), same form.
        view: "PA", "AP", "LATERAL" or None when unknown; of the primary film.
        other_views: The same of each of `other_images`; empty: unknown of all.
        sections: Report sections by lower-case name, non-empty strings only.
        profile: Structured patient fields (`age` in years, `sex` "F"/"M", any other column). Missing: absent.
        codes: Coded findings as published, e.g. MeSH "Opacity/lung/base/left/mild".
        synthetic: True where the film is drawn, not exposed. Always shown beside the film.
        unknown: Findings of the label set that nobody decided for this case, sorted. The others are absent where
            `labels` has them not; these are neither, so no training learns from them and no score counts them.
    """

    case_id: str
    patient_id: str
    split: Split
    labels: tuple[str, ...]
    image: str | None = None
    other_images: tuple[str, ...] = ()
    view: str | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, ProfileValue] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    synthetic: bool = False
    unknown: tuple[str, ...] = ()
    other_views: tuple[str | None, ...] = ()

    @property
    def is_coded(self) -> bool:
        """Whether its findings were coded; Open-i says of a report that nobody coded so in place of codes."""
        return UNCODED not in self.codes

    @property
    def films(self) -> tuple[CaseFilm, ...]:
        """All films, the primary first."""
        views = self.other_views or (None,) * len(self.other_images)
        others = (CaseFilm(film, view) for film, view in zip(self.other_images, views, strict=True))
        return (*(() if self.image is None else (CaseFilm(self.image, self.view),)), *others)

    def with_films(self, films: Sequence[CaseFilm]) -> Case:
        """This study with these films alone, the first as the primary."""
        first, others = (films[0], films[1:]) if films else (None, ())
        views = tuple(film.view for film in others)
        return replace(
            self,
            image=None if first is None else first.reference,
            view=None if first is None else first.view,
            other_images=tuple(film.reference for film in others),
            other_views=views if any(views) else (),
        )

    @property
    def report(self) -> str:
        """The text a text encoder reads: the `REPORT_SECTIONS` there are, joined."""
        return " ".join(self.sections[name] for name in REPORT_SECTIONS if name in self.sections)
