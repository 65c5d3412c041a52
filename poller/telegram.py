"""Sends messages through Telegram's Bot API, and says who must act when one is not accepted.

The token is part of the URL, hence in the text of every exception of `requests` and in urllib3's debug log:
those exceptions end inside `_post`, and a filter cleans that log.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec
import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError

from poller import bodies
from poller.chats import Update
from poller.deadline import Deadline
from poller.errors import OperatorError, OutOfTime, Temporary
from poller.measures import Service, Sink, asking, ignore
from poller.refusals import Meaning, Refusal, is_about_text, judge, seconds_named
from poller.secret import Secret
from poller.values import replace

API_URL = "https://api.telegram.org"
GENERAL_TOPIC = 1  # naming it is refused with "message thread not found"; who leaves it out writes there
LONGEST_DESCRIPTION = 300
_MOST_BYTES = 4 * 2**20
"""Of an answer: that to a message repeats it, and is some kilobytes."""

_T = TypeVar("_T")


# -- what becomes of a message ----------------------------------------------------------------------


class Sent(msgspec.Struct, frozen=True):
    """Telegram accepted it in `chat_id`. The rest says which detours were needed, and why the first of them."""

    message_id: int
    chat_id: int | str
    moved_to: int | None = None
    topic_lost: bool = False
    as_plain: bool = False
    reason: str = ""


class Later(msgspec.Struct, frozen=True):
    """Nobody must act: try again, after so many seconds if Telegram named them. It may have been delivered."""

    reason: str
    after: float | None


class ChatRefused(msgspec.Struct, frozen=True):
    """The operator must act. It says nothing about the message, which is to be kept and tried again slowly."""

    reason: str
    description: str


class MessageRefused(msgspec.Struct, frozen=True):
    """This message can never be sent, not even without markup."""

    reason: str
    description: str


Outcome = Sent | Later | ChatRefused | MessageRefused


class Edited(msgspec.Struct, frozen=True):
    """The message has the new text, or had it already: an edit whose answer was lost may come again."""

    as_plain: bool = False
    reason: str = ""


class CannotEdit(msgspec.Struct, frozen=True):
    """This message cannot be changed any more, for it is gone, too old, or left behind in a chat that has moved."""

    reason: str
    moved_to: int | None = None


EditOutcome = Edited | CannotEdit | Later | ChatRefused | MessageRefused


# -- what `check` asks ------------------------------------------------------------------------------


class TelegramUnavailable(Temporary):
    """No usable answer from Telegram now. `reason` is the word that an `Outcome` would have."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TelegramRefused(OperatorError):
    """Telegram said no, and a person must mend it. `reason` is the word that an `Outcome` would have."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Me(msgspec.Struct, frozen=True):
    """The bot itself. The defaults are those of old servers, which do not say it."""

    id: int
    username: str = ""
    can_join_groups: bool = True
    can_read_all_group_messages: bool = True


class Permissions(msgspec.Struct, frozen=True):
    """What ordinary members of a group may do."""

    can_send_messages: bool = False


class Chat(msgspec.Struct, frozen=True):
    """A chat as the bot sees it. `type` is private, group, supergroup or channel."""

    id: int
    type: str
    title: str = ""
    username: str = ""
    is_forum: bool = False
    permissions: Permissions | None = None


class Membership(msgspec.Struct, frozen=True):
    """The bot's standing in a chat. `status` is creator, administrator, member, restricted, left or kicked."""

    status: str
    is_member: bool = False
    can_send_messages: bool = False
    can_post_messages: bool = False

    def can_send(self, chat: Chat) -> bool:
        """Whether the bot may write there."""
        match self.status:
            case "creator":
                return True
            case "administrator":
                return chat.type != "channel" or self.can_post_messages
            case "member":
                return chat.type != "channel" and (chat.permissions is None or chat.permissions.can_send_messages)
            case "restricted":
                return self.is_member and self.can_send_messages
        return False


# -- nothing secret in the log ----------------------------------------------------------------------

