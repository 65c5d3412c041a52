"""A bar on standard error for work that takes long, when that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from poller import logs


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """How many of how many, how fast, and how long it will take. Log lines appear above it."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar, logs.through(sys.stderr):
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)
