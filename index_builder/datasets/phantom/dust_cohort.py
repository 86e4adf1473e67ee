"""`phantom-dust`: invented dust-exposed workers with films, profiles and short reports, staged by profusion 0 to 3."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import Case, ProfileValue
from index_builder.cases.labels import DUST_STAGES
from index_builder.datasets.base import DatasetCard, FindingPlace
from index_builder.datasets.phantom.dust_reports import MOST_CASES, write_report
from index_builder.datasets.phantom.render import render
from index_builder.datasets.phantom.spec import ChestSpec, Finding, PhantomFilm, finding_places, stream
from index_builder.datasets.reading.splits import split_of
from index_builder.errors import DatasetError, ImagingError

if TYPE_CHECKING:
    from index_builder.imaging import Film

PREFIX = "phantom-dust-"
#: Shares of the stages among first films.
STAGE_SHARES = (0.34, 0.28, 0.22, 0.16)
#: Share of odd-numbered cases that are a later film of the patient before.
FOLLOW_UP_SHARE = 0.25

#: Trades and how often each is the trade of a patient of stage 0, 1, 2, 3.
OCCUPATIONS: dict[str, tuple[float, float, float, float]] = {
    "coal miner": (0.16, 0.22, 0.26, 0.28),
    "stone cutter": (0.10, 0.16, 0.20, 0.26),
    "sandblaster": (0.05, 0.09, 0.14, 0.20),
    "tunnel worker": (0.10, 0.14, 0.15, 0.13),
    "foundry worker": (0.14, 0.14, 0.10, 0.06),
    "ceramics worker": (0.14, 0.12, 0.08, 0.04),
    "welder": (0.15, 0.07, 0.04, 0.02),
    "cement worker": (0.16, 0.06, 0.03, 0.01),
}


@dataclass(frozen=True, slots=True)
class _Visit:
    """One film of one invented worker."""

    number: int
    patient: int
    stage: int
    spec: ChestSpec
    profile: dict[str, ProfileValue]


class PhantomDust:
    """Invented workers exposed to mineral dust: a drawn film, a profile and a generated report each.

    Stage s is drawn as small rounded opacities of profusion s (ILO 2022, categories 0 to 3, subcategories spread around
    each), upper zones first; two in five of stage 3 and a few of stage 2 carry a large opacity as well. The profile
    follows the stage loosely: years of dust exposure, trade and breathlessness tell something, but not all. Other
    findings (effusion, large heart, granuloma, emphysema and more) occur at every stage.
    """

    card = DatasetCard(
        name="phantom-dust",
        title="Phantom dust cohort (pneumoconiosis stages 0 to 3)",
        description="ENTIRELY SYNTHETIC: chest radiographs drawn by a program, invented patient profiles and generated "
        "reports of workers exposed to mineral dust. Nothing in it was measured on a person.",
        citation="International Labour Office. Guidelines for the use of the ILO International Classification of "
        "Radiographs of Pneumoconioses. Revised edition 2022 (the scale that the profusion follows).",
        licence="As this software",
        source="drawn on demand",
        label_definition="Stage = major category of small-opacity profusion that was drawn, 0 to 3.",
        synthetic=True,
        label_kind="stages",
    )
    label_names = DUST_STAGES

    def __init__(self, seed: int = 0, size: int = 2000) -> None:
        """Describe the cohort; nothing is drawn yet.

        Args:
            seed: Decides everything that is drawn and written.
            size: Number of cases; case i is the same whatever the size.

        Raises:
            DatasetError: size is out of range.
        """
        if not 1 <= size <= MOST_CASES:
            raise DatasetError(f"phantom-dust can have 1 to {MOST_CASES} cases, not {size}")
        self.seed = seed
        self.size = size

    def cases(self) -> Sequence[Case]:
        """All cases by number."""
        return self._cases

    @cached_property
    def _cases(self) -> tuple[Case, ...]:
        return tuple(self._case(number) for number in range(1, self.size + 1))

    def load_film(self, reference: str) -> Film:
        """Draw the film of a case. Thread-safe. Raises `ImagingError` for an unknown reference."""
        from index_builder.imaging import Film

        visit = self._visit(self._number(reference))
        drawn = self._render(visit)
        return Film(pixels=drawn.pixels, view=visit.spec.view, source_format="phantom", notes=("drawn, not exposed",))

    def masks(self, reference: str) -> dict[str, NDArray[np.bool_]]:
        """Finding name -> [512, 512] bool of what was drawn. Raises `ImagingError` for an unknown reference."""
        return dict(self._render(self._visit(self._number(reference))).masks)

    def finding_places(self, case: Case, shape: tuple[int, int]) -> Sequence[FindingPlace]:
        """Exact masks of the opacities that a stage above 0 stands for."""
        masks = self.masks(str(case.image))
        dust = [name for name in ("small opacities", "mass") if name in masks]
        return finding_places(masks, {label: dust for label in case.labels if label != self.label_names[0]})

    def spec(self, reference: str) -> ChestSpec:
        """What is drawn for a case. Raises `ImagingError` for an unknown reference."""
        return self._visit(self._number(reference)).spec

    def _number(self, reference: str) -> int:
        match = re.fullmatch(rf"{PREFIX}(\d{{5}})", reference)
        if match is None or not 1 <= int(match[1]) <= self.size:
            raise ImagingError(
                f"phantom-dust has no film {reference!r}. References run from {PREFIX}00001 to {PREFIX}{self.size:05d}."
            )
        return int(match[1])

    def _patient_seed(self, patient: int) -> int:
        return int(stream(self.seed, f"dust/patient/{patient}").integers(2**50))

    def _render(self, visit: _Visit) -> PhantomFilm:
        # Two films of one worker show one chest under two exposures.
        return render(visit.spec, self._patient_seed(visit.patient), exposure=visit.number)

    def _case(self, number: int) -> Case:
        visit = self._visit(number)
        patient = f"{PREFIX}patient-{visit.patient:05d}"
        case_id = f"{PREFIX}{number:05d}"
        return Case(
            case_id=case_id,
            patient_id=patient,
            split=split_of(patient, salt=self.card.name),
            labels=(DUST_STAGES[visit.stage],),
            image=case_id,
            view=visit.spec.view,
            sections=write_report(visit.spec, visit.stage, number, self.seed),
            profile=visit.profile,
            synthetic=True,
        )

    def _visit(self, number: int) -> _Visit:
        """Everything about case `number`; depends on the seed and the number alone."""
        follow_up = (
            number % 2 == 1 and number > 1 and stream(self.seed, f"dust/pair/{number}").random() < FOLLOW_UP_SHARE
        )
        if not follow_up:
            return self._first_visit(number)
        before = self._first_visit(number - 1)
        rng = stream(self.seed, f"dust/visit/{number}")
        years = int(rng.integers(1, 6))
        stage = min(3, before.stage + int(rng.random() < 0.25 * (before.stage > 0)))
        profile = dict(before.profile)
        profile["age"] = int(profile["age"]) + years
        profile["dust_years"] = int(profile["dust_years"]) + int(years * (rng.random() < 0.5))
        kept = tuple(f for f in before.spec.findings if f.name not in ("small opacities", "mass", "effusion"))
        spec = ChestSpec(
            sex=before.spec.sex,
            age=float(profile["age"]),
            habitus=before.spec.habitus,
            view=before.spec.view,
            findings=(*_dust(stage, rng), *kept),
        )
        return _Visit(number, before.patient, stage, spec, profile)

    def _first_visit(self, number: int) -> _Visit:
        rng = stream(self.seed, f"dust/visit/{number}")
        stage = int(rng.choice(4, p=STAGE_SHARES))
        profile = _profile(stage, rng)
        spec = ChestSpec(
            sex=str(profile["sex"]),
            age=float(profile["age"]),
            habitus=float(np.clip(rng.normal(0.0, 0.4), -1, 1)),
            view="PA" if rng.random() < 0.93 else "AP",
            findings=(*_dust(stage, rng), *_others(profile, rng)),
        )
        return _Visit(number, number, stage, spec, profile)


def _dust(stage: int, rng: np.random.Generator) -> tuple[Finding, ...]:
    """Small opacities around the middle of a stage's profusion, and large ones where the disease is advanced."""
    off = float(np.clip(rng.normal(0, 0.16), -0.36, 0.36))
    stray = rng.random() < 0.25
    large = rng.random()
    side = "right" if rng.random() < 0.6 else "left"
    extent = float(rng.uniform(0, 0.5))
    findings = []
    if stage:
        findings.append(
            Finding("small opacities", side="bilateral", severity=float(np.clip((stage + off) / 3, 0.18, 1.0)))
        )
    elif stray:  # subcategory 0/1: a few opacities, still stage 0
        findings.append(Finding("small opacities", side="bilateral", severity=0.08 + 0.05 * abs(off)))
    if large < (0, 0, 0.06, 0.40)[stage]:
        findings.append(Finding("mass", "upper", side, extent))
    return tuple(findings)


