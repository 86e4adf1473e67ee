"""Cases chosen on a map: what they have more often than the others, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.charts.tables import csv_bytes
from index_builder.casebook.manifest import MapName
from index_builder.cases.space import Space

#: False discovery rate up to which a difference is called one.
DISCOVERY_RATE = 0.05


@dataclass(frozen=True, slots=True)
class LabelExcess:
    """The frequency of a label among the chosen cases and among the others.

    Attributes:
        label: The label.
        chosen: Chosen cases that carry it.
        chosen_share: Their share of the chosen cases of which the label is known.
        others_share: Its share among the other cases of which it is known.
        odds_ratio: Odds of carrying it, chosen to others; half is added to every count where one is 0 (Haldane 1956).
        interval: 95 %, by the logarithm's standard error (Woolf 1955).
        p: Fisher's exact test, two-sided.
        q: `p` corrected for the number of labels (Benjamini and Hochberg 1995): what the false discovery rate would be
            if this and all smaller ones were called differences.
    """

    label: str
    chosen: int
    chosen_share: float
    others_share: float
    odds_ratio: float
    interval: tuple[float, float]
    p: float
    q: float

    @property
    def notable(self) -> bool:
        """Whether it is a difference at `DISCOVERY_RATE`."""
        return self.q <= DISCOVERY_RATE


def label_excess(
    labels: NDArray[np.bool_],
    names: Sequence[str],
    chosen: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
) -> list[LabelExcess]:
    """Compare chosen cases with the others, label by label.

    A map puts like cases together, so some excess is to be expected of any patch of it: the test tells how unlikely
    one is among cases drawn at random, not that the patch was worth choosing.

    Args:
        labels: [n, C] bool, of the cases on the map.
        names: C labels.
        chosen: [n] bool.
        known: [n, C] bool, of which case which label is known: the others do not count for it. None: all are.

    Returns:
        Labels that any of the cases carries and that are known on either side, the least q first; none where all or no
        cases are chosen.
    """
    from scipy.stats import false_discovery_control, fisher_exact

    if not chosen.any() or chosen.all():
        return []
    known = np.ones_like(labels) if known is None else known
    counts = np.array([[labels[side].sum(0), (known & ~labels)[side].sum(0)] for side in (chosen, ~chosen)], np.int64)
    carried = np.flatnonzero(labels.any(0) & counts.any(axis=1).all(axis=0)).tolist()
    if not carried:
        return []
    p = np.array([fisher_exact(counts[:, :, column]).pvalue for column in carried])
    q = false_discovery_control(p)
    found = []
    for column, own_p, own_q in zip(carried, p, q, strict=True):
        table = counts[:, :, column]
        cells = table + 0.5 if (table == 0).any() else table.astype(float)
        log_odds = float(np.log(cells[0, 0] * cells[1, 1] / (cells[0, 1] * cells[1, 0])))
        spread = 1.959964 * float(np.sqrt((1 / cells).sum()))
        found.append(
            LabelExcess(
                label=names[column],
                chosen=int(table[0, 0]),
                chosen_share=float(table[0, 0] / table[0].sum()),
                others_share=float(table[1, 0] / table[1].sum()),
                odds_ratio=float(np.exp(log_odds)),
                interval=(float(np.exp(log_odds - spread)), float(np.exp(log_odds + spread))),
                p=float(own_p),
                q=float(own_q),
            )
        )
    return sorted(found, key=lambda one: (one.q, -one.odds_ratio, one.label))


def selection_csv(casebook: Casebook, rows: NDArray[np.int64], space: Space, name: MapName) -> bytes:
    """Chosen cases as CSV: what is known of each, its cluster and its place on the map. No patient identifier."""
    fields = casebook.profile_fields
    positions, clusters = casebook.projection(space, name), casebook.clusters(space)
    axes = "xyz"[: positions.shape[1]]
    known = ("case_id", "labels", "unknown_labels", "split", "view", "synthetic", "cluster")
    columns = (*known, *axes, *fields, "report", "casebook")

    def cells(row: int) -> list[str]:
        case = casebook.case(casebook.case_ids[row])
        return [
            case.case_id,
            "; ".join(case.labels),
            "; ".join(case.unknown),
            case.split,
            case.view or "",
            "yes" if case.synthetic else "no",
            str(clusters[row] + 1) if clusters[row] >= 0 else "",
            *(f"{value:.4f}" for value in positions[row]),
            *(str(case.profile.get(field, "")) for field in fields),
            case.report,
            casebook.name,
        ]

    return csv_bytes(columns, (cells(row) for row in rows.tolist()))


def selection_zip(casebook: Casebook, rows: NDArray[np.int64], name: str) -> bytes:
    """Chosen cases as a casebook of their own, in a ZIP file with one folder.

    Raises:
        CasebookError: The casebook is damaged.
    """
    from io import BytesIO
    from zipfile import ZipFile

    from index_builder.build.subset import write_subset

    with TemporaryDirectory() as folder:
        out = Path(folder) / name
        write_subset(casebook.folder, [casebook.case_ids[row] for row in rows], out, lambda stage, done, total: None)
        buffer = BytesIO()
        with ZipFile(buffer, "w") as archive:
            for path in sorted(path for path in out.rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()
