"""Label sets and how each is derived. One definition serves training, retrieval relevance and display."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: ChestX-ray14 findings in the published spelling (Wang et al., CVPR 2017); "No Finding" is the empty set.
NIH_LABELS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)

#: Pneumoconiosis stages, after the ILO classification's major categories of small-opacity profusion.
DUST_STAGES: tuple[str, ...] = ("Stage 0", "Stage 1", "Stage 2", "Stage 3")

#: The 22 Open-i classes and the MeSH codes that mean them, in display order.
#:
#: A rule is a heading ("Nodule") or a heading with one qualifier ("Lung/hypoinflation"; the qualifier may
#: stand anywhere behind the heading). Case does not matter. A code may mean several classes:
#: "Opacity/lung/round" is an opacity and nodular. Near-synonyms that cannot be told apart on the film share
#: a class. No published list of 22 classes is known to us, so these were chosen by clinical sense and
#: frequency: each has at least 40 reports. docs/reference/openi-labels.md has the counts and what is left out.
OPENI_MESH_CLASSES: dict[str, tuple[str, ...]] = {
    "Normal": ("normal",),
    "Opacity": ("Opacity", "Density"),
    "Airspace Disease": ("Airspace Disease", "Infiltrate", "Consolidation", "Pneumonia"),
    "Atelectasis": ("Pulmonary Atelectasis", "Volume Loss"),
    "Nodule or Mass": ("Nodule", "Mass", "Opacity/round", "Density/round"),
    "Granuloma or Calcification": (
        "Calcified Granuloma",
        "Granuloma",
        "Granulomatous Disease",
        "Calcinosis/lung",
        "Calcinosis/lymph nodes",
        "Calcinosis/hilum",
        "Calcinosis/mediastinum",
        "Calcinosis/paratracheal",
        "Calcinosis/pleura",
        "Calcinosis/abdomen",
    ),
    "Interstitial Markings": (
        "Markings",
        "Lung/interstitial",
        "Opacity/interstitial",
        "Lung Diseases, Interstitial",
        "Pulmonary Fibrosis",
        "Bronchiectasis",
        "Cystic Fibrosis",
        "Thickening/bronchi",
        "Thickening/bronchovascular",
        "Thickening/interstitial",
    ),
    "Scarring": ("Cicatrix", "Fibrosis", "Thickening/pleura", "Thickening/apex"),
    "Hyperinflation or Emphysema": (
        "Lung/hyperdistention",
        "Diaphragm/flattened",
        "Emphysema",
        "Pulmonary Emphysema",
        "Bullous Emphysema",
        "Blister",
        "Lung, Hyperlucent",
        "Pulmonary Disease, Chronic Obstructive",
    ),
    "Hypoinflation": ("Lung/hypoinflation",),
    "Pleural Effusion": (
        "Pleural Effusion",
        "Costophrenic Angle/blunted",
        "Pleura/blunted",
        "Hydropneumothorax",
        "Hemothorax",
        "Hemopneumothorax",
    ),
    "Pulmonary Edema or Congestion": ("Pulmonary Congestion", "Pulmonary Edema", "Heart Failure"),
    "Cardiomegaly": (
        "Cardiomegaly",
        "Cardiac Shadow/enlarged",
        "Cardiac Shadow/prominent",
        "Cardiac Shadow/borderline",
        "Heart/prominent",
        "Heart Atria/enlarged",
        "Heart Atria/prominent",
        "Heart Ventricles/enlarged",
        "Pericardial Effusion",
    ),
    "Aortic Disease": (
        "Aorta/tortuous",
        "Aorta/enlarged",
        "Aorta/prominent",
        "Aorta, Thoracic/tortuous",
        "Aorta, Thoracic/enlarged",
        "Aorta, Thoracic/prominent",
        "Aortic Aneurysm",
        "Atherosclerosis",
        "Calcinosis/aorta",
        "Calcinosis/aorta, thoracic",
        "Calcinosis/blood vessels",
    ),
    "Mediastinal or Hilar Enlargement": (
        "Mediastinum/prominent",
        "Mediastinum/enlarged",
        "Lung/hilum",
        "Lung/lymph nodes",
        "Lymph Nodes",
        "Pulmonary Artery",
        "Hypertension, Pulmonary",
        "Sarcoidosis",
        "Epicardial Fat",
    ),
    "Elevated Diaphragm": ("Diaphragm/elevated", "Diaphragmatic Eventration"),
    "Hiatal Hernia": ("Hernia, Hiatal",),
    "Degenerative Bone Disease": (
        "Thoracic Vertebrae/degenerative",
        "Lumbar Vertebrae/degenerative",
        "Cervical Vertebrae/degenerative",
        "Spine/degenerative",
        "Shoulder/degenerative",
        "Ribs/degenerative",
        "Bone and Bones/degenerative",
        "Osteophyte",
        "Spondylosis",
        "Hyperostosis, Diffuse Idiopathic Skeletal",
        "Arthritis",
        "Bone Diseases, Metabolic",
        "Osteoporosis",
        "Sclerosis",
    ),
    "Spinal Curvature": ("Scoliosis", "Kyphosis"),
    "Fracture or Deformity": (
        "Fractures, Bone",
        "Dislocations",
        "Deformity/ribs",
        "Deformity/thoracic vertebrae",
        "Deformity/lumbar vertebrae",
        "Deformity/spine",
        "Deformity/clavicle",
        "Deformity/humerus",
        "Deformity/shoulder",
        "Deformity/sternum",
        "Deformity/thorax",
        "Funnel Chest",
        "Pectus Carinatum",
    ),
    "Support Device": (
        "Catheters, Indwelling",
        "Tube, Inserted",
        "Implanted Medical Device",
        "Medical Device",
        "Stents",
    ),
    "Surgical Change or Foreign Body": (
        "Surgical Instruments",
        "Sutures",
        "Spinal Fusion",
        "Foreign Bodies",
        "Mastectomy",
        "Pneumonectomy",
        "Breast Implants",
    ),
}

#: All Open-i classes in display order.
OPENI_LABELS: tuple[str, ...] = tuple(OPENI_MESH_CLASSES)

_SEVERITIES = ("borderline", "mild", "moderate", "severe")

#: Qualifiers that name a place in the body; the others say side, degree, shape or state.
_SITE_NAMES = (
    "abdomen; adipose tissue; aorta; aorta, thoracic; aortic valve; apex; azygos lobe; base; "
    "blood vessels; breast; bronchi; bronchovascular; cardiophrenic angle; cervical vertebrae; clavicle; "
    "coronary vessels; costophrenic angle; diaphragm; esophagus; heart; heart atria; heart ventricles; "
    "hilum; humerus; interstitial; lingula; lower lobe; lumbar vertebrae; lung; lymph nodes; mediastinum; "
    "middle lobe; mitral valve; neck; paratracheal; pleura; pleural sinus; pulmonary alveoli; "
    "pulmonary artery; retrocardiac; ribs; shoulder; spine; sternum; sulcus; supracardiac; "
    "thoracic vertebrae; thorax; trachea; trachea, carina; upper lobe"
)
_SITES = frozenset(_SITE_NAMES.split("; "))


@dataclass(frozen=True, slots=True)
class MeshCode:
    """One coded finding, e.g. "Opacity/lung/lower lobe/left/mild".

    Attributes:
        heading: What is seen ("Opacity"), as published, white space tidied.
        qualifiers: Site, side, severity, shape and state, in published order.
    """

    heading: str
    qualifiers: tuple[str, ...] = ()

    @property
    def side(self) -> Literal["left", "right", "bilateral"] | None:
        """Laterality; a code that names both sides is bilateral, one that names none has no side."""
        sides = {"left", "right", "bilateral"}.intersection(self._folded)
        if "bilateral" in sides or {"left", "right"} <= sides:
            return "bilateral"
        return "left" if "left" in sides else "right" if "right" in sides else None

    @property
    def severity(self) -> str | None:
        """The highest of "borderline", "mild", "moderate" and "severe" that the code names, or None."""
        return next((degree for degree in reversed(_SEVERITIES) if degree in self._folded), None)

    @property
    def sites(self) -> tuple[str, ...]:
        """Places in the body, lower case, in published order, e.g. ("lung", "lower lobe")."""
        return tuple(qualifier for qualifier in self._folded if qualifier in _SITES)

    @property
    def _folded(self) -> tuple[str, ...]:
        return tuple(qualifier.lower() for qualifier in self.qualifiers)


def parse_mesh(code: str) -> MeshCode:
    """Split a published code at its slashes.

    Raises:
        ValueError: The code has no heading.
    """
    heading, *qualifiers = (" ".join(part.split()) for part in code.split("/"))
    if not heading:
        raise ValueError(f"MeSH code {code!r} has no heading before its first slash.")
    return MeshCode(heading, tuple(qualifier for qualifier in qualifiers if qualifier))


def openi_labels(mesh_major: Iterable[str]) -> tuple[str, ...]:
    """Classes that a report's MeSH major terms mean, sorted; empty when no term is in the table.

    Only the major terms, assigned by human coders, decide: the automatic terms of Open-i come from a text
    extractor and carry neither side nor degree.
    """
    classes: set[str] = set()
    for code in mesh_major:
        mesh = parse_mesh(code)
        heading = mesh.heading.lower()
        classes.update(_CLASSES_BY_RULE.get(heading, ()))
        for qualifier in mesh.qualifiers:
            classes.update(_CLASSES_BY_RULE.get(f"{heading}/{qualifier.lower()}", ()))
    return tuple(sorted(classes))


def _classes_by_rule() -> dict[str, tuple[str, ...]]:
    inverse: dict[str, tuple[str, ...]] = {}
    for name, rules in OPENI_MESH_CLASSES.items():
        for rule in rules:
            inverse[rule.lower()] = (*inverse.get(rule.lower(), ()), name)
    return inverse


_CLASSES_BY_RULE = _classes_by_rule()
