"""From a scan's result to what is told of it: the event, how it compares, and together with what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from poller import comparison, scans
from poller.allowance import Need
from poller.comparing import Comparer
from poller.config import ScansConfig
from poller.enrich import PROJECT_FRESH
from poller.events import Event
from poller.harbor import Harbor
from poller.knowledge import LONG_AGO, Changes, ProjectFact, TagFact
from poller.plan import FEW, IMAGE, WAVE
from poller.rows import Artifact
from poller.scans import Result, ScanFacts
from poller.survey import Survey
from state import DeliveryState, Mode, NoticedScan, Store, Telling, Wave

SCAN_ON_PUSH = timedelta(minutes=1)
"""A scan that starts so soon after a push, and that nobody asked for by hand, was asked for by the push."""

LONGEST_WAVE = timedelta(hours=24)
REST_OF_IMAGE = timedelta(minutes=1)
REST_OF_IMAGE_RUNS = timedelta(minutes=5)
"""How long the results of an index's other platforms are waited for: if nothing is seen of them, and if they run."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What is to be written of a result. `hold`: until when the others of its group wait for the rest, too."""

    telling: Telling
    learnt: Changes
    wave: Wave | None = None
    hold: datetime | None = None


class Reporter:
    """Makes the event of a scan's result, and decides how it is told. `decide`: whether it is."""

    def __init__(
        self, harbor: Harbor, store: Store, survey: Survey, config: ScansConfig, decide: Callable[[Event], Telling]
    ) -> None:
        self._harbor = harbor
        self._store = store
        self._survey = survey
        self._config = config
        self._decide = decide
        self.comparer = Comparer(harbor, store)
        self._projects: dict[str, ProjectFact] = {}

    def report(self, scan: NoticedScan, result: Result, artifact: Artifact, now: datetime) -> Reported:
        """Raises what Harbor's client raises; then nothing is recorded, and the look comes again."""
        self.comparer.allowance.earn(1, now)
        facts, asked = self._facts(scan, now)
        compared = self.comparer.complete(scans.event(scan, result, artifact, facts), now)
        is_of_wave = scans.is_unasked(scan, facts) and not result.is_sbom
        telling = self._decide(compared.event)
        if telling.state is DeliveryState.PENDING:
            need = self._need(compared.event, is_of_wave=is_of_wave)
            compared = self.comparer.name_findings(compared, need, now)
        event, learnt = compared.event, compared.learnt + asked + _tags_of(scan, artifact)
        mode = Mode.IMPORTANT if self._is_news(event) else Mode.AUTO
        telling = replace(telling, event=event, since=min(event.occurred_at, now), mode=mode)
        if is_of_wave:
            return self._of_wave(telling, learnt, now)
        if event.scan is not None and event.scan.index is not None:
            return self._of_image(telling, learnt, now)
        return Reported(telling, learnt)

    def hold_the_rest(self, reported: Reported) -> None:
        """What waits already of the same image waits as long as the newest of it."""
        if reported.hold is not None and reported.telling.group is not None:
            self._store.hold(reported.telling.group, reported.hold)

    def _is_news(self, event: Event) -> bool:
        return event.scan is not None and comparison.brings_worse(event.scan.changes, self._config.important)

    def _need(self, event: Event, *, is_of_wave: bool) -> Need:
        """Names are needed where it got worse; wanted where a person reads the single message."""
        assert event.scan is not None
        if event.scan.is_sbom:
            return Need.NONE
        if comparison.brings_worse(event.scan.changes, "high"):
            return Need.URGENT
        return Need.NONE if is_of_wave else Need.WANTED

    # -- together with what ---------------------------------------------------------------------------

    def _of_wave(self, telling: Telling, learnt: Changes, now: datetime) -> Reported:
        """Its results wait for the end of it; the first few that bring news are told at once."""
        ended = min(telling.event.occurred_at, now)  # a clock that is ahead must not hold it up
        wave = self._store.wave() or Wave(f"{WAVE}{telling.event.key}", ended)
        is_pending = telling.state is DeliveryState.PENDING
        is_single = is_pending and telling.mode is Mode.IMPORTANT and wave.singles < FEW
        joined = replace(
            wave,
            ended_at=max(wave.ended_at, ended),
            members=wave.members + 1,
            singles=wave.singles + is_single,
        )
        if is_single:
            return Reported(replace(telling, group=wave.group, mode=Mode.SINGLE), learnt, joined)
        held = replace(telling, group=wave.group, mode=Mode.AUTO, held_until=now + LONGEST_WAVE)
        return Reported(held, learnt, joined)

    def _of_image(self, telling: Telling, learnt: Changes, now: datetime) -> Reported:
        """One message about an image of several platforms, when all of them have ended."""
        event = telling.event
        assert event.scan is not None
        assert event.scan.index is not None
        assert event.repository is not None
        repository, index = event.repository.full_name, event.scan.index
        group = f"{IMAGE}{repository}@{index.digest}"
        known = (*self._store.platforms_of(repository, index.digest), *learnt.platforms)
        missing = {fact.digest for fact in known if fact.index_digest == index.digest} - {event.digest}
        missing -= {each.digest for each in self._store.in_group(group, is_waiting=True)}
        until = now
        if missing:
            until += REST_OF_IMAGE_RUNS if self._store.open_scans(repository, missing) else REST_OF_IMAGE
        return Reported(replace(telling, group=group, held_until=until), learnt, hold=until)

    # -- what the overview does not say ---------------------------------------------------------------

    def _facts(self, scan: NoticedScan, now: datetime) -> tuple[ScanFacts, Changes]:
        assert scan.repository
        server = self._survey.server()
        is_public, learnt = self._is_public(scan.repository, now)
        return ScanFacts(server.registry, is_public, server.version, self.pushed_by(scan)), learnt

    def pushed_by(self, scan: NoticedScan) -> str | None:
        """Whose push caused the scan, if one did."""
        if scan.started_at is None or not scan.repository or not scan.digest:
            return None
        since = scan.started_at - SCAN_ON_PUSH
        return self._store.pusher_of(scan.repository, scan.digest, since=since, until=scan.started_at)

    def _is_public(self, repository: str, now: datetime) -> tuple[bool | None, Changes]:
        name = repository.partition("/")[0]
        known = self._projects.get(name) or self._store.knowledge({repository}).projects.get(name)
        if known is not None and now - known.checked_at < PROJECT_FRESH:
            self._projects[name] = known
            return known.is_public, Changes()
        project = self._harbor.project(name)
        fact = self._projects[name] = ProjectFact(name, project.is_public if project else None, now)
        return fact.is_public, Changes(projects=(fact,))


def _tags_of(scan: NoticedScan, artifact: Artifact) -> Changes:
    """The look taught the artifact's tags too; a later deletion names only the digest."""
    assert scan.repository
    facts = (TagFact(scan.repository, tag.name, artifact.digest, tag.push_time or LONG_AGO) for tag in artifact.tags)
    return Changes(tags=tuple(facts))
