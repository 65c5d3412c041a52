"""The command line. Results go to standard output, logs to standard error."""

from __future__ import annotations

import difflib
import errno
import io
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import formatters
from poller import __version__, here, jobs, lease, logs, measures, pacing, reference, setup_flags, show, times
from poller import config as configuration
from poller import explain as explaining
from poller.backfill import Backfill, Wanted
from poller.called import CALLED, PROGRAM
from poller.config import Config
from poller.config_values import Address
from poller.deadline import Deadline, time_to_start
from poller.diagnosis import diagnose
from poller.errors import ConfigError, LeaseTaken, NothingRecorded, OperatorError, PollerError, StateBusy, StateError
from poller.events import SCAN_TYPES, EventType
from poller.exit_codes import DONE, MISTAKE, TAKEN, TRY_AGAIN
from poller.findings import Report
from poller.foreground import Foreground, Interrupted
from poller.harbor import Harbor
from poller.heartbeat import UNHEARD, Heartbeat
from poller.jobs import AuditPoller
from poller.measures import Sink
from poller.pacing import limits_for
from poller.pulse import ChatTrouble, after_a_run
from poller.secret import Secret
from poller.setup_asking import Edge, Person
from poller.standing import Standing, standing, unrecorded
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told, Wait
from poller.times import utc_now
from poller.troubles import Trouble, Troubles
from poller.turns import Tellers
from state import POLLER, SCHEMA, Mode, Store

if TYPE_CHECKING:
    from poller.exporter import Exporter

T = TypeVar("T")

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
VERSION = f"""{PROGRAM} {__version__}
Python {platform.python_version()} on {platform.platform()}
state schema {SCHEMA}"""
TIME = "A day (2026-05-01), a time (2026-05-01T12:00), or back from now: 7d, 36h."
FITS_WITHIN = timedelta(minutes=10)
"""A backfill is told singly if the chat's pace allows that within so long."""

WAITS_FOR_DATABASE = 60.0
"""So long a daemon that starts before its database, or while that is restarted, waits for it; seconds."""
OPEN_AGAIN = 2.0
CHECK_WITHIN = 5.0
"""Seconds that `check` takes at most, unless it is given more."""
LAST_WORDS = 0.7
"""What of its time `check` keeps for printing and for the end of Python; seconds."""
LEAST_LOOK = 1.0
NOT_OPENED = Trouble("state.not_opened", "state.still_not_opened", "state.opened", logging.WARNING)

_log = logs.Log("poller")


