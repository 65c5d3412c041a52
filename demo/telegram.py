"""A Telegram that runs on loopback: the Bot API over real HTTP, for the demo, the tests and the benchmarks.

It parses texts with Telegram's own library, so what Telegram would refuse is refused here too; it keeps Telegram's
limits; and it can fail in every way that Telegram fails. `messages` holds what people would see.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from demo.door import Call, Door, Reply
from demo.telegram_failures import (
    AFTER_ACCEPTANCE,
    OF_CHAT,
    OF_EDIT,
    OF_LIMITS,
    OF_MARKUP,
    OF_REPLY,
    OF_TEXT,
    OF_TOKEN,
    OF_TOPIC,
    PAGES,
    TRANSPORT,
    Kind,
    Refused,
    refused,
)
from demo.telegram_parser import Entity, Fields, Parser, utf16_units
from demo.telegram_updates import ANN, LONGEST_WAIT, MOST_AT_ONCE, Inbox, Person, is_heard, other_consumer

__all__ = [
    "ALWAYS",
    "ANN",
    "TOKEN",
    "Chat",
    "Edit",
    "Entity",
    "Kind",
    "Message",
    "Person",
    "Request",
    "TelegramStandIn",
]

TOKEN = "123456:TEST-TOKEN"
BOT_NAME = "test_bot"
LONGEST_TEXT = 4096  # UTF-16 units, after parsing
LONGEST_REQUEST_TEXT = 32 * 1024  # bytes, before
MOST_ENTITIES = 100
GROUP_PER_MINUTE = 20
CHAT_BURST = 5  # messages at once in a chat that then takes one a second
BOT_PER_SECOND = 30

ALWAYS = 10**9
"""For `fail(kind, times=ALWAYS)`: until `heal()`."""


# -- what people see --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message in a chat. `text` is what people read, `markdown` is what was sent."""

    chat_id: int | str
    thread_id: int | None
    message_id: int
    text: str
    entities: tuple[Entity, ...]
    markdown: str
    parse_mode: str
    sent_at: datetime
    silent: bool
    reply_to_message_id: int | None = None
    reply_markup: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """A new text of a message. People are not told of it: no sound, and no unread message."""

    chat_id: int | str
    message_id: int
    text: str
    before: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it arrived; `headers` have lower-case names."""

    method: str
    fields: Fields
    headers: Mapping[str, str]


@dataclass(slots=True)
class Chat:
    """A chat; whoever holds it may change it. `topics` None: any topic is taken (`is_forum`), or ignored (no forum)."""

    id: int | str
    type: str = "supergroup"
    title: str = "Releases"
    topics: set[int] | None = None
    topic_names: dict[int, str] = field(default_factory=dict)
    closed_topics: set[int] = field(default_factory=set)
    is_forum: bool = False
    bot_status: str = "member"  # administrator, member, restricted, left, kicked; of a person: blocked, deactivated
    members_can_send: bool = True
    moved_to: int | None = None
    accepted: deque[float] = field(default_factory=deque)  # of the last minute
    blocked_until: float = -math.inf


# -- the limits -------------------------------------------------------------------------------------


class Limits:
    """What Telegram lets a bot send: in a group, in a chat, and altogether. Sliding windows, in seconds."""

    def __init__(self) -> None:
        self._of_bot: deque[float] = deque()

    def pause(self, chat: Chat, now: float) -> float:
        """Seconds until the next message is taken; 0 if it is taken now."""
        pauses = [_pause(self._of_bot, now, 1, BOT_PER_SECOND), _pause(chat.accepted, now, CHAT_BURST, CHAT_BURST)]
        if chat.type != "private":
            pauses.append(_pause(chat.accepted, now, 60, GROUP_PER_MINUTE))
        return max(pauses)

    def count(self, chat: Chat, now: float) -> None:
        for times, window in ((self._of_bot, 1), (chat.accepted, 60)):
            times.append(now)
            while times[0] <= now - window:
                times.popleft()


def _pause(times: deque[float], now: float, window: float, most: int) -> float:
    """How long until fewer than `most` of the times lie in the last `window` seconds."""
    if len(times) < most:
        return 0
    return max(0.0, times[-most] + window - now)


# -- the bot ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Failure:
    kind: Kind
    times: int
    parameters: Fields


class TelegramStandIn:
    """One bot and its chats. Use it as a context manager; `url` is the `api_url`.

    `clock` gives seconds (monotonic) or a datetime; the limits and `sent_at` follow it. Unless `strict`, a chat that
    was not added is made up when it is first written to: with any topic, and the bot in it.
    """

    def __init__(
        self,
        token: str = TOKEN,
        *,
        clock: Callable[[], float] | Callable[[], datetime] = time.monotonic,
        strict: bool = False,
        port: int = 0,
    ) -> None:
        self.token = token
        self.messages: list[Message] = []
        self.edits: list[Edit] = []
        self.requests: list[Request] = []
        self.rate_limit_hits = 0
        """Messages that came too fast."""
        self.violations = 0
        """Messages that came although Telegram had named a pause which was not over."""
        self.entities_dropped = 0
        """Entities beyond the hundredth of a message, which nobody sees."""
        self.chats: dict[int | str, Chat] = {}
        self.can_join_groups = True
        self.is_private = True
        """Privacy mode: in groups the bot does not see what people write, unless it is a command or an answer."""
        self._clock = clock
        self._is_strict = strict
        self._failures: list[_Failure] = []
        self._parser = Parser()
        self._limits = Limits()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._is_behind_gateway = False
        self._door = Door(self._answer, port)
        self._message_ids = itertools.count(1)
        self._inbox = Inbox()

    # -- for the test or demo that holds it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._door.port}"

    @property
    def texts(self) -> list[str]:
        """What people have read, oldest first."""
        return [message.text for message in self.messages]

    def add_chat(
        self,
        id: int | str,
        type: str | None = None,
        *,
        topics: Iterable[int] | None = None,
        bot_is_member: bool = True,
        title: str = "Releases",
    ) -> Chat:
        """A chat with these forum topics; None: no forum, except that a made-up chat takes any topic."""
        kind = type or _likely_type(id)
        chat = Chat(
            id=id,
            type=kind,
            title=title,
            topics=None if topics is None else set(topics),
            is_forum=topics is not None,
            bot_status=("administrator" if kind == "channel" else "member") if bot_is_member else "left",
        )
        self.chats[id] = chat
        return chat

    # -- what people do, and the bot hears of

    def write(self, chat: Chat, text: str, by: Person = ANN, *, topic: int | None = None) -> None:
        """Somebody writes in a chat. In groups the bot hears it only if it is meant, unless it is an administrator."""
        with self._changed:
            is_administrator = chat.bot_status == "administrator"
            if is_heard(text, chat.type, BOT_NAME, is_administrator=is_administrator):
                self._hear(chat, by, {"text": text}, topic)

    def add_bot(self, chat: Chat, by: Person = ANN, *, status: str = "member") -> None:
        """Somebody adds the bot to a chat, or makes it an administrator; in a private chat: presses Start anew."""
        self._move_bot(chat, status, by)

    def remove_bot(self, chat: Chat, by: Person = ANN) -> None:
        self._move_bot(chat, "kicked", by)

    def create_topic(self, chat: Chat, topic: int, name: str, by: Person = ANN) -> None:
        """Service messages are heard in privacy mode, too."""
        with self._changed:
            chat.topics = (chat.topics or set()) | {topic}
            chat.topic_names[topic] = name
            self._hear(chat, by, {"forum_topic_created": {"name": name, "icon_color": 7322096}}, topic)

    def upgrade(self, chat: Chat, new_id: int, by: Person = ANN) -> None:
        """Somebody does what makes a group a supergroup."""
        with self._changed:
            self.migrate(chat, new_id)
            self._hear(chat, by, {"migrate_to_chat_id": new_id}, None)
            self._hear(self.chats[new_id], by, {"migrate_from_chat_id": chat.id}, None)

    def set_webhook(self, url: str) -> None:
        """Somebody has the updates sent to a server of theirs; "" ends that."""
        self._inbox.webhook = url

    @property
    def waiting_updates(self) -> int:
        return len(self._inbox.waiting)

    def _move_bot(self, chat: Chat, status: str, by: Person) -> None:
        with self._changed:
            old, chat.bot_status = chat.bot_status, status
            about = {"chat": _chat_json(chat, by), "from": by.to_json(), "date": int(self._now().timestamp())}
            members = {
                key: {"status": each, "user": self._me()} for key, each in zip(_OLD_NEW, (old, status), strict=True)
            }
            self._inbox.put("my_chat_member", about | members)
            self._changed.notify_all()

    def _hear(self, chat: Chat, by: Person, content: Fields, topic: int | None) -> None:
        message: Fields = {
            "message_id": next(self._message_ids),
            "date": int(self._now().timestamp()),
            "chat": _chat_json(chat, by),
        }
        message |= content if chat.type == "channel" else {"from": by.to_json(), **content}
        if topic is not None:
            message |= {"message_thread_id": topic, "is_topic_message": True}
            if topic in chat.topic_names and "forum_topic_created" not in content:
                created = {"forum_topic_created": {"name": chat.topic_names[topic], "icon_color": 7322096}}
                message["reply_to_message"] = {"message_id": topic, "chat": message["chat"], **created}
        self._inbox.put("channel_post" if chat.type == "channel" else "message", message)
        self._changed.notify_all()

    def _get_updates(self, fields: Fields) -> list[Fields]:
        """Waits, if nothing is there. Whoever asks meanwhile takes the place of who waits."""
        inbox = self._inbox
        inbox.check_webhook()
        inbox.consumers += 1
        mine = inbox.consumers
        inbox.confirm(int(fields.get("offset") or 0))
        self._changed.notify_all()
        wait = min(float(fields.get("timeout") or 0), LONGEST_WAIT)
        self._changed.wait_for(lambda: inbox.waiting or inbox.consumers != mine or self._closing.is_set(), timeout=wait)
        if inbox.consumers != mine:
            raise other_consumer()
        return inbox.waiting[: min(int(fields.get("limit") or MOST_AT_ONCE), MOST_AT_ONCE)]

    # -- failures, for the test or demo that holds it

    def delete(self, message_id: int) -> None:
        """Somebody in the chat deletes a message."""
        with self._changed:
            self.messages[:] = [message for message in self.messages if message.message_id != message_id]

    def migrate(self, chat: Chat, new_id: int) -> None:
        """Make a group a supergroup: the old id is refused from now on."""
        chat.moved_to = new_id
        if new_id not in self.chats:
            self.add_chat(new_id, "supergroup", title=chat.title).is_forum = chat.is_forum

    def fail(self, kind: Kind | str, times: int = 1, **parameters: Any) -> None:
        """The next `times` requests that get as far as this kind of error meet it. `Kind` lists the parameters."""
        with self._changed:
            self._failures.append(_Failure(Kind(kind), times, parameters))

    def heal(self) -> None:
        """Forget every failure that was ordered."""
        with self._changed:
            self._failures.clear()

    def away(self, *, behind_gateway: bool = False) -> None:
        """Refuse connections; behind a gateway, answer 502."""
        self._is_behind_gateway = behind_gateway
        if not behind_gateway:
            self._door.close()

    def back(self) -> None:
        self._is_behind_gateway = False
        self._door.open()

    def wait_for_messages(self, count: int, timeout_s: float = 10) -> list[Message]:
        """All messages, once there are so many; TimeoutError if there never are."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, timeout_s):
                raise TimeoutError(f"{len(self.messages)} of {count} messages after {timeout_s} s")
            return list(self.messages)

    def close(self) -> None:
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._door.close()

    def __enter__(self) -> Self:
        self._door.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # -- one request

    def _answer(self, call: Call) -> Reply:
        token, method = _split(call.path)
        try:
            fields = _read_fields(call)
        except ValueError:
            return _refusal(Refused(400, "Bad Request: can't parse JSON object"))
        with self._changed:
            self.requests.append(Request(method, fields, call.headers))
            if self._is_behind_gateway:
                return _page(Kind.BAD_GATEWAY)
            failure = self._take(TRANSPORT)
            if failure is not None:
                return _transport_reply(failure)
            reply = self._call(token, method, fields)
            late = self._take(AFTER_ACCEPTANCE) if reply.status == 200 else None
        return self._spoil(reply, late)

    def _call(self, token: str, method: str, fields: Fields) -> Reply:
        try:
            self._check_token(token)
            handler = self._handlers().get(method.lower())
            if handler is None:
                raise Refused(404, "Not Found: method not found")
            result = handler(fields)
        except Refused as no:
            return _refusal(no)
        return _json(200, {"ok": True, "result": result})

    def _spoil(self, reply: Reply, late: _Failure | None) -> Reply:
        """An answer that does not arrive, or late, or not as it was, although the message was accepted."""
        if late is None:
            return reply
        if late.kind is Kind.DROP_AFTER:
            return Reply(0)
        if late.kind is Kind.GARBLED:
            return _page(Kind.GARBLED)
        self._closing.wait(late.parameters.get("seconds", 8))
        return reply

    def _handlers(self) -> dict[str, Callable[[Fields], object]]:
        return {
            "sendmessage": self._send,
            "editmessagetext": self._edit,
            "getme": lambda _: self._me(),
            "getchat": self._get_chat,
            "getchatmember": self._get_member,
            "getupdates": self._get_updates,
        }

    def _check_token(self, token: str) -> None:
        self._meet(OF_TOKEN)
        if token != self.token:
            looks_like_one = re.fullmatch(r"\d+:[\w-]+", token)
            raise refused(Kind.UNAUTHORIZED if looks_like_one else Kind.NOT_FOUND)

    def _me(self) -> Fields:
        bot_id = self.token.partition(":")[0]
        return {
            "id": int(bot_id) if bot_id.isdecimal() else 1,
            "is_bot": True,
            "first_name": "Bot",
            "username": BOT_NAME,
            "can_join_groups": self.can_join_groups,
            "can_read_all_group_messages": not self.is_private,
        }

    # -- sending: errors of the text come first, then those of the chat, the limits last

    def _send(self, fields: Fields) -> Fields:
        text, entities = self._read_text(fields)
        chat = self._open_chat(fields)
        thread_id = self._topic(chat, fields)
        replied = self._replied(chat, fields)
        if replied is not None:
            thread_id = self._topic_of_reply(chat, thread_id, replied)
        self._keep_pace(chat)
        message = Message(
            chat_id=chat.id,
            thread_id=thread_id,
            message_id=next(self._message_ids),
            text=text,
            entities=entities,
            markdown=str(fields["text"]),
            parse_mode=str(fields.get("parse_mode", "")),
            sent_at=self._now(),
            silent=_is_true(fields.get("disable_notification")),
            reply_to_message_id=replied,
            reply_markup=_object(fields, "reply_markup"),
        )
        self.messages.append(message)
        self._changed.notify_all()
        return _message_json(message, chat)

    def _edit(self, fields: Fields) -> Fields:
        text, entities = self._read_text(fields)
        chat = self._open_chat(fields)
        index = self._find(chat, fields.get("message_id"))
        self._meet(OF_EDIT)
        if index is None:
            raise refused(Kind.EDIT_NOT_FOUND)
        markup = _object(fields, "reply_markup")  # none: the buttons go
        old = self.messages[index]
        if (old.text, old.entities, old.reply_markup) == (text, entities, markup):
            raise refused(Kind.NOT_MODIFIED)
        self._keep_pace(chat)
        new = replace(old, text=text, entities=entities, markdown=str(fields["text"]), reply_markup=markup)
        self.messages[index] = new
        self.edits.append(Edit(chat.id, new.message_id, text, old.text, self._now()))
        self._changed.notify_all()
        return _message_json(new, chat)

    def _find(self, chat: Chat, message_id: object) -> int | None:
        """Its place among the messages."""
        wanted = (str(chat.id), str(message_id))
        places = (
            index
            for index, message in enumerate(self.messages)
            if (str(message.chat_id), str(message.message_id)) == wanted
        )
        return next(places, None)

    def _replied(self, chat: Chat, fields: Fields) -> int | None:
        """The message that is replied to. Where it is gone, that is an error unless the caller does not mind."""
        reply = _object(fields, "reply_parameters")
        if reply is None:
            return None
        is_gone = self._take(OF_REPLY) is not None or self._find(chat, reply.get("message_id")) is None
        if is_gone and not _is_true(reply.get("allow_sending_without_reply")):
            raise refused(Kind.REPLY_NOT_FOUND)
        return None if is_gone else int(reply["message_id"])

    def _topic_of_reply(self, chat: Chat, named: int | None, replied: int) -> int | None:
        """That of the message which is replied to: another one must not be named, and it must be open.

        As TDLib's MessagesManager does it.
        """
        index = self._find(chat, replied)
        there = None if index is None else self.messages[index].thread_id
        if named is not None and there != named:
            raise Refused(400, "Bad Request: message to reply is not in the specified message thread")
        if there in chat.closed_topics:
            raise refused(Kind.TOPIC_CLOSED)
        return there

    def _read_text(self, fields: Fields) -> tuple[str, tuple[Entity, ...]]:
        text, parse_mode = str(fields.get("text", "")), str(fields.get("parse_mode", ""))
        self._meet(OF_TEXT)
        if not text:
            raise refused(Kind.EMPTY)
        if len(_utf8(text)) > LONGEST_REQUEST_TEXT:
            raise Refused(400, "Bad Request: text is too long")
        if parse_mode:
            self._meet(OF_MARKUP)
        visible, entities = self._parser.parse(text, parse_mode)
        if not visible.strip():
            raise Refused(400, "Bad Request: text must be non-empty")
        if utf16_units(visible.strip()) > LONGEST_TEXT:
            raise refused(Kind.TOO_LONG)
        self.entities_dropped += max(0, len(entities) - MOST_ENTITIES)
        return visible.rstrip(), entities[:MOST_ENTITIES]

    def _open_chat(self, fields: Fields) -> Chat:
        """The chat, if the bot may write there."""
        chat = self._chat(fields)
        failure = self._take(OF_CHAT)
        if failure is not None and failure.kind is Kind.MIGRATED:
            self.migrate(chat, int(failure.parameters.get("migrate_to_chat_id", -1001234567890)))
        elif failure is not None:
            raise _refused(failure, chat)
        if chat.moved_to is not None:
            said = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refused(400, said, migrate_to_chat_id=chat.moved_to)
        _check_standing(chat)
        return chat

    def _chat(self, fields: Fields) -> Chat:
        id = _chat_id(fields.get("chat_id"))
        if id == "":
            raise Refused(400, "Bad Request: chat_id is empty")
        if id not in self.chats:
            if self._is_strict:
                raise refused(Kind.CHAT_NOT_FOUND)
            self.add_chat(id).is_forum = _likely_type(id) == "supergroup"
        return self.chats[id]

    def _topic(self, chat: Chat, fields: Fields) -> int | None:
        if not fields.get("message_thread_id"):
            return None
        thread_id = int(fields["message_thread_id"])
        self._meet(OF_TOPIC)
        if chat.type == "private":
            raise refused(Kind.THREAD_NOT_FOUND)
        if not chat.is_forum:
            return None
        if thread_id == 1 or (chat.topics is not None and thread_id not in chat.topics | chat.closed_topics):
            raise refused(Kind.THREAD_NOT_FOUND)
        if thread_id in chat.closed_topics:
            raise refused(Kind.TOPIC_CLOSED)
        return thread_id

    def _keep_pace(self, chat: Chat) -> None:
        now = self._seconds()
        if now < chat.blocked_until:
            self.violations += 1
            raise _too_many_requests(chat.blocked_until - now)
        failure = self._take(OF_LIMITS)
        pause = self._limits.pause(chat, now) if failure is None else float(failure.parameters.get("retry_after", 1))
        if failure is None and pause > 0:
            self.rate_limit_hits += 1
        if pause > 0:
            no = _too_many_requests(pause)
            chat.blocked_until = now + no.parameters["retry_after"]
            raise no
        self._limits.count(chat, now)

    # -- asking

    def _get_chat(self, fields: Fields) -> Fields:
        chat = self._known_chat(fields)
        answer: Fields = {"id": _numeric(chat.id), "type": chat.type}
        if chat.type == "private":
            return answer | {"first_name": chat.title}
        answer |= {"title": chat.title, "permissions": {"can_send_messages": chat.members_can_send}}
        return answer | ({"is_forum": True} if chat.is_forum else {})

    def _get_member(self, fields: Fields) -> Fields:
        chat = self._known_chat(fields)
        answer: Fields = {"status": chat.bot_status, "user": self._me()}
        if chat.bot_status == "restricted":
            answer |= {"is_member": True, "can_send_messages": False}
        return answer | ({"can_post_messages": True} if chat.bot_status == "administrator" else {})

    def _known_chat(self, fields: Fields) -> Chat:
        chat = self._chat(fields)
        failure = self._take(OF_CHAT)
        if failure is not None and failure.kind is not Kind.MIGRATED:
            raise _refused(failure, chat)
        if chat.bot_status == "kicked" or (chat.bot_status == "left" and isinstance(chat.id, int)):
            _check_standing(chat)  # only a public chat may be looked at from outside
        return chat

    # -- failures and time

    def _take(self, kinds: frozenset[Kind]) -> _Failure | None:
        """The first failure of these kinds that was ordered, counted down."""
        for failure in self._failures:
            if failure.kind in kinds and failure.times > 0:
                failure.times -= 1
                return failure
        return None

    def _meet(self, kinds: frozenset[Kind]) -> None:
        failure = self._take(kinds)
        if failure is not None:
            raise refused(failure.kind)

    def _seconds(self) -> float:
        moment = self._clock()
        return moment.timestamp() if isinstance(moment, datetime) else moment

    def _now(self) -> datetime:
        moment = self._clock()
        return moment if isinstance(moment, datetime) else datetime.now(UTC)


