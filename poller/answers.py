"""What to make of an HTTP answer that is not what was asked for: our errors, sorted by who must act. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from poller import rows
from poller.errors import (
    BadRequest,
    HarborBusy,
    HarborGarbled,
    NotAllowed,
    NotFound,
    PollerError,
    WrongCredentials,
    WrongUrl,
)

_T = TypeVar("_T")
_PLAIN_HTTP = re.compile(rb"HTTP request (?:was sent )?to (?:an )?HTTPS")
"""In the words of nginx and of Go."""


class PathNotFound(NotFound):
    """Harbor's API has no such path: this Harbor is older (or newer) than the one that has it."""


class Answer(msgspec.Struct, frozen=True):
    where: str  # host and path, for error texts
    url: str
    request_id: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def decoded(decode: Callable[[bytes], _T], answer: Answer) -> _T:
    try:
        return decode(answer.body)
    except HarborGarbled as error:
        raise HarborGarbled(f"{answer.where}: {error} (request {answer.request_id})") from None


def refuse_partial(answer: Answer, rows_read: int, *, before: int, most: int) -> None:
    """Refuse a page that has fewer rows than Harbor counted for it just before: it would be taken for the last one.

    `before`: rows on the pages before it; `most`: on this page. Rows that are purged between Harbor's two questions
    look the same; asked again, it is right.
    """
    counted = answer.headers.get("X-Total-Count", "")
    if counted.isdecimal() and rows_read < min(most, int(counted) - before):
        raise HarborGarbled(
            f"{answer.where}: {rows_read} rows came, though Harbor counted {counted} with {before} on the pages before"
            f" (request {answer.request_id})"
        )


def refusal(answer: Answer, username: str, masked: Callable[[str], str]) -> PollerError:
    """Our word for a status that is not 200. The texts say where, what Harbor said, and the remedy.

    `masked` takes the password out of a text: something before Harbor may repeat what it was told.
    """
    message = rows.error_message(answer.body)  # None: whoever answered, it was not Harbor's API
    words = one_line(masked(message or ""))
    said = f"{answer.where}: {answer.status} {words}".rstrip() + f" (request {answer.request_id})"
    is_foreign = message is None
    match answer.status:
        case status if 300 <= status < 400:
            return WrongUrl(f"{said}: redirects to {_target(answer)}; put Harbor's own address into [harbor] url")
        case 401:
            return WrongCredentials(
                f"{said}: Harbor keeps refusing {username}: correct [harbor] username or password;"
                " a robot account may also have expired or been disabled"
            )
        case 403:
            return NotAllowed(f"{said}: {username} lacks a right for this")
        case 400 if is_foreign and _PLAIN_HTTP.search(answer.body):
            return WrongUrl(f"{said}: what listens there speaks HTTPS: put https:// before the host in [harbor] url")
        case 400 | 404 | 405 if is_foreign:
            return WrongUrl(f"{said}: answers with {_kind(answer)} instead of Harbor's API: correct [harbor] url")
        case 404:
            is_path = re.match(r"path \S+ was not found", message or "")
            return PathNotFound(said) if is_path else NotFound(said)
        case 407:
            return NotAllowed(f"{said}: the proxy asks for credentials: put them into [harbor] proxy")
        case status if status in (408, 425, 429) or status >= 500:
            return HarborBusy(said)
        case status if status >= 400:
            return BadRequest(said)
    return HarborGarbled(f"{said}: not a status that Harbor's API promises")


def _kind(answer: Answer) -> str:
    return "a web page" if rows.is_web_page(answer.body) else "something else"


def _target(answer: Answer) -> str:
    """Where a redirect points to, without what may be secret in it."""
    parts = urlsplit(urljoin(answer.url, answer.headers.get("Location", "")))
    return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def one_line(text: str) -> str:
    """One printable line of bearable length; a proxy's credentials do not get through."""
    line = "".join(each if each.isprintable() else " " for each in re.sub(r"//\S*@", "//***@", text))
    return line[:300]
