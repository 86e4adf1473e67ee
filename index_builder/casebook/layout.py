"""The casebook artifact: a self-contained folder. The only module that knows its file names.

manifest.json            schema, dataset, system, spaces, counts, SHA-256 of every other file
cases.arrow              one row per case, memory-mapped; see index_builder/cases/table.py
case_keys.npy            key of each case, and the rows in the order of the keys
thumbnails.parquet       case_id, JPEG bytes of the primary film; see index_builder/casebook/thumbnails.py
embeddings/SPACE.npy     float16 [N, D], L2-normalised, row = row of cases.arrow, zeros where a modality is absent
index/SPACE.faiss, .keys.npy; index/milvus.db where Milvus Lite was asked for, nothing where a Milvus server was
films.parquet            one row per film; this and the next three only where a case has several; see casebook/films.py
film_thumbnails.parquet  case_id, JPEG bytes by film, null for primary films
embeddings/films.npy     float16 [F, D], each film by itself; a case's image vector is that of all its films
index/laterals.faiss, .keys.npy; of the lateral films, where there are any
index/lexical/words      full-text index of the reports, beside any vector store; see lexical/word_index.py
index/lexical/facts      what each report says; see lexical/stored_facts.py
projections.parquet      case_id, SPACE_MAP_x, SPACE_MAP_y (and z), SPACE_cluster
maps.json                how far each map can be trusted, words of each cluster
held_out.safetensors     answers of classifier and vote on validation cases; absent where there are too few
film_check.safetensors   what a query's film is compared with; absent where there are too few films
system/                  what embeds a query
metrics.json             what evaluation measured on these cases; may be measured again later
"""

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
