"""How lately the registry itself moved, whatever its audit log says: Harbor's JSON as checked types, for `check`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec

from poller.errors import HarborGarbled
from poller.rows import NOT_JSON, parse_time

Moment = Literal["push_time", "pull_time"]

_T = TypeVar("_T")


class RepositoryFacts(msgspec.Struct, frozen=True):
    """A repository in a list. Harbor moves `updated_at` with every counted pull, up to 10 s late."""

    name: str  # with its project
    created_at: datetime | None = None
    updated_at: datetime | None = None
    pull_count: int = 0
    id: int = 0
    artifact_count: int = 0

    @property
    def project(self) -> str:
        return self.name.partition("/")[0]


class _Repository(msgspec.Struct):
    name: str
    creation_time: Any = None
    update_time: Any = None
    pull_count: int = 0
    id: int = 0
    artifact_count: int = 0

    def checked(self) -> RepositoryFacts:
        created, updated = parse_time(self.creation_time), parse_time(self.update_time)
        return RepositoryFacts(self.name, created, updated, self.pull_count, self.id, self.artifact_count)


class _Artifact(msgspec.Struct):
    push_time: Any = None
    pull_time: Any = None


_repositories = msgspec.json.Decoder(list[_Repository] | None)
_artifacts = msgspec.json.Decoder(list[_Artifact] | None)


def repositories(body: bytes) -> tuple[RepositoryFacts, ...]:
    return tuple(each.checked() for each in _decode(_repositories, body, "a list of repositories") or ())


def newest(field: Moment) -> Callable[[bytes], datetime | None]:
    """A decoder for the newest of the artifacts' times."""

    def decode(body: bytes) -> datetime | None:
        artifacts = _decode(_artifacts, body, "a list of artifacts") or ()
        times = (parse_time(getattr(each, field)) for each in artifacts)
        return max((time for time in times if time is not None), default=None)

    return decode


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes, expected: str) -> _T:
    try:
        return decoder.decode(body)
    except NOT_JSON as error:
        raise HarborGarbled(f"the answer is not {expected}: {error}") from None
