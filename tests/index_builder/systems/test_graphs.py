"""Graphs of a system: the vectors PyTorch gives, for any batch and whatever a case lacks, without PyTorch."""

from __future__ import annotations

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import encoder_samples as samples
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tiny_samples import save_text_encoder, save_untrained

from index_builder.build.system import keep_system
from index_builder.errors import ModelError
from index_builder.systems.backbones.encoders import ImageEncoder, TextEncoder
from index_builder.systems.base import WEIGHTS_FILE, RetrievalSystem
from index_builder.systems.graphs.encoder import Encoder
from index_builder.systems.graphs.record import ENCODER_FILE, read_record
from index_builder.systems.graphs.session import Session
from index_builder.systems.registry import load_system
from index_builder.systems.running import export
from index_builder.systems.running.opening import open_encoder
from index_builder.systems.running.parts import TextPart, torch_encoder
from index_builder.systems.shipped import default_checkpoint
from index_builder.systems.unified import UnifiedConfig

TEXTS = ["clear", "Small left effusion. Heart size is normal.", "no pneumothorax " * 200]
TINY = ["tiny_checkpoint", "tiny_siclip", "tiny_mskpt"]
#: How far a coordinate of a vector may lie from PyTorch's.
NEAR = 1e-4

Kept = tuple[RetrievalSystem, Encoder, Path]


def kept(source: Path, folder: Path) -> Kept:
    """A system as a casebook keeps it, in PyTorch and as graphs."""
    system = keep_system(load_system(source), folder)
    return system, open_encoder(folder), folder


@pytest.fixture(scope="module")
def unified(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(default_checkpoint("unified"), tmp_path_factory.mktemp("unified"))


def some_films(size: int, count: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, size, size), dtype=np.float32)


@torch.inference_mode()
def by_torch(system: RetrievalSystem, films: NDArray[np.float32]) -> dict[str, Any]:
    """What PyTorch makes of films, of `TEXTS`, and of both, either alone and all three together."""
    image, text = system.encode_images(torch.from_numpy(films)), system.encode_texts(TEXTS)
    found = {"image": image.vector, "text": text.vector, "joint": system.join(image, text)}
    found |= {"image alone": system.join(image, None), "text alone": system.join(None, text)}
    logits, probabilities = system.label_logits(image.vector), system.label_probabilities(image.vector)
    if logits is not None and probabilities is not None:
        found |= {"logits": logits, "probabilities": probabilities}
    return {name: one.numpy() for name, one in found.items()}


def by_encoder(encoder: Encoder, films: NDArray[np.float32]) -> dict[str, Any]:
    image, text = encoder.encode_films(films), encoder.encode_texts(TEXTS)
    found = {"image": image.vectors, "text": text.vectors, "joint": encoder.join(image, text)}
    found |= {"image alone": encoder.join(image, None), "text alone": encoder.join(None, text)}
    if (answers := encoder.label_answers(image.vectors)) is not None:
        found |= {"logits": answers[0], "probabilities": answers[1]}
    return found


def assert_alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, one in theirs.items():
        scale = max(1.0, float(np.abs(one).max()))
        np.testing.assert_allclose(ours[name], one, atol=NEAR * scale, err_msg=name)


