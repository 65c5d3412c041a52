"""The ways in which Telegram fails, in its own words."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The ways to fail; the comments name the parameters of `fail`."""

    # The way to Telegram, and its servers. The answer that is lost after acceptance is that of a delivered message.
    INTERNAL = "500"
    BAD_GATEWAY = "502"  # nginx's HTML instead of JSON
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    SLOW = "slow"  # seconds=8: accepted, but answered so late
    GARBLED = "garbled"  # 200 with HTML, after acceptance
    REDIRECT = "redirect"  # location="https://…"
    PAGE_NOT_FOUND = "page_404"  # a web server that is no Telegram
    # The token.
    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    # The text.
    CANT_PARSE = "cant_parse"  # hits only what has a parse_mode
    TOO_LONG = "too_long"
    EMPTY = "empty"
    # The message that is edited or replied to; the latter hits only who minds that there is none.
    CANT_EDIT = "cant_edit"
    EDIT_NOT_FOUND = "edit_not_found"
    NOT_MODIFIED = "not_modified"
    REPLY_NOT_FOUND = "reply_not_found"
    # The chat.
    MIGRATED = "migrated"  # migrate_to_chat_id=-100…; for good: the old id keeps failing
    THREAD_NOT_FOUND = "thread_not_found"  # these three hit only what goes to a topic
    TOPIC_CLOSED = "topic_closed"
    TOPIC_DELETED = "topic_deleted"
    CHAT_NOT_FOUND = "chat_not_found"
    NO_RIGHTS = "no_rights"
    WRITE_FORBIDDEN = "write_forbidden"
    KICKED = "kicked"
    NOT_A_MEMBER = "not_a_member"
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"
    REFUSED = "refused"  # code=400, description="Bad Request: …": anything else
    # The limits.
    TOO_MANY_REQUESTS = "429"  # retry_after=1


# Telegram finds them in this order; a failure that was ordered waits for a request that gets as far.
TRANSPORT = frozenset(
    {Kind.INTERNAL, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT, Kind.DROP_BEFORE, Kind.REDIRECT}
    | {Kind.PAGE_NOT_FOUND}
)
AFTER_ACCEPTANCE = frozenset({Kind.DROP_AFTER, Kind.SLOW, Kind.GARBLED})
OF_TOKEN = frozenset({Kind.UNAUTHORIZED, Kind.NOT_FOUND})
OF_TEXT = frozenset({Kind.TOO_LONG, Kind.EMPTY})
OF_MARKUP = frozenset({Kind.CANT_PARSE})
OF_TOPIC = frozenset({Kind.THREAD_NOT_FOUND, Kind.TOPIC_CLOSED, Kind.TOPIC_DELETED})
OF_EDIT = frozenset({Kind.CANT_EDIT, Kind.EDIT_NOT_FOUND, Kind.NOT_MODIFIED})
OF_REPLY = frozenset({Kind.REPLY_NOT_FOUND})
OF_LIMITS = frozenset({Kind.TOO_MANY_REQUESTS})
_ELSEWHERE = TRANSPORT | AFTER_ACCEPTANCE | OF_TOKEN | OF_TEXT | OF_MARKUP | OF_TOPIC | OF_EDIT | OF_REPLY | OF_LIMITS
OF_CHAT = frozenset(Kind) - _ELSEWHERE

_THE_SAME = (
    "specified new message content and reply markup are exactly the same as a current content and reply markup of "
    "the message"
)
_REFUSALS = {
    Kind.UNAUTHORIZED: (401, "Unauthorized"),
    Kind.NOT_FOUND: (404, "Not Found"),
    Kind.CANT_PARSE: (400, "Bad Request: can't parse entities: Can't find end of Bold entity at byte offset 0"),
    Kind.TOO_LONG: (400, "Bad Request: message is too long"),
    Kind.EMPTY: (400, "Bad Request: message text is empty"),
    Kind.THREAD_NOT_FOUND: (400, "Bad Request: message thread not found"),
    Kind.TOPIC_CLOSED: (400, "Bad Request: TOPIC_CLOSED"),
    Kind.TOPIC_DELETED: (400, "Bad Request: TOPIC_DELETED"),
    Kind.CHAT_NOT_FOUND: (400, "Bad Request: chat not found"),
    Kind.CANT_EDIT: (400, "Bad Request: message can't be edited"),
    Kind.EDIT_NOT_FOUND: (400, "Bad Request: message to edit not found"),
    Kind.NOT_MODIFIED: (400, f"Bad Request: message is not modified: {_THE_SAME}"),
    Kind.REPLY_NOT_FOUND: (400, "Bad Request: message to be replied not found"),
    Kind.NO_RIGHTS: (400, "Bad Request: not enough rights to send text messages to the chat"),
    Kind.WRITE_FORBIDDEN: (400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
    Kind.KICKED: (403, "Forbidden: bot was kicked from the {type} chat"),
    Kind.NOT_A_MEMBER: (403, "Forbidden: bot is not a member of the {type} chat"),
    Kind.BLOCKED: (403, "Forbidden: bot was blocked by the user"),
    Kind.DEACTIVATED: (403, "Forbidden: user is deactivated"),
}
PAGES = {
    Kind.BAD_GATEWAY: (502, "502 Bad Gateway"),
    Kind.UNAVAILABLE: (503, "503 Service Temporarily Unavailable"),
    Kind.GATEWAY_TIMEOUT: (504, "504 Gateway Time-out"),
    Kind.PAGE_NOT_FOUND: (404, "404 Not Found"),
    Kind.GARBLED: (200, "Welcome"),
}


class Refused(Exception):
    """An answer with `ok: false`; `parameters` help the caller: retry_after, migrate_to_chat_id."""

    def __init__(self, code: int, description: str, **parameters: float) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def refused(kind: Kind, chat_type: str = "") -> Refused:
    """Telegram's words for a kind of refusal."""
    code, description = _REFUSALS[kind]
    return Refused(code, description.format(type=chat_type))
