"""The parser on sentences that say what is in them (`labelled_sentences.txt`)."""

from __future__ import annotations

import pytest
from labelled import labelled_sentences

from index_builder.facts.fact import Fact
from index_builder.facts.parse import read_facts


def _says(held: Fact, wanted: Fact) -> bool:
    return (
        (held.finding, held.status) == (wanted.finding, wanted.status)
        and wanted.side in (None, held.side)
        and set(wanted.sites) <= set(held.sites)
        and wanted.degree in (None, held.degree)
    )


@pytest.mark.parametrize(("sentence", "wanted"), labelled_sentences(), ids=lambda one: str(one)[:60])
def test_reads_what_a_sentence_says(sentence: str, wanted: tuple[Fact, ...]) -> None:
    held = read_facts(sentence)
    for fact in wanted:
        assert any(_says(one, fact) for one in held), (fact, held)
    names = {fact.finding for fact in wanted}
    assert not [one for one in held if one.status != "absent" and one.finding not in names]