@pytest.mark.parametrize("name", TINY)
def test_every_system_gives_the_vectors_and_labels_of_pytorch(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    system, encoder, folder = kept(request.getfixturevalue(name), tmp_path)
    record = read_record(folder)
    assert record is not None
    assert not record.in_torch
    assert not encoder.in_torch
    films = some_films(64)
    expected = by_torch(system, films)
    assert ("logits" in expected) == (name != "tiny_siclip")  # which has no classifier
    assert_alike(by_encoder(encoder, films), expected)
    assert_alike(by_encoder(torch_encoder(system), films), expected)
    assert encoder.tokens is not None
    assert set(encoder.tokens.vocabulary()) == set(torch_encoder(system).tokens.vocabulary())  # type: ignore[union-attr]


def test_the_shipped_system_does_too(unified: Kept) -> None:
    system, encoder, _ = unified
    assert not encoder.in_torch
    films = some_films(224, 5)[:3]
    assert_alike(by_encoder(encoder, films), by_torch(system, films))
    with torch.inference_mode():
        _, features = system.look(torch.from_numpy(films))
    np.testing.assert_allclose(encoder.encode_films(films).features, features.numpy(), atol=1e-3)


def test_a_batch_may_hold_cases_of_every_kind(unified: Kept) -> None:
    _, encoder, _ = unified
    image, text = encoder.encode_films(some_films(224, 2)), encoder.encode_texts(TEXTS[:2])
    rows = np.array([0, 1]), np.array([0, 2])
    mixed = encoder.join(image.at(rows[0], 3), text.at(rows[1], 3))
    first = np.array([0])
    for row, one in enumerate(
        (
            encoder.join(image.take(first), text.take(first)),
            encoder.join(image.take(np.array([1])), None),
            encoder.join(None, text.take(np.array([1]))),
        )
    ):
        np.testing.assert_allclose(mixed[row], one[0], atol=1e-5)


def test_without_fusion_vectors_alone_are_joined(
    tmp_path: Path, tiny_settings: dict[str, Any], tiny_text_encoder: Path
) -> None:
    config = UnifiedConfig(**tiny_settings, fusion_layers=0, label_names=("Nodule",))
    save_untrained(tmp_path / "source", config, tiny_text_encoder)
    system, encoder, _ = kept(tmp_path / "source", tmp_path / "kept")
    assert not encoder.record.fuses
    assert encoder.encode_films(some_films(64)).tokens is None
    assert_alike(by_encoder(encoder, some_films(64)), by_torch(system, some_films(64)))


def test_graphs_keep_no_weight_a_second_time(unified: Kept) -> None:
    folder = unified[2]
    held = sum(path.stat().st_size for path in folder.glob("*.onnx"))
    assert held < 0.02 * (folder / WEIGHTS_FILE).stat().st_size
    stored = load_file(folder / WEIGHTS_FILE)
    graph = onnx.load(folder / "text.onnx", load_external_data=True).graph
    named = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    name = "text_tower.pool.queries"
    np.testing.assert_array_equal(named[f"system.{name}.half"], stored[name])


def test_the_same_system_gives_the_same_files(unified: Kept, tmp_path: Path) -> None:
    kept(default_checkpoint("unified"), tmp_path)
    for path in unified[2].glob("*.onnx"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_a_film_gives_the_same_bits_from_any_thread(unified: Kept) -> None:
    encoder, films = unified[1], some_films(224)
    expected = encoder.encode_films(films)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: encoder.encode_films(films), range(8)):
            np.testing.assert_array_equal(found.vectors, expected.vectors)
            np.testing.assert_array_equal(found.features, expected.features)


def test_what_cannot_be_converted_stays_in_pytorch_and_is_named(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    convert = torch.onnx.export

    def refuse(module: Any, *others: Any, **options: Any) -> None:
        if isinstance(module, TextPart):
            raise RuntimeError("no such operator: roll\nand more")
        convert(module, *others, **options)

    monkeypatch.setattr(torch.onnx, "export", refuse)
    system, _, folder = kept(tiny_checkpoint, tmp_path)
    record = read_record(folder)
    assert record is not None
    assert record.in_torch == {"text": "it cannot be converted (no such operator: roll)"}
    assert not (folder / "text.onnx").exists()
    with caplog.at_level(logging.WARNING):
        encoder = open_encoder(folder)
    assert "PyTorch runs the text part, slower: it cannot be converted (no such operator: roll)" in caplog.text
    assert encoder.in_torch
    assert isinstance(encoder.parts["film"], Session)
    assert_alike(by_encoder(encoder, some_films(64)), by_torch(system, some_films(64)))


def test_a_graph_that_comes_out_otherwise_is_not_used(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Session.__call__
    monkeypatch.setattr(Session, "__call__", lambda self, *inputs: [1.01 * one for one in run(self, *inputs)])
    kept(tiny_checkpoint, tmp_path)
    record = read_record(tmp_path)
    assert record is not None
    assert set(record.in_torch) == {"film", "text", "join", "labels"}
    assert record.in_torch["join"] == "its output differs by 1.0e-02 of the largest value"


def test_a_system_kept_before_there_were_graphs_is_run_by_pytorch(
    tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = open_encoder(tiny_checkpoint)
    assert "was kept without graphs" in caplog.text
    assert encoder.in_torch
    assert_alike(by_encoder(encoder, some_films(64)), by_torch(load_system(tiny_checkpoint), some_films(64)))


@pytest.mark.parametrize("damaged", ["film.onnx", "join.onnx", ENCODER_FILE, "text/tokenizer.json"])
def test_damaged_files_are_named(damaged: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    _, _, folder = kept(tiny_checkpoint, tmp_path)
    path = folder / damaged
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ModelError, match=rf"{path.name}: unreadable"):
        open_encoder(folder)


def test_a_graph_reads_no_file_outside_its_folder(tiny_checkpoint: Path, tmp_path: Path) -> None:
    _, _, folder = kept(tiny_checkpoint, tmp_path / "system")
    shutil.move(folder / WEIGHTS_FILE, tmp_path / WEIGHTS_FILE)
    graph = onnx.load(folder / "labels.onnx", load_external_data=False)
    for one in graph.graph.initializer:
        for entry in one.external_data:
            entry.value = f"../{WEIGHTS_FILE}" if entry.key == "location" else entry.value
    (folder / "labels.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match=r"labels\.onnx: unreadable"):
        Session(folder / "labels.onnx")


def test_encoder_json_says_what_is_read(tiny_siclip: Path, tmp_path: Path) -> None:
    _, encoder, folder = kept(tiny_siclip, tmp_path)
    content = json.loads((folder / ENCODER_FILE).read_text())
    assert (content["reads"], content["classifies"], content["fuses"]) == ("profile", False, False)
    assert encoder.label_answers(np.zeros((1, 16), np.float32)) is None


@pytest.mark.parametrize(
    ("name", "size"), [("test_resnet", 64), ("test_vit", 96), ("swin_tiny_patch4_window7_224", 224)]
)
def test_film_encoders_convert(name: str, size: int, tmp_path: Path) -> None:
    encoder = ImageEncoder(f"timm:{name}", size, pretrained=False).eval()
    some, more = torch.rand(2, size, size), torch.rand(3, size, size)
    assert converted(encoder, (some,), (more,), [{0: "films"}], tmp_path) == ""


@pytest.mark.parametrize("kind", ["bert", "clip"])
def test_text_encoders_of_the_hub_convert(kind: str, tmp_path: Path) -> None:
    save_text_encoder(tmp_path) if kind == "bert" else samples.save_clip(tmp_path)
    encoder = TextEncoder(f"hub:{tmp_path}", pretrained=True).eval()

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return encoder.tokens(inputs)

    some, more = encoder.tokenize(["the", "no"]), encoder.tokenize(["the heart", "", "no effusion"])
    assert converted(Words(), some, more, [{0: "texts", 1: "pieces"}] * 2, tmp_path) == ""


def converted(module: torch.nn.Module, some: Any, more: Any, axes: Any, folder: Path) -> str:
    """What a module's graph gives otherwise for a batch of another size."""
    from safetensors.torch import save_file

    weights = {name: one.half().contiguous().clone() for name, one in module.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE)
    with torch.no_grad():
        export.write_graph(module, some, axes, folder / "module.onnx", folder / WEIGHTS_FILE)
    return export.check_graph(module, more, Session(folder / "module.onnx"))
