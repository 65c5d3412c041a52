"""What goes into the state and what comes out of it: plain values, no SQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from poller.events import Event


class DeliveryState(StrEnum):
    """Every event ends in exactly one of these per route."""

    PENDING = "pending"
    SENT = "sent"
    FOLDED = "folded"  # told as part of another message
    REFUSED = "refused"  # Telegram will never take it
    OFF = "off"  # not to be told; the reason names the setting


SHORT_PAUSE = timedelta(minutes=15)
"""Nobody needs to hear of so long without a poll."""
SCANNERS_OWN = "part of a scan"
"""The reason for which what a scanner's robot does is not told by itself; a setting may follow."""
MADE_ANEW = timedelta(seconds=10)
"""Before a list of materials is made, Harbor deletes the one that there was."""

CLOCKS_APART = timedelta(hours=2)
"""Harbor's clock and ours differ by less."""

PAST = "past:"
"""How the ledger's name for what a backfill has read in full begins; the log's follows."""


class Mode(StrEnum):
    """How a pending event may be told."""

    AUTO = "auto"  # singly while there is room, otherwise in a digest
    IMPORTANT = "important"  # singly even after a downtime, as long as there are few
    SINGLE = "single"
    DIGEST = "digest"


class Telling(msgspec.Struct, frozen=True, gc=False):
    """An event and what is to become of it on the route."""

    event: Event
    state: DeliveryState
    reason: str = ""
    mode: Mode = Mode.AUTO
    since: datetime | None = None  # None: the moment at which it is recorded
    group: str | None = None  # what is told together with it
    held_until: datetime | None = None  # when the rest of its group is waited for no longer
    route: str | None = None  # None: that of the store
    along: tuple[Event, ...] = ()  # what it is a part of, or is called besides: it goes where these go


class Cursor(msgspec.Struct, frozen=True):
    """How far one audit log has been read.

    `row_id`/`op_time`: the newest row seen; with its time it is the witness that the log is still the same.
    Rows up to `floor_id` are from before the first run, or before the database was put back: they are not read again.
    `floor_at`: when it was put back; what was seen before that says nothing of the ids above the floor.
    """

    log: str
    row_id: int
    op_time: datetime | None
    floor_id: int
    polled_at: datetime
    created_at: datetime
    floor_at: datetime | None = None


class Coverage(msgspec.Struct, frozen=True):
    """A line of the coverage ledger: what was read when, and what came of it. `error`: why nothing was covered."""

    log: str
    covered_from: datetime
    covered_to: datetime
    rows: int = 0
    new: int = 0
    seconds: float = 0.0
    error: str | None = None
    polls: int = 1


class Due(msgspec.Struct, frozen=True):
    """A pending delivery."""

    id: int
    event: Event
    mode: Mode
    since: datetime
    attempts: int
    group: str | None = None
    seen_at: datetime | None = None  # when it was recorded
    held_until: datetime | None = None  # until then we put it off ourselves


class Waiting(msgspec.Struct, frozen=True):
    """A push that was not told yet, and the group that it is in."""

    event: Event
    group: str | None


class Member(msgspec.Struct, frozen=True):
    """An event of a group. `waits`: it is told together with the others, and was not yet. `is_off`: nor will it be."""

    id: int  # of its delivery
    event: Event
    waits: bool
    is_off: bool = False


class GroupMessage(msgspec.Struct, frozen=True):
    """The message of a group. `touched_at`: when something was last told with it, be it by an edit."""

    message_id: int
    sent_at: datetime
    touched_at: datetime


class RouteState(msgspec.Struct, frozen=True):
    """What Telegram made us learn about a chat."""

    name: str
    chat_id: str
    thread_id: int | None
    moved_to: int | None = None
    topic_lost: bool = False
    blocked_until: datetime | None = None
    blocked_at: datetime | None = None
    needs_operator: bool = False
    reason: str = ""
    failures: int = 0
    digest_at: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        """Whether the chat is left alone after a failure."""
        return self.blocked_until is not None and self.blocked_until > now


class DeliveryRecord(msgspec.Struct, frozen=True):
    route: str
    state: DeliveryState
    reason: str
    chat_id: str | None
    message_id: int | None


