"""Words tinted with their weight."""

from __future__ import annotations

import re

from explorer.app.explain.tinted import tinted_html
from index_builder.explanation import WordWeight


def test_words_keep_their_place_and_tell_their_sign_without_colour() -> None:
    text = "Large <heart>, no\neffusion. And more"
    words = [
        WordWeight("Large", 0, 5, 0.02),
        WordWeight("heart", 7, 12, 1.0),
        WordWeight("effusion", 18, 26, -0.5),
        WordWeight(".", 26, 27, -0.001),
    ]
    html = tinted_html(text, words, 1.0, signed=True)
    assert re.sub(r"<sup[^>]*>.</sup>|<[^>]+>", "", html) == "Large &lt;heart&gt;, no\neffusion. And more"
    assert '<sup aria-hidden="true">+</sup>' in html
    assert 'cxr-word-against" style="--cxr-tint:31%" title="speaks against: −0.5">effusion<sup' in html
    assert html.startswith('<p class="cxr-tinted">Large &lt;')
    assert '<span class="cxr-unread"> And more</span>' in html


def test_weights_without_sign_show_none() -> None:
    html = tinted_html(
        "clear lungs.", [WordWeight("clear", 0, 5, 0.4), WordWeight("lungs", 6, 11, 0.1)], 0.4, signed=False
    )
    assert "<sup" not in html
    assert "cxr-unread" not in html
    assert html.count("cxr-word-for") == 2
    assert tinted_html("", [], 0.0, signed=False) == '<p class="cxr-tinted"></p>'
