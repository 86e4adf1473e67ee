"""The system of a build: where it comes from, what a casebook teaches it and what its manifest says of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index_builder.casebook.layout import Layout
from index_builder.casebook.manifest import DatasetRecord, SystemRecord
from index_builder.cases.table import CaseRows

if TYPE_CHECKING:
    from index_builder.casebook.embeddings import Embeddings
    from index_builder.systems.base import RetrievalSystem


@dataclass(frozen=True, slots=True)
class PublishedEncoder:
    """A published encoder that embeds as it is, see `systems.frozen`.

    Attributes:
        source: Its name.
        licence: Licence of its weights; where it is not free, whoever asks has agreed to it.
    """

    source: str
    licence: str = ""


def source_system(checkpoint: Path | PublishedEncoder) -> RetrievalSystem:
    """The system that is to embed.

    Raises:
        ModelError: There is none, or it cannot be had.
    """
    if isinstance(checkpoint, PublishedEncoder):
        from index_builder.systems.frozen import Frozen

        return Frozen.published(checkpoint.source, checkpoint.licence)
    from index_builder.systems.registry import load_system

    return load_system(checkpoint)


def keep_system(source: RetrievalSystem, folder: Path) -> RetrievalSystem:
    """Write a system with its graphs; gives it as it is kept, weights in half precision."""
    from index_builder.systems.registry import load_system
    from index_builder.systems.running.export import write_graphs

    source.save(folder, portable=True)
    kept = load_system(folder)
    write_graphs(kept, folder)
    return kept


def teach(
    system: RetrievalSystem, dataset: DatasetRecord, cases: CaseRows, vectors: Embeddings, layout: Layout
) -> SystemRecord:
    """Fit what a published encoder learns from a casebook, and keep the system with it; gives its record."""
    from index_builder.systems.frozen import Frozen
    from index_builder.systems.frozen_head import fit_on_casebook

    assert isinstance(system, Frozen), "no other system learns from a casebook"
    fit_on_casebook(system, cases, dataset.label_names, vectors, stages=dataset.label_kind == "stages")
    taught, before = layout.folder / "system.taught", layout.folder / "system.before"
    for left in (taught, before):
        shutil.rmtree(left, ignore_errors=True)
    keep_system(system, taught)
    layout.system.rename(before)
    taught.rename(layout.system)
    shutil.rmtree(before)
    return system_record(system)


def system_record(system: RetrievalSystem) -> SystemRecord:
    """What a manifest says of a system."""
    from index_builder.evaluation.prediction import has_classifier
    from index_builder.systems.backbones.encoders import weights_digest
    from index_builder.systems.frozen import FrozenConfig

    config = system.config
    return SystemRecord(
        name=system.name,
        preset=config.preset,
        digest=weights_digest(system),
        embedding_dim=config.embedding_dim,
        image_encoder=config.image_encoder,
        text_encoder=config.text_encoder,
        reads=system.reads,
        predicts_by="classifier" if has_classifier(system) else "vote",
        label_names=config.label_names,
        vote_neighbours=config.vote_neighbours,
        vote_temperature=config.vote_temperature,
        vote_temperatures=config.vote_temperatures,
        theta=system.theta,
        **({"licence": config.licence} if isinstance(config, FrozenConfig) else {}),
    )
