"""How many requests may go beyond the one that a scan's result costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

RESERVE = 10.0
"""What may be overdrawn for news that people must not miss."""


class Need(IntEnum):
    NONE = 0
    WANTED = 1
    URGENT = 2


@dataclass(slots=True)
class Allowance:
    """Earned by results that were read, and slowly by time. `most` is saved up for a moment that needs it."""

    most: float
    per_hour: float
    per_result: float = 0.0
    left: float = field(init=False)
    spent: int = field(init=False, default=0)  # requests, all in all
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        self.left = self.most / 3  # not all of it: a program that is started every minute earns nothing by that

    def earn(self, results: int, now: datetime) -> None:
        passed = now - self.updated_at if self.updated_at else timedelta(0)
        hours = max(passed / timedelta(hours=1), 0)
        self.left = min(self.left + results * self.per_result + hours * self.per_hour, self.most)
        self.updated_at = now

    def resume(self, left: float, at: datetime) -> None:
        """Go on with what another process has left."""
        self.left, self.updated_at = left, at

    def spend(self, need: Need = Need.WANTED) -> bool:
        """Take one request, if that much is left for such a need."""
        floor = -RESERVE if need is Need.URGENT else 0
        if need is Need.NONE or self.left - 1 < floor:
            return False
        self.left -= 1
        self.spent += 1
        return True
