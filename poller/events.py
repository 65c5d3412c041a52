"""The vocabulary: what happened in Harbor, in the words of Harbor's own webhooks.

The shapes are those of Harbor's Default webhook payload; the facts behind them were read off
recorded webhooks of Harbor 2.8.6, 2.12.4 and 2.16-dev. This module imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import msgspec

_ROW_KEY = re.compile(r"(audit_log(?:_ext)?):(-?\d{1,19}):(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00)")
_ROW_IDS = range(-(2**63), 2**63)
"""What a database takes for one."""

ANONYMOUS = "anonymous"  # the audit log's word for a caller without a name; webhooks say ""


class EventType(StrEnum):
    """Harbor's webhook words first; below them what only the audit log tells, in words of our own."""

    PUSH_ARTIFACT = "PUSH_ARTIFACT"
    PULL_ARTIFACT = "PULL_ARTIFACT"
    DELETE_ARTIFACT = "DELETE_ARTIFACT"
    SCANNING_COMPLETED = "SCANNING_COMPLETED"
    SCANNING_STOPPED = "SCANNING_STOPPED"
    SCANNING_FAILED = "SCANNING_FAILED"

    TAG_CREATED = "TAG_CREATED"
    TAG_DELETED = "TAG_DELETED"
    REPOSITORY_DELETED = "REPOSITORY_DELETED"
    PROJECT_CREATED = "PROJECT_CREATED"
    PROJECT_UPDATED = "PROJECT_UPDATED"
    PROJECT_DELETED = "PROJECT_DELETED"
    ROBOT_CREATED = "ROBOT_CREATED"
    ROBOT_DELETED = "ROBOT_DELETED"
    USER_CREATED = "USER_CREATED"
    USER_UPDATED = "USER_UPDATED"
    USER_DELETED = "USER_DELETED"
    MEMBER_CREATED = "MEMBER_CREATED"
    MEMBER_UPDATED = "MEMBER_UPDATED"
    MEMBER_DELETED = "MEMBER_DELETED"
    LOGIN = "LOGIN"
    LOGIN_REFUSED = "LOGIN_REFUSED"
    LOGOUT = "LOGOUT"
    CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
    NOT_UNDERSTOOD = "NOT_UNDERSTOOD"

    COVERAGE = "COVERAGE"  # what this program cannot see, or could not: no row tells that
    DAILY = "DAILY"  # what it has seen in a day, for who asked for that


WEBHOOK_TYPES = frozenset(
    {
        EventType.PUSH_ARTIFACT,
        EventType.PULL_ARTIFACT,
        EventType.DELETE_ARTIFACT,
        EventType.SCANNING_COMPLETED,
        EventType.SCANNING_STOPPED,
        EventType.SCANNING_FAILED,
    }
)
"""What Harbor has a webhook for."""

OF_OURSELVES = frozenset({EventType.COVERAGE, EventType.DAILY})
"""What did not happen in Harbor, but here."""

USUAL_TYPES = WEBHOOK_TYPES | OF_OURSELVES
"""What is told unless `[events]` says otherwise."""

SCAN_TYPES = frozenset({EventType.SCANNING_COMPLETED, EventType.SCANNING_STOPPED, EventType.SCANNING_FAILED})

PROJECT_TYPES = frozenset({EventType.PROJECT_CREATED, EventType.PROJECT_UPDATED, EventType.PROJECT_DELETED})


class Source(StrEnum):
    """Where an event was found. The two audit tables number their rows independently, so ids collide."""

    OLD_LOG = "audit_log"  # /audit-logs, up to Harbor 2.12
    NEW_LOG = "audit_log_ext"  # /auditlog-exts, Harbor 2.13 and later
    SCAN = "scan"  # an artifact's scan overview
    WATCH = "watch"  # this program's own watch over what it can see


LOGS = (Source.NEW_LOG, Source.OLD_LOG)
"""Where rows are."""


