"""The command line. Results go to standard output, logs to standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

import formatters
from formatters.examples import examples
from poller import config as configuration
from poller import lease, logs, pacing, show, times
from poller.backfill import Backfill, Wanted
from poller.config import Config
from poller.daemon import DONE, MISTAKE, TAKEN, TRY_AGAIN, Daemon, utc_now
from poller.errors import ConfigError, LeaseTaken, OperatorError, PollerError
from poller.events import WEBHOOK_TYPES, EventType
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told
from state import Mode, Store

EPILOG = """Exit codes: 0 done; 1 not everything could be done now, the next run will try again;
2 a mistake to correct; 3 another poller works on the same state database."""

FITS_WITHIN = timedelta(minutes=10)
"""A backfill is told singly if the chat's pace allows that within so long."""

_T = TypeVar("_T")


class Context:
    """What every command needs, opened only when it is asked for."""

    def __init__(self, path: Path | None, log_level: str, log_format: str) -> None:
        self._path = path
        self._log_level = log_level
        self._log_format = log_format
        logs.set_up(log_level, log_format, ())

    def config(self) -> Config:
        config = configuration.load(configuration.find(self._path), os.environ)
        logs.set_up(self._log_level, self._log_format, config.secrets)
        for warning in config.warnings:
            logs.Log("poller").warning("config.warning", text=warning)
        return config

    def harbor(self, config: Config) -> Harbor:
        c = config.harbor
        return Harbor(
            c.url, c.username, c.password, ca_file=c.ca_file, verify=c.verify, proxy=c.proxy, timeout=c.timeout
        )

    def telegram(self, config: Config) -> Telegram:
        c = config.telegram
        return Telegram(c.bot_token, api_url=c.api_url, proxy=c.proxy, silent=c.silent)

    @contextmanager
    def store(self, config: Config) -> Iterator[Store]:
        store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def only_poller(self, store: Store) -> Iterator[lease.Owner]:
        owner = lease.Owner.this_process()
        lease.take(store, owner, utc_now())
        try:
            yield owner
        finally:
            store.release_lease(str(owner))


def _command(function: Callable[..., int]) -> Callable[..., None]:
    """Turn errors into a sentence and an exit code: no traceback for a mistake that a person can make."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            code = function(*args, **options)
        except LeaseTaken as error:
            code = _say(error, TAKEN)
        except OperatorError as error:
            code = _say(error, MISTAKE)
        except PollerError as error:
            code = _say(error, TRY_AGAIN)
        except KeyboardInterrupt:
            code = _say("interrupted; what was read so far is kept", TRY_AGAIN)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = DONE
        sys.exit(code)

    return run


def _say(error: object, code: int) -> int:
    click.echo(logs.redact(str(error)), err=True)
    return code


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="The configuration; default: ./conf.toml, then /etc/harbor-poller/conf.toml.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def cli(context: click.Context, path: Path | None, log_level: str, log_format: str) -> None:
    """Tells a Telegram chat what happens in a Harbor registry, by polling Harbor's audit log."""
    context.obj = Context(path, log_level, log_format)


@cli.command()
@click.pass_obj
@_command
def run(context: Context) -> int:
    """Run as a daemon: poll on schedule and deliver, until SIGTERM or SIGINT."""
    config = context.config()
    with context.store(config) as store, context.only_poller(store) as owner:
        poller = AuditPoller(context.harbor(config), store, config)
        teller = Teller(context.telegram(config), store, config, utc_now)
        return Daemon(config, store, poller, teller, owner).run()


@cli.command()
@click.option(
    "--print", "is_printing", is_flag=True, help="Write the messages to standard output and mark nothing as sent."
)
@click.pass_obj
@_command
def once(context: Context, is_printing: bool) -> int:
    """Poll once, deliver what is due, and exit: for cron and timers."""
    config = context.config()
    with context.store(config) as store, context.only_poller(store):
        teller = Teller(context.telegram(config), store, config, utc_now)
        trouble = _attempt(lambda: AuditPoller(context.harbor(config), store, config).poll(utc_now()))
        if is_printing:
            _print_messages(teller)
            return trouble
        return max(trouble, _deliver_all(teller, timedelta(seconds=config.delivery.max_delay)))


def _attempt(work: Callable[[], object]) -> int:
    """Harbor may be away while messages go out: say so, and go on."""
    try:
        work()
    except OperatorError as error:
        return _say(error, MISTAKE)
    except PollerError as error:
        return _say(error, TRY_AGAIN)
    return DONE


def _print_messages(teller: Teller) -> None:
    for text in teller.texts():
        click.echo(formatters.plain(text) + "\n")


def _deliver_all(teller: Teller, at_most: timedelta, on_told: Callable[[int], object] = lambda _events: None) -> int:
    """Deliver until nothing is due, or until waiting longer would not be worth it."""
    end = time.monotonic() + at_most.total_seconds()
    while True:
        step = teller.deliver()
        if isinstance(step, Told):
            on_told(step.events)
        elif step.seconds is None:
            return DONE
        elif step.needs_operator:
            return _say(f"Telegram refuses ({step.reason}); everything is kept until that is mended", MISTAKE)
        elif time.monotonic() + step.seconds > end:
            return _say(f"not everything could be told now ({step.reason}); the next run goes on", TRY_AGAIN)
        else:
            time.sleep(step.seconds)


