"""From a scan's result to what is told of it: the event, how it compares, and together with what it is told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import msgspec

from formatters.scans import rank
from poller import comparison, scans
from poller.allowance import Need
from poller.comparing import Comparer
from poller.config import Config
from poller.events import SBOM, Event, EventType, Scan, event_key
from poller.harbor import Harbor
from poller.knowledge import LONG_AGO, Changes, PlatformFact, TagFact
from poller.plan import FEW, IMAGE, WAVE
from poller.projects import Projects
from poller.rows import Artifact
from poller.scans import Result, ScanFacts
from poller.survey import Survey
from poller.threads import Threads, about_image
from poller.values import replace
from poller.wholes import Wholes
from state import DeliveryState, Mode, NoticedScan, Store, Telling, Thread, Wave

SCAN_ON_PUSH = timedelta(seconds=10)
"""What is asked for so soon after a push, and by nobody by hand, was asked for by the push."""
PUSHED_BEFORE_IT_RAN = timedelta(minutes=1)
"""The same of a scan of which only is known when it ran."""
SAME_MOMENT = timedelta(seconds=1)
"""Harbor may run on several machines, whose clocks differ a little."""
LONGEST_WAVE = timedelta(hours=24)
REST_OF_IMAGE = timedelta(minutes=1)
REST_OF_IMAGE_RUNS = timedelta(minutes=5)
"""How long the results of an index's other platforms are waited for: if nothing is seen of them, and if they run."""


class Reported(msgspec.Struct, frozen=True):
    """How a result is told. `hold`: until when the others of its group wait for the rest, too."""

    telling: Telling
    wave: Wave | None = None
    hold: datetime | None = None


