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

IMPORTANT = frozenset({EventType.SCANNING_FAILED, EventType.NOT_UNDERSTOOD})
"""Told singly even after a downtime, as long as they are few."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message: a single event, or a digest of several."""

    items: tuple[Due, ...]
    occasion: Occasion | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(item.id for item in self.items)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(item.event for item in self.items)


def next_parcel(due: Sequence[Due], *, now: datetime, room: int, catch_up_after: timedelta) -> Parcel | None:
    """The next message, oldest first.

    `room`: how many single messages the chat's pace allows within the longest delay that is put up with.
    """
    if not due:
        return None
    asked = [item for item in due if item.mode is Mode.DIGEST]
    if asked:
        return _together(asked, Occasion.BACKFILL)
    loose = [item for item in due if item.mode is Mode.AUTO]
    important = [item for item in loose if item.event.type in IMPORTANT]
    if len(important) <= FEW:  # more would drown the chat: then they are told with the others
        loose = [item for item in loose if item.event.type not in IMPORTANT]
    late = [item for item in loose if now - item.since > catch_up_after]
    if len(late) > FEW:
        return _together(late, Occasion.CATCH_UP)
    if len(due) > room and len(loose) > 1:
        return _together(loose, Occasion.BACKLOG)
    return Parcel((due[0],))


def _together(items: Sequence[Due], occasion: Occasion) -> Parcel:
    return Parcel(tuple(items), occasion)
