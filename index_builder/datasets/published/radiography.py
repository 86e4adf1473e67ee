"""The COVID-19 and Tuberculosis Radiography Databases: films of many collections in a folder for each class."""

from __future__ import annotations

from index_builder.datasets.base import DatasetCard
from index_builder.datasets.own.folder import Folder


class Radiography(Folder):
    """Reader of the COVID-19 Radiography Database and the Tuberculosis (TB) Chest X-ray Database.

    Layout, as published: a folder for each class, `COVID/images/COVID-1.png` with its lung outlines in `COVID/masks/`
    (since 2021; `COVID/COVID-1.png` before), `Lung_Opacity/`, `Normal/`, `Viral Pneumonia/`; or `Normal/Normal-1.png`
    and `Tuberculosis/`. `COVID.metadata.xlsx` and the like are not read: they hold file names and where a film came
    from. A folder with `metadata.csv` (columns filename, finding) beside `images/` is read by the shipped column map
    instead.

    Labels: the folder's name, COVID as COVID-19, Lung_Opacity as Lung Opacity; Normal is the empty set. There are no
    patient ids, so that films of one patient may come to lie in two parts, and no report.

    The films were gathered from other collections: RSNA's (so ChestX-ray14's) and the paediatric set's normal films and
    pneumonias, PadChest's, Hannover's and the COVID-19 image data collection's. Where classes come from different
    hospitals, a system can tell the hospital instead of the disease; and what is trained on one collection must not be
    tested on this one without a search for copies.

    Source: https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database and
    https://www.kaggle.com/datasets/tawsifurrahman/tuberculosis-tb-chest-xray-dataset
    Citation: see `card`.
    """

    card = DatasetCard(
        name="radiography",
        title="COVID-19 and Tuberculosis Radiography Databases",
        description="Frontal films gathered from many public collections: COVID-19, other lung opacities, viral "
        "pneumonia, tuberculosis and normal films. No patient ids, no reports.",
        citation="Rahman T, Khandakar A, Qiblawey Y, et al. Exploring the effect of image enhancement techniques on "
        "COVID-19 detection using chest X-ray images. Comput Biol Med 2021;132:104319. Chowdhury MEH, Rahman T, "
        "Khandakar A, et al. Can AI help in screening viral and COVID-19 pneumonia? IEEE Access 2020;8:132665-132676. "
        "Rahman T, Khandakar A, Kadir MA, et al. Reliable tuberculosis detection using chest X-ray with deep learning, "
        "segmentation and visualization. IEEE Access 2020;8:191586-191601.",
        licence="As stated by the publishers of each part; see the pages of both databases. Cite the papers.",
        source="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        label_definition="The class that a film was filed under, one for each film. Normal is the empty set.",
    )
    spelling = {"COVID": "COVID-19", "Lung_Opacity": "Lung Opacity", "Viral_Pneumonia": "Viral Pneumonia"}  # noqa: RUF012
