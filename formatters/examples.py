"""One telling event of every type, for `preview` and the golden files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poller.events import Event, EventType, Repository, Scan, Source

_MIME_TYPE = "application/vnd.security.vulnerability.report; version=1.1"
_TRIVY = {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.58.0"}
_COUNTS = {"Low": 21, "Critical": 2, "Medium": 14, "High": 5, "Unknown": 1}


def examples() -> tuple[Event, ...]:
    """In the order of `EventType`."""
    return tuple(Event.example(type=kind, **_FACTS.get(kind, {})) for kind in EventType)


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
}
