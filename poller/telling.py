"""Telling a chat what is due: one message at a time, in order, at the chat's pace.

At least once: a message counts as told after Telegram accepted it, so a crash in between repeats at most one. That a
message goes is written down before; where that cannot be written, what came of it could not, either: nothing goes.
What joins a message that was told changes it, when nothing new is to be told; doing that twice does no harm.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import msgspec

import formatters
from poller import backoff, pacing, plan
from poller.config import Config
from poller.events import SCAN_TYPES, EventType
from poller.growing import Growing, Image
from poller.logs import Log
from poller.measures import Result, Sink, Tried, ignore
from poller.pulse import ChatTrouble
from poller.routes import DEFAULT, Route
from poller.telegram import CannotEdit, ChatRefused, Edited, EditOutcome, Later, MessageRefused, Outcome, Sent, Telegram
from poller.troubles import Trouble, Troubles
from poller.values import replace
from state import Due, GroupMessage, Mode, RouteState, Store

ROUTE = DEFAULT
MOST_DUE = 5000
MOST_TOGETHER = 20_000
"""In one digest: so many events take some 40 MB while it is written. A backfill's may be several."""
PACE_REMEMBERS = timedelta(minutes=2)
ON_ITS_WAY = timedelta(seconds=1)
"""Of a message without an answer, as before a crash, is known when it went; it counts from when it came."""
TRY_TOPIC_AGAIN = timedelta(hours=1)
LONGEST_PAUSE_S = 60
"""Between two attempts while Telegram is ill: when it is well again, nobody is to wait for minutes."""
MAYBE_DELIVERED = frozenset({"telegram.answer_lost", "telegram.answer_garbled"})
RUN_RESTS = timedelta(minutes=1)
"""Between two messages of a run, where none can be changed."""
ANSWERS_PUSH = timedelta(days=7)
"""A scan's message answers the one about the push, unless that is so old that nobody would look it up."""
MANY_REFUSED = 2
"""After so many edits in vain one after the other, what is counted is told at the pace of a chat without edits."""
MANY = 500
LOOK_AGAIN = timedelta(seconds=5)
"""While many wait for the next digest, they are not read anew every second."""

WITHOUT_SOUND = frozenset({EventType.DAILY})
"""Nobody need look up when all is quiet."""

KEPT = Trouble("message.kept", "message.still_kept", "message.taken_again")

_log = Log(__name__)