class Fate(msgspec.Struct, frozen=True):
    """What became of an event on a route, in full."""

    record: DeliveryRecord
    mode: Mode
    since: datetime
    attempts: int
    finished_at: datetime | None
    group: str | None
    held_until: datetime | None


class Seen(msgspec.Struct, frozen=True):
    """A recorded event, as `events` shows it."""

    event: Event
    seen_at: datetime
    deliveries: tuple[DeliveryRecord, ...]


class Counts(msgspec.Struct, frozen=True):
    pending: int
    oldest_pending: datetime | None
    sent: int
    folded: int
    refused: int
    off: int


class Backlog(msgspec.Struct, frozen=True):
    """What waits on a route. `held`: put off by ourselves, as for the rest of a group, a digest or quiet hours."""

    due: int = 0
    held: int = 0
    oldest_due: datetime | None = None  # since when that could have been told


class Lease(msgspec.Struct, frozen=True):
    """Who works on this database, and until when by the holder's own clock, which may be wrong.

    `epoch` counts the holders, `beats` goes up as long as this one lives.
    """

    owner: str
    acquired_at: datetime
    expires_at: datetime
    epoch: int = 1
    beats: int = 0

    @property
    def pulse(self) -> tuple[int, int]:
        """What does not change any more once the holder is silent."""
        return self.epoch, self.beats


class Grant(msgspec.Struct, frozen=True):
    """A lease as its holder has it. It is worth nothing once the database names another owner or epoch."""

    name: str
    owner: str
    epoch: int


class Outcome(StrEnum):
    """What became of a scan that was noticed."""

    RUNNING = "running"
    TOLD = "told"
    GONE = "gone"  # the artifact was deleted before its result was read
    OVERWRITTEN = "overwritten"  # a later scan of the same artifact replaced the result
    GIVEN_UP = "given up"
    NO_SCAN = "no scan"  # a person's robot, whose name looks like that of a scanner's


SWEEP = "sweep "


class NoticedScan(msgspec.Struct, frozen=True):
    """A scan that was noticed. Its identity is the robot's name: every scan has its own robot.

    `list_digest`: the list of materials that it pushed, if it was an SBOM run.
    """

    robot: str
    repository: str | None = None
    digest: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    asked_by: str | None = None
    list_digest: str | None = None
    looks: int = 0
    look_at: datetime | None = None
    outcome: Outcome = Outcome.RUNNING

    @property
    def is_guess(self) -> bool:
        """Whether what is scanned is not known from the scanner's pull."""
        return self.started_at is None

    @property
    def is_of_sweep(self) -> bool:
        """Whether the sweep met it, so that there is no robot and the name stands for one."""
        return self.robot.startswith(SWEEP)


class Wave(msgspec.Struct, frozen=True):
    """Scans that nobody asked for one by one, as of a scan-all, from the first result to the last.

    `group`: of their deliveries. `grew_at`: when a result was last added, by our clock. `singles`: how many of them
    were told for themselves.
    """

    group: str
    began_at: datetime
    grew_at: datetime
    members: int = 0
    singles: int = 0
    asked_at: datetime | None = None  # when Harbor was last asked whether it goes on


class Thread(msgspec.Struct, frozen=True, gc=False):
    """What is told as one message as long as it goes on, such as the pulls of an image by somebody.

    `about`: what they have in common. `group`: of their deliveries. The times are those of the first and last event.
    """

    about: str
    group: str
    began_at: datetime
    last_at: datetime
    members: int


class SweepPlace(msgspec.Struct, frozen=True):
    """How far the sweep for untold scan results has come.

    `baseline_at`: results from before that are never news. `paid_until`: the moment for which requests are paid.
    `looked_at`: when repositories that had changed were last asked for; `changed`: those that are still to be read,
    for what was pulled after `changed_since`.
    `repository_id`: up to where the round over all has come; `ahead`: what is to be read next of it.
    Both are (repository, page) in their order. `steps`: how many requests were made, for taking turns.
    `looks_in_vain`: looks for changes in a row that explained no scan of which only is known that it has ended.
    """

    baseline_at: datetime
    paid_until: datetime
    looked_at: datetime
    changed_since: datetime
    round_began_at: datetime
    round_before_at: datetime | None = None
    repository_id: int = 0
    changed: tuple[tuple[str, int], ...] = ()
    ahead: tuple[tuple[str, int], ...] = ()
    steps: int = 0
    looks_in_vain: int = 0
