"""Candidates for a query: the nearest by vectors, by words, by facts, or by all three in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.search.fact_scores import score_facts
from explorer.search.fusion import WEIGHTS, by_relevance, fuse
from explorer.search.query import Mode
from index_builder.cases.space import Space
from index_builder.errors import QueryError
from index_builder.facts.fact import Fact
from index_builder.facts.match import wanted_terms
from index_builder.lexical.reports import Reports
from index_builder.lexical.word_index import Found
from index_builder.stores.base import Condition

#: Candidates that each of the three ways gives at least, so that what one ranks low can be lifted by the others.
DEPTH = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """The candidates to look for.

    Attributes:
        mode: How.
        space: Whose vectors are compared.
        vector: [D] float32, the query's.
        text: As it is searched for; empty where no text takes part.
        facts: Facts of the text.
        share: Share of the text beside a film, 0..1.
        met: Which cases meet the filters and have a vector in the space, [N]; None: there are no filters.
        where: The filters for a store that keeps the fields; None: it cannot be told them.
        own: Row of a queried case, which is not among its own neighbours.
        laterals: Whether lateral films alone are compared, each by itself.
    """

    mode: Mode
    space: Space
    vector: NDArray[np.float32]
    text: str = ""
    facts: Sequence[Fact] = ()
    share: float = 1.0
    met: NDArray[np.bool_] | None = None
    where: tuple[Condition, ...] | None = None
    own: int | None = None
    laterals: bool = False


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cases found, best first.

    Attributes:
        rows: [n] int64.
        cosine: [n] float32, to the query in the searched space.
        relevance: [n] float32, what they are ordered by; None: by cosine.
        all: Whether there are no more.
        ranks: Way -> row -> rank in it.
        films: Row -> reference of the film that matched, where films were compared one by one.
    """

    rows: NDArray[np.int64]
    cosine: NDArray[np.float32]
    relevance: NDArray[np.float32] | None
    all: bool
    ranks: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    films: Mapping[int, str] = field(default_factory=dict)

    def found_by(self, row: int) -> dict[str, int]:
        """The ways that found a case, and its rank in each."""
        return {way: ranks[row] for way, ranks in self.ranks.items() if row in ranks}


def retrieve(casebook: Casebook, wanted: Wanted, count: int) -> Candidates:
    """At least `count` candidates, where there are so many."""
    if wanted.laterals:
        return _laterals(casebook, wanted, count)
    if wanted.mode == "dense":
        return _dense(casebook, wanted, count)
    return _lexical(casebook, wanted, count) if wanted.mode == "lexical" else _hybrid(casebook, wanted, count)


def settled_mode(casebook: Casebook, mode: Mode, *, typed: bool) -> Mode:
    """The mode that a query can be answered in: by vectors where no text is typed or no report is indexed.

    Raises:
        QueryError: Words alone are asked for where there is no index of them.
    """
    if not typed or casebook.manifest.system.reads != "report":
        return "dense"
    if casebook.reports is None and mode == "lexical":
        raise QueryError(f"casebook {casebook.name!r} has no index of reports. Search by vectors, or rebuild it.")
    return "dense" if casebook.reports is None else mode


def _dense(casebook: Casebook, wanted: Wanted, count: int) -> Candidates:
    # A queried case finds itself too, and is left out here rather than by a filter, which would cost more.
    asked = count + (wanted.own is not None)
    allowed = None if wanted.met is None else casebook.keys[wanted.met]
    hits = casebook.store(wanted.space).search(wanted.vector, asked, allowed, wanted.where)
    rows = casebook.rows_of_keys(hits.keys)
    others = np.flatnonzero(rows != (-1 if wanted.own is None else wanted.own))[:count]
    rows = rows[others]
    return Candidates(rows, hits.scores[others], None, len(hits.keys) < asked, {"dense": _ranks(rows)})


