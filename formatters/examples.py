"""One telling event of every type, and what more there is to tell of scans: for `preview` and the golden files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from formatters.coverage import coverage_message
from formatters.images import image_message
from formatters.mass import MassScan
from formatters.messages import message
from formatters.texts import Style
from poller.events import (
    SBOM,
    Change,
    CoverageNews,
    Day,
    Event,
    EventType,
    Finding,
    Gap,
    Index,
    Phase,
    Reason,
    Repository,
    Scan,
    Since,
    Source,
)
from poller.values import replace

_MIME_TYPE = "application/vnd.security.vulnerability.report; version=1.1"
_TRIVY = {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.58.0"}
_FOUND = (
    Finding("CVE-2026-1234", "Critical", "openssl", "3.0.1", "3.0.2"),
    Finding("CVE-2026-2071", "High", "zlib", "1.3", "1.3.1"),
    Finding("CVE-2026-3310", "High", "busybox", "1.36.1"),
)
_COUNTS = {"Low": 21, "Critical": 2, "Medium": 14, "High": 5, "Unknown": 1}


_PULLS_OFF = Gap("pulls", Reason.PULLS_OFF, datetime(2026, 11, 24, 11, 40, tzinfo=UTC))


_DAY = Day(
    date="2026-11-24",
    since=datetime(2026, 11, 23, 9, tzinfo=UTC),
    until=datetime(2026, 11, 24, 9, tzinfo=UTC),
    read_until=datetime(2026, 11, 24, 8, 59, 57, tzinfo=UTC),
    counts={"PUSH_ARTIFACT": 41, "PULL_ARTIFACT": 152, "DELETE_ARTIFACT": 2, "SCANNING_COMPLETED": 19},
    messages=37,
)


def examples() -> tuple[Event, ...]:
    """In the order of `EventType`."""
    return tuple(_example(kind) for kind in EventType)


def scan_examples(style: Style) -> tuple[tuple[str, str], ...]:
    """(name, message) of a scan that brings something new, of an index, of an SBOM and of a scan of everything."""
    return (
        ("scan.changes", message(_with_news(_example(EventType.SCANNING_COMPLETED)), style)),
        ("scan.index", image_message(_platforms(), style)),
        ("scan.sbom", message(_sbom(), style)),
        ("scan.mass", _mass_scan().message(style)),
    )


def coverage_examples(style: Style) -> tuple[str, ...]:
    """Everything that there is to say of what could not be seen, a line each."""
    began, ended = _PULLS_OFF.began_at, _PULLS_OFF.began_at + timedelta(hours=5)
    log = Gap(Source.NEW_LOG, Reason.PURGED, began, ended)
    sources = {Reason.PROJECT_CLOSED: f"{log.source}/team", Reason.SCANNER_OFF: "scans/team"}
    return tuple(
        coverage_message(
            CoverageNews(phase, (replace(log, reason=reason, source=sources.get(reason, log.source)),)), style
        )
        for phase, reason in style.texts.coverage
    )


def _example(kind: EventType) -> Event:
    return Event.example(type=kind, **_FACTS.get(kind, {}))


def _with_news(event: Event) -> Event:
    changes = (
        Change(Since.SCAN, {"High": 2, "Critical": 1}, {"Low": 5}),
        Change(Since.IMAGE, {}, {}),
    )
    return _knowing(event, changes=changes, named=_FOUND, are_new=True, unread=1)


def _knowing(event: Event, **facts: Any) -> Event:
    assert event.scan is not None
    return replace(event, scan=replace(event.scan, **facts))


def _platforms() -> tuple[Event, ...]:
    index = {
        platform: Index("sha256:" + "1d" * 32, "1.27", f"linux/{platform}") for platform in ("amd64", "arm64", "s390x")
    }
    completed = replace(_example(EventType.SCANNING_COMPLETED), tag=None)
    failed = replace(_example(EventType.SCANNING_FAILED), tag=None)
    changes = (Change(Since.SCAN, {"Critical": 1}, {"Low": 2}),)
    told = {"changes": changes, "named": _FOUND[:1], "are_new": True}
    return (
        _knowing(completed, index=index["amd64"], **told),
        _knowing(completed, index=index["arm64"], **told),
        _knowing(failed, index=index["s390x"]),
    )


def _sbom() -> Event:
    run = {
        "report_id": "",
        "scan_status": "Success",
        "duration": 6,
        "sbom_digest": "sha256:" + "5b" * 32,
        "scanner": _TRIVY,
    }
    return replace(_example(EventType.SCANNING_COMPLETED), scan=Scan({SBOM: run}, SBOM))


def _mass_scan() -> MassScan:
    """Of 1,200 images within twenty minutes: one of them has a new critical finding, one could not be scanned."""
    completed, failed = _example(EventType.SCANNING_COMPLETED), _example(EventType.SCANNING_FAILED)
    scan = MassScan()
    scan.add(_one_of_many(_with_news(completed), 0))
    scan.add(_one_of_many(failed, 1))
    for number in range(2, 1200):
        counts = {"High": number % 100 // 98, "Medium": number % 50 // 45, "Low": number % 10 // 7}
        scan.add(_one_of_many(replace(completed, scan=_result(counts)), number))
    return scan


def _one_of_many(event: Event, number: int) -> Event:
    repository = Repository(f"team/service-{number}")
    return replace(event, repository=repository, occurred_at=event.occurred_at + timedelta(seconds=number))


def _result(counts: Mapping[str, int]) -> Scan:
    found = {severity: number for severity, number in counts.items() if number}
    summary = {"total": sum(found.values()), "fixable": found.get("High", 0), "summary": found}
    report = {"scan_status": "Success", "severity": next(iter(found), "None"), "summary": summary}
    return Scan({_MIME_TYPE: report}, changes=(Change(Since.SCAN, {}, {}),))


def _scan(**facts: Any) -> dict[str, Any]:
    report = {"report_id": "b5c747be-6c81-4b0c-8bd6-fd61fe2de497", "severity": "", "summary": None} | facts
    return {"operator": "admin", "source": Source.SCAN, "source_id": 0, "scan": Scan({_MIME_TYPE: report})}


def _about(subject: str, operator: str = "admin") -> dict[str, Any]:
    nothing = {"repository": None, "tag": None, "digest": None}
    return nothing | {"subject": subject, "operator": operator}


_FACTS: Mapping[EventType, dict[str, Any]] = {
    EventType.PULL_ARTIFACT: {"operator": "robot$team+ci"},
    EventType.SCANNING_COMPLETED: _scan(
        scan_status="Success",
        severity="Critical",
        duration=12,
        summary={"total": 43, "fixable": 17, "summary": _COUNTS},
        scanner=_TRIVY,
    ),
    EventType.SCANNING_STOPPED: _scan(scan_status="Stopped", duration=4),
    EventType.SCANNING_FAILED: _scan(scan_status="Error", duration=3),
    EventType.TAG_CREATED: {"tag": "stable", "digest": None},
    EventType.TAG_DELETED: {"tag": "1.26", "digest": None},
    EventType.REPOSITORY_DELETED: {"repository": Repository("team/old-app"), "tag": None, "digest": None},
    EventType.PROJECT_CREATED: _about("team"),
    EventType.PROJECT_UPDATED: _about("team"),
    EventType.PROJECT_DELETED: _about("sandbox"),
    EventType.ROBOT_CREATED: _about("robot$team+ci"),
    EventType.ROBOT_DELETED: _about("robot$team+ci"),
    EventType.USER_CREATED: _about("ann"),
    EventType.USER_UPDATED: _about("ann"),
    EventType.USER_DELETED: _about("bob"),
    EventType.MEMBER_CREATED: _about("ann"),
    EventType.MEMBER_UPDATED: _about("ann"),
    EventType.MEMBER_DELETED: _about("bob"),
    EventType.LOGIN: _about("ann", operator="ann"),
    EventType.LOGIN_REFUSED: _about("mallory", operator="mallory"),
    EventType.LOGOUT: _about("ann", operator="ann"),
    EventType.CONFIGURATION_CHANGED: _about("configuration"),
    EventType.NOT_UNDERSTOOD: _about("anoint artifact team/app:1.27"),
    EventType.COVERAGE: _about("pulls not logged: pulls", operator="harbor-poller")
    | {"source": Source.WATCH, "source_id": 0, "coverage": CoverageNews(Phase.BEGAN, (_PULLS_OFF,))},
    EventType.DAILY: _about("2026-11-24", operator="harbor-poller")
    | {"source": Source.WATCH, "source_id": 0, "occurred_at": _DAY.until, "day": _DAY},
}
