"""A recorded day, served again: the rows up to a movable end, and the registry as it was at that moment.

What Harbor held is not in a recording, but follows from it: pushes, deletions and tags from the rows, digests of tags
from the webhooks, scan results from both.

When many rows are shown at once, a look-up cannot be answered as of now: the tag has moved on, the artifact is gone.
A poller that was there all day would have asked right after each row. So with `as_it_was` (the default) each look-up
is answered as of right after the oldest shown row about the same thing that this account has not looked up yet:

* a tag: its pushes, pulls and creations, one after the other;
* a digest with `with_scan_overview`: the ends of its scans; without: the rows that name the digest;
* a repository: the rows about it;
* a list of artifacts with an upper bound of `push_time`: the end of that window, whoever asks and however often.

After the last such row, and without `as_it_was`, it is answered as of the last row that is shown.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from demo.harbor.accounts import ADMIN, POLLER, Account, Role
from demo.harbor.api import Question
from demo.harbor.generation import Generation, Table
from demo.harbor.recording import Recording, api_datetime, tags_of
from demo.harbor.registry import Artifact, Project, Registry, Report, Repository, Tag
from demo.harbor.rows import Row, split
from demo.harbor.webhooks import Webhook
from demo.harbor.world import ARTIFACT_BEFORE_ROW, TAG_BEFORE_ROW

RECORDED_ACCOUNTS = (
    ADMIN,
    POLLER,
    Account("robot$sysaudit", "recorded", Role.SYSTEM_ROBOT_AUDIT),
    Account("robot$sysall", "recorded", Role.SYSTEM_ROBOT_ALL_PROJECTS),
    Account("robot$sysno", "recorded", Role.SYSTEM_ROBOT_NOTHING),
    Account("robot$team+pollerlog", "recorded", Role.PROJECT_ROBOT),
    Account("robot$team+pollernolog", "recorded", Role.PROJECT_ROBOT_NOLOG),
    Account("padmin", "recorded", Role.PROJECT_ADMIN),
    Account("maint", "recorded", Role.MAINTAINER),
    Account("guest", "recorded", Role.GUEST),
    Account("nobody", "recorded", Role.NO_MEMBER),
)
"""The accounts that asked on the recorded days, and the recommended robot, which did not."""

_END = datetime.max.replace(tzinfo=UTC)
_REPOSITORY_BEFORE_ROW = ARTIFACT_BEFORE_ROW + timedelta(milliseconds=6)
_KEPT = ("artifact_type", "extra_attrs", "icon", "id", "manifest_media_type", "media_type", "size", "type")


@dataclass(frozen=True, slots=True)
class Moment:
    """How many rows are there, and what time it is. At the day's end it is later than anything."""

    shown: int
    at: datetime


