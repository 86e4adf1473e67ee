"""Vectors of the findings graph's nodes, learned by TransE or CompGCN. Needs pykeen, the optional extra `train`."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from index_builder.errors import InstallationError, ModelError
from index_builder.reranking.findings_graph import FindingsGraph

if TYPE_CHECKING:
    from types import ModuleType

GraphMethod = Literal["transe", "compgcn"]

_BATCH = 256
_LEARNING_RATE = 0.01
_NEGATIVES = 16


def embed_graph(
    graph: FindingsGraph, method: GraphMethod, dim: int = 64, epochs: int = 100, seed: int = 0
) -> NDArray[np.float32]:
    """Learn one vector per node such that nodes with the same relations to the same nodes lie close.

    `transe` (Bordes et al., NeurIPS 2013): a relation is a translation, score -|h + r - t|₁. `compgcn` (Vashishth et
    al., ICLR 2020): one layer of relation-aware graph convolution over triples and their inverses, scored by
    -|h + r - t|₂; of the decoders in that paper the translation is the one under which near means related.
    Both: stochastic local closed world (`_NEGATIVES` random corruptions per triple), margin ranking loss, Adam.
    A symmetric relation is learned in both directions. Seconds on one core for some hundred nodes. Neither the
    random state of the process nor the user's home is touched, nothing is downloaded.

    Args:
        graph: At least one triple.
        method: How.
        dim: Width of the vectors.
        epochs: Passes over the triples.
        seed: Same seed, graph and machine: same vectors.

    Returns:
        [n_nodes, dim] float32, L2-normalised, in the order of `graph.nodes`. A class without a triple lies apart
        from all others.

    Raises:
        InstallationError: pykeen is not installed.
        ModelError: The graph has no triple, so there is nothing to learn.
    """
    if not graph.triples:
        raise ModelError(
            f"the findings graph of {graph.cases} cases and {len(graph.nodes)} nodes has no triple to learn from. "
            "Rerank without it (graph weight 0), or train on cases with codes or several labels."
        )
    with tempfile.TemporaryDirectory(prefix="cxr-graph-") as scratch:
        models, training, triples = _pykeen(scratch)
        import torch

        with torch.random.fork_rng(devices=[]), _cheap_collections():
            torch.manual_seed(seed)
            factory = triples.TriplesFactory.from_labeled_triples(
                _labelled_triples(graph),
                create_inverse_triples=method == "compgcn",
                entity_to_id={str(node): number for number, node in enumerate(graph.nodes)},
            )
            model = _model(models, method, factory, dim)
            training.SLCWATrainingLoop(
                model=model,
                triples_factory=factory,
                optimizer="adam",
                optimizer_kwargs={"lr": _LEARNING_RATE},
                negative_sampler_kwargs={"num_negs_per_pos": _NEGATIVES},
                automatic_memory_optimization=False,
            ).train(
                factory,
                num_epochs=epochs,
                batch_size=_BATCH,
                drop_last=False,
                use_tqdm=False,
                pin_memory=False,
                checkpoint_directory=scratch,
            )
        model.eval()
        with torch.no_grad():
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(model.entity_representations[0]()).numpy()
    return vectors


def _model(models: ModuleType, method: GraphMethod, factory: Any, dim: int) -> Any:
    from pykeen.utils import NoRandomSeedNecessary

    # A seed given to pykeen would seed numpy and the standard library too; torch is seeded by the caller.
    common = {"triples_factory": factory, "embedding_dim": dim, "random_seed": NoRandomSeedNecessary}
    if method == "transe":
        return models.TransE(**common)
    return models.CompGCN(**common, interaction="TransE", interaction_kwargs={"p": 2})


def _labelled_triples(graph: FindingsGraph) -> NDArray[np.str_]:
    """[n, 3] head, relation, tail; co-occurrence in both directions."""
    rows = [(str(one.head), one.relation, str(one.tail)) for one in graph.triples]
    rows += [(tail, relation, head) for head, relation, tail in rows if relation == "co_occurs_with"]
    return np.array(rows)


def _pykeen(scratch: str) -> tuple[ModuleType, ModuleType, ModuleType]:
    """Import pykeen's models, training and triples.

    pykeen makes its folders on import, in the home unless these variables name another place.
    """
    # pykeen imports torchvision by way of its dependencies; this must precede it.
    from index_builder import vision_compat  # noqa: F401

    homes = {name: os.environ.get(name) for name in ("PYSTOW_HOME", "PYKEEN_HOME")}
    os.environ.update(dict.fromkeys(homes, scratch))
    try:
        from pykeen import models, training, triples
    except ImportError as error:
        raise InstallationError(
            f"the findings graph needs pykeen ({error}). Install it: pip install 'cxr-explorer[train]'"
        ) from None
    finally:
        for name, value in homes.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return models, training, triples


@contextmanager
def _cheap_collections() -> Iterator[None]:
    """Spare what is alive now from garbage collection: pykeen collects after every epoch, a third of a second each."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