class Context:
    """What every command needs, opened only when it is asked for."""

    def __init__(self, path: Path | None, log_level: str, log_format: str) -> None:
        self.path = path
        self._log_level = log_level
        self._log_format = log_format
        self._masked: list[Secret] = []
        self.is_json = log_format == "json"
        logs.set_up(log_level, log_format, ())

    def mask(self, *secrets: Secret | None) -> None:
        """No text shows them from now on."""
        self._masked += filter(None, secrets)
        logs.set_up(self._log_level, self._log_format, self._masked)

    def config(self, *, warns: bool = True) -> Config:
        """`warns`: what works says what is unwise; what only looks leaves that to `check`, which has it in its list."""
        config = configuration.load(configuration.find(self.path), os.environ)
        logs.set_up(self._log_level, self._log_format, config.secrets)
        for warning in config.warnings if warns else ():
            _log.warning("config.warning", text=str(warning))
        return config

    def harbor(self, config: Config, *, sink: Sink = measures.ignore, deadline: Deadline | None = None) -> Harbor:
        c = config.harbor
        return Harbor(
            c.url,
            c.username,
            c.password,
            ca_file=c.ca_file,
            verify=c.verify,
            proxy=c.proxy,
            timeout=c.timeout,
            sink=sink,
            deadline=deadline,
        )

    def telegram(self, config: Config, *, sink: Sink = measures.ignore, deadline: Deadline | None = None) -> Telegram:
        c = config.telegram
        return Telegram(c.bot_token, api_url=c.api_url, proxy=c.proxy, sink=sink, deadline=deadline)

    def heartbeat(self, config: Config) -> Heartbeat | None:
        """None: there is no dead man's switch."""
        c = config.heartbeat
        secrets = config.secrets
        return Heartbeat(c.url, c.fail_url, proxy=c.proxy, ca_file=c.ca_file, secrets=secrets) if c.url else None

    def tellers(
        self, config: Config, store: Store, clock: Callable[[], datetime] = utc_now, sink: Sink = measures.ignore
    ) -> Tellers:
        """One for each route, for whoever tells alone; what waits on routes of another day goes to these."""
        jobs.route_anew(store, config)
        telegram = self.telegram(config, sink=sink)
        routes = config.telling_routes
        return Tellers({route.name: Teller(telegram, store, config, clock, route, sink) for route in routes})

    def look(self, config: Config, ask: Callable[[Store], T]) -> T:
        """What `ask` makes of the state as it is. Raises NothingRecorded where there is none."""
        return Store.looked(config.state.url.reveal(), config.harbor.url, ROUTE, ask)

    def here(self) -> here.Here:
        """How the product runs on this machine."""
        program = click.get_current_context().find_root().info_name or "harbor-poller"
        return here.look(program, self.path)

    @contextmanager
    def store(self, config: Config, *, patience: float = 0) -> Iterator[Store]:
        """`patience`: seconds, for which a database that does not answer is asked again."""
        store = self._opened(config, time.monotonic() + patience)
        try:
            yield store
        finally:
            store.close()

    def _opened(self, config: Config, until: float) -> Store:
        troubles = Troubles()
        while True:
            try:
                store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
                troubles.went_well(NOT_OPENED)
                return store
            except StateBusy as error:
                if time.monotonic() >= until:
                    raise
                troubles.failed(NOT_OPENED, error)
                time.sleep(OPEN_AGAIN)

    @contextmanager
    def holding(self, store: Store, name: str, work: Foreground) -> Iterator[Store]:
        """The state, to be written by us alone. Raises LeaseTaken at once when another holds that lease."""
        candidate = lease.Candidate(store, lease.Owner.this_process(), name)
        grant = lease.take(candidate, clock=utc_now, sleep=work.sleep)
        try:
            with work.keeping(lambda: lease.beat(store, grant, utc_now())):
                yield store.under(grant)
        finally:
            lease.release(store, grant)

    @contextmanager
    def foreground(self, store: Store, name: str) -> Iterator[tuple[Store, Foreground]]:
        """For work that ends by itself: as the only one that does it, until it is done or asked to end."""
        work = Foreground(_note)
        with work.heeding(), self.holding(store, name, work) as held:
            yield held, work


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
        except (KeyboardInterrupt, Interrupted):
            code = _say("interrupted; what was read and told so far is kept, and the next run goes on", TRY_AGAIN)
        except BrokenPipeError:  # such as `events | head`
            _write_no_more()
            code = DONE
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _write_no_more()
            code = _say("standard output cannot be written: no space is left there", TRY_AGAIN)
        sys.exit(code)

    return run


def _write_no_more() -> None:
    """So that Python, which writes what it still has at its end, does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: object, code: int) -> int:
    """Why a command ends as it does, on standard error."""
    if _is_json():
        _log.error("command.failed", error=error, exit_code=code)
    else:
        click.echo(logs.for_stderr(str(error), logging.ERROR), err=True)
    return code


def _note(text: str) -> None:
    """What goes on, for a person who watches."""
    if _is_json():
        _log.info("command.note", text=text)
    else:
        click.echo(logs.for_stderr(text, logging.INFO), err=True)


def _is_json() -> bool:
    context = click.get_current_context().find_object(Context)
    return context is not None and context.is_json


class _InOrder(click.Group):
    """Lists its commands in the order in which they stand here."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(self.commands)


class _TypeOfEvent(click.ParamType[EventType]):
    name = "TYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EventType:
        try:
            return EventType(value.upper())
        except ValueError:
            near = difflib.get_close_matches(value.upper(), list(EventType), n=1, cutoff=0.5) or [
                each for each in EventType if value.upper() in each
            ]
            hint = f"Did you mean {near[0]}? " if near else ""
            self.fail(f"{value!r} is no type of event. {hint}There are: {', '.join(EventType)}.", param, ctx)


