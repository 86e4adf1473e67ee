"""Find the cases nearest to a film, a text, both, or another case, and say why each matched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.assess import Assessment, assess
from explorer.casebook import Casebook
from explorer.film_report import FilmReport, examine, look
from explorer.filters import Filter, matching_rows, stored_conditions
from explorer.matching import shared_phrases
from explorer.predict import Scores, Voted, classified, voted
from explorer.profiles import check_profile
from explorer.suppression import suppress
from index_builder.casebook import SPACES, Space
from index_builder.datasets.base import Case, ProfileValue
from index_builder.errors import QueryError
from index_builder.evaluation.retrieval import diversity
from index_builder.systems.profile import profile_sentence

#: Share of the vote from which a finding counts as shared with a neighbour.
VOTE_MAJORITY = 0.5
#: Candidates per wanted neighbour that reranking and suppression choose from.
_CANDIDATES_PER_NEIGHBOUR = 10
MAX_NEIGHBOURS = 200
#: Longest text or sentence of a profile that is searched with; encoders read less.
MAX_QUERY_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Query:
    """What to search with: a film, a text or profile, a film with either, or a case of the casebook.

    Attributes:
        pixels: [H, W] float32 in 0..1, `Film.pixels`.
        text: A report, a sentence or a few words.
        case_id: A case already in the casebook; excludes the others.
        image_weight: Share of the film when a text or profile is given too, 0..1.
        profile: Fields of a patient profile instead of a text, where the casebook's system reads profiles; searched as
            the sentence that `profile_sentence` makes of them.
        view: What the film's header says of its view, where there is one.
    """

    pixels: NDArray[np.float32] | None = None
    text: str | None = None
    case_id: str | None = None
    image_weight: float = 0.5
    profile: Mapping[str, ProfileValue] | None = None
    view: str | None = None


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search.

    Attributes:
        k: Neighbours wanted, 1 to 200.
        space: Which vectors are searched; None: those of the query's own modality where there are any.
        filters: Conditions a neighbour must meet.
        rerank: 0 orders by similarity alone, 1 as the system itself mixes similarity and findings
            (`Casebook.ranking`), or by overlap of findings alone where it has no mixture of its own.
        one_per_patient: Keep the best case of each patient, and none of a queried case's own patient.
        hide_duplicates: Leave out copies of better-placed films (or, without film, reports) and of a queried case.
    """

    k: int = 5
    space: Space | None = None
    filters: tuple[Filter, ...] = ()
    rerank: float = 0.0
    one_per_patient: bool = False
    hide_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A case found, and why.

    Attributes:
        rank: 1 is best.
        score: Cosine similarity to the query in the searched space.
        closeness: Share (0..1) of the casebook's cases whose own nearest neighbour is less similar than this.
        similarity: Cosine per modality the query and the case both have, e.g. {"image": 0.8, "joint": 0.7}.
        shared_labels: Findings in common with the query's.
        other_labels: The case's remaining findings.
        profile: The sentence the system reads instead of the report; empty unless it reads profiles.
        shared_phrases: Word runs of the query's text found in what the system reads of the case.
    """

    rank: int
    case_id: str
    score: float
    closeness: float
    labels: tuple[str, ...]
    split: str
    view: str | None
    report: str
    profile: str
    synthetic: bool
    similarity: Mapping[str, float]
    shared_labels: tuple[str, ...]
    other_labels: tuple[str, ...]
    shared_phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Neighbours of one query.

    Attributes:
        neighbours: Best first; fewer than `k` when filters leave fewer.
        space: The space that was searched.
        vector: [D] float32, the query's place in it.
        searched: Cases of that space that met the filters.
        findings: The query's findings and how sure they are, 0..1: 1 for a case's own labels, else the weighted share
            of the unfiltered nearest cases that carry them, as many and weighted as the system's vote settings say, in
            the space of the query's own modality whichever is searched.
        findings_from: Whether `findings` are a case's labels or a vote.
        votes: How many of the voters carry each of `findings`; empty for a case.
        voters: Cases that voted.
        classified: What the system's classifier says, 0..1, of the casebook's labels it knows; None for a case, or
            where the system has no classifier for them.
        scores: All that was said of the query's findings; None for a case, whose labels are known.
        assessment: What `scores` mean, calibrated at the usual coverage and risk; `explorer.assess` takes others.
        film: What is wrong with the query's film; None without one.
        diversity: How different the returned cases are: mean over pairs of "vectors", 1 - cosine, and of "labels",
            1 - Jaccard; None with fewer than two.
        timings_ms: Milliseconds by step.
    """

    neighbours: tuple[Neighbour, ...]
    space: Space
    vector: NDArray[np.float32]
    searched: int
    findings: Mapping[str, float]
    findings_from: Literal["labels", "vote"]
    votes: Mapping[str, int] = field(default_factory=dict)
    voters: int = 0
    classified: Mapping[str, float] | None = None
    scores: Scores | None = None
    assessment: Assessment | None = None
    film: FilmReport | None = None
    diversity: Mapping[str, float] | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The result ready for JSON, without the query's vector."""
        return {
            "space": self.space,
            "searched": self.searched,
            "findings": _shares(self.findings),
            "findings_from": self.findings_from,
            "votes": dict(self.votes),
            "voters": self.voters,
            "classified": None if self.classified is None else _shares(self.classified),
            "assessment": None if self.assessment is None else self.assessment.as_dict(),
            "film": None if self.film is None else self.film.as_dict(),
            "diversity": None if self.diversity is None else _shares(self.diversity),
            "neighbours": [_rounded(asdict(neighbour)) for neighbour in self.neighbours],
            "timings_ms": {name: round(value, 2) for name, value in self.timings_ms.items()},
        }


