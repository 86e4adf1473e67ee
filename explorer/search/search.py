"""Find the cases nearest to a film, a text, both, or another case: encode, retrieve, rerank, describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter

from explorer.casebook import Casebook
from explorer.prediction.assessment import assess
from explorer.prediction.scores import Scores, Voted, classified, voted, withheld_words
from explorer.search.copies import suppress
from explorer.search.describe import Asked, describe_neighbour
from explorer.search.encode import Encoded, encode, given, own_space, query_vector
from explorer.search.filters.expression import matching_rows, stored_conditions
from explorer.search.ordering import diversity_of, rerank
from explorer.search.phrases import word_runs
from explorer.search.query import Mode, Query, SearchOptions, check_query, worded
from explorer.search.result import SearchResult
from explorer.search.retrieve import Candidates, Wanted, retrieve, settled_mode

#: Candidates per wanted neighbour that reranking and suppression choose from.
_CANDIDATES_PER_NEIGHBOUR = 10


def search_cases(
    casebook: Casebook, query: Query, options: SearchOptions | None = None, *, k: int | None = None
) -> SearchResult:
    """Nearest cases to a query.

    Args:
        casebook: Where to search.
        query: What with.
        options: How; None: as usual.
        k: Neighbours wanted, instead of the options' own number.

    Filters are applied before the nearest are chosen, so `k` cases come back wherever `k` meet them; of a search by
    words alone, wherever `k` of those share a word with the text.

    Raises:
        QueryError: Nothing to search with, a field or label that is not there, a number out of range.
    """
    options = options or SearchOptions()
    if k is not None:
        options = replace(options, k=k)
    check_query(query, options)
    if query.case_id is None:
        _loaded = casebook.encoder  # before the clock starts: it happens once, and is not what a search takes
    mode = settled_mode(casebook, options.mode, typed=bool(query.typed))
    began = perf_counter()
    query = worded(casebook, query)
    encoded = encode(casebook, query)
    encoded_at = perf_counter()
    wanted, searched = _wanted(casebook, query, options, encoded, mode)
    said = _said(casebook, query, encoded)
    found = said.voted if said is not None else _labels_of(casebook, query)
    probabilities = None if said is None or said.classified is None else said.classified.probabilities
    # What the classifier knows goes before the vote.
    candidates, chosen = _choose(casebook, query, options, wanted, searched, {**found.shares, **(probabilities or {})})
    found_at = perf_counter()
    asked = Asked(
        wanted.space,
        _own_nearest(casebook, query, wanted),
        encoded.vectors,
        encoded.text,
        found.shares if encoded.clear else {},
        wanted.facts,
        word_runs(encoded.text, wanted.facts),
    )
    neighbours = tuple(
        describe_neighbour(casebook, row, rank, candidates, asked) for rank, row in enumerate(chosen, start=1)
    )
    spread = diversity_of(casebook, chosen, wanted.space)
    done = perf_counter()
    timings = {
        "embed": 1e3 * (encoded_at - began),
        "search": 1e3 * (found_at - encoded_at),
        "match": 1e3 * (done - found_at),
        "total": 1e3 * (done - began),
    }
    return SearchResult(
        neighbours=neighbours,
        space=wanted.space,
        vector=wanted.vector,
        searched=searched,
        findings=found.shares,
        findings_from="labels" if said is None else "vote",
        votes=found.votes,
        voters=found.voters,
        classified=probabilities,
        scores=said,
        assessment=None if said is None else assess(casebook, said),
        films=encoded.films,
        laterals=wanted.laterals,
        text=encoded.report,
        synthetic=casebook.manifest.dataset.synthetic,
        mode=wanted.mode,
        understood=encoded.understood,
        diversity=spread,
        timings_ms=timings,
    )


def _wanted(
    casebook: Casebook, query: Query, options: SearchOptions, encoded: Encoded, mode: Mode
) -> tuple[Wanted, int]:
    """What is looked for, and among how many cases."""
    space = options.space or own_space(casebook, query)
    laterals = space == "image" and encoded.one_lateral and not options.all_films
    laterals = laterals and bool(casebook.case_films.has_lateral.any())
    held = casebook.case_films.has_lateral if laterals else casebook.has_vector(space)
    own = None if query.case_id is None else casebook.row(query.case_id)
    met = where = None
    searched = int(held.sum()) if laterals else len(casebook.store(space))
    if options.filters:
        met = matching_rows(casebook, options.filters) & held
        where = stored_conditions(casebook, options.filters)
        searched = int(met.sum()) - (own is not None and bool(met[own]))
    elif own is not None:
        searched -= bool(casebook.vectors(space)[own].any())
    share = 1 - query.image_weight if query.pixels is not None else 1.0
    facts = () if encoded.understood is None else encoded.understood.facts
    vector = query_vector(encoded, query, space)
    return Wanted(mode, space, vector, encoded.text, facts, share, met, where, own, laterals), searched


def _own_nearest(casebook: Casebook, query: Query, wanted: Wanted) -> tuple[float, ...]:
    """Percentiles of how near indexed films or cases are to their nearest other: what a score is compared with."""
    films = casebook.manifest.each_film
    if films is not None and wanted.laterals and films.laterals is not None:
        return films.laterals.nearest_similarity
    if films is not None and wanted.space == "image" and len(query.films) == 1 and not query.typed:
        return films.nearest_similarity
    return casebook.manifest.spaces[wanted.space].nearest_similarity


def _said(casebook: Casebook, query: Query, encoded: Encoded) -> Scores | None:
    """What vote and classifier say of the query's findings; None of a case, whose labels are known."""
    if query.case_id is not None:
        return None
    home = own_space(casebook, query)
    vector = query_vector(encoded, query, home)
    return Scores(
        given(query),
        home,
        voted(casebook, home, vector),
        classified(casebook, vector),
        withheld_words(casebook, encoded.films, encoded.report),
    )


def _labels_of(casebook: Casebook, query: Query) -> Voted:
    assert query.case_id is not None, "only a case has labels"
    return Voted(dict.fromkeys(casebook.case(query.case_id).labels, 1.0), {}, 0)


def _choose(
    casebook: Casebook,
    query: Query,
    options: SearchOptions,
    wanted: Wanted,
    searched: int,
    findings: Mapping[str, float],
) -> tuple[Candidates, list[int]]:
    """The cases that are shown, best first, and the candidates that they were chosen from."""
    several = options.rerank > 0 or options.one_per_patient or options.hide_duplicates
    count = options.k * _CANDIDATES_PER_NEIGHBOUR if several else options.k
    while True:
        found = retrieve(casebook, wanted, count)
        order = rerank(casebook, found.rows, found.cosine, findings, options.rerank, found.relevance)
        chosen = suppress(casebook, found.rows[order], query, options)
        # Suppression may eat up the candidates: look further until enough remain or none are left.
        if len(chosen) >= min(options.k, searched) or found.all or len(found.rows) >= searched:
            return found, chosen[: options.k]
        count *= 4
