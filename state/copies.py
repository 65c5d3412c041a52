"""A copy of SQLite's file from before an upgrade, for whoever wants to go back. PostgreSQL's is the operator's."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy.engine import URL

SUFFIX = "-before-upgrade"
_TIMES_AS_MUCH = 2  # the copy, and what the upgrade writes: all rows at most

# The names of loggers are the words of the log: the vocabulary below the state has none of its own.
_copied = logging.getLogger("state.copied")
_not_copied = logging.getLogger("state.not_copied")

FreeSpace = Callable[[Path], int]


def free_space(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def keep(file: Path, revision: str, free: FreeSpace = free_space) -> Path | None:
    """Copy the file as it is, beside it, and forget the copies of earlier upgrades.

    The caller holds the write lock and has written nothing. No upgrade fails for want of a copy: where there is no
    room the log says so, and none is made.
    """
    needed, there = _TIMES_AS_MUCH * _size(file), free(file.parent)
    if there < needed:
        _not_copied.warning("no copy of %s before the upgrade: %d bytes are free, it takes %d", file, there, needed)
        return None
    copy = of_revision(file, revision)
    try:
        _copy(file, copy)
    except (OSError, sqlite3.Error) as error:
        _not_copied.warning("no copy of %s before the upgrade: %s", file, error)
        return None
    for old in copies(file):
        if old != copy:
            old.unlink(missing_ok=True)
    _copied.info("%s is the state as it was before the upgrade", copy)
    return copy


def of_revision(file: Path, revision: str) -> Path:
    return file.with_name(f"{file.name}.{revision}{SUFFIX}")


def copies(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{_literal(file.name)}.*{SUFFIX}"))


def way_back(url: URL, revision: str) -> str:
    """What is left to a program of this revision, to whom the state is too new."""
    copy = of_revision(Path(str(url.database)), revision)
    if url.get_backend_name() == "sqlite" and copy.is_file():
        return f"put {copy} back in its place, which is the state of before its upgrade; then `once --told-until`"
    return "name another database in [state] url"


def _literal(name: str) -> str:
    """As a pattern that fits this name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _size(file: Path) -> int:
    """With what is still in its journal."""
    return sum(path.stat().st_size for path in (file, file.with_name(f"{file.name}-wal")) if path.exists())


def _copy(file: Path, copy: Path) -> None:
    """Whole or not at all, and readable by the state's owner alone."""
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _hand_over(part, file)
        # A connection of its own: it reads what was written before, while ours holds the lock.
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)


def _hand_over(part: Path, file: Path) -> None:
    """To the state's owner, when root upgrades it: as SQLite does with its journals."""
    owner = file.stat()
    with suppress(PermissionError):
        os.chown(part, owner.st_uid, owner.st_gid)
