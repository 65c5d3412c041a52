"""conf.toml, made by asking. What the environment and files have stands in for flags: no secret is among these."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import click

from poller import config as configuration
from poller import setup as setting_up
from poller import show
from poller.commands import check
from poller.commands.context import Context, say
from poller.config import Config
from poller.config_secrets import only_line
from poller.deadline import CHECK_WITHIN
from poller.errors import ConfigError
from poller.exit_codes import DONE, TRY_AGAIN
from poller.secret import Secret
from poller.setup_asking import Edge, Given, Person
from poller.show.check import check_page
from poller.times import utc_now

_FOUND_ELSEWHERE = ("HARBOR_PASSWORD", "TELEGRAM_BOT_TOKEN", "CREDENTIALS_DIRECTORY")
"""Where the product finds secrets before it looks into the files that `setup` writes."""


def run(context: Context, *, is_silent: bool, **flags: Any) -> int:
    person = Person(is_there=sys.stdin.isatty())
    given = _given(flags, context.path, os.environ)
    context.mask(given.password, given.robot_secret, given.token)
    try:
        path = setting_up.run(given, Edge(person, utc_now, time.sleep, context.mask))
    except (click.Abort, KeyboardInterrupt):
        return say("\nstopped; nothing was made", TRY_AGAIN)
    person.say()
    report = check.report(lambda: _as_written(path), CHECK_WITHIN, is_sending=not is_silent)
    show.write(check_page(report))
    _tell_next_step(person, path, report.exit_code)
    return report.exit_code


def _as_written(path: Path) -> Config:
    """The configuration by itself, whatever secrets the environment has."""
    return configuration.load(path, {key: value for key, value in os.environ.items() if key not in _FOUND_ELSEWHERE})


def _tell_next_step(person: Person, path: Path, code: int) -> None:
    me = click.get_current_context().find_root().info_name
    command = me if path == Path("conf.toml") else f"{me} --config {shlex.quote(str(path))}"
    person.say()
    if code == DONE:
        person.say("Done. This tells what happens from now on (as a service: docs/operations.md):")
        person.show(f"{command} run")
    else:
        person.say(f"{path} is written, but not everything is well yet. When what has a ✗ is mended:")
        person.show(f"{command} check --send")


def _given(flags: dict[str, Any], config: Path | None, environ: MutableMapping[str, str]) -> Given:
    """`config`: what --config names. Secrets are taken out of the environment, where no child shall find them."""
    folder = flags.pop("directory")
    if folder is not None and config is not None:
        raise ConfigError("--directory and --config both say where conf.toml goes: leave one of them out")
    if flags["topic"] and not flags["chat_id"]:
        raise ConfigError("--topic is a topic of the chat that --chat-id names: name that, too")
    return Given(
        conf=config or (folder or Path()) / "conf.toml",
        password=_secret(flags.pop("admin_password_file"), "HARBOR_ADMIN_PASSWORD", environ),
        robot_secret=_secret(flags.pop("robot_secret_file"), "HARBOR_PASSWORD", environ),
        token=_secret(flags.pop("token_file"), "TELEGRAM_BOT_TOKEN", environ),
        **flags,
    )


def _secret(file: Path | None, variable: str, environ: MutableMapping[str, str]) -> Secret | None:
    found = environ.pop(variable, "")
    if file is not None:
        return Secret(only_line(file))
    return Secret(found) if found else None
