"""What is said when there is no state to work with."""

from __future__ import annotations

from poller.errors import NothingRecorded, StateError


def nothing_recorded(where: str) -> NothingRecorded:
    return NothingRecorded(f"nothing is recorded yet: {where}; start with `run` or `once`")


def older(where: str, found: str, wanted: str) -> StateError:
    return StateError(
        f"the state database {where} has the schema of an older version of harbor-poller ({found}, not {wanted}); "
        "start `run` or `once` of this version, which brings it up to date"
    )


def newer(where: str, found: str, way_back: str) -> StateError:
    return StateError(
        f"the state database {where} was written by a newer version of harbor-poller (schema {found}); "
        f"upgrade harbor-poller, or {way_back}"
    )
