"""Once a day, for who wants it: how much was seen, and whether anything is missing or waits. No more than is true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from demo.harbor import Account, Fault, Role, World
from formatters import Style, message, plain
from poller import config as configuration
from poller.daily import DailyAt, event_of
from poller.errors import ConfigError
from poller.events import Day, Event, EventType, Gap, Reason
from poller.values import replace
from tests.harness import NOON, Clock, Site, site, write_conf
from tests.telegram_parser import parse
from tests.test_episodes import Stage, staged

NINE = datetime(2026, 11, 24, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUN, CLOUD = "☀️", "🌥"


# -- when -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        (NINE - timedelta(seconds=1), "UTC", None),
        (NINE, "UTC", (date(2026, 11, 24), NINE)),
        (NINE + 14 * HOUR, "UTC", (date(2026, 11, 24), NINE)),
        (NINE + 15 * HOUR, "UTC", None),  # it is another day, and its time has not come
        (NINE - HOUR, "Europe/Berlin", (date(2026, 11, 24), NINE - HOUR)),
        (NINE - 9 * HOUR, "Asia/Tokyo", (date(2026, 11, 24), NINE - 9 * HOUR)),
    ],
)
def test_a_day_is_told_once_its_time_has_come(now: datetime, zone: str, expected: tuple[date, datetime] | None) -> None:
    assert DailyAt(time(9), ZoneInfo(zone)).passed_today(now) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [("all_quiet = '9'", 'must be as in "09:00"'), ("all_quiet = '25:00'", "times of day"), ("all_quiet = 9", "09:00")],
)
def test_what_is_no_time_of_day_is_a_mistake(tmp_path: Path, line: str, says: str) -> None:
    conf = write_conf(tmp_path, "http://127.0.0.1:9", more=f"[delivery]\n{line}")
    with pytest.raises(ConfigError, match=r"\[delivery\] all_quiet") as caught:
        configuration.load(conf, {})
    assert says in str(caught.value)


def test_its_time_is_that_of_the_configurations_zone_or_its_own(tmp_path: Path) -> None:
    for line, zone in (("09:30", "Europe/Moscow"), ("9:30 Europe/Berlin", "Europe/Berlin")):
        conf = write_conf(tmp_path, "http://127.0.0.1:9", more=f"[delivery]\nall_quiet = '{line}'")
        conf.write_text("timezone = 'Europe/Moscow'\n" + conf.read_text())
        at = configuration.load(conf, {}).delivery.all_quiet
        assert at is not None
        assert (at.at, str(at.zone)) == (time(9, 30), zone)


# -- what it says -----------------------------------------------------------------------------------


def told(language: str = "en", **facts: object) -> list[str]:
    """The lines of a day's message."""
    usual: dict[str, object] = {
        "date": "2026-11-24",
        "since": NINE - 24 * HOUR,
        "until": NINE,
        "read_until": NINE,
        "counts": {"PUSH_ARTIFACT": 2, "PULL_ARTIFACT": 212},
        "messages": 55,
    }
    day = Day(**(usual | facts))  # type: ignore[arg-type] # one of them is changed
    event = Event.example(type=EventType.DAILY, repository=None, tag=None, digest=None, day=day)
    text = message(event, Style(language, UTC))
    assert parse(text).text == plain(text)
    return plain(text).splitlines()


def test_a_day_on_which_all_was_well() -> None:
    assert told() == [
        "☀️ All quiet: 214 events in the last 24 h, told in 55 messages; covered without gaps.",
        "📦 Pushes: 2 · 📥 Pulls: 212",
    ]
    assert told("ru")[0] == "☀️ Всё спокойно: 214 событий за 24 ч, 55 сообщений; без пробелов."


def test_a_day_without_events_and_the_first_one() -> None:
    assert told(counts={}, messages=0) == ["☀️ All quiet: no events in the last 24 h; covered without gaps."]
    (line, _) = told(since=NINE - 3 * HOUR)
    assert line == "☀️ All quiet: 214 events since 2026-11-24 06:00 UTC, told in 55 messages; covered without gaps."


def test_what_was_not_seen_is_named() -> None:
    """It is no quiet day then, and does not say that it was covered."""
    pulls = Gap("pulls", Reason.PULLS_OFF, NINE - 5 * HOUR)
    purged = Gap("audit_log_ext", Reason.PURGED, NINE - 9 * HOUR, NINE - 8 * HOUR, rows=31)
    ended = Gap("pulls", Reason.PULLS_OFF, NINE - 12 * HOUR, NINE - 11 * HOUR)
    assert told(gaps=(pulls, purged, ended)) == [
        "🌥 Not all quiet: 214 events in the last 24 h, told in 55 messages.",
        "📦 Pushes: 2 · 📥 Pulls: 212",
        "Harbor has not logged pulls since 2026-11-24 04:00 UTC: they cannot be told.",
        "Harbor has purged its log of 2026-11-24 00:00–01:00 UTC before it could be read (at most 31 entries).",
        "Harbor logs pulls again; those of 2026-11-23 21:00–22:00 UTC cannot be known.",
    ]
    assert told(gaps=(pulls,) * 8)[-1] == "Gaps that are not named here: 3."


def test_a_harbor_that_is_away_and_a_chat_that_is_behind() -> None:
    assert told(read_until=NINE - HOUR, waiting=3, waiting_since=NINE - 2 * HOUR)[::2] == [
        "🌥 Not all quiet: 214 events in the last 24 h, told in 55 messages.",
        "Harbor has not been read since 2026-11-24 08:00 UTC.",
    ]
    assert told(waiting=3, waiting_since=NINE - 2 * HOUR)[-1] == (
        "Waiting to be told: 3 events, since 2026-11-24 07:00 UTC."
    )


