"""Which chats a bot has heard of: Telegram's updates → chats and topics that messages could go to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_INSIDE = ("creator", "administrator", "member", "restricted")


# -- what Telegram says -----------------------------------------------------------------------------


class Person(msgspec.Struct, frozen=True):
    """Whoever wrote; `language_code` is that of their Telegram, such as "en" or "ru"."""

    language_code: str = ""


class Place(msgspec.Struct, frozen=True):
    """A chat as it stands in an update. A private chat has names instead of a title."""

    id: int
    type: str
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class Topic(msgspec.Struct, frozen=True):
    name: str = ""


class Earlier(msgspec.Struct, frozen=True):
    """What a message replies to. In a topic that is by default the message that created the topic."""

    forum_topic_created: Topic | None = None


class Message(msgspec.Struct, frozen=True):
    chat: Place
    sender: Person | None = msgspec.field(default=None, name="from")
    message_thread_id: int | None = None
    is_topic_message: bool = False
    forum_topic_created: Topic | None = None
    forum_topic_edited: Topic | None = None
    reply_to_message: Earlier | None = None
    migrate_to_chat_id: int | None = None

    @property
    def thread_id(self) -> int | None:
        """That of a topic; a thread of replies outside of forums has a number, too."""
        return self.message_thread_id if self.is_topic_message else None

    @property
    def topic_name(self) -> str:
        first = self.reply_to_message.forum_topic_created if self.reply_to_message else None
        return next((topic.name for topic in (self.forum_topic_edited, self.forum_topic_created, first) if topic), "")


class Standing(msgspec.Struct, frozen=True):
    status: str
    is_member: bool = True

    @property
    def is_inside(self) -> bool:
        return self.status in _INSIDE and self.is_member


class Moved(msgspec.Struct, frozen=True):
    """The bot was added to a chat, removed from it, or given another standing."""

    chat: Place
    new_chat_member: Standing
    sender: Person | None = msgspec.field(default=None, name="from")


class Update(msgspec.Struct, frozen=True):
    """One of the rest is there, or none of them if it is of a kind that says nothing about chats."""

    update_id: int
    message: Message | None = None
    edited_message: Message | None = None
    channel_post: Message | None = None
    my_chat_member: Moved | None = None


# -- what follows from it ---------------------------------------------------------------------------


class FoundChat(msgspec.Struct, frozen=True):
    """A chat, or a topic of it. `title` is a person's name in a private chat; `language` is "" if nobody's is known."""

    chat_id: int
    type: str
    title: str
    thread_id: int | None = None
    topic: str = ""
    language: str = ""

    @property
    def key(self) -> tuple[int, int | None]:
        return self.chat_id, self.thread_id

    @property
    def label(self) -> str:
        """What a person would call it."""
        if self.thread_id is not None:
            return f"{self.title} › {self.topic or f'topic {self.thread_id}'} (topic)"
        kind = "private chat" if self.type == "private" else self.type
        return f"{self.title} ({kind})"


def found_in(updates: Iterable[Update]) -> tuple[FoundChat, ...]:
    """Where the bot is now as far as these tell, in the order in which it came there. A topic without a name in one
    update has it from another."""
    found: dict[tuple[int, int | None], FoundChat] = {}
    for update in updates:
        if update.my_chat_member is not None:
            _move(found, update.my_chat_member)
        for message in (update.message, update.edited_message, update.channel_post):
            if message is not None:
                _hear(found, message)
    return tuple(found.values())


def _move(found: dict[tuple[int, int | None], FoundChat], moved: Moved) -> None:
    if moved.new_chat_member.is_inside:
        _put(found, _chat(moved.chat, moved.sender))
    else:
        _forget(found, moved.chat.id)


def _hear(found: dict[tuple[int, int | None], FoundChat], message: Message) -> None:
    if message.migrate_to_chat_id is not None:  # the old number is of no use any more; the new chat says so itself
        _forget(found, message.chat.id)
        return
    _put(found, _chat(message.chat, message.sender, message.thread_id, message.topic_name))


def _forget(found: dict[tuple[int, int | None], FoundChat], chat_id: int) -> None:
    for key in [key for key in found if key[0] == chat_id]:
        del found[key]


def _put(found: dict[tuple[int, int | None], FoundChat], chat: FoundChat) -> None:
    """Under its last name; what an update does not say is known from before."""
    known = found.get(chat.key)
    if known is not None:
        topic, language = chat.topic or known.topic, chat.language or known.language
        chat = FoundChat(chat.chat_id, chat.type, chat.title, chat.thread_id, topic, language)
    found[chat.key] = chat


def _chat(place: Place, sender: Person | None, thread_id: int | None = None, topic: str = "") -> FoundChat:
    names = f"{place.first_name} {place.last_name}".strip()
    title = place.title or names or place.username or str(place.id)
    language = sender.language_code.partition("-")[0].lower() if sender else ""
    return FoundChat(place.id, place.type, title, thread_id, topic if thread_id is not None else "", language)
