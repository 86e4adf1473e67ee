"""Graphs of a system, written once beside its weights.

A graph holds no weights of its own: it names those of `model.safetensors`, where they lie in half precision as ONNX's
external data, and turns them into single precision when it is opened, as PyTorch does. So a casebook keeps each weight
once, and a graph is a few hundred kilobytes.
"""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from safetensors.numpy import load_file
from torch import Tensor, nn

from index_builder.errors import ModelError
from index_builder.systems.backbones.backbone import first_line
from index_builder.systems.graphs.encoder import Part
from index_builder.systems.graphs.record import EncoderRecord, PartName, TextRecord, graph_file
from index_builder.systems.graphs.session import Session, input_names
from index_builder.systems.graphs.tokens import StoredTokens
from index_builder.systems.running.parts import Eager, modules_of, record_of, torch_encoder

if TYPE_CHECKING:
    from index_builder.systems.base import RetrievalSystem

#: Outputs of graph and module may differ by this share of the largest: single precision through a hundred layers.
_TOLERANCE = 1e-4
#: What tokenizers treat differently: length, white space, letters beyond ASCII, markup, and more than is read.
_TEXTS = (
    ["no effusion", "clear"],
    ["small right effusion", "", "scar"],
    ["Heart  size\tis normal.\n", "“Œdème”, 5 µm – naïve", "a &amp; b <br> c", "no pneumothorax " * 400],
)

#: PyTorch's exporter keeps its state in globals.
_exporting = Lock()

_Axes = Sequence[Mapping[int, str]]


def write_graphs(system: RetrievalSystem, folder: Path) -> EncoderRecord:
    """Convert the parts of a system, each compared with PyTorch; one that comes out otherwise stays there.

    Args:
        system: As `registry.load_system` opened it from `folder`, on the processor.
        folder: Where `RetrievalSystem.save` wrote it, portable; graphs and record are added.

    Returns:
        What was written, and which parts stay in PyTorch and why.
    """
    in_torch: dict[Any, str] = {}
    record = record_of(system)
    if record.framing is not None and record.framing.library == "torchvision":
        in_torch["framing"] = "films are reduced by a function of torchvision's"
    text = record.text
    if text is not None and (problem := _other_tokens(system, folder, text)):
        in_torch["text"], text = problem, None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside other work several threads wait longer for one another than they save
    try:
        examples = _examples(system)
        for name, module in modules_of(system).items():
            if name not in in_torch and (problem := _problem(module, examples[name], _AXES[name], folder, name)):
                graph_file(folder, name).unlink(missing_ok=True)
                in_torch[name] = problem
                text = None if name == "text" else text
    finally:
        torch.set_num_threads(threads)
    record = record.model_copy(update={"text": text, "in_torch": in_torch})
    record.save(folder)
    return record


def write_graph(module: nn.Module, example: Sequence[Tensor], axes: _Axes, path: Path, weights: Path) -> None:
    """Convert a module.

    Args:
        module: In evaluation mode on the processor; gives a tensor or a tuple of them.
        example: Its inputs, of any size along `axes`.
        axes: Of each input those that may have any size, by name.
        path: Of the graph.
        weights: The safetensors beside it that hold, in half precision, whatever weights of the module they hold.
    """
    names = input_names(len(example))
    with _exporting, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of branches that the trace fixes: what comes out is compared
        torch.onnx.export(
            module,
            tuple(example),
            path,
            input_names=names,
            dynamic_axes=dict(zip(names, map(dict, axes), strict=True)),
            # Neither folded nor merged, so that weights are those of the module by name and value. ONNX Runtime does
            # both when it opens the graph.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            # By tracing: the newer exporter takes ten times as long.
            dynamo=False,
        )
    graph = onnx.load(path)
    _link_weights(graph.graph, weights)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def check_graph(module: nn.Module, inputs: Sequence[Tensor], run: Part) -> str:
    """What a graph gives otherwise than its module; empty: nothing."""
    given = [one.numpy() for one in inputs]
    for ours, theirs in zip(run(*given), Eager(module)(*given), strict=True):
        worst = float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))
        if not worst < _TOLERANCE:
            return f"its output differs by {worst:.1e} of the largest value"
    return ""


_AXES: dict[PartName, _Axes] = {
    "film": [{0: "films"}],
    "text": [{0: "texts", 1: "pieces"}] * 2,
    "join": [{0: "cases"}] * 2 + [{0: "cases", 1: "patches"}] * 2 + [{0: "cases", 1: "pieces"}] * 2,
    "labels": [{0: "cases"}],
}