TYPE = _TypeOfEvent()


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
@click.version_option(__version__, message=VERSION)
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
def run(context: Context) -> int:
    """Poll on schedule and deliver, until SIGTERM or Ctrl-C. A second one stands by for the first.

    SIGUSR1: log everything. SIGUSR2: as before.
    """
    from poller.daemon import Daemon  # the scheduler takes long to load, and only this command needs it

    logs.heed_signals()
    config = context.config()
    with ExitStack() as stack:
        exporter = stack.enter_context(_exporter(config, config.metrics.listen)) if config.metrics.listen else None
        sink = exporter.heed if exporter else measures.ignore
        harbor = context.harbor(config, sink=sink)
        store = stack.enter_context(context.store(config, patience=WAITS_FOR_DATABASE)).measured(sink)
        daemon = Daemon(
            config,
            store,
            lease.Owner.this_process(),
            new_poller=lambda held: AuditPoller(harbor, held, config, sink),
            new_tellers=lambda held, clock: context.tellers(config, held, clock, sink),
            sink=sink,
            heartbeat=context.heartbeat(config),
        )
        if exporter is not None:
            stack.enter_context(exporter.watching(store, daemon.hangs))
        return daemon.run()


@contextmanager
def _exporter(config: Config, listen: Address) -> Iterator[Exporter]:
    """Answers from now on; raises ConfigError where it cannot listen."""
    from poller.exporter import Exporter  # it takes long to load, and is off by default

    exporter = Exporter(config, listen, utc_now)
    with exporter.serving():
        yield exporter


@cli.command()
@click.option(
    "--print", "is_printing", is_flag=True, help="Write the messages to standard output and mark nothing as sent."
)
@click.option(
    "--told-until", metavar="T", help="What happened before T was told already: when an older state was put back."
)
@click.pass_obj
@_command
def once(context: Context, is_printing: bool, told_until: str | None) -> int:
    """Poll once, deliver what is due, and exit: for cron and timers."""
    config, now = context.config(), utc_now()
    told_before = _moment("--told-until", told_until, now, config.timezone) if told_until else None
    if told_before and told_before > now:
        raise ConfigError(f"--told-until {told_until} is still to come: nothing of it can have been told")
    with (
        _heart(None if is_printing else context.heartbeat(config)) as heart,
        context.store(config) as opened,
        context.foreground(opened, POLLER) as (store, work),
    ):
        tellers = context.tellers(config, store)
        poller = AuditPoller(context.harbor(config), store, config)
        trouble = _attempt(lambda: _poll_to_the_end(poller, work, heart), heart)
        trouble = trouble or _attempt(lambda: _look_around(poller), heart)
        work.go_on()
        if told_before:
            if trouble:
                return trouble  # what was not read yet may have been told, too
            _leave_untold(store, told_before)
        poller.tell_day(utc_now())
        if is_printing:
            _print_messages(tellers, config)
            return trouble
        trouble = max(trouble, _deliver_all(tellers, work, timedelta(seconds=config.delivery.max_delay)))
        heart.chats = tellers.troubles
        jobs.prune_if_due(store, config, utc_now())
        return trouble


@dataclass(slots=True)
class _Heart:
    """What a run has to tell the dead man's switch. `is_whole`: whether all logs could be read."""

    error: PollerError | None = None
    is_whole: bool = True
    chats: Sequence[ChatTrouble] = ()

    def tell(self, heartbeat: Heartbeat) -> None:
        needs_operator = isinstance(self.error, OperatorError)
        ping = after_a_run(str(self.error or ""), self.chats, needs_operator=needs_operator, is_whole=self.is_whole)
        try:
            if ping is not None:
                heartbeat.tell(ping.reason)
        except PollerError as error:
            Troubles().failed(UNHEARD, error)


@contextmanager
def _heart(heartbeat: Heartbeat | None) -> Iterator[_Heart]:
    """Tells the switch at the end. While another works on the database, that one does."""
    heart = _Heart()
    try:
        yield heart
    except LeaseTaken:
        raise
    except PollerError as error:
        heart.error = error
        if heartbeat is not None:
            heart.tell(heartbeat)
        raise
    if heartbeat is not None:
        heart.tell(heartbeat)


