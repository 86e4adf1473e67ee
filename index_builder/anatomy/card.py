"""The segmenter's model card, written from the run itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from index_builder.anatomy.train import AnatomySchedule, FittedAnatomy, TrainingFilms
from index_builder.disclaimer import DISCLAIMER

_SOURCES = {
    "jsrt": (
        "JSRT database, outlines of van Ginneken et al. 2006: lungs, heart, clavicles",
        "Free for research and education; cite the papers",
    ),
    "covid": (
        "COVID-19 image data collection, lung outlines of V7 Labs as packaged in torchxrayvision",
        "Films: by film, see the collection's metadata; outlines: as published",
    ),
    "phantom-openi": ("Computer-drawn films: heart, and hulls of the lungs", "As this software"),
    "openi laterals": (
        "Open-i, laterals of the training part: nothing to outline",
        "CC BY-NC-ND 4.0, National Library of Medicine / Indiana University",
    ),
}


def write_anatomy_card(
    out: Path,
    films: TrainingFilms,
    fitted: FittedAnatomy,
    schedule: AnatomySchedule,
    commit: str,
    *,
    begun: bool = False,
) -> None:
    """Write `README.md` beside the weights: data with licences, settings, validation figures, commit.

    `begun` says that training began with the weights of an earlier run on the same films.
    """
    weights = sum(one.numel() for one in fitted.network.parameters())
    lines = [
        "# anatomy: lungs, heart and clavicles outlined on frontal films",
        "",
        DISCLAIMER,
        "",
        f"U-Net of {weights / 1e6:.2f} million weights in half precision, {fitted.config.size} px. Trained "
        f"by cxr-explorer {version('cxr-explorer')}, commit {commit}, in {fitted.seconds / 60:.0f} minutes; weights of "
        f"step {fitted.step} of {schedule.steps}, a running mean."
        + (" Begun with the weights of an earlier run." if begun else ""),
        "",
        "## Data",
        "",
        "| films | train | licence |",
        "|---|---|---|",
    ]
    for name, (group, share) in films.groups.items():
        title, licence = _SOURCES[name]
        lines.append(f"| {title} | {len(group)} (weight {share:g}) | {licence} |")
    lines += [
        "",
        "Training parts only, as the readers split them. The step was chosen on "
        f"{len(films.validation)} JSRT films of the validation part; the test part was not read. "
        "Figures on the test part: docs/explanation/anatomy.md.",
        "",
        "## Validation",
        "",
        "| structure | mean Dice |",
        "|---|---|",
        *(f"| {name} | {score:.3f} |" for name, score in fitted.validation.items()),
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(asdict(schedule) | fitted.config.model_dump(), separators=(",", ":")),
        "```",
    ]
    (out / "README.md").write_text("\n".join(lines) + "\n", "utf-8")
