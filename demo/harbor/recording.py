"""A recorded day of a running Harbor, read from its folder: what happened, joined from rows, webhooks and answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.harbor.generation import Generation
from demo.harbor.registry import Project, Report
from demo.harbor.rows import Row, split
from demo.harbor.shapes import VULNERABILITIES
from demo.harbor.webhooks import Webhook

_KINDS = {"create": "PUSH_ARTIFACT", "pull": "PULL_ARTIFACT", "delete": "DELETE_ARTIFACT"}
_SCANNER = re.compile(r"\+.+-[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")
_JUST_BEFORE = timedelta(milliseconds=150)
_OF_ONE_PUSH = timedelta(milliseconds=250)
_GONE = 1000  # ids of projects that did not live to see the end of the day
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RecordedScan:
    """`started`: position of the scanner's pull among the rows. `ended`: that of its robot's deletion (2.12+)."""

    repository: str
    digest: str
    started: int
    ended: int | None
    ended_at: datetime
    report: Report


class Recording:
    """One folder. Positions count rows from 0 in the order of their ids."""

    def __init__(self, folder: Path) -> None:
        self.answers = list(_lines(folder / "answers.jsonl"))
        self.webhooks: list[Webhook] = [line["body"] for line in _lines(folder / "webhooks.jsonl")]
        self.repositories: dict[str, Any] = json.loads((folder / "repositories.json").read_text())
        self.server: dict[str, Any] = self._answer("systeminfo")
        self.settings = {k: v["value"] for k, v in self._answer("configurations").items() if "value" in v}
        self.generation = Generation.of_version(self.server["harbor_version"])
        self.projects = {each["name"]: _project(each) for each in self._answer("projects")}
        self._project_ids = {name: project.id for name, project in self.projects.items()}
        self.rows = self._in_recorded_order([self._row(line) for line in _lines(folder / "audit-rows.jsonl")])
        self._pushed_at = {
            (name, artifact["digest"]): api_datetime(artifact["push_time"])
            for name, said in self.repositories.items()
            for artifact in said["artifacts"]
        }
        self.digests = self._digests()
        self.indexes = self._indexes()
        self.unseen_tags = self._unseen_tags()
        self.scans = list(self._scans())

    def _answer(self, name: str) -> Any:
        """What the administrator was told. Refusals are left out: while others mistype a name, it is refused."""
        said = (each for each in self.answers if (each["name"], each["as"], each["status"]) == (name, "admin", 200))
        return next((each["body"] for each in said), [])

    def scan_all_metrics(self, *, scheduled: bool) -> dict[str, Any]:
        return dict(self._answer("scan-schedule-metrics" if scheduled else "scan-all-metrics"))

    def artifact(self, repository: str, digest: str) -> dict[str, Any]:
        """What Harbor said of it at the day's end; empty if it was gone by then."""
        artifacts = self.repositories.get(repository, {}).get("artifacts", ())
        return next((each for each in artifacts if each["digest"] == digest), {})

    # -- rows -----------------------------------------------------------------------------------------------

    def _row(self, line: dict[str, Any]) -> Row:
        description = line.get("operation_description", "")
        project = _project_of(line["resource_type"], line["resource"], description)
        return Row(
            line["id"],
            api_datetime(line["op_time"]),
            line["operation"],
            line["resource_type"],
            line["resource"],
            line.get("username", ""),
            description,
            line.get("operation_result", True),
            self._project_ids.setdefault(project, _GONE + len(self._project_ids)) if project else 0,
        )

    def _in_recorded_order(self, rows: list[Row]) -> list[Row]:
        """Harbor sorts by microseconds and tells milliseconds: those that it kept to itself show in its own list."""
        newest_first = [said["id"] for said in self._answer("audit-page-size-0")]
        places = {row_id: -place for place, row_id in enumerate(newest_first)}
        rank = {
            row.id: sum(each.op_time == row.op_time and places[each.id] < places[row.id] for each in rows)
            for row in rows
            if row.id in places
        }
        return [replace(row, op_time=row.op_time + timedelta(microseconds=rank.get(row.id, 0))) for row in rows]

    def _digests(self) -> dict[int, str]:
        """Position → digest of each artifact's row: by its own words, by its description, or by its webhook."""
        said = defaultdict(list)
        for webhook in self.webhooks:
            for resource in webhook["event_data"].get("resources", ()):
                if "resource_url" in resource:
                    said[_key_of_webhook(webhook, resource)].append(resource["digest"])
        return {
            position: self._digest(row, said[_key_of_row(row)])
            for position, row in enumerate(self.rows)
            if row.resource_type == "artifact"
        }

    def _digest(self, row: Row, said: list[str]) -> str:
        """`said`: digests of the webhooks that this row may belong to; the one that is taken is taken out."""
        repository, _, digest = split(row.resource)
        digest = digest or row.description.rpartition("@")[2]
        if digest:
            return digest
        if not said:  # a project without webhooks: nothing tells, so any will do
            return "sha256:" + hashlib.sha256(row.resource.encode()).hexdigest()
        earliest = row.op_time - _JUST_BEFORE
        fitting = [each for each in said if earliest <= self._time_of_push(repository, each) <= row.op_time]
        said.remove(chosen := (fitting or said)[0])
        return chosen

    def _time_of_push(self, repository: str, digest: str) -> datetime:
        return self._pushed_at.get((repository, digest), datetime.max.replace(tzinfo=UTC))

    def _indexes(self) -> dict[int, tuple[int, ...]]:
        """Position of an index's push → those of its platforms: pushed by digest just before, two or more."""
        found: dict[int, tuple[int, ...]] = {}
        platforms: list[int] = []
        for position, row in enumerate(self.rows):
            _, tag, digest = split(row.resource)
            is_push = row.operation == "create" and row.resource_type == "artifact"
            if platforms and not (is_push and self._belongs(self.rows[platforms[-1]], row)):
                platforms = []
            if is_push and digest:
                platforms.append(position)
            elif is_push and tag and len(platforms) > 1:
                found[position], platforms = tuple(platforms), []
        return found

    def _belongs(self, before: Row, row: Row) -> bool:
        """Whether two rows are of one push."""
        is_same = split(before.resource)[0] == split(row.resource)[0] and before.username == row.username
        return is_same and row.op_time - before.op_time < _OF_ONE_PUSH

    def _unseen_tags(self) -> dict[tuple[str, str], str]:
        """(repository, digest) → a tag that only the webhook of the deletion tells: it came with a copy."""
        named = {
            (split(row.resource)[0], self.digests.get(position, ""), split(row.resource)[1])
            for position, row in enumerate(self.rows)
            if row.operation == "create" and row.resource_type == "artifact"
        }
        return {
            (name, resource["digest"]): resource["tag"]
            for webhook in self.webhooks
            if webhook["type"] == "DELETE_ARTIFACT"
            for resource in webhook["event_data"]["resources"]
            for name in [webhook["event_data"]["repository"]["repo_full_name"]]
            if ":" not in resource["tag"] and (name, resource["digest"], resource["tag"]) not in named
        }

    # -- scans ----------------------------------------------------------------------------------------------

    def _scans(self) -> Iterator[RecordedScan]:
        """Each scanner's pull, with the webhook that followed it."""
        ends = {
            row.resource: position
            for position, row in enumerate(self.rows)
            if row.operation == "delete" and row.resource_type == "robot"
        }
        results = self._scan_webhooks()
        for position, row in enumerate(self.rows):
            if row.operation == "pull" and _SCANNER.search(row.username):
                repository, digest = split(row.resource)[0], self.digests[position]
                said = results[repository, digest]
                yield self._scan(position, ends.get(row.username), repository, digest, said.pop(0) if said else None)

    def _scan_webhooks(self) -> dict[tuple[str, str], list[Webhook]]:
        found = defaultdict(list)
        for webhook in sorted(self.webhooks, key=lambda each: int(each["occur_at"])):
            if webhook["type"].startswith("SCANNING_"):
                name = webhook["event_data"]["repository"]["repo_full_name"]
                found[name, webhook["event_data"]["resources"][0]["digest"]].append(webhook)
        return found

    def _scan(
        self, started: int, ended: int | None, repository: str, digest: str, webhook: Webhook | None
    ) -> RecordedScan:
        """Where the webhook tells no result (a scan of all), or there is none, the result is that of the day's end."""
        resource = webhook["event_data"]["resources"][0] if webhook else {}
        report = _report((resource.get("scan_overview") or self._last_overview(digest))[VULNERABILITIES])
        # Without a row of the end, it is known to the second only: take the second's end.
        end_of_second = (report.ended_at or report.started_at) + _SECOND - timedelta(milliseconds=1)
        ended_at = self.rows[ended].op_time if ended is not None else end_of_second
        return RecordedScan(repository, digest, started, ended, ended_at, report)

    def _last_overview(self, digest: str) -> dict[str, Any]:
        """Reports belong to digests, so any repository tells."""
        return next(
            artifact["scan_overview"]
            for said in self.repositories.values()
            for artifact in said["artifacts"]
            if artifact["digest"] == digest and "scan_overview" in artifact
        )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def api_datetime(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _project(said: dict[str, Any]) -> Project:
    """A project as its administrator saw it, less what depends on the moment and on who asks."""
    kept = {
        key: value for key, value in said.items() if key in ("cve_allowlist", "owner_id", "owner_name", "registry_id")
    }
    metadata = {key: value for key, value in said["metadata"].items() if key != "public"}
    is_public = said["metadata"]["public"] == "true"
    return Project(said["project_id"], said["name"], is_public, api_datetime(said["creation_time"]), metadata, kept)


def _project_of(resource_type: str, resource: str, description: str) -> str:
    match resource_type:
        case "artifact" | "tag" | "repository":
            return resource.partition("/")[0]
        case "project":
            return resource
        case "robot" if "+" in resource:
            return resource.partition("$")[2].partition("+")[0]
        case "member":
            return description.rpartition(" in project ")[2]
    return ""


def _key_of_row(row: Row) -> tuple[str, int, str, str]:
    operator = "" if row.username == "anonymous" else row.username
    return _KINDS[row.operation], int(row.op_time.timestamp()), operator, row.resource.replace(":sha256:", "@sha256:")


def _key_of_webhook(webhook: Webhook, resource: dict[str, Any]) -> tuple[str, int, str, str]:
    name = resource["resource_url"].partition("/")[2]
    return webhook["type"], webhook["occur_at"], webhook["operator"], name


def _report(said: dict[str, Any]) -> Report:
    summary = said.get("summary") or {}
    return Report(
        said["report_id"],
        said["scan_status"],
        api_datetime(said["start_time"]),
        api_datetime(said["end_time"]),
        dict(summary.get("summary", {})),
        summary.get("fixable", 0),
    )


def tags_of(artifact: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return artifact.get("tags") or ()
