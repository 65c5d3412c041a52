"""How `setup` gets its answers: from flags, or from a person who has another chance after a wrong one."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from poller import logs
from poller.config_values import Unfit
from poller.errors import ConfigError, PollerError
from poller.secret import Secret

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Given:
    """What flags and the environment have answered already; None: not given."""

    conf: Path
    harbor_url: str | None = None
    ca_file: Path | None = None
    harbor_proxy: str | None = field(default=None, repr=False)
    admin: str | None = None
    password: Secret | None = None
    projects: tuple[str, ...] = ()
    robot_name: str | None = None
    takes_over: bool = False
    robot_user: str | None = None
    robot_secret: Secret | None = None
    token: Secret | None = None
    chat_id: str | None = None
    topic: str | None = None
    api_url: str | None = None
    telegram_proxy: str | None = field(default=None, repr=False)
    language: str | None = None
    wait: float = 120.0  # seconds for the first chat, if nobody is there
    overwrites: bool = False
    is_agreed: bool = False

    def missing(self) -> list[str]:
        """What has no answer unless somebody is asked."""
        secret, of_secret = self.password, "--admin-password-file or HARBOR_ADMIN_PASSWORD"
        if self.robot_user:
            secret, of_secret = self.robot_secret, "--robot-secret-file or HARBOR_PASSWORD"
        needed = {
            "--harbor-url": self.harbor_url,
            of_secret: secret,
            "--token-file or TELEGRAM_BOT_TOKEN": self.token,
        }
        return [flag for flag, answer in needed.items() if answer is None]


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever sits at the terminal; `is_there` False: nobody, and every answer has to come from a flag."""

    is_there: bool

    def say(self, text: str = "", *, column: int | None = None) -> None:
        """On standard error, as all that is not a result. On a terminal broken at its width. No name forges a line.

        `column`: where a further line begins, if the terminal is wide enough.
        """
        text = logs.visible(logs.redact(text))
        if self.is_there:
            indent = " " * (column if column and column < _width() // 3 else len(text) - len(text.lstrip(" ")) + 2)
            text = textwrap.fill(
                text, _width(), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
            )
        click.echo(text, err=True)

    def show(self, command: str) -> None:
        """A line to copy."""
        click.echo(f"  {command}", err=True)

    def ask(
        self,
        question: str,
        read: Callable[[str], _T],
        *,
        given: str | None = None,
        default: str | None = None,
        is_hidden: bool = False,
    ) -> _T:
        """`read` makes the value of the text, or raises a PollerError: that ends the command if it was `given`."""
        if given is not None:
            return read(given)
        while True:
            try:
                return read(self.text(question, default=default, is_hidden=is_hidden))
            except PollerError as error:
                self.object(error)

    def text(self, question: str, *, default: str | None = None, is_hidden: bool = False) -> str:
        """Raises click.Abort at Ctrl-C and Ctrl-D."""
        if not self.is_there:
            raise ConfigError(f"nobody is there to be asked ({question})")
        answer: str = click.prompt(
            question, default=default, hide_input=is_hidden, err=True, show_default=bool(default)
        )
        return answer.strip()

    def agrees(self, question: str, *, default: bool) -> bool:
        return click.confirm(question, default=default, err=True)

    def object(self, error: PollerError) -> None:
        """Say what is wrong with an answer."""
        self.say(f"  ✗ {error}")


@dataclass(frozen=True, slots=True)
class Edge:
    """What the story needs of the world besides Harbor and Telegram. `mask`: no text may show these from now on."""

    person: Person
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    mask: Callable[[Secret], object]


def _width() -> int:
    return max(40, shutil.get_terminal_size().columns)


def fitting(name: str, parse: Callable[[object], _T]) -> Callable[[object], _T]:
    """A parser of conf.toml's values, for answers."""

    def read(value: object) -> _T:
        try:
            return parse(value)
        except Unfit as unfit:
            raise ConfigError(f"{name} {unfit}") from None

    return read
