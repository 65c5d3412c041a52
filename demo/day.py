"""`demo`: a lively registry day on the stand-ins, polled, deduplicated and told by the product's own jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from demo import replays
from demo.harbor import Account, HarborStandIn, Outcome, Role, RunningScan, ScanAll, Vulnerability, World
from demo.screen import Screen
from demo.telegram import TelegramStandIn
from poller import config as configuration
from poller import logs
from poller.config import Config
from poller.events import SCAN_TYPES, WEBHOOK_TYPES
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told
from state import Store

ROBOT, SECRET = "robot$poller", "a-secret-of-the-demo"
TOKEN, CHAT = "123456:DEMO-TOKEN-OF-THE-TELEGRAM-STAND-IN", "-1001"
BURST = 60
A_MOMENT = timedelta(seconds=1)  # what a skipped hour lasts; a real chat takes no more than a message a second

OPENSSL = Vulnerability("CVE-2026-1234", "Critical", "openssl", "3.0.1", "3.0.2")
ZLIB = Vulnerability("CVE-2026-2071", "High", "zlib", "1.3", "1.3.1")
XZ = Vulnerability("CVE-2026-4410", "Critical", "xz", "5.6.0", "5.6.2")
BUSYBOX = Vulnerability("CVE-2026-3310", "High", "busybox", "1.36.1", "")
BASH = Vulnerability("CVE-2026-3333", "Low", "bash", "5.1", "5.2")

OLD_BUILD, NEW_BUILD, USUAL = (ZLIB, BASH), (OPENSSL, BASH), (BUSYBOX, BASH)
FOUND: Mapping[tuple[str, str | None], Sequence[Vulnerability]] = {
    ("team/app", None): OLD_BUILD,  # its tag has moved on
    ("team/app", "1.27"): NEW_BUILD,
    ("library/base-0001", "v2"): (XZ, *USUAL),
}
"""What the scan of everything finds, by repository and tag; in all others it is what was known before."""


def run(
    language: str,
    environ: Mapping[str, str],
    clock: Clock | None = None,
    *,
    replayed: Sequence[replays.Scenario] = replays.ALL,
) -> int:
    """Play the day, then the replays. With TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID set, the day goes to that chat."""
    token, chat = environ.get("TELEGRAM_BOT_TOKEN"), environ.get("TELEGRAM_CHAT_ID")
    screen, clock = Screen(), clock or Clock()
    with TelegramStandIn(token=TOKEN, clock=clock) as telegram, TemporaryDirectory() as folder:
        account = Account(ROBOT, SECRET, Role.SYSTEM_ROBOT_FULL)
        with HarborStandIn(World(clock=clock), accounts=[account]) as harbor:
            is_real = bool(token and chat)
            text = _conf(harbor.url, language, chat or CHAT, None if is_real else telegram.url)
            config = _load(Path(folder), text, token if token and chat else TOKEN)
            with _stage(config, clock, screen, harbor, None if is_real else telegram) as stage:
                _play(stage)
    _replay(replayed, language, screen)
    screen.say("This was a demo on stand-ins. Your own Harbor: see README.md, «Five minutes to a real Harbor».")
    return 0


def _replay(scenarios: Sequence[replays.Scenario], language: str, screen: Screen) -> None:
    """How few messages come of what registries really do. No chat but that of the stand-in is told."""
    screen.say("What registries really do, replayed in virtual time: how many messages come of it?")
    screen.table(replays.run_all(scenarios, language))


class Clock:
    """The real time, and ahead of it by what was skipped. `sleep`: how a moment really passes (s)."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def skip(self, span: timedelta, lasting: timedelta = A_MOMENT) -> None:
        """Be later by `span`, after a moment of real time."""
        started = time.monotonic()
        self._sleep(lasting.total_seconds())
        self._ahead += span - timedelta(seconds=time.monotonic() - started)

    def wait(self, seconds: float) -> None:
        span = timedelta(seconds=seconds)
        self.skip(span, lasting=span)


