"""Other processes of this program, that are told when to go on and are killed for real."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

_SERVER = multiprocessing.get_context("forkserver")  # it loads the product once, and each process is a fork of it
_SERVER.set_forkserver_preload(["poller.lease", "state", "psycopg"])

Work = Callable[[str, Connection], object]


class Other:
    """A process that does `work` on a database. Both sides say a word when they have come to a certain point."""

    def __init__(self, work: Work, url: str) -> None:
        self._words, theirs = _SERVER.Pipe()
        self.process = _SERVER.Process(target=work, args=(url, theirs), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def say(self, word: str) -> None:
        self._words.send(word)

    def hear(self) -> str:
        """The next word. Raises EOFError when the process has ended without one."""
        return str(self._words.recv())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@contextmanager
def others(number: int, work: Work, url: str) -> Iterator[list[Other]]:
    """So many processes, that are dead in the end."""
    started = [Other(work, url) for _ in range(number)]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
