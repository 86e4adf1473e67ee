"""SiCLIP: what it reads, learns and keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from index_builder.cases.case import Case
from index_builder.cases.space import SPACES
from index_builder.systems.base import Batch
from index_builder.systems.losses.contrast import symmetric_info_nce
from index_builder.systems.registry import load_system
from index_builder.systems.siclip import SiClip, SiClipConfig, same_class

TRADES = ["the right heart of a man", "small left nodule with calcified lung"]
Make = Callable[..., SiClip]


@pytest.fixture
def make(tiny_text_encoder: Path) -> Make:
    def build(**changes: Any) -> SiClip:
        torch.manual_seed(0)
        settings: dict[str, Any] = {
            "image_encoder": "timm:test_resnet",
            "text_encoder": f"hub:{tiny_text_encoder}",
            "image_size": 64,
            "embedding_dim": 16,
            "token_dim": 32,
            "pool_queries": 2,
            "pool_width": 16,
            "dropout": 0.0,
            "label_names": ("Stage 0", "Stage 1"),
        }
        return SiClip(SiClipConfig(**(settings | changes)), pretrained=False, text_folder=tiny_text_encoder)

    return build


@pytest.fixture
def batch() -> Batch:
    """Ten films of two classes, told apart by where they are bright; two lack a text, one lacks the film."""
    generator = torch.Generator().manual_seed(1)
    stage = torch.arange(10) % 2
    films = torch.rand(10, 64, 64, generator=generator) * 0.3
    films[stage == 1, :32] += 0.6
    films[9] = 0
    return Batch(
        films=films,
        strong=None,
        has_film=torch.arange(10) < 9,
        texts=["" if number in (2, 5) else TRADES[number % 2] for number in range(10)],
        labels=torch.nn.functional.one_hot(stage, 2).float(),
        known=torch.ones(10, 2, dtype=torch.bool),
        group=torch.zeros(10, dtype=torch.int64),
    )


def train(system: SiClip, batch: Batch, steps: int) -> list[dict[str, float]]:
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    system.train()
    seen = []
    for _ in range(steps):
        terms = system.losses(batch, "fit")
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        seen.append({name: float(term.detach()) for name, term in terms.items()})
    return seen


def test_the_text_of_a_case_is_its_profile_and_never_its_report_or_label() -> None:
    case = Case(
        "a", "p", "train", ("Stage 3",), sections={"findings": "Dense nodules."}, profile={"age": 50, "cough": True}
    )
    assert SiClip.text_of(case) == "50-year-old patient, cough."
    assert SiClip.training_texts(case) == (SiClip.text_of(case),)


@torch.inference_mode()
def test_every_modality_gives_unit_vectors_of_one_space(make: Make) -> None:
    system = make().eval()
    image, text = system.encode_images(torch.rand(3, 64, 64)), system.encode_texts(["nodule", "the heart", "a lung"])
    for vectors in (image.vector, text.vector, system.join(image, text)):
        assert vectors.shape == (3, 16)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(system.join(image, None), image.vector)
    torch.testing.assert_close(system.join(None, text), text.vector)
    torch.testing.assert_close(
        system.join(image, text), torch.nn.functional.normalize(image.vector + text.vector, dim=1)
    )
    attention = system.cross_attention(image, text)
    assert attention.text_to_image.shape == (3, text.tokens.shape[1], image.tokens.shape[1])
    torch.testing.assert_close(attention.image_to_text.sum(-1), torch.ones(image.tokens.shape[:2]))
    assert system.label_logits(image.vector) is None
    with pytest.raises(ValueError, match="at least one"):
        system.join(None, None)


def test_training_lowers_every_term_and_brings_films_to_the_profiles_of_their_class(make: Make, batch: Batch) -> None:
    system = make()
    encoders = {name: tensor.clone() for name, tensor in system.state_dict().items() if "encoder" in name}
    losses = train(system, batch, 20)
    assert set(losses[0]) == {"profile contrast", "image contrast"}
    assert losses[-1]["profile contrast"] < 0.7 * losses[0]["profile contrast"]
    assert losses[-1]["image contrast"] < 0.95 * losses[0]["image contrast"]
    assert all(torch.isfinite(torch.tensor(list(terms.values()))).all() for terms in losses)
    for name, before in encoders.items():
        torch.testing.assert_close(system.state_dict()[name], before, rtol=0, atol=0)
    with torch.inference_mode():
        system.eval()
        scores = system.encode_images(batch.films[:9]).vector @ system.encode_texts(TRADES).vector.T
    assert (scores.argmax(1) == torch.arange(9) % 2).all()


def test_the_published_system_is_image_and_profile_alone(make: Make, batch: Batch) -> None:
    system = make(image_contrast=0.0).eval()
    terms = system.losses(batch, "fit")
    assert set(terms) == {"profile contrast"}
    paired = batch.has_film & batch.has_text
    image = system.encode_images(batch.films[paired]).vector
    text = system.encode_texts([text for text, pair in zip(batch.texts, paired.tolist(), strict=True) if pair]).vector
    same = batch.labels[paired].argmax(1)[:, None] == batch.labels[paired].argmax(1)[None]
    torch.testing.assert_close(terms["profile contrast"], symmetric_info_nce(image, text, 0.07, same))


def test_cases_of_one_class_are_not_negatives(make: Make, batch: Batch) -> None:
    system = make(image_contrast=0.0)
    alike = replace(batch, labels=torch.tensor([[1.0, 0.0]]).expand(10, 2))
    assert system.losses(alike, "fit")["profile contrast"].item() == pytest.approx(0, abs=1e-6)
    unknown = replace(alike, known=torch.zeros(10, 2, dtype=torch.bool))
    assert system.losses(unknown, "fit")["profile contrast"].item() > 0.1


def test_same_class_compares_what_both_know() -> None:
    labels = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]]).float()
    known = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]]).bool()
    expected = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert same_class(labels, known).int().tolist() == expected


@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("lacking", ["films", "texts", "both"])
def test_batches_that_lack_a_modality_leave_out_what_needs_it(
    make: Make, batch: Batch, weight: float, lacking: str
) -> None:
    changes: dict[str, Any] = {}
    if lacking in ("films", "both"):
        changes["has_film"] = torch.zeros(10, dtype=torch.bool)
    if lacking in ("texts", "both"):
        changes["texts"] = [""] * 10
    terms = make(image_contrast=weight).losses(replace(batch, **changes), "fit")
    assert terms["profile contrast"].item() == 0
    assert ("image contrast" in terms) == (weight > 0 and lacking == "texts")
    torch.stack(list(terms.values())).sum().backward()


def test_the_temperature_is_learned_and_bounded_as_in_clip(make: Make, batch: Batch) -> None:
    system = make()
    assert system.temperature.item() == pytest.approx(0.07)
    train(system, batch, 3)
    assert system.temperature.item() != pytest.approx(0.07, abs=1e-5)
    with torch.no_grad():
        system.log_scale.fill_(20.0)
    system.losses(batch, "fit")
    assert system.temperature.item() == pytest.approx(0.01)


@torch.inference_mode()
def test_a_saved_system_gives_the_same_vectors(make: Make, batch: Batch, tmp_path: Path) -> None:
    system = make().eval()
    system.save(tmp_path / "system", portable=True)
    again = load_system(tmp_path / "system")
    assert isinstance(again, SiClip)
    assert again.config.image_contrast == system.config.image_contrast
    for one, other in (
        (system.encode_images(batch.films).vector, again.encode_images(batch.films).vector),
        (system.encode_texts(TRADES).vector, again.encode_texts(TRADES).vector),
    ):
        torch.testing.assert_close(one, other, atol=5e-3, rtol=0)
    assert again.temperature.item() == pytest.approx(0.07, rel=1e-3)


def test_a_vote_has_the_temperature_of_its_modality_and_older_configurations_one_for_all() -> None:
    older = SiClipConfig.model_validate({"system": "siclip", "vote_temperature": 0.02})
    assert {older.temperature_of(modality) for modality in SPACES} == {0.02}
    config = SiClipConfig.model_validate_json(
        older.model_copy(update={"vote_temperatures": {"image": 0.02, "text": 0.5}}).model_dump_json()
    )
    assert [config.temperature_of(modality) for modality in SPACES] == [0.02, 0.5, 0.02]
