"""DenseNets of torchxrayvision, trained on up to seven chest X-ray collections (Cohen et al. 2022, arXiv:2111.00595).

`xrv:NAME` takes the names torchxrayvision has, such as `xrv:densenet121-res224-all`. Its files are whole pickled
modules of 2020, in a format that `torch.load(weights_only=True)` refuses, and torchxrayvision itself unpickles them
without restriction. Here they are read without running anything they name: module classes become inert shells, from
which the tensors are picked.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from index_builder import vision_compat  # noqa: F401  must precede torchxrayvision
from index_builder.errors import ModelError
from index_builder.systems.backbones.backbone import Backbone, first_line, timm_backbone

_FEATURES = "features."
#: Of a DenseNet-121.
_WIDTH = 1024

#: torchxrayvision scales grey 0..1 to -1024..1024.
_MEAN, _STD = (0.5,), (1 / 2048,)


def xrv_backbone(source: str, image_size: int, *, pretrained: bool) -> Backbone:
    """A DenseNet-121 for one grey channel.

    Raises:
        ModelError: Unknown name, no connection at the first use, or a damaged file.
    """
    # timm's DenseNet has the layers of torchxrayvision's under the same names and needs no 4 s of import.
    backbone = timm_backbone(source, "densenet121", image_size, pretrained=False, channels=1)
    if pretrained:
        path = _weights_file(source)
        weights = {name: tensor for name, tensor in read_weights(path).items() if name.startswith(_FEATURES)}
        try:
            backbone.module.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(
                f"{path} does not fit a DenseNet-121 ({first_line(error)}). Delete it and retry."
            ) from error
    return replace(backbone, mean=_MEAN, std=_STD)


def xrv_classifier(source: str, *, pretrained: bool) -> tuple[tuple[str, ...], tuple[Tensor, Tensor, Tensor]]:
    """The findings a model tells by itself, and weights [L, D], bias [L] and operating points [L] of its classifier.

    Its published output is the sigmoid, stretched so that the operating point comes to one half.

    Raises:
        ModelError: As `xrv_backbone`.
    """
    settings = _settings(source)
    told = [number for number, label in enumerate(settings["labels"]) if label]
    points = torch.tensor(settings["op_threshs"])[told]
    weight, bias = torch.zeros(len(told), _WIDTH), torch.zeros(len(told))
    if pretrained:
        path = _weights_file(source)
        found = read_weights(path)
        try:
            weight, bias = found["classifier.weight"][told].float(), found["classifier.bias"][told].float()
        except (KeyError, IndexError) as error:
            raise ModelError(f"{path} holds no classifier of {len(told)} findings. Delete it and retry.") from error
    return tuple(settings["labels"][number] for number in told), (weight, bias, points)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights in a file of `torch.save`, whether it holds a module or a dictionary of tensors.

    Raises:
        ModelError: The file is damaged, or names something that weights have no need of.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the source of a shell is not that of the class it stands for
            content = torch.load(path, map_location="cpu", pickle_module=_RESTRICTED)
        found = dict(_tensors(content) if isinstance(content, _Shell) else content.items())
        if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()):
            raise pickle.UnpicklingError("it holds other things than tensors")
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ModelError(f"{path} cannot be read as weights ({first_line(error)}). Delete it and retry.") from error
    return found


class _Shell:
    """Stands for a module of a file: takes its state and does nothing."""

    dump_patches: ClassVar[bool] = False  # torch asks old modules for it


class _Unpickler(pickle.Unpickler):
    """Builds tensors, dictionaries and shells, and refuses to look anything else up."""

    _known: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._known:
            return self._known[module, name]
        if module.startswith("torch.nn.") or module == "torchxrayvision.models":
            return _Shell
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _load(stream: Any, **options: Any) -> Any:
    return _Unpickler(stream, **options).load()


_RESTRICTED = SimpleNamespace(__name__=__name__, Unpickler=_Unpickler, load=_load)


def _tensors(shell: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for group in (shell._parameters, shell._buffers):
        yield from ((prefix + name, tensor) for name, tensor in group.items() if tensor is not None)
    for name, child in shell._modules.items():
        if child is not None:
            yield from _tensors(child, f"{prefix}{name}.")


def _models() -> Any:
    with warnings.catch_warnings():  # torchxrayvision silences all warnings of a process when it is imported
        from torchxrayvision import models
    return models


def _settings(source: str) -> dict[str, Any]:
    """What torchxrayvision says of a model: where its weights are, its labels and operating points."""
    name, models = source.removeprefix("xrv:"), _models()
    known = sorted(one for one in models.model_urls if one.startswith("densenet"))
    if name not in known:
        raise ModelError(f"unknown image encoder {source!r}. torchxrayvision has: {', '.join(known)}.")
    return dict(models.model_urls[name])


def _weights_file(source: str) -> Path:
    """The file of a model in torchxrayvision's own cache, downloaded at the first use."""
    models, settings = _models(), _settings(source)
    name = source.removeprefix("xrv:")
    url = settings["weights_url"]
    if not url.startswith("https://"):
        raise ModelError(f"{url}: torchxrayvision gives no secure address for {name}. Install another version of it.")
    try:
        with redirect_stdout(sys.stderr):  # it prints its progress
            return Path(models.get_weights(name))
    except OSError as error:
        raise ModelError(
            f"image encoder {source!r} cannot be downloaded ({first_line(error)}). Check the connection, or put "
            f"{url} into ~/.torchxrayvision/models_data."
        ) from error