class RowName(msgspec.Struct, frozen=True, gc=False):
    """What makes an audit row this one: its table, id and time.

    Ids collide between the two tables and come again after a restored database, so the time belongs to it; names do
    not, because Harbor rewrites them when a user is deleted (GDPR).
    """

    source: Source
    id: int
    op_time: datetime

    @property
    def key(self) -> str:
        """The same as text, to the millisecond."""
        time = self.op_time.astimezone(UTC).isoformat(timespec="milliseconds")
        return f"{self.source}:{self.id}:{time}"

    @classmethod
    def of_key(cls, key: str) -> Self | None:
        """None for what is no row's key."""
        found = _ROW_KEY.fullmatch(key)
        if found is None or int(found[2]) not in _ROW_IDS:
            return None
        try:
            return cls(Source(found[1]), int(found[2]), datetime.fromisoformat(found[3]))
        except ValueError:
            return None


class Repository(msgspec.Struct, frozen=True, gc=False):
    """A repository as webhooks describe it. None means: could not be found out."""

    full_name: str
    is_public: bool | None = None
    created_at: datetime | None = None

    @property
    def namespace(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        """Everything after the first slash."""
        return self.full_name.partition("/")[2]

    def to_webhook(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "repo_full_name": self.full_name,
        }
        if self.created_at is not None:
            answer["date_created"] = int(self.created_at.timestamp())
        if self.is_public is not None:
            answer["repo_type"] = "public" if self.is_public else "private"
        return answer


class Since(StrEnum):
    """What a scan's result is compared with."""

    SCAN = "scan"  # the image's own result before
    IMAGE = "image"  # the result of the image that the tag pointed at before


class Change(msgspec.Struct, frozen=True):
    """What a result has that an earlier one had not, and the other way round: {severity: how many}.

    Counted one by one where the findings of both are known, otherwise the difference of the counts.
    """

    since: Since
    new: Mapping[str, int]
    fixed: Mapping[str, int]


class Finding(msgspec.Struct, frozen=True):
    """A vulnerability in a package. `fix_version` is empty where there is no fix."""

    id: str
    severity: str
    package: str = ""
    version: str = ""
    fix_version: str = ""


class Index(msgspec.Struct, frozen=True):
    """The image of several platforms that a scanned artifact is one of. `platform`: such as `linux/arm64`."""

    digest: str
    tag: str | None
    platform: str


SBOM = "sbom"


class Scan(msgspec.Struct, frozen=True):
    """A scan's outcome. `overview` is the webhook's `scan_overview`: {mime type: report summary}.

    Of an SBOM run (`scan_type` "sbom") the overview is `{"sbom": Harbor's sbom_overview}`. What follows the scan
    type is not in the webhook: how the result compares, and what people are to know of it.
    """

    overview: Mapping[str, Mapping[str, Any]]
    scan_type: str | None = "vulnerability"  # the webhook has it since Harbor 2.11
    index: Index | None = None
    changes: tuple[Change, ...] = ()
    named: tuple[Finding, ...] = ()  # critical and high findings, worst first; only the first few
    unnamed: int = 0  # how many more there are
    are_new: bool = False  # whether those are new; otherwise only some of them may be
    unread: int = 0  # results of this image that were replaced before anybody could read them

    @property
    def report(self) -> Mapping[str, Any]:
        """The first report summary: report_id, scan_status, severity, duration (s), summary, scanner, times."""
        return next(iter(self.overview.values()), {})

    @property
    def is_sbom(self) -> bool:
        return self.scan_type == SBOM

    def to_webhook(self) -> dict[str, Any]:
        """What a webhook's resource says of it."""
        if self.is_sbom:
            return {"sbom_overview": dict(self.report)}
        return {"scan_overview": {mime: dict(report) for mime, report in self.overview.items()}}


class Reason(StrEnum):
    """Why something is not seen: the same word in the state, in `status`, in logs and in JSON."""

    ACCOUNT_REFUSED = "account refused"  # 401: expired, disabled, another secret
    NO_RIGHTS = "no rights"  # the whole log is closed to the account
    PROJECT_CLOSED = "project closed"  # the log of a project is
    LOG_OFF = "log off"  # Harbor writes no audit log
    PULLS_OFF = "pulls not logged"
    SCANNER_OFF = "scanner off"
    PURGED = "purged"  # Harbor deleted rows before they were read
    RESTORED = "restored"  # Harbor's database was put back
    HIDDEN = "hidden"  # rows were there and not shown to the account


PASSING = frozenset({Reason.ACCOUNT_REFUSED, Reason.NO_RIGHTS, Reason.PROJECT_CLOSED})
"""What was not seen meanwhile is read when these have ended."""


class Phase(StrEnum):
    """What there is to say of a gap: each is said once."""

    BEGAN = "began"
    ENDED = "ended"
    FOUND = "found"  # it is over when it is noticed


class Gap(msgspec.Struct, frozen=True):
    """A time of which something was not seen. `ended_at` None: it goes on.

    `source`: a log's name, or what of it is not seen ("pulls", "scans"). `rows`: how many are missing at most, where
    that can be known. `closed_at`: when all that happened in it was read after all. `noticed_at`, `told_at`: by us.
    """

    source: str
    reason: Reason
    began_at: datetime
    ended_at: datetime | None = None
    rows: int | None = None
    closed_at: datetime | None = None
    noticed_at: datetime | None = None
    told_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs: names and shapes stay as they are."""
        times = {"from": self.began_at, "to": self.ended_at, "closed": self.closed_at}
        said = {name: time.isoformat() if time else None for name, time in times.items()}
        return {"source": self.source, "reason": str(self.reason), **said, "rows": self.rows}

    @property
    def project(self) -> str:
        """That of a project's own log, else ""."""
        return self.source.partition("/")[2]


class CoverageNews(msgspec.Struct, frozen=True):
    """What an event of type COVERAGE tells: of several gaps that began, ended or were found together."""

    phase: Phase
    gaps: tuple[Gap, ...]

    def to_json(self) -> dict[str, Any]:
        return {"phase": str(self.phase), "gaps": [gap.to_json() for gap in self.gaps]}


class Day(msgspec.Struct, frozen=True):
    """What an event of type DAILY tells: what was seen from `since` to `until`, and what was not.

    `date`: the day's, which is told once. `read_until`: up to when Harbor was read. `counts`: of events, by type.
    `messages`: those that told them. `gaps`: what is missing. `waiting`: events that are late, the first of them since
    `waiting_since`.
    """

    date: str
    since: datetime
    until: datetime
    read_until: datetime
    counts: Mapping[str, int]
    messages: int = 0
    gaps: tuple[Gap, ...] = ()
    waiting: int = 0
    waiting_since: datetime | None = None

    @property
    def is_read(self) -> bool:
        """Whether Harbor was read to the end, or nearly so."""
        return self.until - self.read_until <= NEARLY

    @property
    def is_well(self) -> bool:
        return self.is_read and not self.gaps and not self.waiting

    def to_json(self) -> dict[str, Any]:
        """For programs: names and shapes stay as they are."""
        return {
            "date": self.date,
            "from": self.since.isoformat(),
            "to": self.until.isoformat(),
            "read_until": self.read_until.isoformat(),
            "events": dict(self.counts),
            "messages": self.messages,
            "gaps": [gap.to_json() for gap in self.gaps],
            "waiting": self.waiting,
            "waiting_since": self.waiting_since.isoformat() if self.waiting_since else None,
        }


NEARLY = timedelta(minutes=15)
"""So long ago the last poll may be, or something may wait, without being worth a word."""


class Event(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One thing that happened, with exactly the information of Harbor's webhook.

    `occurred_at` is UTC with the audit log's milliseconds. `source` and `source_id` say which row told it
    (a scan's `source_id` is 0). `subject` is what a row names that is no artifact: a robot, user, project.
    """

    type: EventType
    occurred_at: datetime
    operator: str
    source: Source
    source_id: int
    registry: str = ""  # host[:port] of the registry, without scheme
    repository: Repository | None = None
    tag: str | None = None
    digest: str | None = None
    subject: str = ""
    scan: Scan | None = None
    coverage: CoverageNews | None = None
    day: Day | None = None

    @cached_property
    def key(self) -> str:
        """What makes an event the same event, within one Harbor."""
        identity = self.identity
        return identity if isinstance(identity, str) else identity.key

    @property
    def identity(self) -> RowName | str:
        """The same, without making a text of what tells a row from others."""
        if self.scan is not None:
            return event_key(self.repository.full_name if self.repository else "", self.digest, self.scan)
        if self.coverage is not None:
            return coverage_key(self.coverage)
        if self.day is not None:
            return day_key(self.day.date)
        return RowName(self.source, self.source_id, self.occurred_at)

    @property
    def occur_at(self) -> int:
        """Epoch seconds, cut, as in the webhook."""
        return int(self.occurred_at.timestamp())

    @property
    def reference(self) -> str | None:
        """The tag, or the digest of what has no tag: Harbor puts that into the tag field."""
        return self.tag or self.digest

    @property
    def image_digests(self) -> list[str]:
        """Under which people know the image: its own, and that of the index that a scanned platform belongs to."""
        index = self.scan.index.digest if self.scan and self.scan.index else None
        return [digest for digest in (self.digest, index) if digest]

    @property
    def resource_url(self) -> str | None:
        if self.repository is None or not self.reference:
            return None
        mark = ":" if self.tag else "@"
        return f"{self.registry}/{self.repository.full_name}{mark}{self.reference}"

    def to_webhook(self) -> dict[str, Any]:
        """The JSON of Harbor's Default webhook payload for this event."""
        return {
            "type": str(self.type),
            "occur_at": self.occur_at,
            "operator": "" if self.operator == ANONYMOUS else self.operator,
            "event_data": self._event_data(),
        }

    def _event_data(self) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        if self.reference:
            answer["resources"] = [self._resource()]
        if self.repository is not None:
            answer["repository"] = self.repository.to_webhook()
        if self.scan is not None and self.scan.scan_type is not None:
            answer["scan"] = {"scan_type": self.scan.scan_type}
        if self.subject:
            answer["custom_attributes"] = {"resource": self.subject}
        if self.coverage is not None:
            answer["coverage"] = self.coverage.to_json()
        if self.day is not None:
            answer["daily"] = self.day.to_json()
        return answer

    def _resource(self) -> dict[str, Any]:
        is_scan = self.scan is not None  # scan webhooks leave the tag out where there is none
        tag = self.tag if is_scan else self.reference
        resource = {"digest": self.digest, "tag": tag, "resource_url": self.resource_url}
        answer: dict[str, Any] = {name: value for name, value in resource.items() if value}
        if self.scan is not None:
            answer |= self.scan.to_webhook()
        return answer

    @classmethod
    def example(cls, **changes: Any) -> Self:
        """A push of `team/app:1.27`, changed as asked: for `preview` and the tests."""
        facts: dict[str, Any] = {
            "type": EventType.PUSH_ARTIFACT,
            "occurred_at": datetime(2026, 11, 24, 12, 0, 0, 123000, UTC),
            "operator": "ann",
            "source": Source.NEW_LOG,
            "source_id": 1,
            "registry": "harbor.example.com",
            "repository": Repository("team/app", is_public=False, created_at=datetime(2026, 11, 1, tzinfo=UTC)),
            "tag": "1.27",
            "digest": "sha256:" + "50bd" * 16,
        }
        return cls(**(facts | changes))


def event_key(repository: str, digest: str | None, scan: Scan) -> str:
    """The identity of a scan's result within one Harbor: artifact, report and status."""
    report = scan.report
    said = report.get("report_id") or report.get("end_time")  # an SBOM run may have no id of its own
    kind = f"{SBOM}:" if scan.is_sbom else ""
    return f"{Source.SCAN}:{repository}@{digest}:{kind}{said}:{report.get('scan_status')}"


def coverage_key(news: CoverageNews) -> str:
    """The identity of what is said of gaps: what the first of them is, since when, and what became of it."""
    gap = news.gaps[0]
    return f"{Source.WATCH}:{gap.reason}:{gap.source}:{gap.began_at.astimezone(UTC).isoformat()}:{news.phase}"


def day_key(date: str) -> str:
    """The identity of what is told of a day, whoever tells it and however late."""
    return f"{Source.WATCH}:daily:{date}"
