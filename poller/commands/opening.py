"""The configuration and the state, opened as a command needs them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from poller import config as configuration
from poller import here as place
from poller import lease, logs
from poller.commands.context import Context, note
from poller.config import Config
from poller.errors import StateBusy
from poller.foreground import Foreground
from poller.routes import DEFAULT
from poller.times import utc_now
from poller.troubles import Trouble, Troubles
from state import Store

OPEN_AGAIN = 2.0
NOT_OPENED = Trouble("state.not_opened", "state.still_not_opened", "state.opened", logging.WARNING)

_log = logs.Log("poller")
_T = TypeVar("_T")


def config(context: Context, *, warns: bool = True) -> Config:
    """`warns`: what works says what is unwise; what only looks leaves that to `check`, which has it in its list."""
    loaded = configuration.load(configuration.find(context.path), os.environ)
    context.mask(*loaded.secrets)
    for warning in loaded.warnings if warns else ():
        _log.warning("config.warning", text=str(warning))
    return loaded


def here(context: Context) -> place.Here:
    """How the product runs on this machine."""
    program = click.get_current_context().find_root().info_name or "harbor-poller"
    return place.look(program, context.path)


def look(config: Config, ask: Callable[[Store], _T]) -> _T:
    """What `ask` makes of the state as it is. Raises NothingRecorded where there is none."""
    return Store.looked(config.state.url.reveal(), config.harbor.url, DEFAULT, ask)


@contextmanager
def store(config: Config, *, patience: float = 0) -> Iterator[Store]:
    """`patience`: seconds, for which a database that does not answer is asked again."""
    opened = _opened(config, time.monotonic() + patience)
    try:
        yield opened
    finally:
        opened.close()


def _opened(config: Config, until: float) -> Store:
    troubles = Troubles()
    while True:
        try:
            opened = Store.open(config.state.url.reveal(), config.harbor.url, DEFAULT)
            troubles.went_well(NOT_OPENED)
            return opened
        except StateBusy as error:
            if time.monotonic() >= until:
                raise
            troubles.failed(NOT_OPENED, error)
            time.sleep(OPEN_AGAIN)


@contextmanager
def holding(store: Store, name: str, work: Foreground) -> Iterator[Store]:
    """The state, to be written by us alone. Raises LeaseTaken at once when another holds that lease."""
    candidate = lease.Candidate(store, lease.Owner.this_process(), name)
    grant = lease.take(candidate, clock=utc_now, sleep=work.sleep)
    try:
        with work.keeping(lambda: lease.beat(store, grant, utc_now())):
            yield store.under(grant)
    finally:
        lease.release(store, grant)


@contextmanager
def foreground(store: Store, name: str) -> Iterator[tuple[Store, Foreground]]:
    """For work that ends by itself: as the only one that does it, until it is done or asked to end."""
    work = Foreground(note)
    with work.heeding(), holding(store, name, work) as held:
        yield held, work