@dataclass(slots=True)
class Stage:
    """The product between the stand-ins, and what the audience sees of it."""

    clock: Clock
    screen: Screen
    harbor: HarborStandIn
    telegram: TelegramStandIn | None  # None: the messages go to a real chat
    store: Store
    poller: AuditPoller
    teller: Teller
    shown: int = 0
    told: int = 0
    polls: int = 0

    @property
    def world(self) -> World:
        return self.harbor.world

    def act(self, what: str, *deeds: Callable[[], object]) -> None:
        """Something happens in the registry; then the product polls and tells it."""
        self.screen.say(what)
        for deed in deeds:
            deed()
        self.poll_and_tell()

    def pass_time(self, what: str, minutes: int, polls: int = 1) -> None:
        """So long nothing happens but that the product polls."""
        self.screen.say(what)
        for _ in range(polls):
            self.clock.skip(timedelta(minutes=minutes) / polls, lasting=A_MOMENT / polls)
            self.poll_and_tell()

    def scan(
        self,
        repository: str,
        tag: str,
        asked_by: str | None = None,
        *,
        findings: Sequence[Vulnerability] = (),
        outcome: Outcome = Outcome.SUCCESS,
        pulls: bool = True,
    ) -> None:
        """Each manifest takes the scanner 8 s. Without `asked_by` it was the push that caused it."""
        for running in self.world.start_scan(repository, tag, asked_by=asked_by, pulls=pulls):
            self.clock.skip(timedelta(seconds=8))
            self.world.finish_scan([running], outcome, findings=findings)

    def poll_and_tell(self) -> None:
        self.poller.poll(self.clock())
        self.poller.sweep(self.clock())
        self.polls += 1
        while True:
            step = self.teller.deliver(is_patient=False)
            if isinstance(step, Told):
                self.told += step.events
                self._show()
            elif step.seconds is None:
                return
            else:
                self.clock.wait(step.seconds)

    def _show(self) -> None:
        if self.telegram is None:
            self.screen.say("sent to your chat")
            return
        for message in self.telegram.messages[self.shown :]:
            self.screen.show(message)
            self.shown += 1


def _play(stage: Stage) -> None:
    _settle(stage)
    before = len(stage.world.webhooks)
    stage.act("The poller starts. What happened before is not told.")
    stage.pass_time("Ten minutes pass. What earlier scans have found is looked through: a baseline, and no news.", 10)
    _work(stage)
    _scan(stage)
    _scan_everything(stage)
    _scan_apart(stage)
    stage.act("Nothing happens, and nothing is told twice.")
    stage.act(
        f"A script pushes {BURST} images at once: more than a chat should bear.",
        *[lambda n=n: stage.world.push(f"team/service-{n % 7}", f"build.{n}", "robot$team+ci") for n in range(BURST)],
    )
    _sum_up(stage, before)


def _settle(stage: Stage) -> None:
    """What is there before the poller: old images, most of them scanned."""
    world = stage.world
    world.create_project("team")
    world.create_project("public", public=True)
    world.populate(project="library", repositories=4, artifacts_each=3, severities={"High": 1, "Low": 1}, name="base")
    world.push("team/app", "1.26", "ann")
    world.push_index("team/web", "2.0", "ann", platforms=("linux/amd64", "linux/arm64"))
    stage.clock.skip(timedelta(hours=1))


def _work(stage: Stage) -> None:
    world = stage.world
    stage.act("ann pushes team/app:1.27.", lambda: world.push("team/app", "1.27", "ann"))
    stage.act(
        "A pipeline pulls it, and somebody without a name pulls public/hello.",
        lambda: world.pull("team/app", "1.27", "robot$team+ci"),
        lambda: world.push("public/hello", "1", "bob"),
        lambda: world.pull("public/hello", "1", "anonymous"),
    )
    stage.act(
        "bob deletes an old image. The log names only its digest; its tag is remembered.",
        lambda: world.delete_artifact("team/app", "1.26", "bob"),
    )


def _scan(stage: Stage) -> None:
    world = stage.world
    stage.act(
        "ann has her image scanned; the scanner works with a robot of its own.",
        lambda: stage.scan("team/app", "1.27", "ann", findings=OLD_BUILD),
    )
    stage.act(
        "She mends what it found, and pushes again: the tag moves, and the new build is scanned on push.",
        lambda: world.push("team/app", "1.27", "ann"),
        lambda: stage.scan("team/app", "1.27", findings=NEW_BUILD),
    )
    stage.act(
        "bob has an image of two platforms scanned: one message.",
        lambda: stage.scan("team/web", "2.0", "bob", findings=USUAL),
    )
    stage.act(
        "A scan breaks, and another one is stopped by hand.",
        lambda: stage.scan("public/hello", "1", "bob", outcome=Outcome.ERROR),
        stage.poll_and_tell,
        lambda: stage.scan("public/hello", "1", "bob", outcome=Outcome.STOPPED),
    )


