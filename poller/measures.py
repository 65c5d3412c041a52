"""What is measured while the program works, in words that know no library and nothing of whoever counts.

Whoever does something hands a measure to a sink. What becomes of it there is no business of theirs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import msgspec

from poller.errors import LeaseTaken, OperatorError, PollerError, StateBusy, StateFull
from poller.events import EventType

NO_ANSWER = "none"
"""In place of an HTTP status where nothing came, or not all of it."""


class Service(StrEnum):
    HARBOR = "harbor"
    TELEGRAM = "telegram"


class Failure(StrEnum):
    """Why a job failed, by who must act."""

    TEMPORARY = "temporary"  # nobody
    OPERATOR = "operator"
    STATE_BUSY = "state_busy"  # nobody, or whoever looks after the database
    STATE_FULL = "state_full"
    BUG = "bug"  # who wrote this


class Result(StrEnum):
    """What came of handing something to Telegram."""

    SENT = "sent"
    EDITED = "edited"
    KEPT = "kept"  # it is tried again
    REFUSED = "refused"  # this text will never be taken
    NOT_EDITABLE = "not_editable"  # it is told in a new message


class Asked(msgspec.Struct, frozen=True):
    """A request, and how many seconds it took. `what`: the kind of path, or the method, never a name in it."""

    service: Service
    what: str
    status: str
    seconds: float


class RowsRead(msgspec.Struct, frozen=True):
    """A page of an audit log. `table`: the log's, whatever the project. `new`: events that came of it."""

    table: str
    rows: int
    new: int


class Recorded(msgspec.Struct):
    """Events that are new in the state, and what was decided of them, by (route, state)."""

    events: Counter[EventType] = msgspec.field(default_factory=Counter)
    decided: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)


class Delivered(msgspec.Struct, frozen=True):
    """So many deliveries of a route have come to their end. `state`: which one."""

    route: str
    state: str
    events: int


class Tried(msgspec.Struct, frozen=True):
    """A message was handed to Telegram. `reason`: a constant word where it was not taken as it was.

    `waited`: of what was sent, for how many seconds the oldest event in it could have been told before.
    """

    route: str
    result: Result
    reason: str = ""
    waited: float | None = None


class ScanEnded(msgspec.Struct, frozen=True):
    """A scan is done with. `outcome`: a word of the state."""

    outcome: str


class Ran(msgspec.Struct, frozen=True):
    """A job of the daemon has ended, after so many seconds. `failure` None: well."""

    job: str
    seconds: float
    failure: Failure | None = None


class Leads(msgspec.Struct, frozen=True):
    """This process has taken or left the lease of the only poller."""

    is_leading: bool


Measure = Asked | RowsRead | Recorded | Delivered | Tried | ScanEnded | Ran | Leads
Sink = Callable[[Measure], object]
"""Gets every measure, from any thread. It must not raise, nor wait for anybody."""


def ignore(_measure: Measure) -> None:
    """For whoever is not measured."""


# -- measuring --------------------------------------------------------------------------------------


class Answered(msgspec.Struct):
    """To be told the status, when there is one."""

    status: str = NO_ANSWER


@contextmanager
def asking(sink: Sink, service: Service, what: str) -> Iterator[Answered]:
    """Measures the request that is made within, also one that raises."""
    answered, began = Answered(), time.monotonic()
    try:
        yield answered
    finally:
        sink(Asked(service, what, answered.status, time.monotonic() - began))


def run(job: str, work: Callable[[], object], sink: Sink) -> None:
    """Does the work of a job, and measures it."""
    began = time.monotonic()
    try:
        work()
    except LeaseTaken:
        raise  # it did not fail: another process does it now
    except Exception as error:
        sink(Ran(job, time.monotonic() - began, failure_of(error)))
        raise
    sink(Ran(job, time.monotonic() - began))


def failure_of(error: Exception) -> Failure:
    match error:
        case StateFull():
            return Failure.STATE_FULL
        case StateBusy():
            return Failure.STATE_BUSY
        case OperatorError():
            return Failure.OPERATOR
        case PollerError():
            return Failure.TEMPORARY
    return Failure.BUG
