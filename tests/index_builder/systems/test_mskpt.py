"""MSK-PT: both phases, the teacher and what ablations remove."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from index_builder.errors import ModelError
from index_builder.systems.base import Batch
from index_builder.systems.mskpt import MskPt, MskPtConfig, stages_of
from index_builder.systems.registry import load_system

WORDS = ["the lung is clear", "mild small nodule", "left and right nodule with opacity", "calcified opacity"]
PAIR_TERMS = {"GRA": "gra", "TA": "ta", "PA": "pa"}
Make = Callable[..., MskPt]


@pytest.fixture
def make(tiny_text_encoder: Path) -> Make:
    def build(**changes: Any) -> MskPt:
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
            "label_names": ("Stage 0", "Stage 1", "Stage 2", "Stage 3"),
        }
        return MskPt(MskPtConfig(**(settings | changes)), pretrained=False, text_folder=tiny_text_encoder)

    return build


@pytest.fixture
def batch() -> Batch:
    """Twelve films of four stages, told apart by which quarter is bright; one without text, film or stage each."""
    generator = torch.Generator().manual_seed(1)
    stage = torch.arange(12) % 4
    films = torch.rand(12, 64, 64, generator=generator) * 0.3
    for film, number in zip(films, stage.tolist(), strict=True):
        top, left = 32 * (number // 2), 32 * (number % 2)
        film[top : top + 32, left : left + 32] += 0.6
    has_film = torch.arange(12) != 3
    films[~has_film] = 0
    known = torch.ones(12, 4, dtype=torch.bool)
    known[5] = False
    strong = (films + 0.1 * torch.rand(12, 64, 64, generator=generator)).clamp(0, 1)
    return Batch(
        films=films,
        strong=strong,
        has_film=has_film,
        texts=["" if number == 8 else WORDS[number % 4] for number in range(12)],
        labels=torch.nn.functional.one_hot(stage, 4).float(),
        known=known,
        group=torch.zeros(12, dtype=torch.int64),
    )


def train(system: MskPt, batch: Batch, phase: str, steps: int = 20) -> list[dict[str, float]]:
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    system.begin_phase(phase, [batch])
    system.train()
    seen = []
    for _ in range(steps):
        terms = system.losses(batch, phase)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        seen.append({name: float(term.detach()) for name, term in terms.items()})
    assert all(torch.isfinite(torch.tensor(list(terms.values()))).all() for terms in seen)
    return seen


def test_stages_are_taken_only_where_exactly_one_is_known() -> None:
    labels = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1]]).float()
    known = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1]]).bool()
    nothing = torch.zeros(5, dtype=torch.int64)
    found = stages_of(Batch(torch.zeros(5, 2, 2), None, nothing.bool(), [""] * 5, labels, known, nothing))
    assert found.tolist() == [1, -1, -1, -1, 2]


@torch.inference_mode()
def test_every_modality_gives_unit_vectors_of_one_space(make: Make, batch: Batch) -> None:
    system = make().eval()
    image, text = system.encode_images(batch.films[:4]), system.encode_texts(WORDS)
    for vectors in (image.vector, text.vector, system.join(image, text)):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(system.join(image, None), image.vector)
    torch.testing.assert_close(system.label_logits(image.vector).exp().sum(1), torch.ones(4))
    attention = system.cross_attention(image, text)
    torch.testing.assert_close(attention.text_to_image.sum(-1), torch.ones(text.mask.shape))
    assert attention.image_to_text[~text.mask[:, None].expand_as(attention.image_to_text)].max() == 0


def test_both_phases_learn_and_stage_films_without_their_reports(make: Make, batch: Batch) -> None:
    system = make()
    pretrained = train(system, batch, "pretrain")
    assert set(pretrained[0]) == {"image stage", "text stage", *PAIR_TERMS}
    assert all(pretrained[-1][name] < pretrained[0][name] for name in pretrained[0])
    distilled = train(system, batch, "distil")
    assert set(distilled[0]) == {"image stage", "teacher", "class texts", "consistency"}
    assert distilled[0]["teacher"] == pytest.approx(0, abs=1e-5)  # the student starts as its teacher
    assert distilled[-1]["image stage"] < distilled[0]["image stage"]
    with torch.inference_mode():
        system.eval()
        found = system.label_logits(system.encode_images(batch.films[batch.has_film]).vector).argmax(1)
    assert (found == (torch.arange(12) % 4)[batch.has_film]).all()


@pytest.mark.parametrize("name", list(PAIR_TERMS))
def test_a_weight_of_0_removes_its_term_and_nothing_else(make: Make, batch: Batch, name: str) -> None:
    full, ablated = make().eval(), make(**{PAIR_TERMS[name]: 0.0}).eval()
    doubled = make(**{PAIR_TERMS[name]: 2 * getattr(full.config, PAIR_TERMS[name])}).eval()
    terms = full.losses(batch, "pretrain")
    kept = ablated.losses(batch, "pretrain")
    assert set(terms) - set(kept) == {name}
    for other in kept:
        torch.testing.assert_close(kept[other], terms[other])
    torch.testing.assert_close(doubled.losses(batch, "pretrain")[name], 2 * terms[name])


def test_without_distillation_nothing_of_teacher_or_texts_is_left(make: Make, batch: Batch) -> None:
    system = make(distillation=0.0)
    assert set(train(system, batch, "distil", steps=1)[0]) == {"image stage", "consistency"}
    assert system._teacher is None
    assert set(train(make(distillation=0.0, consistency=0.0), batch, "distil", steps=1)[0]) == {"image stage"}


@pytest.mark.parametrize("stages", [0, 1])
def test_distillation_leaves_teacher_and_text_side_as_they_were(make: Make, batch: Batch, stages: int) -> None:
    system = make(trained_image_stages=stages)
    train(system, batch, "pretrain", steps=2)
    system.begin_phase("distil", [batch])
    teacher = system._teacher
    assert teacher is not None
    assert (teacher.encoder is not None) == (stages > 0)
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    with torch.no_grad():
        raw = system.image_encoder(batch.films)
        taught = teacher.vectors(batch.films, raw)
    optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=3e-3)
    system.train()
    for _ in range(3):
        optimiser.zero_grad()
        torch.stack(list(system.losses(batch, "distil").values())).sum().backward()
        optimiser.step()
    with torch.no_grad():
        # A frozen encoder is shared; a trained one is the teacher's own, whatever tokens it is handed.
        again = teacher.vectors(batch.films, raw if stages == 0 else torch.zeros_like(raw))
    torch.testing.assert_close(again, taught)
    after = system.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"image_tower", "classifier", *(["image_encoder"] if stages else [])}
    if teacher.encoder is not None:
        student, copied = dict(system.image_encoder.named_parameters()), teacher.encoder.named_parameters()
        assert all((parameter is student[name]) == (not student[name].requires_grad) for name, parameter in copied)


def test_the_teacher_is_neither_trained_nor_saved(make: Make, batch: Batch, tmp_path: Path) -> None:
    system = make(trained_image_stages=1)
    names, parameters = set(system.state_dict()), len(list(system.parameters()))
    system.begin_phase("distil", [batch])
    assert set(system.state_dict()) == names
    assert len(list(system.parameters())) == parameters
    assert not any("teacher" in name or "means" in name or "shares" in name for name in names)
    system.train()
    assert system._teacher is not None
    assert not system._teacher.tower.training
    system.save(tmp_path / "system", portable=False)


def test_distillation_reads_no_text_of_the_batch(make: Make, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    system = make().eval()
    system.begin_phase("distil", [batch])
    expected = system.losses(batch, "distil")

    def refuse(texts: list[str]) -> None:
        raise AssertionError(f"read {texts}")

    monkeypatch.setattr(system.text_encoder, "forward", refuse)
    silent = system.losses(replace(batch, texts=[""] * 12), "distil")
    assert set(silent) == set(expected)
    for name, term in expected.items():
        torch.testing.assert_close(silent[name], term)


def test_a_phase_begins_with_what_the_training_cases_hold(make: Make, batch: Batch) -> None:
    system = make().train()
    system.begin_phase("distil", iter([batch, batch]))
    assert system.training
    # Case 5, of stage 1, has no known stage.
    torch.testing.assert_close(system.stage_shares, torch.tensor([3, 2, 3, 3]) / 11)
    with torch.no_grad():
        vectors = system.eval().encode_texts(WORDS).vector
    torch.testing.assert_close(system.text_means, vectors, atol=1e-5, rtol=0)


def test_a_rare_stage_counts_as_much_as_a_common_one(make: Make, batch: Batch) -> None:
    system = make(label_smoothing=0.0).eval()
    rows = torch.tensor([0, 4, 8, 1])  # three of stage 0, one of stage 1
    one = replace(
        batch,
        films=batch.films[rows],
        has_film=batch.has_film[rows],
        texts=[""] * 4,
        labels=batch.labels[rows],
        known=batch.known[rows],
    )
    system.begin_phase("pretrain", [one])
    with torch.no_grad():
        logits = system.label_logits(system.encode_images(one.films).vector)
        expected = -(logits[:3, 0].mean() + logits[3, 1]) / 2
        torch.testing.assert_close(system.losses(one, "pretrain")["image stage"], expected)


@pytest.mark.parametrize("phase", ["pretrain", "distil"])
def test_data_without_texts_films_or_stages_leave_out_what_needs_them(make: Make, batch: Batch, phase: str) -> None:
    no_films = torch.zeros(12, dtype=torch.bool)
    untold = replace(batch, texts=[""] * 12)
    rest = {"pretrain": {"image stage"}, "distil": {"image stage", "teacher", "consistency"}}[phase]
    for data, expected in (
        (untold, rest),
        (replace(untold, has_film=no_films), {"image stage"}),
        (replace(batch, has_film=no_films), {"text stage" if phase == "pretrain" else "image stage"}),
    ):
        system = make()
        assert set(train(system, data, phase, steps=1)[0]) == expected
    # A stage that no training case has is no obstacle; no stage at all is.
    assert train(make(), replace(batch, known=(batch.labels[:, 2:3] == 0).expand(12, 4)), phase, steps=3)
    with pytest.raises(ModelError, match="exactly one"):
        make().begin_phase(phase, [replace(batch, known=torch.zeros(12, 4, dtype=torch.bool))])


def test_distillation_needs_its_beginning_and_strong_views(make: Make, batch: Batch) -> None:
    system = make()
    with pytest.raises(ValueError, match="begin_phase"):
        system.losses(batch, "distil")
    system.begin_phase("distil", [batch])
    with pytest.raises(ValueError, match="strong view"):
        system.losses(replace(batch, strong=None), "distil")


@torch.inference_mode()
def test_a_saved_system_gives_the_same_vectors_and_stages(make: Make, batch: Batch, tmp_path: Path) -> None:
    system = make(theta=0.4).eval()
    system.save(tmp_path / "system", portable=True)
    again = load_system(tmp_path / "system")
    assert isinstance(again, MskPt)
    assert again.config.theta == 0.4
    image, other = system.encode_images(batch.films).vector, again.encode_images(batch.films).vector
    torch.testing.assert_close(image, other, atol=5e-3, rtol=0)
    torch.testing.assert_close(system.encode_texts(WORDS).vector, again.encode_texts(WORDS).vector, atol=5e-3, rtol=0)
    torch.testing.assert_close(system.label_logits(image).exp(), again.label_logits(other).exp(), atol=1e-2, rtol=0)
