"""What it costs Harbor that the results of scans are found, and which of them each way of looking misses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.material import Clock, Product, product, write_conf
from bench.pollers import Api, AuditLog
from bench.report import Sheet, number, shares
from bench.scan_pollers import AfterPush, EveryArtifact, LatestRepositories, Registry, ScanPeer, Told
from bench.scan_script import SCAN_EVERY_S, STEP_S, Ended, Kind, Script
from bench.sizes import Sizes
from demo.door import Call, Reply
from demo.harbor import Account, HarborStandIn, Role, World
from poller.events import SCAN_TYPES
from state import DeliveryState

DOWN_S = 300
"""Everybody is down for so long, in the middle."""
QUIET_S = 600
"""No scan begins in the last minutes of the hour, so that everybody has looked after the last one."""
LONGEST_WAIT = timedelta(hours=48)
WAIT_STEP_S = 600
SCANS_PER_STEP = 5
IMAGES_EACH = 50
ACCOUNTS = tuple(
    Account(f"robot${name}", "a-secret", Role.SYSTEM_ROBOT_FULL) for name in ("ours", "every", "latest", "push")
)


# -- what it costs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """`looks`: questions for results. `overviews`: artifacts with one; Harbor counts the findings of each.

    `findings`: lists of an image's findings. `others`: polls of the log, and what is looked up for pushes and pulls.
    """

    looks: int = 0
    overviews: int = 0
    findings: int = 0
    others: int = 0

    @classmethod
    def of(cls, call: Call, reply: Reply) -> Cost:
        url = urlsplit(call.path)
        if url.path.endswith("/additions/vulnerabilities"):
            return cls(findings=1)
        is_list = url.path.endswith(("/repositories", "/artifacts"))
        if is_list or "/scans/" in url.path or "with_scan_overview" in url.query:
            return cls(looks=1, overviews=reply.body.count(b'"scan_overview"'))
        return cls(others=1)

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.looks + other.looks,
            self.overviews + other.overviews,
            self.findings + other.findings,
            self.others + other.others,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.looks - other.looks,
            self.overviews - other.overviews,
            self.findings - other.findings,
            self.others - other.others,
        )


class Metered(HarborStandIn):
    """Adds up what each account costs."""

    def __init__(self, world: World) -> None:
        super().__init__(world, ACCOUNTS)
        self._costs: dict[str, Cost] = {}

    def costs(self) -> list[Cost]:
        return [self._costs.get(account.name, Cost()) for account in ACCOUNTS]

    def _answer(self, call: Call) -> Reply:
        reply = super()._answer(call)
        user = self._requests[-1].user
        self._costs[user] = self._costs.get(user, Cost()) + Cost.of(call, reply)
        return reply


# -- who looks --------------------------------------------------------------------------------------


class Ours:
    """The product. A restart opens it anew: all that it knows is in its state."""

    name = "ours"
    every_s = STEP_S

    def __init__(self, conf: Path) -> None:
        self._conf = conf
        self._opened = ExitStack()

    def start(self, now: datetime) -> None:
        self._product: Product = self._opened.enter_context(product(self._conf))
        self.poll(now)

    def poll(self, now: datetime) -> None:
        while self._product.poller.poll(now).has_more:
            pass
        self._product.poller.sweep(now)

    def stop(self) -> None:
        self._opened.close()

    @property
    def told(self) -> list[Told]:
        found = []
        for seen in self._product.store.seen(types=SCAN_TYPES):
            if seen.event.scan and all(each.state is not DeliveryState.OFF for each in seen.deliveries):
                report = seen.event.scan.report
                found.append(Told(report["report_id"], report["scan_status"], seen.seen_at))
        return found


class Watch:
    """Everybody who looks at one Harbor, ours first; each as often as it does that."""

    def __init__(self, harbor: Metered, folder: Path) -> None:
        self._harbor = harbor
        self.ours = Ours(write_conf(folder, harbor.url, account=ACCOUNTS[0]))
        every, latest, push = (Registry(Api(harbor.url, account)) for account in ACCOUNTS[1:])
        self.peers: Sequence[ScanPeer] = (
            self.ours,
            EveryArtifact(every),
            LatestRepositories(latest),
            AfterPush(push, AuditLog(harbor.url, ACCOUNTS[3])),
        )

    def start(self, now: datetime) -> None:
        for peer in self.peers:
            peer.start(now)

    def look(self, now: datetime, second: int) -> None:
        """Those whose turn it is so many seconds after the start."""
        for peer in self.peers:
            if second % peer.every_s == 0:
                peer.poll(now)

    def costs(self) -> list[Cost]:
        return self._harbor.costs()


@contextmanager
def watching(world: World, folder: Path) -> Iterator[Watch]:
    with Metered(world) as harbor:
        watch = Watch(harbor, folder)
        watch.start(world.now())
        try:
            yield watch
        finally:
            watch.ours.stop()


# -- what came of it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """`wrong`: told twice, or what never was. `delays`: seconds from the end of a scan until it was found."""

    name: str
    busy: Cost
    idle: Cost
    missed: tuple[Ended, ...]
    wrong: int
    delays: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Hour:
    """`ended`: all that there was to be found. `down`: since and until when everybody was."""

    ended: tuple[Ended, ...]
    down: tuple[datetime, datetime]
    results: tuple[Result, ...]

    def while_down(self, ended: Sequence[Ended]) -> int:
        return sum(self.down[0] <= each.at < self.down[1] for each in ended)


def of_kind(kind: Kind, ended: Sequence[Ended]) -> int:
    return sum(each.kind is kind for each in ended)


def judged(name: str, told: Sequence[Told], ended: Sequence[Ended], busy: Cost, idle: Cost) -> Result:
    first: dict[tuple[str, str], datetime] = {}
    for each in told:
        first.setdefault(each.key, each.at)
    delays = tuple((first[each.key] - each.at).total_seconds() for each in ended if each.key in first)
    missed = tuple(each for each in ended if each.key not in first)
    return Result(name, busy, idle, missed, len(told) - len(delays), delays)


def measure(sizes: Sizes, folder: Path) -> Hour:
    """An hour with scans, and a time without; then ours alone goes on until it has found what it can find."""
    clock = Clock()
    world = World(clock=clock)
    script = Script(world, clock, repositories=sizes.scanned_repositories, images=sizes.scanned_images)
    with watching(world, folder) as watch:
        started = watch.costs()
        down = _play(script, watch, sizes.scan_minutes * 60)
        busy = watch.costs()
        _wait(watch, clock, sizes.idle_scan_minutes * 60)
        idle = watch.costs()
        _go_on(watch.ours, clock, {each.key for each in script.ended if each.kind is Kind.NO_PULL})
        results = tuple(
            judged(peer.name, peer.told, script.ended, then - before, after - then)
            for peer, before, then, after in zip(watch.peers, started, busy, idle, strict=True)
        )
    return Hour(tuple(script.ended), down, results)


def _play(script: Script, watch: Watch, seconds: int) -> tuple[datetime, datetime]:
    """Tells since and until when everybody was down."""
    start, falls_at = script.now, (seconds - DOWN_S) // 2
    down = range(falls_at, falls_at + DOWN_S)
    for second in range(STEP_S, seconds + 1, STEP_S):
        script.step()
        if second % SCAN_EVERY_S == 0 and second <= seconds - QUIET_S:
            script.act()
        if second == seconds - QUIET_S // 2:
            script.sweep_tasks()
        if second == down.start:
            watch.ours.stop()
        if second == down.stop:
            watch.ours.start(script.now)
        if second not in down:
            watch.look(script.now, second)
    return start + timedelta(seconds=down.start), start + timedelta(seconds=down.stop)


def _wait(watch: Watch, clock: Clock, seconds: int) -> None:
    for second in range(STEP_S, seconds + 1, STEP_S):
        clock.advance(STEP_S)
        watch.look(clock.now, second)


def _go_on(ours: Ours, clock: Clock, wanted: set[tuple[str, str]]) -> None:
    until = clock.now + LONGEST_WAIT
    while clock.now < until and wanted - {each.key for each in ours.told}:
        clock.advance(WAIT_STEP_S)
        ours.poll(clock.now)


def measure_scan_all(sizes: Sizes, folder: Path) -> tuple[Result, ...]:
    """A scan of everything in a registry of its own, in which nothing else happens, until all have looked again."""
    clock = Clock()
    world = World(clock=clock)
    script = Script(world, clock, repositories=sizes.scan_all_images // IMAGES_EACH, images=IMAGES_EACH)
    with watching(world, folder) as watch:
        started, second = watch.costs(), 0
        while not script.is_over or second % EveryArtifact.every_s:
            second += STEP_S
            script.scan_next(SCANS_PER_STEP)
            script.step()
            watch.look(script.now, second)
        return tuple(
            judged(peer.name, peer.told, script.ended, end - before, Cost())
            for peer, before, end in zip(watch.peers, started, watch.costs(), strict=True)
        )


# -- as a table -------------------------------------------------------------------------------------


def run(sizes: Sizes) -> Sheet:
    with TemporaryDirectory() as folder:
        hour = measure(sizes, Path(folder))
    with TemporaryDirectory() as folder:
        everything = measure_scan_all(sizes, Path(folder))
    images = sizes.scanned_repositories * sizes.scanned_images
    return Sheet(
        f"6. Finding the results of scans among {images:,} images",
        ("", *(each.name for each in hour.results)),
        [
            *_costs("per result", [each.busy for each in hour.results], len(hour.ended)),
            *_costs("per idle hour", [each.idle for each in hour.results], sizes.idle_scan_minutes / 60),
            ("found after (median)", *(_time(median(each.delays)) for each in hour.results)),
            ("  at the latest", *(_time(max(each.delays)) for each in hour.results)),
            *_missed(hour),
            ("told twice or wrongly", *(str(each.wrong) for each in hour.results)),
            *_costs("per result of a scan-all", [each.busy for each in everything], sizes.scan_all_images),
            (f"  missed, of {sizes.scan_all_images}", *(str(len(each.missed)) for each in everything)),
        ],
        _notes(sizes),
    )


def _costs(per: str, costs: Sequence[Cost], of: float) -> list[tuple[str, ...]]:
    """Without what nobody asked for."""
    lines = (
        (f"questions {per}", [each.looks for each in costs]),
        ("  overviews", [each.overviews for each in costs]),
        ("  lists of findings", [each.findings for each in costs]),
        ("  other requests", [each.others for each in costs]),
    )
    return [(line, *shares(values, of)) for line, values in lines if any(values)]


def _missed(hour: Hour) -> list[tuple[str, ...]]:
    kinds = [kind for kind in Kind if of_kind(kind, hour.ended)]
    return [
        (f"missed, of {len(hour.ended)}", *(str(len(each.missed)) for each in hour.results)),
        *((f"  {kind.value}, of {of_kind(kind, hour.ended)}", *_counts(hour, kind)) for kind in kinds),
        (
            f"  while all were down, of {hour.while_down(hour.ended)}",
            *(str(hour.while_down(each.missed)) for each in hour.results),
        ),
    ]


def _counts(hour: Hour, kind: Kind) -> Iterator[str]:
    return (str(of_kind(kind, each.missed)) for each in hour.results)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 3600 else f"{number(seconds / 3600)} h"


def _notes(sizes: Sizes) -> tuple[str, ...]:
    return (
        f"{sizes.scan_minutes} minutes with a scan every {SCAN_EVERY_S} s, but for the last ten; in the middle nobody "
        f"runs for {DOWN_S // 60} minutes. The accidents are the same for all, and much more frequent than in life.",
        "Questions are those for results. For each overview in an answer Harbor counts the findings of a report. Other "
        "requests: polls of the log, and what is looked up for pushes and pulls.",
    )
