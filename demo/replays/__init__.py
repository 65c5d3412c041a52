"""What registries really do, replayed through the product on its stand-ins in virtual time."""

from demo.replays.facts import Fact, Listed
from demo.replays.rhythm import Scene, Script
from demo.replays.run import Result, run, run_all
from demo.replays.scenarios import (
    ALL,
    BUILDX,
    CI_PULLS,
    DAY,
    HARBOR_AWAY,
    NIGHTLY,
    OUTAGE,
    RELEASE,
    REPLICATION,
    RETENTION,
    SIGNED_BY_REFERRERS,
    SINGLE_PUSHES,
    TELEGRAM_AWAY,
    Scenario,
)

__all__ = [
    "ALL",
    "BUILDX",
    "CI_PULLS",
    "DAY",
    "HARBOR_AWAY",
    "NIGHTLY",
    "OUTAGE",
    "RELEASE",
    "REPLICATION",
    "RETENTION",
    "SIGNED_BY_REFERRERS",
    "SINGLE_PUSHES",
    "TELEGRAM_AWAY",
    "Fact",
    "Listed",
    "Result",
    "Scenario",
    "Scene",
    "Script",
    "run",
    "run_all",
]
