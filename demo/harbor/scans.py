"""Scans that run in a Harbor, and how they end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from demo.harbor.registry import Artifact, Report, Sbom, Vulnerability

_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)  # where the clock of a version-1 UUID begins


class Outcome(Enum):
    """How a scan ends; the value is its `scan_status`."""

    SUCCESS = "Success"
    ERROR = "Error"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class RunningScan:
    """One scanned manifest, between `start_scan` and `finish_scan`."""

    repository: str
    digest: str
    tag: str | None
    robot: str
    operator: str
    is_scan_all: bool
    report: Report = field(repr=False, compare=False)  # the place that is kept for its result


@dataclass(frozen=True, slots=True)
class RunningSbom:
    """One manifest whose contents are being listed, between `start_sbom` and `finish_sbom`."""

    repository: str
    artifact: Artifact
    tag: str | None
    robot: str
    operator: str
    sbom: Sbom = field(repr=False, compare=False)


@dataclass(slots=True)
class ScanAll:
    """A run over everything. `scans`: each manifest's. `left`: those that have not ended yet, oldest first."""

    trigger: str
    scans: tuple[RunningScan, ...]
    ended: list[Outcome] = field(default_factory=list)

    @property
    def left(self) -> tuple[RunningScan, ...]:
        return self.scans[len(self.ended) :]

    @property
    def is_ongoing(self) -> bool:
        return len(self.ended) < len(self.scans)

    @property
    def metrics(self) -> dict[str, object]:
        """Harbor's answer about it."""
        counts = Counter(outcome.value for outcome in self.ended)
        left = len(self.scans) - len(self.ended)
        return {
            "completed": len(self.ended),
            "metrics": {"Pending": 0, "Running": left, **{each.value: counts[each.value] for each in Outcome}},
            "ongoing": self.is_ongoing,
            "total": len(self.scans),
            "trigger": self.trigger,
        }


NO_SCAN_ALL: Mapping[str, object] = {"completed": 0, "ongoing": False, "total": 0}
"""What Harbor says before there was any."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a successful scan arrives at."""

    counts: Mapping[str, int]
    fixable: int
    findings: tuple[Vulnerability, ...] | None = None

    @classmethod
    def of(
        cls,
        severities: Mapping[str, int] | None,
        fixable: int | None,
        findings: Iterable[tuple[str, str, str, str, str]] | None,
    ) -> Result:
        """Findings count for themselves; of mere numbers half have a fix, unless said otherwise."""
        if findings is not None:
            listed = tuple(Vulnerability(*each) for each in findings)
            return cls(
                Counter(each.severity for each in listed), sum(bool(each.fix_version) for each in listed), listed
            )
        counts = dict(severities or {})
        return cls(counts, sum(counts.values()) // 2 if fixable is None else fixable)

    def fill(self, report: Report) -> None:
        report.counts, report.fixable, report.findings = self.counts, self.fixable, self.findings


def uuid1(now: datetime, chance: random.Random) -> UUID:
    """A version-1 UUID of that moment, with the address of no machine."""
    ticks = (now - _GREGORIAN) // timedelta(microseconds=1) * 10 + chance.randrange(10)
    clock = chance.randrange(1 << 14)
    return UUID(
        fields=(
            ticks & 0xFFFFFFFF,
            ticks >> 32 & 0xFFFF,
            ticks >> 48 & 0x0FFF | 0x1000,
            clock >> 8 & 0x3F | 0x80,
            clock & 0xFF,
            chance.getrandbits(48),
        )
    )
