"""Work that ends by itself, as `once` and `backfill` do: ended early between two steps, never inside one.

A message that Telegram has accepted must also be noted as told, or it would be told twice.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from poller import lease
from poller.errors import LeaseTaken, PollerError

NAP = 0.2


class Interrupted(KeyboardInterrupt):
    """Somebody asked us to end, and we are between two steps."""


class Foreground:
    """Asks between the steps whether to go on. `say` tells a person who asked us to end what is going on."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._is_asked_to_end = False
        self._lost: LeaseTaken | None = None

    def go_on(self) -> None:
        """Return if the work may go on. Raises Interrupted, or LeaseTaken when another poller took over."""
        if self._lost is not None:
            raise self._lost
        if self._is_asked_to_end:
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.go_on()
            time.sleep(min(left, NAP))
        self.go_on()

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Heed SIGINT and SIGTERM: from before a lease is taken until after it is released."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def keeping(self, beat: Callable[[], object]) -> Iterator[None]:
        """Keep a lease alive, however long a step takes."""
        done = threading.Event()
        keeper = threading.Thread(target=self._keep_lease, args=(beat, done), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _keep_lease(self, beat: Callable[[], object], done: threading.Event) -> None:
        while not done.wait(lease.BEAT_SECONDS):
            try:
                beat()
            except LeaseTaken as error:
                self._lost = error
                return
            except PollerError:
                continue  # the database is busy or full: the step that goes on will say so

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_asked_to_end:
            raise KeyboardInterrupt
        self._is_asked_to_end = True
        self._say("finishing what is in flight; once more ends it at once")
