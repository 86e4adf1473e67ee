"""The real app in a process of its own, and how Chromium is started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that an app may take to start or to end, on a busy machine.
_PATIENCE = 120


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium; without one, the browser Playwright itself installed."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    casebooks: list[Path], log: Path, *, port: int | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run the app until the block ends, started in the log's folder; gives its address."""
    port = port or free_port()
    command = [sys.executable, "-m", "explorer.cli", "serve", *map(str, casebooks), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_HEADLESS": "true"} | dict(variables or {})
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent)
    url = f"http://localhost:{port}"
    try:
        _await(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until an app answers.

    Raises:
        RuntimeError: It ended, or does not answer in time. With the end of its log.
    """
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the app did not start:\n{log.read_text('utf-8')[-3000:]}")
