"""The product's command line, with all that `setup` loads: for a Nursery, which imports it once for many."""

from poller import check, daemon, setup
from poller.__main__ import cli

__all__ = ["check", "cli", "daemon", "setup"]
