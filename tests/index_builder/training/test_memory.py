"""Features of frozen backbones are made once and stay the same."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from index_builder.systems.config import SystemConfig
from index_builder.systems.encoding import Encoding
from index_builder.systems.registry import system_class
from index_builder.training.augment import fixed_views, weak_view
from index_builder.training.economy.memory import FeatureMemory, TextMemory


def test_each_film_is_looked_at_once(tmp_path: Path) -> None:
    looked: list[int] = []

    def look(films: Tensor) -> list[Tensor]:
        looked.append(len(films))
        return [films[:, None].expand(-1, 2, -1, -1) * 2, films.mean((1, 2))[:, None]]

    films = torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(0))
    with FeatureMemory(tmp_path / "features") as memory:
        first = memory(films[[0, 1, 0]], look)
        again = deepcopy(memory)(films[[4, 1, 0, 4]], look)
        assert looked == [2, 1]
        assert torch.equal(first[0][0], first[0][2])
        assert torch.equal(again[0][1], first[0][1])
        assert torch.equal(again[0][0], (films[4] * 2).half().float().expand(2, 8, 8))
        assert again[1].shape == (4, 1)
    assert not (tmp_path / "features").exists()


def test_views_of_a_film_come_again() -> None:
    films = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(5)
    seen: list[set[bytes]] = [set(), set(), set()]
    for order in ([0, 1, 2], [2, 0, 1]) * 20:
        for number, view in zip(order, fixed_views(films[order], order, 2, weak_view, generator)[0], strict=True):
            seen[number].add(view.numpy().tobytes())
    assert [len(views) for views in seen] == [2, 2, 2]
    other, _ = fixed_views(films, [0, 1, 2], 1, weak_view, generator, salt=1)
    assert all(view.numpy().tobytes() not in views for view, views in zip(other, seen, strict=True))


def test_texts_are_read_once_and_come_out_as_they_were(configs: dict[str, SystemConfig]) -> None:
    system = system_class("unified")(configs["unified"]).eval()
    read: list[list[str]] = []

    def encode(texts: list[str]) -> Encoding:
        read.append(texts)
        return system.encode_texts(texts)

    memory = TextMemory(encode)
    texts = ["the lung is clear", "mild small nodule", "left and right nodule with opacity"]
    memory(texts[1:])
    found = memory([*texts, texts[0]])
    assert read == [texts[1:], texts[:1]]
    with torch.no_grad():
        expected = system.encode_texts([*texts, texts[0]])
    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.vector, expected.vector, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.tokens[found.mask], expected.tokens[expected.mask], atol=5e-3, rtol=1e-3)
    assert not found.vector.requires_grad
