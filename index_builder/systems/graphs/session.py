"""A graph run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from index_builder.errors import ModelError


def input_names(count: int) -> list[str]:
    """What the inputs of a graph are called, in order."""
    return [f"input{number}" for number in range(count)]


class Session:
    """A graph with the weights beside it.

    Called from several threads it runs on each of them: what it gives depends on its inputs alone, not on how many
    threads there are.
    """

    def __init__(self, path: Path) -> None:
        """Open. Raises `ModelError` where there is no such graph, or it is damaged."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised, too
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises whatever it meets
            reason = str(error).strip().splitlines()[0][:200]
            raise ModelError(f"{path}: unreadable ({reason}). Restore the file or rebuild.") from error
        self._read = {one.name for one in self._session.get_inputs()}

    def __call__(self, *inputs: NDArray) -> list[NDArray]:
        """What the graph gives, all outputs in order."""
        named = zip(input_names(len(inputs)), inputs, strict=True)
        return list(self._session.run(None, {name: np.ascontiguousarray(one) for name, one in named}))
