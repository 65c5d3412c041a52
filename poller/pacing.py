"""When the next message may go to a chat, so that Telegram never has to say 429. Pure.

Telegram's word: about 1 message a second in a chat, short bursts tolerated; 20 a minute in a group, supergroup or
channel; 30 a second for a bot. A message counts from its answer on, which comes after Telegram has counted it: however
long either takes on its way, the next one never arrives too early. What the windows are longer than Telegram's is for
clocks that do not go alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

MINUTE = timedelta(minutes=1)


class Window(msgspec.Struct, frozen=True):
    """So many messages in any such time, and no more."""

    most: int
    length: timedelta


class Limits(msgspec.Struct, frozen=True):
    """The pace of one chat, or of the bot. `edits`, `late_edits`: when a message may be changed, and when one that has
    waited too long for that; messages and edits count alike."""

    windows: tuple[Window, ...]
    edits: Window = Window(12, MINUTE)
    late_edits: Window = Window(16, MINUTE)

    @property
    def per_minute(self) -> float:
        """In the long run."""
        return min(window.most * (MINUTE / window.length) for window in self.windows)

    @property
    def most(self) -> int:
        """So many of the last messages say when the next one may go."""
        return max(window.most for window in (*self.windows, self.edits, self.late_edits))


CHAT = (Window(1, timedelta(seconds=0.8)), Window(5, timedelta(seconds=5.05)))
"""A message a second, and a little less between two, so that the time that an answer takes is made up for."""

GROUP = Limits((*CHAT, Window(20, timedelta(seconds=61))))
"""Groups, supergroups and channels: edits count, too."""

PRIVATE = Limits(CHAT, edits=Window(40, MINUTE), late_edits=Window(57, MINUTE))
"""Private chats have no limit by the minute."""

BOT = Limits((Window(30, timedelta(seconds=1.02)),))
"""To all chats together."""


def limits_for(chat_id: int | str) -> Limits:
    """A person's id is a positive number; everything else, `@name` too, is a group or channel."""
    return PRIVATE if str(chat_id).strip().isdecimal() else GROUP


def wait(history: Sequence[datetime], now: datetime, limits: Limits) -> float:
    """Seconds from `now` until the next message may go to a chat which accepted messages at the times of `history`."""
    return (_next_turn(_that_count(history, now), now, limits.windows) - now).total_seconds()


def wait_to_edit(history: Sequence[datetime], now: datetime, limits: Limits, *, is_late: bool = False) -> float:
    """Seconds from `now` until a message may be edited: what is new must find room at any time."""
    windows = (*limits.windows, limits.late_edits if is_late else limits.edits)
    return (_next_turn(_that_count(history, now), now, windows) - now).total_seconds()


def room(history: Sequence[datetime], now: datetime, window_s: float, limits: Limits) -> int:
    """How many messages fit into the `window_s` seconds from `now` on."""
    end = now + timedelta(seconds=window_s)
    recent = deque(_that_count(history, now), maxlen=limits.most)
    fitting = 0
    turn = _next_turn(recent, now, limits.windows)
    while turn <= end:
        fitting += 1
        recent.append(turn)
        turn = _next_turn(recent, turn, limits.windows)
    return fitting


def _that_count(history: Iterable[datetime], now: datetime) -> list[datetime]:
    """In order, without those more than a minute ahead: they were written before the clock was set back."""
    return sorted(time for time in history if time <= now + MINUTE)


def _next_turn(recent: Sequence[datetime], now: datetime, windows: Iterable[Window]) -> datetime:
    """The first moment from `now` on that keeps within all windows. `recent` is ascending."""
    ends = (recent[-window.most] + window.length for window in windows if len(recent) >= window.most)
    return max((now, *ends))
