"""How far explanations can be trusted: `cxr-explorer evaluate --explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_builder.cases.space import Space
from index_builder.datasets.base import Dataset
from index_builder.evaluation.faithfulness.checks import check_sanity, check_stability
from index_builder.evaluation.faithfulness.measures import RANDOM, measure
from index_builder.evaluation.faithfulness.questions import Question, draw_questions
from index_builder.evaluation.faithfulness.randomisation import PARTS
from index_builder.evaluation.faithfulness.tally import Tally
from index_builder.evaluation.task import Part
from index_builder.progress import Progress
from index_builder.systems.base import RetrievalSystem

#: Questions of the sanity check and of stability, which take several explanations each.
CHECKED = 20
#: A method passes the sanity check where the rank correlation of its weights with those of the system with all its
#: parameters shuffled is below this, its interval included.
SANE = 0.5


def measure_explanations(
    system: RetrievalSystem,
    dataset: Dataset,
    *,
    modality: Space | None,
    split: Part,
    limit: int | None,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Measure every method on the findings of cases, beside a random map and one of the film's centre.

    Args:
        system: In evaluation mode.
        dataset: Its training part gives voters and neighbours.
        modality: What is read of a case; None: the film where there are films, else the text.
        split: Part that is explained.
        limit: Cases, drawn by the seed; None: all.
        seed: Seed of all draws.
        progress: Called as work is done.

    Returns:
        `modality`, `split`, `seed`, `cases`, `questions` about findings, `checked` questions; for "films" and "texts",
        as far as they were read:
        `finding` and `likeness`, by method: `deletion` and `insertion` (lower, higher is better), `deletion_gain` and
        `insertion_gain` over a random order (positive is better); on films whose findings' places are known `pointing`,
        `pointing_exact` and `overlap`, each of `all`, `focal` findings, and `seen` ones: focal with log-odds above 0;
        `agreement` of attention with integrated gradients: `pearson`, `top_5%`;
        `sanity`, by method: rank correlation after each of `PARTS`, and `passes`;
        `stability`, by method: correlation of `repeated` runs, and with `noise` on the film.
        `labels`: `questions`, `focal` and `pointing` by method. All figures are as of `Tally.mean`.

    Raises:
        DatasetError: No case to explain.
        ImagingError: A film cannot be decoded.
    """
    if modality is None:
        modality = "image" if any(case.image is not None for case in dataset.cases()) else "text"
    drawn = draw_questions(system, dataset, modality, split=split, limit=limit, seed=seed, progress=progress)
    questions = [question for of_case in drawn for question in of_case]
    tally = Tally([question.patient for question in questions], seed)
    random = np.random.default_rng(seed)
    for row, question in enumerate(questions):
        measure(system, question, tally, row, random)
        progress("Measuring explanations", row + 1, len(questions))
    checked = _one_of_each_case(drawn)
    check_sanity(system, checked, tally, seed, progress)
    check_stability(system, checked, tally, seed, progress)
    return {
        "modality": modality,
        "split": split,
        "seed": seed,
        "cases": len(drawn),
        "questions": sum(bool(question.label) for question in questions),
        "checked": len(checked),
        **{what: _summed_up(tally, what, questions) for what in ("films", "texts") if tally.under(what)},
        **({"labels": _by_label(tally, questions)} if tally.under("films") else {}),
    }


def _one_of_each_case(drawn: Sequence[Sequence[Question]]) -> dict[int, Question]:
    """About `CHECKED` questions by row, of as many cases as possible: findings and likeness in turn."""
    found: dict[int, Question] = {}
    row = 0
    for number, of_case in enumerate(drawn):
        if len(found) < CHECKED:
            place = number % 2 * (len(of_case) - 1)  # the last question of a case is about likeness
            found[row + place] = of_case[place]
        row += len(of_case)
    return found


def _summed_up(tally: Tally, what: str, questions: Sequence[Question]) -> dict[str, Any]:
    focal = np.array([question.region is not None and question.region.focal for question in questions])
    groups = {"all": np.ones(len(questions), bool), "focal": focal, "seen": focal & (tally.column("score") > 0)}
    return {
        asked: {method: _of_method(tally, (what, asked), method, groups) for method in tally.under(what, asked)}
        for asked in ("finding", "likeness")
    } | {
        "agreement": {
            name: tally.mean(tally.column(what, "agreement", name)) for name in tally.under(what, "agreement")
        },
        "sanity": {method: _sanity(tally, what, method) for method in tally.under(what, "sanity")},
        "stability": {
            method: {
                run: tally.mean(tally.column(what, "stability", method, run))
                for run in tally.under(what, "stability", method)
            }
            for method in tally.under(what, "stability")
        },
    }


def _of_method(
    tally: Tally, name: tuple[str, str], method: str, groups: dict[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric in tally.under(*name, method):
        values = tally.column(*name, method, metric)
        if metric in ("deletion", "insertion"):
            gain = values - tally.column(*name, RANDOM, metric)
            found[metric] = tally.mean(values)
            found[f"{metric}_gain"] = tally.mean(-gain if metric == "deletion" else gain)
        else:
            found[metric] = {group: tally.mean(np.where(chosen, values, np.nan)) for group, chosen in groups.items()}
    return found


def _sanity(tally: Tally, what: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = {part: tally.mean(tally.column(what, "sanity", method, part)) for part in PARTS}
    end = found[PARTS[-1]]["interval"]
    return found | {"passes": end is not None and end[1] < SANE}


def _by_label(tally: Tally, questions: Sequence[Question]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for label in sorted({question.label for question in questions if question.label}):
        chosen = np.array([question.label == label for question in questions])
        regions = [question.region for question in questions if question.label == label and question.region is not None]
        found[label] = {
            "questions": int(chosen.sum()),
            "focal": sum(region.focal for region in regions),
            "pointing": {
                method: tally.mean(np.where(chosen, tally.column("films", "finding", method, "pointing"), np.nan))
                for method in tally.under("films", "finding")
            },
        }
    return found
