"""Rows of the audit logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from demo.harbor.generation import Table
from demo.harbor.query import Column, Columns, Kind

_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True)
class Row:
    """`project_id` 0: of no project. It can be asked for, but is not shown."""

    id: int
    op_time: datetime
    operation: str
    resource_type: str
    resource: str
    username: str = ""
    description: str = ""
    result: bool = True
    project_id: int = 0

    def to_json(self, table: Table) -> dict[str, object]:
        """Empty texts are left out; the old log knows neither description nor result."""
        answer: dict[str, object] = {
            "id": self.id,
            "op_time": api_time(self.op_time),
            "operation": self.operation,
            "operation_description": self.description if table is Table.NEW else "",
            "operation_result": self.result,
            "resource": self.resource,
            "resource_type": self.resource_type,
            "username": self.username,
        }
        if table is Table.OLD:
            del answer["operation_result"]
        return {key: value for key, value in answer.items() if value != ""}


def api_time(at: datetime | None) -> str:
    """As Harbor's API writes it: UTC, cut to milliseconds. None is the year 1."""
    if at is None:
        return "0001-01-01T00:00:00.000Z"
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def split(resource: str) -> tuple[str, str, str]:
    """(repository, tag, digest) of an artifact's or a tag's row; what it does not name is empty."""
    at = resource.find(_DIGEST)
    if at > 0:
        return resource[: at - 1], "", resource[at:]
    repository, _, tag = resource.rpartition(":")
    return repository, tag, ""


def columns(table: Table) -> Columns[Row]:
    """What can be filtered and sorted by. The old log's ids are 32 bits wide."""
    shared: dict[str, Column[Row]] = {
        "id": Column(Kind.INT4 if table is Table.OLD else Kind.INT8, lambda row: row.id),
        "project_id": Column(Kind.INT8, lambda row: row.project_id),
        "op_time": Column(Kind.TIME, lambda row: row.op_time),
        "operation": Column(Kind.TEXT, lambda row: row.operation),
        "resource_type": Column(Kind.TEXT, lambda row: row.resource_type),
        "resource": Column(Kind.TEXT, lambda row: row.resource),
        "username": Column(Kind.TEXT, lambda row: row.username),
    }
    if table is Table.OLD:
        return shared
    return shared | {
        "op_desc": Column(Kind.TEXT, lambda row: row.description),
        "op_result": Column(Kind.BOOL, lambda row: row.result),
    }
