"""When the next message may go to a chat, so that Telegram never has to say 429. Pure.

Telegram's word: about 1 message a second in a chat, 20 a minute in a group, supergroup or channel, 30 a second for
a bot. The true limits move, and long messages meet them sooner, so we stay below them. One chat at a message a
second is far below what the bot may send.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The pace of one chat: seconds between two messages, and messages in any 60 s.

    `edits_below`: a message is edited only while fewer messages and edits than that went in the last 60 s, or fewer
    than `late_edits_below`, when the edit has waited for too long.
    """

    per_chat_seconds: float = 1.0
    per_minute: int = 19
    edits_below: int = 12
    late_edits_below: int = 16


GROUP = Limits(per_minute=19, edits_below=12, late_edits_below=16)
"""Groups, supergroups and channels: Telegram says 20, and counts edits too."""

PRIVATE = Limits(per_minute=60, edits_below=40, late_edits_below=57)
"""Private chats have no limit by the minute: a message a second."""


def limits_for(chat_id: int | str) -> Limits:
    """A person's id is a positive number; everything else, `@name` too, is a group or channel."""
    return PRIVATE if str(chat_id).strip().isdecimal() else GROUP


def wait(history: Sequence[datetime], now: datetime, limits: Limits) -> float:
    """Seconds from `now` until the next message may go to a chat which accepted messages at the times of `history`."""
    recent = deque(_that_count(history, now), maxlen=limits.per_minute)
    return (_next_turn(recent, now, limits) - now).total_seconds()


def wait_to_edit(history: Sequence[datetime], now: datetime, limits: Limits, *, is_late: bool = False) -> float:
    """Seconds from `now` until a message may be edited: what is new must find room at any time."""
    below = limits.late_edits_below if is_late else limits.edits_below
    return wait(history, now, replace(limits, per_minute=below))


def room(history: Sequence[datetime], now: datetime, window_s: float, limits: Limits) -> int:
    """How many messages fit into the `window_s` seconds from `now` on."""
    end = now + timedelta(seconds=window_s)
    recent = deque(_that_count(history, now), maxlen=limits.per_minute)
    fitting = 0
    turn = _next_turn(recent, now, limits)
    while turn <= end:
        fitting += 1
        recent.append(turn)
        turn = _next_turn(recent, turn, limits)
    return fitting


def _that_count(history: Iterable[datetime], now: datetime) -> list[datetime]:
    """In order, without those more than a minute ahead: they were written before the clock was set back."""
    return sorted(time for time in history if time <= now + MINUTE)


def _next_turn(recent: deque[datetime], now: datetime, limits: Limits) -> datetime:
    """The first moment from `now` on that keeps both limits. `recent` holds at most `per_minute` times, ascending."""
    turn = now
    if recent:
        turn = max(turn, recent[-1] + timedelta(seconds=limits.per_chat_seconds))
    if len(recent) == limits.per_minute:
        turn = max(turn, recent[0] + MINUTE)
    return turn
