"""How close a match is, in words: the same on the page, in the terminal and in downloads."""

from __future__ import annotations

#: Below this closeness a neighbour is a neighbour only because nothing nearer is there.
NO_CLOSE_MATCH = 0.05
#: From here on a match is closer than half of all cases are to their own nearest neighbour.
_VERY_CLOSE = 0.5


def closeness_words(closeness: float) -> str:
    """How close a neighbour is, as closeness goes in its casebook (`Neighbour.closeness`)."""
    if closeness < NO_CLOSE_MATCH:
        return "no close match"
    return "very close" if closeness >= _VERY_CLOSE else "fairly close"


def closeness_figure(closeness: float, similarity: float) -> str:
    """The figures behind the words: how the match compares with the casebook's own, and its cosine."""
    if closeness >= 0.995:
        share = "nearly all cases"
    else:
        share = "fewer than 1 % of cases" if closeness < 0.005 else f"{closeness:.0%} of cases".replace("%", " %")
    return f"Cosine similarity {similarity:.2f}, higher than that of {share} to their own nearest neighbour"
