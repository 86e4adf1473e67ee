"""What is explained, and what an explanation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Method = Literal["attention", "grad-cam", "integrated-gradients", "similarity"]
METHODS: tuple[Method, ...] = get_args(Method)

#: (steps done, steps in all); returning False stops the computation, which then raises `Cancelled`.
Progress = Callable[[int, int], bool | None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs that the system reads of a case or query.

    Attributes:
        film: [S, S] float32 in 0..1 as the system's `prepare` gives it, S = `system.config.image_size`; None: no film.
        text: Report, query or profile sentence; empty: no text. With a film, the joint vector is explained.
    """

    film: NDArray[np.float32] | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Voters:
    """The cases that vote on a label where a system has no classifier.

    Attributes:
        vectors: [K, D] float32, L2-normalised, of the query's space.
        carries: [K] bool, which of them carry the label.
        temperature: Temperature of the softmax over similarity, `system.config.temperature_of` what is read.
    """

    vectors: NDArray[np.float32]
    carries: NDArray[np.bool_]
    temperature: float


@dataclass(frozen=True, slots=True)
class FindingTarget:
    """An explanation target: the log-odds of a label, from the classifier, or from the vote where there is none.

    Attributes:
        label: One of `system.config.label_names`.
        voters: Needed by a system without a classifier, unused by others.
    """

    label: str
    voters: Voters | None = None


@dataclass(frozen=True, slots=True)
class SimilarityTarget:
    """An explanation target: the cosine with another case.

    Attributes:
        vector: [D] float32, L2-normalised, of the other case in the shared space.
    """

    vector: NDArray[np.float32]


Target = FindingTarget | SimilarityTarget


@dataclass(frozen=True, slots=True)
class WordWeight:
    """A whole word, or a run of punctuation marks.

    Attributes:
        text: As it stands in the text.
        start, end: Its characters in the text.
        weight: In the explanation's unit; the sum over the word's pieces.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation: what speaks for a target.

    Attributes:
        method: How it was made.
        image: [S, S] float32, a weight per pixel of the network input (the system's `geometry` maps it onto the film);
            None where there is no film or the method says nothing of it.
        words: Weights of the words that were read, in order; special and padding tokens never appear. Empty where there
            is no text or the method says nothing of it.
        signed: Whether negative weights occur, which speak against the target.
        score: What was explained: log-odds or cosine.
        layer: The stage of the image encoder that was looked at; None for methods without a choice.
        residual: Score less the baseline's score less the sum of all weights, which is 0 for a perfect decomposition;
            None for methods that do not decompose the score.
    """

    method: Method
    image: NDArray[np.float32] | None
    words: tuple[WordWeight, ...]
    signed: bool
    score: float
    layer: str | None = None
    residual: float | None = None