_TOKEN_IN_PATH = re.compile(r"/bot[^/\s]*/(?=(?:send|edit|get)[A-Z])")
_PASSWORD_IN_URL = re.compile(r"://[^/\s]*@")
_LOGGERS_THAT_PRINT_URLS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)


class _Cleaner(logging.Filter):
    """Takes bot tokens and passwords out of the URLs that a record prints."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _clean(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = _clean(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def _clean(text: str) -> str:
    return _PASSWORD_IN_URL.sub("://***@", _TOKEN_IN_PATH.sub("/bot***/", text))


def _clean_log() -> None:
    cleaner = _Cleaner()
    for name in _LOGGERS_THAT_PRINT_URLS:  # each: a logger's filter does not see the records of its children
        logging.getLogger(name).addFilter(cleaner)


_clean_log()  # on import: whoever can reach Telegram through us cannot forget it


# -- Telegram's JSON --------------------------------------------------------------------------------


class _Parameters(msgspec.Struct, frozen=True):
    retry_after: float | None = None
    migrate_to_chat_id: int | None = None


class _Envelope(msgspec.Struct, frozen=True):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: _Parameters = _Parameters()


class _Message(msgspec.Struct, frozen=True):
    message_id: int


class _Nothing(msgspec.Struct, frozen=True):
    """Of an answer to an edit nothing is needed but that it is one."""


class _Answer(msgspec.Struct, frozen=True):
    """What came over the wire, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _NoAnswer(msgspec.Struct, frozen=True):
    """Nothing from Telegram itself. With a `remedy` a person must act; without, the next attempt may succeed."""

    reason: str
    remedy: str = ""


# -- the client -------------------------------------------------------------------------------------


class _Attempt(msgspec.Struct, frozen=True):
    """What is sent where, and the detours that led here."""

    chat_id: int | str
    thread_id: int | None
    text: str
    plain: str
    silent: bool = False
    reply_to: int | None = None
    moved_to: int | None = None
    topic_lost: bool = False
    as_plain: bool = False
    reason: str = ""


