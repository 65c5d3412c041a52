"""Moments as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from poller.errors import ConfigError

_BACK = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def utc_now() -> datetime:
    """The clock, for the command line and the daemon. Below these, time is an argument."""
    return datetime.now(UTC)


def moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """`7d` or `36h` back from now, or a date or time; without an offset in the configured time zone. UTC.

    Raises ConfigError for anything else.
    """
    back = _BACK.fullmatch(text.strip().lower())
    try:
        if back:
            return now - timedelta(seconds=float(back[1]) * _SECONDS[back[2]])
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"not a time: {text!r}; write 2026-05-01, 2026-05-01T12:00, 7d or 36h") from None


def of_option(option: str, text: str, now: datetime, zone: tzinfo) -> datetime:
    """The `moment` that an option names, by which a mistake is called."""
    try:
        return moment(text, now, zone)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
