"""What a typed text is taken to mean, and a fact in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from index_builder.facts.fact import Fact
from index_builder.facts.understand import Understood, understand

if TYPE_CHECKING:
    from explorer.casebook import Casebook
    from explorer.search.query import Query

_STATUS = {"present": "", "absent": "without ", "uncertain": "possible "}


def understand_query(casebook: Casebook, query: Query) -> Understood | None:
    """Facts of a query's text and its words as they are searched for; None where no report is searched for a text."""
    if not query.typed or casebook.manifest.system.reads != "report":
        return None
    return understand(query.typed, casebook.vocabulary.usual if query.correct else _any_word)


def _any_word(_word: str) -> bool:
    """Every word is right as it is typed."""
    return True


def fact_words(fact: Fact) -> str:
    """A fact as a reader says it, e.g. "nodule · right · upper lobe"."""
    side = "both sides" if fact.side == "both" else fact.side
    return _STATUS[fact.status] + " · ".join(filter(None, (fact.finding, side, *fact.sites[:1], fact.degree)))


def understood_dict(understood: Understood) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "text": understood.text,
        "facts": [
            {
                "words": fact_words(fact),
                "finding": fact.finding,
                "status": fact.status,
                "side": fact.side,
                "sites": list(fact.sites),
                "degree": fact.degree,
            }
            for fact in understood.facts
        ],
        "corrections": [{"typed": one.typed, "meant": one.meant} for one in understood.corrections],
        "expanded": dict(understood.expanded),
        "unknown": list(understood.unknown),
    }
