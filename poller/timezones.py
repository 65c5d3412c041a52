"""The time zone of times in messages: the configured one, else the system's."""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path

from poller.config_values import Unfit

LOCALTIME = Path("/etc/localtime")


def named(value: object) -> tzinfo:
    """The zone of an IANA name. Raises Unfit with the nearest known name."""
    if not isinstance(value, str):
        raise Unfit('must be a name such as "Europe/Moscow" or "UTC"')
    zone = _zone(value.strip())
    if zone is not None:
        return zone
    known = {name.lower(): name for name in zoneinfo.available_timezones()}
    if not known:
        raise Unfit('cannot be looked up: this system has no time zone data (install the package tzdata, or use "UTC")')
    near = difflib.get_close_matches(value.lower(), known, n=1)
    hint = f'; did you mean "{known[near[0]]}"?' if near else ""
    raise Unfit(f'must be a name such as "Europe/Moscow" or "UTC"{hint}')


def of_system(environ: Mapping[str, str], localtime: Path = LOCALTIME) -> tzinfo:
    """TZ when it is a name, then what /etc/localtime points at or holds, then UTC."""
    return _zone(environ.get("TZ", "").removeprefix(":")) or _of_file(localtime) or UTC


def _of_file(localtime: Path) -> tzinfo | None:
    try:
        name = str(localtime.resolve()).partition("/zoneinfo/")[2]
        if zone := _zone(name):
            return zone
        with localtime.open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return None


def _zone(name: str) -> tzinfo | None:
    if name.upper() == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # unknown; malformed; a directory of zones
        return None
