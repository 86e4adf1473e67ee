"""What methods show and do not show, and what a picture of them must say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.casebook import Casebook
from explorer.explanation.explain import Answer, Question, Side
from explorer.explanation.study import Study
from index_builder.anatomy.zones import shares_in_words
from index_builder.cases.space import Space
from index_builder.disclaimer import DISCLAIMER
from index_builder.explanation import Method

#: What places are counted from.
_PLACES = "This counts the strongest 5 % of the film. Zones are thirds of each lung's height, outlined by a program."
_PARTS: dict[Space, str] = {"joint": "film and {}", "image": "film", "text": "{}"}


@dataclass(frozen=True, slots=True)
class MethodWords:
    """A method for its reader.

    Attributes:
        title: Its name.
        shows: What a high weight means.
        silent: What it does not say.
        slow: Whether it takes seconds rather than a moment.
    """

    title: str
    shows: str
    silent: str
    slow: bool = False


METHOD_WORDS: dict[Method, MethodWords] = {
    "attention": MethodWords(
        "Attention",
        "What the system's attention gathers from each region and word, weighted by how it moves the score. For film "
        "and text together, what it gathers after the two have been joined counts too.",
        "It is as coarse as the system's patches, and only a first-order estimate: other weights may cancel much of "
        "one. A region can get attention and change nothing.",
    ),
    "grad-cam": MethodWords(
        "Grad-CAM",
        "Regions whose features, at the chosen stage of the image encoder, raise the score.",
        "It is as coarse as that stage, so a small shadow becomes a large patch. It leaves out what lowers the score "
        "and says nothing about words.",
    ),
    "integrated-gradients": MethodWords(
        "Integrated Gradients",
        "How much each spot and word adds to the score on the way from the blurred film and the masked words to the "
        "real ones. Weights below 0 speak against; together they add up to the difference of the scores.",
        "It depends on the starting point: what a blurred film still shows gets no weight. What matters only in "
        "combination is split between its parts.",
        slow=True,
    ),
    "similarity": MethodWords(
        "Similarity parts",
        "Which regions and words of each case make up the cosine between the two. Weights below 0 make them less "
        "alike.",
        "It does not match a region of one with a region of the other, and a similar region need not matter "
        "clinically.",
    ),
}


def part_words(part: Space, reads: str) -> str:
    """What is read, e.g. "film and report", where the system `reads` reports."""
    return _PARTS[part].format(reads)


def withheld_words(methods: Sequence[Method]) -> str:
    """Why some methods are not offered."""
    titles = " and ".join(METHOD_WORDS[method].title for method in methods)
    return f"{titles} measured no better than chance with this system on such questions, and so not offered."


def question_words(question: Question) -> str:
    """What is asked, e.g. "why Cardiomegaly"."""
    if question.finding is not None:
        return f"why {question.finding.replace('_', ' ')}"
    other = question.other
    return "why similar" if other is None else f"why similar to {other.name[:1].lower()}{other.name[1:]}"


def score_words(casebook: Casebook, answer: Answer) -> str:
    """The numbers that were explained."""
    if answer.question.finding is None:
        return f"cosine {answer.sides[0].explanation.score:.2f}"
    kind = "classifier" if casebook.manifest.system.predicts_by == "classifier" else "vote"
    scores = " and ".join(f"{side.explanation.score:+.2f}".replace("-", "−") for side in answer.sides)
    return f"log-odds of the {kind} {scores}, before calibration"


def warning_words(study: Study) -> tuple[str, ...]:
    """What must be known before an explanation of a study: the warnings of its search, and why nothing is stated."""
    withheld = f"The explained value is a score, not a probability, because {study.withheld}" if study.withheld else ""
    return (*study.warnings, withheld) if withheld else study.warnings


def place_words(side: Side) -> str:
    """Where on the film a map points, e.g. "mostly right lower zone (62 %)"; "" if unknown."""
    told = "" if side.places is None else shares_in_words(side.places)
    against = "" if side.places_against is None else shares_in_words(side.places_against)
    return told + (f"; what speaks against it: {against}" if against else "")


def place_lines(answer: Answer) -> tuple[str, ...]:
    """Where the map points on each film of an answer, a sentence each."""
    told = [(side.study.name, place_words(side)) for side in answer.sides]
    lines = [f"Where the map points, {name[:1].lower()}{name[1:]}: {words}." for name, words in told if words]
    return (*lines, _PLACES) if lines else ()


def unit_words(answer: Answer) -> str:
    """What a number of the map is."""
    if answer.method == "grad-cam":
        return "Grad-CAM's own unit, by each hundredth of the film"
    return f"of the {'cosine' if answer.question.finding is None else 'log-odds'}, by each hundredth of the film"


def legend(casebook: Casebook, answer: Answer, threshold: float) -> tuple[str, ...]:
    """Sentences that belong under a picture of an answer."""
    words, manifest = METHOD_WORDS[answer.method], casebook.manifest
    layer = "" if answer.layer is None else f", stage {answer.layer}"
    part = part_words(answer.question.part, manifest.system.reads)
    both = "One scale for both films. " if len(answer.sides) > 1 else ""
    sign = "Blue speaks against, orange for. " if answer.scale is not None and answer.scale.signed else ""
    hidden = f"Below {threshold:.0%} of the scale nothing is drawn. ".replace("%", " %") if threshold > 0 else ""
    drawn = [side.study.name for side in answer.sides if side.study.synthetic]
    return (
        f"{words.title}{layer}: {question_words(answer.question)}, from {part}; {score_words(casebook, answer)}.",
        f"Numbers: {unit_words(answer)}. {both}{sign}{hidden}".strip(),
        *place_lines(answer),
        f"Does not show: {words.silent}",
        f"Casebook {casebook.name}; system {manifest.system.name} {manifest.system.preset}, weights "
        f"{manifest.system.digest[:12]}.",
        *(f"Caution: {words}" for side in answer.sides for words in warning_words(side.study)),
        *([f"Synthetic: computer-drawn, not an X-ray ({', '.join(drawn)})."] if drawn else []),
        DISCLAIMER,
    )
