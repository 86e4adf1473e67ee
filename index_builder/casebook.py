"""The casebook artifact: a self-contained folder. The only module that knows its file names.

manifest.json            schema, dataset, system, spaces, counts, SHA-256 of every other file
cases.parquet            one row per case
thumbnails.parquet       case_id, JPEG bytes
embeddings/SPACE.npy     float16 [N, D], L2-normalised, row = row of cases.parquet, zeros where a modality is absent
index/SPACE.faiss, .keys.npy
projections.parquet      case_id, SPACE_umap_x, SPACE_umap_y
held_out.safetensors     answers of classifier and vote on validation cases; absent where there are too few
film_check.safetensors   what a query's film is compared with; absent where there are too few films
system/                  what embeds a query
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from index_builder.datasets.base import SECTION_ORDER, Case
from index_builder.errors import CasebookError

SCHEMA_VERSION = 2

Space = Literal["image", "text", "joint"]
SPACES: tuple[Space, ...] = ("image", "text", "joint")

SECTION_PREFIX = "section."
PROFILE_PREFIX = "profile."


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRecord(_Record):
    """Where the cases came from, and how to open the source again for full-size films."""

    kind: str
    root: str | None
    seed: int
    limit: int | None
    title: str
    description: str
    citation: str
    licence: str
    source: str
    label_definition: str
    label_names: tuple[str, ...]
    synthetic: bool


class SystemRecord(_Record):
    """Which system embedded the cases, and what a search needs to know of it before it is loaded.

    Attributes:
        reads: What it takes for the text of a case.
        predicts_by: Whether it has a classifier, or the vote of neighbours alone tells findings.
        label_names: Labels it was trained on, in the order of its classifier's outputs.
        vote_neighbours: Cases that vote on a query's findings.
        vote_temperature: Of the softmax over similarity that weighs their votes.
        theta: A prediction more uncertain than this, 1 - max p, is not reliable; None: the system sets no threshold.
    """

    name: str
    preset: str
    digest: str
    embedding_dim: int
    image_encoder: str
    text_encoder: str
    reads: Literal["report", "profile"]
    predicts_by: Literal["classifier", "vote"]
    label_names: tuple[str, ...]
    vote_neighbours: int
    vote_temperature: float
    theta: float | None


class SpaceRecord(_Record):
    """One space's index.

    Attributes:
        count: Cases that have a vector here.
        index: Kind of FAISS index.
        nearest_similarity: 101 percentiles of each case's cosine to its own nearest other case; tells whether a
            query's best match is close as matches go here.
    """

    count: int
    index: Literal["flat", "hnsw", "ivfpq"]
    nearest_similarity: tuple[float, ...]


class Manifest(_Record):
    """manifest.json.

    Attributes:
        files: SHA-256 of every other file by its path.
        digest: SHA-256 of this record without this field, so that a changed manifest shows too.
    """

    schema_version: int
    name: str
    dataset: DatasetRecord
    system: SystemRecord
    spaces: dict[Space, SpaceRecord]
    cases: int
    films: int
    reports: int
    files: dict[str, str]
    digest: str = ""

    def own_digest(self) -> str:
        """What `digest` must be."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


class Layout:
    """Paths of a casebook's files below its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.json"
        self.cases = folder / "cases.parquet"
        self.thumbnails = folder / "thumbnails.parquet"
        self.projections = folder / "projections.parquet"
        self.held_out = folder / "held_out.safetensors"
        self.film_check = folder / "film_check.safetensors"
        self.system = folder / "system"

    def embeddings(self, space: Space) -> Path:
        """Vectors of a space, [N, D] float16."""
        return self.folder / "embeddings" / f"{space}.npy"

    def index(self, space: Space) -> Path:
        """FAISS index of a space."""
        return self.folder / "index" / f"{space}.faiss"

    def index_keys(self, space: Space) -> Path:
        """Case keys in index order, [n] int64."""
        return self.folder / "index" / f"{space}.keys.npy"

    def files(self) -> Iterator[Path]:
        """Every file present but the manifest, sorted."""
        return (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path != self.manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read and validate a casebook's manifest.

    Raises:
        CasebookError: Not a casebook, a damaged manifest, or one written by another version.
    """
    path = Layout(folder).manifest
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CasebookError(
            f"{folder}: not a casebook (no {path.name}). Build one: cxr-explorer build --out {folder}"
        ) from None
    except (OSError, ValueError) as error:
        raise CasebookError(f"{path}: unreadable ({error}). Rebuild the casebook.") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise CasebookError(
            f"{path}: schema version {version!r}, this program reads {SCHEMA_VERSION}. "
            "Rebuild the casebook, or use the program's version that wrote it."
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CasebookError(f"{path}: {place}: {first['msg']}. Rebuild the casebook.") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, signed with its own digest."""
    signed = manifest.model_copy(update={"digest": manifest.own_digest()})
    Layout(folder).manifest.write_text(signed.model_dump_json(indent=2) + "\n", "utf-8")


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by path relative to the casebook."""
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in Layout(folder).files()}


