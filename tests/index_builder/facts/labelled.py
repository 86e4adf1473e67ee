"""Reads `labelled_sentences.txt`: sentences with the facts that a reader finds in them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from index_builder.facts.fact import Fact, Side, Status

_STATUS: dict[str, Status] = {"+": "present", "-": "absent", "?": "uncertain"}


def labelled_sentences() -> list[tuple[str, tuple[Fact, ...]]]:
    """All labelled sentences; a fact has only what its label says."""
    lines = Path(__file__).with_name("labelled_sentences.txt").read_text("utf-8").splitlines()
    told = (line.split(" => ") for line in lines if line and not line.startswith("#"))
    return [(sentence, tuple(_fact(one.strip()) for one in facts.split(";"))) for sentence, facts in told]


def _fact(told: str) -> Fact:
    words, *degree = told.split("#")
    named, *sites = words.split("@")
    name = named[1:].strip()
    side: Side | None = next((one for one in get_args(Side) if name.endswith(f" {one}")), None)
    if side is not None:
        name = name.removesuffix(side).strip()
    return Fact(name, _STATUS[told[0]], side, tuple(map(str.strip, sites)), degree[0].strip() if degree else None)