def _poll_to_the_end(poller: AuditPoller, work: Foreground, heart: _Heart) -> None:
    while True:
        polled = poller.poll(utc_now())
        heart.is_whole &= polled.is_whole
        if not polled.has_more:
            return
        work.go_on()


def _look_around(poller: AuditPoller) -> None:
    poller.sweep(utc_now())
    poller.watch(utc_now())


def _attempt(work: Callable[[], object], heart: _Heart) -> int:
    """Harbor may be away while messages go out: say so, and go on."""
    try:
        work()
    except LeaseTaken:
        raise
    except OperatorError as error:
        heart.error = error
        return _say(f"nothing could be read: {error}", MISTAKE)
    except PollerError as error:
        heart.error = error
        return _say(f"nothing could be read now, the next run tries again: {error}", TRY_AGAIN)
    return DONE


def _print_messages(tellers: Tellers, config: Config) -> None:
    """Where there are several routes, each with the name of its own above it."""
    found = list(tellers.texts())
    for route, text in found:
        head = f"[{logs.visible(route)}]\n" if len(config.telling_routes) > 1 else ""
        click.echo(f"{head}{formatters.plain(text)}\n")
    if not found:
        _note("nothing waits to be told")


def _leave_untold(store: Store, before: datetime) -> None:
    """Also what waited in the state that was put back: it has been told since."""
    count = store.leave_untold("told before the state was put back", before=before, now=utc_now())
    _note(f"{count} event{'' if count == 1 else 's'} will not be told again; `events` shows them as off")


def _deliver_all(
    tellers: Tellers, work: Foreground, at_most: timedelta, on_told: Callable[[int], object] = lambda _events: None
) -> int:
    """Deliver until nothing is due, or until waiting longer would not be worth it."""
    end = utc_now() + at_most
    while True:
        step = _deliver_and_note(tellers, work, end)
        if isinstance(step, Told):
            on_told(step.events)
            work.go_on()
        elif step.seconds is None:
            return DONE
        elif step.needs_operator:
            return _say(f"Telegram refuses ({step.reason}); everything is kept until that is mended", MISTAKE)
        elif utc_now() + timedelta(seconds=step.seconds) > end:
            return _say(f"not everything could be told now ({step.reason}); the next run goes on", TRY_AGAIN)
        else:
            work.sleep(step.seconds)


def _deliver_and_note(tellers: Tellers, work: Foreground, end: datetime) -> Told | Wait:
    """What Telegram has taken would be told again by the next run if it were not noted: try for as long as we may."""
    while True:
        try:
            return tellers.deliver(is_patient=False)  # nothing more will come while this runs
        except (StateError, StateBusy):
            if not tellers.owes_a_note or utc_now() >= end:
                raise
            work.sleep(1)


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
) -> int:
    """Read a past period and tell it. What is known already is never told again."""
    config, now = context.config(), utc_now()
    start = _moment("--since", since, now, config.timezone)
    end = _moment("--until", until, now, config.timezone) if until else now
    if start >= end:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}")
    if SCAN_TYPES & frozenset(types):
        raise ConfigError("--event: scans are not in the audit log, so a backfill cannot find them")
    wanted = Wanted(start, end, frozenset(projects), frozenset(types))
    with context.store(config) as opened, context.foreground(opened, lease.BACKFILL) as (store, work):
        harbor = context.harbor(config)
        poller = AuditPoller(harbor, store, config)
        job = Backfill(harbor, store, poller, wanted, is_dry=dry_run, is_told=deliver != "none")
        seconds = _read_windows(job, work)
        show.write(show.backfill_page(job.found, wanted, config, seconds, is_dry=dry_run))
        if deliver == "none":
            return DONE
        return _tell_backfill(context, config, store, work, deliver, job.found.to_tell if dry_run else None)


def _read_windows(job: Backfill, work: Foreground) -> float:
    """Returns how many seconds that took."""
    started = time.monotonic()
    windows = job.windows(utc_now())
    with show.progress("reading", len(windows)) as advance:
        for window in windows:
            work.go_on()
            job.read(window, utc_now())
            advance(1)
    work.go_on()
    job.note_past(utc_now())
    return time.monotonic() - started


