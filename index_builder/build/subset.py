"""Some cases of a casebook as a casebook of their own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index_builder.calibration.held_out import held_out_answers, read_answers, write_answers
from index_builder.casebook.files import read_embeddings, read_table
from index_builder.casebook.films import FilmTable, film_counts, read_films, write_films
from index_builder.casebook.indexes import FAISS, IndexesInTurn, index_films, index_space
from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import (
    SCHEMA_VERSION,
    Manifest,
    SpaceRecord,
    cluster_column,
    digest_files,
    map_columns,
    read_manifest,
    read_maps,
    write_manifest,
)
from index_builder.casebook.thumbnails import ThumbnailReader, thumbnail_table, thumbnail_writer
from index_builder.casebook.workspace import check_target, take_place, workspace
from index_builder.cases.space import SPACES, Space
from index_builder.cases.table import CaseRows, cases_table, read_cases, write_cases
from index_builder.errors import CasebookError
from index_builder.film_check.check import FilmCheck
from index_builder.lexical.stage import index_reports
from index_builder.maps.maps import MEASURED_REACH, describe_maps
from index_builder.maps.stored import mapped_cases, write_drawn_maps
from index_builder.progress import Progress
from index_builder.stores.base import VectorStore

#: Cases, or films, per group of thumbnails.
_GROUP = 128
#: Unknown ids that an error names.
_NAMED = 5


def write_subset(
    source: Path, case_ids: Sequence[str], out: Path, progress: Progress, *, replace: bool = False
) -> Manifest:
    """Write the named cases of a casebook as a new casebook: rows, films, vectors, index, maps and system.

    Cases keep their order, vectors and places on the maps; the indexes, the figures of the maps and the words of the
    clusters are computed again for these cases. What was measured of all cases (metrics) is not taken over.

    Args:
        source: The casebook.
        case_ids: Which cases; repeated ones count once.
        out: Folder of the new casebook.
        progress: Told of stages.
        replace: Whether a casebook at `out` may be replaced, once the new one is complete.

    Returns:
        The new casebook's manifest.

    Raises:
        CasebookError: No casebook there, a damaged one, unknown ids, none at all, or a target that cannot be written.
    """
    out = out.absolute()
    if out == source.absolute():
        raise CasebookError(f"{out}: a casebook cannot be its own subset. Choose another --out.")
    check_target(out, replace)
    manifest = read_manifest(source)
    layout = Layout(source)
    table = read_cases(layout.cases, manifest.cases)
    rows = _rows(source, table.column("case_id").to_pylist(), case_ids)
    table = table.take(pa.array(rows))
    cases, chosen = CaseRows(table), set(case_ids)
    with workspace(out) as folder:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        new = Layout(folder)
        progress("Copying cases", 0, len(cases))
        write_cases(cases_table(list(cases)), new.cases, new.case_keys)
        _copy_thumbnails(layout, new, table.column("case_id"), rows, progress)
        shutil.copytree(layout.system, new.system)
        vectors: dict[Space, np.ndarray] = {}
        spaces: dict[Space, SpaceRecord] = {}
        new.embeddings("image").parent.mkdir()
        for space in SPACES:
            vectors[space] = np.asarray(read_embeddings(source, space, manifest.cases)[rows])
            np.save(new.embeddings(space), vectors[space], allow_pickle=False)
            if (record := index_space(folder, space, cases, vectors[space])) is not None:
                spaces[space] = record
        kept = None if manifest.each_film is None else _copy_films(source, manifest.each_film.count, new, cases, rows)
        films = None if kept is None else read_films(folder, len(kept))
        each_film = None if films is None else index_films(folder, films, cases, spaces["image"])
        lexical = index_reports(new, cases, lambda done: progress("Reading reports", done, len(cases)))
        stores = IndexesInTurn(folder, FAISS, spaces)
        progress("Measuring maps", 0, len(stores))
        projections, known = read_table(layout.projections).take(pa.array(rows)), read_maps(source)
        drawn = {}
        for space, store in stores.items():
            held = np.flatnonzero(vectors[space].any(axis=1))
            positions = {
                name: np.stack([_column(projections, column, held) for column in map_columns(space, name)], 1)
                for name in known.spaces[space].maps
            }
            clusters = _column(projections, cluster_column(space), held).astype(np.int32)
            within = mapped_cases(cases.at(held), vectors[space][held], store, MEASURED_REACH, manifest.system.reads)
            drawn[space] = held, describe_maps(within, positions, clusters, manifest.dataset.seed)
            progress("Measuring maps", len(drawn), len(stores))
        write_drawn_maps(folder, cases, drawn)
        _take_over_trust(layout, new, manifest, cases, rows, vectors, stores, films, kept)
        subset = manifest.model_copy(
            update={
                "schema_version": SCHEMA_VERSION,
                "name": out.name,
                "subset_of": f"{manifest.name}, SHA-256 {manifest.digest}",
                "store": FAISS,
                "spaces": spaces,
                "lexical": lexical,
                "cases": len(cases),
                "films": int(film_counts(cases).sum()),
                "each_film": each_film,
                "reports": sum(bool(case.report) for case in cases),
                "unreadable": tuple(one for one in manifest.unreadable if one.kept and one.case_id in chosen),
                "files": digest_files(folder),
            }
        )
        write_manifest(folder, subset)
        take_place(folder, out)
    return read_manifest(out)


def _take_over_trust(
    source: Layout,
    out: Layout,
    manifest: Manifest,
    cases: CaseRows,
    rows: Sequence[int],
    vectors: Mapping[Space, NDArray[np.floating]],
    stores: Mapping[Space, VectorStore],
    films: FilmTable | None,
    kept_films: NDArray[np.int64] | None,
) -> None:
    """Let the cases vote on each other again; the classifier's answers and the check of films stay what they were."""
    voted = held_out_answers(manifest.system, cases, manifest.dataset, vectors, stores, None, films)
    answers = {place: one for place, one in read_answers(source.held_out).items() if place[1] == "classifier"}
    write_answers(answers | voted, out.held_out)
    check = FilmCheck.read(source.film_check)
    if check is not None and (kept := check.of_rows(rows, kept_films)) is not None:
        kept.write(out.film_check)