def _likely_type(id: int | str) -> str:
    if isinstance(id, str):
        return "channel"
    return "private" if id > 0 else "supergroup"


def _check_standing(chat: Chat) -> None:
    standing = {
        "left": Kind.NOT_A_MEMBER,
        "kicked": Kind.KICKED,
        "blocked": Kind.BLOCKED,
        "deactivated": Kind.DEACTIVATED,
    }
    if chat.bot_status in standing:
        raise refused(standing[chat.bot_status], chat.type)
    if chat.bot_status == "restricted":
        raise refused(Kind.NO_RIGHTS)
    if chat.bot_status == "member" and (chat.type == "channel" or not chat.members_can_send):
        raise refused(Kind.NO_RIGHTS)


def _refused(failure: _Failure, chat: Chat) -> Refused:
    if failure.kind is Kind.REFUSED:
        return Refused(failure.parameters.get("code", 400), failure.parameters["description"])
    return refused(failure.kind, chat.type)


def _too_many_requests(pause: float) -> Refused:
    seconds = max(1, math.ceil(pause))
    return Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


def _chat_id(given: object) -> int | str:
    text = "" if given is None else str(given).strip()
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _numeric(id: int | str) -> int:
    """A public channel has a number behind its name."""
    return id if isinstance(id, int) else -1_000_000_000_000 - sum(map(ord, id))


