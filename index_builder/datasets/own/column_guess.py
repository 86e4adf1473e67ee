"""The column map of a table, guessed from obvious names and from what the cells look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from index_builder.datasets.own.column_map import COLUMNS_FILES, ColumnMap
from index_builder.datasets.reading.film_names import FilmFinder, looks_like_film
from index_builder.datasets.reading.label_cells import Mark, parse_mark
from index_builder.datasets.reading.rows import Table
from index_builder.errors import DatasetError

#: Obvious names of each field, lower case without separators. The first is the field's own and wins over the others.
_OBVIOUS: dict[str, tuple[str, ...]] = {
    "case_id": ("caseid", "id"),
    "image": (
        *("image", "imagepath", "path", "filename", "film", "file", "filepath", "img", "imgpath", "imgname", "imgfile"),
        *("imageid", "imagename", "imagefile", "imagefilename", "imageindex", "dicomid", "dicom", "dicompath"),
        *("dicomfile", "filmid", "filmpath", "filmname", "picture", "xray", "cxr", "imgid", "fileid", "images"),
    ),
    "other_images": ("otherimages",),
    "other_views": ("otherviews",),
    "report": ("report", "reporttext", "text", "caption", "radiologyreport"),
    "sections.indication": ("indication",),
    "sections.comparison": ("comparison",),
    "sections.findings": ("findings",),
    "sections.impression": ("impression",),
    "sections.notes": ("notes", "clinicalnotes"),
    "labels": (
        "labels",
        "label",
        "finding",
        "findinglabels",
        "findinglabel",
        "problems",
        "classname",
        "class",
        "diagnosis",
    ),
    "codes": ("codes",),
    "profile.age": ("age", "patientage"),
    "profile.sex": ("sex", "gender", "patientsex", "patientgender", "patientsexdicom"),
    "patient_id": ("patientid", "subjectid", "patient", "subject"),
    "split": ("split",),
    "view": ("view", "viewposition", "projection", "appa"),
    "synthetic": ("synthetic",),
}
_SEPARATORS = ("|", ";", ",")

#: Cells that are looked at to tell what a column holds.
_LOOKED_AT = 200
#: Cells of a table that may be read to guess its columns, each at most twice, and rows that are read in any case.
_MOST_CELLS = 500_000
_FEWEST_ROWS = 20
#: Words of a cell that is a text, not a value.
_TEXT_WORDS = 8


@dataclass(frozen=True, slots=True)
class Guess:
    """A guessed column map, the sentence that says what was guessed, and what may have been missed."""

    columns: ColumnMap
    description: str
    warnings: tuple[str, ...] = ()


def guess_columns(table: Table, films: FilmFinder) -> Guess:
    """Guess the map from obvious column names, whatever their case ("Patient ID", "image-path").

    A column is taken for films only where its cells are file names or name files that are there: a text column may be
    called "image" too. Where no column is named like films, one whose cells name films that are there is taken,
    whatever its name; it may be the patient too (RSNA's "patientId").

    Raises:
        DatasetError: Two columns fit one field equally well, or nothing fits image or text.
    """
    remedy = f"Write a {COLUMNS_FILES[0]} beside it that says which column is what (docs/how-to/your-own-data.md)."
    present = ", ".join(map(repr, table.columns))
    found: dict[str, str] = {}

    def the_one(field: str, fitting: list[str]) -> str:
        if len(fitting) > 1:
            both = " and ".join(map(repr, fitting))
            raise DatasetError(f"{table.path}: {both} could both be the {field}. {remedy} Columns present: {present}.")
        return fitting[0]

    for field, names in _OBVIOUS.items():
        fitting = [column for column in table.columns if _normal(column) in names]
        if field == "image":
            fitting = _film_columns(table, fitting, films)
        own = [column for column in fitting if _normal(column) == names[0]]
        if best := own or fitting:
            found[field] = the_one(field, best)
    if "report" in found and "sections.findings" in found:
        both = f"{found['report']!r} and {found['sections.findings']!r}"
        raise DatasetError(f"{table.path}: {both} could both be the findings. {remedy} Columns present: {present}.")
    named = [column for column in table.columns if _normal(column) in _OBVIOUS["image"]]
    if len(named) == 1 and not any(field == "image" or _is_text_field(field) for field in found):
        found["image"] = named[0]  # nothing else can be meant: what is wrong with its films is then told one by one
    if "image" not in found and (fitting := _by_content(table, films)):
        found["image"] = the_one("image", fitting)
    if not any(field == "image" or _is_text_field(field) for field in found):
        raise DatasetError(
            f"{table.path}: no column looks like an image path or a report. {remedy} Columns present: {present}."
        )
    if "other_images" not in found:
        found.pop("other_views", None)
    fields: dict[str, Any] = {"sections": {}, "profile": {}}
    for field, column in found.items():
        group, _, name = field.partition(".")
        if name:
            fields[group][name] = column
        else:
            fields[group] = column
    said = [f"{field} from {column!r}" for field, column in found.items()]
    if "labels" in found:
        fields["labels_separator"] = _separator_of(table, found["labels"])
        said.append(f"labels separated by {fields['labels_separator']!r}")
    left_out = [name for name in table.columns if name not in found.values()]
    description = f"Columns were guessed from their names: {', '.join(said)}."
    if left_out:
        description += f" Left out: {', '.join(map(repr, left_out))}."
    return Guess(ColumnMap(**fields), description, tuple(_missed(table, left_out, found, films)))


def told_columns(table: Table, columns: ColumnMap) -> str:
    """The sentence that says which column a map takes for what, and which it leaves out."""
    taken: dict[str, list[str]] = {}
    for field, column in columns.columns():
        taken.setdefault(field, []).append(repr(column))
    said = ", ".join(f"{field} from {' and '.join(names)}" for field, names in taken.items())
    mapped = {column for _, column in columns.columns()}
    left_out = [repr(name) for name in table.columns if name not in mapped]
    return f"Columns as mapped: {said}." + (f" Left out: {', '.join(left_out)}." if left_out else "")


def _film_columns(table: Table, named: list[str], films: FilmFinder) -> list[str]:
    """Columns named like films whose cells are films: most of them there, else most like file names.

    Columns that lead to the same films, a path and its name, are one: the first.
    """
    ranked: dict[tuple[float, float], list[str]] = {}
    for column in named:
        there, alike = _share_there(table, column, films), _share(_sample(table, column), _is_path)
        if there or alike >= 0.5:
            ranked.setdefault((there, alike), []).append(column)
    if not ranked:
        return []
    best = ranked[max(ranked)]
    same = {tuple(films.find(cell) for cell in _sample(table, column) if films.has(cell)) for column in best}
    return best[:1] if len(same) == 1 and () not in same else best


def _by_content(table: Table, films: FilmFinder) -> list[str]:
    """Columns most of whose cells name films that are there, the best. Numbers do not: row 12 is not film 12.png."""
    shares: dict[str, float] = {}
    for column in table.columns:
        cells = [cell for cell in _sample(table, column) if not cell.isdecimal()]
        shares[column] = _share(cells, lambda cell: _is_name(cell) and films.has(cell))
    most = max(shares.values())
    return [column for column, share in shares.items() if share == most >= 0.5]


def _missed(table: Table, left_out: list[str], found: dict[str, str], films: FilmFinder) -> Iterator[str]:
    """What left-out columns seem to hold: films, reports, or a label each."""
    remedy = f"If so, say it in {COLUMNS_FILES[0]}"
    marks, positive = [], False
    of_films = _sample(table, found["image"]) if "image" in found else []
    for column in left_out:
        cells = _sample(table, column)
        if not cells or cells == of_films:
            continue
        if "image" not in found and _normal(column) in _OBVIOUS["image"]:
            yield (
                f"column {column!r} is named like films, but its cells (e.g. {cells[0][:60]!r}) are not file names "
                "and name no file below the folder; left out. Put the films there if it is meant."
            )
            continue
        if _share(cells, looks_like_film) >= 0.5:
            field = "other_images: [" + column + "]" if "image" in found else "image: " + column
            yield f"column {column!r} is left out and looks like films (e.g. {cells[0][:60]!r}). {remedy} ({field})."
        elif _share(cells, _is_text) >= 0.5:
            yield f"column {column!r} is left out and looks like reports. {remedy} (report: {column}, or sections)."
        elif found_marks := _marks(cells):
            marks.append(column)
            positive |= "present" in found_marks
    if positive and "labels" not in found:
        yield (
            f"what holds 1, 0 or -1 only is left out and may be a label each: {', '.join(marks)}. "
            f"{remedy} (label_columns: [{', '.join(marks)}])."
        )


def _sample(table: Table, column: str) -> list[str]:
    """The first cells of a column that hold something; of a table of very many columns only the first rows are read."""
    found: list[str] = []
    for row in islice(table.rows, max(_FEWEST_ROWS, _MOST_CELLS // len(table.columns))):
        if text := row.text(column):
            found.append(text)
            if len(found) == _LOOKED_AT:
                break
    return found


def _share(cells: list[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, cells)) / len(cells) if cells else 0.0


def _share_there(table: Table, column: str, films: FilmFinder) -> float:
    """Share of a column's cells that name a film which is there."""
    return _share(_sample(table, column), lambda cell: _is_name(cell) and films.has(cell))


def _is_name(cell: str) -> bool:
    return len(cell) <= 400 and "\n" not in cell


def _is_path(cell: str) -> bool:
    """Whether a cell of a column that is named like films is one: a film's name, or a path without spaces."""
    return looks_like_film(cell) or (" " not in cell and "/" in cell.replace("\\", "/").strip("/"))


def _is_text_field(field: str) -> bool:
    return field == "report" or field.startswith("sections.")


def _is_text(cell: str) -> bool:
    return len(cell.split()) >= _TEXT_WORDS


def _marks(cells: list[str]) -> set[Mark]:
    """What cells say that hold yes, no or -1 only; nothing of other cells."""
    try:
        return {parse_mark(cell) for cell in cells} - {"blank"}
    except ValueError:
        return set()


def _normal(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _separator_of(table: Table, column: str) -> str:
    """The first of | ; , that any cell of a column holds; | where none does."""
    seen = {mark for row in table.rows for mark in _SEPARATORS if mark in row.text(column)}
    return next((mark for mark in _SEPARATORS if mark in seen), _SEPARATORS[0])
