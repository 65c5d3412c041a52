"""Waiting for the lease, for as long as another poller works, however the database fares meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from logging import WARNING

from poller import lease, sdnotify
from poller.errors import PollerError
from poller.logs import Log
from poller.troubles import Trouble, Troubles
from state import POLLER, Grant, Store

NO_DATABASE = Trouble(
    "daemon.waits_for_database", "daemon.still_waits_for_database", "daemon.database_is_back", WARNING
)

_log = Log(__name__)


class Standby:
    """Looks every other second whether it is needed, and tells the log and systemd for whom it stands by."""

    def __init__(
        self,
        store: Store,
        owner: lease.Owner,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._monotonic = monotonic
        self._holder = ""
        self._troubles = Troubles(monotonic)
        self._pause = min(lease.LOOK_SECONDS, (sdnotify.watchdog_seconds() or 60) / 2)

    def wait(self, stop: threading.Event) -> Grant | None:
        """The lease of the only poller; None when `stop` was set before."""
        candidate = lease.Candidate(self._store, self._owner, POLLER, self._monotonic)
        self._holder = ""
        while not stop.is_set():
            grant = self._ask(candidate)
            if grant is not None:
                return grant
            stop.wait(self._pause)
        return None

    def _ask(self, candidate: lease.Candidate) -> Grant | None:
        try:
            answer = candidate.ask(self._clock())
        except PollerError as error:
            self._waits_for_the_database(error)
            return None
        self._troubles.went_well(NO_DATABASE)
        if isinstance(answer, Grant):
            return answer
        self._stands_by_for(lease.place(answer.owner))
        return None

    def _stands_by_for(self, holder: str) -> None:
        if holder != self._holder:
            _log.info("daemon.standby", holder=holder)
        self._holder = holder
        sdnotify.notify(f"READY=1\nWATCHDOG=1\nSTATUS=standing by for {holder}")

    def _waits_for_the_database(self, error: PollerError) -> None:
        self._troubles.failed(NO_DATABASE, error)
        sdnotify.notify("READY=1\nWATCHDOG=1\nSTATUS=standing by; the state database does not answer")
