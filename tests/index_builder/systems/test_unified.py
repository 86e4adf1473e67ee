"""The unified system: what it encodes, fuses, learns, saves and refuses."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from index_builder.cases.case import Case
from index_builder.errors import ModelError
from index_builder.systems.base import Batch
from index_builder.systems.registry import load_system
from index_builder.systems.unified import Unified, UnifiedConfig

Make = Callable[..., Unified]


@pytest.fixture
def make(tiny_settings: dict[str, Any], tiny_text_encoder: Path) -> Make:
    def build(**changes: Any) -> Unified:
        torch.manual_seed(0)
        settings = tiny_settings | {"fusion_heads": 2, "label_names": ("Cardiomegaly", "Normal")} | changes
        return Unified(UnifiedConfig(**settings), pretrained=False, text_folder=tiny_text_encoder)

    return build


@pytest.fixture
def batch() -> Batch:
    """Twelve cases of two classes; the first three lack a text, the last three a film, one label is unknown."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.nn.functional.one_hot(torch.arange(12) % 2, 2).float()
    films = torch.rand(12, 64, 64, generator=generator) * 0.3
    films[labels[:, 0] == 1, :32] += 0.6
    films[9:] = 0
    known = torch.ones(12, 2, dtype=torch.bool)
    known[5, 1] = False
    return Batch(
        films=films,
        strong=None,
        has_film=torch.arange(12) < 9,
        texts=["" if row < 3 else ("mild cardiomegaly", "normal heart")[row % 2] for row in range(12)],
        labels=labels,
        known=known,
        group=torch.zeros(12, dtype=torch.int64),
    )


@pytest.fixture(scope="module")
def system(tiny_checkpoint: Path) -> Unified:
    return Unified.load(tiny_checkpoint).eval()


