"""The state keeps its promises on SQLite and on PostgreSQL: nothing half written, nothing twice, nothing lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from poller import reading
from poller.errors import LeaseTaken, PollerError, StateBusy, StateError, StateFull
from poller.events import Change, Event, EventType, Finding, Index, Repository, Scan, Since, Source
from poller.knowledge import Changes, ProjectFact, ReportFact, RepositoryFact, TagFact
from poller.values import replace
from state import (
    POLLER,
    SCANNERS_OWN,
    Counts,
    Coverage,
    Cursor,
    DeliveryRecord,
    DeliveryState,
    Grant,
    Lease,
    Mode,
    NoticedScan,
    Outcome,
    RouteState,
    Store,
    SweepPlace,
    Telling,
    Wave,
    schema,
    statements,
)
from tests.full import no_room
from tests.processes import Other, others

HARBOR, ROUTE = "https://harbor.example.com", "telegram"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
MOSCOW = timezone(timedelta(hours=3))
LOG = "audit_log_ext"
DIGEST = "sha256:" + "50bd" * 16
REPORT = {"report_id": "5e64bc86", "scan_status": "Success", "severity": "High", "summary": {"total": 12}}


@pytest.fixture
def store(state_url: str) -> Iterator[Store]:
    """An empty state."""
    store = Store.open(state_url, HARBOR, ROUTE)
    yield store
    store.close()


def event(number: int = 1, **changes: Any) -> Event:
    """The event of the row with this id, that many seconds after noon."""
    return Event.example(**{"source_id": number, "occurred_at": NOW + number * SECOND} | changes)


def pending(*numbers: int, **changes: Any) -> list[Telling]:
    return [Telling(event(number, **changes), DeliveryState.PENDING) for number in numbers]


def cursor(row_id: int = 7, **changes: Any) -> Cursor:
    facts: dict[str, Any] = {"op_time": NOW, "floor_id": 3, "polled_at": NOW + SECOND, "created_at": NOW - DAY}
    return Cursor(LOG, row_id, **facts | changes)


def due_ids(store: Store) -> list[int]:
    return [item.id for item in store.due(NOW, most=100)]


def due_rows(store: Store) -> list[int]:
    return [item.event.source_id for item in store.due(NOW, most=100)]


def deliveries(store: Store) -> list[DeliveryRecord]:
    return [delivery for seen in store.seen() for delivery in seen.deliveries]


def digest_of(store: Store, tag: str) -> str | None:
    return store.knowledge({"team/app"}, tags={("team/app", tag)}).digest_of("team/app", tag)


# -- recording --------------------------------------------------------------------------------------

FULL = event(
    tag=None,
    subject="robot$ci",
    repository=Repository("team/deep/app", is_public=True, created_at=NOW - DAY),
    scan=Scan({"application/vnd.security.vulnerability.report; version=1.1": REPORT}),
    source=Source.SCAN,
    source_id=0,
)
TOLD_OF = replace(
    FULL,
    scan=Scan(
        {"application/vnd.security.vulnerability.report; version=1.1": REPORT},
        index=Index("sha256:i", "2.0", "linux/arm64"),
        changes=(Change(Since.SCAN, {"High": 1}, {}), Change(Since.IMAGE, {}, {"Low": 2})),
        named=(Finding("CVE-1", "High", "zlib", "1.2", "1.3"),),
        unnamed=3,
        are_new=True,
        unread=1,
    ),
)
BARE = event(2, repository=None, tag=None, digest=None, operator="", registry="harbor.example.com:8443")


@pytest.mark.parametrize("event", [FULL, TOLD_OF, BARE], ids=["full", "told of", "bare"])
def test_an_event_comes_back_as_it_was_recorded(store: Store, event: Event) -> None:
    """Every field survives the database; the registry's host is that of the Harbor."""
    store.save_harbor(event.registry, {}, NOW)
    store.record([Telling(event, DeliveryState.PENDING)], now=NOW)
    assert [seen.event for seen in store.seen()] == [event]
    assert [item.event for item in store.due(NOW, most=9)] == [event]


def test_what_a_later_version_recorded_is_read_as_not_understood(store: Store, state_url: str) -> None:
    """It was put back for this one, which must go on: with the rest, and saying what it does not know."""
    store.record(pending(1, 2), now=NOW)
    engine = sqlalchemy.create_engine(state_url)
    with engine.begin() as connection:
        news = "UPDATE events SET type = 'WEEKLY', subject = '2026-48', coverage = '{\"week\": 48}' WHERE source_id = 1"
        connection.execute(sqlalchemy.text(news))
    engine.dispose()
    found = {due.event.source_id: (due.event.type, due.event.subject) for due in store.due(NOW, most=9)}
    assert found == {1: (EventType.NOT_UNDERSTOOD, "WEEKLY 2026-48"), 2: (EventType.PUSH_ARTIFACT, "")}
    assert len(store.seen()) == 2


def test_recording_again_changes_nothing(store: Store) -> None:
    """Rows are read again all the time: one event and one delivery come of it, and the first decision stands."""
    assert store.record(pending(1, 2, 1), now=NOW) == 2
    again = Telling(event(1), DeliveryState.OFF, "events.PUSH_ARTIFACT = false")
    assert store.record([again], now=NOW + HOUR) == 0
    assert due_rows(store) == [1, 2]
    assert [seen.seen_at for seen in store.seen()] == [NOW, NOW]


def test_the_same_row_of_another_harbor_is_another_event(store: Store, state_url: str) -> None:
    """One database may hold several Harbors, whose rows are numbered alike; neither sees the other's."""
    other = Store.open(state_url, "https://harbor.example.org", "other chat")
    store.record(pending(1), now=NOW, cursor=cursor())
    assert other.record(pending(1), now=NOW) == 1
    assert other.cursors() == {}
    assert [len(each.seen()) for each in (store, other)] == [1, 1]
    assert [len(each.due(NOW, most=9)) for each in (store, other)] == [1, 1]
    other.close()


def test_only_recorded_keys_are_known(store: Store) -> None:
    """A row whose id came again at another time, after a restored database, is not known."""
    store.record(pending(1, 2), now=NOW)
    rewound = event(1, occurred_at=NOW + DAY)
    assert store.known_keys([event(1).key, event(3).key, rewound.key]) == {event(1).key}
    assert store.known_keys([]) == frozenset()


def test_a_key_beyond_all_numbers_and_times_is_nobodys(store: Store) -> None:
    """People type keys; what no database holds is no mistake of the program."""
    last = "9999-12-31T23:59:59.999999+00:00"
    for number, time in ((2**63 - 1, last), (2**63, last[:23] + last[26:]), (-(2**63) - 1, NOW.isoformat())):
        assert store.event(f"{LOG}:{number}:{time}") is None


def test_events_position_coverage_and_knowledge_are_written_together(store: Store) -> None:
    """One call writes everything that a page of the log brought."""
    learnt = Changes(tags=(TagFact("team/app", "1.27", DIGEST, NOW),))
    coverage = Coverage(LOG, NOW, NOW + SECOND, rows=1, new=1)
    scan = NoticedScan("robot$x", "team/app", DIGEST, look_at=NOW)
    store.record(pending(1), now=NOW, cursor=cursor(), coverage=coverage, learnt=learnt, scans=[scan])
    assert store.cursors() == {LOG: cursor()}
    assert store.ledger(since=NOW) == (coverage,)
    assert digest_of(store, "1.27") == DIGEST
    assert store.scans_due(NOW, most=9) == (scan,)


def nothing_is_written(store: Store) -> bool:
    return not (
        store.seen()
        or store.due(NOW, most=9)
        or store.cursors()
        or store.ledger(since=NOW - DAY)
        or digest_of(store, "1.27")
        or store.scans_due(NOW + DAY, most=9)
    )


def test_a_failure_in_the_middle_leaves_nothing_behind(store: Store) -> None:
    """When the last of the writes is refused, none of them has happened, and the next attempt works."""
    learnt = Changes(tags=(TagFact("team/app", "1.27", DIGEST, NOW),))
    scan = NoticedScan("robot$x", "team/app", DIGEST, look_at=NOW)
    wrong = Coverage(LOG, NOW, None)  # type: ignore[arg-type] # what the database refuses
    with pytest.raises(StateError):
        store.record(pending(1, 2), now=NOW, cursor=cursor(), coverage=wrong, learnt=learnt, scans=[scan])
    assert nothing_is_written(store)
    assert store.record(pending(1, 2), now=NOW, cursor=cursor()) == 2


