"""Dataset readers, one file per source, and the one place that opens them by name."""

from __future__ import annotations

from pathlib import Path

from index_builder.datasets.base import Dataset
from index_builder.errors import DatasetError

DATASETS = ("openi", "nih", "covid", "manifest", "phantom-openi", "phantom-dust")


def open_dataset(kind: str, root: Path | None = None, seed: int = 0) -> Dataset:
    """Open a dataset by name.

    Args:
        kind: One of `DATASETS`.
        root: The user's folder; needed by nih, covid and manifest, optional for openi, refused by phantoms.
        seed: What phantoms are drawn from; ignored by real data.

    Raises:
        DatasetError: Unknown name, root missing or not wanted, or the reader's own complaint.
    """
    if kind not in DATASETS:
        raise DatasetError(f"unknown dataset {kind!r}. Known: {', '.join(DATASETS)}.")
    if kind.startswith("phantom"):
        if root is not None:
            raise DatasetError(f"{kind} is drawn, not read: leave out --root {root}.")
        from index_builder.datasets.phantom import PhantomDust, PhantomOpenI

        return PhantomOpenI(seed=seed) if kind == "phantom-openi" else PhantomDust(seed=seed)
    if kind == "openi":
        from index_builder.datasets.openi import OpenI

        return OpenI(root=root)
    if root is None:
        raise DatasetError(f"{kind} needs the folder of its data: add --root DIR.")
    if kind == "nih":
        from index_builder.datasets.nih import NIH

        return NIH(root)
    if kind == "covid":
        from index_builder.datasets.covid import Covid

        return Covid(root)
    from index_builder.datasets.manifest import Manifest

    return Manifest(root)
