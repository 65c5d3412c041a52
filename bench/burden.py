"""What a poll costs Harbor, and what each way of polling misses or tells twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.material import BusyRegistry, Clock, Product, product, write_conf
from bench.pollers import AfterNewestTime, AuditLog, NewestPages, Peer, TimeWindow
from bench.report import Sheet, shares
from bench.sizes import Sizes
from demo.door import Call, Reply
from demo.harbor import Account, HarborStandIn, Role

POLL_EVERY_S = 5
EVENTS_PER_POLL = 3
ACCIDENT_EVERY = 12
"""Polls between two accidents: late rows and shared moments, in turn. Each is 1 row in 72: six times as often as
a running Harbor had late rows, so that minutes show what would take an hour."""
DOWN = 2
"""Polls that are left out at the restart in the middle."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`counted`: rows that matched, all of which Harbor counts for every answer."""

    requests: int = 0
    rows: int = 0
    counted: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.rows + other.rows, self.counted + other.counted)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.requests - other.requests, self.rows - other.rows, self.counted - other.counted)


class Metered(HarborStandIn):
    """Adds up what each account costs."""

    def __init__(self, registry: BusyRegistry, accounts: Sequence[Account]) -> None:
        super().__init__(registry.world, accounts)
        self._costs: dict[str, Cost] = {}

    def cost(self, account: Account) -> Cost:
        return self._costs.get(account.name, Cost())

    def _answer(self, call: Call) -> Reply:
        reply = super()._answer(call)
        is_log = call.path.partition("?")[0].endswith("/auditlog-exts")
        counted = int(reply.headers.get("X-Total-Count", 0)) if is_log else 0
        user = self.requests[-1].user
        self._costs[user] = self._costs.get(user, Cost()) + Cost(1, reply.body.count(b'"op_time"'), counted)
        return reply


