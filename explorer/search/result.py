"""What a search found, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.prediction.assessment import Assessment
from explorer.prediction.scores import Scores
from explorer.search.query import Mode
from explorer.search.reading.film_report import FilmReport
from explorer.search.reading.text_report import TextReport
from explorer.search.reading.understanding import understood_dict
from index_builder.cases.space import Space
from index_builder.facts.understand import Understood


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A case found, and why.

    Attributes:
        rank: 1 is best.
        score: Cosine similarity to the query in the searched space.
        closeness: Share (0..1) of the casebook's cases whose own nearest neighbour is less similar than this.
        similarity: Cosine per modality the query and the case both have, e.g. {"image": 0.8, "joint": 0.7}.
        shared_labels: Findings in common with the query's; none where its film was flagged or its text not understood.
        other_labels: The case's remaining findings.
        unknown_labels: Findings that nobody decided for this case: neither shared nor missing.
        profile: The sentence the system reads instead of the report; empty unless it reads profiles.
        shared_phrases: Word runs of the query's text found in what the system reads of the case.
        found_by: The ways that found it, "facts", "lexical" (words) or "dense" (vectors), and its rank in each.
        relevance: What orders the results of a search by words or facts, 0..1, see `search.fusion`; None: `score` does.
        matched_facts: What its report says of what the query wants, e.g. "nodule · right · upper lobe".
        denied_labels: Labels that its report denies, as coded, with the sentence that denies each.
        views: Views of all its films, the primary first; `view` is that one's.
        film: Reference of the film that matched, where films were compared one by one; None: all of them together.
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
    unknown_labels: tuple[str, ...]
    shared_phrases: tuple[str, ...]
    found_by: Mapping[str, int] = field(default_factory=dict)
    relevance: float | None = None
    matched_facts: tuple[str, ...] = ()
    denied_labels: Mapping[str, str] = field(default_factory=dict)
    views: tuple[str | None, ...] = ()
    film: str | None = None


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
        assessment: What `scores` mean, calibrated at the usual coverage and risk; `prediction.assessment` takes others.
        films: What is known of each of the query's films, and what is wrong with it.
        laterals: Whether lateral films alone were searched, each by itself, as the query is a lateral.
        text: What must be known of the query's text; None without one.
        synthetic: Whether the films that were searched are computer-drawn.
        mode: How the cases were found; "dense" wherever no text took part.
        understood: What was made of the text; None where reports are not what is searched, or without a text.
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
    films: tuple[FilmReport, ...] = ()
    laterals: bool = False
    text: TextReport | None = None
    synthetic: bool = False
    mode: Mode = "dense"
    understood: Understood | None = None
    diversity: Mapping[str, float] | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def film(self) -> FilmReport | None:
        """What is known of the first film; None without one."""
        return self.films[0] if self.films else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be known of the query before its results, a sentence each."""
        first, second = ((*self.films, None, None))[:2]
        own = [] if first is None else [*(flag.words for flag in first.flags), *first.hints]
        own += [] if self.text is None else [flag.words for flag in self.text.flags]
        other = () if second is None else (*(flag.words for flag in second.flags), *second.hints)
        return (*own, *(f"Second film: {words}" for words in other))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without the vector. Where nothing is stated, findings stand in the assessment alone."""
        warnings, stated = list(self.warnings), self.assessment is None or not self.assessment.withheld
        return {
            "warnings": warnings,
            "synthetic": self.synthetic,
            "space": self.space,
            "searched": self.searched,
            "findings": _shares(self.findings) if stated else None,
            "findings_from": self.findings_from,
            "votes": dict(self.votes) if stated else None,
            "voters": self.voters,
            "classified": _shares(self.classified) if stated and self.classified is not None else None,
            "assessment": None if self.assessment is None else self.assessment.as_dict(),
            "film": None if self.film is None else self.film.as_dict(),
            "second_film": self.films[1].as_dict() if len(self.films) > 1 else None,
            "laterals": self.laterals,
            "text": None if self.text is None else self.text.as_dict(),
            "mode": self.mode,
            "understood": None if self.understood is None else understood_dict(self.understood),
            "diversity": None if self.diversity is None else _shares(self.diversity),
            "neighbours": [_rounded(asdict(neighbour)) | {"warnings": warnings} for neighbour in self.neighbours],
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
