"""Where a case lies in the findings graph: the mean of its labels' class vectors. numpy only: the app runs this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_builder.reranking.findings_graph import FindingsGraph


@dataclass(frozen=True, slots=True, eq=False)
class ClassVectors:
    """The graph's class nodes, as they travel in a checkpoint.

    Attributes:
        names: The classes.
        vectors: [n_classes, dim] float16, L2-normalised up to its rounding.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float16]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.names) != len(self.vectors) or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"{len(self.names)} class names for vectors of shape {self.vectors.shape}, or a name twice"
            )

    @classmethod
    def of(cls, graph: FindingsGraph, node_vectors: NDArray[np.float32]) -> ClassVectors:
        """Pick the class nodes out of the vectors of all nodes [n_nodes, dim]."""
        if len(node_vectors) != len(graph.nodes):
            raise ValueError(f"{len(node_vectors)} vectors for {len(graph.nodes)} nodes")
        rows = [row for row, node in enumerate(graph.nodes) if node.kind == "class"]
        return cls(tuple(graph.nodes[row].name for row in rows), node_vectors[rows].astype(np.float16))

    def for_labels(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of labels in the order asked for.

        A label the graph does not know has the zero vector: it adds nothing to a case's vector, and a case of
        such labels alone has graph cosine 0 to every other.

        Returns:
            [C, dim] float32.
        """
        found = np.zeros((len(names), self.vectors.shape[1]), dtype=np.float32)
        rows = {name: row for row, name in enumerate(self.names)}
        for number, name in enumerate(names):
            if name in rows:
                found[number] = self.vectors[rows[name]]
        return found


def case_vectors(label_weights: NDArray[np.floating], class_vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Graph vector of each case: the weighted mean of its labels' class vectors, normalised.

    Args:
        label_weights: [N, C], not negative: 1 for a known label, a label's probability where it is predicted.
        class_vectors: [C, dim], as `ClassVectors.for_labels` gives.

    Returns:
        [N, dim] float32, L2-normalised; zero for a case without labels.
    """
    # Normalising cancels the mean's divisor.
    sums = label_weights.astype(np.float32) @ class_vectors.astype(np.float32)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    vectors: NDArray[np.float32] = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    return vectors
