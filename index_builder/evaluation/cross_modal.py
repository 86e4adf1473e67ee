"""Film to its report and report to its film, in a pool of a stated size."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.evaluation.retrieval import KS, paired_recall_at_k
from index_builder.evaluation.task import Task

#: Pairs in the pool, where the dataset has as many.
POOL = 1000


@dataclass(frozen=True, slots=True)
class Pool:
    """Cases with film and text.

    Attributes:
        rows: [n] rows of the task's cases. The first `queries` are scored; the rest only fill the pool.
        queries: How many query.
        parts: How many pairs come from which part: "scored", "val", "train".
    """

    rows: NDArray[np.intp]
    queries: int
    parts: dict[str, int]


def draw_pool(task: Task) -> Pool | None:
    """`POOL` pairs drawn by the seed: of the scored part, filled up from validation, then training cases.

    None where fewer than two scored cases have both film and text.
    """
    random = np.random.default_rng(task.seed)
    taken: list[int] = []
    parts = {}
    for name, rows in (("scored", task.scored), ("val", task.val), ("train", task.train)):
        free = random.permutation(np.setdiff1d(rows[task.paired[rows]], taken))[: POOL - len(taken)].astype(np.intp)
        parts[name] = len(free)
        taken += free.tolist()
    return Pool(np.array(taken), parts["scored"], parts) if parts["scored"] > 1 else None


def cross_modal(task: Task, pool: Pool, image: NDArray[np.float32], text: NDArray[np.float32]) -> dict[str, Any]:
    """Recall of the own counterpart, both ways.

    Args:
        task: The cases.
        pool: Pool of n pairs.
        image: [n, D] of the pool's films.
        text: [n, D] of its texts.

    Returns:
        `pool`, and under `image_to_report` and `report_to_image` what `paired_recall_at_k` gives; there too, under
        `same_codes` (where cases are coded) and `same_labels`, the same with every candidate of equal codes or labels
        counted as the counterpart. `ceiling`, where cases are coded: `recall@k` that a perfect reader of the codes
        would have, who can only guess among the candidates of equal codes.
    """
    cases = [task.cases[row] for row in pool.rows]
    own = np.arange(pool.queries)
    groups = task.patients[pool.rows[: pool.queries]]
    equals = (
        {"same_codes": _equal([frozenset(case.codes) for case in cases], pool.queries)}
        if any(case.codes for case in cases)
        else {}
    )
    equals["same_labels"] = _equal([(case.labels, case.unknown) for case in cases], pool.queries)
    found: dict[str, Any] = {"pool": {"pairs": len(cases), **pool.parts}}
    for name, queries, candidates in (("image_to_report", image, text), ("report_to_image", text, image)):
        scores = queries[: pool.queries] @ candidates.T
        settings: dict[str, Any] = {"groups": groups, "seed": task.seed}
        found[name] = paired_recall_at_k(scores, own, **settings) | {
            variant: paired_recall_at_k(scores, own, equal, **settings) for variant, equal in equals.items()
        }
        if "same_codes" in equals:
            alike = equals["same_codes"].sum(axis=1)
            found[name]["ceiling"] = {f"recall@{k}": float(np.minimum(1, k / alike).mean()) for k in KS}
    return found


def _equal(sets: Sequence[Hashable], queries: int) -> NDArray[np.bool_]:
    """[queries, n], whether two sets are the same."""
    numbers = {one: number for number, one in enumerate(dict.fromkeys(sets))}
    place = np.array([numbers[one] for one in sets])
    return place[:queries, None] == place
