"""Casebooks and systems that many tests share, each made once per run."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from index_builder.build import BuildRequest, build
from index_builder.resources import default_checkpoint

# Machines that run this are shared: a slow call says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

WORDS = """normal heart size lung clear no effusion pneumothorax cardiomegaly mild small left right pleural opacity
nodule granuloma calcified the is in of with and a""".split()  # noqa: SIM905  a list of quoted words is harder to read


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="session")
def tiny_text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT in the hub's own file format."""
    import torch

    from index_builder import vision_compat  # noqa: F401  must precede transformers

    transformers = importlib.import_module("transformers")

    folder = tmp_path_factory.mktemp("tiny-bert")
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


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_text_encoder: Path) -> Path:
    """A portable untrained system of a few hundred kilobytes that embeds hundreds of cases a second."""
    import torch

    from index_builder.systems.unified import Unified, UnifiedConfig

    torch.manual_seed(0)
    config = UnifiedConfig(
        image_encoder="timm:test_resnet",
        text_encoder=f"hub:{tiny_text_encoder}",
        image_size=64,
        embedding_dim=16,
        hidden_dim=32,
        label_names=("Cardiomegaly", "Normal"),
    )
    folder = tmp_path_factory.mktemp("tiny-system")
    Unified(config, pretrained=False, text_folder=tiny_text_encoder).eval().save(folder, portable=True)
    return folder


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 300 small cases: films with reports, films alone, reports alone, shared patients, one copy."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    labels = ["Cardiomegaly", "Effusion", "Nodule", ""]
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case_id", "patient_id", "image", "report", "labels", "age", "sex", "view"])
        for number in range(300):
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
                    "|".join(sorted(own)),
                    20 + number % 70 if number % 11 else "",
                    "FM"[number % 2],
                    ("PA", "AP")[number % 3 == 0],
                ]
            )
    return folder


@pytest.fixture(scope="session")
def small_casebook(tmp_path_factory: pytest.TempPathFactory, film_folder: Path, tiny_checkpoint: Path) -> Path:
    """The 300 cases of `film_folder`, embedded by the untrained system. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "small"
    build(BuildRequest("manifest", film_folder, out, tiny_checkpoint), quiet)
    return out


@pytest.fixture(scope="session")
def phantom_casebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 cases of phantom-openi, embedded by the shipped system. Read only."""
    out = tmp_path_factory.mktemp("casebooks") / "phantom-openi"
    build(BuildRequest("phantom-openi", None, out, default_checkpoint(), limit=64), quiet)
    return out
