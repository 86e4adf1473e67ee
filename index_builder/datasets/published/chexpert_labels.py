"""The findings of the CheXpert labeler, one column for each, as CheXpert and MIMIC-CXR-JPG publish them."""

from __future__ import annotations

from index_builder.datasets.reading.cases import TablePass
from index_builder.datasets.reading.label_cells import State, parse_mark
from index_builder.datasets.reading.rows import Row

NO_FINDING = "No Finding"
SUPPORT_DEVICES = "Support Devices"

#: In the order of CheXpert's table, without "No Finding", which is none.
CHEXPERT_LABELS: tuple[str, ...] = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    SUPPORT_DEVICES,
)

LABEL_DEFINITION = (
    "13 findings. 1 is present and 0 absent; -1 (the report is uncertain) and an empty cell (the report does not "
    "mention it) are unknown, save that No Finding says that all but Support Devices are absent."
)


def read_states(row: Row, run: TablePass) -> dict[str, State]:
    """What is known of each finding; a cell at fault is noted as an error and gives unknown."""
    marks = {label: run.parsed(parse_mark, row, label, "label") for label in (NO_FINDING, *CHEXPERT_LABELS)}
    # The labeler sets No Finding only where no other finding but Support Devices is present or uncertain.
    nothing = marks.pop(NO_FINDING) == "present"
    states: dict[str, State] = {}
    for label, mark in marks.items():
        if mark == "present" or mark == "absent":
            states[label] = mark
        else:
            states[label] = "absent" if nothing and label != SUPPORT_DEVICES else "unknown"
    return states
