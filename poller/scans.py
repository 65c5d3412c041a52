"""Scans, found through the audit log: a scanner's throw-away robot pulls what it scans, and is deleted at the end.

Pure: what rows tell of scans, when to look at the result, and the event that Harbor's webhook would have been.
Before Harbor 2.12 robots leave no rows; there the running scan is looked at again until it has ended.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from poller import versions
from poller.events import SBOM, Event, EventType, Repository, Scan, Source
from poller.knowledge import ROBOT_LIVES
from poller.normalize import Entry
from poller.rows import Artifact, parse_time
from state import NoticedScan, Outcome

_UUID1 = r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_ROBOT = re.compile(rf"^(?:(?P<head>.+\+.+)-|robot\$)(?P<uuid>{_UUID1})$")
_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)  # where the clock of a version-1 UUID begins

CLOCKS_DIFFER = timedelta(minutes=10)

FIRST_LOOK = timedelta(seconds=5)
SOON_AFTER = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WHILE_HIDDEN = timedelta(hours=1)
WITHOUT_END = timedelta(minutes=5)
"""On 2.12+ the robot's deletion tells the end; a scan of which that is not seen is looked at after so long."""
FEWEST_LOOKS = 8
GIVE_UP = timedelta(hours=6)
NEVER_RAN = timedelta(hours=1)
"""After so long without an end, what no overview shows to be running is no scan that can be found."""
GIVE_UP_AFTER_END = timedelta(minutes=10)
NOT_ALLOWED_FOR = timedelta(days=7)

SAME_START = timedelta(seconds=30)
"""The scanner pulls after its job has begun; a report that began later is that of another scan."""

SAME_END = timedelta(seconds=10)
JUST_ENDED = timedelta(seconds=2)
"""The robot is deleted within a second of the scan's end; what ends later is another scan's."""

_TYPES = {
    "Success": EventType.SCANNING_COMPLETED,
    "Stopped": EventType.SCANNING_STOPPED,
    "Error": EventType.SCANNING_FAILED,
}
ROBOT_TYPES = frozenset({EventType.ROBOT_CREATED, EventType.ROBOT_DELETED})
SCANNERS_DO = frozenset({EventType.PULL_ARTIFACT, EventType.PUSH_ARTIFACT})
"""A scanner pulls what it scans; one that lists materials pushes the list."""

_NAMES_IN_MIND = 1000
"""Most rows are by the same few operators."""

_NEVER = datetime(2, 1, 1, tzinfo=UTC)  # Harbor's "no time" is the year 1
AUTO, JOBSERVICE = "auto", "harbor-jobservice"
_DISMISS_SCANNERS = ("", JOBSERVICE)  # 2.12.0 names nobody
_MOST_REPOSITORIES = 10_000
_UNENDED = frozenset({"Running", "Pending"})


def is_scanner(name: str, project: str, at: datetime) -> bool:
    """Whether a user name is that of a scanner's robot at work in a project.

    Prefix and scanner name differ from site to site (before 2.8 there was no prefix). Certain are the project,
    and the version-1 UUID at the end, which holds the moment of its making.
    """
    return looks_like_scanner(name, at) and is_robot_of(name, project)


def looks_like_scanner(robot: str, at: datetime) -> bool:
    """The same of a robot's own row, which names no other project than the robot's."""
    made_at = asked_at(robot)
    return made_at is not None and -CLOCKS_DIFFER <= at - made_at <= ROBOT_LIVES


