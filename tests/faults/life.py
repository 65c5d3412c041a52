"""What happens in the registry: a seeded stream of pushes, pulls, tags and deletions, and a journal of its rows."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

from demo.harbor import Generation, Table, World
from demo.harbor.rows import Row, split
from formatters.texts import EMOJI
from poller.events import EventType, RowName, Source
from tests.faults.judge import Happening

REPOSITORIES = tuple(f"team/app-{number}" for number in range(4))
MOST_ARTIFACTS = 60
"""In the registry at a time: beyond that, old ones are deleted, as a retention policy does."""
PAUSE_S = (0.25, 0.9)
_LOOKED_BACK = 500
"""So many rows are looked through for those that have become visible late."""
_KINDS = {
    ("create", "artifact"): EventType.PUSH_ARTIFACT,
    ("pull", "artifact"): EventType.PULL_ARTIFACT,
    ("delete", "artifact"): EventType.DELETE_ARTIFACT,
    ("create", "tag"): EventType.TAG_CREATED,
    ("delete", "tag"): EventType.TAG_DELETED,
}
_SOURCES = {Table.OLD: Source.OLD_LOG, Table.NEW: Source.NEW_LOG}


class Journal:
    """Every row that the world ever had, with those that a purge or a restore has taken away since.

    What is there when it is opened was before the product's first run, and is never told.
    """

    def __init__(self, world: World) -> None:
        self.happenings: dict[str, Happening] = {}
        self.tags: dict[str, list[str]] = defaultdict(list)
        """By digest, every tag that it was given: a deletion may be told by any of them."""
        self.restores = 0
        self._world = world
        self._highest = 0
        self._era = 0
        self._late: set[tuple[int, int]] = set()
        self._before = {_key(row, self._table) for row in world.rows(self._table)}

    @property
    def _table(self) -> Table:
        return self._world.generation.live_table

    def note(self) -> None:
        """Write down what is visible by now."""
        with self._world.lock:
            for row in islice(reversed(self._world.rows(self._table)), _LOOKED_BACK):
                key = _key(row, self._table)
                if key not in self.happenings and key not in self._before:
                    self.happenings[key] = self._happening(key, row)

    def _happening(self, key: str, row: Row) -> Happening:
        repository, tag, digest = split(row.resource)
        names = (tag,) if tag else (*self.tags[digest], digest)
        emoji = EMOJI[_KINDS[row.operation, row.resource_type]]
        order = (self._era, row.id)
        return Happening(key, order, datetime.now(UTC), emoji, repository, names, order in self._late)

    def expect_late(self, row_id: int) -> None:
        self._late.add((self._era, row_id))

    def restored(self, back: int) -> None:
        """The database as it was so many rows ago."""
        with self._world.lock:
            self.note()
            self._highest = max(self._highest, self._world.newest_id)
            self._world.restore(max(self._world.newest_id - back, 1))  # a log without any row looks like no right
            self._era += 1
            self.restores += 1

    @property
    def is_id_used_again(self) -> bool:
        """Whether the next row gets an id that another one had before a restore."""
        return self._world.newest_id < self._highest

    def upgraded(self) -> None:
        """A row of the old log that showed itself later would be told, and never written down here."""
        with self._world.lock:
            assert not self._world.held, "rows of the old log are not visible yet"
            self.note()
            self._world.upgrade(Generation.V2_16)
            self._era += 1
            self._highest = 0


def _key(row: Row, table: Table) -> str:
    return RowName(_SOURCES[table], row.id, row.op_time).key


class Life:
    """One deed after the other, in a thread of its own."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.journal = Journal(world)
        self.accident: Callable[[], object] | None = None
        """Is done before every deed: what makes its row late, for instance."""
        self._dice = dice
        self._numbers = 0
        self._artifacts: list[tuple[str, str]] = []
        """(repository, tag) of what was pushed and is still there."""
        self._pulled: set[str] = set()
        self._tags: list[tuple[str, str]] = []
        self._may_go_on = threading.Event()
        self._is_over = threading.Event()
        self._deed = threading.Lock()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._live, name="life")
        self._may_go_on.set()
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._may_go_on.set()
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._may_go_on.clear()
        with self._deed:
            yield
        self._may_go_on.set()

    def _live(self) -> None:
        while not self._is_over.wait(self._dice.uniform(*PAUSE_S)):
            self._may_go_on.wait()
            with self._deed:
                self.happen()

    def happen(self) -> None:
        with self.world.lock:
            if self.accident is not None:
                self.accident()
            before = self.world.held
            self._something()
            for row_id in self.world.held - before:
                self.journal.expect_late(row_id)
            self.journal.note()

    def _something(self) -> None:
        if len(self._artifacts) > MOST_ARTIFACTS:
            return self._delete()
        deeds = (self._push, self._pull, self._delete, self._create_tag, self._delete_tag)
        return self._dice.choices(deeds, (50, 25, 10, 10, 5))[0]()

    def _push(self) -> None:
        self._numbers += 1
        repository, tag = self._dice.choice(REPOSITORIES), f"v{self._numbers:06}"
        self.journal.tags[self.world.push(repository, tag, "ann")].append(tag)
        self._artifacts.append((repository, tag))

    def _pull(self) -> None:
        """At most once each, so that a message tells which pull it is about."""
        left = [artifact for artifact in self._artifacts if artifact[1] not in self._pulled]
        if not left:
            return self._push()
        repository, tag = self._dice.choice(left)
        self._pulled.add(tag)
        self.world.pull(repository, tag, "bob")
        return None

    def _delete(self) -> None:
        if not self._artifacts:
            return self._push()
        repository, tag = self._artifacts.pop(self._dice.randrange(len(self._artifacts)))
        self.world.delete_artifact(repository, tag, "ann")
        self._tags = [each for each in self._tags if self.world.registry().find(*each)]
        return None

    def _create_tag(self) -> None:
        if not self._artifacts:
            return self._push()
        self._numbers += 1
        (repository, known), tag = self._dice.choice(self._artifacts), f"t{self._numbers:06}"
        artifact = self.world.registry().find(repository, known)
        assert artifact is not None
        self.journal.tags[artifact.digest].append(tag)
        self.world.create_tag(repository, known, tag, "ann")
        self._tags.append((repository, tag))
        return None

    def _delete_tag(self) -> None:
        if not self._tags:
            return self._push()
        self.world.delete_tag(*self._tags.pop(self._dice.randrange(len(self._tags))), "ann")
        return None
