"""Small datasets and untrained systems, with which a build of hundreds of cases takes seconds."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORDS = """normal heart size lung clear no effusion pneumothorax cardiomegaly mild small left right pleural opacity
nodule granuloma calcified the is in of with and a""".split()  # noqa: SIM905  a list of quoted words is harder to read


def save_text_encoder(folder: Path) -> Path:
    """A random two-layer BERT in the hub's own file format."""
    import torch

    from index_builder import vision_compat  # noqa: F401  must precede transformers

    transformers = importlib.import_module("transformers")
    letters = [chr(code) for code in range(97, 123)]
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters,
        *(f"##{one}" for one in letters),
        ".",
        ",",
    ]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(pieces)) + "\n", "utf-8")
    transformers.BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder)
    torch.manual_seed(0)
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(dict.fromkeys(pieces)),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
    ).save_pretrained(folder)
    return folder


def system_settings(text_encoder: Path) -> dict[str, Any]:
    """Configuration that every system has in common, of a few hundred kilobytes."""
    return {
        "image_encoder": "timm:test_resnet",
        "text_encoder": f"hub:{text_encoder}",
        "image_size": 64,
        "embedding_dim": 16,
        "token_dim": 16,
        "pool_queries": 2,
        "pool_width": 8,
    }


def save_untrained(folder: Path, config: Any, text_encoder: Path) -> Path:
    """A portable system that was never trained and embeds hundreds of cases a second."""
    import torch

    from index_builder.systems.registry import system_class

    torch.manual_seed(0)
    system = system_class(config.system)(config, pretrained=False, text_folder=text_encoder)
    system.eval().save(folder, portable=True)
    return folder


def save_unified(folder: Path, text_encoder: Path, embedding_dim: int = 16) -> Path:
    """`unified` as `save_untrained` saves it; it knows one of the labels of `write_films`."""
    from index_builder.systems.unified import UnifiedConfig

    config = UnifiedConfig(
        **system_settings(text_encoder) | {"embedding_dim": embedding_dim},
        fusion_heads=2,
        label_names=("Cardiomegaly", "Normal"),
        vote_neighbours=7,
    )
    return save_untrained(folder, config, text_encoder)


