"""What bench.recording times, each in a fresh process: `python -m bench.client NAME ARGUMENT…` prints its `Took`."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from bench.log import START, end_of
from bench.material import NEW_LOG, product
from bench.served import Served
from demo.harbor import POLLER
from poller import backfill, jobs
from poller.__main__ import cli
from poller.exit_codes import DONE
from poller.harbor import PAGE, Harbor
from poller.secret import Secret


class Took(msgspec.Struct, frozen=True):
    """So many rows were read (and recorded, where the client records) in so many seconds."""

    rows: int
    seconds: float
    version: str = ""


class Row(msgspec.Struct):
    id: int
    op_time: datetime
    operation: str = ""
    operation_description: str = ""
    operation_result: bool = True
    resource: str = ""
    resource_type: str = ""
    username: str = ""


def limit(url: str) -> Took:
    """One kept connection, typed decoding, and nothing else."""
    decoder = msgspec.json.Decoder(list[Row])
    headers = {"Accept": "application/json"}
    started = time.perf_counter()
    connection = HTTPConnection(urlsplit(url).netloc)
    read, is_full = 0, True
    while is_full:
        query = f"q={quote(f'id=[{read + 1}~]')}&sort=id&page=1&page_size={PAGE}"
        connection.request("GET", f"/api/v2.0{NEW_LOG.path}?{query}", headers=headers)
        rows = decoder.decode(connection.getresponse().read())
        read += len(rows)
        is_full = len(rows) == PAGE
    return Took(read, time.perf_counter() - started)


def same_client(url: str) -> Took:
    """The product's own client, and nothing recorded."""
    harbor = Harbor(url, POLLER.name, Secret(POLLER.password))
    started = time.perf_counter()
    read, is_full = 0, True
    while is_full:
        rows = harbor.rows_from(NEW_LOG, read + 1)
        read += len(rows)
        is_full = len(rows) == PAGE
    return Took(read, time.perf_counter() - started)


def poll(conf: str, rows: str, batch: str) -> Took:
    """The product's poll, after a downtime in which the whole log was written."""
    _set_batch(batch)
    with product(Path(conf)) as opened:
        harbor = Served(opened.config.harbor.url)
        harbor.show(0)
        opened.poller.poll(START - timedelta(seconds=1))
        harbor.show(int(rows))
        started = time.perf_counter()
        polled = opened.poller.poll(end_of(int(rows)))
        return Took(polled.new, time.perf_counter() - started)


def past(conf: str, rows: str, batch: str, deliver: str) -> Took:
    """The product's `backfill`, over the time of the whole log. Its own clock stops before it tells anything."""
    _set_batch(batch)
    period = ("--since", START.isoformat(), "--until", end_of(int(rows)).isoformat())
    with redirect_stdout(io.StringIO()) as said:
        try:
            cli(["--config", conf, "backfill", *period, "--deliver", deliver])
        except SystemExit as end:
            if end.code != DONE:
                raise
    found = re.match(r"(\d+) rows read in \S+ s \((\d+) rows/s\)", said.getvalue())
    assert found, said.getvalue()
    return Took(int(found[1]), int(found[1]) / int(found[2]))


def _set_batch(rows: str) -> None:
    """Rows in a transaction. The poll of an older version takes one page."""
    for module in (backfill, jobs):
        if hasattr(module, "BATCH"):
            setattr(module, "BATCH", int(rows))  # noqa: B010 -- mypy knows but one of the two


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    clients: dict[str, Callable[..., Took]] = {"limit": limit, "same": same_client, "poll": poll, "past": past}
    print(msgspec.json.encode(clients[name](*arguments)).decode())
