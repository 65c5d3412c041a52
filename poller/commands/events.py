"""What was seen, and what became of it."""

from __future__ import annotations

from poller import explain as explaining
from poller import show, times
from poller.commands import clients, opening
from poller.commands.context import Context, print_json
from poller.config import Config
from poller.errors import ConfigError
from poller.events import EventType
from poller.exit_codes import DONE
from poller.jobs import AuditPoller
from poller.show.events import events_page, seen_json
from poller.show.explanation import explanation_page
from poller.times import utc_now
from state import Store


def run(
    context: Context,
    since: str | None,
    types: tuple[EventType, ...],
    repository: str | None,
    limit: int | None,
    key: str | None,
    *,
    as_json: bool,
) -> int:
    config = opening.config(context, warns=False)
    if key is not None:
        if since or types or repository or limit:
            raise ConfigError("--explain is of one event: leave --since, --type, --repository and --limit out")
        return _explain(config, key, as_json=as_json)
    start = times.of_option("--since", since, utc_now(), config.timezone) if since else None
    most = limit or (None if as_json else 50)
    seen = opening.look(config, lambda store: store.seen(since=start, types=types, repository=repository, limit=most))
    if as_json:
        for each in seen:
            print_json(seen_json(each))
    else:
        show.write(events_page(seen, config.timezone))
    return DONE


def _explain(config: Config, key: str, *, as_json: bool) -> int:
    def ask(store: Store) -> explaining.Explanation:
        decide = AuditPoller(clients.harbor(config), store, config).decide
        return explaining.explain(key, store, config, decide, utc_now())

    explained = opening.look(config, ask)
    if as_json:
        print_json(explained.to_json())
    else:
        show.write(explanation_page(explained, config.timezone))
    return DONE
