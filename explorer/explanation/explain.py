"""Why the system says what it says of a query or case, laid over the film and the text as a reader sees them.

casebook = Casebook.open("casebooks/phantom-openi")
study = open_study(casebook, Query(text="enlarged heart", pixels=read_film(path).pixels))
answer = explain(casebook, study, Question("Cardiomegaly"), "grad-cam")
answer.sides[0].film_map.on_film(1024, 1024)                            # weights in the geometry of the film

other = open_study(casebook, Query(case_id="CXR123"))
explain(casebook, study, Question(other=other), "similarity").sides      # both, on one scale
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.casebook import Casebook
from explorer.explanation.overlay import FilmMap, Scale, film_map, shared_scale
from explorer.explanation.study import Study
from explorer.explanation.study import open_study as open_study
from explorer.prediction.assessment import Opinion, assess
from explorer.prediction.scores import Scores, classified, voted
from index_builder import explanation
from index_builder.anatomy.zones import Zone, zone_shares
from index_builder.cases.space import Space
from index_builder.errors import ExplanationError
from index_builder.explanation import (
    Explanation,
    FindingTarget,
    Inputs,
    Method,
    Progress,
    SimilarityTarget,
    Target,
    Voters,
)
from index_builder.systems.base import RetrievalSystem

#: Share of a film that a map's strongest weights cover, and the side of the grid they are counted on.
_STRONGEST, _COUNTED_SIDE = 0.05, 256


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a study.

    Attributes:
        finding: Why this finding; None: why similar to `other`.
        other: A study explained beside it, on the same scale.
        part: What is read of both: film and text ("joint"), or either alone. A study that lacks the part is read as a
            whole.
    """

    finding: str | None = None
    other: Study | None = None
    part: Space = "joint"


