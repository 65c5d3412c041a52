"""Results for people: pages of what there is to say, shown by rich on a terminal and plainly anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import click

from poller.show import glyphs, plain
from poller.show.page import Page


def write(page: Page) -> None:
    """To standard output, as fits what that is. A reader who leaves early, such as `head`, changes no exit code."""
    try:
        _write(page)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(page: Page) -> None:
    say = glyphs.sayer(getattr(sys.stdout, "encoding", None))
    if sys.stdout.isatty():
        from poller.show import terminal  # rich takes long to load, and nobody sees it in a pipe

        terminal.show(page, terminal.console(sys.stdout, os.environ, shutil.get_terminal_size()), say)
    else:
        for line in plain.lines(page, say):
            click.echo(line)


def progress(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """A bar, when standard error is a terminal; whoever gets it says how many steps were done."""
    from poller import bar  # rich takes long to load, and most runs are not seen by anybody

    return bar.progress(what, total)
