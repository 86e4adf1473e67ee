"""Dataset readers, one file per source, and the one place that opens them by name: ours, and those of plug-ins."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from index_builder.datasets.base import Dataset
from index_builder.errors import DatasetError
from index_builder.plugins import PlugIns

#: Readers of the user's folder: module below this package and class, by name. Each is imported when it is asked for.
_READERS = {
    "openi": ("published.openi", "OpenI"),
    "nih": ("published.nih", "NIH"),
    "covid": ("published.covid", "Covid"),
    "chexpert": ("published.chexpert", "CheXpert"),
    "mimic-cxr": ("published.mimic_cxr", "MimicCxr"),
    "padchest": ("published.padchest", "PadChest"),
    "vindr": ("published.vindr", "VinDr"),
    "rsna": ("published.rsna", "RSNA"),
    "radiography": ("published.radiography", "Radiography"),
    "hannover": ("published.hannover", "Hannover"),
    "jsrt": ("published.jsrt", "JSRT"),
    "folder": ("own.folder", "Folder"),
    "manifest": ("own.manifest", "Manifest"),
}
_PHANTOMS = {"phantom-openi": "PhantomOpenI", "phantom-dust": "PhantomDust"}

#: Our own.
DATASETS = (*_READERS, *_PHANTOMS)
#: Those of other packages: classes, or functions, that are given the user's folder and are a `Dataset` of it.
ADDED = PlugIns("cxr_explorer.datasets", "dataset", DATASETS, DatasetError)

#: Tables that a shipped column map reads, `maps/<name>.yaml`, where the folder has one of that name.
_MAPPED_TABLES = {"radiography": "metadata.csv"}


def dataset_names() -> tuple[str, ...]:
    """All there are: our own, then those that other packages add."""
    return (*DATASETS, *ADDED.names)


def is_drawn(kind: str) -> bool:
    """Whether a dataset is drawn from a seed, not read from a folder."""
    return kind in _PHANTOMS


def open_dataset(kind: str, root: Path | None = None, seed: int = 0) -> Dataset:
    """Open a dataset by name.

    Args:
        kind: One of `dataset_names()`.
        root: The user's folder; optional for openi, refused by phantoms, needed by all others.
        seed: What phantoms are drawn from; ignored by real data.

    Raises:
        DatasetError: Unknown name, one that several packages claim, root missing or not wanted, a plug-in that cannot
            be imported, or the reader's own complaint.
    """
    added = ADDED.load(kind)
    if added is None and kind not in DATASETS:
        raise DatasetError(f"unknown dataset {kind!r}. Known: {', '.join(dataset_names())}.")
    if is_drawn(kind):
        if root is not None:
            raise DatasetError(f"{kind} is drawn, not read: leave out --root {root}.")
        drawn: Dataset = getattr(import_module("index_builder.datasets.phantom"), _PHANTOMS[kind])(seed=seed)
        return drawn
    if root is None and kind != "openi":
        raise DatasetError(f"{kind} needs the folder of its data: add --root DIR.")
    if added is not None:
        return added(root)
    if root is not None and kind in _MAPPED_TABLES and (root / _MAPPED_TABLES[kind]).is_file():
        return _open_mapped(kind, root / _MAPPED_TABLES[kind])
    module, name = _READERS[kind]
    read: Dataset = getattr(import_module(f"index_builder.datasets.{module}"), name)(root)
    return read


def _open_mapped(kind: str, table: Path) -> Dataset:
    from index_builder.datasets.own.column_map import load_column_map
    from index_builder.datasets.own.manifest import Manifest

    return Manifest(table, load_column_map(Path(__file__).with_name("maps") / f"{kind}.yaml"))
