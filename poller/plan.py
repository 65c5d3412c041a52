"""What to say next: singly while there is room, together when there is not. Pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from formatters import Occasion
from poller.events import Event, EventType
from state import Due, Mode

FEW = 5
"""Up to so many late events are told singly: a summary of two messages would hide more than it calms."""

IMPORTANT = frozenset({EventType.SCANNING_FAILED, EventType.NOT_UNDERSTOOD, EventType.COVERAGE})
"""Told singly even after a downtime, as long as they are few."""

WAVE, IMAGE = "wave:", "image:"
"""How the names of groups begin: scans that nobody asked for one by one; the platforms of an image."""

PUSH, PULLS, RUN = "push:", "pull:", "run:"
"""An image and what belongs to it; pulls of an image; what somebody does again and again. Their messages grow."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message: a single event, a group that belongs together, or a digest of several."""

    items: tuple[Due, ...]
    occasion: Occasion | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(item.id for item in self.items)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(item.event for item in self.items)

    @property
    def group(self) -> str | None:
        """What it tells as one, if that is not for want of room."""
        return None if self.occasion else _group(self.items[0])

    @property
    def is_of_wave(self) -> bool:
        return (self.group or "").startswith(WAVE)

    @property
    def is_important(self) -> bool:
        return any(item.mode is Mode.IMPORTANT or item.event.type in IMPORTANT for item in self.items)

    @property
    def may_be_folded(self) -> bool:
        """A wave is folded already."""
        return self.items[0].mode is not Mode.SINGLE and not self.is_of_wave


def next_parcel(due: Sequence[Due], *, now: datetime, room: int, catch_up_after: timedelta) -> Parcel | None:
    """The next message, oldest first.

    `room`: how many single messages the chat's pace allows within the longest delay that is put up with.
    """
    if not due:
        return None
    asked = [item for item in due if item.mode is Mode.DIGEST]
    if asked:
        return _together([Parcel(tuple(asked))], Occasion.BACKFILL)
    parcels = _parcels(due)
    loose = [parcel for parcel in parcels if parcel.may_be_folded]
    important = [parcel for parcel in loose if parcel.is_important]
    if len(important) <= FEW:  # more would drown the chat: then they are told with the others
        loose = [parcel for parcel in loose if not parcel.is_important]
    late = [parcel for parcel in loose if now - parcel.items[0].since > catch_up_after]
    if len(late) > FEW:
        return _together(late, Occasion.CATCH_UP)
    if len(parcels) > room and len(loose) > 1:
        return _together(loose, Occasion.BACKLOG)
    return parcels[0]


def _parcels(due: Sequence[Due]) -> list[Parcel]:
    """What would be a message each, in the order of the first event of each."""
    found: dict[str | int, list[Due]] = {}
    for item in due:
        found.setdefault(_group(item) or item.id, []).append(item)
    return [Parcel(tuple(items)) for items in found.values()]


def _group(item: Due) -> str | None:
    return item.group if item.mode is not Mode.SINGLE else None


def _together(parcels: Sequence[Parcel], occasion: Occasion) -> Parcel:
    items = sorted((item for parcel in parcels for item in parcel.items), key=lambda item: item.id)
    return Parcel(tuple(items), occasion)
