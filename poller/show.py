"""Results for people, readable at 80 columns, and for programs as JSON. Colours and bars only on a terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import click

import formatters
from poller import lease, logs
from poller.backfill import Found, Wanted
from poller.config import Config
from poller.events import ANONYMOUS, Event, Gap, Reason
from poller.explain import Explanation, Story, Verdict, group_words
from poller.findings import Report
from poller.routes import DEFAULT
from poller.standing import LEDGER_SPAN, RouteStanding, Standing
from state import Counts, Coverage, DeliveryRecord, DeliveryState, Fate, Outcome, Seen

_MARKS = {"✓": "green", "!": "yellow", "✗": "red"}
_STATES = {
    DeliveryState.SENT: "green",
    DeliveryState.FOLDED: "green",
    DeliveryState.PENDING: "yellow",
    DeliveryState.REFUSED: "red",
    DeliveryState.OFF: "bright_black",
}
_MOST_NEWS_FIRST = (
    DeliveryState.REFUSED,
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.FOLDED,
    DeliveryState.OFF,
)
_STATE_WIDTH = max(map(len, DeliveryState))
_TIME_WIDTH = len("2026-11-24 12:00:00")
_NAME_WIDTH = 12  # of what stands before each line of `status`
_DIGEST_SHOWN = len("sha256:") + 12
_MOST_GAPS = 5

# -- events -----------------------------------------------------------------------------------------


def seen_json(seen: Seen) -> dict[str, Any]:
    """One line of `events --json`."""
    return {
        "event": seen.event.to_webhook(),
        "key": seen.event.key,
        "seen_at": seen.seen_at.isoformat(),
        "source": str(seen.event.source),
        "deliveries": [
            {
                "route": d.route,
                "state": str(d.state),
                "reason": d.reason,
                "chat_id": d.chat_id,
                "message_id": d.message_id,
            }
            for d in seen.deliveries
        ],
    }


def events(seen: Sequence[Seen], zone: tzinfo) -> None:
    if not seen:
        click.echo("nothing was seen in this period")
        return
    width = max(len(each.event.type) for each in seen)
    for each in seen:
        event, state = each.event, _state_of(each.deliveries)
        told = _coloured(f"{state:{_STATE_WIDTH}}", _STATES[state])
        head = f"{_local(event.occurred_at, zone)}  {told}  {event.type:{width}}  "
        _wrapped(head, f"{_name(event)} by {event.operator or ANONYMOUS}{_why(each.deliveries)}", _TIME_WIDTH + 2)


def _name(event: Event) -> str:
    name = event.subject or (event.repository.full_name if event.repository else "")
    if event.tag:
        return f"{name}:{event.tag}"
    return f"{name}@{event.digest[:_DIGEST_SHOWN]}" if event.digest else name


def _state_of(deliveries: Sequence[DeliveryRecord]) -> DeliveryState:
    """What there is most to say of, where the routes differ."""
    states = {delivery.state for delivery in deliveries}
    return next((state for state in _MOST_NEWS_FIRST if state in states), DeliveryState.OFF)


def _why(deliveries: Sequence[DeliveryRecord]) -> str:
    """The reason; with the route, where that is not the only one there is."""
    if len(deliveries) > 1:
        parts = [f"{d.route}: {d.state}{f', {d.reason}' if d.reason else ''}" for d in deliveries]
    else:
        parts = [": ".join(filter(None, (d.route if d.route != DEFAULT else "", d.reason))) for d in deliveries]
    return f" ({'; '.join(parts)})" if any(parts) else ""


def explanation(explained: Explanation, zone: tzinfo) -> None:
    """Why an event went where it went."""
    _rows(_explained(explained, zone))


def _explained(explained: Explanation, zone: tzinfo) -> Iterator[tuple[str, list[str]]]:
    event = explained.seen.event
    yield "event", [f"{event.type} {_name(event)} by {event.operator or ANONYMOUS}, {_local(event.occurred_at, zone)}"]
    yield "key", [event.key]
    yield "found in", [f"{explained.row}; seen at {_local(explained.seen.seen_at, zone)}"]
    is_told = explained.today.state is DeliveryState.PENDING
    yield "settings", [f"today: {'it is told' if is_told else f'{explained.today.state}, {explained.today.reason}'}"]
    yield "routes", [f"{verdict.route}: {_verdict(verdict)}" for verdict in explained.verdicts]
    yield (
        "recorded",
        [f"{story.fate.record.route}: {_story(story, zone)}" for story in explained.stories] or ["nothing"],
    )
    for group in explained.groups:
        words = group_words(group)
        yield "group", [group if words == group else f"{words} ({group})"]
    yield "times", [f"in {zone}"]


def _verdict(verdict: Verdict) -> str:
    if verdict.is_taken is None:
        return f"is not asked, as {verdict.reason}"
    if not verdict.is_taken:
        return f"does not take it: {verdict.reason}"
    return f"takes it, and does not tell it: {verdict.reason}" if verdict.reason else "takes it"


def _story(story: Story, zone: tzinfo) -> str:
    fate, record = story.fate, story.fate.record
    at = f" at {_local(fate.finished_at, zone)}" if fate.finished_at else ""
    reason = f" ({record.reason})" if record.reason else ""
    match record.state:
        case DeliveryState.SENT:
            return f"sent as message {record.message_id} of {record.chat_id}{at}{reason}"
        case DeliveryState.FOLDED:
            where = f" of {record.chat_id}{at}" if record.chat_id else ""
            return f"{record.reason or 'folded'}{where}, because {story.why_together}"
        case DeliveryState.OFF | DeliveryState.REFUSED:
            return f"{record.state}: {record.reason}"
    return f"pending since {_local(fate.since, zone)}, {_next_attempt(story, zone)}{_tried(fate)}"


def _next_attempt(story: Story, zone: tzinfo) -> str:
    if not story.is_configured:
        return "and goes by the routes of today at the next start"
    if story.next_attempt is None:
        return "next attempt as soon as the chat's pace and what is before it allow"
    return f"next attempt at {_local(story.next_attempt, zone)}"


def _tried(fate: Fate) -> str:
    return f"; tried {_number(fate.attempts, 'time')} in vain ({fate.record.reason})" if fate.attempts else ""


# -- backfill ---------------------------------------------------------------------------------------


def found(result: Found, wanted: Wanted, config: Config, seconds: float, *, is_dry: bool) -> None:
    """What a backfill found, and how long that took."""
    new = sum(result.new.values())
    recorded = "" if not new else ", not recorded in a dry run" if is_dry else ", recorded now"
    events = _number(new, "new event")
    pace = f"{seconds:.1f} s ({result.rows / max(seconds, 0.001):.0f} rows/s)"
    click.echo(f"{_number(result.rows, 'row')} read in {pace}: {result.known} known already, {events}{recorded}")
    for kind, number in sorted(result.new.items()):
        off = "" if kind in config.events else f"   not told: events.{kind} = false"
        click.echo(f"  {kind:<22} {number:>7}{off}")
    if missing := _missing(result, wanted, config.timezone):
        click.echo(missing)


def _missing(result: Found, wanted: Wanted, zone: tzinfo) -> str:
    """What of the period Harbor does not have; "" if that is less than a minute."""
    begins = min(result.complete_from.values(), default=None)
    why = "they were purged, or nothing happened"
    if begins is None:
        return f"Harbor has no rows between {_minute(wanted.since, zone)} and {_minute(wanted.until, zone)}: {why}"
    is_missing = begins - wanted.since >= timedelta(minutes=1)
    return f"Harbor has no rows before {_minute(begins, zone)}: {why}" if is_missing else ""


def progress(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """A bar, when standard error is a terminal; whoever gets it says how many steps were done."""
    from poller import bar  # rich takes long to load, and most runs are not seen by anybody

    return bar.progress(what, total)


# -- status -----------------------------------------------------------------------------------------


def status(standing: Standing, zone: tzinfo, now: datetime) -> None:
    _rows(_status_lines(standing, zone, now))


def _rows(rows: Iterable[tuple[str, list[str]]]) -> None:
    """Lines with a name before the first of each."""
    for name, lines in rows:
        for number, line in enumerate(lines):
            head = name if number == 0 else ""
            _wrapped(_coloured(f"{head:{_NAME_WIDTH}}", bold=True), line, _NAME_WIDTH)


def _status_lines(standing: Standing, zone: tzinfo, now: datetime) -> Iterator[tuple[str, list[str]]]:
    counts = standing.counts
    yield "Harbor", [f"{standing.harbor} ({standing.version or 'version not known yet'})"]
    yield "read", _covered(standing, zone, now)
    yield "gaps", _gaps(standing.open_gaps, zone)
    yield "pauses", _pauses(standing.pauses, zone)
    yield "last error", _failure(standing, zone)
    yield "told", [_told(counts)]
    yield "waiting", [_waiting(standing, now)]
    yield "scans", _scans(standing)
    yield "sweep", [_sweep(standing, zone)]
    yield "refused", [f"{_number(counts.refused, 'event')}; `events` says why" if counts.refused else "none"]
    yield "not told", [f"{_number(counts.off, 'event')}; `events` says why" if counts.off else "none"]
    if len(standing.routes) > 1:
        yield "routes", [line for route in standing.routes for line in _of_route(route, zone, now)]
    else:
        yield "chat", [line for route in standing.routes for line in _chat(route, zone)] or ["none: nothing is told"]
    yield "poller", [_poller(standing, zone)]
    yield "next run", [_next_run(standing, zone)]
    yield "times", [f"in {zone}"]


def _covered(standing: Standing, zone: tzinfo, now: datetime) -> list[str]:
    but = " but for the gaps" if standing.open_gaps else ""
    lines = [
        f"{c.log}: complete from {_local(c.since, zone)} to {_local(c.until, zone)}{but}, {_span(now - c.until)} ago"
        f" (row {c.position})"
        for c in standing.covered
    ]
    return lines or ["nothing yet: `run` or `once` begins at the moment of its first poll"]


def _gaps(found: Sequence[Gap], zone: tzinfo) -> list[str]:
    lines = [_gap(gap, zone) for gap in found[-_MOST_GAPS:]]
    more = [f"and {len(found) - _MOST_GAPS} before"] if len(found) > _MOST_GAPS else []
    return lines + more or ["none"]


def _gap(gap: Gap, zone: tzinfo) -> str:
    """What was not seen, when, why, and how to mend that."""
    until = f"to {_local(gap.ended_at, zone)}" if gap.ended_at else "until now"
    rows = f" (at most {_number(gap.rows, 'row')})" if gap.rows is not None else ""
    why, remedy = _GAPS[gap.reason]
    command = formatters.backfill_command(gap.began_at, gap.ended_at or gap.began_at, zone)
    if gap.ended_at is None and remedy is _LASTING:
        remedy = f"{_LASTING}; {_SWITCH}"
    return f"{gap.source}: {_local(gap.began_at, zone)} {until}{rows}: {why}; {remedy.format(command=command)}"


_LASTING = "lost, for Harbor has no rows of it"
_SWITCH = "an administrator can switch it on again (Administration, Configuration), which mends what follows"
_GAPS: Mapping[Reason, tuple[str, str]] = {
    Reason.ACCOUNT_REFUSED: ("Harbor refuses the account", "closes itself when [harbor] password is right again"),
    Reason.NO_RIGHTS: ("no right to read the log", "closes itself when the right is given back"),
    Reason.PROJECT_CLOSED: ("the project is gone, hidden or closed", "closes itself when it can be read again"),
    Reason.LOG_OFF: ("Harbor wrote no audit log", _LASTING),
    Reason.PULLS_OFF: ("Harbor did not log pulls", _LASTING),
    Reason.SCANNER_OFF: ("the scanner was off or not reachable", "nothing was scanned, so there is nothing to read"),
    Reason.PURGED: ("purged before it was read", _LASTING),
    Reason.RESTORED: ("Harbor's database was put back", "what it had not read by then is lost"),
    Reason.HIDDEN: ("no right to read the log then", "close it: {command}"),
}


def _pauses(found: Sequence[Coverage], zone: tzinfo) -> list[str]:
    lines = [
        f"{pause.log}: {_span(pause.covered_to - pause.covered_from)} without a poll until"
        f" {_local(pause.covered_to, zone)}, caught up then"
        for pause in found[-_MOST_GAPS:]
    ]
    more = [f"and {len(found) - _MOST_GAPS} before"] if len(found) > _MOST_GAPS else []
    return lines + more or [f"none in the last {LEDGER_SPAN.days} days"]


def _failure(standing: Standing, zone: tzinfo) -> list[str]:
    if standing.failure is None:
        return [f"none in the last {LEDGER_SPAN.days} days"]
    now_fine = " (polled without error since)" if standing.is_mended else ""
    kind, _, text = str(standing.failure.error).partition(": ")
    return [f"{_local(standing.failure.covered_to, zone)}: {text or kind}{now_fine}"]


def _waiting(standing: Standing, now: datetime) -> str:
    oldest = standing.counts.oldest_pending
    if oldest is None:
        return "none"
    left = standing.counts.pending - sum(route.counts.pending for route in standing.routes)
    gone = f"; {left} on routes that are gone, which the next start sends on by those of today" if left else ""
    why = "by design: for what belongs to them, the next change of a message, a digest or the end of quiet hours"
    held = f"; {standing.held} {why}" if standing.held else ""
    return f"{_number(standing.counts.pending, 'event')}, the oldest for {_span(now - oldest)}{held}{gone}"


_SCANS = {
    Outcome.TOLD: "with their results",
    Outcome.RUNNING: "running",
    Outcome.OVERWRITTEN: "replaced by a later scan before they could be read",
    Outcome.GONE: "of images that were deleted meanwhile",
    Outcome.GIVEN_UP: "whose result never appeared",
    Outcome.NO_SCAN: "by robots that only have a name like a scanner's",
}


def _scans(standing: Standing) -> list[str]:
    parts = [f"{count} {words}" for outcome, words in _SCANS.items() if (count := standing.scans.get(outcome))]
    return [f"in the last {LEDGER_SPAN.days} days: {', '.join(parts)}"] if parts else ["none noticed in the log"]


def _sweep(standing: Standing, zone: tzinfo) -> str:
    place = standing.sweep
    if standing.is_sweep_off:
        return 'off ([schedule] sweep = "off"): results that leave no trace in the log are missed'
    if place is None:
        return "has not begun"
    if place.repository_id:
        return f"looks through all repositories since {_local(place.round_began_at, zone)}"
    return f"looked through all repositories, beginning at {_local(place.round_began_at, zone)}"


def _of_route(route: RouteStanding, zone: tzinfo, now: datetime) -> list[str]:
    where, *news = _chat(route, zone)
    oldest = route.counts.oldest_pending
    verb = "waits" if route.counts.pending == 1 else "wait"
    waits = f"{_number(route.counts.pending, 'event')} {verb}, the oldest for {_span(now - oldest)}" if oldest else ""
    return [f"{route.name}: {where}, {waits or 'nothing waits'}", *(f"  {line}" for line in news)]


def _chat(route: RouteStanding, zone: tzinfo) -> list[str]:
    state = route.state
    home = "[telegram]" if route.name == DEFAULT else f'[[route]] "{route.name}"'
    topic = f", topic {state.thread_id}" if state.thread_id is not None and route.name != DEFAULT else ""
    lines = [f"{route.chat_id}{topic}"]
    if state.moved_to is not None:
        lines.append(f"the group {state.chat_id} became this one: put the new number into {home} chat_id")
    if state.topic_lost:
        lines.append(f"its topic is gone or closed; correct {home} message_thread_id")
    if route.silent_until is not None:
        lines.append(f"no attempt before {_local(route.silent_until, zone)}: {state.reason}")
    return lines


def _poller(standing: Standing, zone: tzinfo) -> str:
    if standing.poller is None:
        return "none is at work at this moment"
    return f"{lease.place(standing.poller.owner)}, since {_local(standing.poller.acquired_at, zone)}"


def _next_run(standing: Standing, zone: tzinfo) -> str:
    schedule = standing.schedule if standing.schedule.startswith("every") else f'cron "{standing.schedule}"'
    if standing.next_run is None:
        return f"whenever `run` or `once` is started ([schedule]: {schedule})"
    return f"{_local(standing.next_run, zone)} ({schedule})"


# -- check ------------------------------------------------------------------------------------------


def report(result: Report, *, as_json: bool) -> None:
    """The findings of `check`."""
    if as_json:
        click.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    for finding in result.findings:
        _wrapped(f"{_coloured(finding.mark, _MARKS[finding.mark])} ", f"{finding.area}: {finding.text}", 4)
        if finding.remedy:
            _wrapped("    → ", finding.remedy, 6)


# -- words ------------------------------------------------------------------------------------------


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _told(counts: Counts) -> str:
    events = counts.sent + counts.folded
    return f"{_number(events, 'event')} in {_number(counts.sent, 'message')}" if events else "none yet"


def _span(time: timedelta) -> str:
    """Roughly: what a person would say."""
    seconds = max(0, round(time.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _local(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _minute(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


# -- the terminal -----------------------------------------------------------------------------------


def _wrapped(head: str, text: str, indent: int) -> None:
    """A line; on a terminal, or with COLUMNS set, broken at its width. No name can forge a line or a colour."""
    text = logs.visible(text)
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        text = _broken(click.unstyle(head), text, indent)
    click.echo(head + text)


def _broken(head: str, text: str, indent: int) -> str:
    """The text with line breaks, so that it fits behind the head, which is never broken itself."""
    word = "x" * len(head.rstrip())
    width = max(40, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(
        word.ljust(len(head)) + text,
        width,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines)[len(head if len(lines[0]) > len(head) else word) :]


def _coloured(text: str, colour: str | None = None, *, bold: bool = False) -> str:
    is_plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_plain else click.style(text, fg=colour, bold=bold or None)
