"""Anyone's dataset: a CSV, JSONL or Parquet table beside its films, with a map of its columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from index_builder.cases.case import Case, CaseFilm, ProfileValue
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.own.column_guess import guess_columns, told_columns
from index_builder.datasets.own.column_map import ColumnMap, check_columns, find_column_map
from index_builder.datasets.own.manifest_labels import ManifestLabels
from index_builder.datasets.own.manifest_stages import ManifestStages
from index_builder.datasets.reading.cases import (
    FilmFolder,
    FilmOutsideError,
    Reading,
    SplitRule,
    TableDataset,
    TablePass,
)
from index_builder.datasets.reading.film_names import FilmFinder, patient_in_path
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.tables import TABLE_SUFFIXES, read_table
from index_builder.datasets.reading.values import (
    convert,
    counted,
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

Labels = ManifestLabels | ManifestStages


class Manifest(TableDataset):
    """Reader of a table that anyone can write. See docs/how-to/your-own-data.md for each layout with an example.

        Manifest(Path("my-films"))                       # manifest.csv, .tsv, .jsonl or .parquet in the folder
        Manifest(Path("my-films/cases.csv"), ColumnMap(image="Path", labels="Dx", labels_separator=";"))

    Without a map, `columns.yaml` or `columns.json` beside the table is used; without that, columns are guessed from
    obvious names and from what the cells look like; `notes` tells which is what, and columns that were not recognised
    stay out. Films are found by their path, or by their name alone where only one file below the folder has it. Without
    a column of patients, the patient is the folder `patient00002` or `p10000032` of the film's path, if there is one.

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
        self.films = FilmFolder(self.root, allow_outside=allow_outside)
        self._finder = FilmFinder(self.films)
        run = TablePass(table)
        guessed = ""
        if columns is None:
            columns = find_column_map(self.root)
        if columns is None:
            guess = guess_columns(table, self._finder)
            columns, guessed = guess.columns, guess.description
            for warning in guess.warnings:
                run.warning("column", warning, None)
        check_columns(table, columns)
        run.tell(guessed or told_columns(table, columns))
        self.columns = columns
        self.card = _card(columns, table_path, guessed)
        self.reading, self.label_names = self._read(table, run)

    def _read(self, table: Table, run: TablePass) -> tuple[Reading, tuple[str, ...]]:
        columns = self.columns
        rule = SplitRule.of_table(table, columns.split, self.card.name)
        types = {
            name: value_type(row.text(column) for row in table.rows)
            for name, column in columns.profile.items()
            if name not in ("age", "sex")
        }
        labels = ManifestStages(columns) if columns.label_kind == "stages" else ManifestLabels(table, columns)
        firsts: dict[str, tuple[Case, int]] = {}
        untold: set[str] = set()
        for row in table.rows:
            case = self._case(row, rule, types, labels, run)
            if case is None:
                continue
            first, first_row = firsts.setdefault(case.case_id, (case, row.number))
            if first_row != row.number and not (columns.case_id and row.text(columns.case_id)):
                _note_repeated(case, first, row, first_row, run)
                continue
            if not labels.tells(row):
                untold.add(case.case_id)
            run.add(case, row, id_column=columns.case_id, patient_column=columns.patient_id)
        if columns.patient_id is None:
            _tell_patients(run)
        cases, names = labels.settle(run.cases, untold, run)
        return replace(run.finish(), cases=cases), names

    def _case(
        self, row: Row, rule: SplitRule, types: dict[str, type[ProfileValue]], labels: Labels, run: TablePass
    ) -> Case | None:
        """Case of a row; None where anything in it is at fault, all of which is noted."""
        columns = self.columns
        errors_before = run.error_count
        sections = {name: text for name, column in columns.text_columns().items() if (text := row.text(column))}
        image = self._film(row.text(columns.image), row, columns.image, run) if columns.image else None
        further = self._further_films(row, run)
        if not (sections or image) and run.error_count == errors_before:
            run.error("empty case", "neither a primary film nor a text. Give one of them, or delete the row.", row)
        case_id = self._case_id(row, image, run)
        patient = row.text(columns.patient_id) if columns.patient_id else ""
        patient = patient or (patient_in_path(image) if image else None) or case_id
        present, unknown = labels.read(row, run)
        split = rule.split(row, patient, run)
        synthetic = run.parsed(parse_yes_no, row, columns.synthetic, "value")
        view = run.parsed(parse_view, row, columns.view, "view", "warning")
        profile = self._profile(row, types, run)
        if run.error_count > errors_before or split is None:
            return None
        films = [*([CaseFilm(image, view)] if image else []), *further]
        case = Case(
            case_id,
            patient,
            split,
            present,
            view=view,
            sections=sections,
            profile=profile,
            codes=row.items(columns.codes, columns.list_separator) if columns.codes else (),
            synthetic=self.card.synthetic or bool(synthetic),
            unknown=unknown,
        )
        return case.with_films(films) if films else case

    def _further_films(self, row: Row, run: TablePass) -> list[CaseFilm]:
        """Films beside the primary one that are there, each with the view that stands for it at the same place."""
        columns, found = self.columns, list[CaseFilm]()
        for number, column in enumerate(columns.other_images):
            references = row.items(column, columns.list_separator)
            views: tuple[str | None, ...] = (None,) * len(references)
            if columns.other_views:
                views = self._views(len(references), row, columns.other_views[number], run)
            for reference, view in zip(references, views, strict=True):
                if film := self._film(reference, row, column, run):
                    found.append(CaseFilm(film, view))
        return found

    def _views(self, count: int, row: Row, column: str, run: TablePass) -> tuple[str | None, ...]:
        """Views of so many films from a cell; unknown, noted, where it names another number of them or no view."""
        cells = row.items(column, self.columns.list_separator)
        if cells and len(cells) != count:
            run.warning("view", f"{len(cells)} views for {count} films; taken as unknown.", row, column)
        try:
            if len(cells) == count:
                return tuple(parse_view(cell) for cell in cells)
        except ValueError as error:
            run.warning("view", str(error), row, column)
        return (None,) * count

    def _film(self, cell: str, row: Row, column: str | None, run: TablePass) -> str | None:
        """Reference of a film that is there, or None."""
        if not cell:
            return None
        try:
            return self._finder.find(cell)
        except FilmOutsideError as error:
            run.error("film outside root", str(error), row, column)
            return None
        except ImagingError as error:
            run.error("missing film", str(error), row, column)
            return None

    def _case_id(self, row: Row, image: str | None, run: TablePass) -> str:
        """Id of a row's case: as given, else from the image path, else from the content of the mapped columns."""
        case_id = row.text(self.columns.case_id) if self.columns.case_id else ""
        if not case_id:
            mapped = sorted({column for _, column in self.columns.columns()})
            content = image or "\0".join(f"{column}\0{row.text(column)}" for column in mapped)
            return f"case-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        if len(case_id) > MAX_NAME_CHARS or not case_id.isprintable():
            message = f"{shown(case_id)} is not an id: give at most {MAX_NAME_CHARS} printable characters."
            run.error("case id", message, row, self.columns.case_id)
        return case_id

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


