"""Plays a scenario, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from demo.harbor import POLLER, HarborStandIn, World
from demo.harbor.rows import Row
from demo.replays.rhythm import Clock, Scene
from demo.replays.scenarios import Scenario
from demo.telegram import TOKEN, Edit, Message, TelegramStandIn
from formatters.texts import OCCASION_EMOJI
from poller import config as configuration
from poller import logs
from poller.config import Config
from poller.events import SCAN_TYPES

PROCESSES = 2
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
CHAT = -1001


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it, warming up left out. `delays` (s): of each single push, from Harbor's row to the chat."""

    scenario: Scenario
    rows: int
    scans: int
    messages: tuple[Message, ...]
    edits: tuple[Edit, ...]
    rate_limit_hits: int
    violations: int
    requests: int
    delays: tuple[float, ...]

    @property
    def raw(self) -> int:
        """Rows of the audit log, and results of scans, of which it has none."""
        return self.rows + self.scans

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def digests(self) -> int:
        return sum(text.startswith(tuple(OCCASION_EMOJI.values())) for text in self.texts)

    @property
    def median_delay(self) -> float | None:
        return median(self.delays) if self.delays else None

    @property
    def unseen(self) -> list[str]:
        """What must be visible and is not."""
        return [fact.what for fact in self.scenario.facts if not fact.is_seen(self.messages)]

    @property
    def refused(self) -> int:
        """How often Telegram had to say 429."""
        return self.rate_limit_hits + self.violations


def run(scenario: Scenario, folder: Path, language: str = "en", *, more: str = "") -> Result:
    """Play it, with the state in `folder`. `more`: further sections of conf.toml."""
    clock = Clock(MIDNIGHT)
    world = World(clock=clock.tick)
    with TelegramStandIn(clock=clock) as telegram, HarborStandIn(world, [POLLER]) as harbor:
        telegram.add_chat(CHAT, "supergroup")
        scene = Scene(harbor, telegram, clock)
        scenario.prepare(world)
        scene.switch_on(_config(folder, scene, language, more))
        try:
            return _measured(scenario, scene)
        finally:
            scene.product.stop()


def run_all(scenarios: Sequence[Scenario], language: str = "en") -> list[Result]:
    """Play them side by side, in processes of their own: most of the time is the product's work."""
    if len(scenarios) == 1:
        return [_run_apart(scenarios[0], language)]
    quiet = partial(logs.set_up, "error", "text", ())
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"), initializer=quiet) as pool:
        longest_first = sorted(scenarios, key=lambda scenario: -scenario.raw)
        running = {each.name: pool.submit(_run_apart, each, language) for each in longest_first}
        return [running[each.name].result() for each in scenarios]


def _run_apart(scenario: Scenario, language: str) -> Result:
    with TemporaryDirectory() as folder:
        return run(scenario, Path(folder), language)


def _measured(scenario: Scenario, scene: Scene) -> Result:
    world, telegram, harbor = scene.world, scene.telegram, scene.harbor
    scene.idle(scenario.warm_up)
    harbor.clear()
    last_id, hooks, messages, edits = world.newest_id, len(world.webhooks), len(telegram.messages), len(telegram.edits)
    scene.play(scenario.scripts, then=scenario.then)
    rows = [row for row in world.rows(world.generation.live_table) if row.id > last_id]
    told = telegram.messages[messages:]
    return Result(
        scenario,
        rows=len(rows),
        scans=sum(hook["type"] in SCAN_TYPES for hook in world.webhooks[hooks:]),
        messages=tuple(told),
        edits=tuple(telegram.edits[edits:]),
        rate_limit_hits=telegram.rate_limit_hits,
        violations=telegram.violations,
        requests=len(harbor.requests),
        delays=tuple(_delays(scenario.single_pushes, rows, told)),
    )


def _delays(names: Sequence[str], rows: Sequence[Row], messages: Sequence[Message]) -> list[float]:
    """Of those that were told at all."""
    pushed = {row.resource: row.op_time for row in rows if row.operation == "create"}
    told = {
        name: next((each.sent_at for each in messages if all(part in each.text for part in name.split(":"))), None)
        for name in names
    }
    return [(at - pushed[name]).total_seconds() for name, at in told.items() if at is not None]


def _config(folder: Path, scene: Scene, language: str, more: str) -> Config:
    path = folder / "conf.toml"
    path.write_text(
        f"language = '{language}'\ntimezone = 'UTC'\n"
        f"[harbor]\nurl = '{scene.harbor.url}'\nusername = '{POLLER.name}'\n"
        f"[telegram]\nchat_id = '{CHAT}'\napi_url = '{scene.telegram.url}'\n{more}\n"
    )
    return configuration.load(path, {"HARBOR_PASSWORD": POLLER.password, "TELEGRAM_BOT_TOKEN": TOKEN})
