"""The configuration, parsed once into frozen types. Every mistake is told, all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from poller import config_routes, cron, timezones
from poller import config_values as values
from poller.config_file import Mistakes, Section, Table, is_there, note_unknown, read_bytes, read_toml, section
from poller.config_routes import SEVERITIES, Usual
from poller.config_secrets import Places, find_secret, readers, secret_file
from poller.config_values import PLACEHOLDERS, TELEGRAM_ESCAPES, Address, Unfit, duration
from poller.daily import DailyAt
from poller.errors import ConfigError
from poller.events import SCAN_TYPES, USUAL_TYPES, EventType
from poller.routes import QuietHours, Route
from poller.secret import Secret
from poller.values import replace

PLACES = (Path("conf.toml"), Path("/etc/harbor-poller/conf.toml"))
STATE_URL_VARIABLE = "HARBOR_POLLER_STATE_URL"
KEYS = {
    "": ("language", "timezone"),
    "harbor": ("url", "username", "password", "password_file", "projects", "ca_file", "verify", "proxy", "timeout"),
    "telegram": (
        "bot_token",
        "bot_token_file",
        "chat_id",
        "message_thread_id",
        "api_url",
        "proxy",
        "silent",
        "quiet_hours",
    ),
    "markdown": ("escape_chars",),
    "events": tuple(EventType),
    "schedule": ("poll", "cron", "jitter", "sweep", "sweep_requests"),
    "scans": ("minimum_severity", "important", "only_fixable", "only_changed", "sbom", "quiet"),
    "delivery": (
        "mode",
        "settle",
        "pull_window",
        "scan_window",
        "edit",
        "links",
        "max_delay",
        "catch_up_after",
        "all_quiet",
    ),
    "state": ("url", "keep"),
    "metrics": ("listen",),
    "heartbeat": ("url", "url_file", "fail_url", "fail_url_file", "every", "proxy", "ca_file"),
}

_PASSWORD = Places("HARBOR_PASSWORD", "harbor_password", "password", values.password)
_BOT_TOKEN = Places("TELEGRAM_BOT_TOKEN", "telegram_bot_token", "bot_token", values.bot_token)
_HEARTBEAT = Places("HARBOR_POLLER_HEARTBEAT_URL", "heartbeat_url", "url", values.ping_url, is_needed=False)
_HEARTBEAT_FAILS = Places(
    "HARBOR_POLLER_HEARTBEAT_FAIL_URL", "heartbeat_fail_url", "fail_url", values.fail_url, is_needed=False
)


@dataclass(frozen=True, slots=True)
class HarborConfig:
    url: str  # without a slash at the end; the API is below it
    username: str
    password: Secret
    projects: tuple[str, ...] = ()  # none: all
    ca_file: Path | None = None
    verify: bool = True
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    timeout: float = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class TelegramConfig:
    bot_token: Secret
    chat_id: int | str  # where routes name chats of their own, and this none: that of the first
    message_thread_id: int | None = None
    api_url: str = "https://api.telegram.org"
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    silent: frozenset[EventType] = frozenset()  # what comes without a sound
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `poll` or `cron` is given; seconds. `sweep` None: off; `sweep_requests`: at most so many an hour."""

    poll: float | None = 5.0
    cron: str | None = None
    jitter: float = 1.0
    sweep: float | None = 3600.0
    sweep_requests: int = 60


@dataclass(frozen=True, slots=True)
class ScansConfig:
    """Which scans are told, and how. Severities in lower case."""

    minimum_severity: str = "none"
    important: str | None = "critical"  # None: nothing is
    only_fixable: bool = False
    only_changed: bool = False
    sbom: bool = False
    quiet: float = 60.0  # seconds without a scan, after which a scan-all has ended


@dataclass(frozen=True, slots=True)
class Delivery:
    """How what is due becomes messages. Times in seconds; None: off.

    `is_calm`: what belongs together is one message; otherwise each event has its own. `settle`: so long a push or a
    deletion waits for what belongs to it. `pull_window`: pulls of an image by somebody are one message as long as no
    longer passes between two. `scan_window`: so long after its push an image's result that is not important is added
    to the push's message. `edits`: whether a message that was sent may be changed.
    """

    is_calm: bool = True
    settle: float = 4.0
    pull_window: float | None = 3600.0
    scan_window: float | None = 3600.0
    edits: bool = True
    links: bool = True
    max_delay: float = 120.0
    catch_up_after: float = 900.0
    all_quiet: DailyAt | None = None  # when a message says what the day was like


