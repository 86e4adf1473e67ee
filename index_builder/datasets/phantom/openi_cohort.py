"""`phantom-openi`: real reports of Open-i, each with a film drawn from its MeSH codes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import Case, ProfileValue
from index_builder.cases.labels import OPENI_LABELS, openi_labels
from index_builder.datasets.base import DatasetCard, FindingPlace
from index_builder.datasets.phantom.mesh_codes import draw_codes, findings_of
from index_builder.datasets.phantom.render import render
from index_builder.datasets.phantom.spec import ChestSpec, PhantomFilm, finding_places, stream
from index_builder.datasets.published.openi import OpenI
from index_builder.errors import ImagingError

if TYPE_CHECKING:
    from index_builder.imaging import Film

PREFIX = "phantom-openi-"
#: Classes of which many codes leave no trace on a frontal phantom: kyphosis, fractures other than of ribs, fat.
SELDOM_DRAWN = ("Mediastinal or Hilar Enlargement", "Spinal Curvature", "Fracture or Deformity")
#: Devices of the bedside, with which a film is usually AP.
_BEDSIDE = frozenset({"endotracheal tube", "gastric tube", "chest tube", "central line", "oedema"})

_FEMALE = re.compile(r"\b(female|woman|lady|girl|she|her)\b", re.IGNORECASE)
_MALE = re.compile(r"\b(male|man|gentleman|boy|he|his)\b", re.IGNORECASE)


def stated_sex(text: str) -> str | None:
    """Sex ("F", "M") where a report's wording states it; None where it is silent or says both."""
    female, male = bool(_FEMALE.search(text)), bool(_MALE.search(text))
    return None if female == male else ("F" if female else "M")


