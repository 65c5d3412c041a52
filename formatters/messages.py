"""One event, one message: a title line in bold, then one `*Label:* value` line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from formatters.coverage import coverage_message
from formatters.daily import daily_message
from formatters.lines import Line, composed
from formatters.markdown import ABSENT, bold, escape, shorten, visible
from formatters.news import news, news_lines
from formatters.portal import Portal
from formatters.scans import LONGEST_LEVEL, Report, image_of, is_sbom_run, report
from formatters.texts import EMOJI, Label, Style
from poller.events import Event, EventType


def message(event: Event, style: Style) -> str:
    """The event's message in MarkdownV2, within Telegram's limits whatever the event holds.

    Values are shown whole as long as that fits; if not, the longest are shortened, visibly.
    """
    if event.coverage is not None:
        return coverage_message(event.coverage, style)
    if event.day is not None:
        return daily_message(event.day, style)
    title = style.texts.scan_title(event.type, is_sbom=is_sbom_run(event))
    return composed(EMOJI[event.type], title, list(_lines(event, style)), style)


def test_message(style: Style) -> str:
    """What `check --send` sends."""
    texts = style.texts
    return f"✅ {bold(texts.test_title, style.extra_escapes)}\n{escape(texts.test_text, style.extra_escapes)}"


def _lines(event: Event, style: Style) -> Iterator[Line]:
    told, image = report(event.scan), image_of(event)
    is_sbom = is_sbom_run(event)
    for label in _SBOM if is_sbom else _LAYOUTS[event.type]:
        if event.type is EventType.SCANNING_COMPLETED and not is_sbom:
            yield from _findings_before(label, event, told, style)
        value = visible(_VALUES[label](image, told) or "")
        if not _is_left_out(label, value, event):
            address = _address(label, event, style.portal)
            yield Line(style.texts.labels[label], value, is_code=label is Label.URL, address=address)


def _address(label: Label, event: Event, portal: Portal | None) -> str:
    """What the label's value links to: "" if nothing, as of what the event says is gone."""
    if portal is None or label not in _LINKS or label in _GONE.get(event.type, ()):
        return ""
    return _LINKS[label](portal, event)


def _is_left_out(label: Label, value: str, event: Event) -> bool:
    if label is Label.USER:
        return event.type in _ABOUT_ONESELF and event.operator == event.subject
    may_lack = label is Label.PLATFORM or (is_sbom_run(event) and label in _LACKED_BY_SBOMS)
    return may_lack and value == ABSENT


def _findings_before(label: Label, event: Event, told: Report, style: Style) -> Iterator[Line]:
    """A line per severity before the scanner, what is new after it."""
    if label is Label.SCANNER:
        for level, count in told.levels:
            yield Line(shorten(visible(level), LONGEST_LEVEL), visible(count))
    if label is Label.USER and event.scan is not None:
        yield from news_lines(news([event.scan]), style)


def _platform(event: Event) -> str | None:
    return event.scan.index.platform if event.scan and event.scan.index else None


_VALUES: Mapping[Label, Callable[[Event, Report], str | None]] = {
    Label.REPOSITORY: lambda event, _: event.repository.full_name if event.repository else None,
    Label.TAG: lambda event, _: event.reference,
    Label.URL: lambda event, _: event.resource_url,
    Label.PUSHER: lambda event, _: event.operator,
    Label.USER: lambda event, _: event.operator,
    Label.PLATFORM: lambda event, _: _platform(event),
    Label.STATUS: lambda _, told: told.status,
    Label.RUN_STATUS: lambda _, told: told.status,
    Label.DURATION: lambda _, told: told.duration,
    Label.SECONDS: lambda _, told: told.duration.removesuffix("s"),
    Label.SEVERITY: lambda _, told: told.severity,
    Label.TOTAL: lambda _, told: told.total,
    Label.FIXABLE: lambda _, told: told.fixable,
    Label.SCANNER: lambda _, told: told.scanner,
    Label.PROJECT: lambda event, _: event.subject,
    Label.ROBOT: lambda event, _: event.subject,
    Label.ACCOUNT: lambda event, _: event.subject,
    Label.MEMBER: lambda event, _: event.subject,
    Label.SETTINGS: lambda event, _: event.subject,
    Label.ENTRY: lambda event, _: event.subject,
    Label.SOURCE: lambda event, _: f"{event.source} #{event.source_id}",
}

