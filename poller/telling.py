"""Telling the chat what is due: one message at a time, in order, at the chat's pace.

At least once: a message counts as told after Telegram accepted it, so a crash in between repeats at most one. That a
message goes is written down before; where that cannot be written, what came of it could not, either: nothing goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import formatters
from poller import backoff, pacing, plan
from poller.config import Config
from poller.logs import Log
from poller.routes import DEFAULT, Route
from poller.telegram import ChatRefused, Later, MessageRefused, Sent, Telegram
from state import Due, RouteState, Store

ROUTE = DEFAULT
MOST_DUE = 5000
PACE_REMEMBERS = timedelta(minutes=2)
TRY_TOPIC_AGAIN = timedelta(hours=1)
LONGEST_PAUSE_S = 60
"""Between two attempts while Telegram is ill: when it is well again, nobody is to wait for minutes."""
MAYBE_DELIVERED = frozenset({"telegram.answer_lost", "telegram.answer_garbled"})

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """One message was dealt with: so many events are now sent, folded or refused."""

    events: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be told for so many seconds; None: nothing is due."""

    seconds: float | None
    reason: str = ""
    needs_operator: bool = False


@dataclass(frozen=True, slots=True)
class _Message:
    """A text, and the deliveries that it tells."""

    text: str
    ids: tuple[int, ...]


