"""What could not be seen, in one line: when it begins, when it ends, or when a gap is found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo

from formatters.markdown import ABSENT, LIMIT, bold, escape, shorten, units, visible
from formatters.periods import local, period
from formatters.texts import PHASE_EMOJI, Style
from poller.events import CoverageNews, Gap

_MOST_PROJECTS = 5
_LONGEST_PROJECT = 128


def coverage_message(news: CoverageNews, style: Style) -> str:
    """One line of MarkdownV2 about gaps that have the same reason."""
    title = style.texts.phases[news.phase]
    head = f"{PHASE_EMOJI[news.phase]} {bold(title, style.extra_escapes)}: "
    text = shorten(coverage_text(news, style), LIMIT - units(title) - 8)
    return head + escape(text, style.extra_escapes)


def coverage_text(news: CoverageNews, style: Style) -> str:
    """The sentence, as visible text."""
    texts, gaps = style.texts, news.gaps
    since = min(gap.began_at for gap in gaps)
    until = max((gap.ended_at for gap in gaps if gap.ended_at is not None), default=since)
    return texts.coverage.get((news.phase, gaps[0].reason), "{reason} {period}").format(
        reason=gaps[0].reason,
        since=period([since], style),
        period=period([since, until], style),
        projects=_projects(gaps),
        command=backfill_command(since, until, style.timezone),
        rows=_rows(gaps, style),
    )


def backfill_command(since: datetime, until: datetime, zone: tzinfo) -> str:
    """How to read a past period, in whole minutes."""
    start, end = local(since, zone), local(until, zone)
    with suppress(OverflowError):  # the last minute of the calendar
        end += timedelta(minutes=1)
    return f"backfill --since {start:%Y-%m-%dT%H:%M} --until {end:%Y-%m-%dT%H:%M}"


def _rows(gaps: Sequence[Gap], style: Style) -> str:
    known = [gap.rows for gap in gaps if gap.rows is not None]
    return style.texts.rows(sum(known)) if known else style.texts.rows_unknown


def _projects(gaps: Sequence[Gap]) -> str:
    names = [shorten(visible(gap.project), _LONGEST_PROJECT) for gap in gaps if gap.project]
    more = [f"+{len(names) - _MOST_PROJECTS}"] if len(names) > _MOST_PROJECTS else []
    return ", ".join([*names[:_MOST_PROJECTS], *more]) or ABSENT
