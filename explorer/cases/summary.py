"""What a casebook holds, in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from index_builder.casebook.layout import Layout
from index_builder.systems.graphs.record import read_record

if TYPE_CHECKING:
    from explorer.casebook import Casebook


def encoded_by(folder: Path) -> str:
    """What runs the encoders of a casebook's queries, and what PyTorch runs of them and why."""
    record = read_record(Layout(folder).system)
    if record is None:
        return "PyTorch: built before graphs were kept. Rebuild it to search without PyTorch"
    reasons = "".join(f"; {part} by PyTorch: {reason}" for part, reason in record.in_torch.items())
    return f"ONNX Runtime{reasons}"


def summary(casebook: Casebook) -> dict[str, Any]:
    """What a casebook holds, ready for JSON; where labels are unknown, of how many cases each is."""
    manifest, names = casebook.manifest, casebook.label_names
    unknown = dict(zip(names, (~casebook.known_matrix).sum(0).tolist(), strict=True))
    return {
        "name": manifest.name,
        "dataset": manifest.dataset.title,
        "synthetic": manifest.dataset.synthetic,
        "cases": manifest.cases,
        "films": manifest.films,
        "reports": manifest.reports,
        "splits": casebook.counts("split"),
        "labels": dict(zip(names, casebook.label_matrix.sum(0).tolist(), strict=True)),
        **({"unknown_labels": unknown} if any(unknown.values()) else {}),
        "fields": dict.fromkeys(casebook.profile_fields, "profile"),
        "spaces": {space: f"{one.count} vectors, {one.index}" for space, one in manifest.spaces.items()},
        "system": manifest.system.model_dump(),
        "encoded_by": encoded_by(casebook.folder),
        "licence": manifest.dataset.licence,
        "subset_of": manifest.subset_of,
    }
