"""What the app is started with: casebooks from the command line, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index_builder.errors import CasebookError
from index_builder.imaging import Limits
from index_builder.imaging.film import MIB


@dataclass(frozen=True, slots=True)
class AppSettings:
    """Settings of one server process, the same for all its users.

    Attributes:
        casebooks: Folders, in the order of the switch in the sidebar.
        upload_mib: Largest film that may be uploaded; `.streamlit/config.toml` beside `main.py` says the same.
        query_side: Longest side in pixels of the film a session keeps.
        display_side: Longest side in pixels of a film sent to the viewer.
        text_characters: Longest report that may be typed.
    """

    casebooks: tuple[Path, ...]
    upload_mib: int = 64
    query_side: int = 1024
    display_side: int = 1024
    text_characters: int = 8_000

    @property
    def film_limits(self) -> Limits:
        """Limits beyond which the decoder refuses a film."""
        return Limits(max_bytes=self.upload_mib * MIB)

    @classmethod
    def from_args(cls, arguments: Sequence[str]) -> AppSettings:
        """Settings from what follows `--` in `streamlit run explorer/app/main.py -- CASEBOOK…`.

        Raises:
            CasebookError: No casebook is named.
        """
        folders = tuple(dict.fromkeys(Path(argument).resolve() for argument in arguments))
        if not folders:
            raise CasebookError("no casebook to show. Start the app with one: cxr-explorer serve CASEBOOK")
        return cls(casebooks=folders)
