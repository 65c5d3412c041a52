"""Every kind of fault once, between real processes: the short form of `make soak`, with another seed at every run."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest

from tests.harness import ROOT

KILLS = 45
SECONDS = 420
"""A machine that is so busy that a season takes longer has it cut short."""


@pytest.fixture
def seed(testrun_uid: str) -> int:
    """Another one at every run, but the same in all workers: which database has the private chat depends on it."""
    return zlib.crc32(testrun_uid.encode()) % 10**6


@pytest.mark.parametrize(
    "database",
    [pytest.param(kind, marks=pytest.mark.xdist_group(f"soak-{kind}")) for kind in ("sqlite", "postgresql")],
)
def test_nothing_is_lost_whatever_breaks(database: str, seed: int) -> None:
    """Killed at any moment, with every fault in between, the product tells everything once and in order."""
    command = [sys.executable, "-m", "tests.faults", "--database", database, "--seed", str(seed)]
    command += ["--kills", str(KILLS), "--seasons", "1", "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 240, check=False)
    print(f"seed {seed}", done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0
