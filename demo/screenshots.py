"""Pictures of what the commands show on a terminal: `python -m demo.screenshots` draws docs/screens anew, and the
messages in docs/messages.svg.

A registry day on the stand-ins, in virtual time, polled and told by the product; what is drawn is what its own pages
say of that day. Only the names of the machine are others: an address instead of the loopback's, a path for a folder's.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from demo import chat_pictures
from demo.harbor import POLLER, HarborStandIn, Outcome, World
from demo.replays.rhythm import Clock, Scene
from demo.telegram import TOKEN, TelegramStandIn
from poller import config as configuration
from poller import lease, logs
from poller.check import check
from poller.config import Config
from poller.deadline import Deadline
from poller.diagnosis import diagnose
from poller.explain import Explanation, explain
from poller.findings import Report
from poller.harbor import Harbor
from poller.here import Here
from poller.jobs import AuditPoller
from poller.show import glyphs, terminal
from poller.show.check import check_page
from poller.show.events import events_page
from poller.show.explanation import explanation_page
from poller.show.page import Page
from poller.show.status import status_page
from poller.standing import Standing, standing
from poller.telegram import Telegram
from poller.values import replace
from state import POLLER as THE_POLLER
from state import SCANNERS_OWN, Grant, Seen

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
WIDTH = 80
CHAT = -1001
_MORNING = datetime(2026, 11, 24, 8, tzinfo=UTC)
_HOST = "registry 5f3a 4026531836 4711/1"
HERE = Here("systemctl start harbor-poller", "harbor-poller")
_A_MOMENT = timedelta(seconds=3)
_OPTIONS = {"events-explain": "events --explain KEY"}
_REQUEST = re.compile(r"request [0-9a-f]+-[0-9]+")
_REMOTE_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@dataclass(slots=True)
class Day:
    """What happened, and how the product sees it now."""

    scene: Scene
    config: Config
    grant: Grant
    folder: Path

    @property
    def now(self) -> datetime:
        return self.scene.clock.now

    def standing(self, now: datetime) -> Standing:
        found = standing(self.scene.product.store, self.config, now)
        failure = found.failure and replace(found.failure, error=self._said(str(found.failure.error)))
        return replace(found, harbor=self._said(found.harbor), failure=failure)

    def status(self, now: datetime) -> Page:
        found = self.standing(now)
        return status_page(found, diagnose(found, HERE, UTC, now), UTC, now)

    @property
    def seen(self) -> tuple[Seen, ...]:
        return self.scene.product.store.seen()

    def report(self) -> Report:
        """What `check` finds."""
        bot = Telegram(self.config.telegram.bot_token, api_url=self.config.telegram.api_url)
        patience = Deadline.after(60)
        with self._client() as client:
            found = check(self.config, client, bot, is_sending=False, now=self.now, deadline=patience)
        said = [replace(f, text=self._said(f.text), remedy=self._said(f.remedy)) for f in found.findings]
        return Report(tuple(said))

    def explanation(self) -> Explanation:
        """Of what the scanner did."""
        store = self.scene.product.store
        pull = next(each.event for each in self.seen if each.deliveries[0].reason == SCANNERS_OWN)
        with self._client() as client:
            decide = AuditPoller(client, store, self.config).decide
        return explain(pull.key, store, self.config, decide, self.now)

    def _client(self) -> AbstractContextManager[Harbor]:
        """Without the wait between two attempts."""
        c = self.config.harbor
        return closing(Harbor(c.url, c.username, c.password, sleep=lambda _: None))

    def beat(self) -> None:
        lease.beat(self.scene.product.store, self.grant, self.now)

    @property
    def just_polled(self) -> datetime:
        """A moment after the last poll."""
        return max(cursor.polled_at for cursor in self.scene.product.store.cursors().values()) + _A_MOMENT

    def go_wrong(self) -> None:
        """Harbor's robot is disabled, and the bot is removed from the chat."""
        self.scene.harbor.accounts[POLLER.name] = replace(POLLER, is_disabled=True)
        self.scene.telegram.add_chat(CHAT, "supergroup", bot_is_member=False)
        self.scene.idle(1800)
        self.beat()

    def _said(self, text: str) -> str:
        """As on a machine of its own."""
        url = self.config.harbor.url
        names = {
            f"{self.folder}/conf.toml": "/etc/harbor-poller/conf.toml",
            f"{self.folder}/state.db": "/var/lib/harbor-poller/state.db",
            self.config.telegram.api_url: "https://api.telegram.org",
            url: "https://harbor.example.com",
            url.partition("://")[2]: "harbor.example.com",
        }
        for ours, theirs in names.items():
            text = text.replace(ours, theirs)
        return _REQUEST.sub("request 3f9a1c7e5b20-42", text)