class Told(msgspec.Struct, frozen=True):
    """One message was dealt with: so many events are now sent, folded or refused."""

    events: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be told for so many seconds; None: nothing is due.

    `look_in`: after so many it is worth a look whether that has changed; None: not before something is recorded.
    """

    seconds: float | None
    reason: str = ""
    needs_operator: bool = False
    look_in: float | None = field(default=1.0, compare=False)


class _Message(msgspec.Struct, frozen=True):
    """A text, and the deliveries that it tells."""

    text: str
    ids: tuple[int, ...]


class _Chat(msgspec.Struct, frozen=True):
    """The chat at the moment at which it is told something. `history`: when messages and edits went lately."""

    id: int | str
    route: RouteState
    history: Sequence[datetime]
    now: datetime

    @property
    def limits(self) -> pacing.Limits:
        return pacing.limits_for(self.id)


class _Agenda(msgspec.Struct):
    """What is due: in `fresh` what is to be sent, in `edits` the messages to be changed, by group.

    `late`: those of the edits that have waited too long. `known`: groups that have a message. `holds`: what is not to
    be told yet after all. `puts_off`: whether something was put off. `sees_all`: whether there is no more than what
    was looked at.
    """

    fresh: list[Due] = msgspec.field(default_factory=list)
    edits: dict[str, GroupMessage] = msgspec.field(default_factory=dict)
    late: list[str] = msgspec.field(default_factory=list)
    known: dict[str, GroupMessage] = msgspec.field(default_factory=dict)
    holds: list[plan.Hold] = msgspec.field(default_factory=list)
    puts_off: bool = False
    sees_all: bool = True


class Teller:
    """Tells the chat of a route what is due, in order, at its pace."""

    def __init__(
        self,
        telegram: Telegram,
        store: Store,
        config: Config,
        clock: Callable[[], datetime],
        route: Route | None = None,
        sink: Sink = ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._telegram = telegram
        self._sink = sink
        self._troubles = Troubles(monotonic)
        self._clock = clock
        self._route = route or config.routes[0]
        self._store = store.for_route(self._route.name)
        self._delivery = config.delivery
        self._manner = _manner(config, self._route)
        self._growing = Growing(self._store, config, self._route.language)
        self._style = self._growing.style
        self._memory = plan.Memory()
        self._look_again_at: datetime | None = None
        self._has_begun = False
        self._fixed: set[tuple[str, int]] = set()  # messages that cannot be changed
        self._refused_edits = 0  # in a row
        self._owed: Callable[[], object] | None = None  # the note of what came of the last message
        self._others: tuple[Teller, ...] = ()  # in the same chat
        self._lately = deque[datetime](maxlen=pacing.BOT.most)
        self._topic_tried: datetime | None = None
        self.trouble: ChatTrouble | None = None  # as of the last look
        self._is_well = False  # whether there was a look, and no trouble

    def share_room(self, others: Sequence[Teller], lately: deque[datetime]) -> None:
        """What a chat has room for is that of all routes which lead there, whatever the topic.

        `lately`: when the bot was answered, to whatever chat; each teller writes that down there.
        """
        self._lately = lately
        self._others = tuple(other for other in others if str(other._route.chat_id) == str(self._route.chat_id))

    def deliver(self, *, is_patient: bool = True) -> Told | Wait:
        """Send or change at most one message; the next one, if it may go now.

        `is_patient`: whether to wait a moment for what may belong to it.
        """
        self.settle()
        now = self._clock()
        self._begin(now)
        due_at = self._store.next_due(now)
        if (due_at is None or due_at > now) and self._is_well:
            return Wait(None, look_in=(due_at - now).total_seconds() if due_at is not None else None)
        state = self._store.route(str(self._route.chat_id), self._route.message_thread_id)
        state = self._as_the_clock_is(state, now)
        self.trouble = ChatTrouble(self._route.name, state.reason, state.needs_operator) if state.reason else None
        self._is_well = self.trouble is None
        if state.blocked_until is not None and state.blocked_until > now:
            return self._wait_for(state, now)
        if due_at is None or due_at > now:
            return Wait(None)
        chat_id = state.moved_to or self._route.chat_id
        chat = _Chat(chat_id, state, self._history(chat_id, now), now)
        pause = max(pacing.wait(chat.history, now, chat.limits), pacing.wait(self._lately, now, pacing.BOT))
        if pause > 0:
            return Wait(pause, "pace")
        if self._look_again_at is not None and now < self._look_again_at <= now + LOOK_AGAIN:
            return Wait((self._look_again_at - now).total_seconds(), "flood")
        return self._tell_next(chat, is_patient=is_patient)

    def _begin(self, now: datetime) -> None:
        """What is put off for long may be so by settings that have changed, or a clock that was ahead: anew."""
        if not self._has_begun:
            self._store.release(held_beyond=now + plan.LONGEST_REST)
            self._has_begun = True

    def _tell_next(self, chat: _Chat, *, is_patient: bool) -> Told | Wait:
        """What is new goes before what is changed, unless that has waited for too long."""
        most = MOST_DUE if self._manner.is_calm or self._is_quiet(chat.now) else plan.FEW
        agenda = self._agenda(chat, most)
        step = self._decide(agenda, chat, is_patient=is_patient)
        while step is None and agenda.puts_off and not agenda.sees_all:  # behind what is put off there may be more
            agenda = self._agenda(chat, most)
            step = self._decide(agenda, chat, is_patient=is_patient)
        if _may_be_larger(step) and len(agenda.fresh) >= most // 2:
            agenda = self._agenda(chat, MOST_TOGETHER)  # there may be more, and it is to be one message
            step = self._decide(agenda, chat, is_patient=is_patient)
        if agenda.late and pacing.wait_to_edit(chat.history, chat.now, chat.limits, is_late=True) <= 0:
            return self._edit(agenda.late[0], agenda, chat)
        if isinstance(step, plan.Parcel):
            return self._folded(step, chat) or self._send(step, chat)
        self._look_again_at = _look_again_at(step, len(agenda.fresh), chat.now)
        pauses = [] if step is None else [((step.until - chat.now).total_seconds(), step.reason)]
        if agenda.edits:
            pause = pacing.wait_to_edit(chat.history, chat.now, chat.limits)
            if pause <= 0:
                return self._edit(next(iter(agenda.edits)), agenda, chat)
            pauses.append((pause, "pace"))
        return Wait(*min(pauses)) if pauses else Wait(None)

    # -- what is due --

    def _agenda(self, chat: _Chat, most: int) -> _Agenda:
        due = self._store.due(chat.now, most=most, and_all=plan.IMPORTANT if self._manner.is_calm else ())
        agenda = self._sorted_out(due, chat)
        agenda.sees_all = len(due) < most
        for hold in agenda.holds:
            self._store.postpone(hold.ids, hold.until)
        return agenda

    def _sorted_out(self, due: Sequence[Due], chat: _Chat) -> _Agenda:
        if not self._manner.is_calm:
            return _Agenda([replace(item, group=None) for item in due])
        groups = {item.group for item in due if item.group and _grows(item)}
        agenda = _Agenda(known=self._store.messages_of(groups, str(chat.id)) if groups else {})
        joining: dict[str, list[Due]] = {}
        for item in due:
            if item.group in agenda.known and _grows(item) and not self._is_quiet(chat.now):
                joining.setdefault(item.group, []).append(item)
        ids = {group: [item.id for item in items] for group, items in joining.items()}
        ready = {group for group in joining if self._is_ready(group, ids[group], agenda, chat)}
        agenda.late = [group for group in agenda.edits if self._is_late(group, joining[group][0], agenda, chat.now)]
        agenda.fresh = [item for item in due if item.group not in joining or not _grows(item) or item.group in ready]
        return agenda

    def _is_quiet(self, now: datetime) -> bool:
        quiet = self._manner.quiet_until
        return quiet is not None and quiet(now) is not None

    def _is_ready(self, group: str, ids: Sequence[int], agenda: _Agenda, chat: _Chat) -> bool:
        """Whether what has come to a group is told anew, for its message cannot be changed. Otherwise that is put
        on the agenda, or off."""
        message = agenda.known[group]
        is_fixed = (str(chat.id), message.message_id) in self._fixed
        never_works = is_fixed and self._refused_edits >= MANY_REFUSED
        if (is_fixed and not never_works) or self._manner.every is not None:
            return True
        edits = self._delivery.edits and not never_works
        at = plan.edit_at(group, message) if edits else self._next_message_at(group, message)
        if message.touched_at <= chat.now < at:  # touched later than now: the clock was set back since
            agenda.holds.append(plan.Hold(tuple(ids), at))
            return False
        if edits:
            agenda.edits[group] = message
        return not edits

    def _is_late(self, group: str, first: Due, agenda: _Agenda, now: datetime) -> bool:
        """Whether what has come to a group waits, not for its turn, but for room in the chat, and for too long."""
        since = max(plan.edit_at(group, agenda.known[group]), first.seen_at or first.since)
        return now - since > self._manner.max_delay

    def _next_message_at(self, group: str, message: GroupMessage) -> datetime:
        """Where messages are not to be changed."""
        if group.startswith(plan.PUSH):
            return plan.edit_at(group, message)
        if group.startswith(plan.RUN):
            return message.touched_at + RUN_RESTS
        return message.touched_at + timedelta(seconds=self._delivery.pull_window or 3600)

    def _decide(self, agenda: _Agenda, chat: _Chat, *, is_patient: bool) -> plan.Parcel | plan.Rest | None:
        while True:
            moment = self._moment(chat, is_patient=is_patient, sees_all=agenda.sees_all)
            step, self._memory = plan.decide(agenda.fresh, self._manner, moment, self._memory)
            if not isinstance(step, plan.Hold):
                return step
            self._store.postpone(step.ids, step.until)
            agenda.puts_off = True
            agenda.fresh = _without(agenda.fresh, step.ids)

    def _moment(self, chat: _Chat, *, is_patient: bool, sees_all: bool = True) -> plan.Moment:
        room = pacing.room(chat.history, chat.now, self._delivery.max_delay, chat.limits)
        room //= 1 + sum(other._store.has_due(chat.now) for other in self._others)
        return plan.Moment(chat.now, room, chat.route.digest_at, is_patient, sees_all)

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
        """When messages came to the chat lately. Telegram counts those too whose answer was lost."""
        chat, start = str(chat_id), now - PACE_REMEMBERS
        maybe = (at + ON_ITS_WAY for at in self._store.attempt_times(chat, since=start))
        return [*self._store.accepted_times(chat, since=start), *maybe]

    # -- what is said --

    def _message(self, parcel: plan.Parcel) -> _Message:
        group = parcel.group
        if group is not None and parcel.is_of_wave:
            return self._summary(group)
        if group is not None and _grows(parcel.items[0]):
            return self._grown(group) or self._alone(parcel.items[0])
        return _Message(self._text(parcel), parcel.ids)

    def _text(self, parcel: plan.Parcel) -> str:
        if parcel.occasion is not None:
            return formatters.digest(parcel.events, self._style, parcel.occasion)
        if len(parcel.items) > 1:
            return formatters.image_message(parcel.events, self._style)
        return formatters.message(parcel.events[0], self._style)

    def _alone(self, item: Due) -> _Message:
        return _Message(formatters.message(item.event, self._style), (item.id,))

    def _summary(self, group: str) -> _Message:
        """Of a whole wave, with what was told singly of it. It may be larger than what is fetched as due."""
        summary, ids = formatters.MassScan(), list[int]()
        for member in self._store.in_group(group):
            summary.add(member.event)
            if member.waits:
                ids.append(member.id)
        return _Message(summary.message(self._style), tuple(ids))

    def _grown(self, group: str, message: tuple[str, int] | None = None) -> _Message | None:
        """What is new of a growing group, and what its message told; None: the image is not there that it is about."""
        told = self._growing.told(group, message)
        return _Message(*told) if told is not None else None

    def texts(self) -> Iterator[str]:
        """What would be sent now, without sending or marking it; what would be changed last."""
        now = self._clock()
        state = self._store.route(str(self._route.chat_id), self._route.message_thread_id)
        chat = _Chat(state.moved_to or self._route.chat_id, state, (), now)
        agenda, memory = self._sorted_out(self._store.due(now, most=MOST_DUE), chat), self._memory
        due, moment = agenda.fresh, self._moment(chat, is_patient=False)
        while True:
            step, memory = plan.decide(due, self._manner, moment, memory)
            if step is None or isinstance(step, plan.Rest):
                break
            told = step.ids
            if isinstance(step, plan.Parcel):
                message = self._message(step)
                told = (*step.ids, *message.ids)
                yield message.text
            due = _without(due, told)
        edits = ((group, (str(chat.id), message.message_id)) for group, message in agenda.edits.items())
        grown = (self._grown(group, message) for group, message in edits)
        yield from (message.text for message in grown if message is not None)

    # -- what need not be said --

    def _folded(self, parcel: plan.Parcel, chat: _Chat) -> Told | None:
        """What belongs to an image that a digest told. That stays as it is, and nobody asks for its signature."""
        parts = [item for item in parcel.items if item.event.type is EventType.PUSH_ARTIFACT]
        if parcel.occasion is not None or not parts or not all(map(_is_of_push, parcel.items)):
            return None
        image, since = Image.of(parcel.group or ""), parts[0].event.occurred_at - ANSWERS_PUSH
        if image.digest is None or any(image.is_pushed_by(item.event) for item in parts):
            return None
        told = self._store.message_of_push(image.repository, [image.digest], str(chat.id), since=since)
        if told is None or any(image.is_pushed_by(member.event) for member in self._store.in_group(parcel.group or "")):
            return None
        ids = [item.id for item in parts]
        _log.info("push.folded", message_id=told, events=len(ids))
        self._store.fold_into(ids, chat_id=str(chat.id), message_id=told, now=chat.now)
        return Told(len(ids))

    # -- sending --

    def _send(self, parcel: plan.Parcel, chat: _Chat) -> Told | Wait:
        route = chat.route
        tries_topic = not route.topic_lost or self._may_try_topic(chat.now)
        thread_id = self._route.message_thread_id if tries_topic else None
        message = self._message(parcel)
        attempt = self._store.claim(str(chat.id), self._clock())
        outcome = self._send_text(message.text, parcel, chat, thread_id)
        self._heed(outcome)
        match outcome:
            case Sent():
                topic_lost = outcome.topic_lost if tries_topic else route.topic_lost
                fresh = _answering(route, outcome.moved_to, topic_lost=topic_lost)
                self._report(outcome, message, parcel, is_topic_news=topic_lost and not route.topic_lost)
                return self._sent(message, parcel, outcome, attempt, chat, fresh)
            case MessageRefused(reason, description):
                return self._refused(parcel, message, attempt, reason, description, chat.now)
            case Later() | ChatRefused():
                return self._hold(message.ids, attempt, route, outcome)

    def _send_text(self, text: str, parcel: plan.Parcel, chat: _Chat, thread_id: int | None) -> Outcome:
        types = {event.type for event in parcel.events}
        return self._telegram.send(
            chat.id,
            thread_id,
            text,
            formatters.plain(text),
            silent=types <= self._route.silent | WITHOUT_SOUND,
            reply_to=self._answers(parcel, chat),
        )

    def _answers(self, parcel: plan.Parcel, chat: _Chat) -> int | None:
        """The message about the push of what was scanned."""
        event = parcel.events[0]
        is_about_image = parcel.occasion is None and not parcel.is_of_wave and self._manner.is_calm
        if not is_about_image or event.type not in SCAN_TYPES or event.repository is None:
            return None
        since = event.occurred_at - ANSWERS_PUSH
        return self._store.message_of_push(event.repository.full_name, event.image_digests, str(chat.id), since=since)

    def _may_try_topic(self, now: datetime) -> bool:
        """A closed topic may be opened again: look once an hour, and after every start."""
        if self._topic_tried is not None and timedelta(0) <= now - self._topic_tried < TRY_TOPIC_AGAIN:
            return False
        self._topic_tried = now
        return True

    def _sent(
        self, message: _Message, parcel: plan.Parcel, outcome: Sent, attempt: int, chat: _Chat, learnt: RouteState
    ) -> Told:
        now = self._clock()  # the pace counts from the answer on, however long Telegram took
        self._tried(Result.SENT, outcome.reason, now - min(item.since for item in parcel.items))
        if parcel.occasion is formatters.Occasion.BACKLOG:
            self._memory = plan.after_digest(self._memory, self._manner, chat.route.digest_at, now)
            learnt = replace(learnt, digest_at=now)
        told = partial(
            self._store.told,
            message.ids,
            chat_id=str(outcome.moved_to or chat.id),
            message_id=outcome.message_id,
            now=now,
            reason=outcome.reason,
            attempt=attempt,
            route=learnt if learnt != chat.route else None,
            leave_group=[item.id for item in parcel.items if parcel.occasion and _grows(item)],
        )
        self._note(told)
        return Told(len(message.ids))

    def _refused(
        self, parcel: plan.Parcel, message: _Message, attempt: int, reason: str, description: str, now: datetime
    ) -> Told:
        """This text will never be taken. What was folded into it may still be told singly."""
        _log.error("message.refused", reason=reason, description=description, events=len(message.ids))
        self._tried(Result.REFUSED, reason)
        if parcel.group is not None and parcel.is_of_wave:
            self._note(partial(self._store.loosen, parcel.group, attempt=attempt))
            return Told(0)
        is_of_group = parcel.group is not None and _grows(parcel.items[0])
        if len(message.ids) > 1 or is_of_group:
            self._note(partial(self._store.tell_singly, message.ids, attempt=attempt))
            return Told(0)
        self._note(partial(self._store.refused, message.ids, f"{reason}: {description}", now, attempt=attempt))
        return Told(1)

    def _hold(self, ids: Sequence[int], attempt: int, route: RouteState, why: Later | ChatRefused) -> Wait:
        """Keep everything and stop talking to this chat for a while."""
        description = why.description if isinstance(why, ChatRefused) else ""
        failures = route.failures if route.needs_operator is bool(description) else 0  # of this kind, in a row
        seconds = _seconds_held(why, failures)
        self._troubles.failed(
            KEPT.of(route=self._route.name),
            kind=why.reason,
            needs_person=bool(description),
            reason=why.reason,
            description=description,
            retry_in=round(seconds),
        )
        self._tried(Result.KEPT, why.reason)
        now = self._clock()  # after the answer, which may have taken long
        held = replace(
            route,
            blocked_until=now + timedelta(seconds=seconds),
            blocked_at=now,
            needs_operator=bool(description),
            reason=f"{why.reason}: {description}" if description else why.reason,
            failures=failures + 1,
        )
        self.trouble, self._is_well = ChatTrouble(self._route.name, held.reason, held.needs_operator), False
        maybe_at = now if why.reason in MAYBE_DELIVERED else None
        attempted = partial(self._store.attempted, ids, why.reason, attempt=attempt, maybe_at=maybe_at, route=held)
        self._note(attempted)
        return Wait(seconds, held.reason, held.needs_operator)

    def _heed(self, outcome: Outcome | EditOutcome) -> None:
        """It counts for the bot's pace. An answer about the message itself: the chat is there again."""
        self._lately.append(self._clock())
        if not isinstance(outcome, Later | ChatRefused):
            self.trouble = None
            self._troubles.went_well(KEPT.of(route=self._route.name))

    def _report(self, outcome: Sent, message: _Message, parcel: plan.Parcel, *, is_topic_news: bool) -> None:
        sent, first = {"message_id": outcome.message_id, "events": len(message.ids)}, parcel.events[0].key
        _log.info("message.sent", route=self._route.name, **sent, first=first)
        if outcome.moved_to is not None:
            _log.warning("chat.moved", chat_id=outcome.moved_to, remedy="put this id into [telegram] chat_id")
        if is_topic_news:
            _log.warning("topic.lost", remedy="messages go to the chat itself; correct [telegram] message_thread_id")
        if outcome.as_plain:
            _log.error("message.sent_plain", reason=outcome.reason, first=first)

    # -- changing what was sent --

    def _edit(self, group: str, agenda: _Agenda, chat: _Chat) -> Told | Wait:
        known = agenda.known[group]
        message = self._grown(group, (str(chat.id), known.message_id))
        if message is None:
            return self._send_first_of(group, chat)
        attempt = self._store.claim(str(chat.id), self._clock())
        outcome = self._telegram.edit(chat.id, known.message_id, message.text, formatters.plain(message.text))
        self._heed(outcome)
        match outcome:
            case Edited():
                return self._edited(message, known.message_id, outcome, attempt, chat)
            case CannotEdit(reason, moved_to):
                return self._cannot_edit(known.message_id, attempt, chat, reason, moved_to)
            case MessageRefused(reason, description):
                _log.error("edit.refused", reason=reason, description=description, events=len(message.ids))
                self._tried(Result.REFUSED, reason)
                self._note(partial(self._store.tell_singly, message.ids, attempt=attempt))
                return Told(0)
            case Later() | ChatRefused():
                return self._hold(message.ids, attempt, chat.route, outcome)

    def _send_first_of(self, group: str, chat: _Chat) -> Told | Wait:
        """Of a group whose image has not come: its next event, for itself."""
        due = self._store.due(chat.now, most=MOST_DUE)
        return self._send(plan.Parcel(tuple(item for item in due if item.group == group)[:1]), chat)

    def _edited(self, message: _Message, message_id: int, outcome: Edited, attempt: int, chat: _Chat) -> Told:
        self._refused_edits = 0
        self._tried(Result.EDITED, outcome.reason)
        _log.info("message.edited", message_id=message_id, events=len(message.ids))
        if outcome.as_plain:
            _log.error("message.edited_plain", reason=outcome.reason, message_id=message_id)
        fresh = _answering(chat.route, None, topic_lost=chat.route.topic_lost)
        told = partial(
            self._store.told_by_edit,
            message.ids,
            chat_id=str(chat.id),
            message_id=message_id,
            now=self._clock(),
            attempt=attempt,
            route=fresh if fresh != chat.route else None,
        )
        self._note(told)
        return Told(len(message.ids))

    def _cannot_edit(self, message_id: int, attempt: int, chat: _Chat, reason: str, moved_to: int | None) -> Told:
        """What is new is told in a message of its own, to which the rest comes then."""
        _log.warning("message.not_editable", reason=reason, message_id=message_id)
        self._tried(Result.NOT_EDITABLE, reason)
        self._fixed.add((str(chat.id), message_id))
        self._refused_edits += moved_to is None
        moved = replace(chat.route, moved_to=moved_to) if moved_to is not None else None
        if moved is not None:
            _log.warning("chat.moved", chat_id=moved_to, remedy="put this id into [telegram] chat_id")
        self._note(partial(self._store.attempted, (), reason, attempt=attempt, route=moved))
        return Told(0)

    def _tried(self, result: Result, reason: str, waited: timedelta | None = None) -> None:
        self._sink(Tried(self._route.name, result, reason, waited.total_seconds() if waited is not None else None))

    def _wait_for(self, route: RouteState, now: datetime) -> Wait:
        assert route.blocked_until is not None
        seconds = (route.blocked_until - now).total_seconds() if self._store.has_due(now) else None
        return Wait(seconds, route.reason, route.needs_operator)