def record_until_killed(url: str, words: Connection) -> None:
    def scans() -> Iterator[NoticedScan]:
        yield NoticedScan("robot$x")
        words.send("in the middle")
        words.recv()

    store = Store.open(url, HARBOR, ROUTE)
    store.record(pending(*range(500)), now=NOW, scans=scans())  # type: ignore[arg-type] # it is only walked through


def test_a_process_killed_in_the_middle_leaves_nothing_behind(store: Store, state_url: str) -> None:
    """SIGKILL between the writes of one page: the state is as before, and the next process can work at once."""
    process = Other(record_until_killed, state_url)
    assert process.hear() == "in the middle"
    process.kill()
    assert nothing_is_written(store)
    assert store.record(pending(1), now=NOW) == 1


def test_recent_rows_are_the_newest_in_the_order_of_ids(store: Store) -> None:
    """They tell which ids are missing: of one table, above the floor, up to the position, the newest so many."""
    store.record(pending(5, 9, 7), now=NOW)
    store.record([*pending(8), *pending(6, source=Source.OLD_LOG)], now=NOW + SECOND)
    assert store.recent_rows(Source.NEW_LOG, above=5, up_to=8, most=9) == ((7, NOW), (8, NOW + SECOND))
    assert store.recent_rows(Source.NEW_LOG, above=0, up_to=99, most=2) == ((8, NOW + SECOND), (9, NOW))


def test_recent_rows_begin_before_the_first_that_is_fresh(store: Store) -> None:
    """What is older says nothing of what may still come late; one of it tells where the known ids end."""
    store.record(pending(3, 5, 9), now=NOW)
    store.record(pending(7), now=NOW + SECOND)
    recent = partial(store.recent_rows, Source.NEW_LOG, above=0, up_to=99, most=9)
    assert recent(fresh_since=NOW + SECOND) == ((5, NOW), (7, NOW + SECOND), (9, NOW))
    assert recent(fresh_since=NOW)[0] == (3, NOW)
    assert recent(fresh_since=NOW + 2 * SECOND) == ()


# -- the outbox -------------------------------------------------------------------------------------


def test_what_is_due_comes_in_the_order_of_recording(store: Store) -> None:
    """Not by id or time of the rows: a late row is told after those that were recorded before it."""
    store.record(pending(3, 1), now=NOW)
    store.record(pending(2), now=NOW)
    assert due_rows(store) == [3, 1, 2]
    assert [item.event.source_id for item in store.due(NOW, most=2)] == [3, 1]


def test_a_single_message_is_sent(store: Store) -> None:
    """What was told is not due any more, and says where it stands in the chat."""
    store.record(pending(1), now=NOW)
    store.told(due_ids(store), chat_id="-100", message_id=41, now=NOW)
    assert store.due(NOW, most=9) == ()
    assert deliveries(store) == [DeliveryRecord(ROUTE, DeliveryState.SENT, "", "-100", 41)]


def test_of_several_in_one_message_all_but_the_first_are_folded(store: Store) -> None:
    """The folded ones say into which message."""
    store.record(pending(1, 2, 3), now=NOW)
    store.told(due_ids(store), chat_id="-100", message_id=41, now=NOW, reason="sent as plain text")
    folded = DeliveryRecord(ROUTE, DeliveryState.FOLDED, "folded into message 41", "-100", 41)
    assert deliveries(store) == [
        DeliveryRecord(ROUTE, DeliveryState.SENT, "sent as plain text", "-100", 41),
        folded,
        folded,
    ]


def test_what_telegram_refuses_is_not_due_any_more(store: Store) -> None:
    """It keeps the reason for `events` to show."""
    store.record(pending(1, 2), now=NOW)
    store.refused(due_ids(store)[:1], "text: too long", NOW)
    assert due_rows(store) == [2]
    assert (deliveries(store)[0].state, deliveries(store)[0].reason) == (DeliveryState.REFUSED, "text: too long")


def test_what_is_off_is_recorded_and_never_due(store: Store) -> None:
    """The reason names the setting."""
    store.record([Telling(event(), DeliveryState.OFF, "events.PUSH_ARTIFACT = false")], now=NOW)
    assert store.due(NOW, most=9) == ()
    (delivery,) = deliveries(store)
    assert (delivery.state, delivery.reason) == (DeliveryState.OFF, "events.PUSH_ARTIFACT = false")


def test_an_attempt_in_vain_keeps_events_due(store: Store) -> None:
    """They stay in their place, with the attempts counted."""
    store.record(pending(1, 2), now=NOW)
    first, _ = due_ids(store)
    for _ in range(2):
        store.attempted([first], "429")
    assert [(item.id == first, item.attempts) for item in store.due(NOW, most=9)] == [(True, 2), (False, 0)]
    assert deliveries(store)[0] == DeliveryRecord(ROUTE, DeliveryState.PENDING, "429", None, None)


def test_the_way_of_telling_can_be_changed(store: Store) -> None:
    """A refused digest is told singly; a backfill's events may be told as messages after all."""
    store.record([replace(each, mode=Mode.DIGEST) for each in pending(1, 2, 3)], now=NOW)
    store.tell_singly(due_ids(store)[:1])
    store.set_mode(Mode.DIGEST, Mode.AUTO)
    assert [item.mode for item in store.due(NOW, most=9)] == [Mode.SINGLE, Mode.AUTO, Mode.AUTO]


def test_it_is_known_when_the_next_is_due(store: Store) -> None:
    """So that nobody has to look every second."""
    assert store.next_due(NOW) is None
    store.record([replace(pending(n)[0], held_until=NOW + n * MINUTE) for n in (2, 1)], now=NOW)
    assert store.next_due(NOW) == NOW + MINUTE
    assert store.next_due(NOW + HOUR) == NOW + HOUR
    store.record(pending(3), now=NOW)
    assert store.next_due(NOW) == NOW


