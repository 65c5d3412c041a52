"""What a command is told before its name, and how it answers. Loads nothing that takes long."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from poller import logs
from poller.secret import Secret

_log = logs.Log("poller")


class Context:
    """What stands before the name of the command. Making it sets up the logs."""

    def __init__(self, path: Path | None, log_level: str, log_format: str) -> None:
        self.path = path
        self._log_level = log_level
        self._log_format = log_format
        self._masked: list[Secret] = []
        self.is_json = log_format == "json"
        self.mask()

    def mask(self, *secrets: Secret | None) -> None:
        """No text shows them from now on."""
        self._masked += filter(None, secrets)
        logs.set_up(self._log_level, self._log_format, self._masked)


def say(error: object, code: int) -> int:
    """Why a command ends as it does, on standard error."""
    if _is_json():
        _log.error("command.failed", error=error, exit_code=code)
    else:
        click.echo(logs.for_stderr(str(error), logging.ERROR), err=True)
    return code


def note(text: str) -> None:
    """What goes on, for a person who watches."""
    if _is_json():
        _log.info("command.note", text=text)
    else:
        click.echo(logs.for_stderr(text, logging.INFO), err=True)


def print_json(answer: Mapping[str, Any]) -> None:
    """An object on a line of its own."""
    click.echo(json.dumps(answer, ensure_ascii=False))


def _is_json() -> bool:
    context = click.get_current_context().find_object(Context)
    return context is not None and context.is_json