def _note_repeated(case: Case, first: Case, row: Row, first_row: int, run: TablePass) -> None:
    """Note a row whose film, or whose content, another row has; an id that was given is looked at elsewhere."""
    what = f"film {shown(case.image)}" if case.image else "the same case"
    if (case.labels, case.unknown, case.sections) == (first.labels, first.unknown, first.sections):
        run.warning("repeated row", f"{what} is already in row {first_row}; this row left out.", row)
    else:
        message = (
            f"{what} is already in row {first_row}, with other labels or texts. Put all that is said of a film into "
            "one row, or give every row a case_id."
        )
        run.error("duplicate case id", message, row)


def _tell_patients(run: TablePass) -> None:
    """Say where patients come from when no column has them."""
    cases = run.cases
    in_path = sum(case.patient_id != case.case_id for case in cases)
    if in_path:
        example = next(case.patient_id for case in cases if case.patient_id != case.case_id)
        run.tell(f"Patients of {counted(in_path, 'case')} are the folders of their films, e.g. {shown(example)}.")
    if len(cases) - in_path > 1:
        message = (
            f"{len(cases) - in_path:,} cases have no patient and count as one each: films of one person can stand in "
            "two splits, and the test would be known. Give a column patient_id where a person has several films."
        )
        run.warning("patient", message, None)


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
        label_kind=columns.label_kind,
    )
