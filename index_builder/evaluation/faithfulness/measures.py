"""What is measured of one question's explanations, and entered into a `Tally`.

Figures are named by what is weighted ("films", "texts"), what was asked ("finding", "likeness"), method and metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from index_builder.calibration.voting import vote
from index_builder.evaluation.faithfulness.agreement import pearson, top_overlap
from index_builder.evaluation.faithfulness.localisation import overlap, points_at
from index_builder.evaluation.faithfulness.perturbation import altered_films, altered_texts, areas, block_means
from index_builder.evaluation.faithfulness.questions import Question
from index_builder.evaluation.faithfulness.tally import Tally
from index_builder.explanation import Explanation, FindingTarget, Method, answering, explain
from index_builder.explanation.subject import Subject, subject
from index_builder.systems.base import Encoding, RetrievalSystem

#: Weights that know nothing of the system.
RANDOM, CENTRE = "random", "centre"

#: Spread of the Gaussian around the film's centre, in film widths.
_CENTRE_SPREAD = 0.25

Weights = NDArray[np.floating]


def explained(system: RetrievalSystem, question: Question) -> dict[Method, Explanation]:
    """A question by every method that can answer it, withheld ones too."""
    methods = answering(system, question.inputs, question.target)
    return {method: explain(system, question.inputs, question.target, method) for method in methods}


def compared(one: Explanation, other: Explanation) -> list[tuple[str, Weights, Weights]]:
    """Weights of the same blocks, and of the same words, in two explanations of one case: (what, one, other)."""
    found: list[tuple[str, Weights, Weights]] = []
    if one.image is not None and other.image is not None:
        found.append(("films", block_means(one.image), block_means(other.image)))
    if one.words and other.words:
        weights = [np.array([word.weight for word in each.words]) for each in (one, other)]
        found.append(("texts", weights[0], weights[1]))
    return found


def measure(system: RetrievalSystem, question: Question, tally: Tally, row: int, random: np.random.Generator) -> None:
    """Enter everything about question `row`: score, pointing, overlap, deletion, insertion, agreement."""
    made = explained(system, question)
    asked = "finding" if question.label else "likeness"
    tally.note(row, "score", value=next(iter(made.values())).score)
    with subject(system, question.inputs, question.target) as case, torch.no_grad():
        film, text = question.inputs.film, question.inputs.text
        if film is not None:
            maps: dict[str, Weights] = {method: one.image for method, one in made.items() if one.image is not None}
            for method, heat in {**maps, **_blind_maps(len(film), random)}.items():
                name = ("films", asked, method)
                if question.region is not None:
                    mask = question.region.mask
                    tally.note(row, *name, "pointing", value=points_at(heat, mask))
                    tally.note(row, *name, "pointing_exact", value=points_at(heat, mask, tolerance=0))
                    tally.note(row, *name, "overlap", value=overlap(heat, mask))
                _note_areas(tally, row, name, _film_scores(case, question, altered_films(film, heat)))
        read = {method: one.words for method, one in made.items() if one.words}
        if read:
            words = next(iter(read.values()))
            weights: dict[str, list[float]] = {RANDOM: random.random(len(words)).tolist()}
            weights |= {method: [word.weight for word in found] for method, found in read.items()}
            for method, values in weights.items():
                scores = _text_scores(case, question, altered_texts(text, words, values))
                _note_areas(tally, row, ("texts", asked, method), scores)
    if question.label:
        _note_agreement(tally, row, made)


def _blind_maps(size: int, random: np.random.Generator) -> dict[str, Weights]:
    place = (np.arange(size) + 0.5) / size - 0.5
    centre = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * _CENTRE_SPREAD**2))
    blocks = random.random(block_means(centre).shape)
    row = np.minimum(np.arange(size) * len(blocks) // size, len(blocks) - 1)
    return {RANDOM: blocks[row[:, None], row[None]], CENTRE: centre}


def _note_areas(tally: Tally, row: int, name: tuple[str, ...], scores: NDArray[np.float64]) -> None:
    deletion, insertion = areas(scores)
    tally.note(row, *name, "deletion", value=float(deletion))
    tally.note(row, *name, "insertion", value=float(insertion))


def _note_agreement(tally: Tally, row: int, made: Mapping[Method, Explanation]) -> None:
    if {"attention", "integrated-gradients"} <= made.keys():
        for what, one, other in compared(made["attention"], made["integrated-gradients"]):
            tally.note(row, what, "agreement", "pearson", value=pearson(one, other))
            tally.note(row, what, "agreement", "top_5%", value=top_overlap(one, other))


def _film_scores(case: Subject, question: Question, films: NDArray[np.float32]) -> NDArray[np.float64]:
    """[2, 11] scores of altered films [2, 11, S, S]."""
    assert case.film is not None, "a film was altered"
    flat = torch.from_numpy(films.reshape(-1, *films.shape[2:])).to(case.film.device)
    return _shown(case, question, case.system.encode_images(flat), case.encode_text())


def _text_scores(case: Subject, question: Question, texts: Sequence[list[str]]) -> NDArray[np.float64]:
    """[2, 11] scores of altered texts."""
    return _shown(case, question, case.encode_film(), case.system.encode_texts([*texts[0], *texts[1]]))


def _shown(case: Subject, question: Question, image: Encoding | None, text: Encoding | None) -> NDArray[np.float64]:
    """Scores as users see them: probability of a label, vote of the cases nearest to what is altered, or cosine."""
    if question.electorate is not None:
        voters, k = question.electorate, case.system.config.vote_neighbours
        similarity = case.vectors(image, text).float().cpu().numpy() @ voters.vectors.T
        return vote(similarity, voters.carries[:, None], k, voters.temperature).probabilities.reshape(2, -1)
    scores = case.score(image, text)
    found = scores.sigmoid() if isinstance(case.target, FindingTarget) else scores
    return found.double().cpu().numpy().reshape(2, -1)
