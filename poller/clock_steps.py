"""Whether somebody set the clock. Wall clocks are set, or go on while the machine sleeps; monotonic ones are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

SMALLEST = 5.0
"""Seconds: what is less disturbs no appointment, and is how a clock is kept right."""
_LONGEST_GLANCE = 1.0


class ClockSteps:
    """Compares the two clocks, from one look to the next, which are to be a second or so apart."""

    def __init__(self, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._before = self._difference()

    def since_last_look(self) -> float:
        """By how many seconds the wall clock was set, back if negative; 0 if it was not."""
        now = self._difference()
        if now is None or self._before is None:
            self._before = now or self._before
            return 0
        step, self._before = now - self._before, now
        return step if abs(step) >= SMALLEST else 0

    def _difference(self) -> float | None:
        """Of the clocks. None: we were halted between the one and the other, and cannot say."""
        began = self._monotonic()
        wall = self._clock().timestamp()
        ended = self._monotonic()
        return wall - ended if ended - began < _LONGEST_GLANCE else None