@torch.inference_mode()
def test_every_modality_gives_unit_vectors_of_one_space(system: Unified) -> None:
    image, text = system.encode_images(torch.rand(3, 64, 64)), system.encode_texts(["effusion", "the heart", "a"])
    joined = [system.join(image, text), system.join(image, None), system.join(None, text)]
    for vectors in (image.vector, text.vector, *joined):
        assert vectors.shape == (3, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert system.label_logits(image.vector).shape == (3, 2)
    probabilities = system.label_probabilities(image.vector)
    torch.testing.assert_close(probabilities, system.label_logits(image.vector).sigmoid())
    with pytest.raises(ValueError, match="at least one"):
        system.join(None, None)


@torch.inference_mode()
def test_fusion_reads_both_and_stands_in_for_what_is_missing(system: Unified) -> None:
    image = system.encode_images(torch.rand(2, 64, 64))
    texts = [system.encode_texts(words) for words in (["effusion", "nodule"], ["normal heart", "clear lung"])]
    assert not torch.allclose(system.join(image, texts[0]), system.join(image, texts[1]), atol=1e-3)
    assert not torch.allclose(system.join(image, None), image.vector, atol=1e-3)
    # A joint vector stays near what it was made of.
    for joint, parts in (
        (system.join(image, texts[0]), (image.vector, texts[0].vector)),
        (system.join(image, None), (image.vector,)),
    ):
        mean = torch.nn.functional.normalize(sum(parts), dim=-1)
        assert ((joint * mean).sum(1) > 0).all()


@torch.inference_mode()
def test_without_fusion_the_joint_vector_is_the_mean(make: Make) -> None:
    system = make(fusion_layers=0).eval()
    image, text = system.encode_images(torch.rand(2, 64, 64)), system.encode_texts(["effusion", "nodule"])
    torch.testing.assert_close(system.join(image, None), image.vector)
    mean = torch.nn.functional.normalize(image.vector + text.vector, dim=-1)
    torch.testing.assert_close(system.join(image, text), mean)
    weighted = make(fusion_layers=0, film_weight=0.2).eval()
    mean = torch.nn.functional.normalize(0.2 * image.vector + text.vector, dim=-1)
    torch.testing.assert_close(weighted.join(image, text), mean)
    torch.testing.assert_close(weighted.join(image, None), image.vector)


@torch.inference_mode()
def test_attention_goes_both_ways_over_real_tokens(system: Unified) -> None:
    words = ["the heart is normal in size", "effusion"]
    image, text = system.encode_images(torch.rand(2, 64, 64)), system.encode_texts(words)
    attention = system.cross_attention(image, text)
    patches, pieces = image.tokens.shape[1], text.tokens.shape[1]
    assert attention.text_to_image.shape == (2, pieces, patches)
    assert attention.image_to_text.shape == (2, patches, pieces)
    torch.testing.assert_close(attention.text_to_image.sum(-1), torch.ones(2, pieces))
    torch.testing.assert_close(attention.image_to_text.sum(-1), torch.ones(2, patches))
    assert not attention.image_to_text[1][:, ~text.mask[1]].any()
    assert [len(one) for one in system.word_pieces(words)] == text.mask.sum(1).tolist()


def test_the_texts_of_a_case_are_its_report_and_its_codes_as_typed() -> None:
    case = Case(
        "a", "p", "train", (), sections={"findings": "Dense."}, codes=("Opacity/lung/base/left", "Cardiomegaly")
    )
    assert Unified.text_of(case) == "Dense."
    assert Unified.training_texts(case) == ("Dense.", "Opacity, lung, base, left; Cardiomegaly")


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_losses_are_finite_and_fall(make: Make, batch: Batch, layers: int) -> None:
    system = make(fusion_layers=layers, hybrid=layers == 2).train()
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    seen = []
    for _ in range(40):
        terms = system.losses(batch, "fit")
        total = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        seen.append(float(total.detach()))
    assert set(terms) == {"image labels", "text labels", "contrast"} | ({"joint labels"} if layers else set())
    assert seen[-1] < 0.7 * seen[0]


def test_queries_learn_where_findings_lie(make: Make, batch: Batch) -> None:
    regions = torch.full((12, 2, 28, 28), torch.nan)
    regions[:6, 0] = 0
    regions[:6, 0, :14] = batch.labels[:6, 0, None, None]  # the bright half
    system = make(regions=0.5, contrast=0.0, dropout=0.0).train()
    without = system.losses(batch, "fit")
    assert "regions" not in without
    told = replace(batch, regions=regions)
    assert "regions" not in make(regions=0.0).losses(told, "fit")
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    seen = []
    for _ in range(60):
        term = system.losses(told, "fit")["regions"]
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
        seen.append(float(term.detach()))
    assert seen[-1] < 0.5 * seen[0]
    shown = batch.films[:6][batch.labels[:6, 0] == 1]
    weights = system.image_tower.pool.attention(system.encode_images(shown).tokens, torch.ones(1, dtype=torch.bool))
    assert (weights[:, 0, : weights.shape[-1] // 2].sum(-1) > 0.8).all()


def test_an_unknown_label_teaches_nothing(make: Make, batch: Batch) -> None:
    system = make(contrast=0.0, dropout=0.0, modality_dropout=0.0).eval()
    before = system.losses(batch, "fit")
    batch.labels[5, 1] = 1 - batch.labels[5, 1]
    after = system.losses(batch, "fit")
    for name in ("image labels", "text labels", "joint labels"):
        torch.testing.assert_close(before[name], after[name])
    batch.labels[4, 1] = 1 - batch.labels[4, 1]
    assert not torch.equal(system.losses(batch, "fit")["image labels"], after["image labels"])


def test_modality_dropout_hides_whole_modalities_in_the_joint_term_alone(make: Make, batch: Batch) -> None:
    system = make(contrast=0.0, dropout=0.0, modality_dropout=1.0).eval()
    torch.manual_seed(0)
    first = system.losses(batch, "fit")
    torch.manual_seed(1)
    second = system.losses(batch, "fit")
    assert not torch.equal(first["joint labels"], second["joint labels"])
    torch.testing.assert_close(first["image labels"], second["image labels"])


def test_films_of_other_cases_enter_the_joint_term_alone(make: Make, batch: Batch) -> None:
    def terms(share: float, films: torch.Tensor) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        system = make(contrast=0.0, dropout=0.0, modality_dropout=0.0, swapped_films=share).eval()
        return system.losses(replace(batch, films=films), "fit")

    own, swapped = terms(0.0, batch.films), terms(1.0, batch.films)
    torch.testing.assert_close(own["image labels"], swapped["image labels"])
    torch.testing.assert_close(own["text labels"], swapped["text labels"])
    assert not torch.equal(own["joint labels"], swapped["joint labels"])
    # Cases 3 to 8 have both: each is fused with the film of the one before; the others keep theirs.
    by_hand = batch.films.clone()
    by_hand[3:9] = batch.films[3:9].roll(1, 0)
    torch.testing.assert_close(terms(0.0, by_hand)["joint labels"], swapped["joint labels"])


def test_a_joint_vector_with_the_film_of_another_case_is_not_contrasted(make: Make, batch: Batch) -> None:
    complete = replace(
        batch,
        films=batch.films[3:9],
        has_film=batch.has_film[3:9],
        texts=batch.texts[3:9],
        labels=batch.labels[3:9],
        known=batch.known[3:9],
        group=batch.group[3:9],
    )

    def contrast(share: float, joint: float) -> torch.Tensor:
        torch.manual_seed(0)
        system = make(contrast=1.0, dropout=0.0, modality_dropout=0.0, swapped_films=share, joint=joint).eval()
        return system.losses(complete, "fit")["contrast"]

    torch.testing.assert_close(contrast(1.0, 1.0), contrast(1.0, 0.0))
    assert not torch.equal(contrast(0.0, 1.0), contrast(0.0, 0.0))


def test_only_a_case_that_keeps_its_report_changes_its_film(make: Make, batch: Batch) -> None:
    def joint(share: float) -> torch.Tensor:
        torch.manual_seed(0)
        system = make(contrast=0.0, dropout=0.0, modality_dropout=1.0, swapped_films=share).eval()
        return system.losses(batch, "fit")["joint labels"]

    torch.testing.assert_close(joint(0.0), joint(1.0))


@torch.inference_mode()
def test_a_text_s_vector_does_not_depend_on_its_batch(system: Unified) -> None:
    alone = system.encode_texts(["small effusion"]).vector[0]
    among = system.encode_texts(["the heart is normal in size and the lung is clear", "small effusion"]).vector[1]
    torch.testing.assert_close(alone, among, atol=1e-5, rtol=0)


def test_heads_refuse_encoders_they_were_not_trained_on(
    tmp_path: Path, tiny_settings: dict[str, Any], tiny_text_encoder: Path
) -> None:
    encoder = shutil.copytree(tiny_text_encoder, tmp_path / "bert")
    config = UnifiedConfig(
        **(tiny_settings | {"text_encoder": f"hub:{encoder}", "image_encoder": "package:efficientnet-lite0"}),
        fusion_heads=2,
        label_names=("Normal",),
    )
    Unified(config).save(tmp_path / "system", portable=False)
    load_system(tmp_path / "system")
    weights = load_file(encoder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 0.1
    save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="other weights of text_encoder"):
        load_system(tmp_path / "system")


def broken(folder: Path, change: str) -> None:
    config = folder / "config.json"
    if change == "no config":
        config.unlink()
    elif change == "not json":
        config.write_text("{")
    elif change == "other system":
        config.write_text(json.dumps({"system": "oracle"}))
    elif change == "odd field":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"depth": 7}))
    elif change == "truncated weights":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:500])
    elif change == "other shape":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"label_names": ["Normal"]}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no config", "no system there"),
        ("not json", "not a system configuration"),
        ("other system", "unknown system 'oracle'"),
        ("odd field", "depth"),
        ("truncated weights", "damaged system"),
        ("other shape", "do not fit"),
    ],
)
def test_damage_is_explained(tmp_path: Path, tiny_checkpoint: Path, change: str, said: str) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "system")
    broken(folder, change)
    with pytest.raises(ModelError, match=said):
        load_system(folder)


@torch.inference_mode()
def test_without_fusion_words_and_patches_are_compared_directly(make: Make) -> None:
    system = make(fusion_layers=0).eval()
    image, text = system.encode_images(torch.rand(2, 64, 64)), system.encode_texts(["effusion", "the heart"])
    attention = system.cross_attention(image, text)
    assert attention.text_to_image.shape == (2, text.tokens.shape[1], image.tokens.shape[1])
    torch.testing.assert_close(attention.text_to_image.sum(-1), torch.ones(2, text.tokens.shape[1]))
