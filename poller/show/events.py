"""`events`: what was seen, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from poller.events import ANONYMOUS, Event
from poller.routes import DEFAULT
from poller.show.page import Cell, Column, Line, Page, Part, Table, Tone
from poller.words import local
from state import DeliveryRecord, DeliveryState, Seen

TONES = {
    DeliveryState.SENT: Tone.GOOD,
    DeliveryState.FOLDED: Tone.GOOD,
    DeliveryState.PENDING: Tone.DOUBTFUL,
    DeliveryState.REFUSED: Tone.BAD,
    DeliveryState.OFF: Tone.FAINT,
}
_MOST_NEWS_FIRST = (
    DeliveryState.REFUSED,
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.FOLDED,
    DeliveryState.OFF,
)
_DIGEST_SHOWN = len("sha256:") + 12
_YEAR = len("2026-")
COLUMNS = (
    Column("time"),
    Column("told"),
    Column("type"),
    Column("what", share=3),
    Column("by", share=2),
    Column("why", share=3, is_note=True),
)


def seen_json(seen: Seen) -> dict[str, Any]:
    """One line of `events --json`. For programs: names and shapes stay as they are."""
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


def events_page(seen: Sequence[Seen], zone: tzinfo) -> Page:
    if not seen:
        return [Line((Part("nothing was seen in this period"),))]
    return [Table(COLUMNS, tuple(_row(each, zone) for each in seen))]


def _row(seen: Seen, zone: tzinfo) -> tuple[Cell, ...]:
    event, state, why = seen.event, _state_of(seen.deliveries), _why(seen.deliveries)
    time = local(event.occurred_at, zone)
    return (
        Cell(time, Tone.FAINT, short=time[_YEAR:]),
        Cell(state, TONES[state]),
        Cell(event.type, Tone.NAME),
        Cell(name(event), Tone.STRONG, short=name(event, _DIGEST_SHOWN)),
        Cell(event.operator or ANONYMOUS),
        Cell(why, Tone.FAINT, short=f"{state}: {why}" if why else ""),
    )


def name(event: Event, digest_shown: int | None = None) -> str:
    """What it happened to."""
    known = event.subject or (event.repository.full_name if event.repository else "")
    if event.tag:
        return f"{known}:{event.tag}"
    return f"{known}@{event.digest[:digest_shown]}" if event.digest else known


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
    return "; ".join(filter(None, parts))