@dataclass(frozen=True, slots=True)
class StateConfig:
    url: Secret
    keep: timedelta = timedelta(days=90)

    @property
    def file(self) -> Path | None:
        """SQLite's file; None where a server keeps the state."""
        scheme, _, path = self.url.reveal().partition(":///")
        return Path(path) if scheme.startswith("sqlite") else None


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where the daemon shows how it fares; None: nowhere."""

    listen: Address | None = None


@dataclass(frozen=True, slots=True)
class Caution:
    """What is allowed but unwise. `code`: a constant word for it."""

    code: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """`url` empty: there is none. `fail_url` empty: /fail behind the url's path; None: failures are not told."""

    url: Secret = field(default_factory=lambda: Secret(""))
    fail_url: Secret | None = field(default_factory=lambda: Secret(""))
    every: float = 60.0  # seconds
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    ca_file: Path | None = None

    @property
    def secrets(self) -> list[str]:
        """The addresses, what is written of them into requests, and the parts of them that look like a key."""
        urls = [url.reveal() for url in (self.url, self.fail_url) if url]
        found = [*urls, *_url_passwords(*urls, self.proxy)]
        for parts in map(urlsplit, urls):
            path = parts.path.rstrip("/")
            pieces = [*path.split("/"), *(value for _, value in parse_qsl(parts.query))]
            found += [part for part in (path, parts.query) if part]
            found += [piece for piece in pieces if _looks_like_key(piece)]
        return found


@dataclass(frozen=True, slots=True)
class Config:
    path: Path
    language: str
    timezone: tzinfo
    harbor: HarborConfig
    telegram: TelegramConfig
    escape_chars: str
    missing_escapes: str  # what Telegram wants escaped and escape_chars lacks
    events: frozenset[EventType]  # those that are told
    schedule: Schedule
    delivery: Delivery
    state: StateConfig
    routes: tuple[Route, ...]  # at least one, in the order in which they are asked
    scans: ScansConfig = field(default_factory=ScansConfig)
    metrics: MetricsConfig = MetricsConfig()
    heartbeat: HeartbeatConfig = field(default_factory=HeartbeatConfig)
    warnings: tuple[Caution, ...] = ()

    @property
    def telling_routes(self) -> tuple[Route, ...]:
        """Those that tell anything."""
        return tuple(route for route in self.routes if not route.is_nowhere)

    @property
    def is_swept(self) -> bool:
        """Whether the sweep looks for results of scans."""
        return bool(self.events & SCAN_TYPES) and self.schedule.sweep is not None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that no log line may show."""
        harbor, telegram = self.harbor, self.telegram
        token = telegram.bot_token.reveal()
        texts = [
            harbor.password.reveal(),
            f"{harbor.username}:{harbor.password.reveal()}",  # what Basic authentication encodes
            token,
            token.partition(":")[2],
            *_url_passwords(self.state.url.reveal(), harbor.proxy, telegram.proxy),
            *self.heartbeat.secrets,
        ]
        return tuple(Secret(text) for text in texts if text)


def find(path: Path | None) -> Path:
    """The file that was asked for, else the first of PLACES that is there. Raises ConfigError for none."""
    if path is not None:
        return path
    for place in PLACES:
        if is_there(place):
            return place
    places = " nor ".join(str(place) for place in PLACES)
    raise ConfigError(f"no configuration: there is neither {places}; name another with --config FILE")


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration of that file, with the secrets from wherever they are. Raises ConfigError."""
    document = read_toml(path)
    mistakes = Mistakes(path)
    note_unknown(document, KEYS, mistakes, tables=["route"])
    config = _read(document, path, environ, mistakes)
    if mistakes.lines:
        raise ConfigError("\n".join(mistakes.lines))
    return config


