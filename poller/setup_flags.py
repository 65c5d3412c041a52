"""The flags of `setup`. No secret is among them: see `given` in commands/setup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

EPILOG = """\b
Passwords and tokens are asked for, or come from files or the environment:
  HARBOR_ADMIN_PASSWORD, TELEGRAM_BOT_TOKEN; with --robot-user HARBOR_PASSWORD

\b
Examples:
  setup                  asks for everything
  setup --project team   reads only the log of this project
  setup --harbor-url URL --token-file FILE --chat-id ID --yes
                         asks for nothing, with HARBOR_ADMIN_PASSWORD
"""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--harbor-url", metavar="URL", help="Without a scheme: https."),
    click.option("--ca-file", type=_FILE, metavar="FILE", help="Certificates (PEM) to trust for Harbor."),
    click.option("--harbor-proxy", metavar="URL", help="The way to Harbor: http, https, socks5 or socks5h."),
    click.option("--admin", metavar="NAME", help="Who creates the robot account. Default: admin."),
    click.option("--admin-password-file", type=_FILE, metavar="FILE", help="The password is its only line."),
    click.option("--project", "projects", multiple=True, metavar="P", help="Read only this one. May be repeated."),
    click.option("--robot-name", metavar="NAME", help="Of the robot that is created. Default: poller."),
    click.option("--replace-robot", "takes_over", is_flag=True, help="Take a robot of that name over: a new secret."),
    click.option("--robot-user", metavar="NAME", help="Create none: use this one, such as 'robot$poller'."),
    click.option("--robot-secret-file", type=_FILE, metavar="FILE", help="Its secret is the only line."),
    click.option("--token-file", type=_FILE, metavar="FILE", help="The bot's token is its only line."),
    click.option("--chat-id", metavar="ID", help="Where to tell. Default: a chat that the bot hears of."),
    click.option("--topic", metavar="ID", help="A topic of the chat named by --chat-id."),
    click.option("--telegram-proxy", metavar="URL", help="The way to Telegram, such as socks5h://127.0.0.1:1080."),
    click.option("--telegram-api-url", "api_url", metavar="URL", help="Another server of the Bot API."),
    click.option(
        "--language", type=click.Choice(["ru", "en"]), help="Of messages. Default: that of whoever wrote to the bot."
    ),
    click.option("--directory", type=_FILE, metavar="DIR", help="Where conf.toml goes. Default: the current one."),
    click.option("--force", "overwrites", is_flag=True, help="Overwrite what is there; a copy is kept."),
    click.option("--yes", "is_agreed", is_flag=True, help="Do not ask before the robot and the files are made."),
    click.option(
        "--wait",
        type=click.FloatRange(min=0, max=86400),
        default=120,
        metavar="S",
        help="Without a terminal: how long for the first chat. Default: 120 s.",
    ),
    click.option("--no-test-message", is_flag=True, help="Send nothing to the chat."),
)


def options(function: _Function) -> _Function:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
