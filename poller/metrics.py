"""What is measured, as Prometheus wants it: the only module that knows its library.

What happens is counted as it is told (`heed`); what the state knows is taken from the last look at it.
docs/reference/metrics.md explains each metric, and a test holds it to what is here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from itertools import product
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from poller import __version__
from poller.config import Config
from poller.events import LOGS, EventType, Reason
from poller.measures import (
    NO_ANSWER,
    Asked,
    Delivered,
    Failure,
    Leads,
    Measure,
    Ran,
    Recorded,
    Result,
    RowsRead,
    ScanEnded,
    Service,
    Tried,
)
from poller.queries import KINDS, OTHER_KIND
from poller.routes import DEFAULT
from poller.vitals import Vitals
from state import Backlog, DeliveryState, Outcome

M = TypeVar("M", bound=MetricWrapperBase)

_PREFIX = "harbor_poller"
_TASKS = ("poll", "sweep", "watch", "deliver", "prune", "daily", "heartbeat")
"""The jobs of the daemon. Their label is not `job`: that is Prometheus' own, for where it has scraped."""
_METHODS = ("sendMessage", "editMessageText")
_ENDS = tuple(state for state in DeliveryState if state is not DeliveryState.PENDING)
_OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.RUNNING)
_THROTTLED = ("420", "429")
_ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_JOB_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300)
_WAIT_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 14400)