def test_what_a_backfill_found_is_held_back_and_released(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In portions, all of it, and nothing that is told in another way or is told already."""
    monkeypatch.setattr("state.store._HELD_AT_ONCE", 2)
    found = [replace(each, mode=Mode.DIGEST, held_until=NOW + HOUR) for each in pending(1, 2, 3, 4, 5)]
    store.record([*found, *grouped(6), *pending(7)], now=NOW)
    assert due_rows(store) == [7]
    store.hold(Mode.DIGEST, until=NOW + 2 * HOUR)
    assert len(store.due(NOW + HOUR, most=9)) == 2
    store.hold(Mode.DIGEST, until=None)
    assert due_rows(store) == [1, 2, 3, 4, 5, 7]


def test_what_is_told_in_another_way_after_all_is_due(store: Store) -> None:
    """Nobody else can tell it in the old way between the two."""
    store.record([replace(each, mode=Mode.DIGEST, held_until=NOW + HOUR) for each in pending(1)], now=NOW)
    store.set_mode(Mode.DIGEST, Mode.SINGLE)
    assert [item.mode for item in store.due(NOW, most=9)] == [Mode.SINGLE]


def test_waiting_counts_from_when_it_could_have_been_told(store: Store) -> None:
    """By default from the recording on."""
    store.record([*pending(1), replace(pending(2)[0], since=NOW - HOUR)], now=NOW)
    assert [item.since for item in store.due(NOW, most=9)] == [NOW, NOW - HOUR]


def grouped(*numbers: int, group: str = "g", **changes: Any) -> list[Telling]:
    return [replace(each, group=group, held_until=NOW + HOUR, **changes) for each in pending(*numbers)]


def test_what_waits_gets_another_group_on_every_route(store: Store) -> None:
    """With the page that showed where it belongs; what was told stays where it is."""
    both = [replace(each, route=route) for route in (ROUTE, "other") for each in grouped(1, 2, group="own")]
    store.record(both, now=NOW)
    store.told([store.due(NOW + DAY, most=9)[1].id], chat_id="-1", message_id=7, now=NOW)
    keys = [event(1).key, event(2).key]
    store.record(grouped(3, group="family"), now=NOW, regrouped=dict.fromkeys(keys, "family"))
    assert [due.group for due in store.due(NOW + DAY, most=9)] == ["family", "family"]
    assert [due.group for due in store.for_route("other").due(NOW + DAY, most=9)] == ["family", "family"]
    assert [member.event.source_id for member in store.in_group("own")] == [2]


def test_what_waits_of_a_group_is_held_for_longer(store: Store) -> None:
    """Each time that more of it comes; and others are not."""
    later = NOW + timedelta(seconds=30)
    store.record([*grouped(1), *pending(2)], now=NOW, held={"g": later})
    assert [due.event.source_id for due in store.due(NOW, most=9)] == [2]
    store.record(grouped(3), now=NOW, held={"g": later + timedelta(seconds=30)})
    assert [due.event.source_id for due in store.due(later, most=9)] == [2]
    assert len(store.due(later + timedelta(seconds=30), most=9)) == 3


def test_pushes_that_wait_are_found_by_where_they_are(store: Store) -> None:
    """As far as they are recent, and not told yet, nor found by a backfill."""
    digest = replace(pending(3)[0], mode=Mode.DIGEST)
    old = pending(4)[0]
    store.record([old], now=NOW - timedelta(hours=1))
    elsewhere = Telling(event(5, repository=Repository("team/other")), DeliveryState.PENDING)
    store.record([*grouped(1), *pending(2), digest, elsewhere], now=NOW)
    since = NOW - timedelta(minutes=15)
    here = event().repository
    assert here is not None
    waiting = store.waiting_pushes(since=since, repositories=[here.full_name])
    assert [(each.event.source_id, each.group) for each in waiting] == [(1, "g"), (2, None)]
    assert len(store.waiting_pushes(since=since, project=here.namespace)) == 3
    [one] = [due for due in store.due(NOW + DAY, most=9) if due.event.source_id == 1]
    store.told([one.id], chat_id="-1", message_id=7, now=NOW)
    assert [each.event.source_id for each in store.waiting_pushes(since=since, project=here.namespace)] == [2, 5]
    assert store.told_groups(["g", "h"]) == {"g"}


def test_what_another_event_tells_has_the_message_of_that(store: Store) -> None:
    """On the same route, else on any."""
    robot = NoticedScan("robot$team+x", "team/app", started_at=NOW, ended_at=NOW)
    pull = event(1, type=EventType.PULL_ARTIFACT, operator=robot.robot, occurred_at=NOW)
    own = [Telling(pull, DeliveryState.FOLDED, SCANNERS_OWN, route=route) for route in (ROUTE, "other")]
    store.record(own, now=NOW, scans=[robot])
    assert {each.message_id for each in store.seen()[0].deliveries} == {None}
    store.finish_look(robot, pending(2), NOW)
    store.told([store.due(NOW, most=1)[0].id], chat_id="-1", message_id=7, now=NOW)
    folded = next(seen for seen in store.seen() if seen.event.type is EventType.PULL_ARTIFACT)
    assert {each.route for each in folded.deliveries} == {ROUTE, "other"}
    assert {(each.state, each.message_id) for each in folded.deliveries} == {(DeliveryState.FOLDED, 7)}


def test_what_waits_for_its_group_is_not_due(store: Store) -> None:
    """Until the time that was set, or another that is set later."""
    store.record([*grouped(1, 2), *pending(3)], now=NOW)
    assert due_rows(store) == [3]
    assert store.held(NOW) == 2
    assert len(store.due(NOW + HOUR, most=9)) == 3
    robot = NoticedScan("r")
    store.finish_look(robot, grouped(4), NOW, hold_until=NOW)
    assert [item.group for item in store.due(NOW, most=9)] == ["g", "g", None, "g"]


def test_a_group_is_told_as_one(store: Store) -> None:
    """Its first event is sent, the others are folded; what is off or told for itself stays as it is."""
    off = [replace(each, state=DeliveryState.OFF, reason="scans.sbom = false") for each in grouped(3)]
    store.record([*grouped(1, 2, 4), *off], now=NOW)
    store.complete_scan(event(4), mode=Mode.SINGLE)
    members = list(store.in_group("g"))
    assert [(each.event.source_id, each.waits) for each in members] == [(1, True), (2, True), (4, False), (3, False)]
    waiting = list(store.in_group("g", is_waiting=True))
    assert [each.event.source_id for each in waiting] == [1, 2]
    store.told([each.id for each in waiting], chat_id="-100", message_id=41, now=NOW)
    states = {seen.event.source_id: seen.deliveries[0].state for seen in store.seen()}
    assert states == {
        1: DeliveryState.SENT,
        2: DeliveryState.FOLDED,
        3: DeliveryState.OFF,
        4: DeliveryState.PENDING,
    }
    assert due_rows(store) == [4]


@pytest.mark.parametrize("as_one", [True, False])
def test_the_end_of_a_wave_makes_it_due(store: Store, as_one: bool) -> None:
    """As one message, or each for itself; after that there is no wave."""
    wave = Wave("g", NOW, NOW, members=2)
    store.record(grouped(1, 2), now=NOW, wave=wave)
    assert store.wave() == wave
    store.end_wave(wave, as_one=as_one)
    assert store.wave() is None
    assert [item.group for item in store.due(NOW, most=9)] == (["g", "g"] if as_one else [None, None])


def test_a_group_that_telegram_refuses_is_told_otherwise(store: Store) -> None:
    store.record(grouped(1, 2), now=NOW)
    store.loosen("g")
    assert [item.group for item in store.due(NOW, most=9)] == [None, None]


def test_each_route_has_its_own_deliveries(store: Store, state_url: str) -> None:
    """What is recorded for one chat is not due for another."""
    other = Store.open(state_url, HARBOR, "ops")
    store.record(pending(1), now=NOW)
    assert other.due(NOW, most=9) == ()
    assert other.counts().pending == 0
    other.close()


def test_counts_of_every_state(store: Store) -> None:
    """Each event is counted once, in its state; the longest waiting one gives its time."""
    assert store.counts() == Counts(0, None, 0, 0, 0, 0)
    store.record([*pending(1, 2, 3, 4), replace(pending(5)[0], since=NOW - HOUR)], now=NOW)
    store.record([Telling(event(6), DeliveryState.OFF, "off")], now=NOW)
    ids = due_ids(store)
    store.told(ids[:2], chat_id="-100", message_id=1, now=NOW)
    store.refused(ids[2:3], "no", NOW)
    assert store.counts() == Counts(pending=2, oldest_pending=NOW - HOUR, sent=1, folded=1, refused=1, off=1)


def test_the_pace_counts_messages_not_events(store: Store) -> None:
    """A digest is one message; other chats, refusals and the distant past do not count."""
    store.record(pending(*range(1, 8)), now=NOW)
    ids = due_ids(store)
    store.told(ids[0:3], chat_id="-100", message_id=2, now=NOW + SECOND)
    store.told(ids[3:4], chat_id="-100", message_id=1, now=NOW)
    store.told(ids[4:5], chat_id="-100", message_id=0, now=NOW - MINUTE)
    store.told(ids[5:6], chat_id="-200", message_id=3, now=NOW)
    store.refused(ids[6:7], "no", NOW)
    assert store.accepted_times("-100", since=NOW) == (NOW, NOW + SECOND)


def test_many_events_finish_at_once(store: Store) -> None:
    """A digest after a long downtime holds more than fit into one statement."""
    store.record(pending(*range(1, 702)), now=NOW)
    ids = [item.id for item in store.due(NOW, most=5000)]
    store.attempted(ids, "network")
    store.told(ids, chat_id="-100", message_id=1, now=NOW)
    assert (store.counts().sent, store.counts().folded, store.counts().pending) == (1, 700, 0)


# -- what is remembered of the chat -----------------------------------------------------------------


def test_the_chat_is_remembered(store: Store) -> None:
    """Where it moved to, whether its topic is gone, and until when it is left alone."""
    nothing = store.route("-100", 7)
    assert nothing == RouteState(ROUTE, "-100", 7)
    learnt = replace(nothing, moved_to=-1001234567890, topic_lost=True, blocked_until=NOW, reason="429", failures=2)
    store.save_route(learnt)
    store.save_route(replace(learnt, needs_operator=True))
    assert store.route("-100", 7) == replace(learnt, needs_operator=True)


@pytest.mark.parametrize(("chat_id", "thread_id"), [("-200", 7), ("-100", 8), ("-100", None)])
def test_another_chat_or_topic_starts_afresh(store: Store, chat_id: str, thread_id: int | None) -> None:
    """Who corrects conf.toml is not punished for the old chat's refusals."""
    store.save_route(RouteState(ROUTE, "-100", 7, moved_to=-1001, topic_lost=True, blocked_until=NOW, failures=9))
    assert store.route(chat_id, thread_id) == RouteState(ROUTE, chat_id, thread_id)


# -- positions and the ledger -----------------------------------------------------------------------


def test_each_log_has_one_position(store: Store) -> None:
    """Saving replaces; times come back to the microsecond."""
    store.save_cursor(cursor(7))
    store.save_cursor(cursor(9, op_time=NOW + timedelta(microseconds=1)))
    store.save_cursor(replace(cursor(2, op_time=None), log="audit_log/team"))
    assert store.cursors() == {
        LOG: cursor(9, op_time=NOW + timedelta(microseconds=1)),
        "audit_log/team": replace(cursor(2, op_time=None), log="audit_log/team"),
    }


def test_idle_polls_make_one_line_longer(store: Store) -> None:
    """A day of polling every five seconds in a silent night must not fill the ledger."""
    for number in range(5):
        store.cover(Coverage(LOG, NOW + number * SECOND, NOW + (number + 1) * SECOND, rows=2))
    assert store.ledger(since=NOW) == (Coverage(LOG, NOW, NOW + 5 * SECOND, rows=10, polls=5),)


QUIET = Coverage(LOG, NOW + SECOND, NOW + 2 * SECOND)


@pytest.mark.parametrize(
    "following",
    [
        replace(QUIET, new=1, covered_to=NOW + HOUR),
        replace(QUIET, error="HarborUnreachable: no connection"),
        replace(QUIET, covered_from=NOW + timedelta(seconds=1.5)),
        replace(QUIET, log="audit_log"),
    ],
    ids=["news after a pause", "an error", "a gap", "another log"],
)
def test_what_is_no_idle_poll_gets_its_own_line(store: Store, following: Coverage) -> None:
    """News after a pause, errors and gaps stay visible, and so does what comes after them."""
    first = Coverage(LOG, NOW, NOW + SECOND)
    store.cover(first)
    store.cover(following)
    assert store.ledger(since=NOW) == (first, following)


def test_a_line_that_somebody_else_made_longer_is_read_anew(store: Store, state_url: str) -> None:
    """What this process remembers of the last line holds only as long as that is as it left it."""
    polls = [Coverage(LOG, NOW + n * SECOND, NOW + (n + 1) * SECOND) for n in range(4)]
    other = Store.open(state_url, HARBOR, ROUTE)
    store.cover(polls[0])
    store.cover(polls[1])
    other.cover(polls[2])
    other.close()
    store.cover(polls[3])
    (line,) = store.ledger(since=NOW)
    assert (line.covered_to, line.polls) == (NOW + 4 * SECOND, 4)


def test_a_window_stays_covered_when_its_line_grows(store: Store) -> None:
    """An interrupted backfill goes on from where it was, so every hour that it has read is known one by one."""
    hours = [(NOW + number * HOUR, NOW + (number + 1) * HOUR) for number in range(4)]
    for start, end in hours[:3]:
        store.cover(Coverage("backfill:audit_log:", start, end))
    assert [store.is_covered("backfill:audit_log:", *hour) for hour in hours] == [True, True, True, False]
    assert not store.is_covered("backfill:audit_log:team", *hours[0])


def test_a_window_that_failed_is_not_covered(store: Store) -> None:
    """Nor is one that was read in part."""
    store.cover(Coverage("backfill:x", NOW, NOW + HOUR, error="HarborBusy: 503"))
    store.cover(Coverage("backfill:x", NOW + HOUR, NOW + HOUR + MINUTE))
    assert not store.is_covered("backfill:x", NOW, NOW + HOUR)
    assert not store.is_covered("backfill:x", NOW + HOUR, NOW + 2 * HOUR)


def test_a_backfill_over_many_projects_is_noted(store: Store) -> None:
    """The ledger's name for it holds all their names."""
    log = "backfill:audit_log_ext:" + " ".join(f"a-project-with-a-long-name-{number}" for number in range(40))
    store.cover(Coverage(log, NOW, NOW + HOUR))
    assert store.is_covered(log, NOW, NOW + HOUR)


# -- what is known of the registry ------------------------------------------------------------------

TAG = TagFact("team/app", "1.27", DIGEST, NOW)


def learn(store: Store, *facts: TagFact | RepositoryFact | ProjectFact) -> None:
    tags = tuple(fact for fact in facts if isinstance(fact, TagFact))
    repositories = tuple(fact for fact in facts if isinstance(fact, RepositoryFact))
    projects = tuple(fact for fact in facts if isinstance(fact, ProjectFact))
    store.record([], now=NOW, learnt=Changes(tags, repositories, projects))


def test_knowledge_comes_back(store: Store) -> None:
    """Of the repositories, their projects and the tags that are asked for, and of no others."""
    repository, project = RepositoryFact("team/app", NOW - DAY), ProjectFact("team", True, NOW)
    other = TagFact("team/app", "other", "sha256:other", NOW)
    learn(store, TAG, repository, project, other, replace(TAG, repository="team/app2"), ProjectFact("x", False, NOW))
    knowledge = store.knowledge({"team/app"}, tags={("team/app", "1.27")})
    assert list(knowledge.tags.values()) == [TAG]
    assert list(knowledge.repositories.values()) == [repository]
    assert list(knowledge.projects.values()) == [project]
    assert knowledge.take_changes() == Changes()
    assert store.knowledge(set()).projects == {}


def test_the_tags_of_a_deleted_digest_are_known(store: Store) -> None:
    """A deletion names the digest only; all its tags come back, so that the one pushed last can be told."""
    newer = replace(TAG, tag="latest", at=NOW + SECOND)
    learn(store, newer, TAG, replace(TAG, tag="other", digest="sha256:other"))
    knowledge = store.knowledge({"team/app"}, digests={("team/app", DIGEST)})
    assert {tag for _, tag in knowledge.tags} == {"1.27", "latest"}
    assert knowledge.newest_tag_of("team/app", DIGEST) == "latest"


def test_many_tags_are_learnt_and_asked_for_at_once(store: Store) -> None:
    """A scan of a repository with very many tags teaches them all."""
    facts = [replace(TAG, tag=f"v{number}") for number in range(700)]
    learn(store, *facts)
    assert len(store.knowledge({"team/app"}, tags={(fact.repository, fact.tag) for fact in facts}).tags) == 700


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["old first", "new first"])
def test_of_two_facts_about_a_tag_the_newer_wins(store: Store, order: tuple[int, int]) -> None:
    """Rows may come late, and a look-up may tell of before."""
    facts = (replace(TAG, digest="sha256:old", at=NOW - SECOND), TAG)
    for index in order:
        learn(store, facts[index])
    assert digest_of(store, "1.27") == DIGEST


