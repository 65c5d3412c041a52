"""An hour in a registry with many scans: what happens, and how each scan really ended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bench.material import Clock
from bench.scan_pollers import Told
from demo.harbor import Outcome, RunningScan, World

STEP_S = 5
SCAN_EVERY_S = 15
SCAN_S = 40
AGAIN_AFTER_S = 60
SWEPT = 5
"""Results whose status and times Harbor's clean-up of old tasks takes away: they look like failures."""
BASES = 10
"""Repositories that are pulled from all the time, so that those with scans are not the only ones that change."""
USUAL = {"Critical": 1, "High": 4, "Medium": 9, "Low": 30}
WORSE = {"Critical": 1, "High": 5, "Medium": 9, "Low": 30}
"""What a scan finds of an old image: one high finding has become known since the last time."""


class Kind(Enum):
    """What was scanned, or how it went: some look for results in a way that finds them, others do not."""

    PUSHED = "images just pushed"
    PLATFORM = "platforms just pushed"
    ANEW = "images of any age"
    REPLACED = "repeated after a minute"
    AT_ONCE = "repeated at the end"
    NO_PULL = "without a pull"
    SCAN_ALL = "of a scan-all"


@dataclass(frozen=True, slots=True)
class Deed:
    """A scan that somebody causes. `again_after_s`: when the same image is scanned once more, after the end."""

    kind: Kind
    outcome: Outcome = Outcome.SUCCESS
    again_after_s: int | None = None


_DEEDS = (
    *[Deed(Kind.PUSHED)] * 8,
    *[Deed(Kind.PLATFORM)] * 2,
    Deed(Kind.PLATFORM, Outcome.ERROR),
    *[Deed(Kind.ANEW)] * 4,
    Deed(Kind.ANEW, Outcome.ERROR),
    *[Deed(Kind.REPLACED, again_after_s=AGAIN_AFTER_S)] * 2,
    Deed(Kind.AT_ONCE, again_after_s=0),
    Deed(Kind.NO_PULL),
)
_OF_PUSHES = frozenset({Kind.PUSHED, Kind.PLATFORM})


@dataclass(frozen=True, slots=True)
class Ended(Told):
    """A result, as it really was."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class _Running:
    deed: Deed
    scans: tuple[RunningScan, ...]
    ends_at: datetime


class Script:
    """What happens in the registry, step by step. The same at every run of the same size."""

    def __init__(self, world: World, clock: Clock, *, repositories: int, images: int) -> None:
        """Fills the world with so many repositories with so many scanned images each."""
        self._world = world
        self._clock = clock
        self._random = random.Random(20261124)
        names = world.populate(repositories=repositories, artifacts_each=images, severities=USUAL)
        for number in range(BASES):
            world.push(f"library/base-{number}", "stable", "ann")
        self._images = [(name, f"v{number}") for name in names for number in range(images)]
        self._random.shuffle(self._images)
        self._deeds: list[Deed] = []
        self._running: list[_Running] = []
        self._again: list[tuple[datetime, RunningScan]] = []
        self._pushes = 0
        self.ended: list[Ended] = []

    @property
    def now(self) -> datetime:
        return self._clock.now

    @property
    def is_over(self) -> bool:
        """Whether everything was scanned."""
        return not self._images and not self._running

    def step(self) -> None:
        """Time goes on. What is to end ends amidst the step, and then begins what is to be repeated."""
        self._clock.advance(STEP_S / 2)
        over = [each for each in self._running if each.ends_at <= self.now]
        self._running = [each for each in self._running if each.ends_at > self.now]
        for each in over:
            self._end(each)
        due = [scan for at, scan in self._again if at <= self.now]
        self._again = [each for each in self._again if each[0] > self.now]
        for scan in due:
            self._begin(Deed(Kind.ANEW), self._world.start_scan(scan.repository, scan.digest, asked_by="ann"))
        self._clock.advance(STEP_S / 2)

    def act(self) -> None:
        """A scan begins, and a base image is pulled."""
        self._world.pull(f"library/base-{self._random.randrange(BASES)}", "stable", "robot$team+node")
        if not self._deeds:
            self._deeds = self._random.sample(_DEEDS, len(_DEEDS))
        deed = self._deeds.pop()
        self._begin(deed, self._scans_of(deed))

    def scan_next(self, count: int) -> None:
        """A scan of everything gets to so many images more."""
        following, self._images = self._images[:count], self._images[count:]
        for repository, tag in following:
            scans = self._world.start_scan(repository, tag, operator="admin", scan_all=True)
            self._begin(Deed(Kind.SCAN_ALL), scans)

    def _scans_of(self, deed: Deed) -> tuple[RunningScan, ...]:
        repository, tag = self._images.pop()
        match deed.kind:
            case Kind.PUSHED:
                tag = self._new_tag()
                self._world.push(repository, tag, "robot$team+ci")
                return self._world.start_scan(repository, tag)
            case Kind.PLATFORM:
                tag = self._new_tag()
                self._world.push_index(repository, tag, "robot$team+ci", attestations=True)
                return self._world.start_scan(repository, tag)
            case Kind.NO_PULL:
                return self._world.start_scan(repository, tag, pulls=False)
            case _:
                return self._world.start_scan(repository, tag, asked_by="ann")

    def _new_tag(self) -> str:
        self._pushes += 1
        return f"build-{self._pushes}"

    def _begin(self, deed: Deed, scans: tuple[RunningScan, ...]) -> None:
        self._running.append(_Running(deed, scans, ends_at=self.now + timedelta(seconds=SCAN_S)))

    def _end(self, running: _Running) -> None:
        """Of an index's platforms only the last one fails."""
        deed, (*others, last) = running.deed, running.scans
        self._finish(deed.kind, others, Outcome.SUCCESS)
        self._finish(deed.kind, [last], deed.outcome)
        if deed.again_after_s is not None:
            again_at = self.now + timedelta(seconds=deed.again_after_s)
            self._again.append((again_at, last))

    def _finish(self, kind: Kind, scans: Sequence[RunningScan], outcome: Outcome) -> None:
        self._world.finish_scan(scans, outcome, USUAL if kind in _OF_PUSHES else WORSE)
        self.ended += [Ended(scan.report.report_id, outcome.value, self.now, kind) for scan in scans]

    def sweep_tasks(self) -> None:
        """Harbor's own clean-up meets some results from long ago."""
        for repository, tag in self._images[:SWEPT]:
            self._world.sweep_tasks(repository, tag)
