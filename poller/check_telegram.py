"""What `check` finds out about the bot and its chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import formatters
from poller.config import TelegramConfig
from poller.findings import WRONG, Finding, failure, fine, warning, wrong
from poller.routes import DEFAULT, Route
from poller.telegram import (
    API_URL,
    GENERAL_TOPIC,
    Chat,
    ChatRefused,
    Later,
    Me,
    MessageRefused,
    Sent,
    Telegram,
    TelegramRefused,
    TelegramUnavailable,
)
from poller.values import replace

TELEGRAM = "Telegram"
_LEAST_USER = 10_000
"""Numbers of topics are small, those of people are not."""

_AT_HOME = re.compile(r"\[telegram\] (chat_id|message_thread_id)")

_TOKEN = "@BotFather: /mybots → the bot → API Token"
_REMEDIES = {
    "telegram.unauthorized": f"take the token from {_TOKEN}, and put it into [telegram] bot_token (or bot_token_file);"
    " this one was revoked or belongs to no bot",
    "telegram.not_found": f"take the token from {_TOKEN}, and put it into [telegram] bot_token; if api_url is set,"
    " correct that",
    "telegram.chat_not_found": "correct [telegram] chat_id, and add the bot to the chat (its title → Add members);"
    " a person has to press Start first",
    "telegram.chat_moved": "the group was upgraded to a supergroup: put its new number, which begins with -100, into"
    " [telegram] chat_id",
    "telegram.bot_kicked": "an administrator of the chat has to add the bot again: its title → Add members; if it is"
    " under Permissions → Removed users, remove it there first",
    "telegram.not_a_member": "add the bot to the chat: its title → Add members",
    "telegram.bot_blocked": "the person has to unblock the bot and press Start",
    "telegram.user_deactivated": "the person has no account any more: name another chat in [telegram] chat_id",
    "telegram.no_conversation": "the person has to open the bot and press Start",
    "telegram.no_rights": "an administrator of the chat has to let the bot send messages: its title → Edit →"
    " Permissions → Send messages, or make the bot an administrator",
    "telegram.untrusted_certificate": "whatever stands between here and Telegram shows another certificate: correct"
    " [telegram] api_url or proxy",
    "telegram.proxy_refused": "put the proxy's user name and password into [telegram] proxy, as in"
    " socks5h://user:password@host:1080",
    "telegram.redirected": "correct [telegram] api_url",
    "telegram.not_the_api": 'correct [telegram] api_url (Telegram\'s own is "https://api.telegram.org"), or the proxy',
    "telegram.wrong_url": "correct [telegram] api_url or proxy",
    "telegram.topic_not_found": "correct [telegram] message_thread_id: in the link of a message of the topic,"
    " https://t.me/c/<chat>/<topic>/<message>, it is the second number",
    "telegram.topic_closed": "open the topic again (the topic → ⋮ → Reopen topic), or name another in [telegram]"
    " message_thread_id",
}
"""By the reason, which is the code of the finding too."""
_USUAL = "do what Telegram says there, or correct [telegram] chat_id"


_TOPICS_ON = ", or switch topics on: the group's title → Edit → Topics"

TestMessage = Callable[[str], str]
"""The text (MarkdownV2) in a language."""


def probe(
    telegram: Telegram, config: TelegramConfig, routes: Sequence[Route], test_message: TestMessage | None
) -> Iterator[Finding]:
    """The bot, and each chat and topic of the routes that tell. `test_message` is sent, if there is one."""
    try:
        bot = telegram.me()
    except TelegramRefused as error:
        yield failure(error.reason, TELEGRAM, error, _REMEDIES.get(error.reason, _USUAL))
        return
    except TelegramUnavailable as error:
        yield _unavailable(error, config)
        return
    yield _bot(bot)
    of_topic: dict[tuple[int | str, int | None], Route] = {}
    for route in routes:
        of_topic.setdefault((route.chat_id, route.message_thread_id), route)
    called: list[tuple[Route, str]] = []
    for chat_id in dict.fromkeys(route.chat_id for route in routes):
        here = [route for route in of_topic.values() if route.chat_id == chat_id]
        found, title = _Place(telegram, config, bot, here, test_message).look()
        called.append((here[0], title))
        yield from _of_route(here[0], config, found)
    yield from _swapped(called)


def late(config: TelegramConfig, seconds: float) -> Finding:
    return Finding(
        "telegram.too_slow",
        WRONG,
        TELEGRAM,
        f"{config.api_url} did not answer in time ({seconds:.1f} s): what is missing here could not be found out",
        f"{_way_to_telegram(config)}. A slow link: `check --timeout 30`",
        is_passing=True,
    )


def _unavailable(error: TelegramUnavailable, config: TelegramConfig) -> Finding:
    code = error.reason if error.reason in ("telegram.unavailable", "telegram.too_many_requests") else ""
    remedy = "Telegram is overloaded: try again in a minute" if code else _way_to_telegram(config)
    return failure(code or ("telegram.proxy_away" if config.proxy else "telegram.away"), TELEGRAM, error, remedy)


def _bot(bot: Me) -> Finding:
    """Privacy mode hides from the bot what people write in groups. It keeps no message of its own back."""
    privacy = "" if bot.can_read_all_group_messages else "; its privacy mode is on, which does not matter for sending"
    return fine("telegram.bot", TELEGRAM, f"the token is that of the bot @{bot.username}{privacy}")


@dataclass(frozen=True, slots=True)
class _Place:
    """A chat, which is looked at once, and each of its topics that routes lead to."""

    telegram: Telegram
    config: TelegramConfig
    bot: Me
    routes: Sequence[Route]
    test_message: TestMessage | None

    def look(self) -> tuple[list[Finding], str]:
        """What is found, and the title of the chat; "" where that cannot be seen."""
        config = self._places[0]
        if config.chat_id == self.bot.id:
            return [_is_bot(config)], ""
        title, found = "", list[Finding]()
        try:
            chat = self.telegram.chat(config.chat_id)
            title, found = chat.title, [*_standing(self.telegram, self.bot, config, chat), *self._topics(chat)]
        except TelegramRefused as error:
            found.append(failure(error.reason, TELEGRAM, error, _remedy(error.reason, config, self.bot)))
        except TelegramUnavailable as error:
            found.append(_unavailable(error, config))
        known = {each.code for each in found}
        return [*found, *(each for each in self._sent() if each.code not in known)], title

    def _topics(self, chat: Chat) -> Iterator[Finding]:
        for place in self._places:
            yield from _topic(chat, place, is_sending=self.test_message is not None)

    def _sent(self) -> Iterator[Finding]:
        if self.test_message is not None:
            for place, route in zip(self._places, self.routes, strict=True):
                yield _send(self.telegram, place, self.test_message(route.language))

    @property
    def _places(self) -> list[TelegramConfig]:
        return [replace(self.config, chat_id=r.chat_id, message_thread_id=r.message_thread_id) for r in self.routes]


def _is_bot(config: TelegramConfig) -> Finding:
    return wrong(
        "telegram.chat_is_bot",
        TELEGRAM,
        f"the chat {config.chat_id} is the bot itself: its own number stands where the chat's belongs",
        "put the number of the chat into [telegram] chat_id; that of a group begins with -100",
    )


def _swapped(seen: Sequence[tuple[Route, str]]) -> Iterator[Finding]:
    """Two routes of which each has the chat that is called like the other."""
    for number, (one, title) in enumerate(seen):
        for other, other_title in seen[:number]:
            is_crossed = _is_called(other_title, one.name) and _is_called(title, other.name)
            if is_crossed and not (_is_called(title, one.name) or _is_called(other_title, other.name)):
                yield warning(
                    "telegram.chats_swapped",
                    TELEGRAM,
                    f'the route "{other.name}" leads to the chat "{other_title}", and "{one.name}" to "{title}":'
                    " are they swapped?",
                    f'put chat_id = "{one.chat_id}" into [[route]] "{other.name}", and chat_id = "{other.chat_id}" into'
                    f' "{one.name}"; if it is meant so, give the routes other names',
                )


def _is_called(title: str, name: str) -> bool:
    """Whether the title of a chat has every word of a route's name."""
    words = set(re.findall(r"\w+", name.casefold()))
    return bool(words) and words <= set(re.findall(r"\w+", title.casefold()))


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
        return (
            f"start what [telegram] proxy names, or correct it; it must reach Telegram (curl -x PROXY {config.api_url})"
        )
    own = "start the server that [telegram] api_url names, or correct it. " if config.api_url != API_URL else ""
    return (
        f"{own}Telegram is blocked in many networks: a proxy for it goes into [telegram] proxy, such as"
        ' "socks5h://127.0.0.1:1080", or another server of its API into api_url'
    )


