"""Calibrated predictions: what classifier and vote say of a query, and how far that can be trusted.

Everything that turns scores into probabilities, sets and thresholds comes from the casebook's own validation cases
(`index_builder.calibration.held_out`). Where it has too few, or the query is of another kind than they are
(`Scores.withheld`), the scores are given as they came and nothing is stated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.prediction.scores import Scores
from index_builder.calibration.conformal import COVERAGE, FindingThresholds, stage_sets, stage_threshold
from index_builder.calibration.held_out import FEWEST, SOURCES, Given, HeldOut, Source
from index_builder.calibration.uncertainty import threshold_for_risk
from index_builder.calibration.voting import vote_logits
from index_builder.cases.space import Space
from index_builder.errors import ModelError
from index_builder.numerics import sigmoid, softmax

if TYPE_CHECKING:
    from explorer.casebook import Casebook

#: Classifier and vote disagree on a finding when their probabilities are at least this far apart.
DISAGREEMENT = 0.3
#: Error rate among the answered that θ is chosen for where nobody asks for another.
RISK = 0.05

#: A probability this far from even is told as likely or unlikely even where the sets leave the finding open.
CLEAR = 0.95

#: What is said of a finding, in the words that page, terminal and downloads use.
Verdict = Literal[
    "suggested",
    "not suggested",
    "uncertain",
    "likely, not distinct",
    "unlikely, not excluded",
    "too few cases to say",
]


@dataclass(frozen=True, slots=True)
class Opinion:
    """The opinion of one source on one finding.

    Attributes:
        score: As it came, 0..1: the classifier's output, or the share of the vote.
        probability: Probability of the finding, 0..1; None where nothing calibrates it.
        verdict: "suggested" or "not suggested" where its conformal set holds that answer alone; None where nothing
            calibrates it.
    """

    score: float
    probability: float | None = None
    verdict: Verdict | None = None

    @property
    def shown(self) -> float:
        """The probability, or the score where there is none."""
        return self.score if self.probability is None else self.probability


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding the query may show. Never a diagnosis.

    Attributes:
        label: The finding.
        classifier: None where the classifier does not know it.
        vote: What the nearest cases say.
        votes: How many of them carry it.
        disagree: Whether classifier and vote are `DISAGREEMENT` or more apart; never where not calibrated.
        examples: Validation cases that have it; with fewer than `conformal.fewest_cases` nothing is said.
    """

    label: str
    classifier: Opinion | None
    vote: Opinion
    votes: int
    disagree: bool
    examples: int

    @property
    def strength(self) -> float:
        """The higher of both probabilities, or scores."""
        return max(self.vote.shown, self.classifier.shown if self.classifier else 0.0)

    @property
    def own(self) -> Opinion:
        """Opinion of the system's own source: its classifier where it knows the finding, else the vote."""
        return self.classifier or self.vote


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one source: its opinion on the stage.

    Attributes:
        source: Who says so.
        scores: Scores of every stage, as they came.
        probabilities: Probabilities of every stage, sum 1; None where nothing calibrates them.
        uncertainty: 1 - the highest of these; None where nothing is stated.
        theta: A reading more uncertain than this is to be read again; None: no threshold keeps the stated risk, or none
            was chosen.
        read_again: None where there is nothing to choose a threshold on.
        answered: Share of the validation cases that are answered at θ.
        error: Share of these answers that are wrong.
        possible: Stages of the conformal set; None where not calibrated.
    """

    source: Source
    scores: dict[str, float]
    probabilities: dict[str, float] | None = None
    uncertainty: float | None = None
    theta: float | None = None
    read_again: bool | None = None
    answered: float | None = None
    error: float | None = None
    possible: tuple[str, ...] | None = None

    @property
    def shown(self) -> dict[str, float]:
        """The probabilities, or the scores where there are none."""
        return self.probabilities or self.scores


@dataclass(frozen=True, slots=True)
class Assessment:
    """Predictions of one query.

    Attributes:
        cases: Validation cases that calibrated each source; a source that is missing is not calibrated.
        carried: Sources of them whose validation cases are of the system's training and came with its checkpoint; the
            others' are of this casebook.
        why_not: What keeps a source from being calibrated; empty where all are.
        withheld: Why nothing is stated of this query: no probability, verdict or stage, only scores. Empty: it is.
        voters: Cases that voted.
        coverage: Stated coverage of the conformal sets.
        risk: Stated error rate among answered stages.
        findings: Most likely first; empty where the labels are stages.
        readings: Readings of the stage, the system's own first; empty where the labels are findings.
    """

    cases: dict[Source, int]
    carried: tuple[Source, ...]
    why_not: str
    withheld: str
    voters: int
    coverage: float
    risk: float
    findings: tuple[Finding, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def disagree(self) -> bool:
        """Whether classifier and vote take different stages for the likeliest."""
        if self.withheld:
            return False
        return len({max(one.shown, key=one.shown.__getitem__) for one in self.readings}) > 1

    @property
    def read_again(self) -> bool | None:
        """Whether a stage is not to be relied on: a source is too unsure, or the two disagree; None: unknown."""
        told = [one.read_again for one in self.readings if one.read_again is not None]
        return any(told) or self.disagree if told else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, numbers to four digits; coverage and risk are None where no set or threshold states them."""
        content: dict[str, Any] = _rounded(asdict(self))
        if not self.cases:
            content |= {"coverage": None, "risk": None}
        return content | {"stages_disagree": self.disagree, "read_again": self.read_again}


