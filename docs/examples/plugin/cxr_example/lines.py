"""`lines`: films in a folder, and beside them `films.jsonl`, a line for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from index_builder import Case, DatasetCard, Film, FilmFolder, read_film, split_of
from index_builder.errors import DatasetError, ImagingError

_TABLE = "films.jsonl"


class Lines:
    """Reader of a table of lines such as these.

        {"film": "a/1.png", "patient": "7", "labels": ["Effusion"], "report": "Small left effusion."}

    A film is a case. Patients decide what trains and what tests, so that nobody is in both parts.
    """

    card = DatasetCard(
        name="lines",
        title="Films in JSON lines",
        description="Films with labels and reports from a table of JSON lines.",
        citation="not stated",
        licence="not stated",
        source="a folder of your own",
        label_definition="As the table has them; a label that is not named is absent.",
    )

    def __init__(self, root: Path) -> None:
        """Read the table; no pixels.

        Args:
            root: The folder that holds it.

        Raises:
            DatasetError: There is no table, or a line that says no case.
        """
        self._films = FilmFolder(root)
        table = root / _TABLE
        try:
            lines = table.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{table}: cannot be read ({error}). Give the folder that holds it.") from error
        self._cases = [self._case(line, f"{table}: line {number}") for number, line in enumerate(lines, 1) if line]
        self.label_names = tuple(sorted({label for case in self._cases for label in case.labels}))

    def cases(self) -> Sequence[Case]:
        """In order of the table."""
        return self._cases

    def load_film(self, reference: str) -> Film:
        """One film, decoded. Raises `ImagingError` naming it."""
        return read_film(self._films.path(reference), name=reference)

    def _case(self, line: str, where: str) -> Case:
        try:
            row = json.loads(line)
            film, patient = str(row["film"]), str(row["patient"])
            self._films.path(film)
            return Case(
                case_id=film,
                patient_id=patient,
                split=split_of(patient, salt=self.card.name),
                labels=tuple(sorted(map(str, row["labels"]))),
                image=film,
                sections={"findings": str(row["report"])} if row.get("report") else {},
            )
        except (ValueError, KeyError, TypeError, ImagingError) as error:
            raise DatasetError(f"{where}: no case ({error}). Give film, patient and labels as they are.") from error
