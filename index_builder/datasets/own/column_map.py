"""The column map of a table, as a columns file says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from index_builder.cases.labels import LabelKind
from index_builder.datasets.reading.label_cells import State
from index_builder.datasets.reading.rows import Table
from index_builder.errors import DatasetError

#: A columns file is a page of text; beyond this it is something else.
MAX_COLUMNS_FILE_BYTES = 256_000

COLUMNS_FILES = ("columns.yaml", "columns.yml", "columns.json")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_mapping(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {item: item for item in value}
    return value


def _as_words(value: Any) -> Any:
    """Stages that are plain numbers, which YAML reads as such, as words."""
    return [str(item) if isinstance(item, int) else item for item in value] if isinstance(value, list) else value


Name = Annotated[str, Field(min_length=1, max_length=200)]
SectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Separator = Annotated[str, Field(min_length=1, max_length=10)]


class CardFields(BaseModel):
    """Facts about the dataset for readers of the casebook. Empty fields are shown as not stated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "manifest"
    title: str = ""
    description: str = ""
    citation: str = ""
    licence: str = ""
    source: str = ""
    label_definition: str = ""
    #: True where every film of the dataset is drawn, not exposed.
    synthetic: bool = False


class ColumnMap(BaseModel):
    """Columns of a manifest.

    Attributes:
        case_id: Unique id of a case; derived from image path or content where absent or empty.
        image: Path of the primary film, relative to the folder.
        other_images: Column or columns with paths of further films; several in a cell joined by `list_separator`.
        other_views: Column with the views of the films of each column of `other_images`, in the same order, written as
            they are there: several in a cell joined by `list_separator`, "unknown" where nobody knows.
        report: Whole report, read as findings. Use `sections` where the parts are apart.
        sections: Section name to column, e.g. {findings: FINDINGS, impression: IMPRESSION}.
        labels: One column with all labels of a case, joined by `labels_separator` (or a JSONL/Parquet list).
        label_kind: findings, of which a case has any number, or stages, of which it has exactly one.
        stages: Names of the stages from lowest to highest, where `labels` holds them. Of `label_columns` the order is
            that of the stages.
        label_columns: One column per label instead, holding 1/0, true/false or yes/no; -1 where nobody was sure. A
            column "No Finding" is no label: 1 there says that the others are absent.
        uncertain: What -1 in a label column means: absent, present, or unknown, which is neither trained on nor scored.
        blank: What an empty label cell means: unknown, or absent.
        profile: Field name to column, or a list of columns that keep their names. `age` and `sex` are checked.
        patient_id: Groups the cases of one person. Without it every case is its own patient.
        split: train, val or test. Without it, by hash of the patient.
        view: PA, AP or LATERAL in any usual spelling.
        codes: Coded findings, joined by `list_separator`.
        synthetic: 1 where a film is drawn, not exposed.
        card: Name, title, licence and so on of the dataset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    case_id: Name | None = None
    image: Name | None = None
    other_images: Annotated[list[Name], BeforeValidator(_as_list)] = Field(default_factory=list)
    other_views: Annotated[list[Name], BeforeValidator(_as_list)] = Field(default_factory=list)
    report: Name | None = None
    sections: dict[SectionName, Name] = Field(default_factory=dict)
    labels: Name | None = None
    labels_separator: Separator = "|"
    label_kind: LabelKind = "findings"
    stages: Annotated[list[Name], BeforeValidator(_as_words)] = Field(default_factory=list)
    label_columns: Annotated[list[Name], BeforeValidator(_as_list)] = Field(default_factory=list)
    uncertain: State = "unknown"
    blank: Literal["absent", "unknown"] = "unknown"
    profile: Annotated[dict[Name, Name], BeforeValidator(_as_mapping)] = Field(default_factory=dict)
    patient_id: Name | None = None
    split: Name | None = None
    view: Name | None = None
    codes: Name | None = None
    list_separator: Separator = "|"
    synthetic: Name | None = None
    card: CardFields = CardFields()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.labels and self.label_columns:
            raise ValueError("give labels or label_columns, not both")
        self._check_stages()
        if self.other_views and len(self.other_views) != len(self.other_images):
            raise ValueError("give other_views one column for each column of other_images, or none")
        if self.report and "findings" in self.sections:
            raise ValueError("give report or sections.findings, not both: a report is read as findings")
        if not (self.image or self.text_columns()):
            raise ValueError("give image, report or sections: a case needs a film or a text")
        return self

    def _check_stages(self) -> None:
        if self.label_kind == "findings":
            if self.stages:
                raise ValueError("stages are given, so say label_kind: stages")
            return
        if bool(self.labels) != bool(self.stages):
            raise ValueError("give labels and the names of their stages in order, or label_columns in order")
        names = self.stages or self.label_columns
        if len({name.casefold() for name in names}) < max(2, len(names)):
            raise ValueError("give at least two stages, each once")

    def text_columns(self) -> dict[str, str]:
        """Section name to column, the whole report as findings."""
        return ({"findings": self.report} if self.report else {}) | self.sections

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every mapped column as (field, column)."""
        for field in ("case_id", "image", "report", "labels", "patient_id", "split", "view", "codes", "synthetic"):
            column = getattr(self, field)
            if column is not None:
                yield field, column
        for field in ("other_images", "other_views", "label_columns"):
            columns = getattr(self, field)
            yield from ((field, column) for column in columns)
        for field, mapping in (("sections", self.sections), ("profile", self.profile)):
            yield from ((f"{field}.{name}", column) for name, column in mapping.items())


def find_column_map(folder: Path) -> ColumnMap | None:
    """Column map of the one columns file in a folder; None without one. Raises `DatasetError` if there are several."""
    present = [folder / name for name in COLUMNS_FILES if (folder / name).is_file()]
    if len(present) > 1:
        raise DatasetError(f"{folder}: both {present[0].name} and {present[1].name}. Keep one.")
    return load_column_map(present[0]) if present else None


def load_column_map(path: Path) -> ColumnMap:
    """Read a column map from YAML or JSON.

    Raises:
        DatasetError: Not readable, not YAML/JSON, or a field is unknown or of the wrong kind; each is named.
    """
    try:
        if path.stat().st_size > MAX_COLUMNS_FILE_BYTES:
            raise DatasetError(
                f"{path}: more than {MAX_COLUMNS_FILE_BYTES:,} bytes, not a column map. Give a short one."
            )
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(f"{path}: not valid {path.suffix[1:].upper()} ({reason}). Correct it.") from error
    try:
        return ColumnMap.model_validate(content)
    except ValidationError as error:
        raise DatasetError(f"{path}: {_validation_faults(error)}") from error


def _validation_faults(error: ValidationError) -> str:
    known = ", ".join(ColumnMap.model_fields)
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in fault["loc"]) or "column map"
        message = f"unknown field. Fields: {known}" if fault["type"] == "extra_forbidden" else fault["msg"]
        faults.append(f"{where}: {message}")
    return "; ".join(faults) + "."


def check_columns(table: Table, columns: ColumnMap) -> None:
    """Raise `DatasetError` naming every mapped column that the table does not have."""
    missing = [f"{column!r} ({field})" for field, column in columns.columns() if column not in table.columns]
    if missing:
        present = ", ".join(map(repr, table.columns))
        raise DatasetError(
            f"{table.path}: no text column {', '.join(missing)}. Columns present: {present}. Correct the column map."
        )
