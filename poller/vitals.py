"""What the state says of how the work stands, for whoever watches: small questions, however much was recorded."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat

from poller import sweep
from poller.config import Config
from poller.errors import PollerError
from poller.events import Reason
from poller.survey import alive, table_of
from state import Backlog, RouteState, Store

LOOK_SECONDS = 10.0
_FIRST_PAUSES = (1.0, 1.0, 2.0, 4.0)  # at the start there is news
STALE_SECONDS = 45.0
"""A look that takes so long says that the database does not answer, before it says so itself."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """`read_until`: by log, the moment up to which it was read to its end; of the projects' logs the worst.

    `newest`: by log, the time of the newest row that was read. `chats`: what is known of the chat of each route.
    """

    read_until: Mapping[str, datetime]
    newest: Mapping[str, datetime]
    backlog: Mapping[str, Backlog]
    chats: Mapping[str, RouteState]
    gaps: Mapping[Reason, int]
    scans_running: int
    sweep_budget: float
    sweep_round_began: datetime | None
    version: str
    access: str  # which log the account can see, and how much of it
    table: str


def read(store: Store, config: Config, now: datetime) -> Vitals:
    """Raises PollerError."""
    _, detected, _ = store.harbor()
    detected, place = detected or {}, store.sweep()
    cursors = alive(store.cursors().values(), detected)
    return Vitals(
        read_until=_of_tables(((each.log, each.polled_at) for each in cursors), min),
        newest=_of_tables(((each.log, each.op_time) for each in cursors if each.op_time is not None), max),
        backlog=store.waiting(now),
        chats={
            route.name: store.for_route(route.name).route(str(route.chat_id), route.message_thread_id)
            for route in config.telling_routes
        },
        gaps=Counter(gap.reason for gap in store.open_gaps()),
        scans_running=store.running_scans(),
        sweep_budget=sweep.budget_left(place, config, now),
        sweep_round_began=place.round_began_at if place else None,
        version=detected.get("version") or "",
        access=detected.get("kind", ""),
        table=detected.get("table", ""),
    )


def _of_tables(
    times: Iterable[tuple[str, datetime]], pick: Callable[[datetime, datetime], datetime]
) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for log, at in times:
        table = str(table_of(log))
        found[table] = pick(found.get(table, at), at)
    return found


class Lookout:
    """Looks every few seconds in a thread of its own: whoever asks it never waits for a database."""

    def __init__(self, look: Callable[[], Vitals], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._seen: Vitals | None = None
        self._seen_at = monotonic()

    def __enter__(self) -> Lookout:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Not waited for long: a database that does not answer holds up nobody's end."""
        self._stop.set()
        self._thread.join(1)

    def look(self) -> None:
        try:
            self._seen = self._look()
            self._seen_at = self._monotonic()
        except PollerError:
            self._seen = None

    @property
    def vitals(self) -> Vitals | None:
        """As they were seconds ago; None while the database does not answer."""
        return self._seen if self.silence < STALE_SECONDS else None

    @property
    def silence(self) -> float:
        """For how many seconds nothing could be read."""
        return self._monotonic() - self._seen_at

    def _run(self) -> None:
        for pause in chain(_FIRST_PAUSES, repeat(LOOK_SECONDS)):
            self.look()
            if self._stop.wait(pause):
                return
