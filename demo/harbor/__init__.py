"""A Harbor that runs on loopback, for the demo, the tests and the benchmarks."""

from demo.harbor.accounts import ADMIN, POLLER, Account, Grant, Role
from demo.harbor.clock import Clock
from demo.harbor.generation import Generation, Table
from demo.harbor.registry import Scanner, Vulnerability
from demo.harbor.replay import RECORDED_ACCOUNTS, Replay
from demo.harbor.scans import Outcome, RunningSbom, RunningScan, ScanAll
from demo.harbor.standin import ALWAYS, Fault, HarborStandIn, Request
from demo.harbor.world import World

__all__ = [
    "ADMIN",
    "ALWAYS",
    "POLLER",
    "RECORDED_ACCOUNTS",
    "Account",
    "Clock",
    "Fault",
    "Generation",
    "Grant",
    "HarborStandIn",
    "Outcome",
    "Replay",
    "Request",
    "Role",
    "RunningSbom",
    "RunningScan",
    "ScanAll",
    "Scanner",
    "Table",
    "Vulnerability",
    "World",
]
