"""How `setup` finds the chat: it listens to what the bot hears, and a person chooses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from poller import config_values as values
from poller.chats import FoundChat, Update, found_in
from poller.errors import ConfigError, PollerError
from poller.setup_asking import Person, fitting
from poller.setup_plan import ChatAnswer
from poller.telegram import Me, Telegram, TelegramRefused, TelegramUnavailable

FULL_PAGE = 100
LONGEST_WAIT = 25.0  # seconds, of one question
BETWEEN_LOOKS = 1.0
MORE = "+"

_CONFLICTS = {
    "webhook": "the bot's messages go to a webhook, so they cannot be read here: give the chat with --chat-id, or"
    " remove the webhook (Bot API: deleteWebhook) if nobody needs it",
    "": "another program reads the messages of this bot: stop it for a minute, or give the chat with --chat-id",
}


@dataclass(slots=True)
class Listener:
    """Reads updates without confirming them, so that they stay for whoever else reads them.

    Only a full page has to be confirmed, but for its last one: what comes after it would not be seen otherwise.
    """

    telegram: Telegram
    sleep: Callable[[float], None]
    _heard: dict[int, Update] = field(default_factory=dict)
    _offset: int | None = None

    @property
    def chats(self) -> tuple[FoundChat, ...]:
        return found_in(self._heard[update_id] for update_id in sorted(self._heard))

    def listen(self, seconds: float) -> bool:
        """Whether anything was heard that was not known, for at most so long."""
        until = time.monotonic() + seconds
        while not self._look(max(0.0, min(LONGEST_WAIT, until - time.monotonic()))):
            if time.monotonic() >= until:
                return False
        return True

    def _look(self, wait: float) -> bool:
        """What waits unconfirmed is answered at once, whatever time is named: then the pause is ours."""
        if self._heard:
            self.sleep(min(wait, BETWEEN_LOOKS))
        known = len(self._heard)
        page = self._updates(0 if self._heard else math.ceil(wait))
        self._heard |= {update.update_id: update for update in page}
        if len(page) >= FULL_PAGE:
            self._offset = page[-1].update_id
        return len(self._heard) > known

    def _updates(self, wait: int) -> tuple[Update, ...]:
        try:
            return self.telegram.updates(self._offset, wait)
        except TelegramUnavailable:  # it was there a moment ago, when the token was tried
            self.sleep(BETWEEN_LOOKS)
            return ()
        except TelegramRefused as error:
            said = str(error)
            if " 409" not in said:
                raise
        raise ConfigError(next(text for word, text in _CONFLICTS.items() if word in said))


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said of the chat beforehand. `wait`: so many seconds for the first one, if nobody is there."""

    chat_id: str | None
    topic: str | None
    language: str | None
    wait: float


def choose_chat(bot: Me, listener: Listener, person: Person, wish: Wish) -> ChatAnswer:
    """The chat that was named, or one that the bot hears of. The bot may write there."""
    if wish.chat_id is not None:
        return _named(listener.telegram, wish.chat_id, wish)
    person.say(
        f"Now the chat. Open https://t.me/{bot.username} and press Start, or add the bot to your group and write"
        f" /start@{bot.username} there; in a group with topics, in the topic. (In a channel: make it an administrator.)"
    )
    if not person.is_there:
        return _only_one(listener, wish)
    try:
        return _chosen(listener, person, wish)
    except ConfigError as error:  # it cannot be listened to; a number is as good
        person.object(error)
    return person.ask("Chat id", lambda text: _named(listener.telegram, text, wish))


def _only_one(listener: Listener, wish: Wish) -> ChatAnswer:
    until = time.monotonic() + wish.wait
    while not listener.chats and time.monotonic() < until:
        listener.listen(until - time.monotonic())
    if not listener.chats:
        raise ConfigError(f"the bot has heard of no chat within {wish.wait:g} s; write to it, or give --chat-id")
    if len(listener.chats) > 1:
        named = "; ".join(f"{chat.label}: {_flags(chat)}" for chat in listener.chats)
        raise ConfigError(f"the bot has heard of several chats, choose one by flags: {named}")
    return _answer(listener.telegram, listener.chats[0], wish)


def _flags(chat: FoundChat) -> str:
    return f"--chat-id {chat.chat_id}" + (f" --topic {chat.thread_id}" if chat.thread_id is not None else "")


def _chosen(listener: Listener, person: Person, wish: Wish) -> ChatAnswer:
    shown: tuple[FoundChat, ...] = ()
    while True:
        _wait_for_others(listener, person, shown)
        chats = shown = listener.chats
        for number, chat in enumerate(chats, 1):
            person.say(f"  {number}  {chat.label}")
        default = "1" if len(chats) == 1 else None
        text = person.text(f"Which one? Its number, a chat id, or {MORE} to wait for another", default=default)
        if text == MORE:
            continue
        try:
            return _read(text, chats, listener.telegram, wish)
        except PollerError as error:
            person.object(error)
            shown = ()


def _wait_for_others(listener: Listener, person: Person, shown: tuple[FoundChat, ...]) -> None:
    """Until the chats are not those that were shown; only for a while if there are some, which can be chosen, too."""
    if listener.chats == shown:
        person.say("  … waiting for the bot to hear of a chat (Ctrl-C ends)")
    while listener.chats == shown:
        listener.listen(LONGEST_WAIT)
        if listener.chats != shown:
            return
        person.say("  … nothing yet: did you write to this bot? In a group it hears only what names it")
        if shown:
            return


def _read(text: str, chats: Sequence[FoundChat], telegram: Telegram, wish: Wish) -> ChatAnswer:
    if text.isdecimal() and 1 <= int(text) <= len(chats):
        return _answer(telegram, chats[int(text) - 1], wish)
    return _named(telegram, text, wish)


def _answer(telegram: Telegram, found: FoundChat, wish: Wish) -> ChatAnswer:
    _check_standing(telegram, found.chat_id)
    language = wish.language or (("ru" if found.language == "ru" else "en") if found.language else "ru")
    return ChatAnswer(found.chat_id, found.thread_id, found.label, language)


def _named(telegram: Telegram, text: str, wish: Wish) -> ChatAnswer:
    chat_id = fitting("the chat id", values.chat_id)(text)
    thread_id = fitting("--topic", values.message_thread_id)(wish.topic) if wish.topic else None
    label = _check_standing(telegram, chat_id) or str(chat_id)
    return ChatAnswer(chat_id, thread_id, label + (f", topic {thread_id}" if thread_id else ""), wish.language or "ru")


def _check_standing(telegram: Telegram, chat_id: int | str) -> str:
    """The chat's title. Raises if the bot cannot write there."""
    try:
        chat = telegram.chat(chat_id)
        if chat.type != "private" and not telegram.membership(chat_id).can_send(chat):
            raise ConfigError(
                f"the bot may not write in {chat.title or chat_id}: an administrator of the chat has to let it"
            )
    except TelegramRefused as error:
        hint = (
            "; add the bot to it (a person presses Start), or correct the number" if "not found" in str(error) else ""
        )
        raise ConfigError(f"the bot cannot reach the chat {chat_id}: {error}{hint}") from None
    return chat.title
