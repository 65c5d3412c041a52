"""The end of a scan-all: one message about all of it, however long it took.

Harbor has no word for it in its log. What belongs together are the scans that neither a person nor a push asked
for; they have ended when none runs any more for a while, and, where the account may ask, when Harbor says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from logging import INFO

from formatters.scans import rank
from poller import comparison
from poller.allowance import Need
from poller.comparing import Compared
from poller.config import ScansConfig
from poller.errors import PollerError
from poller.events import Event
from poller.harbor import Harbor
from poller.logs import Log
from poller.plan import FEW
from poller.reporting import LONGEST_WAVE, Reporter
from poller.survey import Survey
from poller.troubles import Trouble, Troubles
from poller.values import replace
from state import Mode, Store, Wave

STILL_RUNNING = timedelta(minutes=30)
"""A scan without an end for longer than this is not waited for."""
MOST_RUNNING = 200
UNSURE = timedelta(hours=2)
"""Up to 2.11 a wave is told after so long, unless Harbor says that it goes on: it may be no scan-all."""
HANGS = timedelta(hours=1)
ASK_AGAIN = timedelta(minutes=1)
NOT_ALLOWED_AGAIN = timedelta(hours=1)

PROGRESS_UNKNOWN = Trouble("scans.progress_unknown", "scans.progress_still_unknown", "scans.progress_known", INFO)

_log = Log(__name__)


class Waves:
    """Holds back what belongs to a wave until it has ended."""

    def __init__(self, harbor: Harbor, store: Store, reporter: Reporter, survey: Survey, config: ScansConfig) -> None:
        self._harbor = harbor
        self._survey = survey
        self._store = store
        self._reporter = reporter
        self._config = config
        self._refused_at: datetime | None = None
        self._troubles = Troubles()

    def end_if_over(self, now: datetime) -> None:
        wave = self._store.wave()
        if wave is None:
            return
        is_quiet = now - wave.grew_at >= timedelta(seconds=self._config.quiet) and not self._is_running(now)
        if is_quiet and wave.members <= FEW:
            self._tell_singly(wave)
        elif (is_quiet or now - wave.began_at >= self._longest()) and not self._goes_on(wave, now):
            self._name_the_worst(wave, now)
            self._store.end_wave(wave, as_one=True)
            _log.info("scans.wave_ended", scans=wave.members)

    def _longest(self) -> timedelta:
        """Where the log tells who asked for a scan, nothing but a scan-all goes on and on without anybody's asking."""
        return LONGEST_WAVE if self._survey.server().has_robot_rows else UNSURE

    def _tell_singly(self, wave: Wave) -> None:
        """Few were no scan-all. What belongs to a push, or to one image, stays together."""
        for member in list(self._store.in_group(wave.group, is_waiting=True)):
            group = self._reporter.group_of(member.event)
            if group is not None:
                self._store.regroup(member.event, group)
        self._store.end_wave(wave, as_one=False)

    def _is_running(self, now: datetime) -> bool:
        running = self._store.unasked_scans(since=now - STILL_RUNNING, most=MOST_RUNNING)
        return any(self._reporter.pushed_by(scan) is None for scan in running)

    def _goes_on(self, wave: Wave, now: datetime) -> bool:
        """Whether Harbor says that it goes on. A task that hangs says so for ever: then nothing is added."""
        if now - wave.grew_at >= HANGS or now - wave.began_at >= LONGEST_WAVE:
            return False
        if wave.asked_at is not None and now - wave.asked_at < ASK_AGAIN:
            return True
        goes_on = self._may_ask(now) and self._ask(now)
        if goes_on:
            self._store.save_wave(replace(wave, asked_at=now))
        return goes_on

    def _may_ask(self, now: datetime) -> bool:
        return self._refused_at is None or now - self._refused_at >= NOT_ALLOWED_AGAIN

    def _ask(self, now: datetime) -> bool:
        try:
            answer = self._harbor.is_scanning_all()
        except PollerError as error:
            self._troubles.failed(PROGRESS_UNKNOWN, error)
            return False
        self._troubles.went_well(PROGRESS_UNKNOWN)
        self._refused_at = now if answer is None else None
        return bool(answer)

    def _name_the_worst(self, wave: Wave, now: datetime) -> None:
        """Images without an earlier result cannot bring news; few bad ones are told singly all the same."""
        bad = heapq.nsmallest(FEW + 1, self._bad_ones(wave), key=_badness)
        room = FEW - wave.singles
        for event in bad[:FEW]:
            named = self._reporter.comparer.name_findings(Compared(event), Need.URGENT, now)
            self._store.complete_scan(named.event, mode=Mode.SINGLE if len(bad) <= room else None)
            self._store.record((), now=now, learnt=named.learnt)

    def _bad_ones(self, wave: Wave) -> Iterator[Event]:
        """What nobody has been told yet and is at or above the threshold, with nothing to compare it with."""
        important = self._config.important
        if important is None:
            return
        for member in self._store.in_group(wave.group, is_waiting=True):
            event = member.event
            severity = comparison.severity_of(event)
            if severity and event.scan and not event.scan.changes and rank(severity) <= rank(important):
                yield event


def _badness(event: Event) -> tuple[int, int]:
    """Smallest is worst."""
    counts = comparison.counts(event.scan.report) if event.scan else {}
    return -counts.get("Critical", 0), -counts.get("High", 0)