def test_of_two_facts_of_the_same_moment_the_later_told_wins(store: Store) -> None:
    """A pull corrects where a tag points without knowing since when."""
    learn(store, TAG)
    learn(store, replace(TAG, digest=None))
    assert digest_of(store, "1.27") is None


def deletion(number: int = 1, **changes: Any) -> Telling:
    facts = {"type": EventType.DELETE_ARTIFACT, "repository": Repository("team/app", False, NOW - DAY)}
    return Telling(event(number, **facts | changes), DeliveryState.PENDING)


def creation_dates(store: Store) -> list[datetime | None]:
    return [seen.event.repository.created_at for seen in store.seen() if seen.event.repository]


def test_a_deletion_before_that_of_its_repository_forgets_the_creation_date(store: Store) -> None:
    """Harbor's webhook of an artifact that goes with its repository has no date, and rows come in any order."""
    store.record([deletion()], now=NOW)
    store.record([], now=NOW, learnt=Changes(repositories=(RepositoryFact("team/app", None, NOW + SECOND),)))
    assert creation_dates(store) == [None]


def test_a_deletion_after_that_of_its_repository_finds_no_creation_date(store: Store) -> None:
    """What is remembered of the repository says that it was deleted in that moment."""
    learn(store, RepositoryFact("team/app", NOW - DAY))
    learn(store, RepositoryFact("team/app", None, NOW))
    knowledge = store.knowledge({"team/app"})
    assert knowledge.created_at("team/app") is None
    assert knowledge.was_deleted_with_its_repository("team/app", NOW + SECOND)


