"""What a report has to do with a typed query about it, and with the query's contrary."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from index_builder.systems.losses.numerics import full_precision, mean_or_zero


@full_precision
def query_contrast(
    queries: Tensor,
    contraries: Tensor,
    reports: Tensor,
    about: Tensor,
    without: Tensor,
    temperature: float,
) -> Tensor:
    """Each query's softmax over its own report, its contrary, and reports that lack what it asks for.

    l(q) = -log exp(q·t/τ) / (exp(q·t/τ) + exp(q·c/τ) + Σ_j exp(q·t_j/τ)), t its report, c its contrary; and the report
    likewise prefers its query to the contrary: -log σ((t·q - t·c)/τ). Their mean. After the noise-contrastive losses of
    Radford et al. 2021; contraries as hard negatives after NegCLIP (Yuksekgonul et al., ICLR 2023).

    Args:
        queries: [Q, D], L2-normalised.
        contraries: [Q, D], L2-normalised, what says the contrary of each.
        reports: [B, D], L2-normalised.
        about: [Q], row of each query's own report.
        without: [Q, B] bool, reports known to lack what a query states.
        temperature: τ > 0.
    """
    own = reports[about]
    to_own = (queries * own).sum(1, keepdim=True)
    to_contrary = (queries * contraries).sum(1, keepdim=True)
    others = (queries @ reports.T).masked_fill(~without, -torch.inf)
    scores = torch.cat([to_own, to_contrary, others], 1) / temperature
    preferred = (own * (queries - contraries)).sum(1) / temperature
    return mean_or_zero((-scores.log_softmax(1)[:, 0] - functional.logsigmoid(preferred)) / 2)
