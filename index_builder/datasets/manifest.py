"""Anyone's dataset: a CSV, JSONL or Parquet table beside its films, with a map of its columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from index_builder.datasets.base import Case, DatasetCard, ProfileValue
from index_builder.datasets.column_map import ColumnMap, check_columns, find_column_map, guess_columns
from index_builder.datasets.reading import FilmFolder, FilmOutsideError, Reading, SplitRule, TableDataset, TablePass
from index_builder.datasets.tables import TABLE_SUFFIXES, Row, Table, read_table
from index_builder.datasets.values import (
    convert,
    parse_age,
    parse_sex,
    parse_view,
    parse_yes_no,
    shown,
    value_type,
)
from index_builder.errors import DatasetError, ImagingError

#: File name of the table, without extension, in a folder given as root.
TABLE_NAME = "manifest"

MAX_NAME_CHARS = 200
#: More different labels than this are no label set; most often the separator is wrong or the column holds prose.
MAX_LABELS = 1_000

#: Alone in a label cell they say that nothing was found.
_NO_FINDING = frozenset({"no finding", "no findings", "normal"})


class Manifest(TableDataset):
    """Reader of a table that anyone can write. See docs/your-own-data.md for each layout with an example.

        Manifest(Path("my-films"))                       # manifest.csv, .tsv, .jsonl or .parquet in the folder
        Manifest(Path("my-films/cases.csv"), ColumnMap(image="Path", labels="Dx", labels_separator=";"))

    Without a map, `columns.yaml` or `columns.json` beside the table is used; without that, columns are guessed from
    obvious names, the guess is told in `card.description`, and columns that were not recognised stay out.

    Every value stays the text it is. Profile columns other than age and sex become bool or numbers only where the whole
    column can without loss. A case needs a film or a text. Every error is found in one pass: `cases` raises the first,
    `problems` and `check` list them all.
    """

    def __init__(self, path: Path, columns: ColumnMap | None = None, *, allow_outside: bool = False) -> None:
        """Read the table and look whether its films are there; no pixels.

        Args:
            path: The table, or a folder that holds it under the name `manifest`.
            columns: Column map; None: from the columns file beside the table, or guessed.
            allow_outside: Accept films outside the folder (absolute paths, "..", links). Only for a table you trust.

        Raises:
            DatasetError: No table, not readable as a whole, or the columns cannot be made out.
        """
        table_path = _find_table(Path(path))
        self.root = table_path.parent
        table = read_table(table_path)
        guessed = ""
        if columns is None:
            columns = find_column_map(self.root)
        if columns is None:
            guess = guess_columns(table)
            columns, guessed = guess.columns, guess.description
        check_columns(table, columns)
        self.columns = columns
        self.card = _card(columns, table_path, guessed)
        self.films = FilmFolder(self.root, allow_outside=allow_outside)
        self.reading, self.label_names = self._read(table)

    def _read(self, table: Table) -> tuple[Reading, tuple[str, ...]]:
        run = TablePass(table)
        columns = self.columns
        rule = SplitRule.of_table(table, columns.split, self.card.name)
        types = {
            name: value_type(row.text(column) for row in table.rows)
            for name, column in columns.profile.items()
            if name not in ("age", "sex")
        }
        labels_seen: set[str] = set()
        for row in table.rows:
            case = self._case(row, rule, types, run)
            if case is not None:
                labels_seen.update(case.labels)
                run.add(case, row, id_column=columns.case_id, patient_column=columns.patient_id)
        if len(labels_seen) > MAX_LABELS:
            message = (
                f"{len(labels_seen):,} different labels, more than the limit of {MAX_LABELS:,}. Is the separator "
                f"{columns.labels_separator!r} right, and is it a column of labels?"
            )
            run.error("label", message, None, columns.labels)
        names = tuple(dict.fromkeys(columns.label_columns)) or tuple(sorted(labels_seen))
        return run.finish(), names

    def _case(self, row: Row, rule: SplitRule, types: dict[str, type[ProfileValue]], run: TablePass) -> Case | None:
        """Case of a row; None where anything in it is at fault, all of which is noted."""
        columns = self.columns
        errors_before = run.error_count
        sections = {name: text for name, column in columns.text_columns().items() if (text := row.text(column))}
        image = self._film(row.text(columns.image), row, columns.image, run) if columns.image else None
        other_images = tuple(
            film
            for column in columns.other_images
            for reference in row.items(column, columns.list_separator)
            if (film := self._film(reference, row, column, run))
        )
        if not (sections or image) and run.error_count == errors_before:
            run.error("empty case", "neither a primary film nor a text. Give one of them, or delete the row.", row)
        case_id = self._case_id(row, image, run)
        patient = (row.text(columns.patient_id) if columns.patient_id else "") or case_id
        labels = self._labels(row, run)
        split = rule.split(row, patient, run)
        synthetic = run.parsed(parse_yes_no, row, columns.synthetic, "value")
        view = run.parsed(parse_view, row, columns.view, "view", "warning")
        profile = self._profile(row, types, run)
        if run.error_count > errors_before or split is None:
            return None
        return Case(
            case_id,
            patient,
            split,
            labels,
            image=image,
            other_images=other_images,
            view=view,
            sections=sections,
            profile=profile,
            codes=row.items(columns.codes, columns.list_separator) if columns.codes else (),
            synthetic=self.card.synthetic or bool(synthetic),
        )

    def _film(self, cell: str, row: Row, column: str | None, run: TablePass) -> str | None:
        """Reference of a film that is there, or None; tables written on Windows have backslashes."""
        if not cell:
            return None
        reference = PurePosixPath(cell.replace("\\", "/")).as_posix()
        try:
            self.films.path(reference)
        except FilmOutsideError as error:
            run.error("film outside root", str(error), row, column)
            return None
        except ImagingError as error:
            run.error("missing film", str(error), row, column)
            return None
        return reference

    def _case_id(self, row: Row, image: str | None, run: TablePass) -> str:
        """Id of a row's case: as given, else from the image path, else from the content of the mapped columns."""
        case_id = row.text(self.columns.case_id) if self.columns.case_id else ""
        if not case_id:
            mapped = sorted({column for _, column in self.columns.columns()})
            content = image or "\0".join(f"{column}\0{row.text(column)}" for column in mapped)
            return f"case-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        if len(case_id) > MAX_NAME_CHARS or not case_id.isprintable():
            message = f"{shown(case_id)} is no id: give at most {MAX_NAME_CHARS} printable characters."
            run.error("case id", message, row, self.columns.case_id)
        return case_id

    def _labels(self, row: Row, run: TablePass) -> tuple[str, ...]:
        columns = self.columns
        if columns.label_columns:
            flags = {name: run.parsed(parse_yes_no, row, name, "label") for name in columns.label_columns}
            return tuple(sorted(name for name, flag in flags.items() if flag))
        if columns.labels is None:
            return ()
        names = set(row.items(columns.labels, columns.labels_separator))
        nothing = {name for name in names if name.casefold() in _NO_FINDING}
        if nothing and names != nothing:
            message = f"{shown(min(nothing))} stands beside a finding. Keep one of the two."
            run.error("label", message, row, columns.labels)
        for name in sorted(names):
            if len(name) > MAX_NAME_CHARS or not name.isprintable():
                message = f"{shown(name)} is no label: give at most {MAX_NAME_CHARS} printable characters."
                run.error("label", message, row, columns.labels)
        return tuple(sorted(names - nothing))

    def _profile(self, row: Row, types: dict[str, type[ProfileValue]], run: TablePass) -> dict[str, ProfileValue]:
        profile: dict[str, ProfileValue] = {}
        for name, column in self.columns.profile.items():
            value: ProfileValue | None
            if name == "age":
                value = run.parsed(parse_age, row, column, "age")
            elif name == "sex":
                value = run.parsed(parse_sex, row, column, "sex", "warning")
            else:
                text = row.text(column)
                value = convert(text, types[name]) if text else None
            if value is not None:
                profile[name] = value
        return profile


def _find_table(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DatasetError(f"{path}: no such file or folder. Give a table or the folder that holds {TABLE_NAME}.csv.")
    present: Sequence[Path] = [path / f"{TABLE_NAME}{suffix}" for suffix in TABLE_SUFFIXES]
    present = [table for table in present if table.is_file()]
    if len(present) != 1:
        names = ", ".join(f"{TABLE_NAME}{suffix}" for suffix in TABLE_SUFFIXES)
        found = ", ".join(table.name for table in present) or "none"
        raise DatasetError(f"{path}: one of {names} is needed, found: {found}. Name the table so, or give its path.")
    return present[0]


def _card(columns: ColumnMap, path: Path, guessed: str) -> DatasetCard:
    fields = columns.card
    description = " ".join(part for part in (fields.description, guessed) if part)
    return DatasetCard(
        name=fields.name,
        title=fields.title or fields.name,
        description=description or f"Cases of {path.name}.",
        citation=fields.citation or "not stated",
        licence=fields.licence or "not stated",
        source=fields.source or "not stated",
        label_definition=fields.label_definition or "As given in the table.",
        synthetic=fields.synthetic,
    )
