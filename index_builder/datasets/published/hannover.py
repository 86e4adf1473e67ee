"""COVID-19 films of Hannover Medical School, with days since admission, intensive care and laboratory values."""

from __future__ import annotations

from pathlib import Path

from index_builder.cases.case import Case, ProfileValue
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import FilmFolder, Reading, TableDataset, TablePass
from index_builder.datasets.reading.film_names import FilmFinder
from index_builder.datasets.reading.film_tree import linked_folders
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.splits import split_of
from index_builder.datasets.reading.studies import existing_folder, has_ids, present_film
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import parse_age, parse_number, parse_sex, parse_view

TABLE = "data.csv"
PATIENT, IMAGE, VIEW = "patient_id", "image_id", "projection"

COVID = "COVID-19"

#: Days since the first film, and laboratory values in the units of the hospital. Each value's own day is left out.
_NUMBERS = (
    "admission_offset",
    "icu_admission_offset",
    "icu_release_offset",
    "death_offset",
    "crp_val",
    "d-dimer_val",
    "factor_xii_val",
    "ldh_val",
    "lymphocytes_val",
    "neutrophils_val",
    "pco2_val",
    "po2_val",
)


class Hannover(TableDataset):
    """Reader of the COVID-19 Image Repository of Hannover Medical School.

    Layout: `data.csv` beside the films, `png/<image_id>.png` as published or any copy below the folder; only the name
    counts. Films that are listed but not there are left out and counted.

    A case is a film; a patient's films of several days are several cases, kept in one split. Every patient has
    COVID-19, so that the collection teaches no label by itself. Days and laboratory values become profile fields,
    missing ones absent. Many of these films are also in the COVID-19 image data collection.

    Source: https://github.com/ml-workgroup/covid-19-image-repository
    Citation: Winther H. B. et al. COVID-19 Image Repository. figshare 2020. doi:10.6084/m9.figshare.12275009.
    """

    card = DatasetCard(
        name="hannover",
        title="COVID-19 Image Repository (Hannover Medical School)",
        description="Frontal films of patients with COVID-19, many of them in intensive care, with sex, days since "
        "admission and laboratory values.",
        citation="Winther HB, Laser H, Gerbel S, et al. COVID-19 Image Repository. figshare 2020. "
        "doi:10.6084/m9.figshare.12275009",
        licence="CC BY 3.0",
        source="https://github.com/ml-workgroup/covid-19-image-repository",
        label_definition="COVID-19 in every case, confirmed by the hospital; findings of the film are not labelled.",
    )
    label_names = (COVID,)

    def __init__(self, root: Path) -> None:
        """Read the table and look which films are there; no pixels.

        Raises:
            DatasetError: The folder or its table is missing, or the table has not the published columns.
        """
        self.root = existing_folder(Path(root), TABLE)
        table = read_table(self.root / TABLE)
        table.require((PATIENT, IMAGE, VIEW, "sex", "age", *_NUMBERS))
        self.films = FilmFolder(self.root, linked=linked_folders(self.root))
        self.reading = self._read(table)

    def _read(self, table: Table) -> Reading:
        run = TablePass(table)
        finder = FilmFinder(self.films)
        for row in table.rows:
            if not has_ids(row, (IMAGE, PATIENT), run):
                continue
            image, patient = row.text(IMAGE), row.text(PATIENT)
            film = present_film(finder, (f"png/{image}.png", image), row, IMAGE, run)
            if film is not None:
                split = split_of(patient, salt=self.card.name)
                view = run.parsed(parse_view, row, VIEW, "view", "warning")
                case = Case(image, patient, split, (COVID,), image=film, view=view, profile=_profile(row, run))
                run.add(case, row, id_column=IMAGE, patient_column=PATIENT)
        return run.finish(none_left=f"none of the films listed is in {self.root}. Copy png/ there.")


def _profile(row: Row, run: TablePass) -> dict[str, ProfileValue]:
    fields: dict[str, ProfileValue | None] = {
        "age": run.parsed(parse_age, row, "age", "age", "warning"),
        "sex": run.parsed(parse_sex, row, "sex", "sex", "warning"),
    }
    for name in _NUMBERS:
        fields[name.removesuffix("_val")] = run.parsed(parse_number, row, name, "value", "warning")
    return {name: value for name, value in fields.items() if value is not None}
