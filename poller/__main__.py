"""The command line: what can be typed. Results go to standard output, logs to standard error."""

from __future__ import annotations

import difflib
import errno
import gc
import io
import os
import platform
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poller import __version__, reference, setup_flags
from poller.called import CALLED, PROGRAM
from poller.commands.context import Context, say
from poller.deadline import CHECK_WITHIN
from poller.errors import LeaseTaken, OperatorError, PollerError
from poller.exit_codes import DONE, MISTAKE, TAKEN, TRY_AGAIN

if TYPE_CHECKING:
    from poller.events import EventType

Work = Callable[[], int]
"""What a command does is in poller/commands, and imported by the function of its name, so that each waits only for what
it needs itself: all of it takes half a second to load, of which `--help` needs nothing. Gives the exit code."""

EPILOG = f"""\b
To begin with:
  {CALLED} demo            see it work, without any configuration
  {CALLED} setup           make the account, find the chat
  {CALLED} check --send    try conf.toml; says what to mend, and how
  {CALLED} run             go

\b
Exit codes:
  0  done
  1  not everything could be done now; the next run tries again
  2  a mistake to correct: usage, configuration, rights
  3  another process does this work on the same state database
"""
BACKFILL_EPILOG = """\b
Examples:
  backfill --since 7d --dry-run                   count, change nothing
  backfill --since 2026-05-01 --until 2026-06-01  tell that month
  backfill --since 90d --deliver none             learn, tell nothing
"""
TIME = "A day (2026-05-01), a time (2026-05-01T12:00), or back from now: 7d, 36h."


def _command(function: Callable[..., Work]) -> Callable[..., None]:
    """Do what a function has loaded, and turn errors into a sentence and an exit code.

    No traceback for a mistake that a person can make.
    """

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            work = function(*args, **options)
            _end_loading()
            code = work()
        except LeaseTaken as error:
            code = say(error, TAKEN)
        except OperatorError as error:
            code = say(error, MISTAKE)
        except PollerError as error:
            code = say(error, TRY_AGAIN)
        except KeyboardInterrupt:
            code = say("interrupted; what was read and told so far is kept, and the next run goes on", TRY_AGAIN)
        except BrokenPipeError:  # such as `events | head`
            _write_no_more()
            code = DONE
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _write_no_more()
            code = say("standard output cannot be written: no space is left there", TRY_AGAIN)
        sys.exit(code)

    return run


def _end_loading() -> None:
    """What `main` has begun. What is loaded stays, so that from now on only the rest is looked through for garbage."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _write_no_more() -> None:
    """So that Python, which writes what it still has at its end, does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _InOrder(click.Group):
    """Lists its commands in the order in which they stand here."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(self.commands)


class _TypeOfEvent(click.ParamType["EventType"]):
    name = "TYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EventType:
        from poller.events import EventType  # here, as above: it takes long to load

        try:
            return EventType(value.upper())
        except ValueError:
            near = difflib.get_close_matches(value.upper(), list(EventType), n=1, cutoff=0.5) or [
                each for each in EventType if value.upper() in each
            ]
            hint = f"Did you mean {near[0]}? " if near else ""
            self.fail(f"{value!r} is no type of event. {hint}There are: {', '.join(EventType)}.", param, ctx)


TYPE = _TypeOfEvent()


def _show_version(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    from state import SCHEMA

    click.echo(f"{PROGRAM} {__version__}")
    click.echo(f"Python {platform.python_version()} on {platform.platform()}")
    click.echo(f"state schema {SCHEMA}")
    context.exit()


@click.group(
    cls=_InOrder,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),  # what cannot be read is told as every mistake in it
    metavar="FILE",
    help="Default: ./conf.toml, then in /etc/harbor-poller.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    metavar="LEVEL",
    default="info",
    help="debug, info (the default), warning or error.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    metavar="FORMAT",
    default="text",
    help="text (the default), or json: an object a line.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context, path: Path | None, log_level: str, log_format: str) -> None:
    """Tells a Telegram chat what happens in a Harbor registry, by polling Harbor's audit log."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without ✓ is no reason to fail
    context.obj = Context(path, log_level, log_format)


@cli.command()
@click.pass_obj
@_command
def run(context: Context) -> Work:
    """Poll on schedule and deliver, until SIGTERM or Ctrl-C. A second one stands by for the first.

    SIGUSR1: log everything. SIGUSR2: as before.
    """
    from poller.commands import run as command

    return partial(command.run, context)