# -- the chat ---------------------------------------------------------------------------------------


def _remedy(reason: str, config: TelegramConfig, bot: Me | None = None) -> str:
    remedy = _REMEDIES.get(reason, _USUAL)
    if reason != "telegram.chat_not_found":
        return remedy
    if isinstance(config.chat_id, str):
        return f"{remedy}; a @name is only that of a public group or channel: people and private groups have a number"
    if config.chat_id > 0:
        swapped = "; were chat_id and message_thread_id swapped?" if config.chat_id < _LEAST_USER else ""
        return f"{remedy}; the number of a group is negative, such as -1001234567890{swapped}"
    if bot is not None and not bot.can_join_groups:
        return f"{remedy}; before: @BotFather: /mybots → @{bot.username} → Bot Settings → Allow Groups → Turn groups on"
    if not str(config.chat_id).startswith("-100"):
        return f"{remedy}; if the group was upgraded to a supergroup, its number now begins with -100"
    return remedy


def _standing(telegram: Telegram, bot: Me, config: TelegramConfig, chat: Chat) -> Iterator[Finding]:
    name = f'the {chat.type} "{chat.title}"' if chat.title else f"the {chat.type} chat"
    if chat.type == "private":  # only sending shows whether the person has blocked the bot
        text = f"{name} {config.chat_id} is there; messages go to this one person"
        yield fine("telegram.private_chat", TELEGRAM, text)
        return
    member = telegram.membership(config.chat_id, bot)
    text = f"the bot may not write in {name} {config.chat_id}"
    if member.can_send(chat):
        text = f"{name} {config.chat_id} is there, and the bot may write in it"
        yield fine("telegram.chat", TELEGRAM, text)
    elif member.status in ("left", "kicked"):
        text = f"the bot is not a member of {name} {config.chat_id}"
        yield wrong("telegram.not_a_member", TELEGRAM, text, _REMEDIES["telegram.not_a_member"])
    elif chat.type == "channel":
        remedy = "make the bot an administrator of the channel, with the right to post messages: its title → Edit →"
        yield wrong("telegram.not_an_administrator", TELEGRAM, text, f"{remedy} Administrators → Add administrator")
    else:
        yield wrong("telegram.no_rights", TELEGRAM, text, _REMEDIES["telegram.no_rights"])