@cli.command()
@click.option("--since", required=True, metavar="T", help="2026-05-01, 2026-05-01T12:00, 7d or 36h (back from now).")
@click.option("--until", metavar="T", help="The same; default: now.")
@click.option(
    "--project", "projects", multiple=True, metavar="P", help="Only this project; may be given several times."
)
@click.option(
    "--event",
    "types",
    multiple=True,
    type=click.Choice(list(EventType), case_sensitive=False),
    metavar="TYPE",
    help="Only this type; may be given several times.",
)
@click.option(
    "--deliver",
    type=click.Choice(["messages", "digest", "none"]),
    help="Default: messages if they fit the chat's pace within 10 minutes, otherwise a digest.",
)
@click.option("--dry-run", is_flag=True, help="Count, and change nothing.")
@click.pass_obj
@_command
def backfill(
    context: Context,
    since: str,
    until: str | None,
    projects: tuple[str, ...],
    types: tuple[str, ...],
    deliver: str | None,
    dry_run: bool,
) -> int:
    """Read a past period into the state and tell it. What is known already is never told again."""
    config, now = context.config(), utc_now()
    start, end = times.moment(since, now, config.timezone), times.moment(until, now, config.timezone) if until else now
    if start >= end:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}")
    wanted = Wanted(start, end, frozenset(projects), frozenset(EventType(name) for name in types))
    with context.store(config) as store, context.only_poller(store) as owner:
        harbor = context.harbor(config)
        job = Backfill(
            harbor, store, AuditPoller(harbor, store, config), wanted, is_dry=dry_run, is_told=deliver != "none"
        )
        _read_windows(job, lambda: lease.renew(store, owner, utc_now()))
        show.found(job.found, is_dry=dry_run)
        if dry_run or deliver == "none" or not job.found.to_tell:
            return DONE
        return _tell_backfill(context, config, store, job.found.to_tell, deliver)


def _read_windows(job: Backfill, renew: Callable[[], object]) -> None:
    windows = job.windows(utc_now())
    with show.progress("reading", len(windows)) as advance:
        for window in windows:
            job.read(window, utc_now())
            renew()
            advance(1)


def _tell_backfill(context: Context, config: Config, store: Store, events: int, deliver: str | None) -> int:
    limits = pacing.limits_for(config.telegram.chat_id)
    fits = events <= pacing.room((), utc_now(), FITS_WITHIN.total_seconds(), limits)
    if deliver == "messages" or (deliver is None and fits):
        store.set_mode(Mode.DIGEST, Mode.SINGLE)
        click.echo(f"telling {events} events singly", err=True)
    else:
        click.echo(f"telling {events} events as a digest", err=True)
    teller = Teller(context.telegram(config), store, config, utc_now)
    with show.progress("telling", events) as advance:
        return _deliver_all(teller, max(FITS_WITHIN, timedelta(seconds=4 * events)), advance)


@cli.command()
@click.option("--send", is_flag=True, help="Send a test message to the chat.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_command
def check(context: Context, send: bool, as_json: bool) -> int:
    """Check configuration, Harbor, rights, Telegram, database and clock; say what to mend and how."""
    from poller import check as checking

    config = context.config()
    report = checking.check(
        config,
        context.harbor(config),
        context.telegram(config),
        lambda: context.store(config),
        is_sending=send,
        now=utc_now(),
    )
    show.report(report, as_json=as_json)
    return report.exit_code


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_command
def status(context: Context, as_json: bool) -> int:
    """Show what is covered up to when, gaps, backlog and last errors."""
    config = context.config()
    with context.store(config) as store:
        show.status(store, config, utc_now(), as_json=as_json)
    return DONE


@cli.command()
@click.option("--since", metavar="T", help="2026-05-01, 2026-05-01T12:00, 7d or 36h (back from now).")
@click.option(
    "--type", "types", multiple=True, type=click.Choice(list(EventType), case_sensitive=False), metavar="TYPE"
)
@click.option("--repository", metavar="NAME", help="With its project: team/app.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N. Default: 50, or all with --json.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
@_command
def events(
    context: Context,
    since: str | None,
    types: tuple[str, ...],
    repository: str | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Show what was seen, newest last, and what became of it."""
    config = context.config()
    start = times.moment(since, utc_now(), config.timezone) if since else None
    with context.store(config) as store:
        seen = store.seen(
            since=start,
            types=[EventType(name) for name in types],
            repository=repository,
            limit=limit or (None if as_json else 50),
        )
    if as_json:
        for each in seen:
            click.echo(json.dumps(show.seen_json(each), ensure_ascii=False))
    else:
        show.events(seen, config.timezone)
    return DONE


@cli.command()
@click.option(
    "--event", "kind", type=click.Choice(list(EventType), case_sensitive=False), metavar="TYPE", help="Only this type."
)
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def preview(kind: str | None, language: str) -> int:
    """Show how each message will look, without any network or configuration."""
    style = formatters.Style(language, UTC)
    for event in examples():
        if event.type == kind or (kind is None and event.type in WEBHOOK_TYPES):
            click.echo(formatters.plain(formatters.message(event, style)) + "\n")
    return DONE


@cli.command()
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def demo(language: str) -> int:
    """Run the product on embedded stand-ins of Harbor and Telegram; no configuration needed."""
    from demo.day import run as run_day

    return run_day(language, os.environ)


if __name__ == "__main__":
    cli(prog_name="python -m poller")
