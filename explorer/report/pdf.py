"""An HTML file printed to PDF by the Chromium that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from index_builder.errors import QueryError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_SECONDS = 180


def find_chromium() -> Path | None:
    """The browser named in CXR_CHROMIUM, or the first of the usual names; None where there is none."""
    named = os.environ.get("CXR_CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    if found is None and not named and _MAC.is_file():
        return _MAC
    return None if found is None else Path(found)


def print_pdf(browser: Path, page: Path, out: Path) -> None:
    """Print a page that needs no network.

    Args:
        browser: From `find_chromium`.
        page: HTML file.
        out: PDF file to write.

    Raises:
        QueryError: The browser failed or took too long.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [
            str(browser), "--headless", "--disable-gpu", "--no-pdf-header-footer", "--disable-background-networking",
            "--no-first-run", f"--user-data-dir={profile}", "--window-size=794,1123", "--virtual-time-budget=60000",
            f"--print-to-pdf={out.absolute()}", page.absolute().as_uri(),
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium's sandbox refuses to run as root, as in a container
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise QueryError(
                f"{out}: {browser.name} did not print it ({error}). Print {page} from a browser."
            ) from None
    if done.returncode or not out.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise QueryError(f"{out}: {browser.name} did not print it ({last[:200]}). Print {page} from a browser.")