def _is_true(given: object) -> bool:
    return given is True or str(given).lower() in ("true", "1")


def _object(fields: Fields, name: str) -> Fields | None:
    """An argument that is an object; in a form it is written as JSON."""
    given = fields.get(name)
    if not given:
        return None
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, f"Bad Request: can't parse {name.replace('_', ' ')} JSON object")
    return found


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refused(400, "Bad Request: strings must be encoded in UTF-8") from None


_OLD_NEW = ("old_chat_member", "new_chat_member")


def _chat_json(chat: Chat, by: Person) -> Fields:
    """As it stands in updates; a private chat has the name of the person."""
    about: Fields = {"id": _numeric(chat.id), "type": chat.type}
    if chat.type == "private":
        return about | {"first_name": by.first_name, "username": by.username}
    return about | {"title": chat.title} | ({"is_forum": True} if chat.is_forum else {})


def _message_json(message: Message, chat: Chat) -> Fields:
    answer: Fields = {
        "message_id": message.message_id,
        "date": int(message.sent_at.timestamp()),
        "chat": {"id": _numeric(chat.id), "type": chat.type},
        "text": message.text,
    }
    return answer | ({"message_thread_id": message.thread_id} if message.thread_id else {})


# -- the wire ---------------------------------------------------------------------------------------