def _profile(stage: int, rng: np.random.Generator) -> dict[str, ProfileValue]:
    trades = list(OCCUPATIONS)
    weights = np.array([OCCUPATIONS[trade][stage] for trade in trades])
    years = int(np.clip(rng.normal((11, 16, 20, 24)[stage], 7), 1, 45))
    age = int(np.clip(24 + years + rng.gamma(3.0, 4.0), 24, 85))
    smoking = str(rng.choice(["never", "former", "current"], p=[0.35, 0.30, 0.35]))
    puff = 0.10 * (smoking != "never")
    return {
        "age": age,
        "sex": "F" if rng.random() < 0.12 else "M",
        "occupation": str(rng.choice(trades, p=weights / weights.sum())),
        "dust_years": years,
        "smoking": smoking,
        "alcohol": str(rng.choice(["none", "occasional", "regular"], p=[0.4, 0.4, 0.2])),
        "cough": bool(rng.random() < (0.22, 0.38, 0.52, 0.66)[stage] + puff),
        "dyspnoea": bool(rng.random() < (0.12, 0.27, 0.48, 0.70)[stage] + puff),
        "chest_pain": bool(rng.random() < (0.12, 0.16, 0.22, 0.28)[stage]),
    }


def _others(profile: dict[str, ProfileValue], rng: np.random.Generator) -> tuple[Finding, ...]:
    """Findings that have nothing to do with the stage."""
    age = float(profile["age"])
    chances = {
        "effusion": 0.06,
        "cardiomegaly": 0.05 + 0.002 * max(age - 45, 0),
        "granuloma": 0.10,
        "emphysema": 0.05 + 0.12 * (profile["smoking"] == "current"),
        "scar": 0.07,
        "pleural thickening": 0.07,
        "aortic calcification": 0.006 * max(age - 55, 0),
        "consolidation": 0.03,
        "osteophytes": 0.004 * max(age - 45, 0),
    }
    draws = rng.random((len(chances), 3))
    found = []
    for (name, chance), (luck, left, degree) in zip(chances.items(), draws.tolist(), strict=True):
        if luck < chance:
            site = {"granuloma": "", "scar": "apex", "consolidation": "lower"}.get(name, "")
            side = "" if name in ("cardiomegaly", "emphysema", "aortic calcification", "osteophytes") else None
            found.append(
                Finding(name, site, ("left" if left < 0.5 else "right") if side is None else side, 0.2 + 0.6 * degree)
            )
    return tuple(found)
