"""A look at the state changes nothing, holds nothing up, and says what it cannot read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy

from poller.errors import NothingRecorded, PollerError, StateError
from poller.events import Event
from state import POLLER, DeliveryState, Grant, Store, Telling
from state.look import look

HARBOR, ROUTE = "https://harbor.example.com", "telegram"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def looking(url: str) -> closing[Store]:
    return closing(Store.look(url, HARBOR, ROUTE))


def opened(url: str) -> closing[Store]:
    return closing(Store.open(url, HARBOR, ROUTE))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".db-shm"}


def set_revision(url: str, revision: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    engine.dispose()


def test_what_was_recorded_is_read_and_cannot_be_changed(state_url: str) -> None:
    """Also while the writer has it open, and has not written it into the database's own file yet."""
    with opened(state_url) as store:
        store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
        with looking(state_url) as seen:
            assert seen.counts().pending == 1
            with pytest.raises(PollerError):
                seen.save_allowance(1.0, NOW)
        store.record([Telling(Event.example(source_id=2), DeliveryState.PENDING)], now=NOW)
    with looking(state_url) as seen:
        assert seen.counts().pending == 2
        with pytest.raises(PollerError):
            seen.save_allowance(1.0, NOW)


def test_a_look_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    """No file is made beside a database that is at rest, and none is folded into it after a crash."""
    url = f"sqlite:///{tmp_path}/state.db"
    Store.open(url, HARBOR, ROUTE).close()
    before = files(tmp_path)
    assert list(before) == ["state.db"]
    Store.look(url, HARBOR, ROUTE).close()
    assert files(tmp_path) == before
    with opened(url) as store:
        store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for name, content in files(tmp_path).items():
            (crashed / name).write_bytes(content)
    before = files(crashed)
    assert before["state.db-wal"]
    with looking(f"sqlite:///{crashed}/state.db") as seen:
        assert seen.counts().pending == 1
    assert files(crashed) == before


def test_a_journal_that_was_copied_alone_is_read_and_left_alone(tmp_path: Path) -> None:
    """A backup of the file and its -wal lacks what SQLite makes of them at once, and a look does not make it."""
    with opened(f"sqlite:///{tmp_path}/state.db") as store:
        store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
        backup = tmp_path / "backup"
        backup.mkdir()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(tmp_path / name, backup)
    with looking(f"sqlite:///{backup}/state.db") as seen:
        assert seen.counts().pending == 1
    assert sorted(path.name for path in backup.iterdir()) == ["state.db", "state.db-wal"]


def test_what_a_link_leads_to_is_looked_at(tmp_path: Path) -> None:
    """SQLite has its journal beside the file, not beside the link; without it the newest events would be missing."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "state.db").symlink_to(disk / "real.db")
    url = f"sqlite:///{tmp_path}/state.db"
    with opened(url) as store:
        store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
        assert (disk / "real.db-wal").stat().st_size
        with looking(url) as seen:
            assert seen.counts().pending == 1
        with look(url) as found:
            there = found.store(HARBOR, ROUTE)
            assert there is not None
            assert there.counts().pending == 1


def test_what_was_written_under_a_look_is_looked_at_again(tmp_path: Path) -> None:
    """Without a journal the file is read as one that does not change. If it does, the answer may be of no moment."""
    url = f"sqlite:///{tmp_path}/state.db"
    Store.open(url, HARBOR, ROUTE).close()
    counts: list[int] = []

    def ask(seen: Store) -> int:
        counts.append(seen.counts().pending)
        if len(counts) == 1:
            with opened(url) as store:
                store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
            raise StateError("malformed, as pages of two moments are")
        return counts[-1]

    assert Store.looked(url, HARBOR, ROUTE, ask) == 1
    assert counts == [0, 1]


def test_an_error_that_stays_is_not_hidden(tmp_path: Path) -> None:
    """What comes of files that come and go under a look is over at the next one."""
    url = f"sqlite:///{tmp_path}/state.db"
    Store.open(url, HARBOR, ROUTE).close()
    counts: list[int] = []

    def ask(seen: Store) -> None:
        counts.append(seen.counts().pending)
        raise StateError("malformed")

    with pytest.raises(StateError, match="malformed"):
        Store.looked(url, HARBOR, ROUTE, ask)
    assert counts == [0, 0, 0]


def test_the_state_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask is of the shell in which it was started by hand."""
    before = os.umask(0o022)
    try:
        with opened(f"sqlite:///{tmp_path}/state.db") as store:
            store.record([Telling(Event.example(), DeliveryState.PENDING)], now=NOW)
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), 0o600)


def test_a_look_waits_for_no_writer(tmp_path: Path) -> None:
    """One that has been writing for long holds up other writers, and nobody who looks."""
    url = f"sqlite:///{tmp_path}/state.db"
    with opened(url), closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE harbors SET registry = 'half written'")
        with looking(url) as seen:
            assert seen.harbor()[0] == ""


def test_where_nothing_is_recorded_that_is_said(tmp_path: Path) -> None:
    """No file, an empty one, and the state of another Harbor."""
    url = f"sqlite:///{tmp_path}/state.db"
    with pytest.raises(NothingRecorded, match=r"state\.db does not exist; start with `run` or `once`"):
        Store.look(url, HARBOR, ROUTE)
    assert files(tmp_path) == {}
    (tmp_path / "state.db").touch()
    with pytest.raises(NothingRecorded, match="is empty"):
        Store.look(url, HARBOR, ROUTE)
    Store.open(url, "https://other.example.com", ROUTE).close()
    with pytest.raises(NothingRecorded, match=f"knows nothing of {HARBOR}"):
        Store.look(url, HARBOR, ROUTE)


@pytest.mark.parametrize(("revision", "says"), [("0003", "of an older version"), ("9999", "by a newer version")])
def test_the_schema_of_another_version_is_named_and_left_alone(state_url: str, revision: str, says: str) -> None:
    Store.open(state_url, HARBOR, ROUTE).close()
    set_revision(state_url, revision)
    for _ in range(2):
        with pytest.raises(StateError, match=f"{says} of harbor-poller .*{revision}"):
            Store.look(state_url, HARBOR, ROUTE)


def test_who_gave_the_lease_back_is_remembered_without_a_name(state_url: str) -> None:
    """When it was, and that it was given back, is how a stop differs from a crash."""
    with opened(state_url) as store:
        assert store.last_lease() is None
        grant = store.take_lease(POLLER, "host 1/1", NOW, timedelta(seconds=20))
        assert isinstance(grant, Grant)
        assert store.last_lease() == store.lease()
        store.release_lease(grant)
        assert store.lease() is None
        last = store.last_lease()
    assert last is not None
    assert (last.owner, last.acquired_at, last.expires_at) == ("", NOW, NOW + timedelta(seconds=20))
