"""The daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from poller import lease, logs, measures
from poller.commands import clients, delivering, opening
from poller.commands.context import Context
from poller.config import Config
from poller.config_values import Address
from poller.daemon import Daemon
from poller.jobs import AuditPoller
from poller.times import utc_now

if TYPE_CHECKING:
    from poller.exporter import Exporter

WAITS_FOR_DATABASE = 60.0
"""So long a daemon that starts before its database, or while that is restarted, waits for it; seconds."""


def run(context: Context) -> int:
    logs.heed_signals()
    config = opening.config(context)
    with ExitStack() as stack:
        exporter = stack.enter_context(_exporter(config, config.metrics.listen)) if config.metrics.listen else None
        sink = exporter.heed if exporter else measures.ignore
        harbor = clients.harbor(config, sink=sink)
        store = stack.enter_context(opening.store(config, patience=WAITS_FOR_DATABASE)).measured(sink)
        daemon = Daemon(
            config,
            store,
            lease.Owner.this_process(),
            new_poller=lambda held: AuditPoller(harbor, held, config, sink),
            new_tellers=lambda held, clock: delivering.tellers(config, held, clock, sink),
            sink=sink,
            heartbeat=clients.heartbeat(config),
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