def assess(casebook: Casebook, scores: Scores, *, coverage: float = COVERAGE, risk: float = RISK) -> Assessment:
    """Calibrate what was said of a query.

    Args:
        casebook: Casebook that was searched.
        scores: Scores of the query.
        coverage: Stated rate, between 0 and 1, at which the sets hold the truth.
        risk: Stated error rate among the stages that are answered, 0 to 1.
    """
    held: dict[Source, HeldOut | None] = {
        source: casebook.held_out.get((scores.given, source))
        if scores.given is not None and _asked_of(scores.given) == scores.space and not scores.withheld
        else None
        for source in SOURCES
    }
    calibrated = {source: len(one.truth) for source, one in held.items() if one is not None}
    asked = {"vote"} if scores.classified is None else set(SOURCES)
    return Assessment(
        cases={source: calibrated[source] for source in SOURCES if source in asked and source in calibrated},
        # A casebook asks both sources about the same cases: a classifier's that are more came with the checkpoint.
        carried=("classifier",) if calibrated.get("classifier", 0) > calibrated.get("vote", 0) else (),
        why_not="" if scores.withheld or asked <= set(calibrated) else _why_not(casebook, scores),
        withheld=scores.withheld,
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
        gap = 0.0 if opinion is None else abs(opinion.shown - by_vote[name].shown)
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
        return {name: Opinion(float(value)) for name, value in zip(names, plain, strict=True)}
    columns = [held.names.index(name) for name in names]
    known = sigmoid(held.logits[:, columns] / held.temperature)
    probabilities = sigmoid(logits / held.temperature)
    thresholds = FindingThresholds.of(known, held.truth[:, columns], coverage, held.known[:, columns])
    may_be, may_lack = (one[0].tolist() for one in thresholds.sets(probabilities[None]))
    verdicts = map(_verdict, probabilities, thresholds.told.tolist(), may_be, may_lack)
    return {
        name: Opinion(float(score), float(value), verdict)
        for name, score, value, verdict in zip(names, plain, probabilities, verdicts, strict=True)
    }


def _verdict(probability: float, told: bool, may_be: bool, may_lack: bool) -> Verdict:
    """What is said of a finding whose set holds "it may be there" and "it may not".

    A set can hold both where the probability is clear: those of a rare finding are low and those of a frequent one high
    whether a case has it or not. That is no doubt about the probability, and is told apart from it.
    """
    if not told:
        return "too few cases to say"
    if may_be != may_lack:
        return "suggested" if may_be else "not suggested"
    if probability >= CLEAR:
        return "likely, not distinct"
    return "unlikely, not excluded" if probability <= 1 - CLEAR else "uncertain"


def _readings(
    casebook: Casebook,
    scores: Scores,
    held: dict[Source, HeldOut | None],
    coverage: float,
    risk: float,
) -> tuple[Reading, ...]:
    found, stages, withheld = [], casebook.stages, bool(scores.withheld)
    if scores.classified is not None and all(name in scores.classified.logits for name in stages):
        logits = np.array([scores.classified.logits[name] for name in stages])
        theta = casebook.manifest.system.theta
        found.append(
            _reading("classifier", stages, softmax(logits), logits, held["classifier"], coverage, risk, theta, withheld)
        )
    shares = np.array([scores.voted.shares.get(name, 0.0) for name in stages])
    logits = _vote_logits(casebook, scores, stages, stages=True)
    found.append(_reading("vote", stages, shares, logits, held["vote"], coverage, risk, None, withheld))
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
    withheld: bool,
) -> Reading:
    """A reading from scores [C] and their logits; `theta` is the one to go by where nothing is held out."""
    scores = _named(stages, plain)
    if withheld:
        return Reading(source, scores)
    if held is None:
        uncertainty = 1 - float(plain.max())
        again = None if theta is None else uncertainty > theta
        return Reading(source, scores, None, uncertainty, theta, again)
    columns = [held.names.index(name) for name in stages]
    known, truth = held.logits[:, columns].astype(np.float64), held.truth[:, columns].argmax(axis=1)
    probabilities = softmax(logits[None] / held.temperature)
    # Sets from scores that were not fitted to these cases: a temperature fitted to them would bend the promise.
    limit = stage_threshold(softmax(known), truth, coverage)
    possible = stage_sets(softmax(logits[None]), limit)[0]
    answers = softmax(known / held.temperature)
    unsure, wrong = 1 - answers.max(axis=1), answers.argmax(axis=1) != truth
    uncertainty = 1 - float(probabilities.max())
    try:
        theta = threshold_for_risk(unsure, wrong, risk)
    except ModelError:
        named = _named(stages, probabilities[0])
        return Reading(source, scores, named, uncertainty, None, True, 0.0, None, _chosen(stages, possible))
    kept = unsure <= theta
    return Reading(
        source=source,
        scores=scores,
        probabilities=_named(stages, probabilities[0]),
        uncertainty=uncertainty,
        theta=theta,
        read_again=uncertainty > theta,
        answered=float(kept.mean()),
        error=float(wrong[kept].mean()),
        possible=_chosen(stages, possible),
    )


def _asked_of(given: Given) -> Space:
    """The space in which validation cases ask with the same."""
    return "image" if given == "films" else given


def _why_not(casebook: Casebook, scores: Scores) -> str:
    reads = casebook.manifest.system.reads
    words: dict[Given, str] = {
        "image": "films",
        "text": f"{reads}s",
        "joint": f"films with {reads}s",
        "films": "studies of several films",
    }
    if not casebook.held_out:
        return (
            f"this casebook has fewer than {FEWEST} labelled validation cases, so it is unknown how often such "
            "predictions are right."
        )
    if scores.given is None:
        return f"validation cases cover film and {reads} in equal parts, not other weights."
    if _asked_of(scores.given) != scores.space:
        return f"validation cases cover only {words[scores.given]} compared with {words[scores.given]}."
    return f"this casebook has fewer than {FEWEST} labelled validation cases that are {words[scores.given]}."


def _vote_logits(casebook: Casebook, scores: Scores, names: tuple[str, ...], *, stages: bool) -> NDArray[np.float64]:
    shares = np.array([scores.voted.shares.get(name, 0.0) for name in names])
    return vote_logits(shares, casebook.manifest.spaces[scores.space].count, stages=stages)


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
