"""A chat that people do not mute: what registries really do, replayed, and how many messages come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from demo import replays
from demo.harbor import Replay
from demo.replays import Fact, Listed, Result, Scenario, rhythm, scenarios, scripts
from demo.replays.facts import alone, number, together
from demo.telegram import Entity, Message, TelegramStandIn
from poller.events import SCAN_TYPES, WEBHOOK_TYPES
from poller.telegram import Telegram
from poller.telling import Teller, Told
from state import DeliveryState
from tests.harness import NOON, RECORDINGS, TOKEN, Clock, Site, site
from tests.test_parity import ARTIFACT_TYPES, COUNTS, PROJECTS, SYSTEM

LONGEST_MEDIAN_S = rhythm.POLL_S + 6

# -- the table ------------------------------------------------------------------------------------------

Played = Callable[[Scenario], Result]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Each scenario once, however many tests look at it."""
    results: dict[str, Result] = {}

    def play(scenario: Scenario) -> Result:
        if scenario.name not in results:
            results[scenario.name] = replays.run(scenario, tmp_path_factory.mktemp("replay"))
        return results[scenario.name]

    return play


def assert_calm(result: Result) -> None:
    """As many events as the table says, few enough messages, everything visible that must be, and no 429."""
    assert result.raw == result.scenario.raw
    assert result.unseen == []
    assert len(result.messages) <= result.scenario.most, result.texts
    assert (result.rate_limit_hits, result.violations) == (0, 0)


def test_push_of_buildx(played: Played) -> None:
    """Four platforms, a signature, an SBOM and an attestation: one message with the image, its tag and «signed»."""
    assert_calm(played(replays.BUILDX))


def test_push_of_buildx_with_referrers(played: Played) -> None:
    """The same where what belongs to the image names it as its subject instead of by a tag."""
    assert_calm(played(replays.SIGNED_BY_REFERRERS))


def test_pulls_of_a_pipeline(played: Played) -> None:
    """The first of sixty is told at once, and in the end how many there were."""
    assert_calm(played(replays.CI_PULLS))


def test_nightly_scan_of_everything(played: Played) -> None:
    """Of a thousand images the two with a new critical finding are told by themselves."""
    assert_calm(played(replays.NIGHTLY))


def test_retention(played: Played) -> None:
    """A thousand tags in forty repositories: the totals, and the list for whoever opens it."""
    assert_calm(played(replays.RETENTION))


def test_release(played: Played) -> None:
    """Each of thirty images is seen, and so is each scan that failed or found something critical."""
    assert_calm(played(replays.RELEASE))


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(replays.OUTAGE, id="product"),
        pytest.param(replays.TELEGRAM_AWAY, id="telegram", marks=pytest.mark.xdist_group("calm-outage")),
        pytest.param(replays.HARBOR_AWAY, id="harbor"),
    ],
)
def test_eight_hours_of_outage(played: Played, scenario: Scenario) -> None:
    """Whatever was away: a summary, and by themselves the failed scans and the critical findings."""
    assert_calm(played(scenario))


@pytest.mark.xdist_group("calm-day")
def test_all_of_it_in_one_day(played: Played) -> None:
    """Ten thousand events and at most sixty messages, in which all that must be visible alone is."""
    assert_calm(played(replays.DAY))


def test_single_pushes_are_told_soon(played: Played) -> None:
    """What waits for the parts of an image must not make people wait for a push."""
    result = played(replays.SINGLE_PUSHES)
    assert_calm(result)
    assert len(result.messages) == 20
    assert result.median_delay is not None
    assert result.median_delay <= LONGEST_MEDIAN_S


def test_replication(played: Played) -> None:
    """Many pushes by one operator into one project are one thing that happens, and hardly any messages."""
    assert_calm(played(replays.REPLICATION))


@pytest.mark.parametrize("scenario", [replays.BUILDX, replays.CI_PULLS, replays.RELEASE, replays.RETENTION])
def test_in_russian_it_is_as_calm(tmp_path: Path, scenario: Scenario) -> None:
    assert_calm(replays.run(scenario, tmp_path, "ru"))


# -- [delivery] mode = "every" --------------------------------------------------------------------------

SCANS = 20
"""Of each recorded day, besides its COUNTS of pushes, pulls (scanners' own among them) and deletions."""

EVERY = "[delivery]\nmode = 'every'\n[scans]\nsbom = true"


def beginning(replay: Replay) -> datetime:
    return min(row.op_time for row in replay.recording.rows) - timedelta(minutes=1)


def end(replay: Replay) -> datetime:
    return max(row.op_time for row in replay.recording.rows)


def tell_all(teller: Teller, clock: Clock, deadline_s: float = 60) -> None:
    """Until nothing is due."""
    give_up = monotonic() + deadline_s
    while isinstance(step := teller.deliver(), Told) or step.seconds is not None:
        if not isinstance(step, Told):
            clock.advance(step.seconds or 1)
        assert monotonic() < give_up


