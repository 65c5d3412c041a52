"""The sweep for results that left no trace in the audit log, at a budget of requests an hour.

Pulls may not be logged, a scanner may answer without pulling, an account may not see robots. So repositories that
changed lately are looked through from time to time, and all of them in a slow round. What the first round finds
from before it began is a baseline, and no news; afterwards a result is new by its `report_id`. What is so old that it
may have been told and forgotten (a project or a scanner comes back) is none either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from logging import WARNING
from typing import TypeVar

import msgspec

from poller import comparison, scans
from poller.activity import RepositoryFacts
from poller.comparing import taught_by
from poller.config import Config
from poller.errors import NotAllowed, PollerError
from poller.events import Gap, Reason
from poller.harbor import SCANS_PAGE, Harbor
from poller.knowledge import LONG_AGO, Changes, ReportFact, RepositoryFact
from poller.logs import Log
from poller.reporting import Reporter
from poller.rows import PAGE, Artifact
from poller.scans import Result
from poller.sight import Sight
from poller.troubles import Trouble, Troubles
from poller.values import replace
from state import SWEEP, NoticedScan, Outcome, Store, SweepPlace

SAVED_UP = timedelta(minutes=10)
"""So much of the hour's budget may be spent at once, or be owed."""
REPOSITORIES_AHEAD = 20
MOST_CHANGED = 1000
BEGAN_BEFORE = timedelta(minutes=30)
"""A scan's pull may lie so long before its end."""
JUST_BEGUN = timedelta(minutes=30)
FEW_HIDDEN = 3
"""Of so many images on a page results were known, and now there is none: that is no accident."""
RESULTS = "results"
FRESH = timedelta(minutes=2)
"""What ended less than this ago is left to the audit log, which knows more of it."""
UNEXPLAINED = timedelta(seconds=20)
"""Harbor counts pulls up to 10 s late; after that the repository of a scan whose pull was not logged has changed."""
LOOK_AGAIN = timedelta(minutes=1)
PAGES_APART = 4
"""So many steps may lie between two pages that bring news of the same scan-all."""
ROUNDS_SHARE = 3
"""Every third request goes on with the round over everything, however much has changed lately."""
LEAST_KEPT = timedelta(days=1)
"""No `keep` is shorter: what claims to have been forgotten earlier was so by a clock that was ahead."""
NEWEST = 0
"""In place of a page's number: the artifacts pushed last, where no pull is counted."""

NOT_ALLOWED = Trouble("sweep.not_allowed", "sweep.still_not_allowed", "sweep.allowed", WARNING)
REQUEST_FAILED = Trouble("sweep.request_failed", "sweep.request_failing", "sweep.request_recovered", WARNING)
LOOK_FAILED = Trouble("sweep.look_failed", "sweep.look_failing", "sweep.look_recovered", WARNING)

_log = Log(__name__)
_T = TypeVar("_T")


def budget_left(place: SweepPlace | None, config: Config, now: datetime) -> float:
    """How many requests may be made at once; below 0 what is owed. None are left before it has begun, or while off."""
    if place is None or not config.is_swept:
        return 0.0
    return min(now - place.paid_until, SAVED_UP) / (timedelta(hours=1) / config.schedule.sweep_requests)


class _Found(msgspec.Struct):
    """What a page of artifacts holds: `seen` needs no telling, `noticed` is to be looked at later."""

    news: list[tuple[NoticedScan, Artifact, Result]] = msgspec.field(default_factory=list)
    seen: list[ReportFact] = msgspec.field(default_factory=list)
    noticed: list[NoticedScan] = msgspec.field(default_factory=list)


