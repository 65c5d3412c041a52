"""How long somebody who waits for several answers waits altogether."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from poller.errors import OutOfTime


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
            raise OutOfTime(f"{self.seconds:.2g} s are over")
        return min(timeout, self.left)
