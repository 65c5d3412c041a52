"""What it costs to find the results of scans, as the registry grows: counted, not timed. The clock is the script's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.material import Clock, Product, product, write_conf
from bench.report import Goal, Sheet, at_most, number
from bench.scan_script import USUAL, WORSE
from bench.sizes import Sizes
from demo.harbor import POLLER, Generation, HarborStandIn, Outcome, Request, World
from poller.events import SCAN_TYPES

MOST_PER_SCAN = 1.2
MOST_GROWTH = 1.02
"""Where the sweep gets round to everything in a few minutes, a handful of repositories need not be looked up."""
SCANS_AN_HOUR = 500
ARTIFACTS_EACH = 100  # in a repository
POLL_EVERY_S = 10
LASTS_S = 20  # a scan
_FAR_APART = 7919  # a prime, so that every artifact has its turn
_POLLS = ("/audit-logs", "/auditlog-exts", "/auditlog-exts/events", "/systeminfo", "/users/current")


@dataclass(frozen=True, slots=True)
class Hour:
    """What was asked of Harbor while so many scans ended. "scan": all that is neither a poll nor the sweep's."""

    artifacts: int
    results: int
    asked: Counter[str]

    @property
    def per_scan(self) -> float:
        return self.asked["scan"] / self.results


def run(sizes: Sizes) -> Sheet:
    new = [_hour(Generation.V2_16, repositories, sizes) for repositories in sizes.registries]
    old = [_hour(Generation.V2_8, repositories, sizes) for repositories in sizes.registries[:-1]]
    return Sheet(
        f"14. Finding the results of scans, {SCANS_AN_HOUR} an hour for {sizes.scanning_minutes} minutes",
        ("", "for scans", "per scan", "the sweep", "polls"),
        [*_lines("2.16", new), *_lines("2.8", old)],
        (
            "Requests, counted; every scan's result was found and recorded once. A third fail. Nothing else happens in "
            "the registry, so that whatever is neither a poll of the log nor the sweep counts as caused by a scan. The "
            "sweep has its usual budget of 60 requests an hour, whatever the registry's size.",
        ),
        _goals(new),
    )


def _goals(hours: Sequence[Hour]) -> tuple[Goal, ...]:
    growth = hours[-1].per_scan / hours[0].per_scan
    return (
        *(
            at_most(f"e) requests per scan, {each.artifacts:,} artifacts", each.per_scan, MOST_PER_SCAN, number)
            for each in hours
        ),
        at_most(
            f"e) {hours[-1].artifacts:,} against {hours[0].artifacts:,} artifacts", growth, MOST_GROWTH, _thousandths
        ),
    )


def _thousandths(growth: float) -> str:
    return f"×{growth:.3f}"


def _lines(version: str, hours: Sequence[Hour]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each.artifacts:,} artifacts, {version}",
            number(each.asked["scan"]),
            number(each.per_scan),
            number(each.asked["sweep"]),
            number(each.asked["poll"]),
        )
        for each in hours
    ]


def _hour(generation: Generation, repositories: int, sizes: Sizes) -> Hour:
    clock = Clock()
    world = World(generation, clock=clock)
    names = world.populate(repositories=repositories, artifacts_each=ARTIFACTS_EACH, severities=USUAL)
    with (
        TemporaryDirectory() as folder,
        HarborStandIn(world, [POLLER]) as harbor,
        product(write_conf(Path(folder), harbor.url)) as opened,
    ):
        _poll_for(opened, clock, POLL_EVERY_S)
        before = len(harbor.requests)
        for minute in range(sizes.scanning_minutes):
            first, end = (each * SCANS_AN_HOUR // 60 for each in (minute, minute + 1))
            _scan(opened, world, clock, [_image(names, place) for place in range(first, end)])
        _poll_for(opened, clock, 120)
        results = opened.store.seen(types=SCAN_TYPES)
    scans = SCANS_AN_HOUR * sizes.scanning_minutes // 60
    assert len({each.event.scan.report["report_id"] for each in results if each.event.scan}) == scans
    assert len(results) == scans
    return Hour(repositories * ARTIFACTS_EACH, len(results), Counter(map(_kind, harbor.requests[before:])))


def _image(names: Sequence[str], place: int) -> tuple[str, str]:
    """All over the registry, and none of them twice."""
    repository, tag = divmod(place * _FAR_APART % (len(names) * ARTIFACTS_EACH), ARTIFACTS_EACH)
    return names[repository], f"v{tag}"


def _scan(opened: Product, world: World, clock: Clock, images: Sequence[tuple[str, str]]) -> None:
    """A minute: these images are scanned, every second one by hand."""
    running = [
        world.start_scan(name, tag, asked_by="ann" if place % 2 else None) for place, (name, tag) in enumerate(images)
    ]
    _poll_for(opened, clock, LASTS_S)
    for place, scans in enumerate(running):
        world.finish_scan(scans, Outcome.SUCCESS if place % 3 else Outcome.ERROR, WORSE)
    _poll_for(opened, clock, 60 - LASTS_S)


def _poll_for(opened: Product, clock: Clock, seconds: int) -> None:
    for _ in range(seconds // POLL_EVERY_S):
        clock.advance(POLL_EVERY_S)
        _work(opened, clock())


def _work(opened: Product, now: datetime) -> None:
    while opened.poller.poll(now).has_more:
        pass
    opened.poller.sweep(now)


def _kind(request: Request) -> str:
    if request.path.endswith(_POLLS):
        return "poll"
    is_list = request.path.endswith("/artifacts") and "with_scan_overview" in request.params
    return "sweep" if is_list or request.path.endswith("/repositories") else "scan"
