"""What Telegram's refusals mean, hence who must act. Pure.

The texts are those of the public Bot API server and of Telegram's own servers (words in capitals). They are matched
in any case, on the part after the prefix: "Bad Request: can't parse entities: …".
"""

from __future__ import annotations

import re
from enum import Enum, auto

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """A no. `retry_after` (seconds) and `migrate_to` are set where Telegram named them."""

    code: int
    description: str
    retry_after: float | None = None
    migrate_to: int | None = None


class Meaning(Enum):
    """What a refusal is about."""

    WAIT = auto()  # nothing is wrong
    MOVED = auto()  # the group became a supergroup, with another id
    TOPIC = auto()  # the forum topic is gone or closed
    TEXT = auto()  # our text
    UNCHANGED = auto()  # an edit that changes nothing
    MESSAGE = auto()  # a message that cannot be changed
    CHAT = auto()  # the chat, the bot's rights in it, or the token
    UNKNOWN = auto()


class Verdict(msgspec.Struct, frozen=True):
    """`reason` is a constant word for log, metric and message."""

    meaning: Meaning
    reason: str


_PREFIX = re.compile(
    r"^(bad request|forbidden|unauthorized|too many requests|not found|flood|internal server error): *"
)
_SECONDS = re.compile(r"(?:retry after |_wait_)(\d+)")

_BY_WORDS = tuple(
    (re.compile(pattern), Verdict(meaning, f"telegram.{reason}"))
    for pattern, meaning, reason in (
        (r"retry after|(flood|slowmode|premium)_wait", Meaning.WAIT, "too_many_requests"),
        (r"upgraded to a supergroup", Meaning.MOVED, "chat_moved"),
        (r"message (is )?not.modified|message_not_modified", Meaning.UNCHANGED, "not_modified"),
        (
            r"to edit not found|can't be edited|message_id_invalid|message_edit_time|message_author",
            Meaning.MESSAGE,
            "message_not_editable",
        ),
        (r"can't parse entit|^entit(y|ies)_", Meaning.TEXT, "cant_parse"),
        (r"(message|text) is too long|message_too_long", Meaning.TEXT, "text_too_long"),
        (r"text is empty|text must be non-empty|message_empty", Meaning.TEXT, "text_empty"),
        (r"encoded in utf-8", Meaning.TEXT, "text_garbled"),
        (r"topic_closed|(topic|thread) is closed", Meaning.TOPIC, "topic_closed"),
        (r"message.thread|topic_|not a forum", Meaning.TOPIC, "topic_not_found"),
        (r"bot was kicked", Meaning.CHAT, "bot_kicked"),
        (r"not a member|user_not_participant", Meaning.CHAT, "not_a_member"),
        (r"blocked by the user|user_is_blocked", Meaning.CHAT, "bot_blocked"),
        (r"user is deactivated|user_deactivated", Meaning.CHAT, "user_deactivated"),
        (r"initiate conversation|can't send messages to", Meaning.CHAT, "no_conversation"),
        (
            r"chat not found|chat_id is empty|(peer|chat)_id_invalid|^channel_|^username_",
            Meaning.CHAT,
            "chat_not_found",
        ),
        (r"\brights\b|_forbidden|chat_admin_required|chat_restricted|user_banned", Meaning.CHAT, "no_rights"),
    )
)
_BY_CODE = {
    401: Verdict(Meaning.CHAT, "telegram.unauthorized"),
    404: Verdict(Meaning.CHAT, "telegram.not_found"),
    408: Verdict(Meaning.WAIT, "telegram.unavailable"),
    420: Verdict(Meaning.WAIT, "telegram.too_many_requests"),
    429: Verdict(Meaning.WAIT, "telegram.too_many_requests"),
}
_FORBIDDEN = Verdict(Meaning.CHAT, "telegram.forbidden")
_UNKNOWN = Verdict(Meaning.UNKNOWN, "telegram.refused")

_OF_THE_TEXT = re.compile(r"\btext\b|\bentit|utf-8|^message is ")
_OF_THE_CHAT = re.compile(r"chat|right|peer|user|channel|group|\bbot\b|forbidden|admin|topic|thread")


def judge(refusal: Refusal) -> Verdict:
    """What a refusal is about: a code that leaves no doubt first, then the words, then the code."""
    if refusal.code >= 500:
        return Verdict(Meaning.WAIT, "telegram.unavailable")
    if refusal.code in _BY_CODE:
        return _BY_CODE[refusal.code]
    if refusal.migrate_to is not None:
        return Verdict(Meaning.MOVED, "telegram.chat_moved")
    said = _words(refusal.description)
    unmatched = _FORBIDDEN if refusal.code == 403 else _UNKNOWN
    return next((verdict for pattern, verdict in _BY_WORDS if pattern.search(said)), unmatched)


def is_about_text(description: str) -> bool:
    """Whether an unknown refusal speaks of the text alone. In doubt it does not: the message is then kept."""
    said = _words(description)
    return bool(_OF_THE_TEXT.search(said)) and not _OF_THE_CHAT.search(said)


def seconds_named(description: str) -> float | None:
    """The pause in "retry after 35" or FLOOD_WAIT_35, for when `parameters` are missing."""
    found = _SECONDS.search(description.lower())
    return float(found[1]) if found else None


def _words(description: str) -> str:
    return _PREFIX.sub("", description.lower())
