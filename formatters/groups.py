"""Many events, grouped by kind and repository: what was done, how often, by whom; the worst first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from itertools import islice

import msgspec

from formatters.markdown import ABSENT, shorten, visible
from formatters.scans import NAMED_RANK, figures, image_of, is_sbom_run, listed_levels, rank, report, worst
from poller.events import Event, EventType

_SHORT_DIGEST = len("sha256:") + 12 + len("…")
_LONGEST_NAME = 255
_FEW_GROUPS = 20


class Tally(msgspec.Struct):
    """How often each name came. Beyond `most` different ones, only how many others there are; not if those are as many.

    `others`: their hashes.
    """

    most: int = sys.maxsize
    names: dict[str, int] = msgspec.field(default_factory=dict)
    others: set[int] = msgspec.field(default_factory=set)
    is_endless: bool = False

    def add(self, name: str) -> None:
        if name in self.names:
            self.names[name] += 1
        elif len(self.names) < self.most:
            self.names[name] = 1
        elif len(self.others) < self.most:
            self.others.add(hash(name))
        else:
            self.is_endless = self.is_endless or hash(name) not in self.others

    @property
    def is_one(self) -> bool:
        """Whether there is one name, however often it came."""
        return len(self.names) == 1 and not self.others

    def summary(self, most: int) -> str:
        """The only name by itself; of several, how often each came."""
        return visible(next(iter(self.names))) if self.is_one else self.told(most)

    def told(self, most: int, longest: int = _LONGEST_NAME) -> str:
        """`v1, v2 ×3, +3`: at most so many names, each of so many units; `+3…` where nobody counted how many more."""
        shown = [shorten(visible(name), longest) + times(count) for name, count in islice(self.names.items(), most)]
        more = len(self.names) - len(shown) + len(self.others)
        return ", ".join([*shown, f"+{more}{'…' if self.is_endless else ''}"] if more else shown)


def tally(names: Iterable[str]) -> Tally:
    counted = Tally()
    for name in names:
        counted.add(name)
    return counted


def times(count: int) -> str:
    return f" ×{count}" if count > 1 else ""


class Place(IntEnum):
    """What of many events people must see first."""

    FAILED = 0  # scans that brought no result
    CRITICAL = 1
    HIGH = 2
    ORDINARY = 3


_PLACES: Mapping[str, Place] = {"critical": Place.CRITICAL, "high": Place.HIGH}


class Group(msgspec.Struct):
    """Events of one type in one repository, and of scans with bad findings only those that are as bad.

    `repository` None: they are of none.
    """

    type: EventType
    repository: str | None
    place: Place
    items: Tally
    operators: Tally
    count: int = 0

    def add(self, event: Event) -> None:
        self.items.add(_item(event, self.place))
        self.operators.add(event.operator)
        self.count += 1


class Limits(msgspec.Struct, frozen=True):
    """So many groups of a type are kept, and so many names in each; after the first few groups only `few_names`."""

    groups: int = sys.maxsize
    names: int = sys.maxsize
    few_names: int = sys.maxsize


EXACT = Limits()
BOUNDED = Limits(500, 500, 20)
"""For streams of any length. A message has room for fewer."""


class Groups:
    """Takes in any number of events; those beyond the limits are only counted."""

    def __init__(self, limits: Limits = EXACT) -> None:
        self._limits = limits
        self._groups: dict[tuple[EventType, str | None, Place], Group] = {}
        self._of_type = Tally()
        self.rest = 0  # events in none of the groups

    def add(self, event: Event) -> None:
        group = self._group(event)
        if group is None:
            self.rest += 1
        else:
            group.add(event)

    def __iter__(self) -> Iterator[Group]:
        """By their place; where that is the same, in the order in which they were met."""
        return iter(sorted(self._groups.values(), key=_place))

    def _group(self, event: Event) -> Group | None:
        key = (event.type, event.repository.full_name if event.repository else None, _place_of(event))
        if key not in self._groups:
            if self._of_type.names.get(event.type, 0) >= self._limits.groups:
                return None
            self._of_type.add(event.type)
            most = self._limits.names if len(self._groups) < _FEW_GROUPS else self._limits.few_names
            self._groups[key] = Group(*key, Tally(most), Tally(most))
        return self._groups[key]


def short_digest(digest: str) -> str:
    """`sha256:50bd50bd50bd…`"""
    return shorten(visible(digest), _SHORT_DIGEST)


def name_of(event: Event) -> str:
    """Its tag, the start of its digest, or what it is about."""
    image = image_of(event)
    return image.tag or (short_digest(image.digest) if image.digest else image.subject)


def _place(group: Group) -> Place:
    return group.place


def _place_of(event: Event) -> Place:
    if event.type is EventType.SCANNING_FAILED:
        return Place.FAILED
    if event.type is not EventType.SCANNING_COMPLETED or is_sbom_run(event):
        return Place.ORDINARY
    return _PLACES.get(_severity(event).casefold(), Place.ORDINARY)


def _severity(event: Event) -> str:
    found = figures(event.scan)
    return worst([report(event.scan).severity]) or next(iter(found.levels if found else ()), "")


def _item(event: Event, place: Place) -> str:
    """What a line names of an event, and what is bad of it."""
    name = name_of(event)
    if place not in _PLACES.values():
        return name
    return f"{name or ABSENT} ({_bad_findings(event)})"


def _bad_findings(event: Event) -> str:
    """`2 Critical, 5 High`; without numbers the severity alone."""
    found = figures(event.scan)
    bad = {level: number for level, number in found.levels.items() if rank(level) <= NAMED_RANK} if found else {}
    return listed_levels(bad) or _severity(event)
