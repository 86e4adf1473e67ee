"""The spaces that vectors lie in, one for each modality and one for both together."""

from __future__ import annotations

from typing import Literal

Space = Literal["image", "text", "joint"]


SPACES: tuple[Space, ...] = ("image", "text", "joint")
