"""How a chat is told: what belongs together is one message that grows, at a pace that Telegram never has to refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.telegram import Kind, TelegramStandIn
from demo.telegram_failures import Refused
from formatters.texts import EMOJI, OCCASION_EMOJI, Occasion
from poller import config as configuration
from poller.errors import StateBusy
from poller.events import Event, EventType, Repository, Scan
from poller.knowledge import AccessoryFact, Changes, PlatformFact
from poller.plan import PULLS, PUSH, RUN
from poller.routes import QuietHours, Route
from poller.secret import Secret
from poller.telegram import Telegram
from poller.telling import MOST_DUE, Teller, Told, Wait
from poller.turns import Tellers
from poller.values import replace
from state import DeliveryState, Mode, Store, Telling
from tests.harness import NOON, TOKEN, Clock, write_conf

CHAT = -1001
IMAGE = f"sha256:{'a' * 64}"
PLATFORM = f"sha256:{'b' * 64}"
PUSHED, PULLED = EMOJI[EventType.PUSH_ARTIFACT], EMOJI[EventType.PULL_ARTIFACT]
FAILED = EMOJI[EventType.SCANNING_FAILED]


class Here:
    """A state, a chat and a Teller between them, without a Harbor. Time passes as the test says."""

    def __init__(self, folder: Path, telegram: TelegramStandIn, clock: Clock, state_url: str, more: str) -> None:
        self.telegram, self.clock, self.store = (
            telegram,
            clock,
            Store.open(state_url, "https://harbor.lan.test", "telegram"),
        )
        conf = write_conf(folder, "https://harbor.lan.test", more=f"api_url = '{telegram.url}'\n{more}")
        conf.write_text("language = 'en'\n" + conf.read_text())
        self.config = configuration.load(conf, {})
        self._number = 0
        self.route: Route = self.config.routes[0]
        self.restart()

    def restart(self) -> None:
        """As a new process: nothing is left but the state."""
        self.client = Telegram(Secret(TOKEN), api_url=self.telegram.url, timeout=(1, 2))
        self.teller = Teller(self.client, self.store, self.config, self.clock, self.route)

    def be(self, **changed: Any) -> None:
        self.route = replace(self.route, **changed)
        self.restart()

    def happen(
        self,
        kind: EventType,
        tag: str | None = "",
        *,
        group: str | None = None,
        mode: Mode = Mode.AUTO,
        route: str | None = None,
        **more: Any,
    ) -> Event:
        """An event that is recorded now."""
        self._number += 1
        event = Event.example(
            type=kind,
            source_id=self._number,
            occurred_at=self.clock.now,
            tag=f"v{self._number}." if tag == "" else tag,
            repository=Repository("team/app", is_public=False),
            **more,
        )
        telling = Telling(event, DeliveryState.PENDING, mode=mode, group=group, route=route)
        self.store.record([telling], now=self.clock.now)
        return event

    def push(self, tag: str | None = "", **more: Any) -> Event:
        return self.happen(EventType.PUSH_ARTIFACT, tag, **more)

    def pull(self, group: str = "a", **more: Any) -> Event:
        return self.happen(EventType.PULL_ARTIFACT, "v1.", group=f"{PULLS}{group}", **more)

    def live(self, seconds: float, happening: Callable[[int], object] = lambda _second: None) -> None:
        """Let time pass second by second, at the daemon's rhythm."""
        for second in range(round(seconds)):
            self.clock.advance(1)
            happening(second)
            self.tell()

    def idle(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        for _ in range(round(seconds / 10)):
            self.clock.advance(10)
            self.tell()

    def tell(self, *, is_patient: bool = True) -> Wait:
        while isinstance(step := self.teller.deliver(is_patient=is_patient), Told):
            continue
        return step

    @property
    def texts(self) -> list[str]:
        return self.telegram.texts

    def deliveries(self) -> list[tuple[str, int | None]]:
        return [(seen.deliveries[0].state, seen.deliveries[0].message_id) for seen in self.store.seen()]

    def assert_well(self) -> None:
        """All is told, and Telegram never had to say that it is too much."""
        assert self.store.counts().pending == 0
        assert (self.telegram.rate_limit_hits, self.telegram.violations) == (0, 0)
        there = {message.message_id for message in self.telegram.messages}
        assert {message_id for _, message_id in self.deliveries()} == there


Opened = Callable[..., Here]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    clock, stores = Clock(), list[Store]()
    with TelegramStandIn(TOKEN, clock=clock) as telegram:
        telegram.add_chat(CHAT)

        def open_(more: str = "", state_url: str = f"sqlite:///{tmp_path}/state.db") -> Here:
            here = Here(tmp_path, telegram, clock, state_url, more)
            stores.append(here.store)
            return here

        yield open_
        for store in stores:
            store.close()


@pytest.fixture
def here(opened: Opened) -> Here:
    return opened()


def family(number: int = 1) -> str:
    return f"{PUSH}team/app@{IMAGE}#{number}"


# -- a moment for what belongs together -----------------------------------------------------------------


def test_a_push_is_told_with_its_platforms_and_tags(here: Here) -> None:
    """They come within a moment, in any order, and are one message about the image."""
    platforms = (PlatformFact("team/app", PLATFORM, IMAGE, "linux/arm64", NOON),)
    here.store.record((), now=NOON, learnt=Changes(platforms=platforms))
    here.push(None, digest=PLATFORM, group=family())
    here.push("v1.", digest=IMAGE, group=family())
    here.live(3, lambda second: here.push("latest", digest=IMAGE, group=family()) if second == 2 else None)
    assert here.texts == []
    here.live(2)
    [text] = here.texts
    assert text.startswith(PUSHED)
    assert all(word in text for word in ("v1.", "latest", "linux/arm64"))
    assert [state for state, _ in here.deliveries()] == ["sent", "folded", "folded"]
    here.assert_well()


def test_signed_is_what_is_signed_itself(here: Here) -> None:
    """Not an index because one of its platforms is, or even an attestation in it."""
    attestation = f"sha256:{'c' * 64}"
    found = ((PLATFORM, "linux/arm64"), (attestation, "unknown/unknown"))
    platforms = tuple(PlatformFact("team/app", digest, IMAGE, name, NOON) for digest, name in found)
    here.store.record((), now=NOON, learnt=Changes(platforms=platforms))
    here.push("v1.", digest=IMAGE, group=family())
    for subject, words in ((attestation, None), (PLATFORM, "platforms: 1 of 1"), (IMAGE, "yes (cosign)")):
        fact = AccessoryFact("team/app", f"sha256:of-{subject[7:9]}", subject, "signature.cosign", NOON)
        here.store.record((), now=NOON, learnt=Changes(accessories=(fact,)))
        here.push(None, digest=fact.digest, group=family())
        here.live(20)
        [text] = here.texts
        assert ("Signed: " + words in text) if words else ("Signed" not in text)


def test_a_platform_that_another_index_has_too_is_shown_all_the_same(here: Here) -> None:
    """A rebuild of which one platform came out the same takes nothing from the message of the first."""
    here.store.record(
        (), now=NOON, learnt=Changes(platforms=(PlatformFact("team/app", PLATFORM, IMAGE, "arm64", NOON),))
    )
    here.push(None, digest=PLATFORM, group=family())
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    rebuilt = PlatformFact("team/app", PLATFORM, f"sha256:{'e' * 64}", "arm64", here.clock.now)
    here.store.record((), now=here.clock.now, learnt=Changes(platforms=(rebuilt,)))
    here.push("stable", digest=IMAGE, group=family())
    here.live(10)
    [text] = here.texts
    assert all(word in text for word in ("arm64", "stable"))


def test_order_is_kept_behind_what_settles(here: Here) -> None:
    """A pull does not overtake the push before it."""
    here.push()
    here.pull()
    here.live(10)
    assert [text[0] for text in here.texts] == [PUSHED[0], PULLED[0]]
    here.assert_well()


def test_a_single_push_is_told_within_a_moment(here: Here) -> None:
    """What it waits for is `settle`, and no more."""
    here.live(61, lambda second: here.push() if second % 20 == 0 else None)
    here.live(10)
    sent = [message.sent_at for message in here.telegram.messages]
    assert [moment - NOON for moment in sent] == [timedelta(seconds=at) for at in (5, 25, 45, 65)]


def test_what_is_started_by_cron_does_not_wait(here: Here) -> None:
    """Nothing more comes while it runs."""
    here.push()
    assert here.tell(is_patient=False) == Wait(None)
    assert len(here.texts) == 1


def test_a_part_whose_image_never_comes_is_told_for_itself(here: Here) -> None:
    """Whatever was said to belong to it, one by one."""
    here.push(None, digest=PLATFORM, group=family())
    here.push("v7.", digest=f"sha256:{'c' * 64}", group=family())
    here.live(30)
    assert len(here.texts) == 2
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    assert len(here.texts) == 2
    assert "v1." in here.texts[1]
    here.assert_well()


# -- messages that grow ---------------------------------------------------------------------------------


def test_what_joins_a_push_later_changes_its_message(here: Here) -> None:
    """No further message makes a noise; nothing is told twice."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.push("stable", digest=IMAGE, group=family())
    here.live(10)
    [text] = here.texts
    assert "stable" in text
    assert here.deliveries() == [("sent", 1), ("folded", 1)]
    here.assert_well()


def test_pulls_are_counted_in_one_message(here: Here) -> None:
    """The first is told at once; the count follows ever less often, and is right in the end."""
    here.live(900, lambda second: here.pull() if second % 10 == 0 else None)
    here.idle(620)
    [text] = here.texts
    assert "90" in text
    assert len(here.telegram.edits) <= 7
    first, *_ = here.telegram.messages
    assert first.sent_at == NOON + timedelta(seconds=1)
    here.assert_well()


def test_what_waits_for_an_edit_is_held(here: Here) -> None:
    """It is no backlog: nobody needs to be alarmed."""
    here.pull()
    here.live(1)
    here.pull()
    here.live(1)
    assert here.store.held(here.clock.now) == 1
    assert here.tell() == Wait(None)


def test_an_edit_whose_answer_was_lost_is_made_again(here: Here) -> None:
    """That harms nobody."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.push("stable", digest=IMAGE, group=family())
    here.telegram.fail(Kind.DROP_AFTER)
    here.live(30)
    assert len(here.texts) == 1
    here.assert_well()


def test_a_crash_between_an_edit_and_its_note_only_edits_again(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process; the database could not be written when Telegram had answered."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.push("stable", digest=IMAGE, group=family())

    def busy(*_: object, **__: object) -> None:
        raise StateBusy("busy")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "told_by_edit", busy)
        with pytest.raises(StateBusy):
            here.live(10)
    here.restart()
    here.live(30)
    assert len(here.texts) == 1
    here.assert_well()


@pytest.mark.parametrize("description", ["message to edit not found", "message can't be edited"])
def test_where_a_message_cannot_be_changed_another_one_tells_what_is_new(here: Here, description: str) -> None:
    """To it comes what joins then."""
    here.pull()
    here.live(1)
    here.pull()
    here.pull()
    here.telegram.fail(Kind.REFUSED, description=f"Bad Request: {description}")
    here.live(40)
    assert len(here.texts) == 2
    assert "×2" in here.texts[1]
    here.pull()
    here.idle(700)
    assert len(here.texts) == 2
    assert "×3" in here.texts[1]  # the first one told its own
    here.assert_well()


def test_where_no_message_can_be_changed_there_is_one_a_window(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if edits were switched off, after two were refused."""
    here = opened("[delivery]\npull_window = '5m'\n")

    def refuse(_: object) -> None:
        raise Refused(400, "Bad Request: message can't be edited")

    monkeypatch.setattr(here.telegram, "_edit", refuse)
    here.live(1500, lambda second: here.pull() if second % 10 == 0 else None)
    assert len(here.texts) <= 3 + 5
    here.idle(600)
    here.assert_well()


def test_in_a_chat_that_has_moved_a_new_message_is_begun(here: Here) -> None:
    """The old one stayed behind."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.telegram.migrate(here.telegram.chats[CHAT], -1002003)
    here.push("stable", digest=IMAGE, group=family())
    here.live(20)
    assert [message.chat_id for message in here.telegram.messages] == [CHAT, -1002003]
    assert "v1." in here.texts[1]
    here.assert_well()


def test_without_edits_there_is_a_message_a_window(opened: Opened) -> None:
    """It tells what has come since the last one."""
    here = opened("[delivery]\nedit = false\npull_window = '2m'\n")
    here.live(361, lambda second: here.pull() if second % 10 == 0 else None)
    here.idle(200)
    assert len(here.texts) in (4, 5)
    assert len(here.telegram.edits) == 0
    here.assert_well()


def test_edits_leave_the_pace_to_what_is_new(here: Here) -> None:
    """A hundred images are pulled all the time, and singles come in between: none of these waits for an edit."""
    kinds = [f"image-{number}" for number in range(30)]

    def happen(second: int) -> None:
        here.pull(kinds[second % len(kinds)])
        if second % 30 == 0:
            here.happen(EventType.TAG_CREATED, f"single-{second}.")

    here.live(400, happen)
    here.idle(1300)
    singles = [message for message in here.telegram.messages if "single-" in message.text]
    assert len(singles) == 14
    happened = [int(message.text.split("single-")[1].split(".")[0]) for message in singles]
    delays = [
        (message.sent_at - NOON).total_seconds() - at - 1
        for message, at in zip(singles, happened, strict=True)
        if at >= 120  # until then the thirty first pulls are told
    ]
    assert max(delays) <= 2
    here.assert_well()


def test_an_edit_does_not_wait_for_ever_in_a_busy_chat(here: Here) -> None:
    """Where there is always something new, but not too much of it."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.push("stable", digest=IMAGE, group=family())
    here.live(200, lambda second: here.happen(EventType.TAG_CREATED) if second % 4 == 0 else None)
    assert "stable" in here.texts[0]
    assert len(here.texts) >= 49


# -- runs -----------------------------------------------------------------------------------------------


def test_a_run_is_one_message(here: Here) -> None:
    """However long it goes on; all of it is counted."""
    here.live(120, lambda second: here.happen(EventType.DELETE_ARTIFACT, group=f"{RUN}ann") if second % 2 else None)
    here.idle(620)
    assert len(here.texts) == 1
    assert "60" in here.texts[0]
    here.assert_well()


# -- answers to a push ----------------------------------------------------------------------------------


def scanned(here: Here, digest: str = IMAGE, **more: Any) -> Event:
    report = {"application/json": {"scan_status": "Error", "report_id": f"r{here.clock.now}"}}
    return here.happen(EventType.SCANNING_FAILED, digest=digest, scan=Scan(report, None), **more)


def test_a_scan_answers_its_push(here: Here) -> None:
    """Whoever reads it sees which push is meant; without one it stands for itself."""
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    scanned(here)
    scanned(here, PLATFORM)
    here.live(10)
    assert [message.reply_to_message_id for message in here.telegram.messages] == [None, 1, None]


# -- too much at once -----------------------------------------------------------------------------------


def starting_with(here: Here, occasion: Occasion) -> list[str]:
    return [text for text in here.texts if text.startswith(OCCASION_EMOJI[occasion])]


def test_in_a_flood_there_is_a_digest_a_period(here: Here) -> None:
    """Ever fewer as it goes on, and what is important goes singly all the time."""

    def happen(second: int) -> None:
        for _ in range(3):
            here.happen(EventType.TAG_CREATED)
        if second % 100 == 75:
            scanned(here)

    here.live(420, happen)
    here.idle(200)
    digests = starting_with(here, Occasion.BACKLOG)
    assert len(digests) == 4
    assert len([text for text in here.texts if text.startswith(FAILED)]) == 4
    assert len(here.texts) <= 4 + 4 + 20
    here.idle(1000)
    here.push("afterwards.")
    here.live(40)
    assert "afterwards." in here.texts[-1]
    here.assert_well()


def test_what_is_important_all_the_time_drowns_nothing(here: Here) -> None:
    """A scanner that fails for ten minutes: a few singly, the others in ever fewer digests; a push comes as ever."""

    def happen(second: int) -> None:
        if second % 3 == 0:
            scanned(here, digest=f"sha256:{second:064x}")
        if second == 300:
            here.push("mine.")

    here.live(600, happen)
    [push] = [message for message in here.telegram.messages if "mine." in message.text]
    assert push.sent_at - NOON <= timedelta(seconds=340)
    assert len(here.texts) <= 25
    here.idle(600)
    assert starting_with(here, Occasion.CATCH_UP) == []
    here.assert_well()


def test_what_is_important_is_told_however_much_waits_before_it(here: Here) -> None:
    """In a flood that has gone on for long, and of which there is more than what is looked at."""
    for _ in range(60):
        here.happen(EventType.TAG_CREATED)
    here.live(3)
    events = [Event.example(source_id=1000 + n, type=EventType.TAG_CREATED) for n in range(MOST_DUE)]
    here.store.record([Telling(each, DeliveryState.PENDING) for each in events], now=here.clock.now)
    scanned(here)
    here.live(10)
    assert here.texts[-1].startswith(FAILED)


@pytest.mark.parametrize("mode", ["calm", "every"])
def test_in_quiet_hours_what_is_important_is_told_however_much_waits_before_it(opened: Opened, mode: str) -> None:
    """At once; `once` does not leave it behind, either."""
    here = opened(f"[delivery]\nmode = '{mode}'\n")
    here.be(quiet_hours=QuietHours(time(11), time(13), UTC))
    events = [Event.example(source_id=1000 + n, type=EventType.TAG_CREATED) for n in range(MOST_DUE)]
    here.store.record([Telling(each, DeliveryState.PENDING) for each in events], now=here.clock.now)
    scanned(here)
    here.tell(is_patient=False)
    assert [text[0] for text in here.texts] == [FAILED[0]]


def test_a_digest_ends_the_message_of_a_group(here: Here) -> None:
    """What joins the group later begins a new one; the digest stays as it is."""
    for number in range(100):
        here.pull(f"image-{number}")
    here.live(10)
    [digest] = starting_with(here, Occasion.BACKLOG)
    here.pull("image-7")
    here.live(60)
    assert here.texts[0] == digest
    assert len(here.texts) == 2
    assert len(here.telegram.edits) == 0
    here.assert_well()


def test_what_belongs_to_an_image_of_a_digest_is_not_told(here: Here) -> None:
    """The digest stays as it is; what a scan found is told for itself."""
    for number in range(60):
        here.push(f"v{number}.", digest=f"sha256:{number:064x}", group=f"{PUSH}team/app@sha256:{number:064x}#1")
    here.live(10)
    [digest] = starting_with(here, Occasion.BACKLOG)
    group = f"{PUSH}team/app@sha256:{7:064x}#1"
    here.push(f"sha256-{7:064x}.sig", digest=f"sha256:{'d' * 64}", group=group)
    here.live(60)
    assert here.texts == [digest]
    scan = Scan({"a": {"scan_status": "Success", "severity": "Low"}}, None)
    here.happen(EventType.SCANNING_COMPLETED, digest=f"sha256:{7:064x}", scan=scan, group=group)
    here.live(60)
    assert [text[0] for text in here.texts[1:]] == [EMOJI[EventType.SCANNING_COMPLETED]]
    here.assert_well()


def test_after_a_downtime_there_is_one_summary_however_long_the_log_is_read(here: Here) -> None:
    """It is written down page by page meanwhile."""
    began, since = here.clock.now, here.clock.now - timedelta(hours=2)

    def page(second: int) -> None:
        if second < 20:
            events = [Event.example(source_id=second * 100 + n, occurred_at=since) for n in range(100)]
            here.store.record([Telling(each, DeliveryState.PENDING, since=since) for each in events], now=began)

    here.live(40, page)
    [text] = here.texts
    assert "2000" in text
    here.assert_well()


def test_the_pace_that_telegram_grants_is_used(opened: Opened) -> None:
    """Each event for itself: at least nineteen in every minute, in order, and never one too many."""
    here = opened("[delivery]\nmode = 'every'\n")
    for _ in range(100):
        here.pull()
    here.live(330)
    sent = [(message.sent_at - NOON).total_seconds() for message in here.telegram.messages]
    assert len(sent) == 100
    assert all(sum(at <= 61 * minute for at in sent) >= 20 * minute for minute in range(1, 6))
    assert [state for state, _ in here.deliveries()] == ["sent"] * 100
    here.assert_well()


def test_message_before_a_crash_counts_from_when_it_may_have_come(opened: Opened) -> None:
    """Only when it went is known: Telegram may have taken it a second later."""
    here = opened("[delivery]\nmode = 'every'\n")
    here.store.claim(str(CHAT), here.clock.now)
    here.pull()
    here.clock.advance(1.5)
    assert here.tell() == Wait(0.3, "pace")


# -- routes ---------------------------------------------------------------------------------------------


def test_what_comes_at_night_is_told_in_the_morning(here: Here) -> None:
    """As one digest; what is important comes at once. Nothing looks like a backlog meanwhile."""
    here.be(quiet_hours=QuietHours(time(11), time(13), UTC))
    here.live(60, lambda second: here.push() if second % 6 == 0 else None)
    scanned(here)
    here.live(10)
    assert [text[0] for text in here.texts] == [FAILED[0]]
    assert here.store.held(here.clock.now) == 10
    here.idle(3600)
    assert len(starting_with(here, Occasion.QUIET_HOURS)) == 1
    here.assert_well()


@pytest.mark.parametrize("group", [None, f"image:team/app@{IMAGE}", "wave:1", f"{RUN}ann"])
def test_what_is_put_off_by_settings_of_the_past_is_let_go(here: Here, group: str | None) -> None:
    """Whatever it is a part of."""
    here.be(every=7 * 86400.0)
    scan = Scan({"a": {"scan_status": "Success", "severity": "Low"}}, None)
    here.happen(EventType.SCANNING_COMPLETED, digest=IMAGE, scan=scan, group=group)
    here.live(2)
    assert here.texts == []
    here.be(every=None)
    here.live(2)
    assert len(here.texts) == 1
    here.assert_well()


def test_a_chat_of_digests(here: Here) -> None:
    """One in every period in which there was something."""
    here.be(every=600.0)
    here.live(1200, lambda second: here.push() if second % 100 == 0 else None)
    here.idle(1300)
    assert len(starting_with(here, Occasion.PERIOD)) == len(here.texts) == 2
    here.assert_well()


def test_what_comes_without_a_sound(here: Here) -> None:
    """By the kind of what is told."""
    here.be(silent=frozenset({EventType.PULL_ARTIFACT}))
    here.pull()
    here.push()
    here.live(10)
    assert [message.silent for message in here.telegram.messages] == [True, False]


def test_routes_tell_their_own(opened: Opened) -> None:
    """In their own language and place."""
    here = opened()
    route = replace(here.route, name="second", chat_id=42, language="ru")
    other = Teller(here.client, here.store, here.config, here.clock, route)
    event = Event.example(source_id=1)
    tellings = [Telling(event, DeliveryState.PENDING, route=name) for name in (None, "second")]
    here.store.record(tellings, now=here.clock.now)
    here.live(10)
    assert isinstance(other.deliver(), Told)
    first, second = here.telegram.messages
    assert (first.chat_id, second.chat_id) == (CHAT, 42)
    assert first.text != second.text


def test_routes_to_one_chat_share_its_room(opened: Opened) -> None:
    """Each by itself would fit; together they are too much, and nothing is told later than a message may be."""
    here = opened()
    routes = {name: replace(here.route, name=name, message_thread_id=topic) for topic, name in enumerate("abcd", 2)}
    tellers = {name: Teller(here.client, here.store, here.config, here.clock, each) for name, each in routes.items()}
    all_of_them = Tellers(tellers)
    for name in routes:
        for _ in range(30):
            here.happen(EventType.TAG_CREATED, route=name)
    for _ in range(300):
        while isinstance(all_of_them.deliver(), Told):
            continue
        here.clock.advance(1)
    assert max(message.sent_at for message in here.telegram.messages) - NOON <= timedelta(seconds=130)


# -- another database -----------------------------------------------------------------------------------


def test_messages_grow_on_any_database(opened: Opened, state_url: str) -> None:
    """Pushes, pulls and runs; a flood; an answer."""
    here = opened(state_url=state_url)
    here.push("v1.", digest=IMAGE, group=family())
    here.live(10)
    here.push("stable", digest=IMAGE, group=family())
    here.live(30, lambda _: here.pull())
    scanned(here)
    here.idle(650)
    assert [message.reply_to_message_id for message in here.telegram.messages] == [None, None, 1]
    here.store.move_appointments(timedelta(hours=1), paced_since=here.clock.now)
    here.assert_well()
