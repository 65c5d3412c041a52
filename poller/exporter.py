"""What the daemon shows of itself on `[metrics] listen`: metrics for Prometheus, and its health for probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from poller import health, vitals
from poller.config import Config
from poller.config_values import Address
from poller.measures import Measure
from poller.metrics import Metrics
from poller.serving import Page, Server
from poller.vitals import Lookout, Vitals
from state import Store

_INDEX = b"harbor-poller: /metrics for Prometheus, /healthz for probes\n"


class Exporter:
    """Listens from its making on; answers while `serving`. Raises ConfigError where it cannot listen."""

    def __init__(self, config: Config, listen: Address, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock
        self._pulse = health.Pulse()
        self._lookout: Lookout | None = None
        self._hangs: Callable[[], str] = str
        self._metrics = Metrics(config, self._vitals, clock)
        pages = {"/": lambda _: Page(_INDEX), "/metrics": self._metrics_page, "/healthz": lambda _: self._health_page()}
        self._server = Server(listen, pages)

    def heed(self, measure: Measure) -> None:
        """A sink for every measure."""
        self._pulse.heed(measure)
        self._metrics.heed(measure)

    def serving(self) -> Server:
        return self._server

    @contextmanager
    def watching(self, store: Store, hangs: Callable[[], str]) -> Iterator[None]:
        """Meanwhile it shows what that state knows, and what the daemon says of itself."""
        self._hangs = hangs
        with Lookout(lambda: vitals.read(store, self._config, self._clock())) as self._lookout:
            yield

    def _vitals(self) -> Vitals | None:
        return self._lookout.vitals if self._lookout else None

    def _metrics_page(self, accept: str) -> Page:
        content_type, body = self._metrics.page(accept)
        return Page(body, content_type)

    def _health_page(self) -> Page:
        seen = self._vitals()
        chats = seen.chats if seen else {}
        facts = health.Facts(
            hangs=self._hangs(),
            silence=self._lookout.silence if self._lookout else 0,
            poll_every=self._config.schedule.poll,
            refused=tuple(name for name, chat in chats.items() if chat.needs_operator),
        )
        found = health.judge(self._pulse, facts)
        return Page.of_json(found.content, 503 if found.is_failing else 200)
