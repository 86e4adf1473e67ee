"""One statement about a chest film, as a report or a query makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["present", "absent", "uncertain"]
Side = Literal["left", "right", "both"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A finding with what is said of it.

    Attributes:
        finding: Its name in the terms file, e.g. "nodule"; "" where a text names a site or side alone.
        status: Whether the text states, denies or suspects it.
        side: The patient's side; None: not said.
        sites: Where it lies, names of the terms file, most specific first, e.g. ("upper lobe", "lung"); may be empty.
        degree: Name of the terms file, e.g. "mild", "severe", "small"; None: not said.
        start, end: Characters of the text that name the finding.
    """

    finding: str
    status: Status = "present"
    side: Side | None = None
    sites: tuple[str, ...] = ()
    degree: str | None = None
    start: int = 0
    end: int = 0
