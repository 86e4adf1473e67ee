"""Progress bars of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from index_builder.build.build import BuildReport, BuildRequest, build

#: (what is being done, done, in all or None where unknown)
Advance = Callable[[str, int, int | None], None]


@contextmanager
def bar(*, unit_bytes: bool = False) -> Iterator[Advance]:
    """One bar per task, with time left, on standard error; the yielded function moves it.

    Nothing is drawn where nobody watches: a log would only collect half-finished bars.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        DownloadColumn() if unit_bytes else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def advance(task: str, done: int, total: int | None) -> None:
        if task not in tasks:
            tasks[task] = progress.add_task(task, total=total)
        progress.update(tasks[task], completed=done, total=total)

    with progress:
        yield advance


def build_with_progress(request: BuildRequest) -> BuildReport:
    """`index_builder.build.build.build` with a bar per stage; what the reader made of a table is printed."""
    with bar() as advance:
        return build(request, advance, print)
