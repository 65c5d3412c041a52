"""What `check` finds out about the bot and its chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import formatters
from poller.config import TelegramConfig
from poller.findings import WRONG, Finding, failure, fine, guarded, warning, wrong
from poller.routes import DEFAULT, Route
from poller.telegram import (
    GENERAL_TOPIC,
    Chat,
    ChatRefused,
    Later,
    MessageRefused,
    Sent,
    Telegram,
    TelegramRefused,
    TelegramUnavailable,
)

TELEGRAM = "Telegram"

_AT_HOME = re.compile(r"\[telegram\] (chat_id|message_thread_id)")

_WRONG_TOKEN = "take the token from @BotFather (/mybots, API Token) and put it into [telegram] bot_token"
_REMEDIES = {
    "telegram.unauthorized": f"{_WRONG_TOKEN}; this one was revoked or belongs to no bot",
    "telegram.not_found": f"{_WRONG_TOKEN}; if api_url is set, correct that",
    "telegram.chat_not_found": "correct [telegram] chat_id, and add the bot to the chat;"
    " a person has to press Start first",
    "telegram.chat_moved": "the group was upgraded to a supergroup: put its new number, which begins with -100, into"
    " [telegram] chat_id",
    "telegram.bot_kicked": "an administrator of the chat has to add the bot again",
    "telegram.not_a_member": "add the bot to the chat",
    "telegram.bot_blocked": "the person has to unblock the bot and press Start",
    "telegram.no_conversation": "the person has to open the bot and press Start",
    "telegram.no_rights": "an administrator of the chat has to let the bot send messages",
    "telegram.untrusted_certificate": "whatever stands between here and Telegram shows another certificate: correct"
    " [telegram] api_url or proxy",
    "telegram.proxy_refused": "correct the user name and password in [telegram] proxy",
    "telegram.topic_not_found": "correct [telegram] message_thread_id: in the link of a message of the topic,"
    " https://t.me/c/<chat>/<topic>/<message>, it is the second number",
    "telegram.topic_closed": "open the topic again, or name another in [telegram] message_thread_id",
}


TestMessage = Callable[[str], str]
"""The text (MarkdownV2) in a language."""


def probe(
    telegram: Telegram, config: TelegramConfig, routes: Sequence[Route], test_message: TestMessage | None
) -> list[Finding]:
    """The bot, and each chat and topic of the routes that tell. `test_message` is sent, if there is one."""
    try:
        bot = telegram.me()
    except TelegramRefused as error:
        return [failure(TELEGRAM, error, _REMEDIES.get(error.reason, ""))]
    except TelegramUnavailable as error:
        return [failure(TELEGRAM, error, _way_to_telegram(config))]
    found = [fine(TELEGRAM, f"the token is that of the bot @{bot.username}")]
    of_topic: dict[tuple[int | str, int | None], Route] = {}
    for route in routes:
        of_topic.setdefault((route.chat_id, route.message_thread_id), route)
    for chat_id in dict.fromkeys(route.chat_id for route in routes):
        here = [route for route in of_topic.values() if route.chat_id == chat_id]
        found += _of_route(here[0], config, _chat_and_topics(telegram, config, here, test_message))
    return found


def _chat_and_topics(
    telegram: Telegram, config: TelegramConfig, routes: Sequence[Route], test_message: TestMessage | None
) -> list[Finding]:
    """A chat, once, and each of its topics that routes lead to."""
    places = [replace(config, chat_id=r.chat_id, message_thread_id=r.message_thread_id) for r in routes]
    found = guarded(TELEGRAM, lambda: _chat(telegram, places, is_sending=test_message is not None))
    if test_message is not None:
        found += [_send(telegram, place, test_message(r.language)) for place, r in zip(places, routes, strict=True)]
    return found


def _of_route(route: Route, config: TelegramConfig, found: Sequence[Finding]) -> list[Finding]:
    """The same, said of a route that has a chat of its own."""
    if route.name == DEFAULT or route.chat_id == config.chat_id:
        return list(found)
    home = f'[[route]] "{route.name}"'
    return [
        replace(each, text=f'route "{route.name}": {each.text}', remedy=_AT_HOME.sub(rf"{home} \1", each.remedy))
        for each in found
    ]


def _way_to_telegram(config: TelegramConfig) -> str:
    if config.proxy:
        return "is the [telegram] proxy running, and does it reach Telegram?"
    return (
        "Telegram is blocked in many networks: a proxy for it goes into [telegram] proxy, such as"
        ' "socks5h://127.0.0.1:1080", or another server of its API into api_url'
    )


# -- the chat ---------------------------------------------------------------------------------------


def _chat(telegram: Telegram, places: Sequence[TelegramConfig], *, is_sending: bool) -> Iterator[Finding]:
    config = places[0]
    try:
        chat = telegram.chat(config.chat_id)
        yield from _standing(telegram, config, chat)
    except TelegramRefused as error:
        yield failure(TELEGRAM, error, _remedy(error.reason, config))
        return
    for place in places:
        yield from _topic(chat, place, is_sending=is_sending)


def _remedy(reason: str, config: TelegramConfig) -> str:
    remedy = _REMEDIES.get(reason, "")
    if reason == "telegram.chat_not_found" and isinstance(config.chat_id, int):
        if config.chat_id > 0:
            return f"{remedy}; the number of a group is negative, such as -1001234567890"
        if not str(config.chat_id).startswith("-100"):
            return f"{remedy}; if the group was upgraded to a supergroup, its number now begins with -100"
    return remedy


def _standing(telegram: Telegram, config: TelegramConfig, chat: Chat) -> Iterator[Finding]:
    name = f'the {chat.type} "{chat.title}"' if chat.title else f"the {chat.type} chat"
    if chat.type == "private":  # only sending shows whether the person has blocked the bot
        yield fine(TELEGRAM, f"{name} {config.chat_id} is there")
        return
    member = telegram.membership(config.chat_id)
    if member.can_send(chat):
        yield fine(TELEGRAM, f"{name} {config.chat_id} is there, and the bot may write in it")
    elif member.status in ("left", "kicked"):
        yield wrong(TELEGRAM, f"the bot is not a member of {name} {config.chat_id}", _REMEDIES["telegram.not_a_member"])
    elif chat.type == "channel":
        yield wrong(
            TELEGRAM,
            f"the bot may not write in {name} {config.chat_id}",
            "make the bot an administrator of the channel, with the right to post messages",
        )
    else:
        yield wrong(TELEGRAM, f"the bot may not write in {name} {config.chat_id}", _REMEDIES["telegram.no_rights"])


def _topic(chat: Chat, config: TelegramConfig, *, is_sending: bool) -> Iterator[Finding]:
    topic = config.message_thread_id
    if topic is None or topic == GENERAL_TOPIC:
        return
    if not chat.is_forum:
        yield warning(
            TELEGRAM,
            f"the chat has no topics, but message_thread_id is {topic}: messages go to the chat itself",
            'set message_thread_id = "" in [telegram], or switch topics on in the settings of the group',
        )
    elif not is_sending:
        yield warning(
            TELEGRAM,
            f"whether the topic {topic} is there was not tried: only sending to it can tell",
            "run check --send, which sends a test message to it",
        )


# -- the test message -------------------------------------------------------------------------------


def _send(telegram: Telegram, config: TelegramConfig, text: str) -> Finding:
    plain, silent = formatters.plain(text), bool(config.silent)
    outcome = telegram.send(config.chat_id, config.message_thread_id, text, plain, silent=silent)
    match outcome:
        case Sent():
            return _sent(outcome, config)
        case Later(reason, after):
            pause = f"; it named a pause of {after:g} s" if after else ""
            return Finding(
                WRONG,
                TELEGRAM,
                f"the test message was not accepted now ({reason}){pause}",
                "try again",
                is_passing=True,
            )
        case ChatRefused(reason, description) | MessageRefused(reason, description):
            return wrong(TELEGRAM, f"the test message was refused: {description}", _remedy(reason, config))


def _sent(sent: Sent, config: TelegramConfig) -> Finding:
    if sent.moved_to is not None:
        return warning(
            TELEGRAM,
            f"the test message went to {sent.moved_to}: the group was upgraded to a supergroup and has a new number",
            f'put chat_id = "{sent.moved_to}" into [telegram]',
        )
    if sent.topic_lost:
        is_closed = sent.reason == "telegram.topic_closed"
        what = "is closed" if is_closed else "is not there (message thread not found)"
        return wrong(
            TELEGRAM,
            f"the topic {config.message_thread_id} {what}; the test message went to the chat itself",
            _REMEDIES["telegram.topic_closed" if is_closed else "telegram.topic_not_found"],
        )
    if sent.as_plain:
        return warning(TELEGRAM, "the test message was accepted only without its markup", "please report this as a bug")
    where = f"the topic {config.message_thread_id}" if config.message_thread_id else "the chat"
    return fine(TELEGRAM, f"the test message is in {where}")
