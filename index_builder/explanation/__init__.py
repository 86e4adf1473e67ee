"""Why a system says what it says of a case: regions of the film and words of the text, each with a weight.

methods_for(system, inputs, FindingTarget("Cardiomegaly"))
explain(system, inputs, FindingTarget("Cardiomegaly"), "grad-cam").image
"""

from index_builder.explanation.base import (
    METHODS,
    Explanation,
    FindingTarget,
    Inputs,
    Method,
    Progress,
    SimilarityTarget,
    Target,
    Voters,
    WordWeight,
)
from index_builder.explanation.explain import answering, explain, layers_of, methods_for

__all__ = [
    "METHODS",
    "Explanation",
    "FindingTarget",
    "Inputs",
    "Method",
    "Progress",
    "SimilarityTarget",
    "Target",
    "Voters",
    "WordWeight",
    "answering",
    "explain",
    "layers_of",
    "methods_for",
]
