"""A registry day on stand-ins."""

from __future__ import annotations

import os

from demo.day import run as run_day
from demo.telegram_parser import ParserMissing
from poller.commands.context import say
from poller.exit_codes import MISTAKE


def run(language: str) -> int:
    try:
        return run_day(language, os.environ)
    except ParserMissing as error:
        return say(error, MISTAKE)
