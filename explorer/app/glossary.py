"""The glossary of the documentation inside the app, so that tooltips can link to it without a network.

The About page draws every term under its anchor; `term_link("Coverage", "coverage")` leads there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

from explorer.app.links import current_address
from index_builder.resources import resource


@dataclass(frozen=True, slots=True)
class Term:
    """A term and what it means.

    Attributes:
        group: Heading it stands under, e.g. "Search".
        title: The term, as its heading has it.
        text: What it means, as Markdown.
    """

    group: str
    title: str
    text: str

    @property
    def anchor(self) -> str:
        """What stands behind `#` in a link to the term; the same here as on the documentation's page."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")


@cache
def glossary() -> tuple[Term, ...]:
    """All terms, in the order of docs/reference/glossary.md."""
    page = resource("docs", "reference", "glossary.md").read_text("utf-8")
    found = []
    for section in page.split("\n## ")[1:]:
        group, *terms = section.split("\n### ")
        for term in terms:
            title, text = term.split("\n", 1)
            found.append(Term(group.strip(), title.strip(), " ".join(text.split())))
    return tuple(found)


def term_link(title: str, words: str) -> str:
    """Markdown that links `words` to the term of this title, which opens beside the page that is being read."""
    term = next(one for one in glossary() if one.title == title)
    casebook = urlencode({"casebook": current_address().written["casebook"][0]})
    return f"[{words}](about?{casebook}#{term.anchor})"