class Telegram:
    """One bot.

    `timeout` is (connect, read) in seconds; an answer that is not whole after both together is given up. In a flood
    Telegram may itself wait some 8 s before it delivers, and whoever hangs up earlier sends the message twice: outside
    tests the second is 30 or more.
    `deadline`: for who looks once and in haste; nothing is waited for longer.
    """

    def __init__(
        self,
        token: Secret,
        *,
        api_url: str = API_URL,
        proxy: str | None = None,
        timeout: tuple[float, float] = (10, 40),
        sink: Sink = ignore,
        deadline: Deadline | None = None,
    ) -> None:
        self._sink = sink
        self._deadline = deadline
        self._token = token
        self._api_url = Secret(api_url.rstrip("/"))  # a reverse proxy's URL may hold a password
        self._proxy = Secret(proxy or "")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.auth = _auth(api_url)

    def send(
        self,
        chat_id: int | str,
        thread_id: int | None,
        text: str,
        plain: str,
        *,
        silent: bool = False,
        reply_to: int | None = None,
    ) -> Outcome:
        """Send one message: `text` is MarkdownV2, `plain` is the same without markup, for when Telegram refuses it.

        `reply_to`: the message of the chat that it answers; where that is gone, or cannot be answered, it answers none.
        """
        topic = None if thread_id == GENERAL_TOPIC else thread_id
        return self._try(_Attempt(chat_id, topic, text, plain, silent, reply_to))

    def edit(self, chat_id: int | str, message_id: int, text: str, plain: str) -> EditOutcome:
        """Give a message that was sent another text. It can be done again without harm."""
        outcome = self._edit(chat_id, message_id, {"text": text, "parse_mode": "MarkdownV2"})
        if isinstance(outcome, MessageRefused):  # of the text: the same without markup may do
            first, outcome = outcome, self._edit(chat_id, message_id, {"text": plain})
            return Edited(as_plain=True, reason=first.reason) if isinstance(outcome, Edited) else outcome
        return outcome

    def _edit(self, chat_id: int | str, message_id: int, said: Mapping[str, object]) -> EditOutcome:
        fields = {"chat_id": chat_id, "message_id": message_id, "link_preview_options": {"is_disabled": True}, **said}
        answer = self._call("editMessageText", fields, _Nothing)
        match answer:
            case _NoAnswer(reason, ""):
                return Later(reason, None)
            case _NoAnswer(reason, remedy):
                return ChatRefused(reason, remedy)
            case Refusal():
                return _of_edit(answer)
            case _Nothing():
                return Edited()

    def me(self) -> Me:
        """The bot that the token belongs to."""
        return self._ask("getMe", {}, Me)

    def chat(self, chat_id: int | str) -> Chat:
        """The chat as the bot sees it."""
        return self._ask("getChat", {"chat_id": chat_id}, Chat)

    def membership(self, chat_id: int | str, bot: Me | None = None) -> Membership:
        """The bot's own standing in a chat. `bot`: what is known of it, which need not be asked then."""
        return self._ask("getChatMember", {"chat_id": chat_id, "user_id": (bot or self.me()).id}, Membership)

    def updates(self, offset: int | None, wait: int) -> tuple[Update, ...]:
        """What waits for the bot, oldest first, up to 100; if there is nothing, what comes within `wait` seconds.

        An `offset` confirms all updates before it: nobody gets them any more. None: they stay for others.
        """
        fields = {"timeout": wait} | ({} if offset is None else {"offset": offset})
        return self._ask("getUpdates", fields, tuple[Update, ...])

    def _try(self, attempt: _Attempt) -> Outcome:
        """Each of the four detours is taken at most once, so this ends."""
        answer = self._call("sendMessage", self._fields(attempt), _Message)
        match answer:
            case _NoAnswer(reason, ""):
                return Later(reason, None)
            case _NoAnswer(reason, remedy):
                return ChatRefused(reason, remedy)
            case Refusal():
                step = _next_step(attempt, answer)
                return self._try(step) if isinstance(step, _Attempt) else step
            case _Message():
                return _sent(answer, attempt)

    def _fields(self, attempt: _Attempt) -> dict[str, object]:
        fields: dict[str, object] = {"chat_id": attempt.chat_id, "link_preview_options": {"is_disabled": True}}
        fields |= {"text": attempt.plain} if attempt.as_plain else {"text": attempt.text, "parse_mode": "MarkdownV2"}
        if attempt.thread_id is not None:
            fields["message_thread_id"] = attempt.thread_id
        if attempt.silent:
            fields["disable_notification"] = True
        if attempt.reply_to is not None:
            fields["reply_parameters"] = {"message_id": attempt.reply_to, "allow_sending_without_reply": True}
        return fields

    def _ask(self, method: str, fields: Mapping[str, object], kind: type[_T]) -> _T:
        answer = self._call(method, fields, kind)
        match answer:
            case _NoAnswer(reason, "") if self._deadline and not self._deadline.left:
                raise OutOfTime(f"{self._place}: no whole answer within {self._deadline.seconds:.1f} s")
            case _NoAnswer(reason, ""):
                raise TelegramUnavailable(reason, f"{self._place} gives no usable answer")
            case _NoAnswer(reason, remedy):
                raise TelegramRefused(reason, remedy)
            case Refusal(code, description):
                verdict = judge(answer)
                error = TelegramUnavailable if verdict.meaning is Meaning.WAIT else TelegramRefused
                raise error(verdict.reason, f"{self._place} answers {code}: {description}")
        return answer

    def _call(self, method: str, fields: Mapping[str, object], kind: type[_T]) -> _T | Refusal | _NoAnswer:
        with asking(self._sink, Service.TELEGRAM, method) as asked:
            answer = self._post(method, fields)
            if isinstance(answer, _NoAnswer):
                return answer
            asked.status = str(answer.status)
        if 300 <= answer.status < 400:
            target = _place(answer.headers.get("Location", ""))
            return _NoAnswer("telegram.redirected", f"{self._place} sends its callers on to {target}: correct api_url")
        return self._read(answer, kind)

    def _read(self, answer: _Answer, kind: type[_T]) -> _T | Refusal | _NoAnswer:
        try:
            envelope = msgspec.json.decode(answer.body, type=_Envelope)
            if envelope.ok:
                return msgspec.json.decode(envelope.result, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._read_page(answer)
        said = self._hide(envelope.description)[:LONGEST_DESCRIPTION]
        parameters = envelope.parameters
        after = parameters.retry_after or seconds_named(said) or _retry_after(answer)
        return Refusal(envelope.error_code or answer.status, said, after, parameters.migrate_to_chat_id)

    def _read_page(self, answer: _Answer) -> Refusal | _NoAnswer:
        """Not the API's JSON. Telegram's own front servers answer so while they are overloaded; other statuses are
        those of something else that stands at this URL, or in the way."""
        status = answer.status
        if status >= 500 or status in (408, 429):
            return Refusal(status, "a page instead of JSON", _retry_after(answer))
        if status == 407:
            return _NoAnswer("telegram.proxy_refused", f"{self._proxy_place} wants another user name or password")
        if status >= 400:
            remedy = f"{self._place} answers {status}, and not as Telegram's API does: correct api_url or the proxy"
            return _NoAnswer("telegram.not_the_api", remedy)
        return _NoAnswer("telegram.answer_garbled")

    def _post(self, method: str, fields: Mapping[str, object]) -> _Answer | _NoAnswer:
        """The only place that knows the URL. No exception of `requests` gets out: its text holds the token."""
        try:
            connect, read = self._timeout
            timeout = (self._deadline.cut(connect), self._deadline.cut(read)) if self._deadline else self._timeout
            end = min(time.monotonic() + sum(timeout), self._deadline.at if self._deadline else math.inf)
            with self._session.post(
                f"{self._api_url.reveal()}/bot{quote(self._token.reveal(), safe=':')}/{method}",
                json=fields,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
                proxies=_proxies(self._api_url.reveal(), self._proxy.reveal()),
            ) as response:
                return _whole(response, end)
        except (requests.RequestException, HTTPError, ValueError, TypeError, OSError) as error:
            return self._explain(error)  # TypeError: what `requests` makes of a proxy without a host

    def _explain(self, error: Exception) -> _NoAnswer:
        said = str(error)
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in said:
            return _NoAnswer("telegram.untrusted_certificate", f"the certificate of {self._place} cannot be verified")
        if "407 Proxy Authentication" in said or "authentication failed" in said:
            return _NoAnswer("telegram.proxy_refused", f"{self._proxy_place} wants another user name or password")
        if isinstance(error, ValueError | TypeError):
            return _NoAnswer("telegram.wrong_url", "[telegram] api_url or proxy cannot be used as a URL")
        return _NoAnswer("telegram.answer_lost" if _was_sent(error) else "telegram.unreachable")

    @property
    def _place(self) -> str:
        return _place(self._api_url.reveal())

    @property
    def _proxy_place(self) -> str:
        return f"the proxy {_place(self._proxy.reveal())}"

    def _hide(self, text: str) -> str:
        """Without the token: what stands before Telegram may quote the path in its answer."""
        return re.sub(_in_any_quoting(self._token.reveal()), "***", text) if self._token else text


def _next_step(attempt: _Attempt, refusal: Refusal) -> _Attempt | Outcome:
    """Another attempt if there is a detour that was not taken yet; otherwise what is to be said of the message."""
    verdict = judge(refusal)
    reason = attempt.reason or verdict.reason
    match verdict.meaning:
        case Meaning.WAIT:
            return Later(verdict.reason, refusal.retry_after)
        case Meaning.MOVED if refusal.migrate_to is not None and attempt.moved_to is None:
            new_id = refusal.migrate_to  # where the same number is another message's
            return replace(attempt, chat_id=new_id, moved_to=new_id, reply_to=None, reason=reason)
        case Meaning.TOPIC | Meaning.MESSAGE | Meaning.UNKNOWN if attempt.reply_to is not None:
            return replace(attempt, reply_to=None)  # it may stand in another topic, or in one that is closed
        case Meaning.TOPIC if attempt.thread_id is not None:
            return replace(attempt, thread_id=None, topic_lost=True, reason=reason)
        case Meaning.TEXT | Meaning.UNKNOWN if not attempt.as_plain:
            return replace(attempt, as_plain=True, reason=reason)
    if verdict.meaning is Meaning.TEXT or (verdict.meaning is Meaning.UNKNOWN and is_about_text(refusal.description)):
        return MessageRefused(verdict.reason, refusal.description)
    return ChatRefused(verdict.reason, refusal.description)


def _of_edit(refusal: Refusal) -> EditOutcome:
    """In doubt the message cannot be changed: what is new is sent then, and whoever refuses that says more clearly."""
    verdict = judge(refusal)
    match verdict.meaning:
        case Meaning.UNCHANGED:
            return Edited()
        case Meaning.WAIT:
            return Later(verdict.reason, refusal.retry_after)
        case Meaning.CHAT:
            return ChatRefused(verdict.reason, refusal.description)
        case Meaning.TEXT:
            return MessageRefused(verdict.reason, refusal.description)
    return CannotEdit(verdict.reason, refusal.migrate_to)


def _sent(message: _Message, attempt: _Attempt) -> Sent:
    return Sent(
        message_id=message.message_id,
        chat_id=attempt.chat_id,
        moved_to=attempt.moved_to,
        topic_lost=attempt.topic_lost,
        as_plain=attempt.as_plain,
        reason=attempt.reason,
    )


def _whole(response: requests.Response, end: float) -> _Answer | _NoAnswer:
    """The answer to what has arrived: where the rest of it does not come, what was asked may be done all the same."""
    try:
        body = bodies.read(response.raw, most=_MOST_BYTES, end=end)
    except bodies.TooLarge:
        return _NoAnswer("telegram.answer_garbled")
    except (HTTPError, OSError):
        return _NoAnswer("telegram.answer_lost")
    return _Answer(response.status_code, response.headers, body)


def _was_sent(error: Exception) -> bool:
    """Whether the request may have reached Telegram before the connection broke."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return False
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    in_the_answer = (
        requests.exceptions.ReadTimeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.ContentDecodingError,
    )
    return isinstance(error, in_the_answer) or isinstance(cause, ReadTimeoutError | ProtocolError)


def _retry_after(answer: _Answer) -> float | None:
    named = answer.headers.get("Retry-After", "")
    return float(named) if named.isdecimal() else None


def _place(url: str) -> str:
    """Scheme, host and port: what may be shown of a URL."""
    parts = _split(url)
    return (
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts and parts.netloc else "an address without a host"
    )


def _split(url: str) -> SplitResult | None:
    with suppress(ValueError):
        return urlsplit(url)
    return None


def _proxies(api_url: str, proxy: str) -> dict[str, str] | None:
    """For each request, since a session's own would yield to those of the environment. None: the environment's.

    A server on this machine is never behind the environment's proxy; empty names mean no proxy.
    """
    parts = _split(api_url)
    is_here = parts is not None and parts.hostname in ("localhost", "127.0.0.1", "::1")
    return {"http": proxy, "https": proxy} if proxy or is_here else None


def _in_any_quoting(token: str) -> str:
    """A pattern: servers differ in what they quote of a URL."""
    return "".join(c if c.isalnum() else f"(?:{re.escape(c)}|(?i:%{ord(c):02x}))" for c in token)


def _auth(api_url: str) -> HTTPBasicAuth | Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What the URL of a reverse proxy names; never nothing, for then `requests` would look into ~/.netrc."""
    parts = _split(api_url)
    if parts is None or not parts.username:
        return lambda request: request
    return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