@cli.command()
@click.option(
    "--print", "is_printing", is_flag=True, help="Write the messages to standard output and mark nothing as sent."
)
@click.option(
    "--told-until", metavar="T", help="What happened before T was told already: when an older state was put back."
)
@click.pass_obj
@_command
def once(context: Context, is_printing: bool, told_until: str | None) -> Work:
    """Poll once, deliver what is due, and exit: for cron and timers."""
    from poller.commands import once as command

    return partial(command.run, context, is_printing=is_printing, told_until=told_until)


@cli.command(epilog=BACKFILL_EPILOG)
@click.option("--since", required=True, metavar="T", help=TIME)
@click.option("--until", metavar="T", help="The same; default: now.")
@click.option("--project", "projects", multiple=True, metavar="P", help="Only this project. May be repeated.")
@click.option("--event", "types", multiple=True, type=TYPE, help="Only this type. May be repeated.")
@click.option(
    "--deliver",
    type=click.Choice(["messages", "digest", "none"]),
    metavar="HOW",
    help="messages, digest or none. Default: messages if the chat's pace allows them within 10 minutes, "
    "otherwise a digest.",
)
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@click.pass_obj
@_command
def backfill(
    context: Context,
    since: str,
    until: str | None,
    projects: tuple[str, ...],
    types: tuple[EventType, ...],
    deliver: str | None,
    dry_run: bool,
) -> Work:
    """Read a past period and tell it. What is known already is never told again."""
    from poller.commands import backfill as command

    return partial(command.run, context, since, until, projects, types, deliver, is_dry=dry_run)


@cli.command()
@click.option("--send", is_flag=True, help="Send a test message to the chat.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=2, max=600),
    default=CHECK_WITHIN,
    metavar="SECONDS",
    help="End within so many, with what is known by then. Default: 5; more for a slow link.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_command
def check(context: Context, send: bool, timeout: float, as_json: bool) -> Work:
    """Find what keeps events from being told, and how to mend it. Changes nothing.

    Tries configuration, Harbor, rights, Telegram, database and clock: a line each.
    """
    from poller.commands import check as command

    return partial(command.run, context, timeout, is_sending=send, as_json=as_json)


@cli.command(epilog=setup_flags.EPILOG)
@setup_flags.options
@click.pass_obj
@_command
def setup(context: Context, no_test_message: bool, **flags: Any) -> Work:
    """Write conf.toml, with a new account in Harbor and the chat.

    Asks what flags do not answer, tries each answer at once, and checks the result. The administrator's login is kept
    nowhere.
    """
    from poller.commands import setup as command

    return partial(command.run, context, is_silent=no_test_message, **flags)


@cli.command()
@click.option("--check", "is_checking", is_flag=True, help="For monitoring: exit with 1 or 2 if something is wrong.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_command
def status(context: Context, is_checking: bool, as_json: bool) -> Work:
    """Show whether all is well, and how things stand.

    Asks neither Harbor nor Telegram, and changes nothing.
    """
    from poller.commands import status as command

    return partial(command.run, context, is_checking=is_checking, as_json=as_json)


@cli.command()
@click.option("--since", metavar="T", help=TIME)
@click.option("--type", "types", multiple=True, type=TYPE, help="Only this type. May be repeated.")
@click.option("--repository", metavar="NAME", help="Only this one; with its project: team/app.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N. Default: 50, or all with --json.")
@click.option("--explain", "key", metavar="KEY", help="Why this event went where it went; --json shows the keys.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
@_command
def events(
    context: Context,
    since: str | None,
    types: tuple[EventType, ...],
    repository: str | None,
    limit: int | None,
    key: str | None,
    as_json: bool,
) -> Work:
    """Show what was seen, newest last, and what became of it."""
    from poller.commands import events as command

    return partial(command.run, context, since, types, repository, limit, key, as_json=as_json)


@cli.command()
@click.option("--event", "kind", type=TYPE, help="Only this type; there are more than are shown without it.")
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def preview(kind: EventType | None, language: str) -> Work:
    """Show how each message will look. Needs no network or conf.toml."""
    from poller.commands import preview as command

    return partial(command.run, kind, language)


@cli.command()
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def demo(language: str) -> Work:
    """Play a registry day on stand-ins. Needs no network or conf.toml."""
    from poller.commands import demo as command

    return partial(command.run, language)


@cli.command(name="reference")
@click.argument("name", metavar="[NAME]", type=click.Choice(reference.NAMES), default=reference.CONF)
@_command
def show_reference(name: str) -> Work:
    """Print conf.toml, or a systemd unit by its name."""
    from poller.commands import reference as command

    return partial(command.run, name)


def main() -> None:
    """The command, under the name that it was called by."""
    gc.disable()  # until all is loaded: there is no garbage in what stays, and looking takes a tenth of the start
    cli(prog_name=CALLED)


if __name__ == "__main__":
    main()