def _tell_backfill(
    context: Context, config: Config, store: Store, work: Foreground, deliver: str | None, dry: int | None
) -> int:
    """Tell what waits, also what an interrupted backfill left. `dry`: only say how so many would be told."""
    store = jobs.over_routes(store, config)
    waiting = _by_chat(store, config) if dry is None else {config.telling_routes[0].chat_id: dry} if dry else {}
    events = sum(waiting.values())
    if not events:
        _note("nothing to tell")
        return DONE
    room = {
        chat_id: pacing.room((), utc_now(), FITS_WITHIN.total_seconds(), limits_for(chat_id)) for chat_id in waiting
    }
    fits = all(count <= room[chat_id] for chat_id, count in waiting.items())
    is_single = deliver == "messages" or (deliver is None and fits)
    minutes = max(1, *(round(count / limits_for(chat).per_minute) for chat, count in waiting.items()))
    _note(f"{'would tell' if dry is not None else 'telling'} {_how(events, minutes, is_single, deliver)}")
    if dry is not None:
        return DONE
    if is_single:
        store.set_mode(Mode.DIGEST, Mode.SINGLE)
    else:
        store.hold(Mode.DIGEST, until=None)
    with ExitStack() as stack:
        try:
            held = stack.enter_context(context.holding(store, POLLER, work))
        except LeaseTaken:
            _note(f"{_who_tells(store)} will tell them, at the chat's pace")
            return DONE
        advance = stack.enter_context(show.progress("telling", events))
        at_most = max(FITS_WITHIN, timedelta(minutes=2 * minutes))
        return _deliver_all(context.tellers(config, held), work, at_most, advance)


def _by_chat(store: Store, config: Config) -> dict[int | str, int]:
    """How much waits for which chat."""
    waiting = Counter[int | str]()
    for route in config.telling_routes:
        waiting[route.chat_id] += store.for_route(route.name).counts().pending
    return dict(+waiting)


def _who_tells(store: Store) -> str:
    holder = store.lease()
    return f"the poller at work ({lease.place(holder.owner)})" if holder else "another poller"


def _how(events: int, minutes: int, is_single: bool, deliver: str | None) -> str:
    plural = "" if events == 1 else "s"
    if is_single:
        return f"{events} event{plural} in single messages, which takes about {minutes} min"
    why = "" if deliver else f"; single messages would take about {minutes} min (--deliver messages)"
    return f"{events} event{plural} in a digest{why}"


def _moment(option: str, text: str, now: datetime, zone: tzinfo) -> datetime:
    try:
        return times.moment(text, now, zone)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


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
def check(context: Context, send: bool, timeout: float, as_json: bool) -> int:
    """Find what keeps events from being told, and how to mend it. Changes nothing.

    Tries configuration, Harbor, rights, Telegram, database and clock: a line each.
    """
    report = _check(context, lambda: context.config(warns=False), timeout - time_to_start(), is_sending=send)
    if as_json:
        _print_json(report.to_json())
    else:
        show.write(show.check_page(report))
    return report.exit_code


def _check(context: Context, load: Callable[[], Config], seconds: float, *, is_sending: bool) -> Report:
    """`load`: a configuration that cannot be used is a finding like others."""
    from poller import check as checking

    deadline = Deadline.after(max(LEAST_LOOK, seconds - LAST_WORDS))
    try:
        config = load()
        return checking.check(
            config,
            context.harbor(config, deadline=deadline),
            context.telegram(config, deadline=deadline),
            is_sending=is_sending,
            now=utc_now(),
            deadline=deadline,
        )
    except ConfigError as error:
        return checking.misconfigured(error)


