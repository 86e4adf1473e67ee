"""The COVID-19 image data collection: films from publications, with clinical notes and outcomes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from index_builder.cases.case import Case, ProfileValue
from index_builder.datasets.base import DatasetCard
from index_builder.datasets.reading.cases import (
    FilmFolder,
    FilmOutsideError,
    Reading,
    SplitRule,
    TableDataset,
    TablePass,
)
from index_builder.datasets.reading.rows import Row, Table
from index_builder.datasets.reading.tables import read_table
from index_builder.datasets.reading.values import (
    is_unknown,
    parse_age,
    parse_number,
    parse_sex,
    parse_view,
    parse_yes_no,
    shown,
)
from index_builder.errors import DatasetError, ImagingError

TABLE_FILE = "metadata.csv"
IMAGES_FOLDER = "images"

#: Each diagnosis and what it is a kind of. The collection wrote "COVID-19" at first and "Pneumonia/Viral/COVID-19"
#: later; a case gets a diagnosis and everything above it, so that both spellings give the same labels.
#:
#: In a sample of 435 films: Pneumonia 421, of which Viral 362 (COVID-19 341, SARS 14, Varicella 5, Influenza 2),
#: Bacterial 25 (Streptococcus 13, Legionella 5, E.Coli 4, Klebsiella 3), Fungal 15 (all Pneumocystis), Lipoid 5;
#: ARDS 12; none 10.
_KIND_OF: dict[str, str | None] = {
    "Pneumonia": None,
    "Viral": "Pneumonia",
    "COVID-19": "Viral",
    "SARS": "Viral",
    "MERS-CoV": "Viral",
    "Influenza": "Viral",
    "Herpes": "Viral",
    "Varicella": "Viral",
    "Bacterial": "Pneumonia",
    "Streptococcus": "Bacterial",
    "Staphylococcus": "Bacterial",
    "Klebsiella": "Bacterial",
    "Legionella": "Bacterial",
    "E.Coli": "Bacterial",
    "Mycoplasma": "Bacterial",
    "Chlamydophila": "Bacterial",
    "Nocardia": "Bacterial",
    "Fungal": "Pneumonia",
    "Pneumocystis": "Fungal",
    "Aspergillosis": "Fungal",
    "Lipoid": "Pneumonia",
    "Aspiration": "Pneumonia",
    "Tuberculosis": None,
    "ARDS": None,
}
COVID_LABELS: tuple[str, ...] = tuple(_KIND_OF)

#: Strains too rare to be labels of their own.
_STRAINS = {"h1n1": "Influenza", "mrsa": "Staphylococcus"}
_BY_NAME = {label.casefold(): label for label in COVID_LABELS} | _STRAINS

_NO_FINDING = "no finding"
#: Rows that nobody has labelled. Without a label they would read as normal films.
_UNLABELLED = frozenset({"", "todo", "unknown"})

_YES_NO = (
    "RT_PCR_positive",
    "survival",
    "intubated",
    "intubation_present",
    "went_icu",
    "in_icu",
    "needed_supplemental_O2",
    "extubated",
)
#: offset: days since onset or admission; temperature: °C; pO2_saturation: %, or mmHg where above 100; blood counts:
#: 10³/µL; geographic_mean 0 to 8 and opacity_mean 0 to 6: extent and density of opacities, mean of three raters.
_NUMBERS = (
    "offset",
    "temperature",
    "pO2_saturation",
    "leukocyte_count",
    "neutrophil_count",
    "lymphocyte_count",
    "geographic_mean",
    "opacity_mean",
)
#: Where a film comes from; its licence asks for it to be named.
_TEXTS = ("date", "location", "license", "doi", "url", "other_notes")

_POSITIONS = {"supine": "supine", "aps": "supine", "semi erect": "semi-erect", "erect": "erect"}


class Covid(TableDataset):
    """Reader of the COVID-19 image data collection.

    Layout: `metadata.csv` beside `images/`, as in the repository. CT volumes, rows without a diagnosis ("todo",
    "Unknown") and films that are not there are left out, each with a warning that `check` reports.

    A case is a film, its id the file name; several films of a patient on different days (`offset`) are several cases,
    kept in one split. The split is by patient, or the column `split` if the table has one. Clinical notes tell the
    course of the disease and often name the diagnosis; they become the section `notes`. Outcomes become profile fields:
    yes/no as bool, numbers as numbers, missing ones absent.

    Source: https://github.com/ieee8023/covid-chestxray-dataset
    Citation: Cohen J. P. et al. COVID-19 Image Data Collection: Prospective Predictions Are the Future.
    arXiv:2006.11988.
    """

    card = DatasetCard(
        name="covid",
        title="COVID-19 image data collection",
        description="Frontal and lateral films of COVID-19 and other pneumonias, collected from publications and case "
        "reports, with clinical notes, outcomes and, for some, severity scores.",
        citation="Cohen JP, Morrison P, Dao L, Roth K, Duong TQ, Ghassemi M. COVID-19 Image Data Collection: "
        "Prospective Predictions Are the Future. arXiv:2006.11988, 2020.",
        licence="Differs from film to film; see the profile field `license` of each. Absent: unknown.",
        source="https://github.com/ieee8023/covid-chestxray-dataset",
        label_definition="Diagnoses as published, each with the broader ones it is a kind of (COVID-19: Viral, "
        "Pneumonia). No finding is the empty set.",
    )
    label_names = COVID_LABELS

    def __init__(self, root: Path) -> None:
        """Read the table; no pixels.

        Raises:
            DatasetError: The folder, its table or its images are missing, or the table has not the published columns.
        """
        self.root = Path(root)
        images = self.root / IMAGES_FOLDER
        for path in (self.root, images):
            if not path.is_dir():
                raise DatasetError(
                    f"{path}: no such folder. Give the folder that holds {TABLE_FILE} and {IMAGES_FOLDER}/."
                )
        table = read_table(self.root / TABLE_FILE)
        table.require(("patientid", "finding", "view", "filename"))
        self.films = FilmFolder(self.root, linked=(images,))
        self.reading = self._read(table)

    def _read(self, table: Table) -> Reading:
        run = TablePass(table)
        rule = SplitRule.of_table(table, "split" if "split" in table.columns else None, self.card.name)
        for row in table.rows:
            case = self._case(row, table, rule, run)
            if case is not None:
                run.add(case, row, id_column="filename", patient_column="patientid", film_is_id=True)
        return run.finish(
            none_left=f"none of the {len(table.rows):,} rows gives a case: no film of them is in "
            f"{self.root / IMAGES_FOLDER}, or none is a labelled X-ray. Download the images, or give the right folder."
        )

    def _case(self, row: Row, table: Table, rule: SplitRule, run: TablePass) -> Case | None:
        """Case of a row; None where it is left out or at fault, which is noted."""
        modality = row.text("modality") if "modality" in table.columns else ""
        if modality and modality.casefold() not in ("x-ray", "xray"):
            run.warning("excluded", f"modality {shown(modality)} is not X-ray; left out.", row, "modality")
            return None
        labels = _labels(row, run)
        film = self._film(row, run)
        if labels is None or film is None:
            return None
        case_id = row.text("filename")
        patient = row.text("patientid") or case_id
        split = rule.split(row, patient, run)
        if split is None:
            return None
        notes = row.text("clinical_notes") if "clinical_notes" in table.columns else ""
        return Case(
            case_id,
            patient,
            split,
            labels,
            image=film,
            view=run.parsed(parse_view, row, "view", "view", "warning"),
            sections={"notes": notes} if notes else {},
            profile=_profile(row, table, run),
        )

    def _film(self, row: Row, run: TablePass) -> str | None:
        reference = (PurePosixPath(IMAGES_FOLDER) / row.text("filename")).as_posix()
        try:
            self.films.path(reference)
        except FilmOutsideError as error:
            run.error("film outside root", str(error), row, "filename")
            return None
        except ImagingError as error:
            run.warning("missing film", f"{error} Left out.", row, "filename")
            return None
        return reference


def _labels(row: Row, run: TablePass) -> tuple[str, ...] | None:
    """Labels of a row; None, noted, where nobody labelled it or none of its diagnoses is known."""
    text = row.text("finding")
    names = [name.strip() for path in text.split(",") for name in path.split("/")]
    if all(name.casefold() in _UNLABELLED for name in names):
        run.warning("unlabelled", f"finding {shown(text)} is no diagnosis; left out.", row, "finding")
        return None
    labels: set[str] = set()
    for name in names:
        label = _BY_NAME.get(name.casefold())
        if label is None and name.casefold() not in _UNLABELLED | {_NO_FINDING}:
            run.warning("label", f"diagnosis {shown(name)} is not known and left out.", row, "finding")
        while label is not None:
            labels.add(label)
            label = _KIND_OF[label]
    if not labels and not any(name.casefold() == _NO_FINDING for name in names):
        run.warning("unlabelled", f"no diagnosis of finding {shown(text)} is known; left out.", row, "finding")
        return None
    return tuple(sorted(labels))


def _profile(row: Row, table: Table, run: TablePass) -> dict[str, ProfileValue]:
    """Age, sex, position, outcomes and origin of a film; what is missing or at fault is absent."""
    present = set(table.columns)
    fields: dict[str, ProfileValue | None] = {}
    if "age" in present:
        fields["age"] = run.parsed(parse_age, row, "age", "age", "warning")
    if "sex" in present:
        fields["sex"] = run.parsed(parse_sex, row, "sex", "sex", "warning")
    view = row.text("view").casefold()
    fields["position"] = next((name for word, name in _POSITIONS.items() if view.endswith(word)), None)
    for name in _YES_NO:
        if name in present and row.text(name).casefold() != "unclear":
            fields[name] = run.parsed(parse_yes_no, row, name, "value", "warning")
    for name in _NUMBERS:
        if name in present:
            fields[name] = run.parsed(parse_number, row, name, "value", "warning")
    for name in _TEXTS:
        if name in present and not is_unknown(row.text(name)):
            fields[name] = row.text(name)
    return {name: value for name, value in fields.items() if value is not None}