_LINKS: Mapping[Label, Callable[[Portal, Event], str]] = {
    Label.REPOSITORY: Portal.repository,
    Label.TAG: lambda portal, event: portal.artifact(image_of(event)),
    Label.SEVERITY: Portal.vulnerabilities,
    Label.TOTAL: Portal.vulnerabilities,
    Label.PROJECT: lambda portal, event: portal.project(event.subject),
}

_GONE: Mapping[EventType, tuple[Label, ...]] = {
    EventType.DELETE_ARTIFACT: (Label.TAG,),
    EventType.REPOSITORY_DELETED: (Label.REPOSITORY,),
    EventType.PROJECT_DELETED: (Label.PROJECT,),
}

_ARTIFACT = (Label.REPOSITORY, Label.TAG, Label.URL)
_SCANNED = (*_ARTIFACT, Label.PLATFORM)
_UNFINISHED_SCAN = (*_SCANNED, Label.STATUS, Label.SECONDS, Label.USER)
_SBOM = (*_SCANNED, Label.RUN_STATUS, Label.DURATION, Label.SCANNER, Label.USER)
_LACKED_BY_SBOMS = frozenset({Label.DURATION, Label.SCANNER})
_FINDINGS = (Label.STATUS, Label.DURATION, Label.SEVERITY, Label.TOTAL, Label.FIXABLE, Label.SCANNER)

_LAYOUTS: Mapping[EventType, tuple[Label, ...]] = {
    EventType.PUSH_ARTIFACT: (*_ARTIFACT, Label.PUSHER),
    EventType.PULL_ARTIFACT: (*_ARTIFACT, Label.USER),
    EventType.DELETE_ARTIFACT: (*_ARTIFACT, Label.USER),
    EventType.SCANNING_COMPLETED: (*_SCANNED, *_FINDINGS, Label.USER),
    EventType.SCANNING_STOPPED: _UNFINISHED_SCAN,
    EventType.SCANNING_FAILED: _UNFINISHED_SCAN,
    EventType.TAG_CREATED: (*_ARTIFACT, Label.USER),
    EventType.TAG_DELETED: (*_ARTIFACT, Label.USER),
    EventType.REPOSITORY_DELETED: (Label.REPOSITORY, Label.USER),
    EventType.PROJECT_CREATED: (Label.PROJECT, Label.USER),
    EventType.PROJECT_UPDATED: (Label.PROJECT, Label.USER),
    EventType.PROJECT_DELETED: (Label.PROJECT, Label.USER),
    EventType.ROBOT_CREATED: (Label.ROBOT, Label.USER),
    EventType.ROBOT_DELETED: (Label.ROBOT, Label.USER),
    EventType.USER_CREATED: (Label.ACCOUNT, Label.USER),
    EventType.USER_UPDATED: (Label.ACCOUNT, Label.USER),
    EventType.USER_DELETED: (Label.ACCOUNT, Label.USER),
    EventType.MEMBER_CREATED: (Label.MEMBER, Label.USER),
    EventType.MEMBER_UPDATED: (Label.MEMBER, Label.USER),
    EventType.MEMBER_DELETED: (Label.MEMBER, Label.USER),
    EventType.LOGIN: (Label.ACCOUNT, Label.USER),
    EventType.LOGIN_REFUSED: (Label.ACCOUNT, Label.USER),
    EventType.LOGOUT: (Label.ACCOUNT, Label.USER),
    EventType.CONFIGURATION_CHANGED: (Label.SETTINGS, Label.USER),
    EventType.NOT_UNDERSTOOD: (Label.ENTRY, Label.SOURCE, Label.USER),
    EventType.COVERAGE: (Label.ENTRY,),
    EventType.DAILY: (Label.ENTRY,),
}

_ABOUT_ONESELF = frozenset({EventType.LOGIN, EventType.LOGIN_REFUSED, EventType.LOGOUT})
"""Their rows name the same person twice; once is enough."""
