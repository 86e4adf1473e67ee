"""Labels of one dataset that also mean a label of another.

Used in training alone, to tie datasets together; each is shown and scored with its own labels.
"""

from __future__ import annotations

from index_builder.cases.case import Case
from index_builder.datasets.base import Dataset, DrawsFindings

#: Labels of real films that are also an Open-i class: ties those films to reports.
OPENI_MEANING: dict[str, str] = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Airspace Disease",
    "Edema": "Pulmonary Edema or Congestion",
    "Effusion": "Pleural Effusion",
    "Emphysema": "Hyperinflation or Emphysema",
    "Fibrosis": "Scarring",
    "Hernia": "Hiatal Hernia",
    "Infiltration": "Airspace Disease",
    "Mass": "Nodule or Mass",
    "Nodule": "Nodule or Mass",
    "Pneumonia": "Airspace Disease",
}

#: Findings of drawn films that are also a ChestX-ray14 label: those films show what real training films seldom do.
NIH_MEANING: dict[str, str] = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "congestion": "Edema",
    "consolidation": "Consolidation",
    "effusion": "Effusion",
    "emphysema": "Emphysema",
    "hiatal hernia": "Hernia",
    "mass": "Mass",
    "nodule": "Nodule",
    "oedema": "Edema",
    "opacity": "Infiltration",
    "pleural thickening": "Pleural_Thickening",
    "pneumothorax": "Pneumothorax",
    "reticulation": "Fibrosis",
    "scar": "Fibrosis",
}


def meaning(dataset: Dataset, case: Case) -> set[str]:
    """Labels of a case and whatever they, or the findings drawn on its film, also mean."""
    means = {*case.labels, *(OPENI_MEANING[label] for label in case.labels if label in OPENI_MEANING)}
    if isinstance(dataset, DrawsFindings):
        means |= {NIH_MEANING[name] for name in dataset.drawn_findings(case) if name in NIH_MEANING}
    return means


def undecided(case: Case) -> set[str]:
    """Labels unknown of a case, and those they also mean, but for what another of its labels means."""
    unknown = {*case.unknown, *(OPENI_MEANING[label] for label in case.unknown if label in OPENI_MEANING)}
    return unknown - {*case.labels, *(OPENI_MEANING[label] for label in case.labels if label in OPENI_MEANING)}


def decided(dataset: Dataset) -> set[str]:
    """Labels whose presence and absence a dataset's cases decide."""
    labels = {*dataset.label_names, *(OPENI_MEANING[name] for name in dataset.label_names if name in OPENI_MEANING)}
    return labels | set(NIH_MEANING.values()) if isinstance(dataset, DrawsFindings) else labels
