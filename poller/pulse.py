"""What to tell a dead man's switch, and when. Pure; times are monotonic seconds.

The switch expects to hear of us. Silence alarms it after a while; a failure at once, so one blip must not be one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

CERTAIN_AFTER = 60.0
"""A poll that fails, or a chat that refuses us, for so long is told. Of polls two in a row at least."""
AWAY_FOR_LONG = 600.0
"""Telegram may be away, and work beside the polls held up, for so long before that is told: it is tried again soon."""
TELL_AGAIN = 600.0


class Ping(msgspec.Struct, frozen=True):
    """`reason`: what is wrong; "" when all is well."""

    reason: str = ""


class ChatTrouble(msgspec.Struct, frozen=True):
    """A route that cannot tell. `needs_operator`: as long as nobody mends it."""

    route: str
    reason: str
    needs_operator: bool

    def __str__(self) -> str:
        does = "refuses" if self.needs_operator else "does not take"
        return f'Telegram {does} the messages of route "{self.route}": {self.reason}'


class _Failing(msgspec.Struct):
    reason: str
    since: float
    times: int = 1


class Pulse:
    """Remembers how it goes, and says when a ping is due. `every`: seconds between two of success, at least."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._has_polled = False  # since the last ping of success
        self._polls: _Failing | None = None
        self._refused: _Failing | None = None
        self._away: _Failing | None = None
        self._held_up: _Failing | None = None
        self._sent_at: float | None = None
        self._is_down = False  # as far as the switch knows

    def polled(self) -> None:
        """All sources were read, and nothing failed."""
        self._has_polled, self._polls = True, None

    def poll_failed(self, reason: str, at: float) -> None:
        self._has_polled, self._polls = False, _again(self._polls, reason, at)

    def chats(self, troubles: Sequence[ChatTrouble], at: float) -> None:
        """Which routes cannot tell now."""
        refusing = [each for each in troubles if each.needs_operator]
        self._refused = _again(self._refused, str(refusing[0]), at) if refusing else None
        self._away = _again(self._away, str(troubles[0]), at) if troubles else None

    def work(self, trouble: str, at: float) -> None:
        """What is not done beside the polls; "" when all gets on."""
        self._held_up = _again(self._held_up, trouble, at) if trouble else None

    def due(self, at: float) -> Ping | None:
        reason = self._trouble(at)
        since = at - self._sent_at if self._sent_at is not None else None
        if reason:
            is_known = self._is_down and since is not None and since < TELL_AGAIN
            return None if is_known else Ping(reason)
        is_time = self._is_down or since is None or since >= self._every
        return Ping() if self._has_polled and is_time else None

    def sent(self, ping: Ping, at: float) -> None:
        """The switch has heard it."""
        self._sent_at, self._is_down = at, bool(ping.reason)
        self._has_polled = self._has_polled and self._is_down

    def _trouble(self, at: float) -> str:
        """What is certain, the worst first; "" for nothing."""
        if self._polls and self._polls.times > 1 and at - self._polls.since >= CERTAIN_AFTER:
            return self._polls.reason
        if self._refused and at - self._refused.since >= CERTAIN_AFTER:
            return self._refused.reason
        lasting = (each for each in (self._away, self._held_up) if each and at - each.since >= AWAY_FOR_LONG)
        return next((each.reason for each in lasting), "")


def after_a_run(
    trouble: str, chats: Sequence[ChatTrouble], *, needs_operator: bool, is_whole: bool = True
) -> Ping | None:
    """What a program tells that runs now and then: what is wrong for sure, or that all is well.

    `is_whole`: whether all logs could be read. What may pass until the next run makes no ping: if it does not pass,
    the switch misses one.
    """
    refusing = [each for each in chats if each.needs_operator]
    if needs_operator or refusing:
        return Ping(trouble if needs_operator else str(refusing[0]))
    return None if trouble or chats or not is_whole else Ping()


def _again(before: _Failing | None, reason: str, at: float) -> _Failing:
    return _Failing(reason, before.since, before.times + 1) if before else _Failing(reason, at)
