"""What a day was like: how much was seen, and whether anything is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from formatters.coverage import coverage_text
from formatters.markdown import bold, escape, shorten
from formatters.periods import period
from formatters.texts import EMOJI, Style
from poller.events import CoverageNews, Day, EventType, Gap, Phase

NOT_WELL = "🌥"
_MOST_GAPS = 5
_LONGEST_GAP = 400
_WHOLE_DAY = timedelta(hours=23, minutes=55)


def daily_message(day: Day, style: Style) -> str:
    """A line of MarkdownV2 when all was well, and one more for each thing that was not."""
    texts = style.texts
    emoji = EMOJI[EventType.DAILY] if day.is_well else NOT_WELL
    title = texts.titles[EventType.DAILY] if day.is_well else texts.daily.not_well
    head = f"{emoji} {bold(title, style.extra_escapes)}: "
    return head + "\n".join(escape(line, style.extra_escapes) for line in _lines(day, style))


def _lines(day: Day, style: Style) -> Iterator[str]:
    texts = style.texts.daily
    yield f"{_summary(day, style)}{'' if day.gaps or not day.is_read else f'; {texts.no_gaps}'}."
    if day.counts:
        yield " · ".join(f"{EMOJI[kind]} {style.texts.kinds[kind]}: {day.counts[kind]}" for kind in _kinds(day))
    if not day.is_read:
        yield texts.unread.format(since=period([day.read_until], style))
    yield from (_gap(gap, style) for gap in day.gaps[:_MOST_GAPS])
    if len(day.gaps) > _MOST_GAPS:
        yield texts.more_gaps.format(count=len(day.gaps) - _MOST_GAPS)
    if day.waiting and day.waiting_since is not None:
        waiting = style.texts.events(day.waiting)
        yield texts.waiting.format(events=waiting, since=period([day.waiting_since], style))


def _summary(day: Day, style: Style) -> str:
    texts = style.texts.daily
    is_whole = day.until - day.since >= _WHOLE_DAY
    span = texts.last_day if is_whole else texts.since.format(since=period([day.since], style))
    if not day.counts:
        return texts.no_events.format(span=span)
    events = style.texts.events(sum(day.counts.values()))
    return texts.summary.format(events=events, span=span, messages=texts.messages(day.messages))


def _kinds(day: Day) -> list[EventType]:
    return [kind for kind in EventType if kind in day.counts]


def _gap(gap: Gap, style: Style) -> str:
    phase = Phase.BEGAN if gap.ended_at is None else Phase.ENDED
    is_found = (phase, gap.reason) not in style.texts.coverage
    told = coverage_text(CoverageNews(Phase.FOUND if is_found else phase, (gap,)), style)
    return shorten(told[:1].upper() + told[1:], _LONGEST_GAP)
