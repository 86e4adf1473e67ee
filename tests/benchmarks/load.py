"""Many users at once on the real app: `python tests/benchmarks/load.py CASEBOOK [--users 50] [--minutes 10]`.

Each user is a WebSocket session that searches with texts no other user searches with, uploads a film now and then, and
opens the case found first. What comes back must be the answer to the user's own query: its heading quotes the text, and
its cases are those that `search_cases` finds for the text, or for film and text, looked up when the run is over.
Told: errors, cross-talk, times from sending to the last element drawn, memory of the server after warm-up, and how busy
the machine was besides.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic, sleep

import httpx
import numpy as np
from PIL import Image
from streamlit_session import Drawn, Session, connected

from explorer.app.session import reduced
from explorer.app.settings import AppSettings
from explorer.casebook import Casebook
from explorer.search.query import Query
from explorer.search.search import search_cases
from index_builder.imaging import decode_film

_ROOT = Path(__file__).resolve().parents[2]
_SHOWN = 5
#: Seconds that the last actions may take.
_PATIENCE = 60
#: Share of the run after which memory is no longer warm-up.
_WARM_UP = 0.2


@dataclass(slots=True)
class Log:
    """What happened, over all users.

    Attributes:
        seconds: Of each action, by what it was.
        answers: Text and film (b"": none) searched with, and the cases that were shown.
        faults: Whatever should not have happened.
        memory: Seconds since the start and MiB of the server.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answers: list[tuple[str, bytes, list[str]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


class User:
    """One user, with queries of their own."""

    def __init__(self, number: int, texts: list[str], films: list[bytes], think: float, log: Log) -> None:
        self._number, self._texts, self._films, self._think, self._log = number, texts, films, think, log
        self._random = Random(number)

    async def visit(self, address: str, until: float) -> None:
        """Search until the time is over. What fails is noted, and the user comes back."""
        await asyncio.sleep(self._random.random() * self._think)
        while monotonic() < until:
            try:
                async with connected(address) as session:
                    await self._timed("first page", session.open())
                    while monotonic() < until and self._texts:
                        await self._search(session)
            except Exception as error:
                self._log.faults.append(f"user {self._number}: {type(error).__name__} {error}")
                await asyncio.sleep(1)

    async def _search(self, session: Session) -> None:
        text = self._texts.pop()
        drawn = await self._timed("text", session.set(query_text=text))
        self._expect(text in drawn.markdown(), f"asked for {text!r} and got another's heading")
        self._log.answers.append((text, b"", drawn.neighbours()))
        await self._pause()
        if drawn.neighbours() and self._random.random() < 0.3:
            first = drawn.neighbours()[0]
            case = await self._timed("case page", session.open("case", f"case={first}"))
            self._expect(first in case.words(), f"opened case {first} and got another")
            await self._pause()
            await self._timed("back to search", session.open())
        if self._random.random() < 0.15:
            film = self._random.choice(self._films)
            turn = next(key for key in session.known_keys() if key.startswith("upload-"))
            found = await self._timed("film and text", session.upload(turn, film))
            self._expect("your film" in found.markdown(), "the uploaded film is not in the heading")
            self._log.answers.append((text, film, found.neighbours()))
            await self._pause()
            await self._timed("remove film", session.set(**{"remove-film": True}))

    async def _timed(self, what: str, action: object) -> Drawn:
        began = monotonic()
        drawn: Drawn = await action  # type: ignore[misc]
        self._log.seconds[what].append(monotonic() - began)
        self._expect(drawn.finished == "FINISHED_SUCCESSFULLY", f"{what} ended as {drawn.finished}")
        for message in drawn.errors():
            self._log.faults.append(f"user {self._number}, {what}: {message[:200]}")
        return drawn

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 1.5) * self._think)

    def _expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self._log.faults.append(f"user {self._number}: {fault}")


def distinct_texts(casebook: Casebook, users: int) -> list[list[str]]:
    """Sentences of reports dealt out to users; no sentence to two. Short, so that the heading shows them whole."""
    sentences = dict.fromkeys(
        sentence.strip()
        for report in casebook.column("report")
        for sentence in str(report or "").split(".")
        if 15 < len(sentence.strip()) <= 75 and sentence.strip().replace(" ", "").isalpha()
    )
    dealt = list(sentences)
    Random(0).shuffle(dealt)
    return [dealt[user::users] for user in range(users)]


