"""The records of a casebook, its manifest, maps and metrics, and how they are read and written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from index_builder.casebook.layout import Layout
from index_builder.cases.labels import LabelKind
from index_builder.cases.space import Space
from index_builder.errors import CasebookError
from index_builder.writing import write_whole

SCHEMA_VERSION = 7
#: Versions that are read. In 4 no label of a case could be unknown, up to 5 reports were not indexed by words and
#: facts, and up to 6 a case's primary film alone was embedded; all else is the same.
_READ_VERSIONS = (4, 5, 6, SCHEMA_VERSION)


#: Layouts of a space; `pca` only where there are too few cases for the others.
MapName = Literal["umap", "tsne", "umap3d", "pca"]
MAP_AXES: dict[MapName, str] = {"umap": "xy", "tsne": "xy", "umap3d": "xyz", "pca": "xy"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRecord(_Record):
    """Where the cases came from, and how to open the source again for full-size films.

    Attributes:
        label_kind: What the labels are; None: written before datasets said so, see `held_out.are_stages`.
    """

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
    label_kind: LabelKind | None = None


class SystemRecord(_Record):
    """Which system embedded the cases, and what a search needs to know of it before it is loaded.

    Attributes:
        reads: What it takes for the text of a case.
        predicts_by: Whether it has a classifier, or the vote of neighbours alone tells findings.
        label_names: Labels it was trained on, in the order of its classifier's outputs.
        vote_neighbours: Cases that vote on a query's findings.
        vote_temperature: Temperature of the softmax over similarity that weighs their votes.
        vote_temperatures: The same for queries of each modality, where the system tells them apart.
        theta: A prediction more uncertain than this, 1 - max p, is not reliable; None: the system sets no threshold.
        licence: Licence of a published encoder; empty for systems trained here.
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
    vote_temperatures: dict[Space, float] = {}
    theta: float | None
    licence: str = ""

    def temperature_of(self, space: Space) -> float:
        """Temperature of the vote of a space's cases on queries of the same modality."""
        return self.vote_temperatures.get(space, self.vote_temperature)


class SpaceRecord(_Record):
    """One space's index, or that of the lateral films.

    Attributes:
        count: Cases that have a vector here; of the lateral films, these.
        index: Kind of FAISS index, or Milvus.
        collection: Name of the Milvus collection.
        nearest_similarity: 101 percentiles of each case's cosine to its own nearest other case (each lateral's to the
            nearest of another case); tells whether a query's best match is close as matches go here.
    """

    count: int
    index: Literal["flat", "hnsw", "ivfpq", "milvus"]
    nearest_similarity: tuple[float, ...]
    collection: str | None = None


class FilmsRecord(_Record):
    """The films by themselves, in a casebook in which a case has several.

    Attributes:
        count: Number of all films.
        nearest_similarity: As in `SpaceRecord`, of each case's primary film by itself to the nearest other case: what a
            query of one film is to be compared with.
        laterals: Index of the lateral films; None: no film is known to be one.
    """

    count: int
    nearest_similarity: tuple[float, ...]
    laterals: SpaceRecord | None


class LexicalRecord(_Record):
    """The index of reports by words and facts: how many of each it has."""

    reports: int
    facts: int


class MapRecord(_Record):
    """Figures of trust in one map; see `maps.quality.MapQuality` for the figures."""

    cases: int
    trustworthiness: float | None
    continuity: float | None
    purity: float | None
    purity_full: float | None
    purity_chance: float | None
    placement_distance: float | None
    placement_rank: float | None


class ClusterRecord(_Record):
    """One cluster of a space's cases, and what its cases say more often than the others."""

    cases: int
    words: tuple[str, ...]


class SpaceMaps(_Record):
    """Maps and clusters of one space; clusters by their number, the largest first."""

    maps: dict[MapName, MapRecord]
    clusters: tuple[ClusterRecord, ...]


class MapsRecord(_Record):
    """maps.json."""

    spaces: dict[Space, SpaceMaps]


class UnreadableFilm(_Record):
    """A film that could not be read, in a casebook built without such films.

    Attributes:
        case_id: Its case.
        film: Its path below the dataset's folder.
        reason: What is wrong with it, and the remedy.
        kept: Whether the case is here by its other films or its report; else it was left out.
    """

    case_id: str
    film: str
    reason: str
    kept: bool