def _laterals(casebook: Casebook, wanted: Wanted, count: int) -> Candidates:
    """Cases by their nearest lateral film, each once."""
    films, store = casebook.case_films.table, casebook.case_films.laterals
    allowed = casebook.case_films.has_lateral if wanted.met is None else wanted.met
    if films is None or store is None:  # a case has one film: its vector is the film's
        found = _dense(casebook, replace(wanted, met=allowed, where=None), count)
        reference = {row: casebook.case(casebook.case_ids[row]).image for row in found.rows.tolist()}
        return replace(found, films={row: film for row, film in reference.items() if film is not None})
    keys = None if wanted.met is None else films.keys[films.is_lateral & allowed[films.rows]]
    asked = count
    while True:
        hits = store.search(wanted.vector, asked, keys, wanted.where)
        numbers = films.numbers_of(hits.keys)
        rows, firsts = np.unique(films.rows[numbers], return_index=True)
        if len(rows) >= count or len(hits.keys) < asked:
            break
        asked *= 2
    order = np.sort(firsts)[:count]
    rows = films.rows[numbers[order]]
    matched = {int(films.rows[number]): films.references[int(number)].as_py() for number in numbers[order]}
    complete = len(hits.keys) < asked and len(firsts) <= count
    return Candidates(rows, hits.scores[order], None, complete, {"dense": _ranks(rows)}, matched)


def _lexical(casebook: Casebook, wanted: Wanted, count: int) -> Candidates:
    found = _by_words(casebook, wanted, count)
    relevance = _share_of_best(found.scores)
    return Candidates(
        found.rows,
        _cosine(casebook, wanted, found.rows),
        relevance,
        len(found.rows) < count,
        {"lexical": _ranks(found.rows)},
    )


def _hybrid(casebook: Casebook, wanted: Wanted, count: int) -> Candidates:
    depth = max(DEPTH, count)
    near, said = _dense(casebook, wanted, depth), _by_words(casebook, wanted, depth)
    parts = [near.rows, said.rows]
    if wanted.facts:
        parts.append(_by_facts(casebook, wanted, depth).rows)
    rows = np.unique(np.concatenate(parts))
    cosine = _cosine(casebook, wanted, rows)
    words = np.zeros(len(rows), np.float32)
    words[np.searchsorted(rows, said.rows)] = _share_of_best(said.scores)
    facts = score_facts(_reports(casebook).facts, rows, wanted.facts) if wanted.facts else None
    weights = WEIGHTS.of_text(wanted.share, facts=facts is not None)
    relevance = fuse(weights, None if facts is None else facts.scores, words, _between(cosine, near.cosine))
    order = by_relevance(relevance, cosine)
    ranks = {"lexical": _ranks(said.rows), "dense": _ranks(near.rows)}
    if facts is not None:
        answered = np.flatnonzero(facts.answered)
        ranks = {"facts": _ranks(rows[answered[by_relevance(facts.scores[answered], cosine[answered])]]), **ranks}
    return Candidates(rows[order], cosine[order], relevance[order], near.all, ranks)


def _by_words(casebook: Casebook, wanted: Wanted, count: int) -> Found:
    return _reports(casebook).words.by_text(wanted.text, count, _allowed(casebook, wanted))


def _by_facts(casebook: Casebook, wanted: Wanted, count: int) -> Found:
    terms = [wanted_terms(fact) for fact in wanted.facts]
    # From the most specific to the most general term; how well a report answers is then worked out exactly.
    weighed = [{term: 1 - place / len(several) for place, term in enumerate(several)} for several in terms]
    return _reports(casebook).words.by_facts(weighed, wanted.text, count, _allowed(casebook, wanted))


def _reports(casebook: Casebook) -> Reports:
    assert casebook.reports is not None, "the mode was settled by it"
    return casebook.reports


def _allowed(casebook: Casebook, wanted: Wanted) -> NDArray[np.bool_] | None:
    if wanted.met is not None:
        return wanted.met
    held = casebook.has_vector(wanted.space)
    return None if held.all() else held


def _cosine(casebook: Casebook, wanted: Wanted, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = casebook.vectors(wanted.space)[rows].astype(np.float32)
    return np.asarray(vectors @ wanted.vector, np.float32)


def _between(cosine: NDArray[np.float32], near: NDArray[np.float32]) -> NDArray[np.float32]:
    """V of the module `fusion`: cosine from the last (0) to the best (1) of the nearest."""
    if not len(near):
        return np.zeros_like(cosine)
    low, high = float(near.min()), float(near.max())
    return np.clip((cosine - low) / (high - low or 1.0), 0, 1)


def _share_of_best(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return scores / scores[0] if len(scores) else scores


def _ranks(rows: NDArray[np.int64]) -> dict[int, int]:
    return {row: rank for rank, row in enumerate(rows.tolist(), start=1)}
