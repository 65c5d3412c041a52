"""A recorded day."""
from __future__ import annotations
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from demo.harbor.accounts import ADMIN, POLLER, Account
from demo.harbor.generation import Generation, Table
from demo.harbor.registry import Registry
from demo.harbor.rows import Row
RECORDED_ACCOUNTS = (ADMIN, POLLER)
class Replay:
    """Being written."""
    generation = Generation.V2_16
    version = registry_url = external_url = ""
    settings: Mapping[str, object] = {}
    def __init__(self, folder: Path, *, as_it_was: bool = True) -> None:
        self.lock = threading.RLock()
    def now(self) -> datetime:
        return datetime.now(UTC)
    def rows(self, table: Table) -> Sequence[Row]:
        return []
    def registry(self, user: str = "", question: object = None) -> Registry:
        return Registry()