class Manifest(_Record):
    """manifest.json.

    Attributes:
        films: All films of all cases; up to schema 6 the primary ones.
        unreadable: Films that could not be read, and that the casebook was built without.
        subset_of: Name and digest of the casebook that these cases were chosen from; None: built from the dataset.
        lexical: The index of reports; None: no case has one, or the casebook is older than that index.
        each_film: The films by themselves; None: no case has several, or only their primary films were embedded.
        store: What finds the nearest vectors: "faiss", or "milvus:" with a file of the casebook or a server's address.
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
    subset_of: str | None = None
    store: str = "faiss"
    lexical: LexicalRecord | None = None
    each_film: FilmsRecord | None = None
    unreadable: tuple[UnreadableFilm, ...] = ()
    files: dict[str, str]
    digest: str = ""

    def own_digest(self) -> str:
        """What `digest` must be. Fields that came later are left out where the manifest was written without them."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}, exclude_unset=True).encode()).hexdigest()


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
    if version not in _READ_VERSIONS:
        raise CasebookError(
            f"{path}: schema version {version!r}, this program reads {', '.join(map(str, _READ_VERSIONS))}. "
            "Rebuild the casebook, or use the program's version that wrote it."
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CasebookError(f"{path}: {place}: {first['msg']}. Rebuild the casebook.") from None


def read_maps(folder: Path) -> MapsRecord:
    """How far a casebook's maps can be trusted, and its clusters.

    Raises:
        CasebookError: The file is missing or damaged.
    """
    path = Layout(folder).maps
    try:
        return MapsRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CasebookError(f"{path}: unreadable ({str(error)[:200]}). Rebuild the casebook.") from error


def write_maps(folder: Path, maps: MapsRecord) -> None:
    """Write maps.json."""
    Layout(folder).maps.write_text(maps.model_dump_json(indent=2) + "\n", "utf-8")


def map_columns(space: Space, name: MapName) -> list[str]:
    """Columns of projections.parquet that hold a map."""
    return [f"{space}_{name}_{axis}" for axis in MAP_AXES[name]]


def cluster_column(space: Space) -> str:
    """Column of projections.parquet that holds a space's clusters."""
    return f"{space}_cluster"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, signed with its own digest."""
    signed = manifest.model_copy(update={"digest": manifest.own_digest()})
    write_whole(Layout(folder).manifest, signed.model_dump_json(indent=2, exclude_unset=True) + "\n")


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """What `evaluation.stored` measured of a casebook; None where nothing was.

    Raises:
        CasebookError: The file is damaged.
    """
    path = Layout(folder).metrics
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CasebookError(f"{path}: unreadable ({error}). Measure again: cxr-explorer metrics {folder}") from None
    if not isinstance(content, dict) or "modalities" not in content:
        raise CasebookError(f"{path}: holds no metrics. Measure again: cxr-explorer metrics {folder}")
    return content


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json in place of an earlier one; the manifest of a finished casebook then lists it.

    Raises:
        CasebookError: The folder cannot be written to.
    """
    layout = Layout(folder)
    try:
        write_whole(layout.metrics, json.dumps(_shortened(metrics), ensure_ascii=False, allow_nan=False) + "\n")
        if layout.manifest.is_file():
            manifest = read_manifest(folder)
            listed = manifest.files | {layout.metrics.name: file_digest(layout.metrics)}
            write_manifest(folder, manifest.model_copy(update={"files": dict(sorted(listed.items()))}))
    except OSError as error:
        raise CasebookError(f"{folder}: cannot write there ({error.strerror}). Free space or fix the rights.") from None


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


def check_system(folder: Path, manifest: Manifest) -> None:
    """Refuse a system that is not the one that embedded the cases: its queries would meet vectors of another space.

    Raises:
        CasebookError: A file of it is missing, or not as it was built.
    """
    parts = Layout(folder).system.name + "/"
    for name, expected in manifest.files.items():
        path = folder / name
        if name.startswith(parts) and (not path.is_file() or file_digest(path) != expected):
            raise CasebookError(
                f"{path}: not what embedded these cases. Restore it from a copy of the casebook, or rebuild it."
            )


def _shortened(value: Any) -> Any:
    """Floats to six digits: more would only follow the processor."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {name: _shortened(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(one) for one in value]
    return value
