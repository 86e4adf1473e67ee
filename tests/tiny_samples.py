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

    from index_builder.systems.base import system_class

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
                    "|".join(sorted(own)),
                    20 + number % 70 if number % 11 else "",
                    "FM"[number % 2],
                    ("PA", "AP")[number % 3 == 0],
                ]
            )
    return folder
