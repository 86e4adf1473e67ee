"""How well typed queries find the Open-i reports that answer them, of today's search beside BM25 and TF-IDF.

Relevance comes from the coders' MeSH codes (`text_queries`), which no retriever reads. Choose by `--part val`, report
`--part test`:

    PYTHONPATH=tests python tests/benchmarks/text_search.py CASEBOOK --part test

"all" is the mean of the kinds, so that it does not hang on how many queries of each were made up. Intervals
are of 1,000 resamplings of the queries within their kinds.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bm25s
import numpy as np
from benchmarks.text_queries import KINDS, CodedReports, TextQuery, text_queries
from benchmarks.text_scores import FIRST, METRICS, scores_of
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from explorer import Casebook, Query, SearchOptions
from explorer.search.filters.expression import parse_filter
from explorer.search.query import MODES
from explorer.search.search import search_cases
from index_builder.calibration.bootstrap import interval, resampled_weights
from index_builder.cases.case import Case
from index_builder.datasets.published.openi import OpenI

#: A typed query -> case ids, best first.
Search = Callable[[str], Sequence[str]]

BASELINE = "BM25"


@dataclass(frozen=True, slots=True)
class Answers:
    """What one retriever found.

    Attributes:
        found: Case ids of each query, best first, at most ten.
        scores: [queries, metrics] as `METRICS`.
    """

    found: Sequence[Sequence[str]]
    scores: NDArray[np.float64]


def bm25(cases: Sequence[Case]) -> Search:
    """Okapi BM25 of bm25s as it comes: k1 1.5, b 0.75, its tokens and its English stop words, no stemming."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize([case.report for case in cases], show_progress=False), show_progress=False)

    def search(text: str) -> list[str]:
        tokens = bm25s.tokenize([text], return_ids=False, show_progress=False)
        rows, scores = index.retrieve(tokens, k=min(FIRST, len(cases)), show_progress=False)
        return [cases[row].case_id for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    return search


def tf_idf(cases: Sequence[Case]) -> Search:
    """Cosine of TF-IDF of words and pairs of words, of scikit-learn; no stop words, no stemming."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    reports = vectorizer.fit_transform([case.report for case in cases])

    def search(text: str) -> list[str]:
        scores = (reports @ vectorizer.transform([text]).T).toarray()[:, 0]
        best = np.argsort(-scores, kind="stable")[:FIRST]
        return [cases[row].case_id for row in best if scores[row] > 0]

    return search


def of_casebook(casebook: Casebook, options: SearchOptions) -> Search:
    """The explorer's own search of a text."""
    return lambda text: [one.case_id for one in search_cases(casebook, Query(text=text), options).neighbours]


def answer(search: Search, queries: Sequence[TextQuery], relevant: Sequence[frozenset[str]]) -> Answers:
    """Put all queries to one retriever."""
    found = [search(query.text)[:FIRST] for query in queries]
    return Answers(found, np.array([scores_of(ids, wanted) for ids, wanted in zip(found, relevant, strict=True)]))


def resampled(scores: NDArray[np.float64], kinds: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Means by kind, and of the kinds as "all": [1 + resamples, metrics], row 0 of the queries themselves."""
    means = {}
    for kind in KINDS:
        rows = np.flatnonzero(np.array(kinds) == kind)
        if len(rows):
            weights = resampled_weights(len(rows)).astype(np.float64)
            means[kind] = weights @ scores[rows] / len(rows)
    return means | {"all": np.mean(list(means.values()), axis=0)}


def rows_of(answers: Mapping[str, Answers], kinds: Sequence[str]) -> Iterable[dict[str, str | float]]:
    """A row for each retriever, kind and metric, with intervals and the paired difference to BM25."""
    baseline = answers[BASELINE].scores
    for name, own in answers.items():
        means, differences = resampled(own.scores, kinds), resampled(own.scores - baseline, kinds)
        for place, metric in enumerate(METRICS):
            for kind, values in means.items():
                low, high = interval(values[:, place]) or (np.nan, np.nan)
                below, above = interval(differences[kind][:, place]) or (np.nan, np.nan)
                yield {
                    "retriever": name,
                    "metric": metric,
                    "kind": kind,
                    "queries": len(kinds) if kind == "all" else list(kinds).count(kind),
                    "value": float(values[0, place]),
                    "low": low,
                    "high": high,
                    "minus_bm25": float(differences[kind][0, place]),
                    "minus_bm25_low": below,
                    "minus_bm25_high": above,
                }


def print_table(rows: Sequence[Mapping[str, str | float]]) -> None:
    """One table a metric, a line a retriever, a column a kind; below each value its interval."""
    for metric in METRICS:
        of_metric = [row for row in rows if row["metric"] == metric]
        kinds = list(dict.fromkeys(str(row["kind"]) for row in of_metric))
        print(f"\n{metric:<11}" + "".join(f"{kind:>13}" for kind in kinds) + f"{'all - BM25':>22}")
        for name in dict.fromkeys(row["retriever"] for row in of_metric):
            own = [row for row in of_metric if row["retriever"] == name]
            last = own[-1]
            difference = f"{last['minus_bm25']:+.2f} [{last['minus_bm25_low']:+.2f}, {last['minus_bm25_high']:+.2f}]"
            print(f"{name:<11}" + "".join(f"{row['value']:>13.2f}" for row in own) + f"{difference:>22}")
            print(" " * 11 + "".join(f"{'[{:.2f}, {:.2f}]'.format(row['low'], row['high']):>13}" for row in own))


def print_worst(
    answers: Answers,
    queries: Sequence[TextQuery],
    relevant: Sequence[frozenset[str]],
    cases: Sequence[Case],
    count: int,
) -> None:
    """Queries of least success with the codes of their first five results."""
    codes = {case.case_id: case.codes for case in cases}
    for place in np.argsort(answers.scores[:, 0], kind="stable")[:count]:
        query, found = queries[place], answers.found[place]
        success = answers.scores[place, 0]
        print(f"\n{success:.2f} {query.kind}: {query.text!r}, {len(relevant[place])} relevant")
        for one in found[:5]:
            print(f"   {'+' if one in relevant[place] else '-'} {one}: {'; '.join(codes[one]) or 'no code'}")


def main() -> None:
    """Measure all retrievers in one process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("casebook", type=Path, help="built of openi, with or without films")
    parser.add_argument("--part", choices=("val", "test"), default="val")
    parser.add_argument("--within", action="store_true", help="search the reports of the part alone")
    parser.add_argument("--csv", type=Path, help="write every figure here")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="print the N worst queries and their results")
    parser.add_argument("--of", choices=(BASELINE, "TF-IDF", *MODES), default="hybrid", help="whose worst queries")
    arguments = parser.parse_args()

    casebook = Casebook.open(arguments.casebook)
    held = set(casebook.case_ids)
    part = arguments.part
    cases = [
        case
        for case in OpenI().cases()
        if case.case_id in held and case.report and (not arguments.within or case.split == part)
    ]
    queries = text_queries(cases, part, within=arguments.within)
    reports = CodedReports([case.codes for case in cases])
    relevant = [frozenset(cases[row].case_id for row in reports.relevant(query.target)) for query in queries]
    filters = (parse_filter(f"split={part}"),) if arguments.within else ()
    retrievers: dict[str, Search] = {
        BASELINE: bm25(cases),
        "TF-IDF": tf_idf(cases),
        **{mode: of_casebook(casebook, SearchOptions(k=FIRST, filters=filters, mode=mode)) for mode in MODES},
    }
    answers = {name: answer(search, queries, relevant) for name, search in retrievers.items()}
    kinds = [query.kind for query in queries]
    print(f"{len(queries)} queries of {part} ({', '.join(f'{kind} {kinds.count(kind)}' for kind in KINDS)}), ", end="")
    print(f"{len(cases):,} reports")
    rows = list(rows_of(answers, kinds))
    print_table(rows)
    if arguments.csv:
        with arguments.csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if arguments.worst:
        print_worst(answers[arguments.of], queries, relevant, cases, arguments.worst)


if __name__ == "__main__":
    main()
