"""What to say next: singly while there is room, together when there is not. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from formatters import Occasion, rank
from poller import comparison
from poller.events import Event, EventType
from poller.values import replace
from state import Due, GroupMessage, Mode

FEW = 5
"""Up to so many late events are told singly: a summary of two messages would hide more than it calms."""

IMPORTANT = frozenset({EventType.SCANNING_FAILED, EventType.NOT_UNDERSTOOD, EventType.COVERAGE})
"""Told singly even after a downtime, as long as they are few."""

MOST_IMPORTANT = 10
IMPORTANT_WINDOW = timedelta(minutes=5)
"""So many important ones are told singly in any such time, FEW if much else is to be told: more would drown it."""

SETTLING = frozenset(
    {
        EventType.PUSH_ARTIFACT,
        EventType.DELETE_ARTIFACT,
        EventType.TAG_DELETED,
        EventType.REPOSITORY_DELETED,
        EventType.PROJECT_DELETED,
    }
)
"""More of the same deed may be on its way: they wait a moment for it."""

WAVE, IMAGE = "wave:", "image:"
"""How the names of groups begin: scans that nobody asked for one by one; the platforms of an image."""

PUSH, PULLS, RUN = "push:", "pull:", "run:"
"""An image and what belongs to it; pulls of an image; what somebody does again and again. Their messages grow."""
GROWING = (PUSH, PULLS, RUN)

PUSH_RESTS = timedelta(seconds=5)
"""Between two edits of the message of a push."""
SHORTEST_REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=10)
"""The same of pulls and runs. In between they rest for as long as their message is old: each pause is a double one."""

LOOKS_QUIET = timedelta(seconds=30)
"""After a digest the first of what follows waits for so long, to see whether the flood goes on."""
LONGEST_PERIOD = timedelta(hours=1)
"""Between two digests of a flood that goes on."""


class Parcel(msgspec.Struct, frozen=True):
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
    def is_single(self) -> bool:
        """Whether it is to be told for itself, come what may."""
        return self.items[0].mode is Mode.SINGLE

    @property
    def may_be_folded(self) -> bool:
        """A wave is folded already."""
        return not self.is_single and not self.is_of_wave

    def is_important(self, severity: str | None) -> bool:
        """`severity`: from which on a result is. Of a wave, what is important was told singly."""
        return not self.is_of_wave and any(_is_important(item, severity) for item in self.items)


class Rest(msgspec.Struct, frozen=True):
    """Nothing is to be said before then."""

    until: datetime
    reason: str


class Hold(msgspec.Struct, frozen=True):
    """These are not due before then."""

    ids: tuple[int, ...]
    until: datetime


Step = Parcel | Rest | Hold


class Manner(msgspec.Struct, frozen=True):
    """How a chat is told. `is_calm`: what belongs together is one message; otherwise each event has its own.

    `max_delay`: if the chat's pace would make messages later than that, they come together. `important`: the
    severity from which on a result is. `quiet_until`: when the quiet hours end in which a moment lies. `every`: what
    is not important comes as a digest so often.
    """

    is_calm: bool = True
    settle: timedelta = timedelta(0)
    max_delay: timedelta = timedelta(minutes=2)
    catch_up_after: timedelta = timedelta(minutes=15)
    important: str | None = None
    quiet_until: Callable[[datetime], datetime | None] | None = None
    every: timedelta | None = None


class Moment(msgspec.Struct, frozen=True):
    """When it is decided. `room`: how many single messages the pace allows within the longest delay.

    `digest_at`: when the chat had its last digest for want of room. `is_patient`: whether to wait for what may come.
    `sees_all`: whether all that waits is in view, or only the oldest of it.
    """

    now: datetime
    room: int
    digest_at: datetime | None = None
    is_patient: bool = True
    sees_all: bool = True


class Memory(msgspec.Struct, frozen=True):
    """What one decision leaves to the next; a new process begins without it.

    `period`: between two digests, while a flood goes on. `singly`: which of the important ones are told singly, and
    when that was decided. `newest`, `grew_at`: the last that has come of what is late, and when it was met.
    """

    period: timedelta | None = None
    singly: Mapping[int, datetime] = msgspec.field(default_factory=dict)
    newest: int = 0
    grew_at: datetime | None = None


def decide(due: Sequence[Due], manner: Manner, moment: Moment, memory: Memory) -> tuple[Step | None, Memory]:
    """What is to be done next; None: nothing is due. Oldest first."""
    asked = [item for item in due if item.mode is Mode.DIGEST]
    if asked:
        return _together([Parcel(tuple(asked))], Occasion.BACKFILL), memory
    if not due:
        return None, memory
    line = _Line(due, manner, moment, memory)
    if not manner.is_calm:
        return line.postponed() or Parcel(tuple(due[:1])), memory
    step = line.postponed() or line.folded() or line.first()
    return step, line.memory


def after_digest(memory: Memory, manner: Manner, last: datetime | None, now: datetime) -> Memory:
    """A flood that goes on from digest to digest is told of ever less often."""
    period = _period(memory, manner)
    goes_on = last is not None and timedelta(0) <= now - last < 2 * period
    longer = min(2 * period, max(LONGEST_PERIOD, manner.max_delay))
    return replace(memory, period=longer if goes_on else None)


def edit_at(group: str, message: GroupMessage) -> datetime:
    """When the message of a growing group may be changed next."""
    if group.startswith(PUSH):
        return message.touched_at + PUSH_RESTS
    age = message.touched_at - message.sent_at
    return message.touched_at + min(max(age, SHORTEST_REST), LONGEST_REST)


class _Line:
    """What is due, in its order: what is `important`, what is `ordinary`, and what is told for itself anyway.

    Of too much that is important at once, all but the worst is a `crowd`, which comes as a digest.
    """

    def __init__(self, due: Sequence[Due], manner: Manner, moment: Moment, memory: Memory) -> None:
        self._manner, self._moment, self.memory = manner, moment, memory
        self._parcels = _parcels(due)
        loose = [parcel for parcel in self._parcels if parcel.may_be_folded]
        important = [parcel for parcel in loose if parcel.is_important(self._severity)]
        self._ordinary = [parcel for parcel in loose if not parcel.is_important(self._severity)]
        self._important = self._told_singly(important) if important else []
        singly = self.memory.singly
        self._crowd = [parcel for parcel in important if parcel.items[0].id not in singly]

    def _told_singly(self, important: Sequence[Parcel]) -> list[Parcel]:
        """The worst first. Who was chosen stays so; what comes later finds the places that are left."""
        now, window = self._moment.now, max(IMPORTANT_WINDOW, _period(self.memory, self._manner))
        waiting = {parcel.items[0].id for parcel in important}
        before = self.memory.singly.items()
        singly = {id: at for id, at in before if id in waiting or timedelta(0) <= now - at < window}
        more = sorted((parcel for parcel in important if parcel.items[0].id not in singly), key=_badness)
        places = max(0, (FEW if self._is_pressed() else MOST_IMPORTANT) - len(singly))
        singly |= {parcel.items[0].id: now for parcel in more[:places]}
        self.memory = replace(self.memory, singly=singly)
        return sorted((parcel for parcel in important if parcel.items[0].id in singly), key=_badness)

    def _is_pressed(self) -> bool:
        is_too_much = len(self._parcels) > self._moment.room
        return is_too_much or self._is_flooded() or sum(map(self._is_late, self._parcels)) > FEW

    def _is_flooded(self) -> bool:
        """Whether the last digest was just before."""
        last = self._moment.digest_at
        return last is not None and timedelta(0) <= self._moment.now - last < _period(self.memory, self._manner)

    @property
    def _foldable(self) -> list[Parcel]:
        return [*self._ordinary, *self._crowd]

    # -- what is not due yet --

    def postponed(self) -> Hold | None:
        now, quiet = self._moment.now, self._manner.quiet_until
        until = quiet(now) if quiet else None
        if until is not None:
            return _hold([parcel for parcel in self._parcels if not parcel.is_single], self._manner, until)
        if self._manner.every is None:
            return None
        until = _next_turn(now, self._manner.every)
        waiting = [*self._foldable, *(parcel for parcel in self._parcels if parcel.is_of_wave)]
        return _hold([parcel for parcel in waiting if _is_of_turn(parcel, until, self._manner)], None, until)

    # -- what is told together --

    def folded(self) -> Step | None:
        if self._manner.every is not None:
            return self._fold(self._foldable, Occasion.PERIOD) if self._foldable else None
        kept = [parcel for parcel in self._ordinary if self._was_quiet(parcel)]
        if len(kept) > FEW:
            last = kept[-1].items[0].id  # what came before them was put off with them
            return self._fold([each for each in self._ordinary if each.items[0].id <= last], Occasion.QUIET_HOURS)
        return self._in_flood() or self._caught_up() or self._crowded() or self._crowd_ready()

    def _was_quiet(self, parcel: Parcel) -> bool:
        quiet = self._manner.quiet_until
        return quiet is not None and quiet(_seen_at(parcel.items[0])) is not None

    def _in_flood(self) -> Step | None:
        """After a digest: whether what has come since is few, and told as ever, or waits for the next digest."""
        last, now = self._moment.digest_at, self._moment.now
        if last is None or last > now or not self._ordinary:
            return None
        end = last + _period(self.memory, self._manner)
        first = _seen_at(self._ordinary[0].items[0])
        if len(self._ordinary) > FEW:
            if self._has_ebbed(first):
                self.memory = self.memory if self._crowd else replace(self.memory, period=None)
                return None
            until = self._flood_ends(last, end, self._foldable)
            if now < until:
                return self._rest(until, "flood") if self._moment.is_patient else _hold(self._foldable, None, until)
            return self._fold(self._foldable, Occasion.BACKLOG) if first < end else None
        if now >= end or not self._moment.is_patient:
            return None
        return self._rest(min(first + LOOKS_QUIET, end), "flood")

    def _has_ebbed(self, first: datetime) -> bool:
        """Whether all that has come for as long as a message may be late could be told singly."""
        fits = self._moment.sees_all and len(self._parcels) - len(self._crowd) <= self._moment.room
        return fits and self._moment.now >= first + self._manner.max_delay

    def _flood_ends(self, last: datetime, end: datetime, waiting: Sequence[Parcel]) -> datetime:
        """With its period, or when nothing has come for as long as a message may be late."""
        if not self._moment.sees_all:
            return end
        newest = max(_seen_at(item) for parcel in waiting for item in parcel.items)
        return min(max(last, newest) + self._manner.max_delay, end)

    def _caught_up(self) -> Step | None:
        """What happened towards the end of a downtime is told with the rest of it."""
        waiting = self._ordinary if self._is_flooded() else self._foldable
        if sum(map(self._is_late, waiting)) <= FEW:
            return None
        arriving = self._arriving(waiting)
        return self._rest(arriving, "settle") or self._fold(self._foldable, Occasion.CATCH_UP)

    def _is_late(self, parcel: Parcel) -> bool:
        """Not where it is we that made it wait."""
        first, quiet = parcel.items[0], self._manner.quiet_until
        since = max(first.since, first.held_until) if first.held_until else first.since
        waited_until = quiet(since) if quiet else None
        allowed = max(self._manner.catch_up_after, self._manner.max_delay)
        return self._moment.now - (waited_until or since) > allowed

    def _arriving(self, parcels: Sequence[Parcel]) -> datetime:
        """Until when more of it may come: a long log is recorded page by page."""
        newest = max((parcel.items[-1] for parcel in parcels), key=lambda item: item.id)
        memory, now = self.memory, self._moment.now
        if newest.id != memory.newest:
            grew_at = now if memory.newest else min(_seen_at(newest), now)
            self.memory = memory = replace(memory, newest=newest.id, grew_at=grew_at)
        longest = min(_seen_at(parcel.items[0]) for parcel in parcels) + self._manner.max_delay
        return min((memory.grew_at or now) + self._manner.settle, longest)

    def _crowded(self) -> Step | None:
        waiting = len(self._parcels) - (len(self._crowd) if self._is_flooded() else 0)
        is_crowded = waiting > self._moment.room and len(self._foldable) > 1
        return self._fold(self._foldable, Occasion.BACKLOG) if is_crowded else None

    def _crowd_ready(self) -> Step | None:
        """The crowd waits for as long as a message may be late, or for its period. Nobody else waits for it."""
        if not self._crowd:
            return None
        until = self._crowd_until()
        if self._moment.now >= until:
            return self._fold(self._crowd, Occasion.BACKLOG)
        return None if self._moment.is_patient else _hold(self._crowd, None, until)

    def _crowd_until(self) -> datetime:
        last, now = self._moment.digest_at, self._moment.now
        if last is not None and self._is_flooded():
            return self._flood_ends(last, last + _period(self.memory, self._manner), self._crowd)
        first = min(_seen_at(parcel.items[0]) for parcel in self._crowd)
        return min(first, now) + self._manner.max_delay if self._moment.is_patient else now

    def _fold(self, parcels: Sequence[Parcel], occasion: Occasion) -> Step:
        """What is important goes before it, the worst first; a single parcel is no digest."""
        if self._important:
            return self._important[0]
        return _together(parcels, occasion) if len(parcels) > 1 else parcels[0]

    @property
    def _severity(self) -> str | None:
        return self._manner.important

    def _rest(self, until: datetime, reason: str) -> Step | None:
        """What is ordinary waits; all else does not."""
        if not self._moment.is_patient and reason == "settle":
            return None
        if until <= self._moment.now:
            return None
        if self._important:
            return self._important[0]
        return next((parcel for parcel in self._parcels if not parcel.may_be_folded), None) or Rest(until, reason)

    # -- singly --

    def first(self) -> Step:
        """The oldest, once what belongs to it had time to come; the others wait behind it."""
        crowd, now = {parcel.items[0].id for parcel in self._crowd}, self._moment.now
        first = next((parcel for parcel in self._parcels if parcel.items[0].id not in crowd), None)
        if first is None:
            return Rest(self._crowd_until(), "flood")
        seen_at = _seen_at(first.items[0])
        settles = first.items[0].event.type in SETTLING and not first.is_single and self._moment.is_patient
        if settles and seen_at <= now < seen_at + self._manner.settle:
            return Rest(seen_at + self._manner.settle, "settle")
        return first


def _hold(parcels: Sequence[Parcel], important: Manner | None, until: datetime) -> Hold | None:
    """All of these but, with a manner, what is important by it."""
    kept = [parcel for parcel in parcels if important is None or not parcel.is_important(important.important)]
    return Hold(tuple(id for parcel in kept for id in parcel.ids), until) if kept else None


def _next_turn(now: datetime, every: timedelta) -> datetime:
    """Turns are counted from midnight, UTC, of a day long ago: those of 24 h begin at midnight."""
    start = datetime(2000, 1, 3, tzinfo=UTC)  # a Monday, for turns of a week
    return start + ((now - start) // every + 1) * every


def _is_of_turn(parcel: Parcel, until: datetime, manner: Manner) -> bool:
    """Whether it came after the last turn, so that it waits for the one that ends then."""
    return manner.every is not None and _seen_at(parcel.items[0]) >= until - manner.every


def _period(memory: Memory, manner: Manner) -> timedelta:
    return memory.period or manner.max_delay


def _seen_at(item: Due) -> datetime:
    return item.seen_at or item.since


def _is_important(item: Due, severity: str | None) -> bool:
    """By how it was recorded, by its type, or as a result that is bad and has nothing to be compared with."""
    if item.mode is Mode.IMPORTANT or item.event.type in IMPORTANT:
        return True
    found = comparison.severity_of(item.event) if severity else ""
    is_first = item.event.scan is not None and not item.event.scan.changes
    return severity is not None and bool(found) and is_first and rank(found) <= rank(severity)


def _badness(parcel: Parcel) -> tuple[int, ...]:
    """Smallest is worst: failures, then by what was found, then the oldest."""
    counts = [comparison.counts(event.scan.report) if event.scan else {} for event in parcel.events]
    found = (-sum(each.get(level, 0) for each in counts) for level in ("Critical", "High"))
    return (all(event.type not in IMPORTANT for event in parcel.events), *found, parcel.items[0].id)


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