def file_digest(path: Path) -> str:
    """SHA-256 of one file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path) -> list[str]:
    """What is wrong with a casebook, one line per damaged file; empty when it is as it was built.

    Raises:
        CasebookError: There is no readable manifest to compare with.
    """
    manifest = read_manifest(folder)
    problems = [] if manifest.digest == manifest.own_digest() else ["manifest.json: changed since it was built"]
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif file_digest(path) != expected:
            problems.append(f"{name}: changed since it was built")
    known = set(manifest.files)
    for path in Layout(folder).files():
        name = path.relative_to(folder).as_posix()
        if name not in known:
            problems.append(f"{name}: not part of the casebook")
    return problems


def cases_table(cases: Sequence[Case]) -> pa.Table:
    """Cases as a table: fixed columns, then `section.NAME` and `profile.NAME` columns in a stable order."""
    columns: dict[str, pa.Array] = {
        "case_id": pa.array([case.case_id for case in cases], pa.string()),
        "patient_id": pa.array([case.patient_id for case in cases], pa.string()),
        "split": pa.array([case.split for case in cases], pa.string()),
        "view": pa.array([case.view for case in cases], pa.string()),
        "labels": pa.array([list(case.labels) for case in cases], pa.list_(pa.string())),
        "codes": pa.array([list(case.codes) for case in cases], pa.list_(pa.string())),
        "image": pa.array([case.image for case in cases], pa.string()),
        "other_images": pa.array([list(case.other_images) for case in cases], pa.list_(pa.string())),
        "synthetic": pa.array([case.synthetic for case in cases], pa.bool_()),
    }
    sections = {name for case in cases for name in case.sections}
    for name in [*(s for s in SECTION_ORDER if s in sections), *sorted(sections.difference(SECTION_ORDER))]:
        columns[SECTION_PREFIX + name] = pa.array([case.sections.get(name) for case in cases], pa.string())
    for name in sorted({name for case in cases for name in case.profile}):
        columns[PROFILE_PREFIX + name] = _profile_array([case.profile.get(name) for case in cases])
    return pa.table(columns)


def case_from_row(row: Mapping[str, Any]) -> Case:
    """The case a row of `cases_table` was made from."""

    def fields(prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value
            for name, value in row.items()
            if name.startswith(prefix) and value is not None
        }

    return Case(
        case_id=row["case_id"],
        patient_id=row["patient_id"],
        split=row["split"],
        labels=tuple(row["labels"]),
        image=row["image"],
        other_images=tuple(row["other_images"]),
        view=row["view"],
        sections=fields(SECTION_PREFIX),
        profile=fields(PROFILE_PREFIX),
        codes=tuple(row["codes"]),
        synthetic=row["synthetic"],
    )


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, compressed, the same bytes for the same table."""
    pq.write_table(table, path, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file of a casebook.

    Raises:
        CasebookError: The file is missing or damaged.
    """
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error


def read_embeddings(folder: Path, space: Space, rows: int) -> np.ndarray:
    """Vectors of a space, [rows, D] float16, memory-mapped.

    Raises:
        CasebookError: The file is missing, damaged, or of another length than the cases.
    """
    path = Layout(folder).embeddings(space)
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CasebookError(f"{path}: unreadable ({error}). Rebuild the casebook.") from error
    if vectors.ndim != 2 or len(vectors) != rows:
        raise CasebookError(f"{path}: shape {vectors.shape} for {rows} cases. Rebuild the casebook.")
    return vectors


def _profile_array(values: list[Any]) -> pa.Array:
    """Numbers as numbers where all present values are, booleans likewise, everything else as text."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return pa.array(values, pa.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        whole = all(isinstance(value, int) for value in present)
        return pa.array(values, pa.int64() if whole else pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
