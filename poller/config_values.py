"""What a value of conf.toml may be: each function turns what TOML gave into what the program uses, or raises Unfit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

TELEGRAM_ESCAPES = "_*[]()~`>#+-=|{}.!\\"
"""What MarkdownV2 wants escaped outside code."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_CHANNEL = re.compile(r"@[A-Za-z][A-Za-z0-9_]{2,31}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")
_PASTED_FROM_BROWSER = re.compile(
    r"(/api/v2\.0|/harbor/(projects|sign-in|logs|users|robot-accounts|registries|interrogation-services)(?=/|$)).*"
)
_ADDRESS = re.compile(r"(?:(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]*)):)?(?P<port>\d{1,5})")
_GENERAL_TOPIC = 1

PLACEHOLDER_HOST = "harbor.example.com"
PLACEHOLDER_PASSWORD = "replace-with-the-robots-secret"
PLACEHOLDER_TOKEN = "123456789:replace-with-the-token-from-BotFather"
PLACEHOLDERS = (PLACEHOLDER_PASSWORD, PLACEHOLDER_TOKEN)
PLACEHOLDER_CHAT = -1000000000000
"""What conf.toml comes with. Nobody's real value, so that a forgotten one is told apart from a wrong one."""

_PLACEHOLDER = "is still the placeholder that conf.toml came with: put your own value there"


class Unfit(Exception):
    """A value that cannot be used. The text goes on where "[section] key" ends; it never holds the value."""


# -- simple ones ------------------------------------------------------------------------------------


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit("must be text in quotation marks")
    return value


def one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise Unfit("must be " + " or ".join(f'"{word}"' for word in words))
        return str(value)

    return parse


def switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false, without quotation marks")
    return value


def duration(least: str, most: str) -> Callable[[object], float]:
    """Seconds, from a number or from "5s", "2m", "1h30m", "90d"."""

    low, high = seconds_of(least) or 0.0, seconds_of(most) or 0.0

    def parse(value: object) -> float:
        seconds = seconds_of(value)
        if seconds is None:
            raise Unfit('must be a duration such as "5s", "2m", "1h" or "90d", or a number of seconds')
        if not low <= seconds <= high:
            raise Unfit(f'must be between "{least}" and "{most}"')
        return seconds

    return parse


def duration_or_off(least: str, most: str) -> Callable[[object], float | None]:
    """As `duration`; None for "off"."""
    parse = duration(least, most)

    def parse_or_off(value: object) -> float | None:
        if isinstance(value, str) and value.strip().lower() == "off":
            return None
        try:
            return parse(value)
        except Unfit as unfit:
            raise Unfit(f'{unfit}, or "off"') from None

    return parse_or_off