def _shares(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}


def _rounded(content: dict[str, Any]) -> dict[str, Any]:
    """Numbers to six digits, which is more than float16 vectors carry."""
    return {
        name: round(value, 6) if isinstance(value, float) else _rounded(value) if isinstance(value, dict) else value
        for name, value in content.items()
    }


@dataclass(frozen=True, slots=True)
class _Embedded:
    """A query's vectors by modality, the text that phrases are compared with, and what is wrong with its film."""

    vectors: Mapping[Space, NDArray[np.float32]]
    text: str
    film: FilmReport | None = None


def search(casebook: Casebook, query: Query, options: SearchOptions) -> SearchResult:
    """Nearest cases to a query.

    Filters are applied before the nearest are chosen, so `k` cases come back wherever `k` meet them.

    Raises:
        QueryError: Nothing to search with, a field or label that is not there, a number out of range.
    """
    _check(query, options)
    if query.case_id is None:
        _loaded = casebook.system  # before the clock starts: it happens once, and is not what a search takes
    began = perf_counter()
    query = _worded(casebook, query)
    embedded = _embed(casebook, query)
    embedded_at = perf_counter()
    space = options.space or _own_space(casebook, query)
    vector = _query_vector(embedded, query, space)
    store = casebook.store(space)

    own = None if query.case_id is None else casebook.row(query.case_id)
    allowed = where = None
    searched = len(store)
    if options.filters:
        met = matching_rows(casebook, options.filters) & casebook.has_vector(space)
        allowed, searched = casebook.keys[met], int(met.sum())
        where = stored_conditions(casebook, options.filters)
        searched -= own is not None and bool(met[own])
    elif own is not None:
        searched -= bool(casebook.vectors(space)[own].any())
    exhaustive = options.rerank > 0 or options.one_per_patient or options.hide_duplicates
    wanted = options.k * _CANDIDATES_PER_NEIGHBOUR if exhaustive else options.k
    said = probabilities = None
    if query.case_id is None:
        home = _own_space(casebook, query)
        home_vector = _query_vector(embedded, query, home)
        said = Scores(_given(query), home, voted(casebook, home, home_vector), classified(casebook, home_vector))
        found = said.voted
        probabilities = None if said.classified is None else said.classified.probabilities
    else:
        found = Voted(dict.fromkeys(casebook.case(query.case_id).labels, 1.0), {}, 0)
    # What the classifier knows goes before the vote.
    likely = {**found.shares, **(probabilities or {})}
    while True:
        # A queried case finds itself too, and is left out here rather than by a filter, which would cost more.
        hits = store.search(vector, wanted + (own is not None), allowed, where)
        rows, scores = casebook.rows_of_keys(hits.keys), hits.scores
        others = np.flatnonzero(rows != (-1 if own is None else own))[:wanted]
        rows, scores = rows[others], scores[others]
        order = _rerank(casebook, rows, scores, likely, options.rerank)
        chosen = suppress(casebook, rows[order], query, options)
        # Suppression may eat up the candidates: look further until enough remain or none are left.
        if len(chosen) >= min(options.k, searched) or len(rows) >= searched:
            break
        wanted *= 4
    chosen = chosen[: options.k]
    score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    found_at = perf_counter()
    neighbours = tuple(
        _neighbour(casebook, row, rank, score_of[row], space, embedded, found.shares)
        for rank, row in enumerate(chosen, start=1)
    )
    spread = _diversity(casebook, chosen, space)
    done = perf_counter()
    timings = {
        "embed": 1e3 * (embedded_at - began),
        "search": 1e3 * (found_at - embedded_at),
        "match": 1e3 * (done - found_at),
        "total": 1e3 * (done - began),
    }
    return SearchResult(
        neighbours=neighbours,
        space=space,
        vector=vector,
        searched=searched,
        findings=found.shares,
        findings_from="vote" if query.case_id is None else "labels",
        votes=found.votes,
        voters=found.voters,
        classified=probabilities,
        scores=said,
        assessment=None if said is None else assess(casebook, said),
        film=embedded.film,
        diversity=spread,
        timings_ms=timings,
    )


