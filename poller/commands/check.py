"""What keeps events from being told."""

from __future__ import annotations

from collections.abc import Callable

from poller import check as checking
from poller import show
from poller.commands import clients, opening
from poller.commands.context import Context, print_json
from poller.config import Config
from poller.deadline import Deadline, time_to_start
from poller.errors import ConfigError
from poller.findings import Report
from poller.show.check import check_page
from poller.times import utc_now

LAST_WORDS = 0.7
"""What of its time `check` keeps for printing and for the end of Python; seconds."""
LEAST_LOOK = 1.0


def run(context: Context, timeout: float, *, is_sending: bool, as_json: bool) -> int:
    found = report(lambda: opening.config(context, warns=False), timeout - time_to_start(), is_sending=is_sending)
    if as_json:
        print_json(found.to_json())
    else:
        show.write(check_page(found))
    return found.exit_code


def report(load: Callable[[], Config], seconds: float, *, is_sending: bool) -> Report:
    """`load`: a configuration that cannot be used is a finding like others."""
    deadline = Deadline.after(max(LEAST_LOOK, seconds - LAST_WORDS))
    try:
        config = load()
        return checking.check(
            config,
            clients.harbor(config, deadline=deadline),
            clients.telegram(config, deadline=deadline),
            is_sending=is_sending,
            now=utc_now(),
            deadline=deadline,
        )
    except ConfigError as error:
        return checking.misconfigured(error)
