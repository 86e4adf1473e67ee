"""Contrast of whole vectors: one positive a case (`symmetric_info_nce`) or graded by shared labels (`label_contrast`).

`symmetric_info_nce` needs pairs and, at most, one class a case: it ties a film to its own text and only spares the
films of its class. `label_contrast` needs labels but no pairs: it draws together whatever shares findings, in any
modality, and suits several findings a film.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.numerics import full_precision, mean_or_zero


@full_precision
def symmetric_info_nce(a: Tensor, b: Tensor, temperature: float | Tensor, same: Tensor | None = None) -> Tensor:
    """InfoNCE between the two halves of each pair, mean of both directions.

    l(a_i) = -log exp(a_i·b_i/τ) / Σ_j exp(a_i·b_j/τ), j over i itself and the cases of another class; l(b_i) likewise.
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021. Leaving out
    negatives of one's own class is SiCLIP's: two films of one stage are alike and must not be pushed apart.

    Args:
        a: [B, D], L2-normalised, one modality.
        b: [B, D], L2-normalised, the other modality of the same cases.
        temperature: τ > 0, a scalar tensor if it is learnt.
        same: [B, B] bool, symmetric, cases of one class; None takes every other case as a negative. The diagonal is
            not read.
    """
    scores = a @ b.T / temperature
    if same is not None:
        itself = torch.eye(len(a), dtype=torch.bool, device=a.device)
        scores = scores.masked_fill(same & ~itself, -torch.inf)
    losses = scores.log_softmax(1).diagonal() + scores.log_softmax(0).diagonal()
    return mean_or_zero(-losses / 2)


@full_precision
def label_contrast(
    vectors: Tensor, labels: Tensor, known: Tensor, group: Tensor, case: Tensor, temperature: float
) -> Tensor:
    """Supervised contrast with graded positives (after Khosla et al. 2020, multi-label).

    Each vector's softmax over the others of its group is drawn towards their label overlap (Jaccard index); a case's
    own other modality counts fully. Two films of one finding are thus never pushed apart; nor are two that share none
    as far as is known, where one has a finding that is unknown of the other.

    Args:
        vectors: [M, D], L2-normalised.
        labels: [M, C] of 0 and 1.
        known: [M, C] bool.
        group: [M], dataset number; labels of different datasets are not compared.
        case: [M], equal for the modalities of one case.
        temperature: Of the softmax.
    """
    present, decided = labels * known, known.to(labels.dtype)
    shared = present @ present.T
    counts = present @ decided.T  # [M, M]: labels of the one that are known of the other
    overlap = shared / (counts + counts.T - shared).clamp(min=1)
    own = case[:, None] == case[None]
    overlap = torch.where(own, 1.0, overlap**2)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    undecided = present @ (1 - decided).T
    compared = own | (shared > 0) | (undecided + undecided.T == 0)
    same = (group[:, None] == group[None]) & ~itself & compared
    target = overlap * same
    weight = target.sum(1)
    logits = (vectors @ vectors.T / temperature).masked_fill(~same, -1e4)
    losses = -(target * functional.log_softmax(logits, dim=1)).sum(1)[weight > 0] / weight[weight > 0]
    return mean_or_zero(losses)