class Ours:
    """The product. A restart opens it anew: all that it knows is in its state."""

    name = "ours"

    def __init__(self, conf: Path) -> None:
        self._conf = conf
        self._opened = ExitStack()

    def start(self, now: datetime) -> None:
        self._product: Product = self._opened.enter_context(product(self._conf))
        self.poll(now)

    def poll(self, now: datetime) -> None:
        self._product.poller.poll(now)

    def restart(self, now: datetime) -> None:
        self.stop()
        self.start(now)

    def stop(self) -> None:
        self._opened.close()

    @property
    def told(self) -> list[int]:
        return [
            due.event.source_id for due in self._product.store.due(datetime.max.replace(tzinfo=UTC), most=1_000_000)
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """`missed`, `repeated`: rows, with the restart in the middle and the accidents."""

    name: str
    busy: Cost
    idle: Cost
    missed: int
    repeated: int


def run(sizes: Sizes) -> Sheet:
    with TemporaryDirectory() as folder:
        results, events = measure(sizes, Path(folder))
    idle_polls = sizes.idle_polls
    return Sheet(
        f"1. Harbor's burden, with {sizes.history:,} rows in its log",
        ("", *(result.name for result in results)),
        [
            ("requests per idle poll", *shares([result.idle.requests for result in results], idle_polls)),
            ("  rows sent", *shares([result.idle.rows for result in results], idle_polls)),
            ("  rows counted", *shares([result.idle.counted for result in results], idle_polls)),
            ("requests per new event", *shares([result.busy.requests for result in results], events)),
            ("  rows sent", *shares([result.busy.rows for result in results], events)),
            ("  rows counted", *shares([result.busy.counted for result in results], events)),
            ("events missed", *(str(result.missed) for result in results)),
            ("events told twice", *(str(result.repeated) for result in results)),
        ],
        (
            f"A poll every {POLL_EVERY_S} s: {sizes.busy_polls} with {events} events between them, then {idle_polls} "
            "idle ones. The accidents are the same for all: late rows, two rows of one time, a restart in the middle.",
            "Harbor counts all rows that match, for every answer. Our requests are not only for rows: they detect the "
            "live log, and look up repositories and projects.",
        ),
    )


def measure(sizes: Sizes, folder: Path) -> tuple[list[Result], int]:
    """The result of each way, ours first, and how many events there were."""
    clock = Clock()
    registry = BusyRegistry(clock)
    registry.act_until(sizes.history)
    accounts = [
        Account(f"robot${name}", "a-secret", Role.SYSTEM_ROBOT_FULL) for name in ("ours", "newest", "after", "window")
    ]
    with Metered(registry, accounts) as harbor:
        ours = Ours(write_conf(folder, harbor.url, account=accounts[0]))
        peers: list[Peer] = [
            ours,
            NewestPages(AuditLog(harbor.url, accounts[1])),
            AfterNewestTime(AuditLog(harbor.url, accounts[2])),
            TimeWindow(AuditLog(harbor.url, accounts[3])),
        ]
        try:
            return _play(sizes, Script(registry, clock), harbor, list(zip(peers, accounts, strict=True)))
        finally:
            ours.stop()


def _play(
    sizes: Sizes, script: Script, harbor: Metered, peers: Sequence[tuple[Peer, Account]]
) -> tuple[list[Result], int]:
    first = script.newest_id + 1
    for peer, _ in peers:
        peer.start(script.now)
    started = [harbor.cost(account) for _, account in peers]
    for number_of_poll in range(sizes.busy_polls):
        with script.until_poll(number_of_poll):
            _poll_all(peers, script.now, number_of_poll - sizes.busy_polls // 2)
    script.end()
    _poll_all(peers, script.now)
    busy = [harbor.cost(account) for _, account in peers]
    for _ in range(sizes.idle_polls):
        script.wait()
        _poll_all(peers, script.now)
    idle = [harbor.cost(account) for _, account in peers]
    happened = range(first, script.newest_id + 1)
    return [
        Result(peer.name, after - before, end - after, *_mistakes(peer.told, happened))
        for (peer, _), before, after, end in zip(peers, started, busy, idle, strict=True)
    ], len(happened)


def _poll_all(peers: Sequence[tuple[Peer, Account]], now: datetime, since_fall: int = -1) -> None:
    """`since_fall`: polls since everybody went down, for DOWN polls."""
    for peer, _ in peers:
        if since_fall == DOWN:
            peer.restart(now)
        if not 0 <= since_fall < DOWN:
            peer.poll(now)


def _mistakes(told: Sequence[int], happened: range) -> tuple[int, int]:
    """(missed, told twice)."""
    times = Counter(told)
    return sum(not times[row] for row in happened), times.total() - len(times)


class Script:
    """What happens in the registry between two polls."""

    def __init__(self, registry: BusyRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._released_at = 0

    @property
    def now(self) -> datetime:
        return self._clock.now

    @property
    def newest_id(self) -> int:
        return self._registry.world.newest_id

    def wait(self) -> None:
        self._clock.advance(POLL_EVERY_S)

    @contextmanager
    def until_poll(self, number_of_poll: int) -> Iterator[None]:
        """Events, then the poll (the caller's block), then perhaps an event of the same moment."""
        accident, when = divmod(number_of_poll, ACCIDENT_EVERY)
        is_accident = when == ACCIDENT_EVERY // 2
        if number_of_poll >= self._released_at:
            self._registry.world.release()
        if is_accident and accident % 2:
            self._hold_row(number_of_poll, polls=ACCIDENT_EVERY if accident % 4 == 1 else 1)
        for _ in range(EVENTS_PER_POLL):
            self._clock.advance(POLL_EVERY_S / EVENTS_PER_POLL)
            self._registry.act()
        yield
        if is_accident and not accident % 2:
            self._registry.act()

    def _hold_row(self, number_of_poll: int, *, polls: int) -> None:
        """A row gets its id and time now, and is visible so many polls later."""
        self._released_at = number_of_poll + polls
        self._registry.world.hold_row()
        self._registry.act()

    def end(self) -> None:
        self._registry.world.release()
        self.wait()