def write_films(folder: Path, count: int) -> Path:
    """A manifest of small cases: films with reports, films alone, reports alone, shared patients, one copy."""
    random = np.random.default_rng(0)
    labels = ["Cardiomegaly", "Effusion", "Nodule", ""]
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "patient_id", "image", "report", "labels", "age", "sex", "view"])
        for number in range(count):
            name = f"{number:03d}.png"
            pixels = random.integers(0, 256, (9, 8), dtype=np.uint8)
            if number == 1:  # a copy of the first film
                pixels = np.asarray(Image.open(folder / "000.png").resize((8, 9), Image.Resampling.NEAREST))
            has_film, has_report = number % 5 != 4, number % 7 != 6
            if has_film:
                Image.fromarray(pixels).resize((64, 72), Image.Resampling.NEAREST).save(folder / name)
            own = {labels[number % 4], labels[(number // 4) % 4]} - {""}
            report = " ".join(random.choice(WORDS, 12)) if has_report or not has_film else ""
            writer.writerow(
                [
                    f"case-{number:03d}",
                    f"patient-{number // 2:03d}",
                    name if has_film else "",
                    report,
                    "|".join(sorted(own)) or "No Finding",
                    20 + number % 70 if number % 11 else "",
                    "FM"[number % 2],
                    ("PA", "AP")[number % 3 == 0],
                ]
            )
    return folder


def write_hedged_films(folder: Path, count: int) -> Path:
    """`write_films` with a column a label: Effusion uncertain in every fifth row, all empty in every seventh."""
    write_films(folder, count)
    labels = ("Cardiomegaly", "Effusion", "Nodule")
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        carried = row.pop("labels").split("|")
        row |= {label: str(int(label in carried)) for label in labels}
        row["split"] = ("train", "val", "test")[number // 2 % 3]
        if number % 5 == 0:
            row["Effusion"] = "-1.0"
        if number % 7 == 0:
            row |= dict.fromkeys(labels, "")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "columns.yaml").write_text(
        "{case_id: case_id, patient_id: patient_id, image: image, report: report, view: view, split: split, "
        f"profile: [age, sex], label_columns: [{', '.join(labels)}]}}"
    )
    return folder


#: Invented reports: id -> text, labels, view; the label of r-07 contradicts its report.
REPORTS = {
    "r-01": ("There is a small nodule in the right upper lobe. No pleural effusion.", "Nodule", "PA"),
    "r-02": ("A nodule is seen in the left upper lobe. The heart is normal in size.", "Nodule", "PA"),
    "r-03": ("Large left pleural effusion. No pneumothorax.", "Effusion", "AP"),
    "r-04": ("Small right pleural effusion with basilar atelectasis.", "Effusion", "AP"),
    "r-05": ("Small bilateral pleural effusions. Mild cardiomegaly.", "Effusion|Cardiomegaly", "AP"),
    "r-06": ("The heart is normal in size. The lungs are clear. No effusion or pneumothorax.", "", "PA"),
    "r-07": ("No acute abnormality. No pleural effusion. No pneumothorax.", "Effusion", "PA"),
    "r-08": ("Mild cardiomegaly without pulmonary edema.", "Cardiomegaly", "PA"),
    "r-09": ("Severe cardiomegaly. Small left pleural effusion.", "Effusion|Cardiomegaly", "AP"),
    "r-10": ("Possible nodule in the right upper lobe.", "", "PA"),
    "r-11": ("Right lower lobe pneumonia.", "Pneumonia", "PA"),
    "r-12": ("Left pneumothorax with a chest tube in place.", "Pneumothorax", "AP"),
    "r-13": ("Calcified granuloma in the left lower lobe. No pneumothorax.", "", "PA"),
    "r-14": ("Hyperexpanded lungs with flattened diaphragms. No cardiomegaly.", "", "PA"),
    "r-15": ("Mass in the right upper lobe.", "Nodule", "PA"),
    "r-16": ("Degenerative changes of the thoracic spine. No effusion.", "", "PA"),
    "r-17": ("Right upper lobe opacity, a nodule cannot be excluded in the lingula.", "", "AP"),
    "r-18": ("Stable cardiomegaly. No focal consolidation.", "Cardiomegaly", "AP"),
}


def write_reports(folder: Path) -> Path:
    """A manifest of `REPORTS`, of a film with the report of r-01, "f-01", and of a film without report, "f-02"."""
    random = np.random.default_rng(0)
    rows = [(name, "", *told) for name, told in REPORTS.items()]
    for name, report in (("f-01", REPORTS["r-01"][0]), ("f-02", "")):
        Image.fromarray(random.integers(0, 256, (72, 64), dtype=np.uint8)).save(folder / f"{name}.png")
        rows.append((name, f"{name}.png", report, "Nodule", "PA"))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "patient_id", "image", "report", "labels", "view"])
        writer.writerows((name, name, image, text, labels, view) for name, image, text, labels, view in rows)
    return folder


def write_studies(folder: Path, count: int) -> Path:
    """A manifest of studies of several films, frontal ones bright and laterals dark.

    Every third has a frontal film alone, every fifth two laterals beside it, the last one a lateral alone; all others a
    frontal film and a lateral. The view of every seventh study's second film is unknown.
    """
    random = np.random.default_rng(0)

    def film(name: str, *, lateral: bool) -> str:
        low, high = (0, 90) if lateral else (120, 256)
        pixels = random.integers(low, high, (9, 8), dtype=np.uint8)
        if lateral:
            pixels[:, :3] = 200
        Image.fromarray(pixels).resize((64, 72), Image.Resampling.NEAREST).save(folder / name)
        return name

    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "image", "other_images", "other_views", "report", "labels", "view", "split"])
        for number in range(count):
            alone = number == count - 1
            first = film(f"{number:03d}-1.png", lateral=alone)
            laterals = 0 if alone or number % 3 == 2 else 2 if number % 5 == 4 else 1
            others = [film(f"{number:03d}-{place + 2}.png", lateral=True) for place in range(laterals)]
            views = ["unknown" if number % 7 == 6 and place == 0 else "LATERAL" for place in range(laterals)]
            report = " ".join(random.choice(WORDS, 12)) if number % 4 else ""
            label = ("Cardiomegaly", "Nodule")[number % 2]
            split = ("train", "val", "test", "train")[number % 4]
            view = "LATERAL" if alone else "PA"
            writer.writerow(
                [f"study-{number:03d}", first, "|".join(others), "|".join(views), report, label, view, split]
            )
    return folder
