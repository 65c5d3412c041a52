"""A log of any length that is nowhere written down, in a process of its own: `python -m bench.long_log ROWS`.

Its rows follow from their numbers, of 50 one deletion, six pushes and 43 pulls, and are written when they are asked
for: so the log takes no memory and its rows next to no time. The first is written at START, PER_HOUR follow an hour.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from bench.material import BusyRegistry, Clock
from demo.door import Call, Reply
from demo.harbor import POLLER, HarborStandIn
from poller.rows import PAGE

START = datetime(2026, 6, 1, tzinfo=UTC)
PER_HOUR = 2_000
_APART = timedelta(hours=1) / PER_HOUR
_KEEPS = 1_000
"""So many rows after its push an image is deleted."""
_WINDOW = re.compile(r"op_time=\[([^~]+)~([^\]]+)\]")


def end_of(rows: int) -> datetime:
    """The hour at which a log of so many rows has ended."""
    return START + timedelta(hours=-(-rows // PER_HOUR))


class LongLog(HarborStandIn):
    """Answers questions for closed windows of time; others as a busy registry without a past does."""

    def __init__(self, rows: int) -> None:
        super().__init__(BusyRegistry(Clock(START)).world, [POLLER])
        self._rows = rows

    def _answer(self, call: Call) -> Reply:
        url = urlsplit(call.path)
        asked = parse_qs(url.query)
        window = _WINDOW.match(asked.get("q", [""])[0])
        if window is None or not url.path.endswith("/auditlog-exts"):
            return super()._answer(call)
        first, last = _number_from(window[1], before=True), min(_number_from(window[2], before=False), self._rows)
        start = first + (int(asked["page"][0]) - 1) * PAGE
        found = ",".join(_row(number) for number in range(start, min(start + PAGE, last + 1)))
        return Reply(200, f"[{found}]".encode(), headers={"X-Total-Count": str(max(0, last - first + 1))})


def _number_from(text: str, *, before: bool) -> int:
    """The number of the first row at that time or later; without `before`, of the last at that time or earlier."""
    since = datetime.fromisoformat(text).replace(tzinfo=UTC) - START
    return max(1, -(-since // _APART) + 1) if before else since // _APART + 1


def _row(number: int) -> str:
    service, kind = f"team/service-{number % 40}", number % 50
    if kind == 0 and number > _KEEPS:
        pushed = number - _KEEPS + 1
        digest = f"sha256:{pushed:064x}"
        image = f"team/service-{pushed % 40}@{digest}"
        return _json(number, "delete", f"delete artifact: {image}", image, "robot$team+cleaner")
    if 1 <= kind <= 6:
        description = f"push artifact: {service}@sha256:{number:064x}"
        return _json(number, "create", description, f"{service}:build-{number}", "robot$team+ci")
    digest = f"sha256:{number % 40 + 10**9:064x}"
    return _json(number, "pull", f"pull artifact: {service}@{digest}", f"{service}:stable", "robot$team+node")


def _json(number: int, operation: str, description: str, resource: str, username: str) -> str:
    at = (START + (number - 1) * _APART).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return (
        f'{{"id":{number},"op_time":"{at}Z","operation":"{operation}","operation_description":"{description}",'
        f'"operation_result":true,"resource":"{resource}","resource_type":"artifact","username":"{username}"}}'
    )


@contextmanager
def long_log(rows: int) -> Iterator[str]:
    """The url of such a log, as long as this is open."""
    command = [sys.executable, "-m", "bench.long_log", str(rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()


if __name__ == "__main__":
    with LongLog(int(sys.argv[1])) as opened:
        print(opened.url, flush=True)
        sys.stdin.read()
