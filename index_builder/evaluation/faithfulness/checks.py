"""Checks that take several explanations of a question: sanity and stability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from index_builder.evaluation.faithfulness.agreement import pearson, rank_correlation
from index_builder.evaluation.faithfulness.measures import compared, explained
from index_builder.evaluation.faithfulness.questions import Question
from index_builder.evaluation.faithfulness.randomisation import randomised
from index_builder.evaluation.faithfulness.tally import Tally
from index_builder.explanation import Inputs
from index_builder.progress import Progress
from index_builder.systems.base import RetrievalSystem

#: Noise that nobody sees: one step of an 8-bit film.
_NOISE = 1 / 255


def check_sanity(
    system: RetrievalSystem, questions: Mapping[int, Question], tally: Tally, seed: int, progress: Progress
) -> None:
    """Enter the rank correlation of weights with those of the system as its parts are shuffled, by question's row."""
    before = {row: explained(system, question) for row, question in questions.items()}
    for part, shuffled in randomised(system, seed):
        for done, (row, question) in enumerate(questions.items(), start=1):
            for method, made in explained(shuffled, question).items():
                for what, one, other in compared(before[row][method], made):
                    value = rank_correlation(one, other)
                    # A map that has become blank has nothing left of what it was.
                    tally.note(row, what, "sanity", method, part, value=0.0 if np.isnan(value) else value)
            progress(f"Sanity check, {part}", done, len(questions))


def check_stability(
    system: RetrievalSystem, questions: Mapping[int, Question], tally: Tally, seed: int, progress: Progress
) -> None:
    """Enter the correlation of weights with those of a second run, and of a run on the film with unseen noise."""
    random = np.random.default_rng(seed)
    for done, (row, question) in enumerate(questions.items(), start=1):
        film, text = question.inputs.film, question.inputs.text
        runs = {"repeated": question}
        if film is not None:
            noisy = np.clip(film + random.normal(0, _NOISE, film.shape), 0, 1).astype(np.float32)
            runs["noise"] = Question(question.patient, question.label, Inputs(noisy, text), question.target, None)
        first = explained(system, question)
        for name, again in runs.items():
            for method, made in explained(system, again).items():
                for what, one, other in compared(first[method], made):
                    tally.note(row, what, "stability", method, name, value=pearson(one, other))
        progress("Stability", done, len(questions))