class Teller:
    """Tells the chat what is due, in order, at its pace."""

    def __init__(
        self,
        telegram: Telegram,
        store: Store,
        config: Config,
        clock: Callable[[], datetime],
        route: Route | None = None,
    ) -> None:
        self._chat = route or config.routes[0]
        self._telegram = telegram
        self._clock = clock
        self._store = store.for_route(self._chat.name)
        self._delivery = config.delivery
        self._style = formatters.Style(self._chat.language, config.timezone, config.escape_chars)
        self._owed: Callable[[], object] | None = None  # the note of what came of the last message
        self._topic_tried: datetime | None = None

    def deliver(self) -> Told | Wait:
        """Send at most one message; the next one, if it may go now."""
        self.settle()
        now = self._clock()
        route = self._as_the_clock_is(self._store.route(str(self._chat.chat_id), self._chat.message_thread_id), now)
        if route.blocked_until is not None and route.blocked_until > now:
            return self._wait_for(route, now)
        if not self._store.due(now, most=1):
            return Wait(None)
        chat_id = route.moved_to or self._chat.chat_id
        history = self._history(chat_id, now)
        limits = pacing.limits_for(chat_id)
        pause = pacing.wait(history, now, limits)
        if pause > 0:
            return Wait(pause, "pace")
        parcel = self._next_parcel(self._store.due(now, most=MOST_DUE), history, limits, now)
        assert parcel is not None
        return self._send(parcel, route, now)

    def _as_the_clock_is(self, route: RouteState, now: datetime) -> RouteState:
        """A pause that was asked for when the clock was ahead begins anew: it is to be no longer than it was."""
        if route.blocked_until is None or route.blocked_at is None or route.blocked_at <= now:
            return route
        anew = replace(route, blocked_at=now, blocked_until=now + (route.blocked_until - route.blocked_at))
        self._store.save_route(anew)
        return anew

    @property
    def owes_a_note(self) -> bool:
        """Whether something came of a message and the database does not know yet."""
        return self._owed is not None

    def settle(self) -> None:
        """Write what came of the last message, if that could not be written yet. Before that nothing else is told."""
        if self._owed is not None:
            self._owed()
            self._owed = None

    def _note(self, write: Callable[[], object]) -> None:
        """Where the database fails now, what is known is kept: a message that was taken must not go again."""
        self._owed = write
        self.settle()

    def _history(self, chat_id: int | str, now: datetime) -> list[datetime]:
        """When messages went to the chat lately. Telegram counts those too whose answer was lost."""
        chat, start = str(chat_id), now - PACE_REMEMBERS
        return [*self._store.accepted_times(chat, since=start), *self._store.attempt_times(chat, since=start)]

    def _message(self, parcel: plan.Parcel) -> _Message:
        if parcel.group is not None and parcel.is_of_wave:
            return self._summary(parcel.group)
        return _Message(self._text(parcel), parcel.ids)

    def _text(self, parcel: plan.Parcel) -> str:
        if parcel.occasion is not None:
            return formatters.digest(parcel.events, self._style, parcel.occasion)
        if len(parcel.items) > 1:
            return formatters.image_message(parcel.events, self._style)
        return formatters.message(parcel.events[0], self._style)

    def _summary(self, group: str) -> _Message:
        """Of a whole wave, with what was told singly of it. It may be larger than what is fetched as due."""
        summary, ids = formatters.MassScan(), list[int]()
        for member in self._store.in_group(group):
            summary.add(member.event)
            if member.waits:
                ids.append(member.id)
        return _Message(summary.message(self._style), tuple(ids))

    def texts(self) -> Iterator[str]:
        """What would be sent now, without sending or marking it."""
        now = self._clock()
        due = self._store.due(now, most=MOST_DUE)
        limits = pacing.limits_for(self._chat.chat_id)
        while parcel := self._next_parcel(due, (), limits, now):
            yield self._message(parcel).text
            due = tuple(item for item in due if item.id not in parcel.ids)

    def _next_parcel(
        self, due: Sequence[Due], history: Sequence[datetime], limits: pacing.Limits, now: datetime
    ) -> plan.Parcel | None:
        return plan.next_parcel(
            due,
            now=now,
            room=pacing.room(history, now, self._delivery.max_delay, limits),
            catch_up_after=timedelta(seconds=self._delivery.catch_up_after),
        )

    def _send(self, parcel: plan.Parcel, route: RouteState, now: datetime) -> Told | Wait:
        chat_id = route.moved_to or self._chat.chat_id
        tries_topic = not route.topic_lost or self._may_try_topic(now)
        thread_id = self._chat.message_thread_id if tries_topic else None
        message = self._message(parcel)
        attempt = self._store.claim(str(chat_id), self._clock())
        outcome = self._telegram.send(chat_id, thread_id, message.text, formatters.plain(message.text))
        match outcome:
            case Sent():
                topic_lost = outcome.topic_lost if tries_topic else route.topic_lost
                fresh = _answering(route, outcome.moved_to, topic_lost=topic_lost)
                _report(outcome, parcel, is_topic_news=topic_lost and not route.topic_lost)
                return self._sent(message, outcome, attempt, chat_id, fresh if fresh != route else None)
            case MessageRefused(reason, description):
                return self._refused(parcel, attempt, reason, description, now)
            case Later(reason, after):
                return self._hold(parcel, attempt, route, reason, "", after or self._pause(route, most=LONGEST_PAUSE_S))
            case ChatRefused(reason, description):
                pause = self._pause(route, most=1800, first=30)
                return self._hold(parcel, attempt, route, reason, description, pause)

    def _may_try_topic(self, now: datetime) -> bool:
        """A closed topic may be opened again: look once an hour, and after every start."""
        if self._topic_tried is not None and timedelta(0) <= now - self._topic_tried < TRY_TOPIC_AGAIN:
            return False
        self._topic_tried = now
        return True

    def _sent(
        self, message: _Message, outcome: Sent, attempt: int, chat_id: int | str, learnt: RouteState | None
    ) -> Told:
        """`learnt`: the chat's new state, if that is another one."""
        told = partial(
            self._store.told,
            message.ids,
            chat_id=str(outcome.moved_to or chat_id),
            message_id=outcome.message_id,
            now=self._clock(),  # the pace counts from the answer on, however long Telegram took
            reason=outcome.reason,
            attempt=attempt,
            route=learnt,
        )
        self._note(told)
        return Told(len(message.ids))

    def _refused(self, parcel: plan.Parcel, attempt: int, reason: str, description: str, now: datetime) -> Told:
        """This text will never be taken. What was folded into it may still be told singly."""
        _log.error("message.refused", reason=reason, description=description, events=len(parcel.items))
        if parcel.group is not None and parcel.is_of_wave:
            self._note(partial(self._store.loosen, parcel.group, attempt=attempt))
            return Told(0)
        if len(parcel.items) > 1:
            self._note(partial(self._store.tell_singly, parcel.ids, attempt=attempt))
            return Told(0)
        self._note(partial(self._store.refused, parcel.ids, f"{reason}: {description}", now, attempt=attempt))
        return Told(1)

    def _hold(
        self, parcel: plan.Parcel, attempt: int, route: RouteState, reason: str, description: str, seconds: float
    ) -> Wait:
        """Keep everything and stop talking to this chat for a while."""
        say = _log.error if description else _log.warning
        say("message.kept", reason=reason, description=description, retry_in=round(seconds))
        now = self._clock()  # after the answer, which may have taken long
        held = replace(
            route,
            blocked_until=now + timedelta(seconds=seconds),
            blocked_at=now,
            needs_operator=bool(description),
            reason=f"{reason}: {description}" if description else reason,
            failures=route.failures + 1,
        )
        maybe_at = now if reason in MAYBE_DELIVERED else None
        attempted = partial(self._store.attempted, parcel.ids, reason, attempt=attempt, maybe_at=maybe_at, route=held)
        self._note(attempted)
        return Wait(seconds, held.reason, held.needs_operator)

    def _pause(self, route: RouteState, *, most: float, first: float = 2) -> float:
        return backoff.pause(route.failures, first=first, most=most)

    def _wait_for(self, route: RouteState, now: datetime) -> Wait:
        assert route.blocked_until is not None
        is_due = bool(self._store.due(now, most=1))
        seconds = (route.blocked_until - now).total_seconds() if is_due else None
        return Wait(seconds, route.reason, route.needs_operator)


def _answering(route: RouteState, moved_to: int | None, *, topic_lost: bool) -> RouteState:
    """The chat as it is after it took a message."""
    return replace(
        route,
        moved_to=moved_to or route.moved_to,
        topic_lost=topic_lost,
        blocked_until=None,
        blocked_at=None,
        needs_operator=False,
        reason="",
        failures=0,
    )


def _report(outcome: Sent, parcel: plan.Parcel, *, is_topic_news: bool) -> None:
    _log.info("message.sent", message_id=outcome.message_id, events=len(parcel.items), first=parcel.events[0].key)
    if outcome.moved_to is not None:
        _log.warning("chat.moved", chat_id=outcome.moved_to, remedy="put this id into [telegram] chat_id")
    if is_topic_news:
        _log.warning("topic.lost", remedy="messages go to the chat itself; correct [telegram] message_thread_id")
    if outcome.as_plain:
        _log.error("message.sent_plain", reason=outcome.reason, first=parcel.events[0].key)
