"""Calibrated predictions: what classifier and vote say of a query, and how far that can be trusted.

Everything that turns scores into probabilities, sets and thresholds comes from the casebook's own validation cases
(`index_builder.held_out`). Where it has too few, the scores are given as they came and nothing is promised.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.predict import Scores
from index_builder.errors import ModelError
from index_builder.evaluation.conformal import COVERAGE, FindingThresholds, stage_sets, stage_threshold
from index_builder.evaluation.uncertainty import threshold_for_risk
from index_builder.held_out import FEWEST, SOURCES, HeldOut, Source
from index_builder.labels import DUST_STAGES
from index_builder.systems.voting import vote_logits

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: Classifier and vote disagree on a finding when their probabilities are at least this far apart.
DISAGREEMENT = 0.3
#: Error rate among the answered that θ is chosen for where nobody asks for another.
RISK = 0.05

Verdict = Literal["present", "absent", "undecided"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one source says of one finding.

    Attributes:
        probability: Calibrated where the assessment is, else the classifier's own or the share of the vote, 0..1.
        verdict: The only answer of its conformal set, or "undecided"; None where the assessment is not calibrated.
    """

    probability: float
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding the query may show. Never a diagnosis.

    Attributes:
        label: The finding.
        classifier: None where the classifier does not know it.
        vote: What the nearest cases say.
        votes: How many of them carry it.
        disagree: Whether classifier and vote are `DISAGREEMENT` or more apart; never where not calibrated.
        examples: Validation cases that have it; with fewer than `conformal.fewest_cases` it stays undecided.
    """

    label: str
    classifier: Opinion | None
    vote: Opinion
    votes: int
    disagree: bool
    examples: int

    @property
    def strength(self) -> float:
        """The higher of both probabilities."""
        return max(self.vote.probability, self.classifier.probability if self.classifier else 0.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source says of the stage.

    Attributes:
        source: Who says so.
        probabilities: Of every stage; sum to 1 where calibrated.
        uncertainty: 1 - the highest of them.
        theta: A reading more uncertain than this is to be read again; None: no threshold keeps the stated risk, or none
            was chosen.
        read_again: None where there is nothing to choose a threshold on.
        answered: Share of the validation cases that are answered at θ.
        error: Share of these answers that are wrong.
        possible: Stages of the conformal set; None where not calibrated.
    """

    source: Source
    probabilities: dict[str, float]
    uncertainty: float
    theta: float | None
    read_again: bool | None
    answered: float | None
    error: float | None
    possible: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Predictions of one query.

    Attributes:
        cases: Validation cases that calibrated each source; a source that is missing is not calibrated.
        why_not: What keeps a source from being calibrated; empty where all are.
        voters: Cases that voted.
        coverage: Stated coverage of the conformal sets.
        risk: Stated error rate among answered stages.
        findings: Most likely first; empty where the labels are stages.
        readings: Of the stage, the system's own first; empty where the labels are findings.
    """

    cases: dict[Source, int]
    why_not: str
    voters: int
    coverage: float
    risk: float
    findings: tuple[Finding, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def disagree(self) -> bool:
        """Whether classifier and vote take different stages for the likeliest."""
        return len({max(one.probabilities, key=one.probabilities.__getitem__) for one in self.readings}) > 1

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, numbers to four digits."""
        content: dict[str, Any] = _rounded(asdict(self))
        return content | {"stages_disagree": self.disagree}


def assess(casebook: Casebook, scores: Scores, *, coverage: float = COVERAGE, risk: float = RISK) -> Assessment:
    """Calibrate what was said of a query.

    Args:
        casebook: That was searched.
        scores: Of the query.
        coverage: Stated rate, between 0 and 1, at which the sets hold the truth.
        risk: Stated error rate among the stages that are answered, 0 to 1.
    """
    held: dict[Source, HeldOut | None] = {
        source: casebook.held_out.get((scores.space, source)) if scores.given == scores.space else None
        for source in SOURCES
    }
    calibrated = {source: len(one.truth) for source, one in held.items() if one is not None}
    asked = {"vote"} if scores.classified is None else set(SOURCES)
    return Assessment(
        cases={source: calibrated[source] for source in SOURCES if source in asked and source in calibrated},
        why_not="" if asked <= set(calibrated) else _why_not(casebook, scores),
        voters=scores.voted.voters,
        coverage=coverage,
        risk=risk,
        findings=() if casebook.staged else _findings(casebook, scores, held, coverage),
        readings=_readings(casebook, scores, held, coverage, risk) if casebook.staged else (),
    )


def _findings(
    casebook: Casebook, scores: Scores, held: dict[Source, HeldOut | None], coverage: float
) -> tuple[Finding, ...]:
    names = casebook.label_names
    shares = np.array([scores.voted.shares.get(name, 0.0) for name in names])
    by_vote = _opinions(names, shares, _vote_logits(casebook, scores, names, stages=False), held["vote"], coverage)
    by_classifier: dict[str, Opinion] = {}
    if scores.classified is not None:
        known = tuple(name for name in names if name in scores.classified.probabilities)
        own = np.array([scores.classified.probabilities[name] for name in known])
        logits = np.array([scores.classified.logits[name] for name in known])
        by_classifier = _opinions(known, own, logits, held["classifier"], coverage)
    examples = {source: _examples(one) for source, one in held.items()}
    found = []
    for name in names:
        opinion = by_classifier.get(name)
        gap = 0.0 if opinion is None else abs(opinion.probability - by_vote[name].probability)
        calibrated = opinion is not None and opinion.verdict is not None and by_vote[name].verdict is not None
        found.append(
            Finding(
                label=name,
                classifier=opinion,
                vote=by_vote[name],
                votes=scores.voted.votes.get(name, 0),
                disagree=calibrated and gap >= DISAGREEMENT,
                examples=examples["vote" if opinion is None else "classifier"].get(name, 0),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.strength))


