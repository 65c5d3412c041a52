"""Two clocks beside the real one: the true time of the world, and what the product's machine believes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults import child


class Clocks:
    """`file` tells the product's processes how far their wall clock is ahead of this machine's."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._true_s = 0.0
        self._error_s = 0.0
        self._publish()

    def true_now(self) -> datetime:
        """In Harbor's world."""
        return datetime.now(UTC) + timedelta(seconds=self._true_s)

    def true_seconds(self) -> float:
        """At Telegram's: they never go back."""
        return time.monotonic() + self._true_s

    def pass_time(self, seconds: float) -> None:
        """Everywhere at once; nobody has to wait for it."""
        self._true_s += seconds
        self._publish()

    def set_error(self, seconds: float) -> None:
        """Let the product's clock go wrong by so much from now on; 0: somebody sets it right."""
        self._error_s = seconds
        self._publish()

    def _publish(self) -> None:
        child.write_offset(self.file, self._true_s + self._error_s)
