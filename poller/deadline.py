"""How long somebody who waits for several answers waits altogether."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from poller.errors import OutOfTime

CHECK_WITHIN = 5.0
"""Seconds that `check` takes at most, unless it is given more."""
_USUAL_START = 0.6
_LONGEST_START = 4.0


def time_to_start() -> float:
    """Seconds that this process took to get here, at most some: whoever calls from a long-lived one starts nothing."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError):
        age = _USUAL_START
    return min(max(age, 0.0), _LONGEST_START)


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` by the monotonic clock; `seconds`: how long it was in all, for people."""

    at: float
    seconds: float
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def left(self) -> float:
        return max(0.0, self.at - self.monotonic())

    def cut(self, timeout: float) -> float:
        """That much, or what is left. Raises OutOfTime when nothing is."""
        if not self.left:
            raise OutOfTime(f"{self.seconds:.1f} s are over")
        return min(timeout, self.left)