def test_a_deletion_in_the_same_page_forgets_the_creation_date(store: Store) -> None:
    """Both rows may be read in one page, and are written in one transaction."""
    gone = Changes(repositories=(RepositoryFact("team/app", None, NOW + SECOND),))
    store.record([deletion(1), deletion(2)], now=NOW, learnt=gone)
    assert creation_dates(store) == [None, None]


@pytest.mark.parametrize(
    "other",
    [
        {"occurred_at": NOW - MINUTE},
        {"repository": Repository("team/app2", False, NOW - DAY)},
        {"type": EventType.PUSH_ARTIFACT},
    ],
    ids=["earlier", "of another repository", "no deletion"],
)
def test_other_events_keep_the_creation_date(store: Store, other: dict[str, Any]) -> None:
    """An image deleted before its repository has the date in its webhook."""
    store.record([deletion(**other)], now=NOW)
    learn(store, RepositoryFact("team/app", None, NOW))
    assert creation_dates(store) == [NOW - DAY]


def test_what_was_detected_of_harbor_is_remembered(store: Store) -> None:
    """The registry's host goes into every event."""
    assert store.harbor() == ("", None, None)
    store.save_harbor("harbor.example.com", {"kind": "system", "projects": []}, NOW)
    assert store.harbor() == ("harbor.example.com", {"kind": "system", "projects": []}, NOW)
    store.record(pending(1), now=NOW)
    assert store.seen()[0].event.registry == "harbor.example.com"


# -- scans ------------------------------------------------------------------------------------------

STARTED = NoticedScan("robot$x", "team/app", DIGEST, started_at=NOW, look_at=NOW + 30 * MINUTE)
ASKED = NoticedScan("robot$x", asked_by="ann", look_at=NOW)
AGAIN = replace(STARTED, started_at=NOW + 30 * SECOND)
ENDED = NoticedScan("robot$x", ended_at=NOW + MINUTE, look_at=NOW + MINUTE)
WHOLE = replace(STARTED, ended_at=NOW + MINUTE, asked_by="ann", look_at=NOW + MINUTE)


@pytest.mark.parametrize(
    "rows",
    [
        (ASKED, STARTED, ENDED),
        (ENDED, STARTED, ASKED),
        (STARTED, ENDED, ASKED),
        (ENDED, ASKED, STARTED),
        (ASKED, STARTED, AGAIN, ENDED),
        (AGAIN, STARTED, ENDED, ASKED),
    ],
)
def test_a_scan_is_put_together_from_its_rows_in_any_order(store: Store, rows: tuple[NoticedScan, ...]) -> None:
    """Who asked, what is scanned and when it ended stand in different rows; of several pulls the first counts."""
    for scan in rows:
        store.record([], now=NOW, scans=[scan])
    assert store.scans_due(NOW + HOUR, most=9) == (WHOLE,)


def test_one_question_tells_whether_there_is_anything_to_do_about_scans(store: Store) -> None:
    """A result that is due, an end that nothing explains, or a wave."""
    assert not store.has_scans(NOW, ended_since=NOW - HOUR)
    store.record([], now=NOW, scans=[replace(STARTED, look_at=NOW + MINUTE)])
    assert not store.has_scans(NOW, ended_since=NOW - HOUR)
    assert store.has_scans(NOW + MINUTE, ended_since=NOW - HOUR)
    store.record([], now=NOW, scans=[replace(ENDED, robot="robot$z", ended_at=NOW)])
    assert store.has_scans(NOW, ended_since=NOW - HOUR)
    assert not store.has_scans(NOW, ended_since=NOW + SECOND)
    store.save_wave(Wave("wave:1", NOW, NOW))
    assert store.has_scans(NOW, ended_since=NOW + SECOND)


def test_scans_are_looked_at_when_it_is_time(store: Store) -> None:
    """Those that have waited longest first; not those of which the artifact is not known yet."""
    early, late = replace(STARTED, look_at=NOW), replace(STARTED, robot="robot$y", look_at=NOW + SECOND)
    store.record([], now=NOW, scans=[late, early, replace(ENDED, robot="robot$z")])
    assert store.scans_due(NOW, most=9) == (early,)
    assert store.scans_due(NOW + HOUR, most=9) == (early, late)
    assert store.scans_due(NOW + HOUR, most=1) == (early,)


def test_a_scanners_robot_may_have_a_long_name(store: Store) -> None:
    """A project's name has up to 255 letters, and a scanner's is free text."""
    scan = replace(STARTED, robot="robot$" + "p" * 255 + "+" + "s" * 255)
    store.record([], now=NOW, scans=[scan])
    assert store.rivals(DIGEST) == (scan,)


def test_how_long_scans_lately_took(store: Store) -> None:
    """From the first pull to the end; of those whose result was read."""
    store.record([], now=NOW, scans=[WHOLE, replace(STARTED, robot="robot$y")])
    assert store.scan_durations(most=9) == ()
    store.finish_look(replace(WHOLE, outcome=Outcome.TOLD), (), NOW)
    assert store.scan_durations(most=9) == (("team/app", MINUTE),)


def test_a_scan_that_is_done_with_stays_so(store: Store) -> None:
    """Its rows are read again, like all recent ones; its result is told once."""
    result = Telling(FULL, DeliveryState.PENDING)
    store.record([], now=NOW, scans=[STARTED])
    told = replace(STARTED, outcome=Outcome.TOLD, looks=1)
    assert [store.finish_look(told, [result], NOW) for _ in range(2)] == [1, 0]
    store.record([], now=NOW, scans=[STARTED, ENDED])
    assert store.scans_due(NOW + DAY, most=9) == ()


def test_who_pushed_an_artifact_last(store: Store) -> None:
    """A scan on push was asked for by the push just before it."""
    store.record([*pending(1), *pending(2, operator="bob"), *pending(9, operator="carol")], now=NOW)
    assert store.pusher_of("team/app", [DIGEST], since=NOW, until=NOW + 5 * SECOND) == "bob"
    assert store.pusher_of("team/app", ["sha256:other"], since=NOW, until=NOW + DAY) is None


# -- looking back -----------------------------------------------------------------------------------


def test_events_are_shown_newest_last(store: Store) -> None:
    """By the time at which they happened; a limit leaves the newest."""
    store.record(pending(3, 1, 2), now=NOW)
    assert [seen.event.source_id for seen in store.seen()] == [1, 2, 3]
    assert [seen.event.source_id for seen in store.seen(limit=2)] == [2, 3]


def test_events_can_be_chosen(store: Store) -> None:
    """By time, type and repository, and by all of them."""
    store.record([*pending(1, 2), deletion(3), *pending(4, repository=Repository("team/other"))], now=NOW)

    def shown(**choice: Any) -> list[int]:
        return [seen.event.source_id for seen in store.seen(**choice)]

    assert shown(since=NOW + 2 * SECOND) == [2, 3, 4]
    assert shown(types={EventType.DELETE_ARTIFACT}) == [3]
    assert shown(types={EventType.DELETE_ARTIFACT, EventType.PUSH_ARTIFACT}) == [1, 2, 3, 4]
    assert shown(repository="team/app") == [1, 2, 3]
    assert shown(repository="team/app", types={EventType.PUSH_ARTIFACT}, limit=1) == [2]
    assert shown(repository="team/ap") == []


def test_times_come_back_as_utc(store: Store) -> None:
    """Whatever zone they were given in; and they are compared as moments, not as text."""
    local = NOW.astimezone(MOSCOW)
    store.record(pending(1, occurred_at=local), now=local, cursor=cursor(op_time=local))
    (seen,) = store.seen(since=local)
    times = [seen.seen_at, seen.event.occurred_at, store.cursors()[LOG].op_time, store.due(NOW, most=1)[0].since]
    assert times == [NOW] * 4
    assert all(time is not None and time.tzinfo is UTC for time in times)
    assert store.seen(since=local + SECOND) == ()