@lru_cache(_NAMES_IN_MIND)
def asked_at(robot: str) -> datetime | None:
    """When the scan was asked for, of which this is the robot: its UUID says so, however long the scan had to queue."""
    match = _ROBOT.match(robot)
    return _GREGORIAN + timedelta(microseconds=UUID(match["uuid"]).time // 10) if match else None


@lru_cache(_NAMES_IN_MIND)
def is_robot_of(robot: str, project: str) -> bool:
    """Whether a scanner's robot works in that project. Sites choose what stands before it, a plus sign perhaps."""
    match = _ROBOT.match(robot)
    if match is None:
        return False
    head = match["head"]
    if head is None:  # before 2.2 names told no project
        return True
    return any(head[:plus].endswith(project) for plus in range(len(head)) if head[plus] == "+")


def project_of_robot(robot: str) -> str | None:
    """The project that a robot's name says: it stands between a prefix that sites choose and the plus sign."""
    head, plus, _ = robot.partition("+")
    return head.rpartition("$")[2] if plus else None


def robot_at_work(event: Event) -> str | None:
    """The scanner's robot that did this, going by its name: a pull or push by digest, or its own coming and going.

    A person's robot may have such a name, too. That shows later: by who deletes it, or by a scan that never was.
    """
    at = event.occurred_at
    if event.type in ROBOT_TYPES:
        is_dismissed = event.type is not EventType.ROBOT_DELETED or event.operator in _DISMISS_SCANNERS
        return event.subject if is_dismissed and looks_like_scanner(event.subject, at) else None
    if event.type not in SCANNERS_DO or event.repository is None or event.tag is not None:
        return None
    return event.operator if is_scanner(event.operator, event.repository.namespace, at) else None


def noticed(entries: Iterable[Entry], now: datetime, look_after: Callable[[str], timedelta]) -> list[NoticedScan]:
    """What these rows tell of scans, in their order.

    `look_after`: how long a scan in a repository is let alone without an end.

    Rows have Harbor's time; when to look is a matter of ours, or a clock that is ahead would make results late.
    """
    return [scan for entry in entries if (scan := _noticed(entry, now, look_after)) is not None]


class Durations:
    """How long scans lately took, all in all and in each repository: up to 2.11 no row tells when one has ended."""

    def __init__(self) -> None:
        self._all: deque[timedelta] = deque(maxlen=50)
        self._in: dict[str, deque[timedelta]] = {}

    def add(self, repository: str, duration: timedelta) -> None:
        self._all.append(duration)
        if len(self._in) >= _MOST_REPOSITORIES:
            self._in.clear()
        self._in.setdefault(repository, deque(maxlen=5)).append(duration)

    def __bool__(self) -> bool:
        return bool(self._all)

    def look_after(self, repository: str = "") -> timedelta:
        """When a scan has probably ended: a quarter after the longest of the last five there, or 19 of 20 anywhere."""
        if not self._all:
            return FIRST_LOOK
        usual = sorted(self._all)[(19 * len(self._all) + 19) // 20 - 1]
        here = max(self._in.get(repository, (usual,))) * 5 / 4
        return min(max(min(here, usual) + SOON_AFTER, FIRST_LOOK), LONGEST_PAUSE)


def _noticed(entry: Entry, now: datetime, look_after: Callable[[str], timedelta]) -> NoticedScan | None:
    row, at = entry.row, entry.row.op_time
    match entry.type:
        case EventType.PULL_ARTIFACT if entry.digest and not entry.tag and is_scanner(row.username, entry.project, at):
            look_at = min(at, now) + look_after(entry.repository or "")
            return NoticedScan(row.username, entry.repository, entry.digest, started_at=at, look_at=look_at)
        case EventType.PUSH_ARTIFACT if entry.digest and not entry.tag and is_scanner(row.username, entry.project, at):
            return NoticedScan(row.username, list_digest=entry.digest, look_at=min(at, now))
        case EventType.ROBOT_CREATED if looks_like_scanner(entry.subject, at):
            return NoticedScan(entry.subject, asked_by=row.username or None, look_at=min(at, now))
        case EventType.ROBOT_DELETED if looks_like_scanner(entry.subject, at):
            outcome = Outcome.RUNNING if row.username in _DISMISS_SCANNERS else Outcome.NO_SCAN
            return NoticedScan(entry.subject, ended_at=at, look_at=min(at, now), outcome=outcome)
    return None


def next_look(scan: NoticedScan, now: datetime, first: timedelta, *, is_hidden: bool = False) -> datetime:
    """When to look again at a scan without a result: after `first`, then twice as long, and so on up to 5 min.

    `is_hidden`: Harbor shows no overview at all, as while it cannot reach the scanner; then up to an hour.
    """
    longest = LONGEST_WHILE_HIDDEN if is_hidden else LONGEST_PAUSE
    return now + min(first * (1 << min(scan.looks, 10)), longest)


class Result(msgspec.Struct, frozen=True):
    """The outcome of a scan, as an artifact's overview has it. `overview` as in `Scan`."""

    type: EventType
    began_at: datetime | None
    ended_at: datetime
    overview: Mapping[str, Mapping[str, Any]]
    is_sbom: bool = False
    is_timeless: bool = False  # Harbor says no times of it; `ended_at` is that of the robot


class Verdict(msgspec.Struct, frozen=True):
    """What a look at the artifact says of a scan. `result` only where it is told."""

    outcome: Outcome
    result: Result | None = None


def judge(scan: NoticedScan, artifact: Artifact, news: Collection[Result], now: datetime) -> Verdict:
    """Whether the artifact's overview is the result of this scan. `news`: the results that nobody was told of yet."""
    fitting = [result for result in news if is_of(scan, result) and not result.is_timeless]
    if fitting:  # a scan and an SBOM run of the same artifact may end together
        return Verdict(Outcome.TOLD, min(fitting, key=lambda result: _distances(scan, result, now)))
    scanned = [result for result in results(artifact) if not result.is_sbom]
    if timeless := [result for result in news if result.is_timeless]:  # not at once: its own result may be hidden
        return Verdict(Outcome.TOLD, timeless[0]) if scan.looks else Verdict(Outcome.RUNNING)
    if any(_is_later(scan, result) for result in scanned):
        return Verdict(Outcome.OVERWRITTEN)
    if any(is_of(scan, result) for result in scanned):  # the sweep was there first, or it is another scan's
        return Verdict(Outcome.TOLD if any(_is_own(scan, result) for result in scanned) else Outcome.OVERWRITTEN)
    return Verdict(Outcome.GIVEN_UP if is_lost(scan, artifact, now) else Outcome.RUNNING)


def _is_own(scan: NoticedScan, result: Result) -> bool:
    """Whether it is certain that a known result is that of this scan."""
    return scan.is_of_sweep or (scan.ended_at is not None and abs(scan.ended_at - result.ended_at) <= JUST_ENDED)


def _distances(scan: NoticedScan, result: Result, now: datetime) -> tuple[timedelta, timedelta]:
    """How far a result is from the scan, by its end and by its beginning."""
    began_at, started_at = result.began_at or result.ended_at, scan.started_at or result.ended_at
    return abs(result.ended_at - (scan.ended_at or now)), abs(began_at - started_at)


def doubted(verdict: Verdict, scan: NoticedScan, artifact: Artifact, now: datetime, *, has_end_rows: bool) -> Verdict:
    """The verdict on a robot without a result and an end, unless it was no scanner's robot at all.

    `has_end_rows`: whether the log tells ends.
    """
    if verdict.outcome is Outcome.OVERWRITTEN and has_end_rows:  # the end of this one would have been logged
        verdict = Verdict(Outcome.GIVEN_UP if is_lost(scan, artifact, now) else Outcome.RUNNING)
    is_doubtful = verdict.outcome is Outcome.GIVEN_UP and not _was_scanned(artifact)
    return Verdict(Outcome.NO_SCAN) if is_doubtful else verdict


def _was_scanned(artifact: Artifact) -> bool:
    """Whether the overviews show a scan without its end: one that hangs, or whose times Harbor has cleaned away."""
    return is_unended(artifact) or any(
        str(report.get("scan_status")) in ("Error", "Stopped") and parse_time(report.get("end_time")) is None
        for report in _reports(artifact)
    )


def is_unended(artifact: Artifact) -> bool:
    """Whether the overviews show that the artifact is being scanned, or its contents listed."""
    return any(str(report.get("scan_status")) in _UNENDED for report in _reports(artifact))


def _reports(artifact: Artifact) -> list[Mapping[str, Any]]:
    return [*(artifact.scan_overview or {}).values(), artifact.sbom_overview or {}]


def candidates(scan: NoticedScan, artifact: Artifact) -> list[Result]:
    """What could be the result of this scan."""
    timeless = _failed_sbom(scan, artifact)
    return [*results(artifact), *([timeless] if timeless else [])]


def results(artifact: Artifact) -> list[Result]:
    """What has ended, as far as the overviews show. An Error with zero times is a swept task, no failure."""
    found = [_result({mime: report}) for mime, report in (artifact.scan_overview or {}).items()]
    found.append(_result({SBOM: artifact.sbom_overview}) if artifact.sbom_overview else None)
    return [result for result in found if result is not None]


def _failed_sbom(scan: NoticedScan, artifact: Artifact) -> Result | None:
    """Harbor keeps no times of an SBOM run that failed or was stopped: its robot's end is the time."""
    overview = artifact.sbom_overview or {}
    kind = _TYPES.get(str(overview.get("scan_status")))
    if scan.ended_at is None or scan.is_guess or kind in (None, EventType.SCANNING_COMPLETED):
        return None
    return Result(kind, None, scan.ended_at, {SBOM: overview}, is_sbom=True, is_timeless=True)


def _result(overview: Mapping[str, Mapping[str, Any]]) -> Result | None:
    name, report = next(iter(overview.items()))
    kind, ended = _TYPES.get(str(report.get("scan_status"))), parse_time(report.get("end_time"))
    if kind is None or ended is None or ended < _NEVER:
        return None
    is_sbom = name == SBOM
    shown = report if is_sbom else webhook_report(report)
    return Result(kind, parse_time(report.get("start_time")), ended, {name: shown}, is_sbom)


def is_of(scan: NoticedScan, result: Result) -> bool:
    """Whether the result may be that of the scan, by their times."""
    if _is_later(scan, result):
        return False
    if scan.ended_at is not None and result.ended_at < scan.ended_at - SAME_END:
        return False
    return scan.started_at is None or result.ended_at + timedelta(seconds=1) >= scan.started_at


def _is_later(scan: NoticedScan, result: Result) -> bool:
    """Whether it belongs to a scan that came after this one."""
    if scan.ended_at is not None and result.ended_at > scan.ended_at + JUST_ENDED:
        return True
    if scan.started_at is None or result.began_at is None:
        return False
    return result.began_at > scan.started_at + SAME_START


def is_anothers(scan: NoticedScan, result: Result, rivals: Iterable[NoticedScan]) -> bool:
    """Whether another scan of the same artifact fits the result better: of two in quick succession one is lost."""
    own = _distance(scan, result)
    alike = [each for each in rivals if (each.ended_at is None) is (scan.ended_at is None)]
    others = [gap for rival in alike if (gap := _distance(rival, result)) is not None]
    return own is not None and any(gap < own for gap in others)


def _distance(scan: NoticedScan, result: Result) -> timedelta | None:
    """How far apart their ends are, or, where no row tells the end, their beginnings."""
    if scan.ended_at is not None:
        return abs(scan.ended_at - result.ended_at)
    if scan.started_at is None or result.began_at is None:
        return None
    return abs(scan.started_at - result.began_at)


def is_lost(scan: NoticedScan, artifact: Artifact, now: datetime) -> bool:
    """Whether it is pointless to look again. Overviews may be hidden for a while, so one look never decides."""
    if scan.looks < FEWEST_LOOKS:
        return False
    if scan.ended_at is not None:
        return now - scan.ended_at > (GIVE_UP_AFTER_END if artifact.scan_overview else GIVE_UP)
    is_running = is_unended(artifact)
    return scan.started_at is not None and now - scan.started_at > (GIVE_UP if is_running else NEVER_RAN)


def is_long_ago(scan: NoticedScan, now: datetime) -> bool:
    """Whether a result that could not be asked for is of no interest any more."""
    last = scan.ended_at or scan.started_at
    return last is not None and now - last > NOT_ALLOWED_FOR


def webhook_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """The API leaves empty fields out; the webhook keeps them, and cuts zeros off its times."""
    answer: dict[str, Any] = {
        "report_id": report.get("report_id", ""),
        "scan_status": report.get("scan_status", ""),
        "severity": report.get("severity", ""),
        "duration": report.get("duration", 0),
        "summary": report.get("summary"),
        "start_time": _webhook_time(report.get("start_time")),
        "end_time": _webhook_time(report.get("end_time")),
        "complete_percent": report.get("complete_percent", 0),
    }
    if report.get("scanner"):
        answer["scanner"] = report["scanner"]
    return answer


def event(scan: NoticedScan, result: Result, digest: str, tag: str | None, facts: ScanFacts) -> Event:
    """The event of the webhook, with the overview also where the webhook lacks it."""
    assert scan.repository is not None
    kind = SBOM if result.is_sbom else "vulnerability"
    return Event(
        type=result.type,
        occurred_at=result.ended_at,
        operator=_operator(scan, facts),
        source=Source.SCAN,
        source_id=0,
        registry=facts.registry,
        repository=Repository(scan.repository, facts.is_public),
        tag=tag,
        digest=digest,
        scan=Scan(result.overview, kind if facts.is_since_2_11 else None),
    )


class ScanFacts(msgspec.Struct, frozen=True):
    """What the overview does not say. `pushed_by`: who pushed the artifact just before, for scans on push."""

    registry: str
    is_public: bool | None
    version: str | None
    pushed_by: str | None

    def _is_since(self, minor: int) -> bool:
        known = versions.parse(self.version)
        return known is None or known >= (2, minor, 0)

    @property
    def is_since_2_11(self) -> bool:
        return self._is_since(11)

    @property
    def is_since_2_9(self) -> bool:
        return self._is_since(9)


def is_unasked(scan: NoticedScan, facts: ScanFacts) -> bool:
    """Whether neither a person nor a push caused it: so it is one of a scan-all, or of a schedule."""
    return scan.asked_by is None and facts.pushed_by is None


def _operator(scan: NoticedScan, facts: ScanFacts) -> str:
    if not facts.is_since_2_9:
        return AUTO
    return scan.asked_by or facts.pushed_by or JOBSERVICE


def newest_tag(artifact: Artifact, at: datetime | None) -> str | None:
    """The tag that was pushed last before the scan began; an index's children have none."""
    tags = [tag for tag in artifact.tags if at is None or tag.push_time is None or tag.push_time <= at]
    return max(tags, key=lambda tag: tag.push_time or _NEVER).name if tags else None


def _webhook_time(said: object) -> str:
    """RFC 3339 without a fraction that is zero."""
    text = str(said or "0001-01-01T00:00:00Z")
    head, dot, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{head}{dot if fraction else ''}{fraction}Z"