def _read(document: Table, path: Path, environ: Mapping[str, str], mistakes: Mistakes) -> Config:
    folder = path.absolute().parent
    top = Section("", document, mistakes)
    language = top.read("language", values.one_of("ru", "en"), "ru")
    system: tzinfo = UTC if top.has("timezone") else timezones.of_system(environ)
    timezone = top.read("timezone", timezones.named, system)
    harbor = _harbor(document, environ, folder, mistakes)
    telegram = _telegram(document, environ, folder, timezone, mistakes)
    routes = config_routes.routes(document, _usual(telegram, language, timezone), mistakes)
    if not telegram.chat_id:
        telegram = replace(telegram, chat_id=next((route.chat_id for route in routes if not route.is_nowhere), 0))
    escape_chars = section(document, "markdown", mistakes).read("escape_chars", values.escape_chars, TELEGRAM_ESCAPES)
    events = _events(section(document, "events", mistakes))
    delivery = _delivery(section(document, "delivery", mistakes), timezone)
    told = events if delivery.all_quiet else events - {EventType.DAILY}
    metrics = MetricsConfig(section(document, "metrics", mistakes).read("listen", values.address, None))
    return Config(
        path=path,
        language=language,
        timezone=timezone,
        harbor=harbor,
        telegram=telegram,
        escape_chars=escape_chars,
        missing_escapes="".join(character for character in TELEGRAM_ESCAPES if character not in escape_chars),
        events=events,
        schedule=_schedule(section(document, "schedule", mistakes)),
        delivery=delivery,
        state=_state(section(document, "state", mistakes), environ, folder),
        routes=routes,
        scans=_scans(section(document, "scans", mistakes)),
        metrics=metrics,
        heartbeat=_heartbeat(section(document, "heartbeat", mistakes), environ, folder),
        warnings=(
            *_warnings(document, environ, path, harbor, told, routes, metrics),
            *_unencrypted(harbor, telegram),
        ),
    )


# -- sections ---------------------------------------------------------------------------------------


def _harbor(document: Table, environ: Mapping[str, str], folder: Path, mistakes: Mistakes) -> HarborConfig:
    here = section(document, "harbor", mistakes, missing="add it, with url, username and password (or password_file)")
    return HarborConfig(
        url=here.need("url", values.harbor_url, "", 'the address of Harbor, such as "https://registry.example.org"'),
        username=here.need("username", values.username, "", 'the account to read with, such as "robot$poller"'),
        password=find_secret(_PASSWORD, here, environ, folder),
        projects=here.read("projects", values.projects, ()),
        ca_file=here.read("ca_file", lambda value: _ca_file(value, folder), None),
        verify=here.read("verify", values.switch, True),
        proxy=here.read("proxy", values.proxy, None),
        timeout=here.read("timeout", duration("1s", "10m"), 30.0),
    )


def _ca_file(value: object, folder: Path) -> Path | None:
    path = folder / values.text(value)
    try:
        content = read_bytes(path)
    except ConfigError as error:
        raise Unfit(f"must be a file of certificates: {error}") from None
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise Unfit("must be a file of certificates in PEM: it has no line -----BEGIN CERTIFICATE-----")
    return path


def _telegram(
    document: Table, environ: Mapping[str, str], folder: Path, timezone: tzinfo, mistakes: Mistakes
) -> TelegramConfig:
    here = section(document, "telegram", mistakes, missing="add it, with bot_token (or bot_token_file) and chat_id")
    return TelegramConfig(
        bot_token=find_secret(_BOT_TOKEN, here, environ, folder),
        chat_id=_chat(here, document),
        message_thread_id=here.read("message_thread_id", values.message_thread_id, None),
        api_url=here.read("api_url", values.api_url, "https://api.telegram.org"),
        proxy=here.read("proxy", values.proxy, None),
        silent=here.read("silent", config_routes.silent, frozenset()),
        quiet_hours=here.read("quiet_hours", config_routes.hours(timezone), None),
    )


def _chat(here: Section, document: Table) -> int | str:
    """0 for none: routes may each have their own."""
    no_chat: int | str = 0
    if not here.has("chat_id") and config_routes.all_name_chats(document):
        if here.has("message_thread_id"):
            here.mistakes.add(
                here.where("message_thread_id"), "is the topic of no chat: give chat_id, or move it there"
            )
        return no_chat
    meaning = 'the chat to tell, such as "-1001234567890" or "@name"'
    or_routes = "; or give each [[route]] a chat_id" if "route" in document else ""
    return here.need("chat_id", values.chat_id, no_chat, meaning + or_routes)