# -- one poller at a time ---------------------------------------------------------------------------

KEEP = timedelta(seconds=20)
ANN, BOB = Grant(POLLER, "ann", 1), Grant(POLLER, "bob", 2)


def take(store: Store, owner: str, now: datetime = NOW, *, instead_of: Lease | None = None) -> Grant | Lease:
    return store.take_lease(POLLER, owner, now, KEEP, instead_of=instead_of)


def test_the_lease_goes_to_who_asks_first(store: Store) -> None:
    """The second one learns who has it and since when."""
    assert store.lease() is None
    assert take(store, "ann") == ANN
    holder = Lease("ann", NOW, NOW + KEEP, epoch=1, beats=0)
    assert take(store, "bob", NOW + SECOND) == holder == store.lease()


def test_a_beat_shows_that_the_holder_lives(store: Store) -> None:
    """It moves the end, and keeps since when the lease is held."""
    take(store, "ann")
    store.beat(ANN, NOW + 5 * SECOND, KEEP)
    assert store.lease() == Lease("ann", NOW, NOW + 5 * SECOND + KEEP, epoch=1, beats=1)


def test_the_date_in_a_lease_gives_it_to_nobody(store: Store) -> None:
    """It is of another machine's clock, perhaps."""
    take(store, "ann")
    assert isinstance(take(store, "bob", NOW + 1000 * KEEP), Lease)


def test_a_released_lease_is_free(store: Store) -> None:
    """Only its holder can release it; the next one has an epoch of its own."""
    take(store, "ann")
    store.release_lease(BOB)
    assert store.lease() is not None
    store.release_lease(ANN)
    assert store.lease() is None
    assert take(store, "bob") == BOB


def test_a_silent_holder_is_replaced_as_it_was_seen(store: Store) -> None:
    """Who gave a sign of life since, or was replaced already, is left alone."""
    take(store, "ann")
    silent = store.lease()
    store.beat(ANN, NOW, KEEP)
    alive = store.lease()
    assert take(store, "bob", instead_of=silent) == alive
    assert take(store, "bob", instead_of=alive) == BOB
    assert take(store, "carol", instead_of=alive) == Lease("bob", NOW, NOW + KEEP, epoch=2)


def test_who_lost_the_lease_writes_nothing(store: Store) -> None:
    """Not even half a transaction, and no beat; who has it now can write, and so can who works under no lease."""
    take(store, "ann")
    ann = store.under(ANN)
    assert ann.record(pending(1), now=NOW) == 1
    bob = take(store, "bob", instead_of=store.lease())
    assert isinstance(bob, Grant)
    for write in (
        lambda: ann.record(pending(2), now=NOW, cursor=cursor()),
        lambda: ann.claim("-100", NOW),
        lambda: ann.told(due_ids(store), chat_id="-100", message_id=1, now=NOW),
        lambda: ann.move_appointments(MINUTE, paced_since=NOW),
        lambda: ann.beat(ANN, NOW, KEEP),
    ):
        with pytest.raises(LeaseTaken, match="taken over"):
            write()
    assert (len(store.seen()), store.cursors(), store.counts().pending) == (1, {}, 1)
    assert store.attempt_times("-100", since=NOW) == ()
    assert store.under(bob).record(pending(2), now=NOW) == 1
    assert store.record(pending(3), now=NOW) == 1


def test_a_lease_is_held_anew_by_the_same_process(store: Store) -> None:
    """What it began under the old one is over."""
    take(store, "ann")
    assert take(store, "ann") == Grant(POLLER, "ann", 2)
    with pytest.raises(LeaseTaken):
        store.under(ANN).save_cursor(cursor())


def test_two_kinds_of_work_have_two_leases(store: Store) -> None:
    """A past period is read beside the poller."""
    take(store, "ann")
    grant = store.take_lease("backfill", "bob", NOW, KEEP)
    assert isinstance(grant, Grant)
    assert store.under(grant).record(pending(1), now=NOW) == 1
    assert store.under(ANN).record(pending(2), now=NOW) == 1


def test_a_takeover_waits_for_what_is_being_written(store: Store, state_url: str) -> None:
    """What was begun under a lease is written under it; a beat passes meanwhile, where the database can do that."""
    other = Store.open(state_url, HARBOR, ROUTE)
    take(store, "ann")
    seen = store.lease()
    with ThreadPoolExecutor(2) as pool:
        with store.under(ANN)._writing() as connection:
            taken = pool.submit(take, other, "bob", instead_of=seen)
            with pytest.raises(FutureTimeout):
                taken.result(0.5)
            values = {"harbor_id": store._harbor_id, "log": "written", "row_id": 1, "floor_id": 0}
            connection.execute(schema.cursors.insert().values(polled_at=NOW, created_at=NOW, **values))
        assert taken.result(5) == BOB
    assert "written" in store.cursors()
    other.close()


def test_a_beat_does_not_wait_for_a_long_transaction_on_a_server(postgres_url: str) -> None:
    """Or whoever records a large backlog would seem to be silent."""
    store = Store.open(postgres_url, HARBOR, ROUTE)
    take(store, "ann")
    with store.under(ANN)._writing(), ThreadPoolExecutor(1) as pool:
        pool.submit(store.beat, ANN, NOW, KEEP).result(5)
    store.close()


