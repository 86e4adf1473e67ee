"""Where findings lie: attention that is told to look there."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.numerics import full_precision

#: How likely a patch holds a finding before anything is learned, as in Lin et al.
_PRIOR = 0.01
_GAMMA = 2.0
#: Weight of a patch without the finding; all patches of a finding together weigh 1.
_OUTSIDE = 0.15
#: Of the patch that a finding covers most: covered by more than this it is inside, by less than that outside.
_INSIDE_FROM, _OUTSIDE_BELOW = 0.5, 0.1


@full_precision
def region_loss(scores: Tensor, regions: Tensor) -> Tensor:
    """Focal loss of attention scores, as log-odds that a patch holds a finding: sum over findings, mean of films.

    Query i is meant to look for label i. With its scores told apart patch by patch, a film says of every patch
    whether a finding lies there, not only that it has one somewhere. Loss and prior after Lin et al., "Focal Loss for
    Dense Object Detection", ICCV 2017; findings weigh alike however large they are, and patches that a finding merely
    touches are left out.

    Args:
        scores: [B, Q, G * G], of queries at patches in row-major order, before softmax.
        regions: [B, C, R, R], share of each cell that the finding of a label covers, NaN where that is unknown; labels
            beyond the Q-th have no query and are left out.
    """
    count = min(scores.shape[1], regions.shape[1])
    grid = math.isqrt(scores.shape[2])
    covered = functional.adaptive_avg_pool2d(regions[:, :count].to(scores.dtype), grid).flatten(2)
    known = covered.isfinite().all(-1)  # [B, Q]
    logits = scores[:, :count][known] + math.log(_PRIOR / (1 - _PRIOR))
    covered = covered[known]
    most = covered.amax(-1, keepdim=True)
    inside = (covered >= _INSIDE_FROM * most) & (most > 0)
    outside = covered <= _OUTSIDE_BELOW * most
    towards_truth = torch.where(inside, logits, -logits)
    losses = -((_GAMMA * functional.logsigmoid(-towards_truth)).exp() * functional.logsigmoid(towards_truth))
    weights = inside / inside.sum(-1, keepdim=True).clamp(min=1) + _OUTSIDE * outside
    return (losses * weights).sum() / len(scores)