class Replay:
    """Shows everything at first. `webhooks`: all that Harbor sent on that day."""

    def __init__(
        self, folder: Path, *, as_it_was: bool = True, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.recording = Recording(folder)
        self.as_it_was = as_it_was
        self.lock = threading.RLock()
        self._clock = clock
        self._looked_up: Counter[tuple[str, Question]] = Counter()
        self._registry_at = lru_cache(maxsize=512)(lambda moment: _Day(self.recording).until(moment))
        self._moment = self._at(len(self))

    # -- the movable end --------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many rows the day has."""
        return len(self.recording.rows)

    def show(self, count: int) -> None:
        """Let the first rows be visible, and no more. All of them: the day is over."""
        with self.lock:
            self._moment = self._at(min(count, len(self)))

    def show_until(self, at: datetime) -> None:
        """Let what happened up to the end of that millisecond be visible."""
        at += timedelta(microseconds=999)
        with self.lock:
            shown = max((place for place, row in enumerate(self.recording.rows, 1) if row.op_time <= at), default=0)
            self._moment = Moment(shown, at)

    def show_all(self) -> None:
        self.show(len(self))

    @property
    def shown(self) -> int:
        return self._moment.shown

    def forget_look_ups(self) -> None:
        """Answer look-ups as of the oldest rows again."""
        with self.lock:
            self._looked_up.clear()

    def _at(self, shown: int) -> Moment:
        rows = self.recording.rows[:shown]
        if shown == len(self):
            return Moment(shown, _END)
        return Moment(shown, max((row.op_time for row in rows), default=_END.replace(year=1)))

    # -- for the API ------------------------------------------------------------------------------------

    @property
    def generation(self) -> Generation:
        return self.recording.generation

    @property
    def webhooks(self) -> list[Webhook]:
        return self.recording.webhooks

    @property
    def version(self) -> str:
        return str(self.recording.server["harbor_version"])

    @property
    def registry_url(self) -> str:
        return str(self.recording.server["registry_url"])

    @property
    def external_url(self) -> str:
        return str(self.recording.server["external_url"])

    @property
    def settings(self) -> dict[str, object]:
        return self.recording.settings

    def now(self) -> datetime:
        return self._clock()

    def rows(self, table: Table) -> Sequence[Row]:
        """The newest Harbor was installed afresh: its old log is empty."""
        return self.recording.rows[: self.shown] if table is self.generation.live_table else []

    def scan_all_metrics(self, *, scheduled: bool) -> Mapping[str, object]:
        """As of the day's end."""
        return self.recording.scan_all_metrics(scheduled=scheduled)

    def registry(self, user: str = "", question: Question | None = None) -> Registry:
        with self.lock:
            moment = self._moment_for(user, question) if question and self.as_it_was else self._moment
            found: Registry = self._registry_at(moment)
            return found

    # -- as it was --------------------------------------------------------------------------------------

    def _moment_for(self, user: str, question: Question) -> Moment:
        if question.reference is None and question.pushed_until is not None:
            return self._at_time(question.pushed_until)
        key = user, replace(question, pushed_until=None)
        moments = [moment for moment in self._moments_of(question) if moment.at <= self._moment.at]
        place = self._looked_up[key]
        if place >= len(moments):
            return self._moment
        self._looked_up[key] += 1
        return moments[place]

    def _at_time(self, at: datetime) -> Moment:
        if at >= self._moment.at:
            return self._moment
        times = [row.op_time for row in self.recording.rows[: self.shown]]
        return Moment(bisect_right(sorted(times), at), at)

    def _moments_of(self, question: Question) -> Iterator[Moment]:
        if question.with_scan and question.reference and ":" in question.reference:
            for scan in self.recording.scans:
                if (scan.repository, scan.digest) == (question.repository, question.reference):
                    yield self._at(scan.ended + 1) if scan.ended is not None else self._at_time(scan.ended_at)
            return
        for position, row in enumerate(self.recording.rows[: self.shown]):
            if row.resource_type in ("artifact", "tag") and _is_about(row, question):
                yield self._at(position + 1)


def _is_about(row: Row, question: Question) -> bool:
    repository, tag, digest = split(row.resource)
    if repository != question.repository or row.operation == "delete":
        return False
    return question.reference in (None, tag, digest)


# -- what Harbor held -------------------------------------------------------------------------------------


class _Day:
    """Goes through the rows of a day once, and makes of them what Harbor held."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._registry = Registry()
        self._next_id = 10_000  # for what was gone by the end of the day, and has no recorded id

    def until(self, moment: Moment) -> Registry:
        self._add_projects(moment)
        for position in range(moment.shown):
            self._apply(position, self._recording.rows[position])
        self._add_reports(moment)
        if moment.at == _END:
            self._add_counts()
        return self._registry

    def _add_projects(self, moment: Moment) -> None:
        for name, project in self._recording.projects.items():
            if project.created_at <= moment.at:
                self._registry.projects[name] = project

    def _apply(self, position: int, row: Row) -> None:
        name, tag, _ = split(row.resource)
        match row.operation, row.resource_type:
            case "create", "artifact":
                self._push(position, row)
            case "pull", "artifact":
                self._pull(position, row)
            case "delete", "artifact":
                self._delete(name, self._recording.digests[position])
            case "create", "tag":
                self._create_tag(name, tag, row)
            case "delete", "tag":
                self._untag(name, tag)
            case "delete", "repository":
                self._registry.repositories.pop(row.resource, None)
            case "create", "project" if row.resource not in self._registry.projects:
                project = Project(row.project_id, row.resource, is_public=False, created_at=row.op_time)
                self._registry.projects[row.resource] = project
            case "delete", "project":
                self._registry.projects.pop(row.resource, None)

    def _push(self, position: int, row: Row) -> None:
        name, tag, _ = split(row.resource)
        digest = self._recording.digests[position]
        repository = self._repository(name, row)
        artifact = repository.artifacts.get(digest)
        if artifact is None:
            artifact = self._artifact(name, digest, row)
            children = self._recording.indexes.get(position, ())
            artifact.children = tuple((self._recording.digests[child], "linux/amd64") for child in children)
            repository.add(artifact)
            unseen = self._recording.unseen_tags.get((name, digest))
            if unseen:
                self._tag(artifact, name, unseen, row.op_time - TAG_BEFORE_ROW / 2)
        artifact.pushed_by = row.username
        if tag and tag not in artifact.tags:
            self._tag(artifact, name, tag, row.op_time - TAG_BEFORE_ROW)
        repository.updated_at = row.op_time

    def _repository(self, name: str, row: Row) -> Repository:
        found = self._registry.repositories.get(name)
        if found is None:
            said = self._recording.repositories.get(name, {}).get("repository", {})
            created = api_datetime(said["creation_time"]) if said else row.op_time - _REPOSITORY_BEFORE_ROW
            number = said["id"] if said else self._new_id()
            found = self._registry.repositories[name] = Repository(number, name, row.project_id, created, created)
        return found

    def _artifact(self, repository: str, digest: str, row: Row) -> Artifact:
        said = self._recording.artifact(repository, digest)
        pushed = api_datetime(said["push_time"]) if said else row.op_time - ARTIFACT_BEFORE_ROW
        if pushed > row.op_time:  # deleted and pushed again later in the day
            said, pushed = {}, row.op_time - ARTIFACT_BEFORE_ROW
        kept = {key: said[key] for key in _KEPT if key in said}
        return Artifact(said["id"] if said else self._new_id(), digest, pushed, recorded=kept)

    def _tag(self, artifact: Artifact, repository: str, name: str, at: datetime) -> None:
        said: dict[str, Any] = next(
            (tag for tag in tags_of(self._recording.artifact(repository, artifact.digest)) if tag["name"] == name), {}
        )
        tag = Tag(said.get("id") or self._new_id(), name, at)
        if said and abs(api_datetime(said["push_time"]) - at) < timedelta(seconds=1):
            tag.push_time = api_datetime(said["push_time"])
        self._registry.repositories[repository].tag(artifact, tag)

    def _untag(self, repository: str, tag: str) -> None:
        found = self._registry.repositories.get(repository)
        if found:
            found.untag(tag)

    def _create_tag(self, repository: str, tag: str, row: Row) -> None:
        """The row does not say of which artifact: the one pushed last by a tag that is not a signature's, we guess."""
        tagged = [
            (each.push_time, artifact)
            for artifact in self._registry.repositories[repository].artifacts.values()
            for each in artifact.tags.values()
            if not each.name.startswith("sha256-")
        ]
        if tagged:
            _, artifact = max(tagged, key=lambda each: each[0])
            self._tag(artifact, repository, tag, row.op_time - TAG_BEFORE_ROW)

    def _pull(self, position: int, row: Row) -> None:
        repository = self._registry.repositories.get(split(row.resource)[0])
        artifact = repository.artifacts.get(self._recording.digests[position]) if repository else None
        if repository and artifact:
            tag = split(row.resource)[1]
            if tag and tag not in artifact.tags:  # a proxy cache tags what it has fetched, without a row
                self._tag(artifact, repository.name, tag, row.op_time - TAG_BEFORE_ROW)
            if tag:
                artifact.tags[tag].pull_time = row.op_time
            artifact.pull_time = repository.updated_at = row.op_time
            repository.pull_count += 1

    def _delete(self, repository: str, digest: str) -> None:
        found = self._registry.repositories.get(repository)
        artifact = found.remove(digest) if found else None
        for child, _ in artifact.children if found and artifact else ():
            found.remove(child) if found else None

    def _add_reports(self, moment: Moment) -> None:
        for scan in self._recording.scans:
            if scan.started < moment.shown:
                started = self._recording.rows[scan.started].op_time.replace(microsecond=0)
                running = Report(scan.report.report_id, "Running", started)
                self._registry.keep_report(scan.digest, scan.report if scan.ended_at <= moment.at else running)

    def _add_counts(self) -> None:
        for name, repository in self._registry.repositories.items():
            said = self._recording.repositories.get(name, {}).get("repository")
            if said:
                repository.pull_count = said["pull_count"]
                repository.updated_at = api_datetime(said["update_time"])

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id