def films_of(casebook: Casebook, count: int) -> list[bytes]:
    """PNG files of some cases."""
    films = []
    for case_id in casebook.case_ids:
        case = casebook.case(case_id)
        if case.image is not None and len(films) < count:
            out = io.BytesIO()
            pixels = casebook.film(case.image).pixels
            Image.fromarray((pixels * 255).astype(np.uint8)).save(out, "PNG")
            films.append(out.getvalue())
    return films


async def watch(server: int, began: float, until: float, log: Log) -> None:
    """Note the server's memory every two seconds."""
    while monotonic() < until:
        lines = Path(f"/proc/{server}/status").read_text("ascii").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        log.memory.append((monotonic() - began, kib / 1024))
        await asyncio.sleep(2)


async def run(address: str, server: int, users: list[User], seconds: float, log: Log) -> None:
    """All users at once."""
    began = monotonic()
    until = began + seconds
    try:
        async with asyncio.timeout(seconds + _PATIENCE):
            await asyncio.gather(watch(server, began, until, log), *(user.visit(address, until) for user in users))
    except TimeoutError:
        log.faults.append(f"an answer was not there {_PATIENCE} s after the end")


def main() -> int:
    """Run and print; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("casebook", type=Path)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--think", type=float, default=15, help="Mean seconds between a user's actions.")
    parser.add_argument("--port", type=int, default=8641)
    given = parser.parse_args()
    casebook = Casebook.open(given.casebook)
    films = films_of(casebook, 8)
    log = Log()
    texts = distinct_texts(casebook, given.users)
    users = [User(number, own, films, given.think, log) for number, own in enumerate(texts)]
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "explorer.cli", "serve", str(given.casebook), "--port", str(given.port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(_ROOT), "STREAMLIT_SERVER_HEADLESS": "true"},
        )
        try:
            _wait_for(f"http://localhost:{given.port}/_stcore/health")
            asyncio.run(run(f"localhost:{given.port}", server.pid, users, 60 * given.minutes, log))
            ticks = Path(f"/proc/{server.pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        finally:
            server.kill()
            server.wait()
        output.seek(0)
        told = output.read().decode(errors="replace")
    log.faults += [f"the server's log: {line}" for line in told.splitlines() if "Error" in line or "Traceback" in line]
    busy = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    _report(casebook, given, log, busy)
    return int(bool(log.faults))


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            httpx.get(url, timeout=1)
        except httpx.HTTPError:
            sleep(0.2)
        else:
            return
    raise RuntimeError("the app did not start")


def _report(casebook: Casebook, given: argparse.Namespace, log: Log, busy: float) -> None:
    wrong, side = 0, AppSettings((given.casebook,)).query_side
    for text, film, shown in log.answers:
        pixels = reduced(decode_film(film, name="film").pixels, side) if film else None
        expected = [one.case_id for one in search_cases(casebook, Query(pixels, text), k=_SHOWN).neighbours]
        if shown != expected:
            wrong += 1
            log.faults.append(f"{text!r}{' with a film' * bool(film)} gave {shown}, alone it gives {expected}")
    actions = sum(map(len, log.seconds.values()))
    print(f"{given.users} users, {given.minutes:g} min, {given.think:g} s between actions: {actions} actions")
    print(f"{'action':<16}{'count':>7}{'p50 s':>8}{'p95 s':>8}{'max s':>8}")
    for what, times in log.seconds.items():
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{what:<16}{len(times):>7}{p50:>8.2f}{p95:>8.2f}{max(times):>8.2f}")
    total = 60 * given.minutes
    warm = [mib for at, mib in log.memory if _WARM_UP * total <= at < (_WARM_UP + 0.1) * total]
    end = [mib for at, mib in log.memory if at >= 0.9 * total]
    growth = median(end) / median(warm) - 1
    print(f"memory: {median(warm):.0f} MiB after warm-up, {median(end):.0f} MiB at the end, growth {growth:+.1%}")
    print(f"server: {busy:.0f} s of processor time, {1e3 * busy / actions:.0f} ms an action")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"load of the machine (1, 5, 15 min): {load} on {os.cpu_count()} cores")
    print(f"answers compared: {len(log.answers)}, not those of the own query: {wrong}; faults: {len(log.faults)}")
    for fault in log.faults[:20]:
        print(f"  {fault}")


if __name__ == "__main__":
    sys.exit(main())
