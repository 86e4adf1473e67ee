"""Texts whose words are tinted with their weight."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from index_builder.explanation import WordWeight

#: Words of a smaller share of the strongest one's weight are left plain.
_LEAST = 0.05
#: From this share on, a word also carries its sign.
_MARKED = 0.3
#: Of the tint behind the strongest word, per cent; text stays legible on it, light and dark.
_STRONGEST = 62


def tinted_html(text: str, words: Sequence[WordWeight], limit: float, *, signed: bool) -> str:
    """A text with its words tinted: for is underlined solid and +, against dashed and −, besides the colours.

    Args:
        text: What was read, whole; what stands behind the last weighted word was not read.
        words: Weights, in order.
        limit: Weight of the fullest tint.
        signed: Whether weights below 0 occur; without, no sign is shown.
    """
    parts, position = [], 0
    for word in words:
        share = word.weight / limit if limit else 0.0
        parts.append(escape(text[position : word.start]))
        parts.append(_word(text[word.start : word.end], share, word.weight, signed))
        position = word.end
    rest = escape(text[position:])
    unread = f'<span class="cxr-unread">{rest}</span>' if any(sign.isalnum() for sign in rest) else rest
    return f'<p class="cxr-tinted">{"".join(parts)}{unread}</p>'


def _word(text: str, share: float, weight: float, signed: bool) -> str:
    strength = min(1.0, abs(share))
    if strength < _LEAST:
        return escape(text)
    side = "for" if weight > 0 else "against"
    sign = f'<sup aria-hidden="true">{"+" if weight > 0 else "−"}</sup>' if signed and strength >= _MARKED else ""
    title = f"{'speaks ' + side if signed else 'weight'}: {weight:+.3g}".replace("-", "−")
    return (
        f'<span class="cxr-word cxr-word-{side}" style="--cxr-tint:{_STRONGEST * strength:.0f}%" '
        f'title="{title}">{escape(text)}{sign}</span>'
    )
