"""What the benchmarks ran on, in words that name no machine but its kind."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

_VERSIONS = ("SQLAlchemy", "msgspec", "requests", "urllib3", "psycopg")


def described() -> list[str]:
    """A line each: processor and memory, system, Python, what else the figures depend on."""
    libraries = [f"SQLite {sqlite3.sqlite_version}", *(f"{name} {version(name)}" for name in _VERSIONS)]
    return [
        f"{_processor()}, {os.cpu_count()} cores, {_memory()} of memory",
        f"{_system()}, {platform.python_implementation()} {platform.python_version()}",
        ", ".join(libraries),
    ]


def slug() -> str:
    """The kind of machine as part of a file's name."""
    major, minor, _ = platform.python_version_tuple()
    return re.sub(r"[^a-z0-9.]+", "-", f"{_processor()}-{os.cpu_count()}-cores-python-{major}.{minor}".lower())


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _system() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{platform.system()} {platform.release()}"