class Reporter:
    """Makes the event of a scan's result, and decides how it is told. `decide`: whether it is."""

    def __init__(
        self,
        harbor: Harbor,
        store: Store,
        survey: Survey,
        projects: Projects,
        config: Config,
        decide: Callable[[Event], Telling],
    ) -> None:
        self._store = store
        self._survey = survey
        self._config = config.scans
        self._delivery = config.delivery
        self._decide = decide
        self._wholes = Wholes(store, config.routes)
        self.comparer = Comparer(harbor, store)
        self._projects = projects
        self._guessed: set[tuple[str, str]] = set()  # what was last said to have been scanned, because it was pushed
        self.unreadable: set[str] = set()  # projects whose artifacts can be listed at most

    def is_known(self, scan: NoticedScan, result: Result) -> bool:
        """Whether this result was seen before, in whatever repository: Harbor shares it among them."""
        assert scan.digest
        report = next(iter(result.overview.values()))
        if result.is_sbom:
            key = event_key(scan.repository or "", scan.digest, Scan(result.overview, SBOM))
            return bool(self._store.known_keys([key]))
        fact = comparison.fact(scan.digest, report, result.ended_at, result.ended_at)
        known = self._store.reports([scan.digest]).get((fact.digest, fact.scanner))
        return known is not None and known.report_id == fact.report_id

    def report(
        self,
        scan: NoticedScan,
        result: Result,
        artifact: Artifact,
        now: datetime,
        *,
        patience: timedelta = timedelta(0),
    ) -> int:
        """Record the result of a scan that is done with. Returns how many events are new.

        `patience`: how long further results of the same kind may take to be found. Raises what Harbor's client
        raises; then nothing is recorded, and the look comes again.
        """
        self.comparer.allowance.earn(1, now)
        assert scan.repository
        tag = self._tag_then(scan, artifact)
        place, taught = self._place(scan, artifact.digest, tag)
        facts, asked = self._facts(scan, place, now)
        event = scans.event(scan, result, artifact.digest, tag, facts)
        compared = self.comparer.compare(self.comparer.placed(event, place, taught), now)
        is_of_wave = self._delivery.is_calm and not result.is_sbom and scans.is_unasked(scan, facts)
        if self._config.only_changed and not comparison.is_changed(compared.event):
            compared = self.comparer.name_findings(compared, Need.WANTED, now)  # one may have come, and one gone
        telling = self._decide(compared.event)
        if telling.state is DeliveryState.PENDING:
            need = self._need(compared.event, is_of_wave=is_of_wave)
            compared = self.comparer.name_findings(compared, need, now)
        event, learnt = compared.event, taught + compared.learnt + asked + _tags_of(scan, artifact)
        mode = Mode.IMPORTANT if self._is_news(event) else Mode.AUTO
        along = self._wholes.of_result(event, (tag.name for tag in artifact.tags))
        telling = replace(telling, event=event, since=min(event.occurred_at, now), mode=mode, along=along)
        if is_of_wave and is_of_interest(telling):
            reported = self._of_wave(telling, now, patience)
        else:
            reported = self._of_push_or_image(telling, learnt, now)
        return self._store.finish_look(
            scan, (reported.telling,), now, learnt, wave=reported.wave, hold_until=reported.hold
        )

    def _is_news(self, event: Event) -> bool:
        return event.scan is not None and comparison.brings_worse(event.scan.changes, self._config.important)

    def _need(self, event: Event, *, is_of_wave: bool) -> Need:
        """Names are needed where it got worse; wanted where a person reads the single message, as of few scans."""
        assert event.scan is not None
        if event.scan.is_sbom:
            return Need.NONE
        if comparison.brings_worse(event.scan.changes, "high"):
            return Need.URGENT
        wave = self._store.wave() if is_of_wave else None
        return Need.NONE if wave is not None and wave.members >= FEW else Need.WANTED

    def _is_important(self, event: Event) -> bool:
        """Whether people must not miss it, so that it is told for itself; also if there is nothing to compare with."""
        if event.type is EventType.SCANNING_FAILED or self._is_news(event):
            return True
        severity, important = comparison.severity_of(event), self._config.important
        return bool(severity) and important is not None and rank(severity) <= rank(important)

    # -- together with what ---------------------------------------------------------------------------

    def group_of(self, event: Event) -> str | None:
        """What a result is told with: the push, not long ago, of the image; else the other platforms of the image.

        What is important is not told with the push, but for itself.
        """
        push = None if self._is_important(event) else self._push_of(event)
        return push.group if push is not None else image_group(event)

    def _push_of(self, event: Event) -> Thread | None:
        """The push of the image that was scanned, or of the index that it is a platform of, if not long ago."""
        window = self._delivery.scan_window
        if not self._delivery.is_calm or window is None or event.repository is None or event.digest is None:
            return None
        index = event.scan.index if event.scan else None
        threads, repository, at = Threads(self._store.threads), event.repository.full_name, event.occurred_at
        found = (
            threads.going_on(about_image(repository, digest), at, timedelta(seconds=window), SAME_MOMENT)
            for digest in ((index.digest, event.digest) if index else (event.digest,))
        )
        return next((thread for thread in found if thread is not None), None)

    def _of_wave(self, telling: Telling, now: datetime, patience: timedelta) -> Reported:
        """Its results wait for the end of it; the first few that bring news are told at once."""
        wave = self._store.wave() or Wave(f"{WAVE}{telling.event.key}", now, now)
        is_pending = telling.state is DeliveryState.PENDING
        is_single = is_pending and telling.mode is Mode.IMPORTANT and wave.singles < FEW
        grew_at = max(wave.grew_at, now + patience)
        joined = replace(wave, grew_at=grew_at, members=wave.members + 1, singles=wave.singles + is_single)
        if is_single:
            return Reported(replace(telling, group=wave.group, mode=Mode.SINGLE), joined)
        return Reported(replace(telling, group=wave.group, mode=Mode.AUTO, held_until=now + LONGEST_WAVE), joined)

    def _of_push_or_image(self, telling: Telling, learnt: Changes, now: datetime) -> Reported:
        """What is not important is added to the message of the push, and need not wait for other platforms."""
        if not self._delivery.is_calm or telling.state is not DeliveryState.PENDING:
            return Reported(telling)
        push = self._push_of(telling.event)
        if push is None or self._is_important(telling.event):
            return self._of_image(telling, learnt, now, is_of_push=push is not None)
        return Reported(replace(telling, group=push.group))

    def _of_image(self, telling: Telling, learnt: Changes, now: datetime, *, is_of_push: bool) -> Reported:
        """One message about an image of several platforms, when all of them have ended."""
        group = image_group(telling.event)
        if group is None or telling.event.repository is None:
            return Reported(telling)
        repository, digest = telling.event.repository.full_name, telling.event.digest
        index_digest = group.rpartition("@")[2]
        known = (*self._store.platforms_of(repository, index_digest), *learnt.platforms)
        missing = {fact.digest for fact in known if fact.index_digest == index_digest and fact.is_image} - {digest}
        missing -= self._platforms_told(group, telling.event.occurred_at)
        if is_of_push:
            missing -= self._told_with_push(missing, telling.event.occurred_at)
        until = now
        if missing:
            until += REST_OF_IMAGE_RUNS if self._store.open_scans(missing) else REST_OF_IMAGE
        return Reported(replace(telling, group=group, held_until=until), hold=until)

    def _platforms_told(self, group: str, at: datetime) -> set[str | None]:
        """The platforms of an image that wait to be told, or were told just now, and are not scanned again already."""
        lately = {
            each.event.digest: each.waits
            for each in self._store.in_group(group)
            if each.waits or abs(each.event.occurred_at - at) <= 2 * REST_OF_IMAGE_RUNS
        }
        told = {digest for digest, waits in lately.items() if digest and not waits}
        return set(lately) - set(self._store.open_scans(told))

    def _told_with_push(self, digests: Collection[str], at: datetime) -> set[str]:
        """Platforms that have a result already, which was not important."""
        lately = {
            fact.digest
            for fact in self._store.reports(digests).values()
            if abs(fact.ended_at - at) <= 2 * REST_OF_IMAGE_RUNS
        }
        return lately - self._store.open_scans(lately)

    # -- what the overview does not say ---------------------------------------------------------------

    def _place(self, scan: NoticedScan, digest: str, tag: str | None) -> tuple[PlatformFact | None, Changes]:
        """The index that people know a platform by; and the one whose push may have caused the scan."""
        assert scan.repository
        pushed = self._pushed_with(scan)
        if digest in pushed or scan.asked_by is not None:
            pushed = frozenset()
        if tag is not None and not pushed:
            return None, Changes()
        return self.comparer.index_of(scan.repository, digest, pushed)

    def _facts(self, scan: NoticedScan, place: PlatformFact | None, now: datetime) -> tuple[ScanFacts, Changes]:
        assert scan.repository
        server = self._survey.server()
        fact, learnt = self._projects.fact(scan.repository.partition("/")[0], now)
        return ScanFacts(server.registry, fact.is_public, server.version, self.pushed_by(scan, place)), learnt

    def pushed_by(self, scan: NoticedScan, place: PlatformFact | None = None) -> str | None:
        """Whose push caused the scan, if one did: of the image, or of the index that it is a platform of."""
        times = _asked_between(scan)
        if times is None or not scan.repository or not scan.digest:
            return None
        digests = (scan.digest, place.index_digest) if place else (scan.digest,)
        since, until = times
        return self._store.pusher_of(scan.repository, digests, since=since, until=until)

    def _pushed_with(self, scan: NoticedScan) -> frozenset[str]:
        """What was pushed into the repository when the scan was asked for, by digest."""
        times = _asked_between(scan)
        if times is None:
            return frozenset()
        since, until = times
        return frozenset(
            digest
            for repository, digest in self._store.pushed(since=since, until=until)
            if repository == scan.repository
        )

    def pushed_for(self, scan: NoticedScan) -> tuple[str, str] | None:
        """(repository, digest) of the only image whose push can have caused a scan of which no pull was logged."""
        asked_at = scans.asked_at(scan.robot)
        if asked_at is None or scan.asked_by is not None:
            return None
        pushed = self._store.pushed(since=asked_at - SCAN_ON_PUSH, until=asked_at + SAME_MOMENT)
        found = {each for each in pushed if scans.is_robot_of(scan.robot, each[0].partition("/")[0])}
        if len(found) != 1 or self._guessed == found:
            return None
        self._guessed = set(found)
        return found.pop()

    def _tag_then(self, scan: NoticedScan, artifact: Artifact) -> str | None:
        """The tag that the artifact had when it was asked for; it may have moved on since."""
        at = scans.asked_at(scan.robot) or scan.started_at
        tag = scans.newest_tag(artifact, at + SAME_MOMENT if at else None)
        if tag is not None or at is None or not scan.repository:
            return tag
        return self._store.tag_before(scan.repository, artifact.digest, at)


