"""What an assessment means, in words: the same on the page, in the terminal and in downloads."""

from __future__ import annotations

from explorer.assess import DISAGREEMENT, Assessment, Finding, Opinion, Reading, Verdict
from index_builder.evaluation.conformal import fewest_cases
from index_builder.held_out import Source

VERDICT_WORDS: dict[Verdict, str] = {"present": "supported", "absent": "ruled out", "undecided": "undecided"}
SOURCE_WORDS: dict[Source, str] = {"classifier": "Classifier", "vote": "Neighbours"}

PREDICTION_COLUMNS = (
    "label",
    "source",
    "probability",
    "verdict",
    "sources_disagree",
    "votes",
    "uncertainty",
    "theta",
    "read_again",
    "validation_cases",
    "coverage",
)


def percent(share: float) -> str:
    """A share as a percentage, never 0 or 100 for what is neither."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 < share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def verdict_of(finding: Finding) -> Verdict | None:
    """The verdict of the system's own source: its classifier where it knows the finding, else the vote."""
    return (finding.classifier or finding.vote).verdict


def verdict_words(finding: Finding, coverage: float) -> str:
    """Why a finding is supported, ruled out or undecided."""
    verdict, stated = verdict_of(finding), percent(coverage)
    if verdict == "present":
        return f"scores higher than {stated} of the validation cases without it"
    if verdict == "absent":
        return f"scores lower than {stated} of the validation cases with it"
    if finding.examples < fewest_cases(coverage):
        return f"only {finding.examples} validation cases have it"
    return "its probability and its place among the validation cases do not settle it"


def basis(assessment: Assessment) -> str:
    """What the figures rest on, in a sentence."""
    counts = assessment.cases
    if not counts:
        return f"Not calibrated: {assessment.why_not}"
    if len(set(counts.values())) == 1 and not assessment.why_not:
        return f"Calibrated on {next(iter(counts.values()))} validation cases."
    told = " and ".join(f"{SOURCE_WORDS[source].lower()} on {count}" for source, count in counts.items())
    rest = f" The rest is not: {assessment.why_not}" if assessment.why_not else ""
    return f"Calibrated on validation cases: {told}.{rest}"


def figures_words(assessment: Assessment) -> list[str]:
    """What each figure of the panel means, a sentence or two each."""
    calibrated, lines = assessment.cases, []
    if any(one.classifier for one in assessment.findings) or len(assessment.readings) > 1:
        lines.append(
            "**Classifier**: the probability that the system's classifier gives"
            + (", after temperature scaling on validation cases." if "classifier" in calibrated else ", as it came.")
        )
    lines.append(
        f"**Neighbours**: the share of the {assessment.voters} nearest cases, nearer ones counting more, that carry "
        "the label"
        + (", scaled to a probability likewise." if "vote" in calibrated else ". A share of cases is no probability.")
    )
    if not calibrated:
        return lines
    stated, rest = percent(assessment.coverage), percent(1 - assessment.coverage)
    if assessment.findings:
        lines += [
            f"**Supported**: the score is higher than that of {stated} of the validation cases without the finding. "
            f"**Ruled out**: it is lower than that of {stated} of those with it. Of films without a finding at most "
            f"about {rest} are so supported, of films with it at most about {rest} ruled out (split-conformal sets). "
            "**Undecided** where neither holds, where the probability speaks for the other answer, and with fewer than "
            f"{fewest_cases(assessment.coverage)} validation cases that have the finding.",
            f"**Disagree**: classifier and neighbours are {DISAGREEMENT:.0%} or more apart.".replace("%", " points"),
        ]
    else:
        lines += [
            "**Uncertainty** u is 1 minus the highest probability. A film with u above the threshold θ is to be read "
            f"again: θ is the largest at which the validation cases that are answered are wrong in at most "
            f"{percent(assessment.risk)}.",
            f"**Possible stages**: a set that holds the true stage of about {stated} of films like the validation "
            "cases (split-conformal).",
        ]
    return lines


def threshold_words(reading: Reading, assessment: Assessment) -> str:
    """What θ does, in a sentence."""
    risk, cases = assessment.risk, assessment.cases.get(reading.source, 0)
    if reading.possible is None:
        if reading.theta is None:
            return "No threshold: nothing tells how often such readings are right."
        return f"θ = {reading.theta:.2f}, chosen when the system was trained."
    if reading.theta is None:
        return f"No threshold keeps the error to {percent(risk)} on the {cases} validation cases: read all again."
    return (
        f"θ = {reading.theta:.2f} answers {percent(reading.answered or 0)} of the {cases} validation cases; "
        f"{percent(reading.error or 0)} of the answers are wrong."
    )


def reliability_words(reading: Reading) -> str:
    """Whether a reading can be relied on, in a few words."""
    if reading.read_again is None:
        return "reliability unknown"
    return "not reliable: read again" if reading.read_again else "reliable at the stated risk"


def assessment_lines(assessment: Assessment, most: int) -> list[str]:
    """An assessment for the terminal, the `most` likeliest findings."""
    lines = [basis(assessment)]
    for one in assessment.findings[:most]:
        parts = [f"{SOURCE_WORDS[source].lower()} {percent(said.probability)}" for source, said in _opinions(one)]
        verdict = verdict_of(one)
        told = [*parts, f"{one.votes} of {assessment.voters} carry it"]
        told += [VERDICT_WORDS[verdict]] if verdict else []
        told += ["they disagree"] if one.disagree else []
        lines.append(f"  {one.label}: {', '.join(told)}")
    for reading in assessment.readings:
        shares = ", ".join(f"{name} {percent(share)}" for name, share in reading.probabilities.items())
        lines.append(f"  {SOURCE_WORDS[reading.source].lower()}: {shares}")
        possible = "" if reading.possible is None else f"; possible: {', '.join(reading.possible)}"
        lines.append(f"    u = {reading.uncertainty:.2f}, {reliability_words(reading)}{possible}")
        lines.append(f"    {threshold_words(reading, assessment)}")
    if assessment.disagree:
        lines.append("  classifier and neighbours disagree on the stage")
    return lines


def prediction_rows(assessment: Assessment) -> list[list[str]]:
    """Cells of `PREDICTION_COLUMNS`, a row per finding and source, or per stage and source."""
    rows = [
        [
            one.label,
            source,
            f"{said.probability:.4f}",
            said.verdict or "",
            "yes" if one.disagree else "no",
            str(one.votes) if source == "vote" else "",
            "",
            "",
            "",
            str(assessment.cases.get(source, 0)),
            f"{assessment.coverage:g}",
        ]
        for one in assessment.findings
        for source, said in _opinions(one)
    ]
    for reading in assessment.readings:
        again = "" if reading.read_again is None else "yes" if reading.read_again else "no"
        theta = "" if reading.theta is None else f"{reading.theta:.4f}"
        for name, share in reading.probabilities.items():
            possible = "" if reading.possible is None else "possible" if name in reading.possible else "not possible"
            clash = "yes" if assessment.disagree else "no"
            sure = [f"{reading.uncertainty:.4f}", theta, again]
            rest = [str(assessment.cases.get(reading.source, 0)), f"{assessment.coverage:g}"]
            rows.append([name, reading.source, f"{share:.4f}", possible, clash, "", *sure, *rest])
    return rows


def _opinions(finding: Finding) -> list[tuple[Source, Opinion]]:
    found: list[tuple[Source, Opinion]] = [] if finding.classifier is None else [("classifier", finding.classifier)]
    return [*found, ("vote", finding.vote)]
