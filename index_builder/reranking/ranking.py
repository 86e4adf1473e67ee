"""The findings graph as it travels with a checkpoint: class vectors and the weights chosen for reranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.errors import ModelError
from index_builder.reranking.case_vectors import ClassVectors
from index_builder.reranking.rerank import RerankWeights, rerank_scores

FILE = "graph.json"


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a system orders what its embeddings found.

    Attributes:
        method: What embedded the graph, "transe" or "compgcn".
        classes: Vectors of the graph's classes.
        weights: Shares of cosine, label overlap and graph cosine, chosen on validation data.
    """

    method: str
    classes: ClassVectors
    weights: RerankWeights

    def scores(
        self,
        cosine: NDArray[np.floating],
        query_labels: NDArray[np.floating],
        candidate_labels: NDArray[np.floating],
        label_names: Sequence[str],
    ) -> NDArray[np.float32]:
        """Mixed similarity of queries and candidates.

        Args:
            cosine: [Q, N] similarity of the embeddings.
            query_labels: [Q, C] not negative: known labels as 0 and 1, else their probabilities.
            candidate_labels: [N, C] likewise.
            label_names: The C labels.

        Returns:
            [Q, N] float32.
        """
        vectors = self.classes.for_labels(label_names)
        return rerank_scores(cosine, query_labels, candidate_labels, vectors, self.weights)

    def save(self, folder: Path) -> None:
        """Write `graph.json`."""
        content = {
            "method": self.method,
            "weights": self.weights.model_dump(),
            "classes": {
                name: [round(float(value), 4) for value in vector]
                for name, vector in zip(self.classes.names, self.classes.vectors, strict=True)
            },
        }
        (folder / FILE).write_text(json.dumps(content) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Ranking | None:
        """Read what `save` wrote; None where the system ranks by its embeddings alone.

        Raises:
            ModelError: The file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text("utf-8"))
            classes = content["classes"]
            vectors = np.array(list(classes.values()), np.float16)
            weights = RerankWeights.model_validate(content["weights"])
            return cls(str(content["method"]), ClassVectors(tuple(classes), vectors), weights)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: damaged findings graph ({error}). Restore the file or rebuild.") from error


#: How results are reordered where the system has no way of its own: by overlap of labels alone.
LABEL_OVERLAP = Ranking(
    "none", ClassVectors((), np.zeros((0, 1), np.float16)), RerankWeights(cosine=0, jaccard=1, graph=0)
)
