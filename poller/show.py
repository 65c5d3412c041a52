"""Results for people: tables, a progress bar, JSON. Colours and bars only on a terminal; NO_COLOR is obeyed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from poller.backfill import Found
from poller.config import Config
from poller.events import ANONYMOUS, WEBHOOK_TYPES
from poller.findings import Report
from poller.jobs import EVERYTHING
from state import Coverage, DeliveryRecord, DeliveryState, Seen, Store

LEDGER_SPAN = timedelta(days=7)


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
    table = Table("when", "type", "what", "who", "told", box=None, pad_edge=False)
    for each in seen:
        event = each.event
        what = event.subject or (event.repository.full_name if event.repository else "")
        told = ", ".join(_outcome(d) for d in each.deliveries)
        name = f"{what}:{event.tag}" if event.tag else what
        row = (_local(event.occurred_at, zone), str(event.type), name, event.operator or ANONYMOUS, told)
        table.add_row(*map(escape, row))
    _console().print(table if seen else "nothing was seen in this period")


def found(result: Found, *, is_dry: bool) -> None:
    """What a backfill found."""
    total = sum(result.new.values())
    verb = "would be recorded" if is_dry else "recorded"
    click.echo(
        f"{result.rows} rows read, {result.known} known already, {total} events {verb}, {result.to_tell} to tell"
    )
    for kind, number in sorted(result.new.items()):
        click.echo(f"  {kind:<24} {number:>7}" + ("" if kind in WEBHOOK_TYPES else "   (the audit log's own)"))


def status(store: Store, config: Config, now: datetime, *, as_json: bool) -> None:
    facts = _status(store, config, now)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        lines = [_line(item) for item in value] if isinstance(value, list) else [_line(value)]
        table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", escape("\n".join(lines) or "none"))
    _console().print(table)


def report(result: Report, *, as_json: bool) -> None:
    """The findings of `check`."""
    if as_json:
        click.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    console = _console()
    for finding in result.findings:
        colour = {"✓": "green", "!": "yellow", "✗": "red"}[finding.mark]
        line = escape(f"{finding.area}: {finding.text}")
        console.print(f"[{colour}]{finding.mark}[/{colour}] {line}", highlight=False)
        if finding.remedy:
            console.print(f"    → {escape(finding.remedy)}", highlight=False)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar with count and remaining time on standard error, when that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def _status(store: Store, config: Config, now: datetime) -> dict[str, Any]:
    registry, detected, detected_at = store.harbor()
    counts, lease = store.counts(), store.lease()
    ledger = store.ledger(since=now - LEDGER_SPAN)
    failures = [line for line in ledger if line.error]
    holder = lease if lease and lease.expires_at > now else None
    return {
        "harbor": config.harbor.url,
        "registry": registry,
        "version": (detected or {}).get("version"),
        "detected_at": detected_at.isoformat() if detected_at else None,
        "covered": [
            {"log": name, "until": cursor.polled_at.isoformat(), "position": cursor.row_id}
            for name, cursor in sorted(store.cursors().items())
        ],
        "gaps": _gaps(ledger, timedelta(minutes=15)),
        "pending": counts.pending,
        "oldest_pending": counts.oldest_pending.isoformat() if counts.oldest_pending else None,
        "sent": counts.sent,
        "folded": counts.folded,
        "refused": counts.refused,
        "off": counts.off,
        "chat": _chat(store, config),
        "last_error": {"at": failures[-1].covered_to.isoformat(), "error": failures[-1].error} if failures else None,
        "poller": {"owner": holder.owner, "since": holder.acquired_at.isoformat()} if holder else None,
        "schedule": config.schedule.cron or f"every {config.schedule.poll:g} s",
    }


def _chat(store: Store, config: Config) -> dict[str, Any]:
    route = store.route(str(config.telegram.chat_id), config.telegram.message_thread_id)
    return {
        "chat_id": route.moved_to or config.telegram.chat_id,
        "silent_until": route.blocked_until.isoformat() if route.blocked_until else None,
        "reason": route.reason,
        "topic_lost": route.topic_lost,
    }


def _gaps(ledger: Sequence[Coverage], longest: timedelta) -> list[dict[str, Any]]:
    """Periods in which nothing was polled. They were caught up afterwards, unless Harbor lost the rows."""
    lines = [
        line for line in ledger if not line.error and not line.log.startswith("backfill") and line.log != EVERYTHING
    ]
    return [
        {"log": line.log, "from": line.covered_from.isoformat(), "to": line.covered_to.isoformat()}
        for line in lines
        if line.polls == 1 and line.covered_to - line.covered_from > longest
    ]


def _outcome(delivery: DeliveryRecord) -> str:
    is_plain = delivery.state in (DeliveryState.SENT, DeliveryState.OFF)
    return str(delivery.state) if is_plain else f"{delivery.state} {delivery.reason}".strip()


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if v not in (None, "", False))
    return "none" if value is None else str(value)


def _local(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _console() -> Console:
    return Console(soft_wrap=True)