def _split(path: str) -> tuple[str, str]:
    """`/bot{token}/{method}`; anything else is an empty token."""
    found = re.fullmatch(r"/bot([^/]*)/(\w*)", urlsplit(path).path)
    return (unquote(found[1]), found[2]) if found else ("", "")


def _json(status: int, answer: Fields) -> Reply:
    return Reply(status, json.dumps(answer).encode())


def _refusal(no: Refused) -> Reply:
    answer: Fields = {"ok": False, "error_code": no.code, "description": no.description}
    return _json(no.code, answer | ({"parameters": no.parameters} if no.parameters else {}))


def _page(kind: Kind) -> Reply:
    status, title = PAGES[kind]
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"
    return Reply(status, page.encode(), "text/html")


def _transport_reply(failure: _Failure) -> Reply:
    if failure.kind is Kind.DROP_BEFORE:
        return Reply(0)
    if failure.kind is Kind.INTERNAL:
        return _refusal(Refused(500, "Internal Server Error"))
    if failure.kind is Kind.REDIRECT:
        return Reply(302, headers={"Location": failure.parameters.get("location", "https://example.com/")})
    return _page(failure.kind)


def _read_fields(call: Call) -> Fields:
    """The arguments, from the query, a form or JSON."""
    fields: Fields = dict(parse_qsl(urlsplit(call.path).query))
    if call.headers.get("content-type", "").startswith("application/json"):
        fields.update(json.loads(call.body or b"{}"))
    else:
        fields.update(parse_qsl(call.body.decode(), keep_blank_values=True))
    return fields
