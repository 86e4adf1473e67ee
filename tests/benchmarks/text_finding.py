"""A finding that text search is measured with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What a query may ask for.

    Attributes:
        name: For people; unique.
        rules: Codes that mean it.
        words: How people type it in full.
        short: How people abbreviate it; each takes a side or a site as `words` do.
        healthy: Phrases that deny it without naming it ("normal heart size").
        without: Qualifiers that make a code of the rules something else.
        sited: Whether it is asked for by lobe, base, apex or hilum.
        sided: Whether it is asked for by side.
        denied: Whether its absence is asked for.
    """

    name: str
    rules: tuple[str, ...]
    words: tuple[str, ...]
    short: tuple[str, ...] = ()
    healthy: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    sited: bool = False
    sided: bool = True
    denied: bool = True
