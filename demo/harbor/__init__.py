"""A Harbor that runs on loopback, for the demo, the tests and the benchmarks."""

from demo.harbor.accounts import ADMIN, POLLER, Account, Role
from demo.harbor.clock import Clock
from demo.harbor.generation import Generation, Table
from demo.harbor.replay import RECORDED_ACCOUNTS, Replay
from demo.harbor.standin import ALWAYS, Fault, HarborStandIn, Request
from demo.harbor.world import Outcome, RunningScan, World

__all__ = [
    "ADMIN",
    "ALWAYS",
    "POLLER",
    "RECORDED_ACCOUNTS",
    "Account",
    "Clock",
    "Fault",
    "Generation",
    "HarborStandIn",
    "Outcome",
    "Replay",
    "Request",
    "Role",
    "RunningScan",
    "Table",
    "World",
]
