"""A module run by ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Self

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

#: PyTorch's exporter keeps its state in globals.
_exporting = Lock()


class Session:
    """A module that was converted for ONNX Runtime.

    Called from several threads it runs on each of them: what it gives depends on its inputs alone, not on how many
    threads there are.
    """

    def __init__(self, module: nn.Module, example: Sequence[Tensor], axes: Sequence[Mapping[int, str]]) -> None:
        """Convert.

        Args:
            module: In evaluation mode on the processor; gives a tensor or a tuple of them.
            example: Its inputs, of any size along `axes`.
            axes: Of each input those that may have any size, by name.
        """
        self._names = [f"input{number}" for number in range(len(example))]
        with _exporting, TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            path = Path(folder) / "module.onnx"
            warnings.simplefilter("ignore")  # of branches that the trace fixes: `accelerate` compares what comes out
            torch.onnx.export(
                module,
                tuple(example),
                path,
                input_names=self._names,
                dynamic_axes=dict(zip(self._names, map(dict, axes), strict=True)),
                # By tracing: the newer exporter takes ten times as long.
                dynamo=False,
            )
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """What the module gives, without gradients."""
        given = {name: np.ascontiguousarray(one.numpy()) for name, one in zip(self._names, inputs, strict=True)}
        return [torch.from_numpy(found) for found in self._session.run(None, given)]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: it has no state, and copies of a system have the same weights."""
        return self
