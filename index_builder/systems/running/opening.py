"""A system's encoder opened from its folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import get_args

from index_builder.systems.graphs.encoder import Encoder, Part
from index_builder.systems.graphs.record import EncoderRecord, PartName, graph_file, read_record
from index_builder.systems.graphs.session import Session
from index_builder.systems.graphs.tokens import StoredTokens

_log = logging.getLogger(__name__)


def open_encoder(folder: Path) -> Encoder:
    """Open the encoder of a saved system: its graphs, and in PyTorch what has none.

    Raises:
        ModelError: A file is missing or damaged.
    """
    record = read_record(folder)
    if record is None:
        _log.warning(
            "%s: was kept without graphs. PyTorch encodes queries, which takes longer to start; rebuild the casebook.",
            folder,
        )
        return _in_torch(folder)
    graphs = parts_of(record)
    lacking = [part for part in graphs if part in record.in_torch]
    parts: dict[PartName, Part] = {part: Session(graph_file(folder, part)) for part in graphs if part not in lacking}
    tokens = None if record.text is None else StoredTokens(folder, record.text)
    if not lacking:
        return Encoder(record, tokens, parts)
    for part in lacking:
        _log.warning("%s: PyTorch runs the %s part, slower: %s", folder, part, record.in_torch[part])
    whole = _in_torch(folder)
    return Encoder(record, tokens or whole.tokens, {part: parts.get(part, whole.parts[part]) for part in graphs})


def parts_of(record: EncoderRecord) -> list[PartName]:
    """The parts that a system has."""
    absent = {"text": not record.reads_texts, "labels": not record.classifies}
    return [part for part in get_args(PartName) if not absent.get(part)]


def _in_torch(folder: Path) -> Encoder:
    from index_builder.systems.registry import load_system
    from index_builder.systems.running.parts import torch_encoder

    return torch_encoder(load_system(folder))