def _check(query: Query, options: SearchOptions) -> None:
    text = bool(query.text and query.text.strip())
    if query.text:
        _check_text(query.text)
    given = query.pixels is not None or text or bool(query.profile)
    if query.case_id is not None and given:
        raise QueryError("search with a case or with a film and text, not both.")
    if query.case_id is None and not given:
        raise QueryError("nothing to search with. Give a film, a text, a profile or a case id.")
    if text and query.profile:
        raise QueryError("search with a text or with a profile, not both.")
    if not 1 <= options.k <= MAX_NEIGHBOURS:
        raise QueryError(f"k = {options.k}: give a number from 1 to {MAX_NEIGHBOURS}.")
    for name, value in (("image weight", query.image_weight), ("rerank", options.rerank)):
        if not 0 <= value <= 1:
            raise QueryError(f"{name} = {value}: give a number from 0 to 1.")


def _check_text(text: str) -> None:
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(f"a text of {len(text):,} characters: give at most {MAX_QUERY_CHARS:,}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError("the text is not valid Unicode. Save or copy it as UTF-8.") from None


def _worded(casebook: Casebook, query: Query) -> Query:
    """The query with its profile said in a sentence."""
    if not query.profile:
        return query
    check_profile(casebook, query.profile)
    sentence = profile_sentence(query.profile)
    _check_text(sentence)
    if not sentence and query.pixels is None:
        raise QueryError("the profile has no value to search with. Give at least one.")
    return replace(query, text=sentence, profile=None)


def _embed(casebook: Casebook, query: Query) -> _Embedded:
    if query.case_id is not None:
        row = casebook.row(query.case_id)
        own = {space: casebook.vectors(space)[row].astype(np.float32) for space in casebook.spaces}
        held = {space: vector / np.linalg.norm(vector) for space, vector in own.items() if vector.any()}
        return _Embedded(held, _text_read(casebook, casebook.case(query.case_id)))
    import torch  # here, so that the app's first page and searches by case need not wait for it

    system = casebook.system
    vectors: dict[Space, NDArray[np.float32]] = {}
    text = (query.text or "").strip()
    film = None
    with casebook.embedding, torch.inference_mode():
        image = None
        if query.pixels is not None:
            image, features = look(system, query.pixels)
            vectors["image"] = image.vector[0].numpy()
            film = examine(casebook, query.pixels, query.view, features, vectors["image"])
        words = system.encode_texts([text]) if text else None
        if words is not None:
            vectors["text"] = words.vector[0].numpy()
        vectors["joint"] = system.join(image, words)[0].numpy()
    return _Embedded(vectors, text, film)


def _text_read(casebook: Casebook, case: Case) -> str:
    """What the casebook's system reads of a case."""
    return profile_sentence(case.profile) if casebook.manifest.system.reads == "profile" else case.report


def _given(query: Query) -> Space | None:
    """What a query's vector is made of; None where film and text count differently."""
    text = bool(query.text and query.text.strip())
    if query.pixels is None or not text:
        return "text" if query.pixels is None else "image"
    return "joint" if query.image_weight == 0.5 else None


def _own_space(casebook: Casebook, query: Query) -> Space:
    """The space of a query's own modality, where the casebook has it."""
    if query.pixels is not None and not (query.text and query.text.strip()):
        own: Space = "image"
    elif query.pixels is None and query.case_id is None:
        own = "text"
    else:
        own = "joint"
    return own if own in casebook.spaces else "joint"


def _shared_phrases(casebook: Casebook, query: str, text: str) -> tuple[str, ...]:
    if casebook.manifest.system.reads == "profile":
        # Each clause of a profile stands for itself: "no cough" denies nothing but the cough.
        query, text = query.replace(",", "."), text.replace(",", ".")
    return shared_phrases(query, text)


def _query_vector(embedded: _Embedded, query: Query, space: Space) -> NDArray[np.float32]:
    """The query's vector for a space. All spaces share their axes, so a film can be looked up among reports."""
    vectors = embedded.vectors
    if query.case_id is not None:
        if space not in vectors:
            raise QueryError(f"case {query.case_id!r} has no {space} vector. Search another space.")
        return vectors[space]
    image, text, joint = vectors.get("image"), vectors.get("text"), vectors["joint"]
    if image is not None and text is not None:
        # The weight leads from the text by way of the joint vector, at a half, to the film.
        share = abs(2 * query.image_weight - 1)
        mixed = (1 - share) * joint + share * (image if query.image_weight > 0.5 else text)
        return np.asarray(mixed / (np.linalg.norm(mixed) or 1.0), np.float32)
    single = image if image is not None else text
    return joint if single is None or space == "joint" else single


def _rerank(
    casebook: Casebook,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    findings: Mapping[str, float],
    weight: float,
) -> NDArray[np.int64]:
    """Order of the candidates by (1 - weight) * similarity + weight * score of `Casebook.ranking`."""
    if weight == 0:
        return np.arange(len(rows))
    names = casebook.label_names
    wanted = np.array([[findings.get(name, 0.0) for name in names]], np.float32)
    held = casebook.label_matrix[rows].astype(np.float32)
    mixed = casebook.ranking.scores(scores[None], wanted, held, names)[0]
    return np.argsort(-((1 - weight) * scores + weight * mixed), kind="stable")


def _diversity(casebook: Casebook, rows: list[int], space: Space) -> dict[str, float] | None:
    count = len(rows)
    if count < 2:
        return None
    vectors = np.asarray(casebook.vectors(space)[rows])
    patients = np.array([casebook.patient_ids[row] for row in rows], object)
    found = diversity(np.arange(count)[None], vectors, casebook.label_matrix[rows], patients, resamples=1)
    return {"vectors": found[f"embedding_diversity@{count}"], "labels": found[f"label_diversity@{count}"]}


def _neighbour(
    casebook: Casebook,
    row: int,
    rank: int,
    score: float,
    space: Space,
    embedded: _Embedded,
    findings: Mapping[str, float],
) -> Neighbour:
    case = casebook.case(casebook.case_ids[row])
    text = _text_read(casebook, case)
    similarity: dict[str, float] = {}
    for modality in SPACES:
        if modality in embedded.vectors and modality in casebook.spaces:
            own = casebook.vectors(modality)[row].astype(np.float32)
            if own.any():
                similarity[modality] = float(embedded.vectors[modality] @ own)
    similarity.setdefault(space, score)
    present = {label for label, share in findings.items() if share >= VOTE_MAJORITY}
    percentiles = casebook.manifest.spaces[space].nearest_similarity
    return Neighbour(
        rank=rank,
        case_id=case.case_id,
        score=score,
        closeness=float(np.searchsorted(percentiles, score, side="right") / max(1, len(percentiles))),
        labels=case.labels,
        split=case.split,
        view=case.view,
        report=case.report,
        profile=text if casebook.manifest.system.reads == "profile" else "",
        synthetic=case.synthetic,
        similarity=similarity,
        shared_labels=tuple(label for label in case.labels if label in present),
        other_labels=tuple(label for label in case.labels if label not in present),
        shared_phrases=_shared_phrases(casebook, embedded.text, text),
    )
