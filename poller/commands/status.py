"""How things stand."""

from __future__ import annotations

from datetime import datetime

from poller import show
from poller.commands import opening
from poller.commands.context import Context, print_json
from poller.config import Config
from poller.diagnosis import diagnose
from poller.errors import NothingRecorded
from poller.exit_codes import DONE
from poller.show.status import status_page
from poller.standing import Standing, standing, unrecorded
from poller.times import utc_now


def run(context: Context, *, is_checking: bool, as_json: bool) -> int:
    config, now = opening.config(context, warns=False), utc_now()
    result = _standing(config, now)
    found = diagnose(result, opening.here(context), config.timezone, now)
    if as_json:
        print_json(found.to_json() | result.to_json())
    else:
        show.write(status_page(result, found, config.timezone, now))
    return found.exit_code if is_checking else DONE


def _standing(config: Config, now: datetime) -> Standing:
    try:
        return opening.look(config, lambda store: standing(store, config, now))
    except NothingRecorded:
        return unrecorded(config)
