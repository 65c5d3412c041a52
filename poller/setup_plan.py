"""What `setup` makes of the answers: the text of conf.toml, and where its files are. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from poller import here
from poller.logs import visible
from poller.secret import Secret

SERVICE_FOLDER = Path("/etc/harbor-poller")


@dataclass(frozen=True, slots=True)
class Content:
    """Of a file. `is_secret`: nobody but the owner may read it; otherwise whoever the umask lets."""

    text: str = field(repr=False)
    is_secret: bool


@dataclass(frozen=True, slots=True)
class Places:
    """`state_url` None: the default, beside conf.toml."""

    conf: Path
    password: Path
    token: Path
    state_url: str | None = None

    @property
    def all(self) -> tuple[Path, Path, Path]:
        return self.conf, self.password, self.token


def places_for(conf: Path) -> Places:
    """Secrets lie beside conf.toml. The systemd service has names of its own for them, and its state elsewhere."""
    folder = conf.parent
    if folder.absolute() == SERVICE_FOLDER:
        return Places(
            conf, folder / "harbor_password", folder / "telegram_bot_token", f"sqlite:///{here.STATE_FOLDER}/state.db"
        )
    return Places(conf, folder / "harbor-password", folder / "telegram-token")


@dataclass(frozen=True, slots=True)
class HarborAnswers:
    """How Harbor is reached. `proxy` may hold a password."""

    url: str
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`label`: what people call it."""

    chat_id: int | str
    thread_id: int | None
    label: str
    language: str


@dataclass(frozen=True, slots=True)
class TelegramAnswers:
    token: Secret
    chat: ChatAnswer
    api_url: str | None = None
    proxy: str | None = field(default=None, repr=False)


def contents(
    places: Places, harbor: HarborAnswers, robot: str, password: Secret, telegram: TelegramAnswers, now: datetime
) -> dict[Path, Content]:
    """The files, in the order in which they come into being: conf.toml is last, for it is what makes the rest count."""
    conf = "\n".join(_conf(places, harbor, robot, telegram, now)) + "\n"
    return {
        places.password: Content(f"{password.reveal()}\n", is_secret=True),
        places.token: Content(f"{telegram.token.reveal()}\n", is_secret=True),
        places.conf: Content(
            conf, is_secret=any(urlsplit(url or "").username for url in (harbor.proxy, telegram.proxy))
        ),
    }


def _conf(places: Places, harbor: HarborAnswers, robot: str, telegram: TelegramAnswers, now: datetime) -> Iterator[str]:
    chat = telegram.chat
    yield f"# Written by `setup` on {now:%Y-%m-%d}. All other settings have their defaults: the conf.toml that comes"
    yield "# with harbor-poller lists them, with a sentence each. After a change: `check`, then restart the service."
    yield f"language = {_text(chat.language)}"
    yield ""
    yield "[harbor]"
    yield f"url = {_text(harbor.url)}"
    yield f"username = {_text(robot)}"
    yield f"password_file = {_text(places.password.name)}"
    if harbor.projects:
        yield f"projects = [{', '.join(map(_text, harbor.projects))}]"
    yield from _lines(ca_file=str(harbor.ca_file.absolute()) if harbor.ca_file else None, proxy=harbor.proxy)
    yield ""
    yield "[telegram]"
    yield f"bot_token_file = {_text(places.token.name)}"
    yield f"chat_id = {_text(str(chat.chat_id))}  # {visible(chat.label)}"
    yield from _lines(message_thread_id=str(chat.thread_id) if chat.thread_id else None)
    yield from _lines(api_url=telegram.api_url, proxy=telegram.proxy)
    if places.state_url:
        yield ""
        yield "[state]"
        yield f"url = {_text(places.state_url)}"


def _lines(**values: str | None) -> Iterator[str]:
    for key, value in values.items():
        if value:
            yield f"{key} = {_text(value)}"


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
