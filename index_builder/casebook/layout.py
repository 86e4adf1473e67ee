"""The names of a casebook's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from index_builder.cases.space import Space

#: What an index can be of: the cases of a space, or the lateral films.
IndexName = Literal["image", "text", "joint", "laterals"]


class Layout:
    """Paths of a casebook's files below its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.json"
        self.cases = folder / "cases.arrow"
        self.case_keys = folder / "case_keys.npy"
        self.thumbnails = folder / "thumbnails.parquet"
        self.films = folder / "films.parquet"
        self.film_thumbnails = folder / "film_thumbnails.parquet"
        self.film_embeddings = folder / "embeddings" / "films.npy"
        self.projections = folder / "projections.parquet"
        self.maps = folder / "maps.json"
        self.held_out = folder / "held_out.safetensors"
        self.film_check = folder / "film_check.safetensors"
        self.system = folder / "system"
        self.metrics = folder / "metrics.json"

    def embeddings(self, space: Space) -> Path:
        """Vectors of a space, [N, D] float16."""
        return self.folder / "embeddings" / f"{space}.npy"

    @property
    def indexes(self) -> Path:
        """Folder of whatever finds the nearest vectors."""
        return self.folder / "index"

    def index(self, name: IndexName) -> Path:
        """FAISS index of a space, or of the lateral films."""
        return self.indexes / f"{name}.faiss"

    def index_keys(self, name: IndexName) -> Path:
        """Keys of its cases, or films, in index order, [n] int64."""
        return self.indexes / f"{name}.keys.npy"

    @property
    def words(self) -> Path:
        """Folder of the full-text index of reports."""
        return self.indexes / "lexical" / "words"

    @property
    def facts(self) -> Path:
        """Folder of what the reports say."""
        return self.indexes / "lexical" / "facts"

    def files(self) -> Iterator[Path]:
        """Every file present but the manifest, sorted."""
        return (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path != self.manifest)
