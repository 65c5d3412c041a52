"""One event, one message: a title line in bold, then one `*Label:* value` line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from formatters.markdown import ABSENT, LIMIT, bold, code, escape, fit, labelled, shorten, units, visible
from formatters.scans import Report, report
from formatters.texts import EMOJI, Label, Style
from poller.events import Event, EventType

_LONGEST_LEVEL = 40  # units of a severity's name; those that scanners use are a word


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    value: str
    is_code: bool = False

    @property
    def frame(self) -> int:
        """Units of everything but the value."""
        return units(f"\n{self.label}: ")


def message(event: Event, style: Style) -> str:
    """The event's message in MarkdownV2, within Telegram's limits whatever the event holds.

    Values are shown whole as long as that fits; if not, the longest are shortened, visibly.
    """
    title = style.texts.titles[event.type]
    lines = list(_lines(event, style))
    room = LIMIT - units(f"{EMOJI[event.type]} {title}") - sum(line.frame for line in lines)
    values = fit([line.value for line in lines], room)
    heading = f"{EMOJI[event.type]} {bold(title, style.extra_escapes)}"
    return "\n".join([heading, *(_markup(line, value, style) for line, value in zip(lines, values, strict=True))])


def test_message(style: Style) -> str:
    """What `check --send` sends."""
    texts = style.texts
    return f"✅ {bold(texts.test_title, style.extra_escapes)}\n{escape(texts.test_text, style.extra_escapes)}"


def _markup(line: _Line, value: str, style: Style) -> str:
    shown = code(value) if line.is_code and value != ABSENT else escape(value, style.extra_escapes)
    return labelled(line.label, shown, style.extra_escapes)


def _lines(event: Event, style: Style) -> Iterator[_Line]:
    told = report(event.scan)
    for label in _LAYOUTS[event.type]:
        if label is Label.SCANNER:
            yield from _level_lines(told)
        if label is Label.USER and event.type in _ABOUT_ONESELF and event.operator == event.subject:
            continue
        value = _VALUES[label](event, told)
        yield _Line(style.texts.labels[label], visible(value or ""), is_code=label is Label.URL)


def _level_lines(told: Report) -> Iterator[_Line]:
    for level, count in told.levels:
        yield _Line(shorten(visible(level), _LONGEST_LEVEL), visible(count))


_VALUES: Mapping[Label, Callable[[Event, Report], str | None]] = {
    Label.REPOSITORY: lambda event, _: event.repository.full_name if event.repository else None,
    Label.TAG: lambda event, _: event.reference,
    Label.URL: lambda event, _: event.resource_url,
    Label.PUSHER: lambda event, _: event.operator,
    Label.USER: lambda event, _: event.operator,
    Label.STATUS: lambda _, told: told.status,
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

_ARTIFACT = (Label.REPOSITORY, Label.TAG, Label.URL)
_UNFINISHED_SCAN = (*_ARTIFACT, Label.STATUS, Label.SECONDS, Label.USER)
_FINDINGS = (Label.STATUS, Label.DURATION, Label.SEVERITY, Label.TOTAL, Label.FIXABLE, Label.SCANNER)

_LAYOUTS: Mapping[EventType, tuple[Label, ...]] = {
    EventType.PUSH_ARTIFACT: (*_ARTIFACT, Label.PUSHER),
    EventType.PULL_ARTIFACT: (*_ARTIFACT, Label.USER),
    EventType.DELETE_ARTIFACT: (*_ARTIFACT, Label.USER),
    EventType.SCANNING_COMPLETED: (*_ARTIFACT, *_FINDINGS, Label.USER),
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
}

_ABOUT_ONESELF = frozenset({EventType.LOGIN, EventType.LOGIN_REFUSED, EventType.LOGOUT})
"""Their rows name the same person twice; once is enough."""
