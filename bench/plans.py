"""How the databases answer what is asked at every poll and every look at what is due: `python -m bench.plans [EVENTS]`.

The product does its work on a state of so many events, and is listened to: each statement is explained that it sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, event

from bench.growth import LOG, Site, fill, postgres
from bench.material import NOWHERE, load, open_store, write_conf
from demo.telegram import TelegramStandIn
from poller import jobs
from poller.config import Config
from poller.telegram import Telegram
from poller.telling import Teller
from state import Store
from state import schema as t

GROWS = frozenset(
    each.name for each in (t.events, t.deliveries, t.polls, t.scans, t.threads, t.known_tags, t.known_reports)
)
"""Tables that are larger in a large registry or after a long time."""
EVENTS = 10_000
_EVERYTHING = re.compile(r"\bSCAN (\w+)|\bSEARCH (?=\w+ USING .*\(harbor_id=\?\)$)(\w+)")
_READS = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH|INSERT\b.*\bSELECT)\b", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Heard:
    """What was sent to the database, once each, with values that it was sent with."""

    statements: dict[str, Any] = field(default_factory=dict)
    is_listening: bool = True

    def hear(self, _connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, is_many: bool) -> None:
        if self.is_listening and _READS.match(statement):
            self.statements.setdefault(statement, values[0] if is_many else values)


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    event.listen(Engine, "before_cursor_execute", heard.hear)
    try:
        yield heard
    finally:
        event.remove(Engine, "before_cursor_execute", heard.hear)


def work(config: Config, events: int) -> dict[str, Mapping[str, Any]]:
    """What the product asks the database, by what it does."""
    asked: dict[str, Mapping[str, Any]] = {}
    with open_store(config) as store, TelegramStandIn() as telegram:
        site = Site(store, config, events)
        client = Telegram(config.telegram.bot_token, api_url=telegram.url)
        teller = Teller(client, store, config, lambda: site.now)
        site.poll(new=None)
        tasks: dict[str, Callable[[], object]] = {
            "a poll with new rows": site.seconds_of_page,
            "an idle poll": site.poll,
            "telling": lambda: teller.deliver(is_patient=False),
            "a look at what is due": teller.deliver,
            "forgetting": lambda: _forget(store, config, events),
        }
        for name, task in tasks.items():
            with listening() as heard:
                task()
            asked[name] = heard.statements
    return asked


def _forget(store: Store, config: Config, events: int) -> None:
    """The first hundred rows of the log."""
    jobs.prune(store, config, LOG.time_of(min(100, events // 4)) + config.state.keep)


def plans(url: str, asked: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each statement's plan, a line for each step."""
    engine = sqlalchemy.create_engine(url)
    is_file = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        found = {
            statement: [
                str(row[-1])
                for row in connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if is_file else ''}{statement}", values)
            ]
            for statement, values in asked.items()
        }
    engine.dispose()
    return found


def scanned(plan: Sequence[str]) -> set[str]:
    """Tables that grow and of which SQLite reads everything, or everything of a Harbor, which is nearly the same.

    What is pending is an index of its own, and does not grow.
    """
    found = (_EVERYTHING.search(step) for step in plan if "ix_deliveries_pending" not in step)
    return {step[1] or step[2] for step in found if step} & GROWS


def explained(config: Config, events: int) -> dict[str, dict[str, list[str]]]:
    """The plan of each statement, by what it is asked for."""
    fill(config, min(events, EVENTS), events)
    asked, told = work(config, events), set[str]()
    found = {}
    for name, statements in asked.items():
        fresh = {text: values for text, values in statements.items() if text not in told}
        told |= set(fresh)
        found[name] = plans(config.state.url.reveal(), fresh)
    return found


def page(kind: str, found: Mapping[str, Mapping[str, list[str]]]) -> str:
    parts = [f"## {kind}"]
    for name, statements in found.items():
        parts.append(f"### {name[0].upper()}{name[1:]}")
        parts += [f"```\n{_short(text)}\n{_indented(plan)}\n```" for text, plan in statements.items()]
    return "\n\n".join(parts)


def _short(statement: str) -> str:
    """Without the list of columns."""
    return re.sub(r"^SELECT (?!EXISTS|CASE|\(EXISTS)(.{60}).*? FROM ", r"SELECT \1… FROM ", " ".join(statement.split()))


def _indented(plan: list[str]) -> str:
    return "\n".join(f"    {step}" for step in plan)


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with TemporaryDirectory() as name, postgres(Path(name) / "postgres", wanted=True) as urls:
        for kind, url in {"SQLite": f"sqlite:///{name}/state.db", **({"PostgreSQL": urls[0]} if urls else {})}.items():
            config = load(write_conf(Path(name), NOWHERE, state_url=url))
            print(page(kind, explained(config, events)), end="\n\n")


if __name__ == "__main__":
    main()
