"""A clock for who has appointments. Wall clocks are set, or go on while the machine sleeps; monotonic ones are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

SMALLEST = 5.0
"""Seconds: a smaller step disturbs no appointment, and is how a clock is kept right."""
_LONGEST_GLANCE = 1.0


class SteadyClock:
    """The wall clock, but for its steps: these are made only after all appointments were moved."""

    def __init__(self, wall: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall().timestamp() - monotonic()

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self._monotonic() + self._ahead, UTC)

    def step(self) -> float:
        """By how many seconds the wall clock was set, back if negative, and this one not yet; 0: it was not.

        Small corrections are followed, so this is to be asked every second or so.
        """
        began = self._monotonic()
        wall = self._wall().timestamp()
        ended = self._monotonic()
        step = wall - ended - self._ahead
        if ended - began > _LONGEST_GLANCE:
            return 0  # we were halted in between, and cannot say
        if abs(step) < SMALLEST:
            self._ahead += step
            return 0
        return step

    def make(self, step: float) -> None:
        self._ahead += step