def _examples(system: RetrievalSystem) -> dict[PartName, list[tuple[Tensor, ...]]]:
    """Inputs of each part, two batches of other sizes or more; the first is what is traced."""
    encoder, size, dim = torch_encoder(system), system.config.image_size, system.config.embedding_dim
    generator = torch.Generator().manual_seed(0)
    films = torch.rand(3, size, size, generator=generator)
    vectors = nn.functional.normalize(torch.randn(5, dim, generator=generator), dim=-1)
    found: dict[PartName, list[tuple[Tensor, ...]]] = {
        "film": [(films[:2],), (films,)],
        "labels": [(vectors[:2],), (vectors,)],
        "join": [(vectors[:2], vectors[2:4]), (vectors[:3], torch.cat([vectors[3:], torch.zeros(1, dim)]))],
    }
    if encoder.tokens is not None:
        found["text"] = [tuple(map(torch.from_numpy, encoder.tokens(texts))) for texts in _TEXTS]
    if encoder.record.fuses:
        image = encoder.encode_films(films.numpy())
        batches = [encoder.encode_texts(texts) for texts in _TEXTS[:2]]
        rows = np.arange(2)
        pairs = [
            (image.take(rows), batches[0]),
            # A case with both, one with a film alone and one with a text alone.
            (image.take(rows).at(rows, 3), batches[1].take(np.array([0, 2])).at(np.array([0, 2]), 3)),
        ]
        found["join"] = [
            tuple(
                torch.from_numpy(one)
                for one in (film.vectors, text.vectors, film.tokens, film.mask, text.tokens, text.mask)
                if one is not None
            )
            for film, text in pairs
        ]
    return found


def _problem(
    module: nn.Module, examples: Sequence[tuple[Tensor, ...]], axes: _Axes, folder: Path, name: PartName
) -> str:
    """Write a part's graph; gives why it cannot be used, empty where it can."""
    from index_builder.systems.base import WEIGHTS_FILE

    path = graph_file(folder, name)
    try:
        write_graph(module.eval(), examples[0], axes[: len(examples[0])], path, folder / WEIGHTS_FILE)
        run = Session(path)
        return next(filter(None, (check_graph(module, example, run) for example in examples)), "")
    except Exception as error:  # exporter and runtime raise whatever they meet
        return f"it cannot be converted ({first_line(error)})"


def _other_tokens(system: RetrievalSystem, folder: Path, record: TextRecord) -> str:
    """Why the tokenizer's own file does not do: it is missing, or gives other numbers; empty where it does."""
    eager = torch_encoder(system).tokens
    assert eager is not None, "the system reads texts"
    try:
        stored = StoredTokens(folder, record)
    except ModelError:
        return "its tokenizer has no form that is read without transformers"
    for texts in _TEXTS:
        pairs = zip(stored(texts), eager(texts), strict=True)
        if not all(np.array_equal(ours, theirs) for ours, theirs in pairs):
            return "its tokenizer does more to a text than its own file says"
    return ""


def _link_weights(graph: onnx.GraphProto, path: Path) -> None:
    """Let a graph take from a file of safetensors what lies there in half precision."""
    places, stored = _places(path), load_file(path)
    casts = []
    for weight in graph.initializer:
        name = _stored_name(weight.name, stored)
        if name is None or not _same(numpy_helper.to_array(weight), stored[name]):
            continue
        single, half = weight.name, f"{weight.name}.half"
        weight.Clear()
        weight.name, weight.data_type = half, onnx.TensorProto.FLOAT16
        weight.dims.extend(stored[name].shape)
        weight.data_location = onnx.TensorProto.EXTERNAL
        offset, length = places[name]
        for key, value in (("location", path.name), ("offset", str(offset)), ("length", str(length))):
            weight.external_data.add(key=key, value=value)
        casts.append(helper.make_node("Cast", [half], [single], to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def _stored_name(name: str, stored: Mapping[str, NDArray]) -> str | None:
    """The stored tensor that a graph's weight is: parts hold the whole system, a module by itself its own."""
    return next((one for one in (name, name.removeprefix("system.")) if one in stored), None)


def _same(ours: NDArray, stored: NDArray) -> bool:
    return stored.dtype == np.float16 and ours.shape == stored.shape and np.array_equal(ours, stored.astype(np.float32))


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file lies: first byte and length."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        entries = json.loads(stream.read(length))
    first = 8 + length
    return {
        name: (first + one["data_offsets"][0], one["data_offsets"][1] - one["data_offsets"][0])
        for name, one in entries.items()
        if name != "__metadata__"
    }