@cli.command(epilog=setup_flags.EPILOG)
@setup_flags.options
@click.pass_obj
@_command
def setup(context: Context, no_test_message: bool, **flags: Any) -> int:
    """Write conf.toml, with a new account in Harbor and the chat.

    Asks what flags do not answer, tries each answer at once, and checks the result. The administrator's login is kept
    nowhere.
    """
    from poller import setup as setting_up

    person = Person(is_there=sys.stdin.isatty())
    given = setup_flags.given(flags, context.path, os.environ)
    context.mask(given.password, given.robot_secret, given.token)
    try:
        path = setting_up.run(given, Edge(person, utc_now, time.sleep, context.mask))
    except (click.Abort, KeyboardInterrupt):
        return _say("\nstopped; nothing was made", TRY_AGAIN)
    person.say()
    report = _check(context, lambda: _as_written(path), CHECK_WITHIN, is_sending=not no_test_message)
    show.write(show.check_page(report))
    _tell_next_step(person, path, report.exit_code)
    return report.exit_code


def _as_written(path: Path) -> Config:
    """The configuration by itself, whatever secrets the environment has."""
    return configuration.load(
        path, {key: value for key, value in os.environ.items() if key not in setup_flags.FOUND_ELSEWHERE}
    )


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


@cli.command()
@click.option("--check", "is_checking", is_flag=True, help="For monitoring: exit with 1 or 2 if something is wrong.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_command
def status(context: Context, is_checking: bool, as_json: bool) -> int:
    """Show whether all is well, and how things stand.

    Asks neither Harbor nor Telegram, and changes nothing.
    """
    config, now = context.config(warns=False), utc_now()
    result = _standing(context, config, now)
    found = diagnose(result, context.here(), config.timezone, now)
    if as_json:
        _print_json(found.to_json() | result.to_json())
    else:
        show.write(show.status_page(result, found, config.timezone, now))
    return found.exit_code if is_checking else DONE


def _standing(context: Context, config: Config, now: datetime) -> Standing:
    try:
        return context.look(config, lambda store: standing(store, config, now))
    except NothingRecorded:
        return unrecorded(config)


def _print_json(answer: Mapping[str, Any]) -> None:
    """An object on a line of its own."""
    click.echo(json.dumps(answer, ensure_ascii=False))


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
) -> int:
    """Show what was seen, newest last, and what became of it."""
    config = context.config(warns=False)
    if key is not None:
        if since or types or repository or limit:
            raise ConfigError("--explain is of one event: leave --since, --type, --repository and --limit out")
        return _explain(context, config, key, as_json=as_json)
    start = _moment("--since", since, utc_now(), config.timezone) if since else None
    most = limit or (None if as_json else 50)
    seen = context.look(config, lambda store: store.seen(since=start, types=types, repository=repository, limit=most))
    if as_json:
        for each in seen:
            _print_json(show.seen_json(each))
    else:
        show.write(show.events_page(seen, config.timezone))
    return DONE


def _explain(context: Context, config: Config, key: str, *, as_json: bool) -> int:
    def ask(store: Store) -> explaining.Explanation:
        decide = AuditPoller(context.harbor(config), store, config).decide
        return explaining.explain(key, store, config, decide, utc_now())

    explained = context.look(config, ask)
    if as_json:
        _print_json(explained.to_json())
    else:
        show.write(show.explanation_page(explained, config.timezone))
    return DONE


@cli.command()
@click.option("--event", "kind", type=TYPE, help="Only this type; there are more than are shown without it.")
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def preview(kind: EventType | None, language: str) -> int:
    """Show how each message will look. Needs no network or conf.toml."""
    show.write(show.preview_page(kind, language))
    return DONE


@cli.command()
@click.option("--language", type=click.Choice(["ru", "en"]), default="ru", show_default=True)
@_command
def demo(language: str) -> int:
    """Play a registry day on stand-ins. Needs no network or conf.toml."""
    from demo.day import run as run_day
    from demo.telegram_parser import ParserMissing

    try:
        return run_day(language, os.environ)
    except ParserMissing as error:
        return _say(error, MISTAKE)


@cli.command(name="reference")
@click.argument("name", metavar="[NAME]", type=click.Choice(reference.NAMES), default=reference.CONF)
@_command
def show_reference(name: str) -> int:
    """Print conf.toml, or a systemd unit by its name."""
    click.echo(reference.text(name), nl=False)
    return DONE


def main() -> None:
    """The command, under the name that it was called by."""
    cli(prog_name=CALLED)


if __name__ == "__main__":
    main()