class Metrics:
    """`vitals`: what the last look at the state has found; None: the database does not answer."""

    def __init__(self, config: Config, vitals: Callable[[], Vitals | None], clock: Callable[[], datetime]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter, which nobody asks for
        self._registry = CollectorRegistry()
        self._clock = clock
        routes = tuple(dict.fromkeys([*(route.name for route in config.routes), DEFAULT]))
        self._define_clients()
        self._define_work(routes)
        self._define_jobs()
        self._registry.register(StateCollector(config, vitals, clock))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        info = Info(f"{_PREFIX}_build", "The program that runs, and what it runs on.", registry=self._registry)
        info.info(_build(config))

    def page(self, accept: str) -> tuple[str, bytes]:
        """The content type and text, as text format or OpenMetrics, whichever is asked for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    # -- what there is ------------------------------------------------------------------------------

    def _define_clients(self) -> None:
        kinds = [*(kind for kind, _ in KINDS), OTHER_KIND]
        codes = ["200", NO_ANSWER]
        about = "Requests to Harbor's API, by what was asked for and HTTP status (none: no whole answer)."
        harbor = self._counter("harbor_requests", about, kind=kinds, code=codes)
        about = "How long Harbor took to answer."
        harbor_time = self._histogram("harbor_request_duration_seconds", about, _ANSWER_SECONDS, kind=kinds)
        about = "Requests to Telegram's Bot API, by method and HTTP status (none: no whole answer)."
        telegram = self._counter("telegram_requests", about, method=_METHODS, code=codes)
        about = "How long Telegram took to answer."
        telegram_time = self._histogram("telegram_request_duration_seconds", about, _ANSWER_SECONDS, method=_METHODS)
        self._requests = {Service.HARBOR: (harbor, harbor_time), Service.TELEGRAM: (telegram, telegram_time)}
        about = "Requests that were answered 429 (or Telegram's 420): too many."
        self._throttled = self._counter("throttled_requests", about, server=Service)

    def _define_work(self, routes: Sequence[str]) -> None:
        about = "Rows of the audit log that were read; the newest ones are read again by each poll."
        self._rows = self._counter("audit_rows_read", about, log=LOGS)
        about = "Rows of the audit log that were not met before."
        self._new_rows = self._counter("audit_rows_new", about, log=LOGS)
        self._events = self._counter("events_recorded", "Events that were recorded, by type.", type=EventType)
        about = "Deliveries that came to their end, by route: an event on a route is sent, folded, refused or off."
        self._deliveries = self._counter("deliveries", about, route=routes, state=_ENDS)
        about = "Messages that were handed to Telegram, by what came of it."
        self._messages = self._counter("messages", about, route=routes, result=Result)
        about = "Messages that Telegram did not take as they were, by the word that the log has for it."
        self._failures = self._counter("message_failures", about, route=[], reason=[])
        about = "For how long the oldest event of a message could have been told when Telegram took it."
        self._waits = self._histogram("message_wait_seconds", about, _WAIT_SECONDS, route=routes)
        self._scans = self._counter("scans", "Scans that were noticed and are done with.", outcome=_OUTCOMES)

    def _define_jobs(self) -> None:
        self._runs = self._counter("task_runs", "How often a job of the daemon ran, well or not.", task=_TASKS)
        about = "How often a job failed, by who must act."
        self._failed = self._counter("task_failures", about, task=_TASKS, failure=Failure)
        self._in_a_row = self._gauge("task_consecutive_failures", "Failures since a job last succeeded.", task=_TASKS)
        about = "When a job last succeeded in this process; 0: not yet."
        self._succeeded = self._gauge("task_last_success_timestamp_seconds", about, task=_TASKS)
        self._durations = self._histogram("task_duration_seconds", "How long a job ran.", _JOB_SECONDS, task=_TASKS)
        about = "1 while this process polls and tells, 0 while it stands by."
        self._leads = self._gauge("lease_held", about)

    def _counter(self, name: str, about: str, **labels: Iterable[str]) -> Counter:
        return _with_all(Counter(name, about, tuple(labels), _PREFIX, registry=self._registry), labels)

    def _gauge(self, name: str, about: str, **labels: Iterable[str]) -> Gauge:
        return _with_all(Gauge(name, about, tuple(labels), _PREFIX, registry=self._registry), labels)

    def _histogram(self, name: str, about: str, buckets: Sequence[float], **labels: Iterable[str]) -> Histogram:
        found = Histogram(name, about, tuple(labels), _PREFIX, buckets=buckets, registry=self._registry)
        return _with_all(found, labels)

    # -- what happens -------------------------------------------------------------------------------

    def heed(self, measure: Measure) -> None:
        """A sink for every measure."""
        match measure:
            case Asked():
                self._asked(measure)
            case RowsRead(table, rows, new):
                self._rows.labels(table).inc(rows)
                self._new_rows.labels(table).inc(new)
            case Recorded():
                self._recorded(measure)
            case Delivered(route, state, events):
                self._deliveries.labels(route, state).inc(events)
            case Tried():
                self._tried(measure)
            case ScanEnded(outcome):
                self._scans.labels(outcome).inc()
            case Ran():
                self._ran(measure)
            case Leads():
                self._led(measure)

    def _asked(self, asked: Asked) -> None:
        count, time = self._requests[asked.service]
        count.labels(asked.what, asked.status).inc()
        time.labels(asked.what).observe(asked.seconds)
        if asked.status in _THROTTLED:
            self._throttled.labels(asked.service).inc()

    def _recorded(self, recorded: Recorded) -> None:
        for kind, events in recorded.events.items():
            self._events.labels(kind).inc(events)
        for (route, state), events in recorded.decided.items():
            if state in _ENDS:
                self._deliveries.labels(route, state).inc(events)

    def _tried(self, tried: Tried) -> None:
        self._messages.labels(tried.route, tried.result).inc()
        if tried.reason:
            self._failures.labels(tried.route, tried.reason).inc()
        if tried.waited is not None:
            self._waits.labels(tried.route).observe(max(tried.waited, 0))

    def _led(self, leads: Leads) -> None:
        """What failed before is another process's business now, or begins anew."""
        self._leads.set(leads.is_leading)
        for task in _TASKS:
            self._in_a_row.labels(task).set(0)

    def _ran(self, ran: Ran) -> None:
        if ran.job not in _TASKS:
            return  # the keeping of clock and lease is no work
        self._runs.labels(ran.job).inc()
        self._durations.labels(ran.job).observe(ran.seconds)
        if ran.failure is None:
            self._in_a_row.labels(ran.job).set(0)
            self._succeeded.labels(ran.job).set(self._clock().timestamp())
        else:
            self._in_a_row.labels(ran.job).inc()
            self._failed.labels(ran.job, ran.failure).inc()


def _with_all(metric: M, labels: dict[str, Iterable[str]]) -> M:
    """With every series from the start, at 0: of a counter that appears with its first event, no rate sees that."""
    for values in product(*labels.values()) if labels else ():
        metric.labels(*values)
    return metric


# -- what the state knows ---------------------------------------------------------------------------


class StateCollector(Collector):
    """What the last look at the state has found. Without a database it says only that there is none."""

    def __init__(self, config: Config, vitals: Callable[[], Vitals | None], clock: Callable[[], datetime]) -> None:
        self._routes = tuple(route.name for route in config.telling_routes)
        self._vitals = vitals
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Asked at the registration, before there is a state."""
        return []

    def collect(self) -> Iterator[Metric]:
        seen, now = self._vitals(), self._clock()
        about = "1 if the state database answered at the last look; otherwise what it knows is missing here."
        yield _gauge("state_up", about, (), {(): seen is not None})
        for name, about, labels, values in _OF_STATE:
            yield _gauge(name, about, labels, values(seen, self._routes, now) if seen else {})
        info = InfoMetricFamily(f"{_PREFIX}_harbor", "The Harbor that is polled, and what the account can see of it.")
        if seen is not None:
            info.add_metric((), {"version": seen.version, "access": seen.access, "log": seen.table})
        yield info


Values = Mapping[tuple[str, ...], float]


def _lag(seen: Vitals, _routes: Sequence[str], now: datetime) -> Values:
    return {(log,): max((now - at).total_seconds(), 0) for log, at in seen.read_until.items()}


def _newest(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(log,): at.timestamp() for log, at in seen.newest.items()}


def _backlog(seen: Vitals, routes: Sequence[str], _now: datetime) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for route, waiting in _by_route(seen, routes).items():
        found |= {(route, "due"): waiting.due, (route, "held"): waiting.held}
    return found


def _oldest(seen: Vitals, routes: Sequence[str], now: datetime) -> Values:
    waiting = _by_route(seen, routes)
    return {(route,): max((now - (each.oldest_due or now)).total_seconds(), 0) for route, each in waiting.items()}


def _by_route(seen: Vitals, routes: Sequence[str]) -> Mapping[str, Backlog]:
    """Also of routes that are not configured any more, as far as something waits on them."""
    return {route: Backlog() for route in routes} | dict(seen.backlog)


def _paused(seen: Vitals, _routes: Sequence[str], now: datetime) -> Values:
    return {(name,): chat.is_paused(now) for name, chat in seen.chats.items()}


def _refused(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(name,): chat.needs_operator for name, chat in seen.chats.items()}


def _gaps(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(str(reason),): seen.gaps.get(reason, 0) for reason in Reason}


def _scans(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(): seen.scans_running}


def _budget(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(): seen.sweep_budget}


def _round(seen: Vitals, _routes: Sequence[str], _now: datetime) -> Values:
    return {(): seen.sweep_round_began.timestamp() if seen.sweep_round_began else 0}


_OF_STATE: tuple[tuple[str, str, tuple[str, ...], Callable[[Vitals, Sequence[str], datetime], Values]], ...] = (
    ("log_lag_seconds", "How long ago the audit log was last read to its end.", ("log",), _lag),
    ("log_newest_row_timestamp_seconds", "When the newest row that was read happened.", ("log",), _newest),
    (
        "backlog_deliveries",
        "Deliveries that wait: those that are due, and those that are held back on purpose.",
        ("route", "waits"),
        _backlog,
    ),
    ("backlog_oldest_age_seconds", "For how long the oldest delivery that is due waits.", ("route",), _oldest),
    ("route_paused", "1 while a chat is left alone after Telegram did not take a message.", ("route",), _paused),
    (
        "route_needs_operator",
        "1 from such a time on that a person must mend, until a message is taken.",
        ("route",),
        _refused,
    ),
    ("gaps_open", "What cannot be seen now, by reason.", ("reason",), _gaps),
    ("scans_running", "Scans that were noticed and whose result is not known yet.", (), _scans),
    ("sweep_budget_requests", "Requests that the sweep may make at once; below 0: that it owes.", (), _budget),
    ("sweep_round_start_timestamp_seconds", "When the sweep's round began; 0: there was none.", (), _round),
)


def _gauge(name: str, about: str, labels: Sequence[str], values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", about, labels=labels)
    for names, value in values.items():
        family.add_metric(names, value)
    return family


def _build(config: Config) -> dict[str, str]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "sqlalchemy": version("SQLAlchemy"),
        "database": "sqlite" if config.state.file else "postgresql",
    }