def live(here: Site, teller: Teller) -> None:
    """As a daemon does: a poll every five seconds, and between them whatever the chat's pace lets through."""
    replay = here.standin.replay
    while here.clock.now < end(replay) + timedelta(minutes=25):
        replay.show_until(here.clock.now)
        here.poll(after=5 if here.clock.now < end(replay) else 60)
        while isinstance(teller.deliver(), Told):
            pass
    tell_all(teller, here.clock)


def catch_up(here: Site, teller: Teller) -> None:
    """As a daemon that was down all day."""
    replay = here.standin.replay
    replay.show_all()
    here.clock.now = end(replay)
    for _ in range(5):
        here.poll(after=310)
    tell_all(teller, here.clock)


def assert_one_message_each(here: Site, telegram: TelegramStandIn, expected: int) -> None:
    seen = [each for each in here.store.seen() if each.event.type in WEBHOOK_TYPES]
    events = [each for each in seen if each.event.repository and each.event.repository.namespace in PROJECTS]
    assert len(events) == expected
    assert {delivery.state for each in events for delivery in each.deliveries} == {DeliveryState.SENT}
    told = Counter(delivery.message_id for each in events for delivery in each.deliveries)
    assert set(told.values()) == {1}
    assert told.keys() == {message.message_id for message in telegram.messages}
    assert len(telegram.messages) == expected
    assert telegram.edits == []
    assert (telegram.rate_limit_hits, telegram.violations) == (0, 0)


@pytest.mark.parametrize("way", [live, catch_up])
@pytest.mark.parametrize("day", COUNTS)
def test_every_event_is_one_message_if_wanted(tmp_path: Path, day: str, way: Callable[[Site, Teller], None]) -> None:
    """Exactly one for each webhook that Harbor sent on that day and that a poll can know of."""
    replay = Replay(RECORDINGS / day)
    clock = Clock(beginning(replay))
    replay.show_until(clock.now)
    projects = f"projects = {list(PROJECTS)}"
    with TelegramStandIn(TOKEN, clock=clock) as telegram:
        telegram.add_chat(-1001, "supergroup")
        more = f"api_url = '{telegram.url}'\n{EVERY}\n[events]\nCOVERAGE = false"
        with site(tmp_path, replay, clock, SYSTEM, harbor=projects, more=more) as here:
            here.poll()
            client = Telegram(here.config.telegram.bot_token, api_url=telegram.url)
            way(here, Teller(client, here.store, here.config, clock))
            assert_one_message_each(here, telegram, COUNTS[day] + SCANS)


@pytest.mark.parametrize("day", COUNTS)
def test_the_number_of_messages_is_that_of_webhooks(day: str) -> None:
    """What the numbers above stand for: every push, pull, deletion and scan of the projects with webhooks."""
    told = [hook for hook in Replay(RECORDINGS / day).webhooks if hook["type"] in WEBHOOK_TYPES]
    hooks = [hook for hook in told if hook["event_data"]["repository"]["namespace"] in PROJECTS]
    assert sum(hook["type"] in ARTIFACT_TYPES for hook in hooks) == COUNTS[day]
    assert sum(hook["type"] in SCAN_TYPES for hook in hooks) == SCANS


# -- the measure itself ---------------------------------------------------------------------------------


def message(text: str, *entities: Entity) -> Message:
    return Message(1, None, 1, text, entities, text, "MarkdownV2", NOON, silent=False)


def sees(fact: Fact, *texts: str) -> bool:
    return fact.is_seen([message(text) for text in texts])


def test_facts_are_not_seen_where_they_are_not() -> None:
    """A measure that finds everything everywhere would find any chat calm."""
    both = together("", "team/app", number(60))
    assert sees(both, "team/app: 60 pulls")
    assert sees(both, "team/app ×60")
    assert not sees(both, "team/app", "60")
    assert not sees(both, "team/app at 12:60")
    assert not sees(both, "team/app2, 60 pulls")
    assert not sees(both, "team/app: 160 pulls")
    assert sees(together("", number(1000)), "1,000 tags")
    assert sees(together("", number(1000)), "1 000 тегов")
    single = alone("", "team/app", others=["team/web"])
    assert sees(single, "team/app, team/web", "team/app")
    assert not sees(single, "team/app, team/web")


def test_a_list_is_seen_only_in_an_expandable_quotation() -> None:
    """Entities count UTF-16 units, so an emoji before it must not matter."""
    fact = Listed("", ("old/app-1", "old/app-2"))
    text = "📦 gone\nold/app-1\nold/app-2"
    quotation = Entity("expandableBlockQuote", 8, 19)
    assert fact.is_seen([message(text, quotation)])
    assert not fact.is_seen([message(text)])
    assert not fact.is_seen([message(text, Entity("expandableBlockQuote", 8, 9))])


def test_the_day_is_made_of_all_the_others() -> None:
    whole = {fact.what for fact in replays.DAY.facts}
    assert all(fact.what in whole for scenario in replays.ALL[:-1] for fact in scenario.facts)
    assert sum(scenario.raw for scenario in replays.ALL[:-1]) < scenarios.RAW_OF_DAY
    assert len(scripts.OLD) == scripts.OLD_REPOSITORIES
