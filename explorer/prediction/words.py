"""What an assessment means, in words: the same on the page, in the terminal and in downloads."""

from __future__ import annotations

from explorer.prediction.assessment import CLEAR, DISAGREEMENT, Assessment, Finding, Opinion, Reading
from index_builder.calibration.conformal import fewest_cases
from index_builder.calibration.held_out import Source

SOURCE_WORDS: dict[Source, str] = {"classifier": "Classifier", "vote": "Neighbours"}

PREDICTION_COLUMNS = (
    "label",
    "source",
    "score",
    "probability",
    "verdict",
    "sources_disagree",
    "votes",
    "uncertainty",
    "theta",
    "read_again",
    "validation_cases",
    "coverage",
    "withheld",
)


def percent(share: float) -> str:
    """A share as a percentage, never 0 or 100 for what is neither."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 < share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def shown_words(opinion: Opinion) -> str:
    """A probability as a percentage; a score that is none as the number it is."""
    return f"score {opinion.score:.2f}" if opinion.probability is None else percent(opinion.probability)


def verdict_words(finding: Finding, coverage: float) -> str:
    """Why the verdict on a finding is what it is."""
    verdict, stated, rest = finding.own.verdict, percent(coverage), percent(1 - coverage)
    if verdict == "suggested":
        return f"scores higher than {stated} of the validation cases without it"
    if verdict == "not suggested":
        return f"scores lower than {stated} of the validation cases with it"
    if verdict == "too few cases to say":
        if finding.examples < fewest_cases(coverage):
            return f"only {finding.examples} validation cases have it; {fewest_cases(coverage)} are needed"
        return "hardly any validation case lacks it"
    if verdict == "likely, not distinct":
        return f"a high probability, but more than {rest} of the cases without it score as high, or most with it higher"
    if verdict == "unlikely, not excluded":
        return f"a low probability, but more than {rest} of the cases with it score as low, or most without it lower"
    return "its probability and its rank among the validation cases do not decide it"


def basis(assessment: Assessment) -> str:
    """What the figures rest on, in a sentence."""
    counts = assessment.cases
    if assessment.withheld:
        return f"Scores, not probabilities, because {assessment.withheld}"
    if not counts:
        return f"Scores, not calibrated: {assessment.why_not}"
    if len(set(counts.values())) == 1 and not assessment.why_not and not assessment.carried:
        return f"Calibrated on {next(iter(counts.values()))} validation cases of this casebook."
    told = " and ".join(
        f"{SOURCE_WORDS[source].lower()} on {count} "
        + ("of the system's training" if source in assessment.carried else "of this casebook")
        for source, count in counts.items()
    )
    rest = f" The rest is not: {assessment.why_not}" if assessment.why_not else ""
    return f"Calibrated on validation cases: {told}.{rest}"


def figures_words(assessment: Assessment) -> list[str]:
    """What each figure of the panel means, a sentence or two each."""
    calibrated, lines = assessment.cases, []
    if any(one.classifier for one in assessment.findings) or len(assessment.readings) > 1:
        lines.append(
            "**Classifier**: the "
            + (
                "probability that the system's classifier gives, after temperature scaling on validation cases."
                if "classifier" in calibrated
                else "uncalibrated score of the system's classifier."
            )
        )
    lines.append(
        f"**Neighbours**: the share of the {assessment.voters} nearest cases, nearer ones counting more, that carry "
        "the label"
        + (
            ", scaled to a probability in the same way."
            if "vote" in calibrated
            else ". A share of cases is not a probability."
        )
    )
    if not calibrated:
        return lines
    stated, rest = percent(assessment.coverage), percent(1 - assessment.coverage)
    if assessment.findings:
        lines += [
            f"**Suggested**: the score is higher than that of {stated} of the validation cases without the finding. "
            f"**Not suggested**: it is lower than that of {stated} of those with it. At most about {rest} of films "
            f"without a finding get suggested, and at most about {rest} of films with it get not suggested "
            "(split-conformal sets). **Uncertain**: neither holds, or where the probability speaks for the other "
            "answer.",
            f"**Likely, not distinct** and **unlikely, not excluded**: the probability is above {percent(CLEAR)} or "
            f"below {percent(1 - CLEAR)}, but the same is true of too many validation cases of the other kind. **Too "
            "few "
            f"cases to say**: fewer than {fewest_cases(assessment.coverage)} validation cases have the finding, or "
            "lack it.",
            f"**Disagree**: classifier and neighbours are {DISAGREEMENT:.0%} or more apart.".replace("%", " points"),
        ]
    else:
        lines += [
            "**Uncertainty** u is 1 minus the highest probability. A film with u above the threshold θ should be read "
            "again: θ is the largest at which the validation cases that are answered are wrong in at most "
            f"{percent(assessment.risk)}.",
            f"**Possible stages**: a set that holds the true stage of about {stated} of films like the validation "
            "cases (split-conformal).",
        ]
    return lines


def threshold_words(reading: Reading, assessment: Assessment) -> str:
    """What θ does, in a sentence; empty where nothing is stated."""
    risk, cases = assessment.risk, assessment.cases.get(reading.source, 0)
    if assessment.withheld:
        return ""
    if reading.possible is None:
        if reading.theta is None:
            return "No threshold: it is unknown how often such readings are right."
        return f"θ = {reading.theta:.2f}, chosen when the system was trained."
    if reading.theta is None:
        return f"No threshold keeps the error to {percent(risk)} on the {cases} validation cases: read all again."
    return (
        f"θ = {reading.theta:.2g} answers {percent(reading.answered or 0)} of the {cases} validation cases; "
        f"{percent(reading.error or 0)} of the answers are wrong."
    )


def compared_words(reading: Reading) -> str:
    """The uncertainty beside θ, in as many digits as distinguish them; empty where nothing is stated."""
    if reading.uncertainty is None:
        return ""
    if reading.theta is None:
        return f"u = {reading.uncertainty:.2f}"
    digits = next((n for n in (2, 3) if round(reading.uncertainty, n) != round(reading.theta, n)), 4)
    sign, said = (">", "unsure") if reading.read_again else ("≤", "sure enough")
    return f"u = {reading.uncertainty:.{digits}f} {sign} θ = {reading.theta:.{digits}f}: {said}"


def reliability_words(assessment: Assessment) -> tuple[str, str]:
    """Whether a stage can be relied on, in a word or two, and why."""
    if assessment.read_again is None:
        return "Reliability unknown", "it is unknown how often such readings are right"
    if not assessment.read_again:
        return "Reliable", f"at the stated risk of {percent(assessment.risk)}"
    unsure = [SOURCE_WORDS[one.source].lower() for one in assessment.readings if one.read_again]
    told = [f"{' and '.join(unsure)} above θ"] if unsure else []
    told += ["classifier and neighbours name different stages as likeliest"] if assessment.disagree else []
    return "Read again", "; ".join(told)


def assessment_lines(assessment: Assessment, most: int) -> list[str]:
    """An assessment for the terminal, the `most` likeliest findings."""
    lines = [basis(assessment)]
    for one in assessment.findings[:most]:
        parts = [f"{SOURCE_WORDS[source].lower()} {shown_words(said)}" for source, said in _opinions(one)]
        told = [*parts, f"{one.votes} of {assessment.voters} carry it"]
        told += [one.own.verdict] if one.own.verdict else []
        told += ["they disagree"] if one.disagree else []
        lines.append(f"  {one.label}: {', '.join(told)}")
    for reading in assessment.readings:
        shares = ", ".join(
            f"{name} {shown_words(Opinion(score, (reading.probabilities or {}).get(name)))}"
            for name, score in reading.scores.items()
        )
        lines.append(f"  {SOURCE_WORDS[reading.source].lower()}: {shares}")
        possible = "" if reading.possible is None else f"; possible: {', '.join(reading.possible)}"
        lines += [
            f"    {told}" for told in (compared_words(reading) + possible, threshold_words(reading, assessment)) if told
        ]
    if assessment.readings and not assessment.withheld:
        lines.append("  " + ": ".join(reliability_words(assessment)))
    return lines


def prediction_rows(assessment: Assessment) -> list[list[str]]:
    """Cells of `PREDICTION_COLUMNS`, a row per finding and source, or per stage and source."""
    rows = [
        [
            one.label,
            source,
            f"{said.score:.4f}",
            "" if said.probability is None else f"{said.probability:.4f}",
            said.verdict or "",
            "" if assessment.withheld else "yes" if one.disagree else "no",
            str(one.votes) if source == "vote" else "",
            "",
            "",
            "",
            *_basis_cells(assessment, source),
        ]
        for one in assessment.findings
        for source, said in _opinions(one)
    ]
    for reading in assessment.readings:
        again = "" if reading.read_again is None else "yes" if reading.read_again else "no"
        theta = "" if reading.theta is None else f"{reading.theta:.4f}"
        for name, score in reading.scores.items():
            probability = "" if reading.probabilities is None else f"{reading.probabilities[name]:.4f}"
            possible = "" if reading.possible is None else "possible" if name in reading.possible else "not possible"
            clash = "" if assessment.withheld else "yes" if assessment.disagree else "no"
            sure = ["" if reading.uncertainty is None else f"{reading.uncertainty:.4f}", theta, again]
            said = [f"{score:.4f}", probability, possible, clash]
            rows.append([name, reading.source, *said, "", *sure, *_basis_cells(assessment, reading.source)])
    return rows


def _basis_cells(assessment: Assessment, source: Source) -> list[str]:
    """Validation cases, coverage where a set states it, and why nothing is stated."""
    cases = assessment.cases.get(source, 0)
    return [str(cases), f"{assessment.coverage:g}" if cases else "", assessment.withheld]


def _opinions(finding: Finding) -> list[tuple[Source, Opinion]]:
    found: list[tuple[Source, Opinion]] = [] if finding.classifier is None else [("classifier", finding.classifier)]
    return [*found, ("vote", finding.vote)]
