"""`demo`: a lively registry day on the stand-ins, polled, deduplicated and told by the product's own jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.harbor import Account, HarborStandIn, Outcome, Role, World
from demo.screen import Screen
from demo.telegram import TelegramStandIn
from poller import config as configuration
from poller import logs
from poller.config import Config
from poller.events import WEBHOOK_TYPES
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller, Told
from state import Store

ROBOT, SECRET = "robot$poller", "a-secret-of-the-demo"
TOKEN, CHAT = "123456:DEMO-TOKEN-OF-THE-TELEGRAM-STAND-IN", "-1001"
BURST = 60


def run(language: str, environ: Mapping[str, str]) -> int:
    """Play the day. With TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID set, its messages go to that chat."""
    token, chat = environ.get("TELEGRAM_BOT_TOKEN"), environ.get("TELEGRAM_CHAT_ID")
    screen = Screen()
    with TelegramStandIn(token=TOKEN) as telegram, TemporaryDirectory() as folder:
        account = Account(ROBOT, SECRET, Role.SYSTEM_ROBOT_FULL)
        with HarborStandIn(World(), accounts=[account]) as harbor:
            is_real = bool(token and chat)
            text = _conf(harbor.url, language, chat or CHAT, None if is_real else telegram.url)
            config = _load(Path(folder), text, token if token and chat else TOKEN)
            with _stage(config, screen, harbor, None if is_real else telegram) as stage:
                _play(stage)
                return 0


@dataclass(slots=True)
class Stage:
    """The product between the stand-ins, and what the audience sees of it."""

    screen: Screen
    harbor: HarborStandIn
    telegram: TelegramStandIn | None  # None: the messages go to a real chat
    store: Store
    poller: AuditPoller
    teller: Teller
    shown: int = 0
    told: int = 0
    polls: int = 0

    def act(self, what: str, *deeds: Callable[[], object]) -> None:
        """Something happens in the registry; then the product polls and tells it."""
        self.screen.say(what)
        for deed in deeds:
            deed()
        self.poll_and_tell()

    def poll_and_tell(self) -> None:
        self.poller.poll(datetime.now(UTC))
        self.polls += 1
        while True:
            step = self.teller.deliver()
            if isinstance(step, Told):
                self.told += step.events
                self._show()
            elif step.seconds is None:
                return
            else:
                time.sleep(step.seconds)

    def _show(self) -> None:
        if self.telegram is None:
            self.screen.say("sent to your chat")
            return
        for message in self.telegram.messages[self.shown :]:
            self.screen.show(message)
            self.shown += 1


def _play(stage: Stage) -> None:
    world = stage.harbor.world
    world.create_project("team")
    world.create_project("public", public=True)
    world.push("team/app", "1.26", "ann", content="old")
    stage.act("The poller starts. What happened before is not told.")
    stage.act("ann pushes team/app:1.27.", lambda: world.push("team/app", "1.27", "ann", content="new"))
    stage.act(
        "A pipeline pulls it, and somebody without a name pulls public/hello.",
        lambda: world.pull("team/app", "1.27", "robot$team+ci"),
        lambda: world.push("public/hello", "1", "bob"),
        lambda: world.pull("public/hello", "1", "anonymous"),
    )
    stage.act(
        "ann has the image scanned; the scanner works with a robot of its own.",
        lambda: world.scan(
            "team/app", "1.27", Outcome.SUCCESS, {"Critical": 2, "High": 1, "Low": 4}, fixable=3, asked_by="ann"
        ),
    )
    stage.act("A scan breaks.", lambda: world.scan("team/app", "1.26", Outcome.ERROR, asked_by="bob"))
    stage.act(
        "Another one is stopped by hand.", lambda: world.scan("public/hello", "1", Outcome.STOPPED, asked_by="bob")
    )
    stage.act(
        "bob deletes the old image. The log names only its digest; its tag is remembered.",
        lambda: world.delete_artifact("team/app", "1.26", "bob"),
    )
    stage.act("Nothing happens, and nothing is told twice.")
    stage.act(
        f"A script pushes {BURST} images at once: more than a chat should bear.",
        *[lambda n=n: world.push(f"team/service-{n % 7}", f"build.{n}", "robot$team+ci") for n in range(BURST)],
    )
    _sum_up(stage)


def _sum_up(stage: Stage) -> None:
    """Compare with what Harbor's webhooks would have told, had there been a receiver."""
    world = stage.harbor.world
    seen = [each.event for each in stage.store.seen() if each.event.type in WEBHOOK_TYPES]
    after_start = [hook for hook in world.webhooks if hook["type"] in WEBHOOK_TYPES][1:]
    stage.screen.say(
        f"Harbor's webhooks would have told {len(after_start)} events; {len(seen)} were seen by polling, "
        f"{stage.told} of them told (a scanner's own pulls are not). "
        f"{stage.polls} polls took {len(stage.harbor.requests)} requests."
    )
    stage.screen.say("This was a demo on stand-ins. Your own Harbor: see README.md, «Five minutes to a real Harbor».")


@contextmanager
def _stage(config: Config, screen: Screen, harbor: HarborStandIn, telegram: TelegramStandIn | None) -> Iterator[Stage]:
    store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
    try:
        client = Harbor(config.harbor.url, config.harbor.username, config.harbor.password)
        sender = Telegram(config.telegram.bot_token, api_url=config.telegram.api_url, proxy=config.telegram.proxy)
        poller = AuditPoller(client, store, config)
        teller = Teller(sender, store, config, lambda: datetime.now(UTC))
        yield Stage(screen, harbor, telegram, store, poller, teller)
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