class PhantomOpenI:
    """Films drawn from the MeSH codes of real Open-i reports, paired with those reports.

    Report, codes, labels and split are the source's, and so are age and sex where it tells them; film, build, view and
    the rest are drawn from the seed.
    A report says more than its codes, and some codes cannot be drawn (`mesh_codes.NOT_DRAWN`): `visible_labels`
    tells which labels of a case its film shows, `drawn_labels` which classes are shown nearly always.

    Citation and licence of the reports: see `index_builder.datasets.published.openi`.
    """

    card = DatasetCard(
        name="phantom-openi",
        title="Phantom films for Open-i reports",
        description="SYNTHETIC chest radiographs, each drawn by a program from the MeSH codes of one real Open-i "
        "report and paired with that report. The reports are real and de-identified; no film is a patient's. Age and "
        "sex are the source's where it tells them, else drawn.",
        citation=OpenI.card.citation,
        licence=f"Films: as this software. Reports: {OpenI.card.licence}",
        source=OpenI.card.source,
        label_definition=f"{OpenI.card.label_definition} Not every class can be seen on a drawn film; see "
        "docs/explanation/phantom.md.",
        synthetic=True,
    )
    label_names = OPENI_LABELS
    #: Classes of which at least 85 of 100 cases have the finding on the film (shares: docs/explanation/phantom.md).
    drawn_labels: tuple[str, ...] = tuple(label for label in OPENI_LABELS if label not in SELDOM_DRAWN)

    def __init__(self, seed: int = 0) -> None:
        """Find the packaged reports; nothing is read or drawn yet.

        Args:
            seed: Decides the order of the cases and everything that is drawn.

        Raises:
            DatasetError: The packaged reports are missing.
        """
        self.seed = seed
        self._source = OpenI()
        self._cases: tuple[Case, ...] | None = None
        self._by_id: dict[str, Case] = {}

    def cases(self) -> Sequence[Case]:
        """Every coded report that has findings or impression, in an order shuffled by the seed.

        The first N are therefore a mixture of all. Read once, then kept. Raises `DatasetError` as `OpenI.cases` does.
        """
        if self._cases is None:
            source = [
                case
                for case in self._source.cases()
                if {"findings", "impression"} & set(case.sections) and case.is_coded
            ]
            order = sorted(source, key=lambda case: _digest(self.seed, case.case_id))
            cases = tuple(self._case(case) for case in order)
            # Two threads may both get here; they build equal tuples, and the table is there before the cases are.
            self._by_id = {case.case_id: case for case in cases}
            self._cases = cases
        return self._cases

    def load_film(self, reference: str) -> Film:
        """Draw the film of a case. Thread-safe. Raises `ImagingError` for an unknown reference."""
        from index_builder.imaging import Film

        case = self._known(reference)
        drawn = self._render(case)
        return Film(pixels=drawn.pixels, view=case.view, source_format="phantom", notes=("drawn, not exposed",))

    def masks(self, reference: str) -> dict[str, NDArray[np.bool_]]:
        """Finding name -> [512, 512] bool of what was drawn. Raises `ImagingError` for an unknown reference."""
        return dict(self._render(self._known(reference)).masks)

    def finding_places(self, case: Case, shape: tuple[int, int]) -> Sequence[FindingPlace]:
        """Exact masks of what was drawn, by label."""
        names: dict[str, list[str]] = {}
        for drawn in draw_codes(case.codes):
            for label in openi_labels([drawn.code]):
                names.setdefault(label, []).extend(finding.name for finding in drawn.findings)
        return finding_places(self.masks(str(case.image)), names)

    def drawn(self, reference: str) -> PhantomFilm:
        """The film of a case with its anatomy and masks. Raises `ImagingError` for an unknown reference."""
        return self._render(self._known(reference))

    def spec(self, reference: str) -> ChestSpec:
        """What is drawn for a case. Raises `ImagingError` for an unknown reference."""
        case = self._known(reference)
        return ChestSpec(
            sex=str(case.profile["sex"]),
            age=float(case.profile["age"]),
            habitus=self._habitus(case),
            view=case.view or "PA",
            findings=findings_of(case.codes),
        )

    def visible_labels(self, case: Case) -> tuple[str, ...]:
        """The labels of a case that at least one drawn code stands for ("Normal" is seen as the absence of all)."""
        shown: set[str] = set()
        for drawn in draw_codes(case.codes):
            labels = openi_labels([drawn.code])
            if drawn.findings or labels == ("Normal",):
                shown.update(labels)
        return tuple(sorted(shown))

    def drawn_findings(self, case: Case) -> tuple[str, ...]:
        """Names of the findings that are drawn, keys of `spec.FINDINGS`."""
        return tuple(finding.name for finding in findings_of(case.codes))

    def _render(self, case: Case) -> PhantomFilm:
        return render(self.spec(case.case_id), _digest(self.seed, case.case_id))

    def _known(self, reference: str) -> Case:
        self.cases()
        if reference not in self._by_id:
            raise ImagingError(f"phantom-openi has no film {reference!r}. References look like {PREFIX}CXR1.")
        return self._by_id[reference]

    def _habitus(self, case: Case) -> float:
        rng = stream(_digest(self.seed, case.case_id), "habitus")
        return float(np.clip(rng.normal(0.1, 0.4), -1, 1))

    def _case(self, source: Case) -> Case:
        case_id = f"{PREFIX}{source.case_id}"
        rng = stream(_digest(self.seed, case_id), "patient")
        names = {finding.name for finding in findings_of(source.codes)}
        old = bool(names & {"osteophytes", "aortic calcification", "tortuous aorta", "emphysema", "cardiomegaly"})
        age = int(np.clip(rng.normal(66 if old else 46, 12 if old else 16), 18, 92))
        bedside = 0.7 if names & _BEDSIDE else 0.06
        drawn_sex = "F" if rng.random() < 0.52 else "M"
        profile: Mapping[str, ProfileValue] = {
            "age": source.profile.get("age", age),
            "sex": stated_sex(" ".join(source.sections.values())) or drawn_sex,
        }
        return Case(
            case_id=case_id,
            patient_id=source.patient_id,
            split=source.split,
            labels=source.labels,
            image=case_id,
            view="AP" if rng.random() < bedside else "PA",
            sections=source.sections,
            profile=profile,
            codes=source.codes,
            synthetic=True,
        )


def _digest(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:7], "big")
