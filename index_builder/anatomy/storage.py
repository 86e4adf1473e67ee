"""The network that outlines films, kept: weights to train on with, and the graph that `segmenter` runs."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from index_builder.anatomy.network import AnatomyNet
from index_builder.anatomy.segmenter import CONFIG_FILE, GRAPH_FILE, AnatomyConfig
from index_builder.anatomy.structures import STRUCTURES
from index_builder.errors import ModelError
from index_builder.systems.running.export import write_graph

WEIGHTS_FILE = "model.safetensors"


def save_network(network: AnatomyNet, config: AnatomyConfig, folder: Path) -> None:
    """Write configuration, weights and graph; weights in half precision, which moves no outline by a pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half().contiguous() for name, value in network.state_dict().items() if "num_batches" not in name
    }
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(config.model_dump_json() + "\n", "utf-8")
    film = torch.zeros(1, 1, config.size, config.size)
    kept, _ = load_network(folder)
    write_graph(kept, [film], [{0: "films"}], folder / GRAPH_FILE, folder / WEIGHTS_FILE)


def load_network(folder: Path) -> tuple[AnatomyNet, AnatomyConfig]:
    """Read what `save_network` wrote, in evaluation mode.

    Raises:
        ModelError: A file is missing or damaged, or the weights belong to another network.
    """
    try:
        config = AnatomyConfig.model_validate(json.loads((folder / CONFIG_FILE).read_text("utf-8")))
        network = AnatomyNet(len(STRUCTURES), config.widths)
        weights = {name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()}
        network.load_state_dict(weights, strict=False)
        missing = {name for name in network.state_dict() if "num_batches" not in name} - set(weights)
        if missing:
            raise ModelError(f"{folder / WEIGHTS_FILE} lacks {min(missing)}. Train it again: train-anatomy.")
    except (OSError, ValueError, ValidationError, SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0][:200]
        raise ModelError(f"{folder}: no weights of a segmenter there ({first}). Train it: train-anatomy.") from None
    return network.eval(), config