@dataclass(frozen=True, slots=True)
class Side:
    """One study with what counts in it.

    Attributes:
        study: What was explained.
        explanation: The score, log-odds of the finding or cosine with the other study, and what makes it, in the
            geometry of the network input.
        film_map: Its weights on the film, each that of a hundredth of the network input's area, which is a number one
            can read; None where there is no film or the method says nothing of it.
        places: How the strongest weights for it are spread over the zones of the lungs; None without a map or zones.
        places_against: The same of the weights against, where the map has such.
    """

    study: Study
    explanation: Explanation
    film_map: FilmMap | None
    places: dict[Zone, float] | None = None
    places_against: dict[Zone, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An explanation.

    Attributes:
        question: What was asked.
        method: How it was answered.
        layer: Stage of the image encoder looked at; None for methods without a choice.
        sides: The study, and the other one where there is one.
        scale: Scale of all maps; None where there is none.
        word_limit: Largest absolute weight of a word; 0 where there is none.
        signed: Whether weights below 0 speak against.
    """

    question: Question
    method: Method
    layer: str | None
    sides: tuple[Side, ...]
    scale: Scale | None
    word_limit: float
    signed: bool

    def as_dict(self) -> dict[str, Any]:
        """Everything but the maps and the studies' films, ready for JSON."""
        other = self.question.other
        return {
            "method": self.method,
            "layer": self.layer,
            "explained": "similarity" if self.question.finding is None else "finding",
            "finding": self.question.finding,
            "other_case": None if other is None else other.case_id,
            "part": self.question.part,
            "signed": self.signed,
            "map_limit": None if self.scale is None else self.scale.limit,
            "studies": [
                {
                    "case_id": side.study.case_id,
                    "synthetic": side.study.synthetic,
                    "warnings": list(side.study.warnings),
                    "withheld": side.study.withheld,
                    "score": side.explanation.score,
                    "residual": side.explanation.residual,
                    "zones": _rounded(side.places),
                    "zones_against": _rounded(side.places_against),
                    "words": [
                        {"text": word.text, "start": word.start, "end": word.end, "weight": word.weight}
                        for word in side.explanation.words
                    ],
                }
                for side in self.sides
            ],
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two methods' weights on a study.

    Attributes:
        first: One method.
        second: The other.
        study: Name of the study.
        what: "films" for the blocks of a film, or "texts" for words.
        rho: Pearson's correlation; NaN where either says the same everywhere.
        overlap: Intersection over union of the highest 5 % of each.
    """

    first: Method
    second: Method
    study: Study
    what: str
    rho: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that can be explained, and what the system says of it: its classifier, else the vote.

    Attributes:
        label: Its name.
        opinion: As the search page has it: the probability, or the score where nothing calibrates it.
    """

    label: str
    opinion: Opinion


def findings_of(casebook: Casebook, study: Study, part: Space = "joint") -> tuple[Finding, ...]:
    """Findings that can be explained, strongest predicted first.

    Those of the casebook; all that the system knows where the casebook has other labels.
    """
    known = casebook.system.config.label_names
    names = [name for name in known if name in casebook.label_names] or known
    inputs = study.inputs(part)
    vector, space = _vector(casebook, study, inputs), _space(casebook, inputs)
    own = None if study.case_id is None else casebook.row(study.case_id)
    votes = voted(casebook, space, vector, without=own)
    assessed = assess(casebook, Scores(_given(inputs), space, votes, classified(casebook, vector), study.withheld))
    opinions = {one.label: one.own for one in assessed.findings}
    for reading in assessed.readings[:1]:
        sure = reading.probabilities or {}
        opinions = {name: Opinion(score, sure.get(name)) for name, score in reading.scores.items()}
    if not set(names) <= set(opinions):
        others = _classified(casebook, vector)
        opinions = {} if others is None else dict(zip(known, map(Opinion, others.tolist()), strict=True))
    found = [Finding(name, opinions.get(name, Opinion(0.0))) for name in names]
    return tuple(sorted(found, key=lambda one: -one.opinion.shown))


def methods_for(casebook: Casebook, study: Study, question: Question) -> tuple[Method, ...]:
    """Methods offered for a question about all its studies, quickest first."""
    return _of_all(explanation.methods_for, casebook, study, question)


def withheld_methods(casebook: Casebook, study: Study, question: Question) -> tuple[Method, ...]:
    """Methods that could answer but are not offered, as they were measured to be no better than chance here."""
    offered = methods_for(casebook, study, question)
    return tuple(one for one in _of_all(explanation.answering, casebook, study, question) if one not in offered)


def _of_all(
    known: Callable[[RetrievalSystem, Inputs, Target], tuple[Method, ...]],
    casebook: Casebook,
    study: Study,
    question: Question,
) -> tuple[Method, ...]:
    found = [
        known(casebook.system, one.inputs(question.part), _kind(casebook, question)) for one in _asked(study, question)
    ]
    return tuple(method for method in found[0] if all(method in others for others in found))


def layers_of(casebook: Casebook) -> tuple[str, ...]:
    """Stages of the image encoder that Grad-CAM can look at, first to last."""
    return explanation.layers_of(casebook.system)


def explain(
    casebook: Casebook,
    study: Study,
    question: Question,
    method: Method,
    *,
    layer: str | None = None,
    steps: int = 32,
    progress: Progress | None = None,
) -> Answer:
    """Answer a question about a study, and about the other one of the question on the same scale.

    Similarity is the cosine of what is read of both; each is asked with the other's vector, so that all weights are
    parts of one number.

    Args:
        casebook: Whose system is explained.
        study: The query or case.
        question: What is asked.
        method: One of `methods_for`.
        layer: For "grad-cam", one of `layers_of`; None: the last.
        steps: For "integrated-gradients".
        progress: Told of steps done of both studies together; returning False stops.

    Raises:
        ExplanationError: Neither finding nor other study, or method, layer or finding do not fit.
        Cancelled: `progress` said so.
    """
    asked = _asked(study, question)
    sides = []
    for number, one in enumerate(asked):
        inputs = one.inputs(question.part)
        target = _target(casebook, one, asked[1 - number] if len(asked) > 1 else None, question)
        shared = None if progress is None else _share_of(progress, number, len(asked))
        result = explanation.explain(casebook.system, inputs, target, method, layer=layer, steps=steps, progress=shared)
        laid = None
        if result.image is not None and one.geometry is not None:
            laid = film_map(result.image * np.float32(result.image.size / 100), one.geometry, one.shape)
        sides.append(Side(one, result, laid, *_places(one, laid)))
    maps = [side.film_map for side in sides if side.film_map is not None]
    weights = [abs(word.weight) for side in sides for word in side.explanation.words]
    return Answer(
        question,
        method,
        sides[0].explanation.layer,
        tuple(sides),
        shared_scale(maps) if maps else None,
        max(weights, default=0.0),
        any(side.explanation.signed for side in sides),
    )


def _rounded(places: dict[Zone, float] | None) -> dict[str, float] | None:
    return None if places is None else {zone: round(share, 4) for zone, share in places.items()}


def _places(study: Study, laid: FilmMap | None) -> tuple[dict[Zone, float] | None, dict[Zone, float] | None]:
    """Where the strongest weights for and against lie; the strongest are the highest on `_STRONGEST` of the film."""
    if laid is None or study.zones is None:
        return None, None
    rows, columns = _grid_of(study.shape)
    values = np.nan_to_num(laid.on_film(rows, columns))
    found = []
    for side in (values, -values):
        strongest = np.where(side >= np.quantile(side, 1 - _STRONGEST), side, 0).clip(min=0)
        found.append(zone_shares(study.zones, strongest) if strongest.any() else None)
    return found[0], found[1]


def _grid_of(shape: tuple[int, int]) -> tuple[int, int]:
    """A film's proportions, small enough to be counted at once."""
    scale = _COUNTED_SIDE / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _asked(study: Study, question: Question) -> tuple[Study, ...]:
    if question.finding is None and question.other is None:
        raise ExplanationError("nothing is asked. Name a finding, or a case to compare with.")
    return (study,) if question.other is None else (study, question.other)


def _kind(casebook: Casebook, question: Question) -> Target:
    """A target of the question's kind, enough to know which methods there are."""
    if question.finding is not None:
        return FindingTarget(question.finding)
    return SimilarityTarget(np.zeros(casebook.manifest.system.embedding_dim, np.float32))


def _target(casebook: Casebook, study: Study, other: Study | None, question: Question) -> Target:
    if question.finding is None:
        assert other is not None, "`_asked` refuses a similarity without another study"
        return SimilarityTarget(_vector(casebook, other, other.inputs(question.part)))
    if casebook.manifest.system.predicts_by == "classifier":
        return FindingTarget(question.finding)
    rows, space = _voters(casebook, study, question.part, _vector(casebook, study, study.inputs(question.part)))
    heard = rows[_knows(casebook, rows, question.finding)]
    rows = heard if len(heard) else rows  # where nobody may vote, all say no
    voters = Voters(
        np.asarray(casebook.vectors(space)[rows], np.float32),
        _carries(casebook, rows, question.finding),
        casebook.manifest.system.temperature_of(space),
    )
    return FindingTarget(question.finding, voters)


def _voters(
    casebook: Casebook, study: Study, part: Space, vector: NDArray[np.float32]
) -> tuple[NDArray[np.int64], Space]:
    """Rows of the cases that vote on a study, itself excluded, and the space they were found in."""
    space = _space(casebook, study.inputs(part))
    count = casebook.manifest.system.vote_neighbours
    rows = casebook.rows_of_keys(casebook.store(space).search(vector, count + 1).keys)
    if study.case_id is not None:
        rows = rows[rows != casebook.row(study.case_id)]
    return rows[:count], space


def _knows(casebook: Casebook, rows: NDArray[np.int64], label: str) -> NDArray[np.bool_]:
    """Cases of which the label is known: the others do not vote on it."""
    if label not in casebook.label_names:
        return np.ones(len(rows), bool)
    return casebook.known_matrix[rows, casebook.label_names.index(label)]


def _carries(casebook: Casebook, rows: NDArray[np.int64], label: str) -> NDArray[np.bool_]:
    if label not in casebook.label_names:
        return np.zeros(len(rows), bool)
    return casebook.label_matrix[rows, casebook.label_names.index(label)]


def _given(inputs: Inputs) -> Space:
    """What is read: film, text or both."""
    return "text" if inputs.film is None else "joint" if inputs.text else "image"


def _space(casebook: Casebook, inputs: Inputs) -> Space:
    """The space of what is read; where the casebook lacks it, as one of films alone lacks texts, that of all cases."""
    own = _given(inputs)
    return own if own in casebook.spaces else "joint"


def _vector(casebook: Casebook, study: Study, inputs: Inputs) -> NDArray[np.float32]:
    """The system's vector of what is read, [D] float32."""
    encoder = casebook.encoder
    image = None if inputs.film is None else encoder.encode_films(inputs.film[None])
    text = encoder.encode_texts([inputs.text]) if inputs.text else None
    one = image if text is None else text
    assert one is not None, "a study has a film or a text"
    return (encoder.join(image, text) if image is not None and text is not None else one.vectors)[0]


def _classified(casebook: Casebook, vector: NDArray[np.float32]) -> NDArray[np.float64] | None:
    answers = casebook.encoder.label_answers(vector[None])
    return None if answers is None else answers[1][0].astype(np.float64)


def _share_of(progress: Progress, number: int, count: int) -> Progress:
    return lambda done, total: progress(number * total + done, count * total)


def agreement(first: Answer, second: Answer) -> list[Agreement]:
    """How alike two answers to one question are, by study, for films and for texts."""
    from index_builder.evaluation.faithfulness.agreement import pearson, top_overlap
    from index_builder.evaluation.faithfulness.measures import compared

    return [
        Agreement(first.method, second.method, one.study, what, pearson(*weights), top_overlap(*weights))
        for one, other in zip(first.sides, second.sides, strict=True)
        for what, *weights in compared(one.explanation, other.explanation)
    ]