def _asked_between(scan: NoticedScan) -> tuple[datetime, datetime] | None:
    """When the push must have been that caused it: a robot is made at once, though the scan may have to queue."""
    asked_at = scans.asked_at(scan.robot)
    if asked_at is not None:
        return asked_at - SCAN_ON_PUSH, asked_at + SAME_MOMENT
    return (scan.started_at - PUSHED_BEFORE_IT_RAN, scan.started_at) if scan.started_at else None


def image_group(event: Event) -> str | None:
    """The name of what the platforms of an image are told together as. Another registry may have the same image."""
    if event.scan is None or event.scan.index is None or event.repository is None:
        return None
    return f"{IMAGE}{event.registry}/{event.repository.full_name}@{event.scan.index.digest}"


def is_of_interest(telling: Telling) -> bool:
    """Whether a summary may speak of it: not of projects or types of events that are switched off."""
    return telling.state is DeliveryState.PENDING or telling.reason.startswith("scans.")


def _tags_of(scan: NoticedScan, artifact: Artifact) -> Changes:
    """The look taught the artifact's tags too; a later deletion names only the digest."""
    assert scan.repository
    facts = (TagFact(scan.repository, tag.name, artifact.digest, tag.push_time or LONG_AGO) for tag in artifact.tags)
    return Changes(tags=tuple(facts))
