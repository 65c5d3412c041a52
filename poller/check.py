"""`check`: find what would keep events from being told, and say who can mend it and how.

Each probe is on its own: what one finds wrong hides nothing of the others. Nothing is changed, neither here nor at
Harbor or Telegram, except that with `is_sending` a message is sent. It ends in time, whatever does not answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import formatters
from poller import check_configuration, check_database, check_harbor, check_routes, check_telegram, check_way
from poller.config import Config
from poller.deadline import Deadline
from poller.errors import ConfigError, OutOfTime, PollerError
from poller.findings import Finding, Report, unanswered
from poller.harbor import Harbor
from poller.telegram import Telegram
from poller.values import replace

__all__ = ["AT_THE_END", "Finding", "Report", "check", "misconfigured"]

AT_THE_END = 0.2
"""Seconds that are kept after the clients' time is over, for their last words."""


def check(
    config: Config, harbor: Harbor, telegram: Telegram, *, is_sending: bool, now: datetime, deadline: Deadline
) -> Report:
    """Everything that can be found out until the deadline; at `now` it was given.

    `is_sending`: send a test message to each chat as well. The clients should have the same deadline.
    """

    def test_message(language: str) -> str:
        return formatters.test_message(formatters.Style(language, config.timezone, config.escape_chars))

    text, routes = test_message if is_sending else None, config.telling_routes
    probes = (
        _Probe(lambda: check_harbor.probe(harbor, config, now), check_way.late(config.harbor, deadline.seconds)),
        _Probe(
            lambda: check_telegram.probe(telegram, config.telegram, routes, text),
            check_telegram.late(config.telegram, deadline.seconds),
        ),
        _Probe(lambda: check_database.probe(config, now), check_database.late(deadline.seconds)),
    )
    for probe in probes:
        probe.start()
    here = (*check_configuration.probe(config, now), *check_routes.probe(config))
    end = replace(deadline, at=deadline.at + AT_THE_END)
    return Report((*here, *(finding for probe in probes for finding in probe.found_until(end))))


def misconfigured(error: ConfigError) -> Report:
    """What `check` says of a configuration that cannot be used: nothing else can be tried then."""
    return Report(tuple(check_configuration.mistakes(error)))


@dataclass
class _Probe:
    """A probe in a thread of its own. If it hangs, it is left behind: the thread does not keep the program alive.

    `late`: what there is to say when not everything was found out in time.
    """

    probe: Callable[[], Iterable[Finding]]
    late: Finding
    found: list[Finding] = field(default_factory=list)
    error: BaseException | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"check {self.late.area}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for finding in self.probe():
                self.found.append(finding)
        except BaseException as error:  # noqa: BLE001 -- the thread that waits raises it again
            self.error = error

    def found_until(self, end: Deadline) -> Iterator[Finding]:
        self._thread.join(end.left)
        is_late = self._thread.is_alive()
        yield from tuple(self.found)
        match self.error:
            case None if not is_late:
                return
            case None | OutOfTime():
                yield self.late
            case PollerError():
                yield unanswered(self.late.area, self.error)
            case error:
                raise error