def _rows(source: Path, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Rows of the wanted cases, in the casebook's order."""
    row_of = {case_id: row for row, case_id in enumerate(known)}
    unknown = [case_id for case_id in dict.fromkeys(wanted) if case_id not in row_of]
    if unknown:
        named = ", ".join(repr(case_id[:60]) for case_id in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise CasebookError(f"{source}: no case {named}{more}. Case ids look like {known[0]!r}.")
    if not wanted:
        raise CasebookError(f"{source}: no case named. Name at least one.")
    return sorted({row_of[case_id] for case_id in wanted})


def _copy_thumbnails(
    source: Layout, out: Layout, case_ids: pa.ChunkedArray, rows: Sequence[int], progress: Progress
) -> None:
    """Copy the cases' small films."""
    reader = ThumbnailReader(source.thumbnails)
    with thumbnail_writer(out.thumbnails) as writer:
        for start in range(0, len(rows), _GROUP):
            found = [reader[row] for row in rows[start : start + _GROUP]]
            writer.write_table(thumbnail_table(case_ids.slice(start, _GROUP).to_pylist(), found))
            progress("Copying cases", min(start + _GROUP, len(rows)), len(rows))


def _copy_films(
    source: Path, count: int, out: Layout, cases: CaseRows, rows: Sequence[int]
) -> NDArray[np.int64] | None:
    """Copy the table of films with vectors and small films; gives their numbers in the source.

    None, and nothing is copied, where none of the cases has several films.
    """
    if not (film_counts(cases) > 1).any():
        return None
    films, reader = read_films(source, count), ThumbnailReader(Layout(source).film_thumbnails)
    kept = films.of_rows(rows)
    write_films(cases, out.films)
    np.save(out.film_embeddings, films.vectors[kept], allow_pickle=False)
    case_id = dict(zip(rows, (case.case_id for case in cases), strict=True))
    with thumbnail_writer(out.film_thumbnails) as writer:
        for start in range(0, len(kept), _GROUP):
            several = kept[start : start + _GROUP]
            owners = [case_id[row] for row in films.rows[several].tolist()]
            writer.write_table(thumbnail_table(owners, [reader[film] for film in several.tolist()]))
    return kept


def _column(projections: pa.Table, name: str, rows: np.ndarray) -> np.ndarray:
    return projections.column(name).to_numpy(zero_copy_only=False)[rows]