def _usual(telegram: TelegramConfig, language: str, timezone: tzinfo) -> Usual:
    chat_id = telegram.chat_id or None
    return Usual(chat_id, telegram.message_thread_id, language, telegram.silent, telegram.quiet_hours, timezone)


def _events(here: Section) -> frozenset[EventType]:
    return frozenset(type_ for type_ in EventType if here.read(type_, values.switch, type_ in USUAL_TYPES))


def _schedule(here: Section) -> Schedule:
    if here.has("poll") and here.has("cron"):
        here.mistakes.add("[schedule]", "has both poll and cron: keep one of them")
    poll = here.read("poll", duration("1s", "1d"), 5.0)
    jitter = here.read("jitter", duration("0s", "1h"), 1.0)
    an_hour: float | None = 3600.0
    sweep = here.read("sweep", values.duration_or_off("1m", "7d"), an_hour)
    sweep_requests = here.read("sweep_requests", values.whole_number(1, 3600), 60)
    if here.has("cron"):
        return Schedule(None, here.read("cron", cron.expression, None), jitter, sweep, sweep_requests)
    if jitter > poll:
        here.mistakes.add("[schedule] jitter", f"must not be longer than poll, which is {poll:g} s")
    return Schedule(poll, None, jitter, sweep, sweep_requests)


def _scans(here: Section) -> ScansConfig:
    important = here.read("important", values.word(*SEVERITIES, "off"), "critical")
    return ScansConfig(
        minimum_severity=here.read("minimum_severity", values.word(*SEVERITIES, "none"), "none"),
        important=None if important == "off" else important,
        only_fixable=here.read("only_fixable", values.switch, False),
        only_changed=here.read("only_changed", values.switch, False),
        sbom=here.read("sbom", values.switch, False),
        quiet=here.read("quiet", duration("0s", "1h"), 60.0),
    )


def _delivery(here: Section, timezone: tzinfo) -> Delivery:
    an_hour: float | None = 3600.0
    return Delivery(
        is_calm=here.read("mode", values.one_of("calm", "every"), "calm") == "calm",
        settle=here.read("settle", duration("0s", "1m"), 4.0),
        pull_window=here.read("pull_window", values.duration_or_off("1s", "1d"), an_hour),
        scan_window=here.read("scan_window", values.duration_or_off("1s", "1d"), an_hour),
        edits=here.read("edit", values.switch, True),
        links=here.read("links", values.switch, True),
        max_delay=here.read("max_delay", duration("0s", "1d"), 120.0),
        catch_up_after=here.read("catch_up_after", duration("0s", "30d"), 900.0),
        all_quiet=here.read("all_quiet", config_routes.daily(timezone), None),
    )


def _state(here: Section, environ: Mapping[str, str], folder: Path) -> StateConfig:
    url = here.read("url", values.state_url, "sqlite:///state.db", is_secret=True)
    if given := environ.get(STATE_URL_VARIABLE):
        try:
            url = values.state_url(given)
        except Unfit as unfit:
            here.mistakes.add_line(f"the environment variable {STATE_URL_VARIABLE}: {unfit}")
    keep = here.read("keep", duration("1d", "36500d"), 90 * 86400.0)
    return StateConfig(Secret(_anchored(url, folder)), timedelta(seconds=keep))


def _heartbeat(here: Section, environ: Mapping[str, str], folder: Path) -> HeartbeatConfig:
    fail_url = find_secret(_HEARTBEAT_FAILS, here, environ, folder)
    return HeartbeatConfig(
        url=find_secret(_HEARTBEAT, here, environ, folder),
        fail_url=None if fail_url.reveal() == values.OFF else fail_url,
        every=here.read("every", duration("1s", "1d"), 60.0),
        proxy=here.read("proxy", values.proxy, None),
        ca_file=here.read("ca_file", lambda value: _ca_file(value, folder), None),
    )