def _topic(chat: Chat, config: TelegramConfig, *, is_sending: bool) -> Iterator[Finding]:
    topic = config.message_thread_id
    if topic is None or topic == GENERAL_TOPIC:
        return
    if not chat.is_forum:
        yield warning(
            "telegram.no_topics",
            TELEGRAM,
            f"the chat has no topics, but message_thread_id is {topic}: messages go to the chat itself",
            'set message_thread_id = "" in [telegram]' + _TOPICS_ON * chat.type.endswith("group"),
        )
    elif not is_sending:
        yield warning(
            "telegram.topic_not_tried",
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
                "telegram.not_accepted_now",
                WRONG,
                TELEGRAM,
                f"the test message was not accepted now ({reason}){pause}",
                f"try again{f' in {after:g} s' if after else ''}: `check --send`",
                is_passing=True,
            )
        case ChatRefused(reason, description) | MessageRefused(reason, description):
            return wrong(reason, TELEGRAM, f"the test message was refused: {description}", _remedy(reason, config))


def _sent(sent: Sent, config: TelegramConfig) -> Finding:
    if sent.moved_to is not None:
        return warning(
            "telegram.chat_moved",
            TELEGRAM,
            f"the test message went to {sent.moved_to}: the group was upgraded to a supergroup and has a new number",
            f'put chat_id = "{sent.moved_to}" into [telegram]',
        )
    if sent.topic_lost:
        is_closed = sent.reason == "telegram.topic_closed"
        what = "is closed" if is_closed else "is not there (message thread not found)"
        text = f"the topic {config.message_thread_id} {what}; the test message went to the chat itself"
        code = "telegram.topic_closed" if is_closed else "telegram.topic_not_found"
        return wrong(code, TELEGRAM, text, _REMEDIES[code])
    if sent.as_plain:
        text = "the test message was accepted only without its markup"
        return warning("telegram.markup_refused", TELEGRAM, text, "please report this as a bug")
    where = f"the topic {config.message_thread_id}" if config.message_thread_id else "the chat"
    return fine("telegram.test_message", TELEGRAM, f"the test message is in {where}")