class Sweep:
    """Goes on where it was, a request at a time."""

    def __init__(
        self,
        harbor: Harbor,
        store: Store,
        reporter: Reporter,
        sight: Sight,
        config: Config,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._harbor = harbor
        self._store = store
        self._reporter = reporter
        self._sight = sight
        self._projects = frozenset(config.harbor.projects)
        self._every = timedelta(seconds=config.schedule.sweep) if config.schedule.sweep else None
        self._price = timedelta(hours=1) / config.schedule.sweep_requests
        self._is_on = config.is_swept
        self._is_stopping = is_stopping
        self._refused: set[str] = set()  # projects whose artifacts the account may not list
        self._troubles = Troubles()
        self._charged = 0  # of the requests that were spent on what is new in results

    def go_on(self, now: datetime, *, most: int | None = None) -> int:
        """Spend what the budget allows by now, on `most` steps. Returns how many outcomes were new."""
        if not self._is_on:
            return 0
        place = self._charge(self._store.sweep() or self._begin(now), now)
        new = steps = 0
        while place.paid_until <= now and steps != most and not self._is_stopping():
            steps += 1
            paid = replace(place, paid_until=place.paid_until + self._price)
            step = self._step(paid, now)
            if step is None:
                break
            place, found = step
            new += found
        self._charge(place, now)
        return new

    def _charge(self, place: SweepPlace, now: datetime) -> SweepPlace:
        """Beyond one request for each scan there is one budget: naming findings is paid from it, too."""
        owed = self._reporter.comparer.allowance.spent - self._charged
        self._charged += owed
        paid_until = max(place.paid_until, now - SAVED_UP) + owed * self._price
        place = replace(place, paid_until=min(paid_until, now + SAVED_UP))
        return self._save(place, now) if owed else place

    def _begin(self, now: datetime) -> SweepPlace:
        """What ended before the first run is the baseline; of a Harbor that is known for long, what ended by now."""
        clock = self._harbor.server().clock or now
        first_run = min((cursor.created_at for cursor in self._store.cursors().values()), default=now)
        is_new = timedelta(0) <= now - first_run <= JUST_BEGUN
        baseline = clock - (now - first_run if is_new else timedelta(0))
        place = SweepPlace(baseline, now, looked_at=now, changed_since=now, round_began_at=now)
        return self._save(place, now)

    def _step(self, place: SweepPlace, now: datetime) -> tuple[SweepPlace, int] | None:
        """One request, and what it brought; None when there is nothing to do now."""
        place = replace(place, steps=place.steps + 1)
        if place.steps % ROUNDS_SHARE == 0:
            return self._step_of_round(place, now) or self._step_of_changes(place, now)
        return self._step_of_changes(place, now) or self._step_of_round(place, now)

    def _step_of_changes(self, place: SweepPlace, now: datetime) -> tuple[SweepPlace, int] | None:
        if place.changed:
            return self._read(place, place.changed, now, pulled_since=place.changed_since)
        return self._look_for_changes(place, now) if self._is_time_to_look(place, now) else None

    def _step_of_round(self, place: SweepPlace, now: datetime) -> tuple[SweepPlace, int] | None:
        return self._read(place, place.ahead, now) if place.ahead else self._go_ahead(place, now)

    # -- what changed lately -------------------------------------------------------------------------

    def _is_time_to_look(self, place: SweepPlace, now: datetime) -> bool:
        assert self._every is not None
        passed = now - place.looked_at
        if passed >= self._every or passed < timedelta(0):
            return True
        if passed < LOOK_AGAIN * (1 << min(place.looks_in_vain, 10)):
            return False
        return self._has_unexplained(place.looked_at, now)

    def _has_unexplained(self, since: datetime, now: datetime) -> bool:
        """Whether scans have ended since then, and no row says of what."""
        unexplained = self._store.unexplained_scans(since=since - UNEXPLAINED)
        return any(scan.ended_at is not None and scan.ended_at <= now - UNEXPLAINED for scan in unexplained)

    def _look_for_changes(self, place: SweepPlace, now: datetime) -> tuple[SweepPlace, int]:
        since, names, learnt = place.looked_at - BEGAN_BEFORE, list[str](), Changes()
        for page in range(1, MOST_CHANGED // PAGE + 1):
            found = self._changed_repositories(since, page)
            if found is None:
                return self._save(place, now), 0  # to be asked again
            learnt += _dates_of(found)
            names += (each.name for each in found)
            if len(found) < PAGE:
                break
            place = replace(place, paid_until=place.paid_until + self._price)
        changed = tuple((name, 1) for name in dict.fromkeys(names) if self._is_wanted(name))
        in_vain = place.looks_in_vain + 1 if self._has_unexplained(place.looked_at, now) else 0
        looked = replace(place, looked_at=now, changed_since=since, changed=changed, looks_in_vain=in_vain)
        return self._save(looked, now, learnt), 0

    def _changed_repositories(self, since: datetime, page: int) -> tuple[RepositoryFacts, ...] | None:
        return self._asked(lambda: self._harbor.repositories_changed(since, page))

    # -- the slow round over everything --------------------------------------------------------------

    def _go_ahead(self, place: SweepPlace, now: datetime) -> tuple[SweepPlace, int] | None:
        if place.repository_id == 0 and place.round_before_at is not None and not self._is_round_due(place, now):
            return None
        found = self._asked(lambda: self._harbor.repositories_after(place.repository_id, REPOSITORIES_AHEAD))
        if found is None:
            return self._save(place, now), 0
        if not found:
            ended = replace(place, repository_id=0, round_before_at=place.round_began_at)
            _log.debug("sweep.round_ended", began_at=place.round_began_at)
            return self._save(ended, now), 0
        if place.repository_id == 0:
            self._refused.clear()
        began = now if place.repository_id == 0 else place.round_began_at
        ahead = tuple((each.name, 1) for each in found if self._is_wanted(each.name))
        following = replace(place, repository_id=found[-1].id, round_began_at=began, ahead=ahead)
        return self._save(following, now, _dates_of(found)), 0

    def _is_round_due(self, place: SweepPlace, now: datetime) -> bool:
        """At once, too, while scans end of which a look at what has changed does not say more."""
        assert self._every is not None
        if not timedelta(0) <= now - place.round_began_at < self._every:
            return True
        return place.looks_in_vain > 1 and self._has_unexplained(place.round_began_at, now)

    def _is_wanted(self, repository: str) -> bool:
        project = repository.partition("/")[0]
        return (not self._projects or project in self._projects) and project not in self._refused

    # -- a page of artifacts ---------------------------------------------------------------------------

    def _read(
        self,
        place: SweepPlace,
        pages: tuple[tuple[str, int], ...],
        now: datetime,
        pulled_since: datetime | None = None,
    ) -> tuple[SweepPlace, int]:
        """Read the first of the pages that wait; what it leaves to be read comes first again."""
        (repository, page), *rest = pages
        since = pulled_since if page != NEWEST else None
        artifacts = self._artifacts(repository, max(page, 1), since)
        following = _following(page, artifacts, is_filtered=since is not None)
        again = ((repository, following),) if following is not None else ()
        waiting = (*again, *((name, number) for name, number in rest if self._is_wanted(name)))
        place = replace(place, changed=waiting) if pulled_since else replace(place, ahead=waiting)
        found = self._examine(repository, artifacts or (), place, now)
        self._heed_hidden(repository, artifacts or (), now)
        new = sum(self._tell(scan, artifact, result, now) for scan, artifact, result in found.news)
        if any(not scan.is_of_sweep for scan, _, _ in found.news):
            place = replace(place, looks_in_vain=0)
        learnt = taught_by(repository, artifacts or ()) + Changes(reports=tuple(found.seen))
        return self._save(place, now, learnt, found.noticed), new

    def _artifacts(self, repository: str, page: int, since: datetime | None) -> tuple[Artifact, ...] | None:
        project = repository.partition("/")[0]

        def ask() -> tuple[Artifact, ...]:
            try:
                found = self._harbor.artifacts_scanned(repository, page=page, pulled_since=since)
            except NotAllowed as error:
                self._refused.add(project)
                remedy = f"grant artifact: list on the project {project}"
                self._troubles.failed(NOT_ALLOWED.of(project=project), error, remedy=remedy)
                return ()
            self._troubles.went_well(NOT_ALLOWED.of(project=project))
            return found

        return self._asked(ask)

    def _examine(self, repository: str, artifacts: Sequence[Artifact], place: SweepPlace, now: datetime) -> _Found:
        images = [each for each in artifacts if not each.references]  # an index's overview only sums up
        digests = [each.digest for each in images]
        is_unreadable = repository.partition("/")[0] in self._reporter.unreadable  # only here it can be told then
        known, busy = self._store.reports(digests), frozenset() if is_unreadable else self._store.open_scans(digests)
        baseline = max(place.baseline_at, self._horizon(now))
        found = _Found()
        for artifact in images:
            is_busy = artifact.digest in busy
            for result in scans.results(artifact):
                if result.is_sbom:
                    continue
                report = next(iter(result.overview.values()))
                fact = comparison.fact(artifact.digest, report, result.ended_at, now)
                before = known.get((fact.digest, fact.scanner))
                if not _is_news(fact, before, baseline):
                    found.seen.append(_kept(fact, before))
                elif not is_busy:  # otherwise the log tells it
                    self._sort(repository, artifact, result, now, found)
        return found

    def _heed_hidden(self, repository: str, artifacts: Sequence[Artifact], now: datetime) -> None:
        """Harbor shows no result at all while a scanner cannot be reached, or after it was changed for another."""
        project = repository.partition("/")[0]
        lasting = [gap for gap in self._sight.open if gap.reason is Reason.SCANNER_OFF]
        if any(each.scan_overview for each in artifacts):
            self._sight.end([gap for gap in lasting if gap.source == f"{RESULTS}/{project}"], now)
        elif len(artifacts) >= FEW_HIDDEN:
            known = {digest for digest, _ in self._store.reports([each.digest for each in artifacts])}
            if len(known) >= FEW_HIDDEN:
                self._sight.begin([Gap(f"{RESULTS}/{project}", Reason.SCANNER_OFF, now)], now)

    def _horizon(self, now: datetime) -> datetime:
        """What ended before may have been told and forgotten."""
        return min(self._store.pruned_before() or LONG_AGO, now - LEAST_KEPT)

    def _sort(self, repository: str, artifact: Artifact, result: Result, now: datetime, found: _Found) -> None:
        """What is new is told, unless the log may still tell it better."""
        scan = self._explained(repository, artifact, result, {each.robot for each, _, _ in found.news})
        if scan is None and now - result.ended_at < FRESH:
            found.noticed.append(_noticed(repository, artifact, now, result))
        else:
            found.news.append((scan or _noticed(repository, artifact, now, result), artifact, result))

    def _tell(self, scan: NoticedScan, artifact: Artifact, result: Result, now: datetime) -> int:
        done = replace(scan, outcome=Outcome.TOLD, look_at=now)
        try:
            new = self._reporter.report(done, result, artifact, now, patience=PAGES_APART * self._price)
        except PollerError as error:  # the next round meets it again
            self._troubles.failed(LOOK_FAILED, error, repository=scan.repository)
            return 0
        self._troubles.went_well(LOOK_FAILED)
        return new

    def _explained(
        self, repository: str, artifact: Artifact, result: Result, taken: Collection[str]
    ) -> NoticedScan | None:
        """The scan whose robot told of it, though not enough to find the result; who asked for it may be known."""
        for scan in self._store.rivals(artifact.digest):
            if scan.repository == repository and not scan.is_of_sweep and scans.is_of(scan, result):
                return scan
        ends = [
            (abs(scan.ended_at - result.ended_at), scan)
            for scan in self._store.unexplained_scans(since=result.ended_at - scans.SAME_END)
            if scan.ended_at is not None and scan.robot not in taken
        ]
        own = [each for each in ends if scans.is_robot_of(each[1].robot, repository.partition("/")[0])]
        gap, nearest = min(own, key=lambda each: each[0], default=(timedelta.max, None))
        if nearest is None or gap > scans.SAME_END:
            return None
        return replace(nearest, repository=repository, digest=artifact.digest, started_at=result.began_at)

    # -- asking and keeping ----------------------------------------------------------------------------

    def _save(
        self,
        place: SweepPlace,
        now: datetime,
        learnt: Changes | None = None,
        noticed: Sequence[NoticedScan] = (),
    ) -> SweepPlace:
        self._store.record((), now=now, learnt=learnt, scans=noticed, place=place)
        return place

    def _asked(self, question: Callable[[], tuple[_T, ...]]) -> tuple[_T, ...] | None:
        """The answer; None for none, which costs as much. What it would have shown is met again in the next round."""
        try:
            answer = question()
        except PollerError as error:
            self._troubles.failed(REQUEST_FAILED, error)
            return None
        self._troubles.went_well(REQUEST_FAILED)
        return answer


def _is_news(fact: ReportFact, before: ReportFact | None, baseline_at: datetime) -> bool:
    """Whether a result was not seen before. A scanner that was chosen again shows what it found long ago.

    `baseline_at`: what ended before and is not remembered was there at the first round, or may have been forgotten.
    """
    if before is None:
        return fact.ended_at > baseline_at
    return before.report_id != fact.report_id and fact.ended_at > before.ended_at


def _kept(fact: ReportFact, before: ReportFact | None) -> ReportFact:
    """What is remembered of a result that is no news."""
    return replace(before, seen_at=fact.seen_at) if before is not None else fact


def _dates_of(repositories: Sequence[RepositoryFacts]) -> Changes:
    """A list of repositories saves looking up each for its date."""
    facts = (RepositoryFact(each.name, each.created_at) for each in repositories if each.created_at is not None)
    return Changes(repositories=tuple(facts))


def _following(page: int, artifacts: tuple[Artifact, ...] | None, *, is_filtered: bool) -> int | None:
    """The page to be read next of the same repository, if there is one."""
    if artifacts is None or page == NEWEST:
        return None
    if is_filtered and page == 1 and not artifacts:
        return NEWEST
    return page + 1 if len(artifacts) == SCANS_PAGE else None


def _noticed(repository: str, artifact: Artifact, now: datetime, result: Result) -> NoticedScan:
    """A scan that no robot told of. Its name stands for a robot's: the report is that of one scan."""
    report = next(iter(result.overview.values()))
    return NoticedScan(
        robot=f"{SWEEP}{report.get('report_id')} {artifact.digest[:19]} {repository}",
        repository=repository,
        digest=artifact.digest,
        started_at=result.began_at,
        ended_at=result.ended_at,
        look_at=now + FRESH,
    )
