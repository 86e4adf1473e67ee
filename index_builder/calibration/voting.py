"""Labels by the vote of the nearest cases: what a retrieval system predicts, and who decided it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.space import SPACES, Space
from index_builder.numerics import softmax

#: What `choose_vote` tries. More voters than this could not be shown one by one as the reason of a prediction.
NEIGHBOURS = (3, 5, 10, 20, 30, 50)
TEMPERATURES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class VoteResult:
    """Outcome of a vote.

    Attributes:
        probabilities: [Q, C] float64, share of the vote that carries each label, of those voters of whom the label is
            known; 0 where it is known of none.
        voters: [Q, k] whole numbers, columns of the similarities, nearest first.
        weights: [Q, k] float64, how much each voter counted; rows sum to 1.
    """

    probabilities: NDArray[np.float64]
    voters: NDArray[np.integer]
    weights: NDArray[np.float64]


def vote(
    similarity: NDArray[np.floating],
    labels: NDArray[np.generic],
    k: int,
    temperature: float,
    known: NDArray[np.bool_] | None = None,
) -> VoteResult:
    """Let the k nearest cases vote on each query's labels, weighted by softmax(similarity / temperature).

    Where a search has found the neighbours already, pass its scores as [1, k] with the labels of those k cases.

    Args:
        similarity: [Q, N], cosine of queries with cases; -inf for a case that may not vote (the query itself, another
            film of the patient). Of cases equally near at the k-th place any may be taken.
        labels: [N, C] of 0 and 1.
        k: Voters, at least 1; all cases vote where there are fewer.
        temperature: Above 0; small lets the nearest decide alone.
        known: [N, C], of which case which label is known; None: all. A case does not vote on a label unknown of it.

    Raises:
        ValueError: Shapes that do not fit, k or temperature out of range, or a query for which no case may vote.
    """
    if similarity.ndim != 2 or labels.ndim != 2 or similarity.shape[1] != len(labels):
        raise ValueError(f"similarity {similarity.shape} and labels {labels.shape} must be [Q, N] and [N, C]")
    if k < 1 or temperature <= 0:
        raise ValueError(f"k = {k} must be at least 1 and temperature = {temperature} above 0")
    voters = _nearest(similarity, k)
    return count_votes(np.take_along_axis(similarity, voters, 1), voters, labels, temperature, known)


def choose_vote(
    similarity: NDArray[np.floating],
    labels: NDArray[np.generic],
    truth: NDArray[np.generic],
    neighbours: Sequence[int] = NEIGHBOURS,
    *,
    known: NDArray[np.bool_] | None = None,
    judged: NDArray[np.bool_] | None = None,
) -> tuple[int, float]:
    """Choose number of voters and temperature on validation cases.

    By log-loss, not average precision: a vote is shown as a probability, and log-loss is least where shares are true
    probabilities, while average precision sees their order alone and on few validation cases hardly tells one
    temperature from another. A share is taken to be no nearer to 0 or 1 than 1 / (N + 1), for no vote of N cases could
    show more. Of equal choices the fewest voters are taken.

    Args:
        similarity: [V, N], validation with training cases; -inf where one may not vote.
        labels: [N, C] of the training cases.
        truth: [V, C] of the validation cases.
        neighbours: Numbers of voters to try; one number leaves the temperature to be chosen.
        known: [N, C], labels known of the training cases; None: all.
        judged: [V, C], labels known of the validation cases, the only ones that count; None: all.

    Returns:
        k and temperature for `vote`.

    Raises:
        ValueError: As `vote`, or no validation cases.
    """
    if truth.shape != (len(similarity), labels.shape[1]) or not truth.size:
        raise ValueError(f"truth {truth.shape} must be [{len(similarity)}, {labels.shape[1]}] and not empty")
    most = vote(similarity, labels, max(neighbours), 1.0).voters
    scores = np.take_along_axis(similarity, most, 1)
    edge = 1 / (len(labels) + 1)
    present = truth.astype(bool)
    counted = np.ones(truth.shape, bool) if judged is None else judged
    best = (np.inf, 0, 0.0)
    for k in sorted({min(k, most.shape[1]) for k in neighbours}):
        for temperature in TEMPERATURES:
            found = count_votes(scores[:, :k], most[:, :k], labels, temperature, known).probabilities
            shares = found.clip(edge, 1 - edge)
            loss = -float(np.log(np.where(present, shares, 1 - shares))[counted].mean())
            if loss < best[0]:
                best = (loss, k, temperature)
    return best[1], best[2]


def vote_settings(
    held: Mapping[Space, NDArray[np.floating]],
    base: Mapping[Space, NDArray[np.floating]],
    truth: NDArray[np.generic],
    labels: NDArray[np.generic],
    truth_known: NDArray[np.bool_],
    labels_known: NDArray[np.bool_],
) -> dict[str, Any]:
    """Number of voters, chosen on films where there are any, and with it a temperature for queries of each modality."""
    present = [space for space in SPACES if held[space].any() and base[space].any()]
    found: dict[Space, tuple[int, float]] = {}
    for space in present:
        queries, voters = held[space].any(1), base[space].any(1)
        similarity = held[space][queries] @ base[space][voters].T
        tried = [found[present[0]][0]] if found else NEIGHBOURS
        found[space] = choose_vote(
            similarity,
            labels[voters],
            truth[queries],
            tried,
            known=labels_known[voters],
            judged=truth_known[queries],
        )
    if not found:
        return {}
    neighbours, temperature = found[present[0]]
    return {
        "vote_neighbours": neighbours,
        "vote_temperature": temperature,
        "vote_temperatures": {space: chosen for space, (_, chosen) in found.items()},
    }


def vote_logits(shares: NDArray[np.floating], cases: int, *, stages: bool) -> NDArray[np.float64]:
    """Shares of a vote as logits, so that a vote can be calibrated like a classifier.

    Args:
        shares: [Q, C] of `VoteResult.probabilities`.
        cases: How many might have voted. No share is taken to be nearer to 0 or 1 than 1 / (cases + 1): no vote of them
            could show more.
        stages: Whether the labels are stages of which one holds: logits of a softmax then, else of a sigmoid each.
    """
    edge = 1 / (cases + 1)
    bounded = np.asarray(shares, np.float64).clip(edge, 1 - edge)
    return np.log(bounded) if stages else np.log(bounded) - np.log1p(-bounded)


def _nearest(similarity: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """[Q, min(k, N)]: columns of the greatest similarities, greatest first; of equal ones the first column first."""
    count = similarity.shape[1]
    if k < count:
        found = np.sort(np.argpartition(-similarity, k - 1, axis=1)[:, :k], axis=1)
    else:
        found = np.broadcast_to(np.arange(count), similarity.shape)
    order = np.argsort(-np.take_along_axis(similarity, found, 1), axis=1, kind="stable")
    return np.take_along_axis(found, order, 1).astype(np.int64)


def count_votes(
    scores: NDArray[np.floating],
    voters: NDArray[np.integer],
    labels: NDArray[np.generic],
    temperature: float,
    known: NDArray[np.bool_] | None = None,
) -> VoteResult:
    """Count the votes of neighbours that are known already.

    Args:
        scores: [Q, k], similarities of the voters, nearest first.
        voters: [Q, k] whole numbers, rows of `labels`.
        labels: [N, C] of 0 and 1.
        temperature: Above 0.
        known: [N, C], as in `vote`.

    Raises:
        ValueError: A query for which no case may vote.
    """
    if not scores.shape[1] or not np.isfinite(scores[:, 0]).all():
        raise ValueError("a query has no case that may vote on it")
    weights = softmax(scores.astype(np.float64) / temperature)
    if known is None or known.all():
        return VoteResult(np.einsum("qk,qkc->qc", weights, labels[voters].astype(np.float64)), voters, weights)
    heard = np.einsum("qk,qkc->qc", weights, known[voters].astype(np.float64))
    carried = np.einsum("qk,qkc->qc", weights, (labels.astype(bool) & known)[voters].astype(np.float64))
    return VoteResult(np.divide(carried, heard, out=np.zeros_like(carried), where=heard > 0), voters, weights)