def _examples(held: HeldOut | None) -> dict[str, int]:
    """Validation cases that have each finding."""
    return {} if held is None else dict(zip(held.names, held.truth.sum(axis=0).tolist(), strict=True))


def _opinions(
    names: tuple[str, ...],
    plain: NDArray[np.float64],
    logits: NDArray[np.float64],
    held: HeldOut | None,
    coverage: float,
) -> dict[str, Opinion]:
    """Opinions on findings from scores [C] and their logits."""
    if held is None:
        return {name: Opinion(float(value), None) for name, value in zip(names, plain, strict=True)}
    columns = [held.names.index(name) for name in names]
    known = _sigmoid(held.logits[:, columns] / held.temperature)
    probabilities = _sigmoid(logits / held.temperature)
    may_be, may_lack = FindingThresholds.of(known, held.truth[:, columns], coverage).sets(probabilities[None])
    return {
        name: Opinion(float(value), "undecided" if present == absent else "present" if present else "absent")
        for name, value, present, absent in zip(names, probabilities, may_be[0], may_lack[0], strict=True)
    }


def _readings(
    casebook: Casebook,
    scores: Scores,
    held: dict[Source, HeldOut | None],
    coverage: float,
    risk: float,
) -> tuple[Reading, ...]:
    found, stages = [], DUST_STAGES
    if scores.classified is not None and all(name in scores.classified.logits for name in stages):
        logits = np.array([scores.classified.logits[name] for name in stages])
        plain = np.exp(logits - logits.max())
        theta = casebook.manifest.system.theta
        found.append(
            _reading("classifier", stages, plain / plain.sum(), logits, held["classifier"], coverage, risk, theta)
        )
    shares = np.array([scores.voted.shares.get(name, 0.0) for name in stages])
    logits = _vote_logits(casebook, scores, stages, stages=True)
    found.append(_reading("vote", stages, shares, logits, held["vote"], coverage, risk, None))
    return tuple(found)


def _reading(
    source: Source,
    stages: tuple[str, ...],
    plain: NDArray[np.float64],
    logits: NDArray[np.float64],
    held: HeldOut | None,
    coverage: float,
    risk: float,
    theta: float | None,
) -> Reading:
    """A reading from scores [C] and their logits; `theta` is the one to go by where nothing is held out."""
    if held is None:
        uncertainty = 1 - float(plain.max())
        again = None if theta is None else uncertainty > theta
        return Reading(source, _named(stages, plain), uncertainty, theta, again, None, None, None)
    columns = [held.names.index(name) for name in stages]
    known, truth = held.logits[:, columns].astype(np.float64), held.truth[:, columns].argmax(axis=1)
    probabilities = _softmax(logits[None] / held.temperature)
    # Sets from scores that were not fitted to these cases: a temperature fitted to them would bend the promise.
    limit = stage_threshold(_softmax(known), truth, coverage)
    possible = stage_sets(_softmax(logits[None]), limit)[0]
    answers = _softmax(known / held.temperature)
    unsure, wrong = 1 - answers.max(axis=1), answers.argmax(axis=1) != truth
    uncertainty = 1 - float(probabilities.max())
    try:
        theta = threshold_for_risk(unsure, wrong, risk)
    except ModelError:
        return Reading(
            source, _named(stages, probabilities[0]), uncertainty, None, True, 0.0, None, _chosen(stages, possible)
        )
    kept = unsure <= theta
    return Reading(
        source=source,
        probabilities=_named(stages, probabilities[0]),
        uncertainty=uncertainty,
        theta=theta,
        read_again=uncertainty > theta,
        answered=float(kept.mean()),
        error=float(wrong[kept].mean()),
        possible=_chosen(stages, possible),
    )


def _why_not(casebook: Casebook, scores: Scores) -> str:
    reads = casebook.manifest.system.reads
    words = {"image": "films", "text": f"{reads}s", "joint": f"films with {reads}s"}
    if not casebook.held_out:
        return (
            f"this casebook has fewer than {FEWEST} labelled validation cases, so nothing tells how often such "
            "predictions are right."
        )
    if scores.given is None:
        return f"validation cases tell of film and {reads} in equal parts, not of other weights."
    if scores.given != scores.space:
        return f"validation cases tell of {words[scores.given]} compared with {words[scores.given]} alone."
    return f"this casebook has fewer than {FEWEST} labelled validation cases that are {words[scores.space]}."


def _vote_logits(casebook: Casebook, scores: Scores, names: tuple[str, ...], *, stages: bool) -> NDArray[np.float64]:
    shares = np.array([scores.voted.shares.get(name, 0.0) for name in names])
    return vote_logits(shares, casebook.manifest.spaces[scores.space].count, stages=stages)


def _sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), np.float64)


def _named(names: tuple[str, ...], values: NDArray[np.floating]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _chosen(names: tuple[str, ...], kept: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, one in zip(names, kept.tolist(), strict=True) if one)


def _rounded(content: Any) -> Any:
    if isinstance(content, float):
        return round(content, 4)
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return content
