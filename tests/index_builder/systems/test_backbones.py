"""Image encoders a user may name, in the file formats they are published in, read without a connection."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import encoder_samples as samples
import pytest
import torch
from torch import Tensor, nn

from index_builder.errors import ModelError
from index_builder.systems.backbones.encoders import ImageEncoder, weights_digest
from index_builder.systems.backbones.xrv import read_weights

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def films(size: int, count: int = 2) -> Tensor:
    return torch.rand(count, size, size, generator=torch.Generator().manual_seed(0))


def pixels(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """What a library's own preprocessing gives its model for the same films."""
    colour = films(size).unsqueeze(1).expand(-1, 3, -1, -1)
    return (colour - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@torch.inference_mode()
def tokens_of(encoder: ImageEncoder, size: int) -> Tensor:
    return encoder.eval()(films(size))


@torch.inference_mode()
def test_a_timm_folder_gives_the_tokens_of_the_model_it_was_saved_from(tmp_path: Path) -> None:
    swin, resnet = samples.save_timm_swin(tmp_path / "swin"), samples.save_timm_resnet(tmp_path / "resnet")
    found = tokens_of(ImageEncoder(f"timm:local-dir:{tmp_path}/swin", 64, pretrained=True), 64)
    expected = swin.forward_features(pixels(64, IMAGENET_MEAN, IMAGENET_STD)).flatten(1, 2)
    torch.testing.assert_close(found, expected)
    found = tokens_of(ImageEncoder(f"timm:local-dir:{tmp_path}/resnet", 64, pretrained=True), 64)
    expected = resnet.forward_features(pixels(64, (0.5,) * 3, (0.5,) * 3)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    larger = ImageEncoder(f"timm:local-dir:{tmp_path}/swin", 96, pretrained=True)
    assert tokens_of(larger, 96).shape == (2, 9, 128)


@torch.inference_mode()
def test_the_image_half_of_a_clip_repository(tmp_path: Path) -> None:
    clip = samples.save_clip(tmp_path)
    for size, patches in ((32, 16), (48, 36)):
        encoder = ImageEncoder(f"hub:{tmp_path}", size, pretrained=True)
        shown = pixels(size, CLIP_MEAN, CLIP_STD)
        expected = clip.vision_model(shown, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        torch.testing.assert_close(tokens_of(encoder, size), expected)
        assert expected.shape == (2, patches, encoder.dim)
    assert not any("text" in name for name, _ in encoder.named_parameters())


@pytest.mark.parametrize(
    ("kind", "size", "patches", "before"),
    [("dinov2", 28, 4, 1), ("dinov2", 56, 16, 1), ("registers", 28, 4, 5), ("swin", 64, 4, 0), ("swin", 96, 9, 0)],
)
@torch.inference_mode()
def test_patch_tokens_without_class_and_registers(
    tmp_path: Path, kind: str, size: int, patches: int, before: int
) -> None:
    model = samples.save_vision(kind, tmp_path)
    options = {"interpolate_pos_encoding": True} if kind == "swin" else {}
    expected = model(pixels(size, IMAGENET_MEAN, IMAGENET_STD), **options).last_hidden_state[:, before:]
    found = tokens_of(ImageEncoder(f"hub:{tmp_path}", size, pretrained=True), size)
    assert found.shape[1] == patches
    torch.testing.assert_close(found, expected)


@torch.inference_mode()
def test_convolutional_maps_become_rows_of_patches(tmp_path: Path) -> None:
    model = samples.save_vision("convnext", tmp_path)
    found = tokens_of(ImageEncoder(f"hub:{tmp_path}", 96, pretrained=True), 96)
    grid = model(pixels(96, IMAGENET_MEAN, IMAGENET_STD)).last_hidden_state
    torch.testing.assert_close(found.view(2, 3, 3, 16), grid.permute(0, 2, 3, 1))


@torch.inference_mode()
def test_films_are_normalised_as_the_repository_says(tmp_path: Path) -> None:
    model = samples.save_vision("dinov2", tmp_path)
    preprocessor = {"image_mean": [0.53] * 3, "image_std": [0.25] * 3, "image_processor_type": "BitImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    found = tokens_of(ImageEncoder(f"hub:{tmp_path}", 28, pretrained=True), 28)
    torch.testing.assert_close(found, model(pixels(28, (0.53,) * 3, (0.25,) * 3)).last_hidden_state[:, 1:])
    (tmp_path / "preprocessor_config.json").unlink()
    newer = {"image_processor": preprocessor | {"do_normalize": False}}
    (tmp_path / "processor_config.json").write_text(json.dumps(newer))
    found = tokens_of(ImageEncoder(f"hub:{tmp_path}", 28, pretrained=True), 28)
    torch.testing.assert_close(found, model(pixels(28, (0.0,) * 3, (1.0,) * 3)).last_hidden_state[:, 1:])


def test_weights_a_repository_lacks_do_not_change_its_digest(tmp_path: Path) -> None:
    samples.save_vision("vit", tmp_path)  # a classifier: it has no pooler, which transformers would draw at random
    torch.manual_seed(1)
    first = weights_digest(ImageEncoder(f"hub:{tmp_path}", 32, pretrained=True))
    torch.manual_seed(2)
    assert weights_digest(ImageEncoder(f"hub:{tmp_path}", 32, pretrained=True)) == first


def build(kind: str, folder: Path, trained: int = 0) -> tuple[ImageEncoder, int]:
    """A small encoder of each kind and the film size it takes."""
    source, size = f"hub:{folder}", {"dinov2": 28, "vit": 32, "clip": 32}.get(kind, 64)
    if kind == "timm swin":
        samples.save_timm_swin(folder)
        source = f"timm:local-dir:{folder}"
    elif kind == "timm resnet":
        samples.save_timm_resnet(folder)
        source = f"timm:local-dir:{folder}"
    elif kind == "clip":
        samples.save_clip(folder)
    elif kind == "lite0":
        source = "package:efficientnet-lite0"
    elif kind == "timm densenet":
        source = "timm:densenet121"
    else:
        samples.save_vision(kind, folder)
    return ImageEncoder(source, size, pretrained=kind != "timm densenet", trained_stages=trained), size


STAGES = {
    "timm swin": ["patch_embed", "layers.0", "layers.1", "layers.2", "layers.3"],
    "timm resnet": ["conv1", "layer1", "layer2", "layer3", "layer4"],
    "timm densenet": [
        "features.conv0",
        "features.denseblock1",
        "features.transition1",
        "features.denseblock2",
        "features.transition2",
        "features.denseblock3",
        "features.transition3",
        "features.denseblock4",
    ],
    "lite0": ["conv_stem", *(f"blocks.{number}" for number in range(7)), "conv_head"],
    "clip": ["embeddings", "encoder.layers.0", "encoder.layers.1", "encoder.layers.2"],
    "dinov2": ["embeddings", "encoder.layer.0", "encoder.layer.1", "encoder.layer.2"],
    "vit": ["embeddings", "layers.0", "layers.1", "layers.2"],
    "swin": ["embeddings", *(f"encoder.layers.{number}" for number in range(4))],
    "convnext": ["embeddings", *(f"encoder.stages.{number}" for number in range(4))],
}


@pytest.mark.parametrize("kind", STAGES)
def test_films_pass_every_stage_once_in_order(tmp_path: Path, kind: str) -> None:
    encoder, size = build(kind, tmp_path)
    passed: list[str] = []
    for name, stage in encoder.stages.items():
        stage.register_forward_hook(lambda *_, name=name: passed.append(name))
    tokens_of(encoder, size)
    assert passed == list(encoder.stages) == STAGES[kind]


@pytest.mark.parametrize("kind", ["timm resnet", "lite0", "timm swin", "clip", "swin"])
def test_earlier_stages_stay_as_they_were_while_the_last_is_trained(tmp_path: Path, kind: str) -> None:
    encoder, size = build(kind, tmp_path, trained=1)
    head = nn.Linear(encoder.dim, 1)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in [*encoder.parameters(), *head.parameters()] if p.requires_grad], 0.1)
    encoder.train()
    head(encoder(films(size)).mean(1)).square().sum().backward()
    last = dict(encoder.stages[list(encoder.stages)[-1]].named_parameters())
    assert all(parameter.grad is not None for parameter in last.values())
    first = next(encoder.stages[list(encoder.stages)[-1]].parameters())
    order = [parameter is first for parameter in encoder.parameters()].index(True)
    assert all(parameter.grad is None for parameter in list(encoder.parameters())[:order])
    optimiser.step()
    prefix = f"backbone.{list(encoder.stages)[-1]}."
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    names = list(before)
    start = next(number for number, name in enumerate(names) if name.startswith(prefix))
    assert {name for name in names if name.startswith(prefix)} & changed
    assert not changed & set(names[:start])


def test_how_much_of_an_encoder_is_trained(tmp_path: Path) -> None:
    samples.save_timm_swin(tmp_path)
    counts = []
    for trained in (0, 1, 2, 5, 9, -1):
        encoder = ImageEncoder(f"timm:local-dir:{tmp_path}", 64, pretrained=True, trained_stages=trained)
        counts.append(sum(parameter.requires_grad for parameter in encoder.parameters()))
    whole = len(list(encoder.parameters()))
    assert counts[0] == 0 < counts[1] < counts[2] < counts[3] == counts[4] == counts[5] == whole
    last = ImageEncoder(f"timm:local-dir:{tmp_path}", 64, pretrained=True, trained_stages=1)
    assert all(parameter.requires_grad for parameter in last.backbone.get_submodule("norm").parameters())


@pytest.mark.parametrize("kind", ["timm swin", "clip", "swin", "dinov2"])
def test_an_encoder_is_rebuilt_without_its_source(tmp_path: Path, kind: str) -> None:
    encoder, size = build(kind, tmp_path / "encoder")
    expected = tokens_of(encoder, size)
    architecture = json.loads(json.dumps(encoder.architecture))
    shutil.rmtree(tmp_path / "encoder")
    again = ImageEncoder(encoder.source, size, pretrained=False, architecture=architecture)
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(tokens_of(again, size), expected)


def saved_for_torchxrayvision(home: Path, *, legacy: bool, edit: Callable[[Any], Any] = lambda model: model) -> Any:
    """The file of densenet121-res224-all where torchxrayvision keeps it: a whole pickled module."""
    xrv = importlib.import_module("torchxrayvision")
    torch.manual_seed(0)
    model = xrv.models.DenseNet(num_classes=18)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features) * 0.4 - 0.2
            module.running_var = torch.rand(module.num_features) + 0.5
    folder = home / ".torchxrayvision" / "models_data"
    folder.mkdir(parents=True)
    name = xrv.models.model_urls["densenet121-res224-all"]["weights_url"].rpartition("/")[2]
    torch.save(edit(model), folder / name, _use_new_zipfile_serialization=not legacy)
    return model.eval()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("legacy", [True, False], ids=["format of 2020", "format of today"])
@torch.inference_mode()
def test_torchxrayvision_files_give_its_own_features(home: Path, legacy: bool) -> None:
    xrv = importlib.import_module("torchxrayvision")
    model = saved_for_torchxrayvision(home, legacy=legacy)
    grey = xrv.utils.normalize((films(96) * 255).numpy(), 255)  # its own scaling to -1024..1024
    expected = torch.relu(model.features(torch.from_numpy(grey).unsqueeze(1))).flatten(2).transpose(1, 2)
    found = tokens_of(ImageEncoder("xrv:densenet121-res224-all", 96, pretrained=True), 96)
    assert found.shape == (2, 9, 1024)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


class Trap:
    """Runs a command where it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [True, False])
def test_files_that_run_code_are_refused_unrun(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "trap.pt"
    torch.save(
        {"weight": torch.zeros(1), "trap": Trap(tmp_path / "sprung")}, path, _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(ModelError, match=r"it names (posix|nt)\.system"):
        read_weights(path)
    assert not (tmp_path / "sprung").exists()


def test_weights_are_read_from_a_dictionary_too_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"a.weight": torch.ones(2)}, path)
    assert read_weights(path)["a.weight"].tolist() == [1, 1]
    for content in ([torch.ones(2)], {"a": "text"}, {1: torch.ones(1)}):
        torch.save(content, path)
        with pytest.raises(ModelError, match="Delete it and retry"):
            read_weights(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="Delete it and retry"):
        read_weights(path)


def test_torchxrayvision_files_of_other_networks_are_refused(home: Path) -> None:
    saved_for_torchxrayvision(home, legacy=False, edit=lambda model: model.features.denseblock1)
    with pytest.raises(ModelError, match="does not fit a DenseNet-121"):
        ImageEncoder("xrv:densenet121-res224-all", 64, pretrained=True)


def test_torchxrayvision_without_a_connection_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(ModelError, match=r"put https://github.com/.*into ~/.torchxrayvision"):
        ImageEncoder("xrv:densenet121-res224-nih", 64, pretrained=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet50", "unknown image encoder 'resnet50'"),
        ("hub:", "unknown image encoder 'hub:'"),
        ("package:other", "Give one of: package:efficientnet-lite0"),
        ("timm:no_such_model", "no_such_model"),
        ("timm:local-dir:/no/such/folder", "/no/such/folder"),
        ("hub:/no/such/folder", "/no/such/folder.*save_pretrained"),
        ("xrv:resnet50-res512-all", "torchxrayvision has: .*densenet121-res224-nih"),
    ],
)
def test_unknown_image_encoders_are_named(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ImageEncoder(source, 64, pretrained=True)


def test_pickled_weights_of_a_repository_are_refused(tmp_path: Path) -> None:
    model = samples.save_vision("dinov2", tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"only safetensors.*@refs/pr/N"):
        ImageEncoder(f"hub:{tmp_path}", 28, pretrained=True)


def test_a_repository_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    samples.save_vision("dinov2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(ModelError, match=r"no weights for encoder\.layer\.3\."):
        ImageEncoder(f"hub:{tmp_path}", 28, pretrained=True)


def test_repositories_that_give_no_patches_are_refused(tmp_path: Path, tiny_text_encoder: Path) -> None:
    with pytest.raises(ModelError, match="BertModel, which reads no films"):
        ImageEncoder(f"hub:{tiny_text_encoder}", 32, pretrained=True)
    samples.save_vision("vit", tmp_path / "vit")
    with pytest.raises(ModelError, match=r"does not take films of 4 px.*image_size: 32"):
        ImageEncoder(f"hub:{tmp_path}/vit", 4, pretrained=True)
    samples.save_vision("pvt", tmp_path / "pvt")
    with pytest.raises(ModelError, match="5 tokens for a film of 64 px"):
        ImageEncoder(f"hub:{tmp_path}/pvt", 64, pretrained=True)


def test_names_and_revisions_are_found_in_the_hub_s_cache_offline(tmp_path: Path) -> None:
    """What an earlier download left: the cache's own layout, in a process without a connection."""
    repository = tmp_path / "hub" / "models--someone--encoder"
    for branch, commit in (("main", "a" * 40), ("refs/pr/1", "b" * 40)):
        (repository / "refs" / branch).parent.mkdir(parents=True, exist_ok=True)
        (repository / "refs" / branch).write_text(commit)
    samples.save_vision("dinov2", repository / "snapshots" / ("b" * 40))
    older = repository / "snapshots" / ("a" * 40)
    shutil.copytree(repository / "snapshots" / ("b" * 40), older)
    (older / "model.safetensors").rename(older / "pytorch_model.bin")
    script = """
import sys
from index_builder.errors import ModelError
from index_builder.systems.backbones.encoders import ImageEncoder
print(ImageEncoder("hub:someone/encoder@refs/pr/1", 28, pretrained=True).dim)
try:
    ImageEncoder("hub:someone/encoder", 28, pretrained=True)
except ModelError as error:
    print(error)
"""
    surroundings = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", script], env=surroundings, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0] == "16"
    assert "hub:someone/encoder" in lines[1]
    assert "hub:NAME@refs/pr/N" in lines[1]