def _scan_everything(stage: Stage) -> None:
    stage.pass_time("An hour later Harbor begins to scan everything. Its progress is not told.", 60, polls=6)
    everything = stage.world.start_scan_all("admin")
    half = len(everything.scans) // 2
    stage.act("What is critical and new is told at once.", lambda: _go_on(stage, everything, everything.scans[:half]))
    stage.act("The other images are as they were.", lambda: _go_on(stage, everything, everything.left))
    stage.pass_time("Two minutes later it is certain that this was all: one summary.", 2, polls=4)


def _go_on(stage: Stage, everything: ScanAll, scans: Sequence[RunningScan]) -> None:
    stage.clock.skip(timedelta(seconds=30))
    for scan in scans:
        findings = FOUND.get((scan.repository, scan.tag), USUAL)
        stage.world.finish_scan_all(everything, findings=findings, count=1)


def _scan_apart(stage: Stage) -> None:
    """What is not told, and what no row tells."""
    stage.act("ann has an SBOM made of her image.", lambda: stage.world.sbom("team/app", "1.27", asked_by="ann"))
    _show_last_scan(stage)
    stage.act(
        "A scanner that has the image in its cache pulls nothing, so no row says what was scanned.",
        lambda: stage.scan("public/hello", "1", "ann", findings=USUAL, pulls=False),
    )
    stage.pass_time("Within the hour the sweep comes by, and finds the result.", 60, polls=30)


def _show_last_scan(stage: Stage) -> None:
    """What the state says of it."""
    last = [each for each in stage.store.seen() if each.event.scan is not None][-1]
    [delivery] = last.deliveries
    stage.screen.say(f"Recorded as {last.event.type}, but not told: {delivery.reason}.")


def _sum_up(stage: Stage, before: int) -> None:
    """Compare with what Harbor's webhooks would have told, had there been a receiver."""
    hooks = [hook for hook in stage.world.webhooks[before:] if hook["type"] in WEBHOOK_TYPES]
    bare = [hook for hook in hooks if hook["type"] in SCAN_TYPES and not hook["event_data"]["scan"]]
    seen = [each.event for each in stage.store.seen() if each.event.type in WEBHOOK_TYPES]
    stage.screen.say(
        f"Harbor's webhooks would have told {len(hooks)} events, {len(bare)} of them scans without their figures. "
        f"{len(seen)} were seen by polling, {stage.told} of them told "
        "(what a scanner pulls and pushes is not, nor is the SBOM run). "
        f"{stage.polls} polls took {len(stage.harbor.requests)} requests."
    )


@contextmanager
def _stage(
    config: Config, clock: Clock, screen: Screen, harbor: HarborStandIn, telegram: TelegramStandIn | None
) -> Iterator[Stage]:
    store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
    try:
        client = Harbor(config.harbor.url, config.harbor.username, config.harbor.password)
        sender = Telegram(config.telegram.bot_token, api_url=config.telegram.api_url, proxy=config.telegram.proxy)
        poller = AuditPoller(client, store, config)
        teller = Teller(sender, store, config, clock)
        yield Stage(clock, screen, harbor, telegram, store, poller, teller)
    finally:
        store.close()


def _conf(harbor_url: str, language: str, chat: str, api_url: str | None) -> str:
    api = f'api_url = "{api_url}"' if api_url else ""
    return f"""
language = "{language}"
[harbor]
url = "{harbor_url}"
username = '{ROBOT}'
[telegram]
chat_id = "{chat}"
{api}
"""


def _load(folder: Path, text: str, token: str) -> Config:
    path = folder / "conf.toml"
    path.write_text(text)
    config = configuration.load(path, {"HARBOR_PASSWORD": SECRET, "TELEGRAM_BOT_TOKEN": token})
    logs.set_up("error", "text", config.secrets)
    return config
