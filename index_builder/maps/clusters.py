"""Groups of cases that lie densely together, and the words that distinguish each from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.case import Case
from index_builder.cases.profile import LEFT_OUT
from index_builder.cases.sentences import SENTENCE, WORD, denies

#: Cases that HDBSCAN links; of larger sets a sample, its time and memory growing with the square.
SAMPLE = 10_000
_LEAST_CASES = 8
#: A cluster holds at least this share of the cases, so that a legend of them can still be read.
_LEAST_SHARE = 1 / 40
_WORDS = 5
#: A word is taken for characteristic of a cluster only when so many of its cases use it.
_LEAST_USERS = 0.1
#: Words every report may hold, and de-identification's placeholder.
_COMMON = frozenset(
    """xxxx chest patient radiograph film view views frontal lateral finding findings seen""".split()  # noqa: SIM905
)
#: A value longer than this is a remark, not a category.
_LONGEST_VALUE = 40


def find_clusters(positions: NDArray[np.float32], seed: int) -> NDArray[np.int32]:
    """HDBSCAN (Campello, Moulavi and Sander 2013) on a layout, the largest cluster first.

    On a layout, because densities of the full vectors hardly differ: on the demo's films it leaves two fifths of the
    cases, or all, outside any cluster. A cluster therefore means cases that the map puts together.

    Args:
        positions: [N, dims] float32, the three-dimensional map where there is one.
        seed: Seed of the sample of larger sets; the other cases join the cluster of the nearest case of the sample.

    Returns:
        [N] int32, number of each case's cluster from 0; -1 outside any.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import KDTree

    count = len(positions)
    if count < 2 * _LEAST_CASES:
        return np.full(count, -1, np.int32)
    rows = np.arange(count)
    if count > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(count, SAMPLE, replace=False))
    least = max(_LEAST_CASES, round(_LEAST_SHARE * len(rows)))
    found = HDBSCAN(min_cluster_size=least, algorithm="kd_tree", copy=True).fit_predict(positions[rows])
    if len(rows) < count:
        found = found[KDTree(positions[rows]).query(positions, return_distance=False)[:, 0]]
    return largest_first(found)


def largest_first(clusters: NDArray[np.integer]) -> NDArray[np.int32]:
    """Clusters [N] renumbered: the largest 0, empty numbers gone, -1 as before."""
    sizes = np.bincount(clusters[clusters >= 0], minlength=1)
    kept = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    number = np.full(len(sizes) + 1, -1, np.int32)  # the last is what -1 reads
    number[kept] = np.arange(len(kept))
    return number[clusters]


def characteristic_words(terms: Iterable[Sequence[str]], clusters: NDArray[np.int32]) -> list[tuple[str, ...]]:
    """Class-based TF-IDF (Grootendorst 2022): what the cases of a cluster say more often than the others do.

    A term's weight in a cluster is its frequency, the share of the cluster's cases that use it, times the logarithm of
    that share over the share among all cases. The published log(1 + A / f) tells too little where clusters are few:
    words of every report, "heart" and "normal", would come first.

    Args:
        terms: What each of the N cases says, see `case_terms`; iterated once.
        clusters: [N] int32, as `find_clusters` gives them.

    Returns:
        Up to five terms of each cluster, most telling first; none where nothing is said.
    """
    kinds = int(clusters.max(initial=-1)) + 1
    # The last counts the cases outside any cluster, whose number is -1.
    users: list[Counter[str]] = [Counter() for _ in range(kinds + 1)]
    for cluster, used in zip(clusters.tolist(), terms, strict=True):
        users[cluster].update(set(used))
    sizes = np.bincount(clusters[clusters >= 0], minlength=kinds)
    told = zip(users, sizes.tolist(), strict=False)
    names = list(dict.fromkeys(term for own, size in told for term in own if own[term] / size >= _LEAST_USERS))
    counts = np.array([[own[name] for name in names] for own in users], float)
    share = counts[:kinds] / sizes[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.nan_to_num(share * np.log(share * len(clusters) / counts.sum(0)), nan=0.0)
    weights[share < _LEAST_USERS] = 0
    # Of equal weight the longer phrase says more.
    ranked = []
    for row in weights:
        said = [(-row[at], -len(names[at]), names[at]) for at in np.flatnonzero(row > 0)]
        ranked.append([term for *_, term in sorted(said)])
    return [_chosen(phrases) for phrases in ranked]


def case_terms(case: Case, reads: str) -> list[str]:
    """What a case says of itself: words of its report where the system reads reports, else its labels and profile.

    Of a report single words and pairs are taken, not of sentences that deny something.
    """
    if reads == "report" and case.report:
        return list(_report_terms(case.report))
    labels = [label.replace("_", " ") for label in case.labels]
    return labels + [term for name, value in case.profile.items() if (term := _profile_term(name, value))]


def _report_terms(report: str) -> Iterable[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    for sentence in SENTENCE.split(report.lower()):
        if denies(sentence):
            continue
        words = [word for word in WORD.findall(sentence) if len(word) > 2 and word not in ENGLISH_STOP_WORDS | _COMMON]
        yield from words
        yield from (f"{first} {second}" for first, second in pairwise(words))


def _profile_term(name: str, value: object) -> str | None:
    words = name.replace("_", " ")
    if name.lower() in LEFT_OUT or value is False:
        return None
    if value is True:
        return words
    if isinstance(value, int | float):
        return f"age {int(value // 10) * 10}s" if name == "age" else None
    return f"{words} {value}" if 0 < len(str(value)) <= _LONGEST_VALUE else None


def _chosen(ranked: Sequence[str]) -> tuple[str, ...]:
    """The first terms that do not repeat a word of one before."""
    chosen: list[str] = []
    for term in ranked:
        if not any(set(term.split()) & set(other.split()) for other in chosen):
            chosen.append(term)
        if len(chosen) == _WORDS:
            break
    return tuple(chosen)