def _looks_like_key(piece: str) -> bool:
    """A word of ours, such as heartbeat, must not be masked wherever it stands."""
    return len(piece) >= 16 or (len(piece) >= 8 and any(character.isdigit() for character in piece))


def _anchored(url: str, folder: Path) -> str:
    """A relative path of SQLite is relative to conf.toml, wherever the program was started."""
    scheme, _, path = url.partition(":///")
    return f"{scheme}:///{folder / path}" if scheme == "sqlite" else url


# -- warnings ---------------------------------------------------------------------------------------


def _warnings(
    document: Table,
    environ: Mapping[str, str],
    path: Path,
    harbor: HarborConfig,
    events: frozenset[EventType],
    routes: Sequence[Route],
    metrics: MetricsConfig,
) -> Iterator[Caution]:
    if secrets := list(_secrets_in(document)):
        yield from _open_to_others(path, f"{path} holds a secret ({', '.join(secrets)}) and")
    for section_name, places in (("harbor", _PASSWORD), ("telegram", _BOT_TOKEN)):
        if file := secret_file(places, document.get(section_name), environ, path.absolute().parent):
            yield from _open_to_others(file, f"the secret in {file}")
    if not harbor.verify:
        text = "[harbor] verify = false: whoever is between here and Harbor can read the password"
        yield Caution("verify_off", text, "use ca_file, with the certificate of Harbor's issuer, and remove verify")
    if not events - {EventType.DAILY}:  # which tells of the others
        text = "[events] every event is switched off: nothing will be told"
        yield Caution("events_off", text, "set those to true in [events] that are to be told, or remove the section")
    if all(route.is_nowhere for route in routes):
        text = "[[route]] every route leads nowhere: nothing will be told"
        yield Caution("all_nowhere", text, "add a [[route]] without nowhere behind the others")
    if metrics.listen is not None and not metrics.listen.is_loopback:
        yield Caution(
            "metrics_open",
            f"[metrics] listen = {metrics.listen}: whoever reaches it reads the names of routes and how much happens,"
            " for nobody is asked for a password",
            "use 127.0.0.1, or let only your monitoring through the firewall",
        )


def _unencrypted(harbor: HarborConfig, telegram: TelegramConfig) -> Iterator[Caution]:
    for key, url, what in (
        ("[harbor] url", harbor.url, "the account's password"),
        ("[telegram] api_url", telegram.api_url, "the bot's token"),
    ):
        parts = urlsplit(url)
        if parts.scheme == "http" and not values.is_loopback(parts.hostname or ""):
            yield Caution(
                "unencrypted",
                f"{key} = {url}: {what} travels unencrypted, and whoever is on the way can read it",
                f"put https:// before the host in {key}; if nothing speaks it there, let it be set up",
            )


def _open_to_others(path: Path, what: str) -> Iterator[Caution]:
    who, _, remedy = readers(path).partition("; ")
    if who:
        yield Caution("readable_by_others", f"{what} may be read by {who}", remedy)


_SECRETS = (("harbor", "password"), ("telegram", "bot_token"), ("heartbeat", "url"), ("heartbeat", "fail_url"))
_URLS = (("state", "url"), ("harbor", "proxy"), ("telegram", "proxy"), ("heartbeat", "proxy"))


def _secrets_in(document: Table) -> Iterator[str]:
    """By the names of their keys."""

    def given(name: str, key: str) -> str:
        table = document.get(name)
        value = table.get(key) if isinstance(table, Mapping) else None
        return value if isinstance(value, str) else ""

    for name, key in _SECRETS:
        if given(name, key) not in ("", values.OFF, *PLACEHOLDERS):
            yield f"[{name}] {key}"
    for name, key in _URLS:
        if _url_passwords(given(name, key)):
            yield f"the password in [{name}] {key}"


def _url_passwords(*urls: str | None) -> list[str]:
    """The passwords inside, as they are written there; libpq also takes them behind the question mark."""
    found = []
    for url in urls:
        try:
            parts = urlsplit(url or "")
            found.append(parts.password)
        except ValueError:
            continue
        found += [value for key, value in parse_qsl(parts.query) if key in ("password", "sslpassword")]
    return [password for password in found if password]
