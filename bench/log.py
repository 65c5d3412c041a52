"""A log of any length whose rows follow from their numbers: of 50 one deletion, six pushes and 43 pulls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2025, 6, 2, tzinfo=UTC)
PER_HOUR = 2_000
APART = timedelta(hours=1) / PER_HOUR
REPOSITORIES = tuple(f"team/service-{number}" for number in range(40))
MIX = "Of 50 rows 43 are pulls of 40 images, 6 pushes and 1 is a deletion."
_KEEPS = 1_000
"""So many rows after its push an image is deleted."""


def end_of(rows: int) -> datetime:
    """The hour at which the usual log of so many rows has ended."""
    return START + timedelta(hours=-(-rows // PER_HOUR))


@dataclass(frozen=True, slots=True)
class RowLog:
    """Row 1 is written at `start`, each further one so much later."""

    start: datetime = START
    apart: timedelta = APART

    def time_of(self, number: int) -> datetime:
        return self.start + (number - 1) * self.apart

    def first_since(self, moment: datetime) -> int:
        """The number of the first row at that time or later."""
        return max(1, -(-(moment - self.start) // self.apart) + 1)

    def last_until(self, moment: datetime) -> int:
        """The number of the last row at that time or earlier; 0 or less: there is none."""
        return (moment - self.start) // self.apart + 1

    def row(self, number: int) -> bytes:
        """As the new log's API writes it."""
        repository, kind = REPOSITORIES[number % len(REPOSITORIES)], number % 50
        if kind == 0 and number > _KEEPS:
            return self._deletion(number, pushed=number - _KEEPS + 1)
        if 1 <= kind <= 6:
            description = f"push artifact: {repository}@sha256:{number:064x}"
            return self._json(number, "create", description, f"{repository}:build-{number}", "robot$team+ci")
        digest = f"sha256:{number % len(REPOSITORIES) + 10**9:064x}"
        return self._json(
            number, "pull", f"pull artifact: {repository}@{digest}", f"{repository}:stable", "robot$team+node"
        )

    def _deletion(self, number: int, *, pushed: int) -> bytes:
        image = f"{REPOSITORIES[pushed % len(REPOSITORIES)]}@sha256:{pushed:064x}"
        return self._json(number, "delete", f"delete artifact: {image}", image, "robot$team+cleaner")

    def _json(self, number: int, operation: str, description: str, resource: str, username: str) -> bytes:
        at = self.time_of(number).replace(tzinfo=None).isoformat(timespec="milliseconds")
        return (
            f'{{"id":{number},"op_time":"{at}Z","operation":"{operation}","operation_description":"{description}",'
            f'"operation_result":true,"resource":"{resource}","resource_type":"artifact","username":"{username}"}}'
        ).encode()
