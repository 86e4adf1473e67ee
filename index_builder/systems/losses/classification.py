"""Classification: several findings a film (`masked_bce`, `focal`, `mixed`) or one stage (`weighted_cross_entropy`).

With findings, start from `masked_bce`. `focal` helps where a rare finding drowns in easy negatives but leaves
probabilities too near one half; `mixed` keeps some of the first's calibration and of the second's attention to hard
cases. Where exactly one class holds (a stage), classes compete and `weighted_cross_entropy` is right.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.numerics import full_precision, mean_or_zero


@full_precision
def masked_bce(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the labels that are known.

    Args:
        logits: [B, C].
        labels: [B, C] of 0 and 1; not read where unknown.
        known: [B, C] bool. A dataset that says nothing of a finding does not say it is absent.
    """
    # Selected before the loss: an unknown entry then has no gradient, whatever it holds.
    return mean_or_zero(
        functional.binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype), reduction="none")
    )


@full_precision
def focal(logits: Tensor, labels: Tensor, known: Tensor, gamma: float) -> Tensor:
    """Focal loss, mean over the labels that are known: -(1 - p_t)^γ log p_t, p_t the probability of the truth.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, without the class weight α, one sigmoid a label.

    Args:
        logits: [B, C].
        labels: [B, C] of 0 and 1; not read where unknown.
        known: [B, C] bool.
        gamma: γ ≥ 0; 0 is `masked_bce`, 2 is the paper's.
    """
    towards_truth = logits[known] * (2 * labels[known].to(logits.dtype) - 1)
    # (1 - p_t)^γ as exp(γ log σ(-z)): the power itself has an infinite slope at p_t = 1 for γ < 1.
    weight = (gamma * functional.logsigmoid(-towards_truth)).exp()
    return mean_or_zero(-weight * functional.logsigmoid(towards_truth))


def mixed(logits: Tensor, labels: Tensor, known: Tensor, gamma: float, mixing: float) -> Tensor:
    """(1 - mixing) · `masked_bce` + mixing · `focal`: the label loss of the Unified Multimodal Framework.

    Args:
        logits: [B, C].
        labels: [B, C] of 0 and 1; not read where unknown.
        known: [B, C] bool.
        gamma: Of the focal loss.
        mixing: Its share, 0 to 1.
    """
    return (1 - mixing) * masked_bce(logits, labels, known) + mixing * focal(logits, labels, known, gamma)


@full_precision
def weighted_cross_entropy(logits: Tensor, target: Tensor, class_weights: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy over the cases of known class, Σ w_y · l / Σ w_y, so that rare stages count as they should.

    Label smoothing after Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016.

    Args:
        logits: [B, C].
        target: [B] int64, the class; -1 is unknown and left out.
        class_weights: [C], not negative; a class of weight 0 is left out.
        label_smoothing: Share of the target spread evenly over all classes, 0 to 1.
    """
    weights = class_weights.to(logits.dtype)
    held = (target >= 0) & (weights[target.clamp(min=0)] > 0)
    total = functional.cross_entropy(
        logits[held], target[held], weights, reduction="sum", label_smoothing=label_smoothing
    )
    weight = weights[target[held]].sum()
    return total / weight.masked_fill(weight == 0, 1)
