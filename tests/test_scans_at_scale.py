"""What scans cost Harbor and the chat where there are many: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

import formatters
from demo.harbor import Generation, Outcome, Request, RunningScan, Vulnerability, World
from poller.events import SCAN_TYPES
from poller.secret import Secret
from poller.telegram import Telegram
from poller.telling import Teller
from tests.harness import TOKEN, Clock, Site, site

POLLS = ("/audit-logs", "/auditlog-exts", "/auditlog-exts/events", "/systeminfo", "/users/current")
FOUND = [Vulnerability("CVE-2026-4444", "High", "glibc", "2.36", "2.37")]
WORSE = [*FOUND, Vulnerability("CVE-2026-5555", "Critical", "openssl", "3.0.1", "3.0.2")]


def is_sweep(request: Request) -> bool:
    """Lists of repositories, and of artifacts with their overviews: nothing else asks for those."""
    is_page = request.path.endswith("/artifacts") and "with_scan_overview" in request.params
    return is_page or request.path.endswith("/repositories")


def cost(here: Site, since: int) -> Counter[str]:
    """What was asked of Harbor since then, by what it was asked for."""
    kinds: Counter[str] = Counter()
    for request in here.standin.requests[since:]:
        kinds["poll" if request.path.endswith(POLLS) else "sweep" if is_sweep(request) else "scan"] += 1
    return kinds


def messages(here: Site) -> list[str]:
    teller = Teller(Telegram(Secret(TOKEN)), here.store, here.config, here.clock)
    return [formatters.plain(text) for text in teller.texts()]


@pytest.mark.parametrize(
    ("generation", "repositories"),
    [(Generation.V2_16, 1000), (Generation.V2_12, 500), (Generation.V2_8, 500)],
    ids=["V2_16-100000", "V2_12-50000", "V2_8-50000"],
)
def test_five_hundred_scans_in_a_large_registry(tmp_path: Path, generation: Generation, repositories: int) -> None:
    """At most 1.2 requests a scan, whatever else is there; an idle hour costs the polls and the sweep's budget."""
    clock = Clock()
    world = World(generation, clock=clock.tick)
    names = world.populate(repositories=repositories, artifacts_each=100)
    with site(tmp_path, world, clock) as here:
        here.poll()
        before = len(here.standin.requests)
        for minute in range(60):
            running = [
                world.start_scan(names[scan * 7 % repositories], f"v{scan % 100}", asked_by="ann" if scan % 2 else None)
                for scan in range(minute * 500 // 60, (minute + 1) * 500 // 60)
            ]
            poll_for(here, 20, every=10)
            for number, scan in enumerate(running):
                findings, outcome = (WORSE, Outcome.SUCCESS) if number % 3 else (FOUND, Outcome.ERROR)
                world.finish_scan(scan, outcome, findings=findings)
            poll_for(here, 40, every=10)
        poll_for(here, 120)
        spent = cost(here, before)
        told = [event for event in here.events if event.type in SCAN_TYPES]
        assert len(told) == len({event.key for event in told}) == 500
        assert spent["scan"] <= 1.2 * 500, spent
        before = len(here.standin.requests)
        poll_for(here, 3600)
        server = 6 * 6  # what the server is, is looked at every ten minutes
        assert sum(cost(here, before).values()) <= 3600 // 30 + 60 + server


def test_five_hundred_scans_in_many_projects(tmp_path: Path) -> None:
    """Whether a project is public is asked for by the hundred."""
    clock = Clock()
    world = World(Generation.V2_16, clock=clock.tick)
    names = []
    for number in range(300):
        world.create_project(f"p{number}")
        names += world.populate(project=f"p{number}", repositories=1, artifacts_each=2, name="app")
    with site(tmp_path, world, clock) as here:
        here.poll()
        before = len(here.standin.requests)
        for scan in range(500):
            world.scan(names[scan * 7 % 300], f"v{scan // 300}", findings=FOUND, asked_by="ann" if scan % 2 else None)
            here.poll(after=7)
        poll_for(here, 120)
        assert len([event for event in here.events if event.type in SCAN_TYPES]) == 500
        assert cost(here, before)["scan"] <= 1.2 * 500


def test_five_hundred_scans_of_all_lengths_without_rows_of_their_ends(tmp_path: Path) -> None:
    """Up to 2.11 when to look follows from how long scans lately took, in this repository and in all."""
    clock, chance = Clock(), Random(3)
    world = World(Generation.V2_8, clock=clock.tick)
    names = world.populate(repositories=50, artifacts_each=20)
    usual_s = [min(chance.lognormvariate(3.2, 1.0), 1000) for _ in names]
    with site(tmp_path, world, clock) as here:
        here.poll()
        before = len(here.standin.requests)
        running: list[tuple[datetime, Sequence[RunningScan]]] = []
        for step in range(1000):
            if step < 500:
                usual = usual_s[step % 50] * chance.uniform(0.8, 1.2)
                running.append(
                    (clock.now + timedelta(seconds=usual), world.start_scan(names[step % 50], f"v{step // 50}"))
                )
            over = [each for each in running if each[0] <= clock.now]
            running = [each for each in running if each not in over]
            for _, scans in over:
                world.finish_scan(scans, findings=FOUND)
            here.poll(after=7)
        assert len([event for event in here.events if event.type in SCAN_TYPES]) == 500
        assert cost(here, before)["scan"] <= 1.2 * 500


@pytest.mark.parametrize("generation", [Generation.V2_16, Generation.V2_8], ids=lambda each: each.name)
def test_a_scan_of_everything_that_queues(tmp_path: Path, generation: Generation) -> None:
    """What waits for its turn, perhaps for hours, is not asked for meanwhile."""
    clock = Clock()
    world = World(generation, clock=clock.tick)
    world.populate(repositories=20, artifacts_each=15)
    with site(tmp_path, world, clock) as here:
        poll_for(here, 1800)
        everything = world.start_scan_all("admin", pulls=False)
        before = len(here.standin.requests)
        for scan in everything.scans:
            world.pull(scan.repository, scan.digest, scan.robot)
            poll_for(here, 14, every=7)
            world.finish_scan_all(everything, findings=FOUND, count=1)
        poll_for(here, 600)
        assert len([event for event in here.events if event.type in SCAN_TYPES]) == 300
        assert len([each for each in here.standin.requests[before:] if "/artifacts/sha" in each.path]) <= 330
        assert len(messages(here)) == 1


@pytest.mark.xdist_group("scan-of-everything")
def test_a_scan_of_five_thousand_images_with_three_new_criticals(tmp_path: Path) -> None:
    """Four messages: each of the three at once, by name, and one of all of it."""
    clock = Clock()
    world = World(Generation.V2_16, clock=clock.tick)
    world.populate(repositories=50, artifacts_each=100, severities={"High": 1})
    with site(tmp_path, world, clock, more="[schedule]\nsweep_requests = 3600") as here:
        poll_for(here, 400)  # the sweep comes to know what was found before
        everything = world.start_scan_all("admin")
        world.finish_scan_all(everything, findings=FOUND, count=4000)
        world.finish_scan_all(everything, findings=WORSE, count=3)
        world.finish_scan_all(everything, findings=FOUND)
        poll_until_quiet(here)
        told = messages(here)
        [summary] = [text for text in told if "5000" in text]
        bad = [text for text in told if text != summary]
        assert len(bad) == 3
        assert all("CVE-2026-5555" in text for text in told)
        assert len([event for event in here.events if event.type in SCAN_TYPES]) == 5000


def poll_for(here: Site, seconds: int, every: int = 30) -> None:
    for _ in range(seconds // every):
        here.poll(every)


def poll_until_quiet(here: Site) -> None:
    for _ in range(200):
        here.poll(after=5)
        if here.store.wave() is None and not here.store.scans_due(here.clock.now, most=1):
            return
    pytest.fail("it does not end")
