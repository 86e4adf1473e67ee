"""PA, the prototype-wise alignment of MSK-PT: film and report fall to the same class prototype.

After SwAV (Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020)
and MGCA (Wang et al., NeurIPS 2022), with one prototype a class, pulled to it where the class is known. No case is a
negative of another, so two films of one stage may lie together; `contrast.symmetric_info_nce` tells cases apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from index_builder.systems.losses.classification import weighted_cross_entropy
from index_builder.systems.losses.numerics import full_precision, mean_or_zero


class Prototypes(nn.Module):
    """One learnable unit vector a class."""

    def __init__(self, classes: int, dim: int) -> None:
        """Args: number of classes K and width D of the vectors."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim))

    @property
    def vectors(self) -> Tensor:
        """[K, D] float32, L2-normalised."""
        return functional.normalize(self.weight, dim=-1)

    def forward(self, vectors: Tensor) -> Tensor:
        """Cosine of each vector [B, D], of any length, with each prototype: [B, K], -1 to 1."""
        return functional.normalize(vectors, dim=-1) @ self.vectors.T


@full_precision
@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3, marginals: Tensor | None = None) -> Tensor:
    """Soft assignment of cases to classes that uses every class: the entropic optimal transport of Cuturi, 2013.

    Q_ik = exp(f_i + scores_ik/ε + g_k); f makes rows sum to 1 and g columns to the marginals' share of B, in turns and
    on logarithms. Rows are exact, columns as far as the iterations got. One case alone is assigned by the marginals,
    whatever its scores.

    Args:
        scores: [B, K], cosines with prototypes.
        epsilon: ε > 0; small gives hard assignments.
        iterations: At least 1; SwAV takes 3.
        marginals: [K], not negative, of any sum: how common each class is, so that a rare stage is not made as common
            as the others. None takes all alike.

    Returns:
        [B, K], without gradient.
    """
    scaled = scores / epsilon
    wanted = scaled.new_ones(scores.shape[1]) if marginals is None else marginals.to(scaled)
    rows = scaled.new_zeros(len(scores), 1)
    columns = scaled.new_zeros(1, scores.shape[1])
    for _ in range(iterations):
        columns = wanted.log() - (scaled + rows).logsumexp(0, keepdim=True)
        rows = -(scaled + columns).logsumexp(1, keepdim=True)
    return (scaled + columns).softmax(1)


@full_precision
def prototype_alignment(
    v: Tensor,
    t: Tensor,
    prototypes: Prototypes,
    labels: Tensor | None,
    temperature: float,
    marginals: Tensor | None = None,
) -> Tensor:
    """Swapped prediction plus class pull.

    Swapped: v's softmax over prototypes predicts t's Sinkhorn assignment and the reverse, cross-entropies averaged.
    Pull: cross-entropy of each modality's softmax with the known class, averaged likewise.

    Args:
        v: [B, D], films.
        t: [B, D], texts of the same cases.
        prototypes: Of the K classes.
        labels: [B] int64, class, -1 where unknown; None pulls nothing.
        temperature: τ > 0 of the softmax over cosines; SwAV takes 0.1.
        marginals: [K], see `sinkhorn`.
    """
    scores = [prototypes(v), prototypes(t)]
    log_shares = [functional.log_softmax(one / temperature, 1) for one in scores]
    assigned = [sinkhorn(one, marginals=marginals) for one in scores]
    swapped = mean_or_zero(-(assigned[1] * log_shares[0] + assigned[0] * log_shares[1]).sum(1) / 2)
    if labels is None:
        return swapped
    alike = v.new_ones(scores[0].shape[1])
    pulls = [weighted_cross_entropy(one / temperature, labels, alike, 0.0) for one in scores]
    return swapped + (pulls[0] + pulls[1]) / 2
