"""The checkpoints that come with the project."""

from pathlib import Path

import pytest
import torch

from index_builder.cases.labels import DUST_STAGES, OPENI_LABELS
from index_builder.systems import SYSTEMS
from index_builder.systems.registry import load_system
from index_builder.systems.shipped import default_checkpoint

_MOST_BYTES = 25_000_000


@pytest.mark.parametrize("name", SYSTEMS)
@torch.inference_mode()
def test_a_shipped_checkpoint_loads_and_a_portable_copy_agrees(tmp_path: Path, name: str) -> None:
    shipped = load_system(default_checkpoint(name))
    assert shipped.name == name
    assert set(OPENI_LABELS if name == "unified" else DUST_STAGES) <= set(shipped.config.label_names)
    shipped.save(tmp_path / "copy", portable=True)
    copy = load_system(tmp_path / "copy")
    films, texts = torch.rand(2, 224, 224), ["cardiomegaly with pulmonary edema", "57-year-old man, welder, cough."]
    for one, other in (
        (shipped.encode_images(films).vector, copy.encode_images(films).vector),
        (shipped.encode_texts(texts).vector, copy.encode_texts(texts).vector),
    ):
        assert (one * other).sum(1).min() > 0.999
    assert copy.config.label_names == shipped.config.label_names


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_shipped_checkpoint_is_small_and_has_its_card(name: str) -> None:
    folder = default_checkpoint(name)
    assert (folder / "model.safetensors").stat().st_size <= _MOST_BYTES
    card = (folder / "README.md").read_text("utf-8")
    assert "not for diagnosis" in card
    assert "licence" in card