def test_who_was_halted_while_writing_does_not_hold_up_a_takeover(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a transaction that stands still; nothing of it is written, and whoever wakes up tries again."""
    monkeypatch.setattr("state.database.BUSY_SECONDS", 1)
    store, other = (Store.open(postgres_url, HARBOR, ROUTE) for _ in range(2))
    take(store, "ann")
    seen = store.lease()

    def halt_and_go_on() -> None:
        with ThreadPoolExecutor(1) as pool, store.under(ANN)._writing() as connection:
            assert pool.submit(take, other, "bob", instead_of=seen).result(10) == BOB
            connection.execute(schema.leases.update().values(owner="ann"))

    with pytest.raises(StateBusy):
        halt_and_go_on()
    assert store.lease() == other.lease() == Lease("bob", NOW, NOW + KEEP, epoch=2)
    store.close()
    other.close()


def test_what_is_written_waits_for_a_takeover(postgres_url: str) -> None:
    """And is refused, though it was begun before the takeover ended."""
    store = Store.open(postgres_url, HARBOR, ROUTE)
    take(store, "ann")
    with ThreadPoolExecutor(1) as pool:
        with store._writing() as connection:
            connection.execute(sqlalchemy.select(schema.leases).with_for_update())
            written = pool.submit(store.under(ANN).save_cursor, cursor())
            with pytest.raises(FutureTimeout):
                written.result(0.5)
            connection.execute(schema.leases.update().values(owner="bob", epoch=2))
        with pytest.raises(LeaseTaken):
            written.result(5)
    store.close()


def test_a_lease_is_of_the_database_not_of_the_harbor(store: Store, state_url: str) -> None:
    """Pollers of two Harbors that share a database take turns too."""
    other = Store.open(state_url, "https://harbor.example.org", "other chat")
    take(store, "ann", NOW.astimezone(MOSCOW))
    holder = take(other, "bob", NOW.astimezone(MOSCOW))
    other.close()
    assert holder == Lease("ann", NOW, NOW + KEEP)


# -- messages that go -------------------------------------------------------------------------------


def test_an_attempt_counts_until_it_is_known_what_came_of_it(store: Store) -> None:
    """Also for the next process."""
    store.record(pending(1, 2, 3), now=NOW)
    ids = due_ids(store)
    told, refused, held, lost = (store.claim("-100", NOW + n * SECOND) for n in range(4))
    assert len(store.attempt_times("-100", since=NOW)) == 4
    assert store.attempt_times("-200", since=NOW) == ()
    store.told(ids[:1], chat_id="-100", message_id=1, now=NOW, attempt=told)
    store.refused(ids[1:2], "too long", NOW, attempt=refused)
    store.attempted(ids[2:], "429", attempt=held)
    store.attempted(ids[2:], "lost", attempt=lost, maybe_at=NOW + 40 * SECOND)
    assert store.attempt_times("-100", since=NOW) == (NOW + 40 * SECOND,)


def test_old_attempts_are_forgotten(store: Store) -> None:
    """They count for two minutes."""
    store.claim("-100", NOW)
    store.claim("-100", NOW + timedelta(minutes=11))
    assert store.attempt_times("-100", since=NOW) == (NOW + timedelta(minutes=11),)


# -- when the clock was set -------------------------------------------------------------------------


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1)])
def test_the_pace_of_a_chat_does_not_change_with_the_clock(store: Store, by: timedelta) -> None:
    """What went in the last minutes went in the last minutes, by whatever clock."""
    store.record(pending(1, 2), now=NOW)
    old, new = due_ids(store)
    store.told([old], chat_id="-100", message_id=1, now=NOW - HOUR)
    store.told([new], chat_id="-100", message_id=2, now=NOW)
    store.claim("-100", NOW + SECOND)
    store.move_appointments(by, paced_since=NOW - MINUTE)
    assert store.attempt_times("-100", since=NOW - DAY) == (NOW + by, NOW + SECOND + by)


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1, seconds=-0.25)])
def test_appointments_move_with_the_clock(store: Store, by: timedelta) -> None:
    """What waits goes on to wait for as long as it would have; what is past stays as it was."""
    held = replace(pending(1)[0], group="g", held_until=NOW + MINUTE)
    store.record([held, *pending(2)], now=NOW, scans=[STARTED])
    route = RouteState(ROUTE, "-100", None, blocked_until=NOW + MINUTE)
    store.save_route(route)
    (scan,) = store.scans_due(NOW + DAY, most=9)
    assert scan.look_at is not None
    store.move_appointments(by, paced_since=NOW)
    assert store.held(NOW + MINUTE + by - SECOND) == 1
    assert store.held(NOW + MINUTE + by) == 0
    assert store.route("-100", None) == replace(route, blocked_until=NOW + MINUTE + by)
    assert store.scans_due(NOW + 2 * DAY, most=9) == (replace(scan, look_at=scan.look_at + by),)
    assert len(store.due(NOW, most=9)) == (2 if by < -MINUTE else 1)


# -- retention --------------------------------------------------------------------------------------

OLD = NOW - 100 * DAY
FAR = 10_000_000  # a position that makes all rows of these tests passed ones


def prune_all(store: Store) -> int:
    return store.prune(before=NOW + DAY)


def test_old_events_that_are_told_are_pruned(store: Store) -> None:
    """With their deliveries; young ones stay."""
    store.record([Telling(event(1, occurred_at=OLD), DeliveryState.OFF)], now=OLD, cursor=cursor(FAR))
    store.record([Telling(event(2), DeliveryState.OFF)], now=NOW)
    assert store.prune(before=NOW - 90 * DAY) == 1
    assert [seen.event.source_id for seen in store.seen()] == [2]
    assert store.counts().off == 1


def test_what_is_pending_is_never_pruned(store: Store) -> None:
    """However old: the chat may have been unreachable all the time. Once told, it may go."""
    store.record(pending(1, 2), now=OLD, cursor=cursor(FAR))
    store.told(due_ids(store)[:1], chat_id="-100", message_id=1, now=NOW)
    assert prune_all(store) == 1
    assert due_rows(store) == [2]


def test_what_may_be_read_again_is_never_pruned(store: Store) -> None:
    """In a registry where little happens the log's last rows are old; read again, they would be told again."""
    position = 10_000
    near = [position, position - reading.MOST_GAP, position - reading.MOST_GAP - reading.OVERLAP_ROWS]
    tellings = [Telling(event(number, occurred_at=OLD), DeliveryState.OFF) for number in (*near, 1)]
    store.record(tellings, now=OLD, cursor=cursor(position))
    assert prune_all(store) == 1
    assert {seen.event.source_id for seen in store.seen()} == set(near)


def test_a_table_without_a_position_is_never_pruned(store: Store) -> None:
    """Nobody knows how far it will be read again."""
    store.record([Telling(event(1, source=Source.OLD_LOG), DeliveryState.OFF)], now=OLD)
    assert prune_all(store) == 0
    store.save_cursor(cursor(FAR))
    assert prune_all(store) == 0


def test_a_silent_project_does_not_keep_everything(store: Store) -> None:
    """Ids count up over all projects. Of a project where nothing happens only the last row is read again."""
    for log, row_id in (("audit_log_ext/busy", FAR), ("audit_log_ext/silent", 4000)):
        store.save_cursor(replace(cursor(row_id), log=log))
    store.record([Telling(event(number), DeliveryState.OFF) for number in (1, 4000, 4001)], now=OLD)
    assert prune_all(store) == 2
    assert [seen.event.source_id for seen in store.seen()] == [4000]


def test_the_results_of_scans_are_pruned_but_not_forgotten(store: Store) -> None:
    """An artifact's report can be met again for ever; which one it was is all that must be known then."""
    assert FULL.digest
    fact = ReportFact(FULL.digest, "Trivy", "r1", OLD, OLD, {"High": 1})
    store.record([Telling(FULL, DeliveryState.OFF)], now=OLD, cursor=cursor(FAR), learnt=Changes(reports=(fact,)))
    assert prune_all(store) == 1
    assert store.reports([FULL.digest]) == {(FULL.digest, "Trivy"): fact}


@pytest.mark.parametrize(("round_before", "left"), [(None, 1), (OLD, 1), (NOW, 0)])
def test_reports_are_forgotten_when_a_round_has_not_met_them(
    store: Store, round_before: datetime | None, left: int
) -> None:
    """By then the artifact is gone from Harbor. Age alone says nothing."""
    fact = ReportFact("sha256:a", "Trivy", "r1", OLD, OLD, {})
    place = SweepPlace(OLD, OLD, OLD, OLD, OLD, round_before_at=round_before)
    store.record((), now=OLD, cursor=cursor(FAR), learnt=Changes(reports=(fact,)), place=place)
    prune_all(store)
    assert len(store.reports(["sha256:a"])) == left


def test_what_was_recorded_lately_is_not_pruned(store: Store) -> None:
    """A backfill over last year is not undone by the next night."""
    store.record([Telling(event(1, occurred_at=OLD), DeliveryState.OFF)], now=NOW, cursor=cursor(FAR))
    assert store.prune(before=NOW - 90 * DAY) == 0


def test_pruning_keeps_up_with_a_busy_registry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that may go goes, however much it is, in portions."""
    monkeypatch.setattr("state.retention.PORTION", 10)
    tellings = [Telling(event(number), DeliveryState.OFF) for number in range(1, 32)]
    store.record(tellings, now=OLD, cursor=cursor(FAR))
    assert prune_all(store) == 31
    assert store.seen() == ()


def test_pruning_forgets_the_old_ledger_and_finished_scans(store: Store) -> None:
    """But not scans that are still looked at, nor where a tag points."""
    store.save_cursor(cursor(FAR))
    store.cover(Coverage(LOG, OLD, OLD + HOUR, new=1))
    store.cover(Coverage(LOG, OLD, NOW))
    open_scan = replace(STARTED, look_at=OLD)
    done = replace(open_scan, robot="robot$done", outcome=Outcome.TOLD)
    store.record([], now=OLD, scans=[open_scan, done])
    learn(store, replace(TAG, at=OLD), replace(TAG, tag="gone", digest=None, at=OLD))
    store.prune(before=NOW - DAY)
    assert store.ledger(since=OLD) == (Coverage(LOG, OLD, NOW),)
    assert store.scans_due(NOW, most=9) == (open_scan,)
    assert [
        tag for _, tag in store.knowledge({"team/app"}, tags={("team/app", "1.27"), ("team/app", "gone")}).tags
    ] == ["1.27"]
    store.record([], now=OLD, scans=[replace(done, outcome=Outcome.RUNNING)])
    assert len(store.scans_due(NOW, most=9)) == 2


# -- several processes ------------------------------------------------------------------------------


def record_many(url: str, words: Connection) -> None:
    words.send("ready")
    words.recv()
    store = Store.open(url, HARBOR, ROUTE)
    for number in range(25):
        store.record(pending(number), now=NOW)
        store.due(NOW, most=10)
    words.send("done")


def test_processes_that_start_and_write_at_once_wait_for_each_other(state_url: str) -> None:
    """A daemon and a cron run on an empty database: one makes the schema, nobody fails, nothing is lost or doubled."""
    with others(3, record_many, state_url) as writers:
        assert [writer.hear() for writer in writers] == ["ready"] * 3
        for writer in writers:
            writer.say("go")
        assert [writer.hear() for writer in writers] == ["done"] * 3
    store = Store.open(state_url, HARBOR, ROUTE)
    assert sorted(due_rows(store)) == list(range(25))
    store.close()


# -- opening ----------------------------------------------------------------------------------------


def test_opening_again_finds_everything(store: Store, state_url: str) -> None:
    """A restart loses nothing and changes nothing."""
    store.record(pending(1), now=NOW, cursor=cursor())
    again = Store.open(state_url, HARBOR, ROUTE)
    assert (again.seen(), again.cursors()) == (store.seen(), store.cursors())
    again.close()


def set_revision(url: str, revision: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    engine.dispose()


def refusal(url: str) -> str:
    """What opening this database says to the operator."""
    with pytest.raises(StateError) as caught:
        Store.open(url, HARBOR, ROUTE)
    return str(caught.value)


def test_a_database_of_a_newer_version_is_refused(state_url: str) -> None:
    """After a downgrade, say what to do instead of writing into tables that we do not know."""
    Store.open(state_url, HARBOR, ROUTE).close()
    set_revision(state_url, "9999")
    said = refusal(state_url)
    assert "was written by a newer version of harbor-poller (schema 9999)" in said
    assert "upgrade harbor-poller" in said


def test_a_database_of_something_else_is_refused(state_url: str) -> None:
    """Our tables do not go among somebody else's."""
    engine = sqlalchemy.create_engine(state_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE customers (id INTEGER)"))
    assert "holds tables of something else" in refusal(state_url)
    assert sqlalchemy.inspect(engine).get_table_names() == ["customers"]
    engine.dispose()


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def newer(path: Path) -> None:
    Store.open(f"sqlite:///{path}", HARBOR, ROUTE).close()
    set_revision(f"sqlite:///{path}", "9999")


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()


def letter(path: Path) -> None:
    path.write_text("Dear database,\n" * 100)


def note(path: Path) -> None:
    path.write_text("no")


def damaged(path: Path) -> None:
    Store.open(f"sqlite:///{path}", HARBOR, ROUTE).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xa5" * 8000 + content[8100:])


def parentless(path: Path) -> None:
    path.parent.rmdir()


UNUSABLE: list[tuple[Callable[[Path], object], str]] = [
    (newer, "was written by a newer version"),
    (foreign, "holds tables of something else"),
    (letter, "file is not a database"),
    (note, "file is not a database"),
    (damaged, "database disk image is malformed"),
    (Path.mkdir, "is a directory; name a file in it"),
    (parentless, "does not exist; create it or name another"),
]


@pytest.mark.parametrize(("make", "sentence"), UNUSABLE, ids=[getattr(m, "__name__", "") for m, _ in UNUSABLE])
def test_what_cannot_be_used_is_left_untouched(make: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    """The sentence names the file and what is wrong; not a byte changes, and no file is added."""
    path = tmp_path / "folder" / "state.db"
    path.parent.mkdir()
    make(path)
    before = contents(tmp_path)
    said = refusal(f"sqlite:///{path}")
    assert sentence in said
    assert str(path.parent) in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize("is_new", [False, True], ids=["file", "folder"])
def test_what_may_not_be_written_is_left_untouched(
    is_new: bool, open_folder: Path, as_ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    """A service under another user than the one who made the database: the sentence says what it may not write."""
    path = open_folder / "state.db"
    Store.open(f"sqlite:///{path}", HARBOR, ROUTE).close()
    if is_new:
        path.unlink()
    else:
        path.chmod(0o444)
    open_folder.chmod(0o555)
    before = contents(open_folder)
    with as_ordinary_user():
        said = refusal(f"sqlite:///{path}")
    assert f"{open_folder if is_new else path} is not writable" in said
    assert contents(open_folder) == before


def test_a_database_that_is_locked_for_long_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody must act: the next attempt may succeed. Reading goes on meanwhile."""
    monkeypatch.setattr("state.database.BUSY_SECONDS", 0.1)
    url = f"sqlite:///{tmp_path / 'state.db'}"
    store = Store.open(url, HARBOR, ROUTE)
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateBusy, match="locked"):
        store.record(pending(1), now=NOW)
    assert store.seen() == ()
    other.execute("ROLLBACK")
    other.close()
    assert store.record(pending(1), now=NOW) == 1
    store.close()


def test_a_locked_database_can_be_looked_at(tmp_path: Path) -> None:
    """`status` and `events` open it while a backup or another program writes for long."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    Store.open(url, HARBOR, ROUTE).close()
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Store.open(url, HARBOR, ROUTE)
    assert store.seen() == ()
    other.close()
    store.close()


def test_a_full_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Where to make room; and that nobody has to start anything afterwards."""
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}", HARBOR, ROUTE)
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # that is: it may not grow
    with pytest.raises(StateFull, match="database or disk is full") as caught:
        store.record(pending(*range(2000)), now=NOW)
    assert f"free space on the file system of {tmp_path}" in str(caught.value)
    assert store.seen() == ()
    store.close()


def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    """What was recorded before can be looked at meanwhile, also by who opens it now."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    store = Store.open(url, HARBOR, ROUTE)
    store.record(pending(1), now=NOW)
    with no_room():
        with pytest.raises(StateFull, match="disk"):
            store.record(pending(2), now=NOW)
        other = Store.open(url, HARBOR, ROUTE)
        assert len(other.seen()) == len(store.seen()) == 1
        other.close()
    assert store.record(pending(2), now=NOW) == 1
    store.close()


def failure(url: str) -> PollerError:
    with pytest.raises(PollerError) as caught:
        Store.open(url, HARBOR, ROUTE)
    return caught.value


def test_a_server_that_is_away_is_busy_and_keeps_the_password(tmp_path: Path) -> None:
    """It may come back by itself. What we say of it goes into the log, so the password is not in it."""
    error = failure(f"postgresql+psycopg://poller:hunter2@/state?host={tmp_path}")
    assert isinstance(error, StateBusy)
    assert "hunter2" not in str(error)
    assert str(tmp_path) in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_database_that_is_not_on_the_server_is_a_mistake(postgres_url: str) -> None:
    """PostgreSQL calls that a failed connection too; waiting does not help."""
    error = failure(postgres_url.replace("/postgres?", "/nosuch?", 1))
    assert isinstance(error, StateError)
    assert "does not exist" in str(error)


def test_a_role_that_is_not_on_the_server_is_a_mistake(postgres_url: str) -> None:
    """The operator reads which one."""
    error = failure(postgres_url.replace("postgres:@", "stranger:hunter2@", 1))
    assert isinstance(error, StateError)
    assert "stranger" in str(error)
    assert "hunter2" not in str(error)


def test_work_goes_on_after_the_server_was_restarted(postgres_url: str) -> None:
    """Connections that were cut off are noticed before they are used."""
    store = Store.open(postgres_url, HARBOR, ROUTE)
    engine = sqlalchemy.create_engine(postgres_url)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_terminate_backend(pid) {others}"))
    engine.dispose()
    assert store.record(pending(1), now=NOW) == 1
    store.close()


@pytest.mark.parametrize(("more", "name"), [("", "harbor-poller"), ("&application_name=staging", "staging")])
def test_the_server_knows_who_is_connected(postgres_url: str, more: str, name: str) -> None:
    """For whoever looks at its connections; what the URL says itself counts more."""
    store = Store.open(postgres_url + more, HARBOR, ROUTE)
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        names = set(connection.scalars(sqlalchemy.text("SELECT application_name FROM pg_stat_activity")))
    engine.dispose()
    assert name in names
    store.close()


def test_what_is_told_alike_is_written_without_a_look_at_what_was_told_before(tmp_path: Path) -> None:
    """By the ids of the new events; by the Harbor, a backfill would be slower with each event that it has recorded."""
    url = f"sqlite:///{tmp_path}/state.db"
    Store.open(url, HARBOR, ROUTE).close()
    statement = statements.events_now(1, ("route", "state", "mode", "since"))
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        compiled = statement.compile(engine)
        values = tuple(None for _ in compiled.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
    engine.dispose()
    assert [row.detail for row in plan] == ["SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]
