"""The product's command line, with all that `setup` loads: for a Nursery, which imports it once for many."""

from poller.__main__ import cli
from poller.commands import setup

__all__ = ["cli", "setup"]