def test_what_was_read_after_all_or_waits_for_a_moment_is_no_blemish() -> None:
    closed = Gap("account", Reason.ACCOUNT_REFUSED, NINE - 5 * HOUR, NINE - 4 * HOUR, closed_at=NINE - 4 * HOUR)
    before = Gap("audit_log_ext", Reason.PURGED, NINE - 50 * HOUR, NINE - 40 * HOUR)
    event = event_of(
        date(2026, 11, 24),
        NINE - 24 * HOUR,
        NINE,
        read_until=NINE,
        counts={EventType.PULL_ARTIFACT: 1},
        messages=1,
        gaps=[closed, before],
        waiting=2,
        waiting_since=NINE - timedelta(minutes=1),
    )
    assert event.day is not None
    assert event.day.is_well
    assert event.to_webhook()["event_data"]["daily"]["events"] == {"PULL_ARTIFACT": 1}


# -- the daemon -------------------------------------------------------------------------------------


@contextmanager
def quiet_at(folder: Path, at: str, more: str = "") -> Iterator[Stage]:
    """Somebody wants to hear of each day; it is noon, and the first run was at noon."""
    with staged(folder, more=f"[delivery]\nall_quiet = '{at} UTC'\n{more}") as stage:
        yield stage


def days(stage: Stage) -> list[str]:
    return [text for text in stage.telegram.texts if text.startswith((SUN, CLOUD))]


def test_a_day_is_told_once_however_often_it_is_begun(tmp_path: Path) -> None:
    """Silently, with what was seen since the first run; not again after a restart, and not by another process."""
    with quiet_at(tmp_path, "12:20") as stage:
        stage.site.world.push("team/app", "v1", "ann")
        stage.site.world.pull("team/app", "v1", "bob")
        stage.live(1180)
        assert days(stage) == []
        stage.live(180)
        stage.site.restart()
        stage.site.poller.tell_day(stage.site.clock.now)
        (text,) = days(stage)
        assert "Всё спокойно: 2 события с 24.11.2026" in text
        assert "2 сообщения; без пробелов" in text
        (sent,) = [each for each in stage.telegram.messages if each.text == text]
        assert sent.silent


def test_a_day_before_the_first_run_is_not_told(tmp_path: Path) -> None:
    """Nobody saw it."""
    with quiet_at(tmp_path, "11:59") as stage:
        stage.live(600)
        assert days(stage) == []


def test_who_was_away_at_that_time_tells_it_late(tmp_path: Path) -> None:
    """On the same day, as it is then: that Harbor is away is said, too."""
    with quiet_at(tmp_path, "12:20") as stage:
        stage.site.clock.advance(6 * 3600)
        stage.site.standin.fail(Fault.UNAVAILABLE, times=10_000)
        stage.live(180)
        (text,) = days(stage)
        assert text.startswith(CLOUD)
        assert "Harbor не прочитан с 24.11.2026" in text


def test_it_keeps_quiet_hours_and_goes_to_a_route(tmp_path: Path) -> None:
    """It is not important; and a route that takes nothing of the kind does not lose it."""
    more = "[[route]]\nprojects = ['team']\nquiet_hours = '12:00-12:40 UTC'\n"
    with quiet_at(tmp_path, "12:20", more) as stage:
        stage.site.poller.tell_day(NOON + timedelta(minutes=21))
        ((route, state),) = [(each.route, each.state) for seen in stage.site.store.seen() for each in seen.deliveries]
        assert (route, state) == ("projects team", "pending")


def test_without_a_time_nothing_is_told(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        stage.site.poller.tell_day(NOON + 20 * HOUR)
        assert stage.site.events == []


def test_a_log_of_several_that_is_not_read_makes_no_quiet_day(tmp_path: Path) -> None:
    """Harbor may be too slow for that of one project, whereas those before it are read at every attempt."""
    world = World(clock=(clock := Clock()).tick)
    for name in ("alpha", "team"):
        world.create_project(name)
    account = Account("robot$poller", "demo-secret", Role.SYSTEM_ROBOT_ALL_PROJECTS)
    with site(tmp_path, world, clock, account, more="[delivery]\nall_quiet = '12:20 UTC'") as here:
        here.poll()
        read_until = here.store.cursors()["audit_log_ext/team"].polled_at
        clock.advance(1800)
        here.store.save_cursor(replace(here.store.cursors()["audit_log_ext/alpha"], polled_at=clock.now))
        day = day_of(here)
        assert (day.is_well, day.read_until) == (False, read_until)


def test_what_is_held_back_on_purpose_does_not_make_the_rest_late(tmp_path: Path) -> None:
    """A digest of the evening waits for hours; what came a second ago is not as old as that."""
    more = "[[route]]\nprojects = ['held']\nquiet_hours = '00:00-23:59 UTC'\n[[route]]\nprojects = ['team']\n"
    with quiet_at(tmp_path, "12:40", more) as stage:
        stage.site.world.create_project("held")
        stage.site.world.push("held/app", "v1", "ann")
        stage.live(2390)
        stage.site.world.push("team/app", "v1", "ann")
        stage.site.clock.advance(20)
        stage.site.poll(after=0)
        day = day_of(stage.site)
        assert (day.waiting, day.is_well) == (0, True)


def day_of(here: Site) -> Day:
    """What would be told now."""
    here.poller.tell_day(here.clock.now)
    (day,) = [event.day for event in here.events if event.day]
    return day
