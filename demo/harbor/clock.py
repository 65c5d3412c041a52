"""A clock that goes when it is told to."""

from __future__ import annotations

from datetime import datetime, timedelta


class Clock:
    """Call it for the time."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
