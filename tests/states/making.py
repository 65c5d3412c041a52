"""A registry's two hours, and the state that a released version makes of them.

How a fixture is made when the next schema is begun; COMMIT is the last one with the old schema, HERE this folder:

    git worktree add /tmp/released COMMIT && cd /tmp/released
    PYTHONPATH=/tmp/released python HERE/making.py COMMIT > HERE/REVISION.sql
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demo.harbor import World
from tests.harness import NOON, Clock, Site, site

HARBOR = "https://harbor.example.com"
WAITING = ["3.0", "3.1"]
"""Their pushes are still to be told."""
RUNNING = "report-2"
"""The scan that goes on during the upgrade."""


def nothing() -> None:
    """Where the story is only told again, nobody polls."""


def story(
    world: World, clock: Clock, poll: Callable[[], object] = nothing, tell: Callable[[], object] = nothing
) -> Any:
    """What happens before the upgrade. Returns the scan that still runs then.

    The time is set for each deed, so that it is the same whoever polls in between.
    """
    deeds: tuple[tuple[float, Callable[[], object]], ...] = (
        (0, lambda: world.create_project("team")),
        (0.5, lambda: world.push("team/app", "1.0", "ann")),
        (1, poll),
        (2, lambda: world.push("team/app", "1.1", "ann")),
        (3, lambda: world.push_index("team/multi", "multi", "ann", content="multi")),
        (4, lambda: world.push("team/app", "1.0", "bob")),
        (5, lambda: _scan(world, "1.1", "report-1")),
        (6, poll),
        (8, lambda: world.pull("team/app", "1.1", "robot$team+node")),
        (9, poll),
        (20, lambda: world.push("team/app", "2.0", "ann")),
        (21, poll),
        (22, lambda: world.delete_artifact("team/app", "2.0", "carol")),
        (23, poll),
        (24, poll),
        (100, tell),
        (110, lambda: world.push("team/app", "3.0", "ann")),
        (111, lambda: world.push("team/app", "3.1", "bob")),
        (112, poll),
    )
    for minute, deed in deeds:
        clock.now = NOON + timedelta(minutes=minute)
        deed()
    clock.now = NOON + timedelta(minutes=120)
    running = _begin(world, "3.1", RUNNING)
    poll()
    clock.now = NOON + timedelta(minutes=121)
    return running


def _begin(world: World, tag: str, report_id: str) -> Any:
    started = world.start_scan("team/app", tag, asked_by="ann")
    for scan in started:
        scan.report.report_id = report_id  # otherwise it is another at every run
    return started


def _scan(world: World, tag: str, report_id: str) -> None:
    world.finish_scan(_begin(world, tag, report_id), severities={"High": 2, "Low": 1})


def _tell(here: Site, database: Path) -> None:
    """All but the scan's result, which Telegram refuses."""
    connection = sqlite3.connect(database)
    query = "SELECT d.id, e.source FROM deliveries d JOIN events e ON e.id = d.event_id WHERE state = 'pending'"
    pending = connection.execute(f"{query} ORDER BY d.id").fetchall()
    connection.close()
    for number, (delivery, source) in enumerate(pending):
        if source == "scan":
            here.store.refused([delivery], "Bad Request: chat not found", here.clock.now)
        else:
            here.store.told([delivery], chat_id="-1001", message_id=40 + number, now=here.clock.now)


def _dump(database: Path, harbor_url: str) -> Iterator[str]:
    connection = sqlite3.connect(database)
    for line in connection.iterdump():
        yield line.replace(harbor_url, HARBOR)
    connection.close()


def main(commit: str) -> None:
    """Print the state as SQL."""
    with TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        world = World(clock=clock.tick)
        with site(folder, world, clock) as here:
            story(world, clock, lambda: here.poll(0), lambda: _tell(here, folder / "state.db"))
            url = here.standin.url
        print(f"-- Written by the code of commit {commit}, by tests/states/making.py; dumped with sqlite3's iterdump.")
        print(*_dump(folder / "state.db", url), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