def _manner(config: Config, route: Route) -> plan.Manner:
    delivery = config.delivery
    return plan.Manner(
        is_calm=delivery.is_calm or route.every is not None,
        settle=timedelta(seconds=delivery.settle),
        max_delay=timedelta(seconds=delivery.max_delay),
        catch_up_after=timedelta(seconds=delivery.catch_up_after),
        important=config.scans.important,
        quiet_until=route.quiet_hours.until if route.quiet_hours else None,
        every=timedelta(seconds=route.every) if route.every else None,
    )


def _seconds_held(why: Later | ChatRefused, failures: int) -> float:
    if isinstance(why, ChatRefused):
        return backoff.pause(failures, first=30, most=1800)
    return why.after or backoff.pause(failures, first=2, most=LONGEST_PAUSE_S)


def _may_be_larger(step: plan.Parcel | plan.Rest | None) -> bool:
    """Whether it is a digest that takes in all there is."""
    occasion = step.occasion if isinstance(step, plan.Parcel) else None
    return occasion is not None and occasion is not formatters.Occasion.BACKFILL


def _look_again_at(step: plan.Rest | None, waiting: int, now: datetime) -> datetime | None:
    if step is None or step.reason != "flood" or waiting < MANY:
        return None
    return min(step.until, now + LOOK_AGAIN)


def _grows(item: Due) -> bool:
    """Whether it is told in a message that changes with its group."""
    return item.mode is not Mode.SINGLE and (item.group or "").startswith(plan.GROWING)


def _is_of_push(item: Due) -> bool:
    return _grows(item) and (item.group or "").startswith(plan.PUSH)


def _without(due: Sequence[Due], ids: Sequence[int]) -> list[Due]:
    gone = set(ids)
    return [item for item in due if item.id not in gone]


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