@contextmanager
def day() -> Iterator[Day]:
    """Played to its end, with the product still at work. No time passes by asking for it: it is always the same day."""
    clock = Clock(_MORNING)
    with (
        TemporaryDirectory() as name,
        TelegramStandIn(clock=clock) as telegram,
        HarborStandIn(World(clock=clock), [POLLER]) as harbor,
    ):
        telegram.add_chat(CHAT, "supergroup")
        scene = Scene(harbor, telegram, clock)
        scene.world.create_project("team")
        scene.world.push("team/app", "1.26", "ann")
        config = _config(Path(name), scene)
        scene.switch_on(config)
        grant = scene.product.store.take_lease(THE_POLLER, _HOST, clock.now, lease.KEEP)
        assert isinstance(grant, Grant)
        played = Day(scene, config, grant, Path(name))
        try:
            scene.idle(60)
            scene.play([(3600, _script)], then=3 * 3600)
            played.beat()
            yield played
        finally:
            scene.product.stop()


def _script(scene: Scene) -> Iterator[float]:
    world = scene.world
    world.push("team/app", "1.27", "ann")
    yield 300
    world.pull("team/app", "1.27", "robot$team+ci")
    yield 60
    world.scan("team/app", "1.27", Outcome.SUCCESS, {"High": 1, "Low": 4}, fixable=2, asked_by="ann")
    yield 600
    world.push("team/platform/services/checkout-frontend", "2026.11.24-rc.1", "robot$team+ci")
    yield 900
    world.create_robot("ci")
    yield 60
    world.delete_artifact("team/app", "1.26", "bob")
    yield 60


def _config(folder: Path, scene: Scene) -> Config:
    path = folder / "conf.toml"
    path.write_text(
        f"language = 'en'\ntimezone = 'UTC'\n"
        f"[harbor]\nurl = '{scene.harbor.url}'\nusername = '{POLLER.name}'\n"
        f"[telegram]\nchat_id = '{CHAT}'\napi_url = '{scene.telegram.url}'\n"
    )
    return configuration.load(path, {"HARBOR_PASSWORD": POLLER.password, "TELEGRAM_BOT_TOKEN": TOKEN})


# -- drawing ----------------------------------------------------------------------------------------


def pages(played: Day) -> Iterator[tuple[str, Page]]:
    """What is drawn, by the name of its file: a good day, its end, and one on which two things are to be mended."""
    yield "check", check_page(played.report())
    yield "events", events_page(played.seen, UTC)
    yield "events-explain", explanation_page(played.explanation(), UTC)
    yield "status", played.status(played.just_polled)
    yield "status-stopped", played.status(played.now + timedelta(hours=8))
    played.go_wrong()
    yield "check-mistakes", check_page(played.report())
    yield "status-trouble", played.status(played.now)


def svg(name: str, page: Page) -> str:
    """As a terminal of 80 columns shows it. No font is fetched from anywhere."""
    recording = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, color_system="truecolor")
    terminal.show(page, recording, glyphs.sayer("utf-8"))
    command = f"harbor-poller {_OPTIONS.get(name, name.partition('-')[0])}"
    drawn = recording.export_svg(title=command, unique_id=f"screen-{name}")
    return _REMOTE_FONTS.sub("", drawn)


def main() -> None:
    logs.set_up("error", "text", (), io.StringIO())
    SCREENS.mkdir(exist_ok=True)
    with day() as played:
        drawn = list(pages(played))
    for name, page in drawn:
        (SCREENS / f"{name}.svg").write_text(svg(name, page), encoding="utf-8")
    for language, path in chat_pictures.PICTURES.items():
        path.write_text(chat_pictures.svg(language), encoding="utf-8")


if __name__ == "__main__":
    main()