def whole_number(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _whole_number(value.strip() if isinstance(value, str) else value)
        if number is None or not least <= number <= most:
            raise Unfit(f"must be a whole number from {least} to {most}")
        return number

    return parse


def word(*words: str) -> Callable[[object], str]:
    """One of these words, however it is written."""
    parse = one_of(*words)

    def parse_word(value: object) -> str:
        return parse(value.strip().lower() if isinstance(value, str) else value)

    return parse_word


def seconds_of(value: object) -> float | None:
    """None for what is no duration."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e15 else None
    if not isinstance(value, str):
        return None
    compact = value.replace(" ", "").lower()
    if _NUMBER.fullmatch(compact):
        return float(compact)
    if not _DURATION.fullmatch(compact):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", compact))


# -- Harbor -----------------------------------------------------------------------------------------


def harbor_url(value: object) -> str:
    """The address before `/api/v2.0`, always spelt the same: it is part of what makes an event the same event.

    What people paste from the browser's address bar is understood.
    """
    parts = _url(value, ("http", "https"), example="https://registry.example.org")
    if parts.username is not None:
        raise Unfit("must not hold a name or password: they have keys of their own, username and password")
    if parts.query:
        raise Unfit("must end before the question mark")
    path = _PASTED_FROM_BROWSER.sub("", parts.path).rstrip("/")
    if parts.hostname == PLACEHOLDER_HOST:
        raise Unfit(_PLACEHOLDER)
    return f"{parts.scheme}://{_host(parts)}{path}"


def username(value: object) -> str:
    name = text(value).strip()
    if ":" in name:
        raise Unfit("must not have a colon: HTTP's Basic authentication cannot send one")
    return name


def password(value: object) -> str:
    if value == PLACEHOLDER_PASSWORD:
        raise Unfit(_PLACEHOLDER)
    return text(value)


def projects(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unfit('must be a list of project names such as ["team", "library"]; [] means all')
    for name in value:
        if "/" in name:
            raise Unfit("must name projects, not repositories: only what stands before the slash")
        if not _PROJECT.fullmatch(name):
            raise Unfit("must hold project names: lower-case letters, digits and . _ -")
    return tuple(dict.fromkeys(value))


def proxy(value: object) -> str:
    parts = _url(value, ("http", "https", "socks5", "socks5h"), example="socks5h://127.0.0.1:1080")
    if parts.path not in ("", "/") or parts.query:
        raise Unfit("must end after the port, as in socks5h://127.0.0.1:1080")
    return f"{parts.scheme}://{parts.netloc}"


# -- Telegram ---------------------------------------------------------------------------------------


def bot_token(value: object) -> str:
    token = text(value).strip()
    if token == PLACEHOLDER_TOKEN:
        raise Unfit(_PLACEHOLDER)
    if token.startswith("bot") and _TOKEN.fullmatch(token[3:]):
        raise Unfit('must begin with the digits: the word "bot" before them belongs to URLs only')
    if not _TOKEN.fullmatch(token):
        raise Unfit("must look as BotFather gives it: digits, a colon, then letters, digits, _ and -")
    return token


def chat_id(value: object) -> int | str:
    """A number, also as text and with the minus of typographers, or "@name"."""
    chat = value.strip().replace("−", "-") if isinstance(value, str) else value
    number = _whole_number(chat)
    if number == PLACEHOLDER_CHAT:
        raise Unfit(_PLACEHOLDER)
    if number:
        return number
    if isinstance(chat, str) and _CHANNEL.fullmatch(chat):
        return chat
    raise Unfit('must be the number of a chat such as "-1001234567890", or "@name" of a public group or channel')


def message_thread_id(value: object) -> int | None:
    """A forum topic. Telegram refuses the number of the General topic; its messages go without one."""
    number = _whole_number(value.strip() if isinstance(value, str) else value)
    if number is not None and number < 0:
        raise Unfit("must be the number of a topic, and this is a chat's: were chat_id and message_thread_id swapped?")
    if number is None:
        raise Unfit('must be the number of a topic such as "1234", or "" for the chat itself')
    return number if number > _GENERAL_TOPIC else None


def api_url(value: object) -> str:
    parts = _url(value, ("http", "https"), example="https://api.telegram.org")
    if re.search(r"/bot\d*", parts.path):
        raise Unfit("must end before /bot: the token has a key of its own, bot_token")
    if parts.username is not None or parts.query:
        raise Unfit("must be a plain address such as https://api.telegram.org, without a password or question mark")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def escape_chars(value: object) -> str:
    """The characters, each once. A list of characters or a text of them."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise Unfit('must be a list of characters such as ["_", "*", "["]')
    characters = "".join(dict.fromkeys("".join(items)))
    if not all("!" <= character <= "~" for character in characters):
        raise Unfit("must hold only visible ASCII characters: Telegram lets no others be escaped")
    return characters


# -- metrics ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    host: str  # a name or IP address, of IPv6 without brackets
    port: int  # 0: any that is free

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def address(value: object) -> Address:
    """Where to listen: host:port, or the port alone, which is then open to this machine only."""
    given = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value).strip()
    found = _ADDRESS.fullmatch(given)
    if found is None or int(found["port"]) > 65535:
        raise Unfit('must be an address and port such as "127.0.0.1:9108" or "[::1]:9108", or a port alone')
    if found["host"] == "":
        raise Unfit('must name an address before the colon: "127.0.0.1" for this machine, "0.0.0.0" for every network')
    return Address(found["ipv6"] or found["host"] or "127.0.0.1", int(found["port"]))


# -- state ------------------------------------------------------------------------------------------


def state_url(value: object) -> str:
    """A SQLAlchemy URL of SQLite (a file; the path as it was written) or PostgreSQL."""
    url = text(value).strip()
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql", "postgresql+psycopg") and separator:
        return _postgresql_url(rest)
    if scheme.partition(":")[0] != "sqlite":
        raise Unfit("must begin with sqlite:/// or postgresql://")
    if not rest.startswith("/"):
        raise Unfit("must have three slashes before a relative path (sqlite:///state.db), four before an absolute one")
    if rest.removeprefix("/") in ("", ":memory:") or rest.startswith("/file:"):
        raise Unfit("must name a file, as in sqlite:///state.db: what is only in memory is told again at every start")
    if "?" in rest:
        raise Unfit("must end before the question mark: the program sets SQLite's options itself")
    return url


def _postgresql_url(rest: str) -> str:
    try:
        parts = urlsplit(f"postgresql://{rest}")
        is_complete = parts.port != 0 and bool(parts.path.strip("/"))
    except ValueError:
        is_complete = False
    if not is_complete:
        raise Unfit("must be postgresql://user@host:5432/database")
    return f"postgresql+psycopg://{rest}"


# -- heartbeat --------------------------------------------------------------------------------------

OFF = "off"


def ping_url(value: object) -> str:
    """As it was given: its path is a key."""
    url = text(value).strip()
    parts = _url(url, ("http", "https"), example="https://hc.example.com/ping/your-key")
    if parts.path in ("", "/") and not parts.query:
        raise Unfit("must be the whole address that the service gave, with what stands behind the host")
    return url


def fail_url(value: object) -> str:
    """As `ping_url`, or "off"."""
    if isinstance(value, str) and value.strip().lower() == OFF:
        return OFF
    try:
        return ping_url(value)
    except Unfit as unfit:
        raise Unfit(f'{unfit}, or "off"') from None


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def leads_here(url: str) -> bool:
    """Whether a URL is that of this machine."""
    return is_loopback(urlsplit(url).hostname or "")


# -- shared -----------------------------------------------------------------------------------------


def _whole_number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return int(value) if is_number and isinstance(value, int) else None


def _url(value: object, schemes: tuple[str, ...], *, example: str) -> SplitResult:
    """Raises Unfit for what is not an absolute URL of one of the schemes with a host."""
    url = text(value).strip()
    if "://" not in url:
        raise Unfit(f"must begin with {_listed(schemes)}, as in {example}")
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Unfit(f"must be an address such as {example}; its host or port cannot be read") from None
    if parts.scheme not in schemes:
        raise Unfit(f"must begin with {_listed(schemes)}, as in {example}")
    if not is_complete or not url.isprintable() or " " in url:
        raise Unfit(f"must be an address such as {example}, with a host and without blanks")
    if parts.fragment:
        raise Unfit("must end before the #")
    return parts


def _host(parts: SplitResult) -> str:
    """host[:port] in lower case, without a port that the scheme implies."""
    name = parts.netloc.lower()
    implied = {"http": ":80", "https": ":443"}[parts.scheme]
    return name.removesuffix(implied).removesuffix(":")


def _listed(schemes: tuple[str, ...]) -> str:
    return " or ".join(f"{scheme}://" for scheme in schemes)
