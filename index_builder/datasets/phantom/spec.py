"""What a phantom film shows, in plain records: the patient, the view and the findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.datasets.base import FindingPlace
from index_builder.errors import DatasetError

Side = Literal["right", "left", "bilateral", ""]
View = Literal["PA", "AP"]

SIDES: tuple[str, ...] = ("right", "left", "bilateral", "")

#: Zones of a lung that a finding may be placed in; "" leaves the place to the seed.
SITES: tuple[str, ...] = (
    "",
    "apex",
    "upper",
    "middle",
    "lingula",
    "lower",
    "base",
    "hilum",
    "retrocardiac",
    "mediastinum",
    "peripheral",
    "diffuse",
    "scattered",
)

#: Every finding that can be drawn, with what its mask covers.
FINDINGS: dict[str, str] = {
    "cardiomegaly": "the heart",
    "pericardial effusion": "the heart",
    "effusion": "the pleural fluid with its meniscus",
    "pneumothorax": "the air between chest wall and visceral pleura",
    "nodule": "the nodule",
    "mass": "the mass",
    "granuloma": "the calcified granuloma",
    "consolidation": "the opacified lung",
    "opacity": "the opacified lung",
    "atelectasis": "the linear or platelike densities",
    "scar": "the streaks",
    "reticulation": "the lung with reticular markings",
    "small opacities": "the small rounded opacities",
    "emphysema": "both lungs",
    "hyperinflation": "both lungs",
    "hypoinflation": "the strip by which the domes stand higher",
    "oedema": "the perihilar haze",
    "congestion": "the perihilar haze and widened vessels",
    "prominent markings": "the part of the lung with the widest vessels",
    "elevated diaphragm": "the strip by which the dome stands higher",
    "tortuous aorta": "the arch and descending aorta",
    "aortic calcification": "the calcified arc",
    "hilar enlargement": "the enlarged hilum",
    "wide mediastinum": "the widened mediastinum",
    "node calcification": "the calcified lymph nodes",
    "rib fracture": "the fracture",
    "scoliosis": "the spine",
    "osteophytes": "the osteophytes",
    "hiatal hernia": "the hernia behind the heart",
    "pleural thickening": "the thickened pleura",
    "blunted angle": "the fluid or scar in the costophrenic angle",
    "central line": "the catheter",
    "endotracheal tube": "the tube",
    "gastric tube": "the tube",
    "chest tube": "the tube",
    "pacemaker": "the generator and leads",
    "sternal wires": "the wires",
    "clips": "the clips",
    "spinal hardware": "the rods and screws",
}


#: Findings that change the size, shape or texture of an organ; the others add a shadow, line or gap in a place.
DIFFUSE = frozenset(
    {
        "cardiomegaly",
        "pericardial effusion",
        "small opacities",
        "reticulation",
        "emphysema",
        "hyperinflation",
        "hypoinflation",
        "oedema",
        "congestion",
        "prominent markings",
        "hilar enlargement",
        "wide mediastinum",
        "elevated diaphragm",
        "tortuous aorta",
        "osteophytes",
        "scoliosis",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding to draw.

    Attributes:
        name: A key of `FINDINGS`.
        site: One of `SITES`.
        side: The patient's side; "" leaves it to the seed (or has no meaning, as for the heart).
        severity: 0 (barely visible) to 1 (as severe as it gets); for small opacities profusion / 3.
    """

    name: str
    site: str = ""
    side: str = ""
    severity: float = 0.5

    def __post_init__(self) -> None:
        """Raises `DatasetError` naming the value that cannot be drawn."""
        if self.name not in FINDINGS:
            raise DatasetError(f"Finding {self.name!r} cannot be drawn; choose one of {', '.join(FINDINGS)}")
        if self.site not in SITES:
            raise DatasetError(f"Site {self.site!r} is unknown; choose one of {', '.join(filter(None, SITES))}")
        if self.side not in SIDES:
            raise DatasetError(f"Side {self.side!r} is unknown; choose right, left, bilateral or ''")
        if not 0 <= self.severity <= 1:
            raise DatasetError(f"Severity {self.severity} of {self.name} is outside 0..1")


@dataclass(frozen=True, slots=True)
class ChestSpec:
    """The film to draw.

    Attributes:
        sex: "F" or "M".
        age: Years; older chests have more rib calcification, a longer aorta and a wider heart.
        habitus: -1 slender, 0 average, 1 heavy.
        view: "PA", or "AP" (bedside: wider heart, fewer breaths in, more scatter).
        findings: What to draw. Order does not matter to the anatomy.
    """

    sex: str = "M"
    age: float = 50
    habitus: float = 0.0
    view: str = "PA"
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Raises `DatasetError` naming the value that cannot be drawn."""
        if self.sex not in ("F", "M"):
            raise DatasetError(f"Sex {self.sex!r} of a phantom must be F or M")
        if self.view not in ("PA", "AP"):
            raise DatasetError(f"View {self.view!r} of a phantom must be PA or AP")
        if not 15 <= self.age <= 105:
            raise DatasetError(f"Age {self.age} of a phantom must be 15 to 105 years")
        if not -1 <= self.habitus <= 1:
            raise DatasetError(f"Habitus {self.habitus} of a phantom must be -1 to 1")

    def severity_of(self, *names: str) -> float:
        """Largest severity among the findings of these names, 0 when there is none."""
        return max((f.severity for f in self.findings if f.name in names), default=0.0)


@dataclass(frozen=True, slots=True)
class PhantomFilm:
    """A drawn film.

    Attributes:
        pixels: [S, S] float32, 0 (black) to 1 (white).
        masks: Finding name -> [S, S] bool, exactly what was drawn; two findings of one name share a mask.
        anatomy: "heart", "right lung", "left lung" -> [S, S] bool.
        ratio: Cardiothoracic ratio that was drawn.
    """

    pixels: NDArray[np.float32]
    masks: Mapping[str, NDArray[np.bool_]]
    anatomy: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    ratio: float = 0.0


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers for one part of one film, so that adding a finding leaves every other part as it was."""
    return np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32 & 0x7FFFFFFF, *name.encode()])


def finding_places(
    masks: Mapping[str, NDArray[np.bool_]], drawn: Mapping[str, Collection[str]]
) -> tuple[FindingPlace, ...]:
    """Where labels lie: what was drawn of each, by the names of its findings; labels that show nothing left out."""
    return tuple(
        FindingPlace(label, DIFFUSE.isdisjoint(names), np.any([masks[name] for name in names], axis=0))
        for label, names in drawn.items()
        if names
    )
