"""Routes: which events go to which chat, what is said of a wrong one, and what becomes of each event on each."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.harbor import Outcome as Scanned
from demo.harbor import World
from demo.telegram import TelegramStandIn
from poller import check_routes, explain, jobs
from poller.config import Config, load
from poller.errors import ConfigError
from poller.events import (
    OF_OURSELVES,
    SBOM,
    CoverageNews,
    Event,
    EventType,
    Gap,
    Index,
    Phase,
    Reason,
    Repository,
    Scan,
    Source,
)
from poller.reporting import image_group
from poller.routes import DEFAULT, NEVER_HIDDEN, NO_ROUTE, Filter, QuietHours, Route, ask, spread
from poller.secret import Secret
from poller.standing import standing
from poller.telegram import Telegram
from poller.telling import Teller, Told, Wait
from poller.turns import Tellers, soonest
from poller.values import replace
from state import SCANNERS_OWN, DeliveryState, Mode, NoticedScan, Outcome, RouteState, Store, Telling, Wave
from tests import test_cli
from tests.harness import NOON, TOKEN, Clock, Site, site
from tests.test_config import HARBOR, REFERENCE, TELEGRAM, loaded, mistakes, written

PENDING, OFF, FOLDED = DeliveryState.PENDING, DeliveryState.OFF, DeliveryState.FOLDED
PUSH = Event.example()
SECOND = timedelta(seconds=1)


def pull(**changes: object) -> Event:
    return Event.example(type=EventType.PULL_ARTIFACT, **changes)


def scan(severity: str, **changes: object) -> Event:
    overview = {"mime": {"severity": severity, "report_id": "r1", "scan_status": "Success"}}
    facts = {"type": EventType.SCANNING_COMPLETED, "source": Source.SCAN, "source_id": 0, "scan": Scan(overview)}
    return Event.example(**facts | changes)


def login() -> Event:
    return Event.example(type=EventType.LOGIN, repository=None, tag=None, digest=None, subject="ann")


def coverage() -> Event:
    news = CoverageNews(Phase.BEGAN, (Gap("audit_log_ext/team", Reason.PROJECT_CLOSED, NOON),))
    facts = {"type": EventType.COVERAGE, "source": Source.WATCH, "source_id": 0, "coverage": news}
    return Event.example(**facts, repository=None, tag=None, digest=None, operator="harbor-poller")


def not_understood() -> Event:
    return Event.example(type=EventType.NOT_UNDERSTOOD, repository=None, tag=None, digest=None, subject="row 5")


def route(name: str, chat: int = -1, *, nowhere: bool = False, goes_on: bool = False, **filters: object) -> Route:
    return Route(name, chat, takes=Filter(**filters), is_nowhere=nowhere, goes_on=goes_on)  # type: ignore[arg-type] # as the tests say


def went(event: Event, *routes: Route) -> dict[str | None, str]:
    """What becomes of a pending event: the reason on each route, "" where it is to be told."""
    return {each.route: each.reason for each in spread(Telling(event, PENDING), routes)}


# -- filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "why_not"),
    [
        ({}, ""),
        ({"types": frozenset({EventType.PUSH_ARTIFACT})}, ""),
        ({"types": frozenset({EventType.PULL_ARTIFACT})}, "events does not name PUSH_ARTIFACT"),
        ({"projects": ("lib", "te*")}, ""),
        ({"projects": ("lib",)}, "projects does not match team"),
        ({"repositories": ("team/*",)}, ""),
        ({"repositories": ("app",)}, "repositories does not match team/app"),
        ({"tags": ("1.*",)}, ""),
        ({"tags": ("latest",)}, "tags does not match 1.27"),
        ({"operators": ("a?n",)}, ""),
        ({"operators": ("ANN",)}, "operators does not match ann"),
        ({"severity": "high"}, "severity = high: only completed scans have one"),
    ],
)
def test_a_filter_takes_what_all_of_its_keys_match(filters: dict[str, object], why_not: str) -> None:
    assert Filter(**filters).why_not(PUSH) == why_not  # type: ignore[arg-type] # as the tests say
    assert Filter(**filters).takes(PUSH) == (not why_not)  # type: ignore[arg-type] # as the tests say


@pytest.mark.parametrize(
    ("worst", "is_taken"), [("Critical", True), ("High", True), ("Medium", False), ("None", False)]
)
def test_a_severity_takes_scans_with_findings_as_bad_or_worse(worst: str, is_taken: bool) -> None:
    assert Filter(severity="high").takes(scan(worst)) is is_taken
    assert not Filter(severity="high").takes(scan(worst, type=EventType.SCANNING_FAILED))


def test_what_an_event_has_not_matches_no_pattern() -> None:
    """Not even the star; a project's own events and its robots' have that project, and a platform its image's tag."""
    for filters in (Filter(projects=("*",)), Filter(repositories=("*",)), Filter(tags=("*",))):
        assert not filters.takes(login())
        assert not filters.takes(coverage())
    assert not Filter(tags=("*",)).takes(pull(tag=None))
    made = Event.example(type=EventType.PROJECT_CREATED, repository=None, tag=None, digest=None, subject="team")
    robot = replace(made, type=EventType.ROBOT_CREATED, subject="robot$team+ci")
    assert all(Filter(projects=("team",)).takes(event) for event in (made, robot))
    platform = replace(scan("High"), tag=None)
    assert platform.scan
    platform = replace(platform, scan=replace(platform.scan, index=Index("sha256:i", "2.0", "linux/arm64")))
    assert Filter(tags=("2.*",)).takes(platform)


# -- which routes take it -------------------------------------------------------------------------------


def test_the_first_match_wins_unless_it_continues() -> None:
    first, second = route("a", types=frozenset({EventType.PUSH_ARTIFACT})), route("b")
    assert went(PUSH, first, second) == {"a": ""}
    assert went(pull(), first, second) == {"b": ""}
    assert went(PUSH, replace(first, goes_on=True), second) == {"a": "", "b": ""}


def test_what_no_route_takes_is_off_and_says_so() -> None:
    assert went(pull(), route("a", projects=("lib",))) == {None: NO_ROUTE}
    assert went(pull(), route("x", nowhere=True), route("b")) == {"x": 'route "x": nowhere'}
    assert went(pull(), route("a", goes_on=True), route("x", nowhere=True)) == {"a": ""}
    assert [each.state for each in spread(Telling(pull(), PENDING), [])] == [OFF]


def test_results_below_a_routes_minimum_are_off_there() -> None:
    strict = replace(route("a", goes_on=True), minimum_severity="high")
    assert went(scan("Low"), strict, route("b")) == {"a": 'route "a": minimum_severity = high', "b": ""}
    assert went(scan("High"), strict) == went(PUSH, strict) == {"a": ""}
    bill = scan("", scan=Scan({SBOM: {"scan_status": "Success"}}, SBOM))
    assert went(bill, strict) == {"a": ""}


@pytest.mark.parametrize("news", [coverage(), not_understood()], ids=["not seen", "not understood"])
def test_that_something_is_not_seen_or_understood_is_never_lost_by_a_filter(news: Event) -> None:
    """It goes to the first route that takes it and tells, else to the first that tells anything."""
    assert went(news, route("x", nowhere=True), route("a", projects=("team",)), route("b")) == {"b": ""}
    assert went(news, route("x", nowhere=True), route("a", projects=("team",))) == {"a": ""}
    by_name = route("x", nowhere=True, types=frozenset({news.type}))
    assert went(news, by_name, route("b")) == {"x": 'route "x": nowhere'}
    assert went(news, route("x", nowhere=True)) == {None: NO_ROUTE}


def test_what_is_not_told_needs_no_route_but_its_group() -> None:
    """A summary speaks of all of its group, so each route has to know them."""
    off = Telling(PUSH, OFF, "events.PUSH_ARTIFACT = false")
    assert spread(off, [route("a")]) == (off,)
    grouped = Telling(scan("Low"), OFF, "scans.minimum_severity = high", group="wave:1")
    both = [route("a", goes_on=True), route("b")]
    assert spread(grouped, both) == (replace(grouped, route="a"), replace(grouped, route="b"))
    assert spread(grouped, [route("a", projects=("lib",))]) == (grouped,)


def test_a_part_goes_where_the_whole_goes() -> None:
    """A platform of an image has no tag of its own."""
    routes = [route("a", tags=("1.*",)), route("b")]
    platform = Telling(replace(PUSH, tag=None), PENDING, group="image:1")
    assert [each.route for each in spread(platform, routes)] == ["b"]
    assert [each.route for each in spread(replace(platform, along=(PUSH,)), routes)] == ["a"]


# -- any routes -----------------------------------------------------------------------------------------

GLOBS = st.lists(st.sampled_from(["team", "te*", "*", "lib", "team/app", "1.27", "v?", "ann", "[ab]nn"]), max_size=2)
SEVERITIES = st.sampled_from(["critical", "high", "medium", "low"])


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    return Filter(
        types=draw(st.frozensets(st.sampled_from(EventType), max_size=3)),
        projects=tuple(draw(GLOBS)),
        repositories=tuple(draw(GLOBS)),
        tags=tuple(draw(GLOBS)),
        operators=tuple(draw(GLOBS)),
        severity=draw(st.none() | SEVERITIES),
    )


@st.composite
def any_routes(draw: st.DrawFn) -> list[Route]:
    """Up to five, mostly wide ones, so that they meet the same events."""
    some = st.builds(
        Route,
        name=st.just(""),
        chat_id=st.sampled_from([-1, -2]),
        minimum_severity=st.just("none") | SEVERITIES,
        takes=st.just(Filter()) | filters(),
        is_nowhere=st.booleans(),
        goes_on=st.booleans(),
    )
    found = draw(st.lists(some, max_size=5))
    return [replace(each, name=f"route {number}") for number, each in enumerate(found)]


EVENTS = st.sampled_from(
    [
        *(
            Event.example(type=type_)
            for type_ in EventType
            if not type_.startswith("SCANNING") and type_ not in OF_OURSELVES
        ),
        *(scan(severity) for severity in ("Critical", "Low", "None")),
        scan("High", repository=Repository("lib/db"), tag=None),
        login(),
        coverage(),
        not_understood(),
    ]
)


@given(event=EVENTS, routes=any_routes())
def test_an_event_is_never_dropped_and_goes_to_no_route_twice(event: Event, routes: list[Route]) -> None:
    tellings = spread(Telling(event, PENDING), routes)
    names = [each.route for each in tellings]
    assert tellings
    assert len(names) == len(set(names))
    assert all((each.state is PENDING) != bool(each.reason) for each in tellings)
    told = {each.route for each in tellings if each.state is PENDING}
    assert told <= {each.name for each in routes if not each.is_nowhere}
    if event.type in NEVER_HIDDEN and any(not each.is_nowhere for each in routes):
        by_name = [each for each in routes if each.is_nowhere and event.type in each.takes.types]
        assert told or by_name


@cache
def usual_config() -> Config:
    with tempfile.TemporaryDirectory() as folder:
        return loaded(Path(folder))


@given(event=EVENTS, routes=any_routes())
def test_a_route_that_can_never_match_never_does(event: Event, routes: list[Route]) -> None:
    """What `check` says of patterns is true of every event; what is never hidden apart, which comes anyway."""
    config = replace(usual_config(), events=frozenset(EventType), routes=tuple(routes))
    hopeless = {
        each.name for number, each in enumerate(routes) if check_routes.never(each, routes[:number], config) is not None
    }
    took = {each.route.name for each in ask(event, routes) if not each.why_not}
    if event.type not in NEVER_HIDDEN:
        assert not took & hopeless


@given(event=EVENTS, routes=any_routes())
def test_what_check_does_not_warn_about_is_not_told_twice(event: Event, routes: list[Route]) -> None:
    telling = [each.route for each in ask(event, routes) if not each.why_not and not each.route.is_nowhere]
    for first, second in pairwise(telling):
        if first.chat_id == second.chat_id:
            later = routes[routes.index(first) + 1 :]
            assert check_routes.told_again(first, later, frozenset(EventType)) is not None


# -- the configuration ----------------------------------------------------------------------------------


def configured(folder: Path, text: str, *, top: str = "", telegram: str = TELEGRAM) -> Config:
    return load(written(folder, top + HARBOR + telegram + text), {})


def test_without_routes_all_goes_to_the_chat_of_telegram(tmp_path: Path) -> None:
    assert loaded(tmp_path).routes == (Route(DEFAULT, -1001234567890, language="ru"),)


def test_a_route_takes_what_it_does_not_say_from_telegram(tmp_path: Path) -> None:
    telegram = TELEGRAM + 'message_thread_id = 7\nsilent = ["pull_*"]\nquiet_hours = "22:00-07:00"\n'
    text = """
[[route]]
events = ["SCANNING_*"]
[[route]]
name = "other chat"
chat_id = "-1002"
language = "en"
silent = false
quiet_hours = "23:30 - 24:00 Asia/Tokyo"
every = "1h"
minimum_severity = "High"
continue = true
[[route]]
message_thread_id = "1"
silent = true
quiet_hours = "off"
[[route]]
name = "none"
nowhere = true
"""
    got = configured(tmp_path, text, top="timezone = 'Europe/Moscow'\n", telegram=telegram)
    first, second, third, last = got.routes
    quiet = QuietHours(time(22), time(7), ZoneInfo("Europe/Moscow"))
    scans = frozenset({EventType.SCANNING_COMPLETED, EventType.SCANNING_STOPPED, EventType.SCANNING_FAILED})
    pulls = frozenset({EventType.PULL_ARTIFACT})
    assert first == Route(
        "events SCANNING_*", -1001234567890, 7, "ru", pulls, quiet_hours=quiet, takes=Filter(types=scans)
    )
    tokyo = QuietHours(time(23, 30), time(0), ZoneInfo("Asia/Tokyo"))
    assert second == Route("other chat", -1002, None, "en", frozenset(), "high", tokyo, 3600.0, goes_on=True)
    assert (third.name, third.message_thread_id, third.quiet_hours) == ("all to 1", None, None)
    assert third.silent == frozenset(EventType)
    assert (last.name, last.is_nowhere) == ("none", True)
    assert (got.telegram.silent, got.telegram.quiet_hours) == (pulls, quiet)
    assert got.telling_routes == (first, second, third)


def test_telegram_needs_no_chat_where_each_route_has_one(tmp_path: Path) -> None:
    bare = TELEGRAM.replace("chat_id = -1001234567890", "")
    text = "[[route]]\nprojects = ['a*']\nnowhere = true\n[[route]]\nchat_id = -5\nmessage_thread_id = 3\n"
    assert configured(tmp_path, text, telegram=bare).telegram.chat_id == -5
    for lacking in ("[[route]]\nlanguage = 'en'\n", "[[route]]\nnowhere = true\n"):
        (told,) = mistakes(tmp_path, HARBOR + bare + lacking)
        assert told.startswith("[telegram] chat_id is missing")
        assert told.endswith("or give each [[route]] a chat_id")
    (told,) = mistakes(tmp_path, HARBOR + bare + "message_thread_id = 9\n" + text)
    assert told == "[telegram] message_thread_id is the topic of no chat: give chat_id, or move it there"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[route]\nlanguage = 'en'", "[route] must have double brackets, for there may be several: [[route]]"),
        ("[[routes]]\n", "[routes]: unknown section; did you mean [[route]]?"),
        ("[[route]]\nproject = ['a']", "[[route]] 1 project: unknown key; did you mean projects?"),
        ("[[route]]\nname = 'x'\nwhen = 1", '[[route]] "x" when: unknown key; known here are name, events'),
        ("[[route]]\nevents = ['PUSH_ARTEFACT']", "names no kind of event; did you mean PUSH_ARTIFACT?"),
        ("[[route]]\nevents = ['zzz*']", "names no kind of event: [events] lists them"),
        ("[[route]]\nevents = 'PUSH_ARTIFACT'", 'must be a list such as ["PUSH_ARTIFACT", "SCANNING_*"]'),
        ("[[route]]\nprojects = ['team/app']", "must name projects, only what stands before the slash"),
        ("[[route]]\nprojects = ['Team']", "can never match: names in Harbor have lower-case letters"),
        (
            "[[route]]\nrepositories = ['app']",
            'must name repositories with their project, as in "team/app" or "team/*"',
        ),
        ("[[route]]\ntags = ['app:1']", "must be tags alone, what stands behind the colon"),
        ("[[route]]\noperators = ['']", 'must be a list such as ["ann", "robot$ci*"]'),
        ("[[route]]\nseverity = 'none'", '[[route]] 1 severity = "none": must be "critical" or "high" or'),
        ("[[route]]\nsilent = 'PULL'", "must be true, false, or a list of kinds of events"),
        ("[[route]]\nquiet_hours = '22-7'", 'must be as in "22:00-07:00" or "22:00-07:00 Europe/Berlin", or "off"'),
        ("[[route]]\nquiet_hours = '22:00-24:01'", "must have times of day, from 00:00 to 24:00"),
        ("[[route]]\nquiet_hours = '07:00-07:00'", "must not end when it begins"),
        ("[[route]]\nquiet_hours = '1:00-2:00 Europe/Belrin'", 'did you mean "Europe/Berlin"?'),
        ("[[route]]\nevery = '5s'", 'must be between "1m" and "7d"'),
        ("[[route]]\nname = 'telegram'", "is what the chat of [telegram] is called where there are no routes"),
        ('[[route]]\nname = "a\\u0007b"', "must have 1 to 60 visible characters"),
        ("[[route]]\nname = 'a'\n[[route]]\nname = 'a'", '[[route]] "a" is there twice: give each a name of its own'),
        ("[[route]]\nnowhere = true\nchat_id = 5", "nowhere leaves nothing for chat_id to say: keep the one or other"),
        ("[[route]]\nchat_id = 'x'", '[[route]] 1 chat_id = "x": must be the number of a chat'),
    ],
)
def test_a_wrong_route_is_named(tmp_path: Path, text: str, says: str) -> None:
    (told,) = mistakes(tmp_path, HARBOR + TELEGRAM + text)
    assert says in told
    assert told.startswith(("[[route]]", "[route"))


def test_a_route_must_be_a_table(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, "route = 'x'\n" + HARBOR + TELEGRAM)
    assert told == "route must be a table of its own for each: a line [[route]], its keys below it"


def test_a_route_without_a_name_is_called_by_what_it_says(tmp_path: Path) -> None:
    """Not by its place in the file, so that what waits on it stays there when a table is put before."""
    library = "[[route]]\nprojects = ['lib', 'l*']\ntags = ['v1']\nchat_id = -5\nmessage_thread_id = 7\n"
    many = f"[[route]]\noperators = {[f'robot$ci{n}' for n in range(9)]}\n"
    *first, long_one = (route.name for route in configured(tmp_path, library + library + "[[route]]\n" + many).routes)
    assert first == ["projects lib l*, tags v1 to -5/7", "projects lib l*, tags v1 to -5/7 (2)", "all"]
    assert re.fullmatch(r"operators robot\$ci0 .*… [0-9a-f]{8}", long_one)
    assert len(long_one) < 60
    named = "[[route]]\nname = 'all'\nevents = ['PULL*']\n"
    again = configured(tmp_path, named + many + "[[route]]\n" + library)
    assert [route.name for route in again.routes] == ["all", long_one, "all (2)", first[0]]


def test_routes_that_all_lead_nowhere_are_warned_about(tmp_path: Path) -> None:
    assert "nothing will be told" in configured(tmp_path, "[[route]]\nnowhere = true\n").warnings[0].text


def test_the_reference_shows_every_key_of_a_route(tmp_path: Path) -> None:
    """As an example that is right."""
    from poller.config_routes import ROUTE_KEYS

    text = REFERENCE.read_text(encoding="utf-8").partition("# [[route]]\n")[2]
    shown = re.findall(r"^#   (\w+) = ", text, re.MULTILINE)
    assert shown == sorted(shown, key=ROUTE_KEYS.index) or set(shown) == set(ROUTE_KEYS)
    assert set(shown) == set(ROUTE_KEYS)
    lines = [line.removeprefix("#   ") for line in text.splitlines() if re.match(r"#   \w+ = ", line)]
    example = "\n".join(line for line in lines if not line.startswith("nowhere"))
    assert configured(tmp_path, f"[[route]]\n{example}\n").routes[0].name == "security"


# -- what can never match -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[route]]\n[[route]]\nname = 'b'\n", '"b" can never take anything: "all" before it takes all of that'),
        ("[[route]]\ncontinue = true\n[[route]]\nchat_id = -5\n", ""),
        ("[[route]]\ncontinue = true\n[[route]]\n", "lead to the same place: what both take is told there twice"),
        ("[[route]]\ncontinue = true\nevents = ['PU*']\n[[route]]\nevents = ['DEL*']\n", ""),
        ("[[route]]\ncontinue = true\nprojects = ['team']\n[[route]]\nprojects = ['lib*']\n", ""),
        ("[[route]]\ncontinue = true\nprojects = ['te*']\n[[route]]\nrepositories = ['library/a']\n", ""),
        ("[[route]]\ncontinue = true\noperators = ['ci-*']\n[[route]]\noperators = ['ann', 'bob*']\n", ""),
        ("[[route]]\ncontinue = true\nprojects = ['t*m']\n[[route]]\nprojects = ['te*']\n", "is told there twice"),
        ("[[route]]\ncontinue = true\ntags = ['v1']\n[[route]]\ntags = ['latest']\n", "is told there twice"),
        ("[[route]]\nprojects = ['te*']\n[[route]]\nprojects = ['team']\n", '"projects te*" before it takes all'),
        ("[[route]]\nprojects = ['team']\n[[route]]\nprojects = ['te*']\n", ""),
        ("[[route]]\nprojects = ['te*']\n[[route]]\nprojects = ['team*']\n", '"projects te*" before it takes all'),
        ("[[route]]\nprojects = ['*']\n[[route]]\n", ""),
        (
            "[[route]]\nprojects = ['team']\n[[route]]\nrepositories = ['team/app*']\n",
            '"projects team" before it takes all',
        ),
        ("[[route]]\nrepositories = ['team/*']\n[[route]]\nprojects = ['team']\n", ""),
        ("[[route]]\nseverity = 'high'\n[[route]]\nseverity = 'critical'\n", '"severity high" before it takes all'),
        ("[[route]]\nseverity = 'critical'\n[[route]]\nseverity = 'high'\n", ""),
        ("[[route]]\nnowhere = true\n[[route]]\n", ""),
        ("[[route]]\nnowhere = true\n[[route]]\nevents = ['PUSH*']\n", '"all" before it takes all'),
        (
            "[[route]]\nevents = ['PU*']\n[[route]]\nevents = ['DEL*']\n[[route]]\nevents = ['PUSH*', 'DEL*']\n",
            '"events DEL*" and "events PU*" before it takes all',
        ),
        ("[[route]]\nevents = ['LOGIN*']\n", "[events] has LOGIN, LOGIN_REFUSED switched off"),
        ("[[route]]\nevents = ['PUSH*']\nseverity = 'low'\n", "only SCANNING_COMPLETED has a severity"),
        ("[[route]]\nevents = ['COVERAGE']\nprojects = ['team']\n", "has no project, repository or tag"),
        ("[[route]]\nprojects = ['other']\n", "[harbor] projects names none that matches other"),
        ("[[route]]\nrepositories = ['o*/app']\n", ""),
        ("[[route]]\nrepositories = ['other/app']\n", "[harbor] projects names none that matches other"),
        ("[[route]]\nseverity = 'high'\nminimum_severity = 'low'\n", ""),
    ],
)
def test_check_names_routes_that_can_never_match(tmp_path: Path, text: str, says: str) -> None:
    config = load(written(tmp_path, HARBOR + "projects = ['team', 'library']\n" + TELEGRAM + text), {})
    found = [finding.text for finding in check_routes.probe(config) if finding.mark == "!"]
    assert (says in found[0]) if says else not found


# -- told, by both stand-ins ----------------------------------------------------------------------------

TWO = """
[[route]]
name = "scans"
events = ["SCANNING_*", "PUSH_ARTIFACT"]
chat_id = "-1002"
language = "en"
continue = true
[[route]]
name = "rest"
projects = ["team"]
"""


class Town:
    """A site whose messages arrive at a stand-in of Telegram."""

    def __init__(self, here: Site, telegram: TelegramStandIn) -> None:
        self.here = here
        self.telegram = telegram

    def tellers(self) -> Tellers:
        jobs.route_anew(self.here.store, self.here.config)
        return Tellers({route.name: self.teller(route.name) for route in self.here.config.telling_routes})

    def teller(self, name: str) -> Teller:
        client = Telegram(Secret(TOKEN), api_url=self.telegram.url)
        config = self.here.config
        return Teller(
            client, self.here.store, config, self.here.clock, next(r for r in config.routes if r.name == name)
        )

    def tell(self) -> None:
        """Until nothing is due."""
        tellers = self.tellers()
        while not isinstance(step := tellers.deliver(), Wait) or step.seconds is not None:
            self.here.clock.advance(1 if isinstance(step, Told) else step.seconds or 0)

    def messages(self) -> list[tuple[int | str, str]]:
        """(chat, first line) of each message that arrived."""
        return [(message.chat_id, message.text.partition("\n")[0]) for message in self.telegram.messages]

    def became(self) -> dict[str, dict[str, str]]:
        """State or reason on each route, by the tag and type of the event."""
        return {
            f"{seen.event.tag or seen.event.subject} {seen.event.type}": {
                d.route: d.reason or str(d.state) for d in seen.deliveries
            }
            for seen in self.here.store.seen()
        }


@contextmanager
def open_town(folder: Path, more: str = TWO, state_url: str | None = None) -> Iterator[Town]:
    clock = Clock()
    world = World(clock=clock.tick)
    for project in ("team", "lib"):
        world.create_project(project)
    with (
        TelegramStandIn(token=TOKEN) as telegram,
        site(folder, world, clock, more=more, state_url=state_url) as here,
    ):
        here.poll()
        yield Town(here, telegram)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Polled once, with the two routes of TWO."""
    with open_town(tmp_path) as opened:
        yield opened


def test_each_event_goes_where_its_routes_say(town: Town) -> None:
    """And in the language of each; what no route takes is off and says so."""
    town.here.world.push("team/app", "1", "ann")
    town.here.world.push("lib/db", "2", "ann")
    town.here.poll()
    town.here.world.pull("lib/db", "2", "bob")
    town.here.world.pull("team/app", "1", "bob")
    town.here.poll()
    town.tell()
    assert sorted(town.messages()) == sorted(
        [
            (-1002, "📦 New push in Harbor"),
            (-1002, "📦 New push in Harbor"),
            (-1001, "📦 Новый пуш в Harbor"),
            (-1001, "📥 Pull в Harbor"),
        ]
    )
    became = town.became()
    assert became["1 PUSH_ARTIFACT"] == {"scans": "sent", "rest": "sent"}
    assert became["2 PUSH_ARTIFACT"] == {"scans": "sent"}
    assert became["2 PULL_ARTIFACT"] == {DEFAULT: NO_ROUTE}


BY_TAG = """
[[route]]
name = "releases"
chat_id = "-1002"
tags = ["v*"]
[[route]]
name = "dev"
tags = ["dev-*"]
nowhere = true
[[route]]
name = "rest"
"""


@pytest.fixture
def by_tag(tmp_path: Path, state_url: str) -> Iterator[Town]:
    with open_town(tmp_path, BY_TAG, state_url) as opened:
        yield opened


def live(town: Town, *, polls: int = 2) -> None:
    for _ in range(polls):
        town.here.poll()
        town.tell()


def test_what_is_attached_later_goes_where_its_image_is(by_tag: Town) -> None:
    """To each of its tags; and nowhere, if the image goes nowhere."""
    world = by_tag.here.world
    for tag, content in (("v1", "a"), ("latest", "a"), ("dev-1", "b")):
        world.push("team/app", tag, "ann", content=content)
    live(by_tag)
    assert [chat for chat, _ in by_tag.messages()] == [-1002, -1001]
    world.attach("team/app", "v1", "sig", "ann")
    world.attach("team/app", "dev-1", "att", "ann")
    live(by_tag)
    assert len(by_tag.messages()) == 2
    assert all("одписан" in message.text for message in by_tag.telegram.messages)
    attached = [each for name, each in by_tag.became().items() if name.startswith("sha256-")]
    assert [{*each} for each in attached] == [{"releases", "rest"}, {"dev"}]


def test_platforms_that_were_seen_before_their_index_go_where_it_goes(
    by_tag: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = by_tag.here.world
    push = world._push

    def with_late_row(repository: str, tag: str | None, *facts: Any, **more: Any) -> None:
        if tag is not None:
            world.hold_row()
        push(repository, tag, *facts, **more)

    monkeypatch.setattr(world, "_push", with_late_row)
    world.push_index("team/two", "v1", "ann")
    by_tag.here.poll(1)
    world.release()
    by_tag.here.poll(1)
    by_tag.tell()
    assert [chat for chat, _ in by_tag.messages()] == [-1002]
    assert {route for routes in by_tag.became().values() for route in routes} == {"releases"}


def test_pulls_and_deletions_of_parts_go_where_the_whole_goes(by_tag: Town) -> None:
    world, store = by_tag.here.world, by_tag.here.store
    index = world.push_index("team/two", "v1", "ann")
    world.attach("team/two", "v1", "sig", "ann", as_referrer=True)
    unwanted = world.push_index("team/two", "dev-1", "ann")
    live(by_tag)
    by_tag.here.clock.advance(600)
    for tag, digest in (("v1", index), ("dev-1", unwanted)):
        world.pull("team/two", tag, "bob")
        by_tag.here.poll(1)
        world.pull("team/two", store.platforms_of("team/two", digest)[0].digest, "bob")
        by_tag.here.poll(1)
    live(by_tag)
    world.delete_artifact("team/two", "v1", "ann")
    live(by_tag, polls=3)
    assert {chat for chat, _ in by_tag.messages()} == {-1002}


def test_a_result_and_a_deletion_go_where_any_tag_of_the_image_goes(by_tag: Town) -> None:
    world = by_tag.here.world
    for tag in ("v1", "latest"):
        world.push("team/app", tag, "ann", content="same")
    live(by_tag)
    by_tag.here.clock.advance(60)
    world.scan("team/app", "v1", Scanned.SUCCESS, {"Critical": 2}, asked_by="ann")
    live(by_tag, polls=4)
    world.delete_artifact("team/app", "latest", "ann")
    live(by_tag)
    both = {"releases": "sent", "rest": "sent"}
    assert by_tag.became()["latest SCANNING_COMPLETED"] == both
    assert by_tag.became()["latest DELETE_ARTIFACT"] == both


def test_what_waits_for_the_only_chat_goes_along_its_image(tmp_path: Path, state_url: str) -> None:
    with open_town(tmp_path, more="", state_url=state_url) as town:
        town.here.world.push("team/app", "v1", "ann")
        town.here.world.attach("team/app", "v1", "sig", "ann")
        town.here.poll()
        town.here.configure(more=BY_TAG)
        town.here.restart()
        town.tell()
        assert [chat for chat, _ in town.messages()] == [-1002]
        assert {route for routes in town.became().values() for route in routes} == {"releases"}


def test_a_wave_ends_on_every_route_and_each_summary_knows_all_of_it(tmp_path: Path) -> None:
    """One event is one member, on however many routes; below a route's minimum it is counted all the same."""
    more = """
[scans]
important = "off"
[[route]]
name = "all"
continue = true
[[route]]
name = "bad"
chat_id = "-1002"
minimum_severity = "high"
"""
    with open_town(tmp_path, more) as town:
        here = town.here
        for number in range(7):
            here.world.push("team/app", f"{number}", "ann")
        here.clock.advance(600)
        here.poll()
        town.tell()
        before = len(town.messages())
        here.world.scan_all()
        for _ in range(40):
            here.poll()
        wave = here.store.wave()
        assert wave is None
        town.tell()
        told = town.messages()[before:]
        assert len([chat for chat, _ in told if chat == -1001]) == 1
        states = {(route, state) for routes in town.became().values() for route, state in routes.items()}
        assert ("bad", 'route "bad": minimum_severity = high') in states
        assert not any(state == "pending" for _, state in states)


def test_a_result_below_a_routes_minimum_is_not_in_the_message_of_the_push_either(
    tmp_path: Path, state_url: str
) -> None:
    """On a route that has no minimum it is."""
    more = "[[route]]\nname = 'strict'\nminimum_severity = 'high'\ncontinue = true\n"
    with open_town(tmp_path, f"{more}[[route]]\nname = 'all'\nchat_id = -1002\n", state_url=state_url) as town:
        town.here.world.push("team/app", "1", "ann")
        town.here.world.scan("team/app", "1", Scanned.SUCCESS, {"Low": 2}, asked_by="ann")
        live(town, polls=4)
        assert town.became()["1 SCANNING_COMPLETED"]["strict"] == 'route "strict": minimum_severity = high'
        strict, everything = sorted(town.telegram.messages, key=lambda message: message.chat_id, reverse=True)
        assert "Low" not in strict.text
        assert "Скан" not in strict.text
        assert "Скан" in everything.text


def test_what_waits_on_a_route_that_is_gone_goes_by_the_routes_of_today(tmp_path: Path, state_url: str) -> None:
    """Renamed or removed: nothing is lost, nothing is told twice, and it is said once."""
    with open_town(tmp_path, state_url=state_url) as town:
        here = town.here
        here.world.push("team/app", "1", "ann")
        here.world.push("lib/db", "2", "ann")
        here.poll()
        here.clock.advance(10)
        assert isinstance(Tellers({"scans": town.teller("scans")}).deliver(), Told)  # by the old name
        here.configure(more=TWO.replace('"scans"', '"security"').replace('"rest"', '"rest"\nevents = ["PULL*"]'))
        here.restart()
        town.tell()
        became = town.became()
        assert became["1 PUSH_ARTIFACT"]["scans"] == "sent"
        assert became["2 PUSH_ARTIFACT"] == {"security": "sent"}
        assert len(town.messages()) == 3
        telling = [route.name for route in here.config.telling_routes]
        assert here.store.stray(telling) == {}
        here.world.push("team/app", "3", "ann")
        here.poll()
        here.configure(more="[[route]]\nnowhere = true\n")
        here.restart()
        town.tell()
        assert town.became()["3 PUSH_ARTIFACT"] == {"all": 'route "all": nowhere'}
        assert len(town.messages()) == 3


def test_without_routes_what_waited_on_them_goes_to_the_chat(town: Town) -> None:
    town.here.world.push("lib/db", "2", "ann")
    town.here.poll()
    town.here.configure()
    town.here.restart()
    town.tell()
    assert town.became()["2 PUSH_ARTIFACT"] == {DEFAULT: "sent"}
    assert town.messages() == [(-1001, "📦 Новый пуш в Harbor")]


def test_what_waited_for_the_only_chat_goes_by_the_first_routes(tmp_path: Path, state_url: str) -> None:
    with open_town(tmp_path, more="", state_url=state_url) as town:
        town.here.world.push("team/app", "1", "ann")
        town.here.poll()
        town.here.configure(more=TWO)
        town.here.restart()
        town.tell()
        assert town.became()["1 PUSH_ARTIFACT"] == {"scans": "sent", "rest": "sent"}


def test_what_waits_on_a_route_that_now_leads_nowhere_is_off(tmp_path: Path, state_url: str) -> None:
    noise = "[[route]]\nname = 'noise'\nevents = ['PULL*']\n"
    with open_town(tmp_path, more=noise, state_url=state_url) as town:
        town.here.world.push("team/app", "1", "ann")
        town.here.world.pull("team/app", "1", "bob")
        town.here.poll()
        town.here.configure(more=f"{noise}nowhere = true\n[[route]]\nname = 'rest'\n")
        town.here.restart()
        town.tell()
        assert town.became()["1 PULL_ARTIFACT"] == {"noise": 'route "noise": nowhere'}
        assert town.messages() == []


def test_what_waits_on_a_route_without_a_name_stays_there_when_another_is_put_before(tmp_path: Path) -> None:
    library = "[[route]]\nchat_id = '-1002'\nprojects = ['lib']\n[[route]]\n"
    with open_town(tmp_path, more=library) as town:
        town.here.world.push("lib/db", "1", "ann")
        town.here.poll()
        town.here.configure(more=f"[[route]]\nprojects = ['lib']\nevents = ['SCANNING_*']\n{library}")
        town.here.restart()
        town.tell()
        assert town.became()["1 PUSH_ARTIFACT"] == {"projects lib to -1002": "sent"}
        assert [chat for chat, _ in town.messages()] == [-1002]


def test_routes_take_turns_and_a_chat_that_refuses_holds_up_no_other(town: Town) -> None:
    for number in range(3):
        town.here.world.push("team/app", str(number), "ann")
    town.here.poll()
    town.here.clock.advance(10)
    tellers = town.tellers()
    assert isinstance(tellers.deliver(), Told)
    assert isinstance(tellers.deliver(), Told)
    assert {chat for chat, _ in town.messages()} == {-1001, -1002}
    town.telegram.add_chat(-1002, bot_is_member=False)
    while isinstance(step := tellers.deliver(), Told) or (step.seconds and not step.needs_operator):
        town.here.clock.advance(1)
    assert isinstance(step, Wait)
    assert step.needs_operator
    assert len([chat for chat, _ in town.messages() if chat == -1001]) == 3


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ([], Wait(None)),
        ([Wait(None), Wait(None)], Wait(None)),
        ([Wait(9, "pace"), Wait(None), Wait(4, "busy")], Wait(4, "busy")),
        ([Wait(2, "kicked", needs_operator=True), Wait(30, "pace")], Wait(30, "pace")),
        ([Wait(2, "kicked", needs_operator=True), Wait(None)], Wait(2, "kicked", needs_operator=True)),
    ],
)
def test_waiting_is_for_what_can_be_told_soonest(waits: list[Wait], expected: Wait) -> None:
    assert soonest(waits) == expected


# -- the state ------------------------------------------------------------------------------------------


def both(telling: Telling) -> tuple[Telling, ...]:
    return spread(telling, [route("a", goes_on=True), route("b")])


@pytest.fixture
def store(state_url: str) -> Iterator[Store]:
    opened = Store.open(state_url, "https://harbor.test", DEFAULT)
    yield opened.for_routes(["a", "b"], both)
    opened.close()


def test_the_poller_asks_of_all_routes_and_a_teller_of_its_own(store: Store) -> None:
    wave = Wave("wave:1", NOON, NOON)
    events = [scan("High", digest=f"sha256:{number}") for number in range(3)]
    held = [Telling(event, PENDING, group=wave.group, held_until=NOON + 9 * SECOND) for event in events]
    assert store.record(held, now=NOON, wave=wave) == 3
    digests = [event.digest for event in events]
    assert [member.event.digest for member in store.in_group(wave.group)] == digests
    assert all(member.waits for member in store.in_group(wave.group, is_waiting=True))
    assert (store.counts().pending, store.held(NOON)) == (6, 6)
    assert (store.for_route("a").counts().pending, store.for_route("b").held(NOON)) == (3, 3)
    a = store.for_route("a")
    store.end_wave(wave, as_one=True)
    assert [item.event.digest for item in a.due(NOON, most=9)] == digests
    a.told([item.id for item in a.due(NOON, most=9)], chat_id="-1", message_id=1, now=NOON)
    assert [member.waits for member in store.in_group(wave.group)] == [True] * 3
    assert [member.waits for member in a.in_group(wave.group)] == [False] * 3
    store.for_route("b").loosen(wave.group)
    assert [item.group for item in store.for_route("b").due(NOON, most=9)] == [None] * 3


def test_the_same_image_in_two_registries_is_two_messages(state_url: str) -> None:
    """They may share a database, and a chat."""
    platform = replace(
        scan("Low"), tag=None, scan=Scan({"mime": {"report_id": "r"}}, index=Index("sha256:i", "1", "x"))
    )
    for name in ("one.test", "two.test"):
        event = replace(platform, registry=name)
        store = Store.open(state_url, f"https://{name}", DEFAULT)
        store.save_harbor(name, {}, NOON)
        store.record([Telling(event, PENDING, group=image_group(event))], now=NOON)
        groups = {item.group for item in store.due(NOON, most=9)}
        store.close()
    assert len(groups) == 2


def test_what_a_backfill_found_is_released_on_every_route(store: Store) -> None:
    store.record([Telling(PUSH, PENDING, mode=Mode.DIGEST, held_until=NOON + SECOND)], now=NOON)
    store.set_mode(Mode.DIGEST, Mode.SINGLE)
    assert [[item.mode for item in store.for_route(name).due(NOON, most=9)] for name in "ab"] == [[Mode.SINGLE]] * 2


def test_what_turns_out_to_be_no_scanners_is_told_on_every_route(store: Store) -> None:
    """It was off once, on no route in particular."""
    robot = "robot$team+trivy-1"
    event = pull(operator=robot, source_id=2)
    assert [each.route for each in both(Telling(event, OFF, SCANNERS_OWN))] == [None]
    store.record([Telling(event, OFF, SCANNERS_OWN), Telling(PUSH, OFF, "setting")], now=NOON)
    seen = NoticedScan(robot, "team/app", PUSH.digest, started_at=NOON, look_at=NOON)
    store.record([], now=NOON, scans=[seen, replace(seen, outcome=Outcome.NO_SCAN)])
    assert [store.for_route(name).counts().pending for name in ("a", "b", DEFAULT)] == [1, 1, 0]
    assert store.for_route(DEFAULT).counts().off == 1


def test_a_pause_of_a_chat_is_one_for_all_its_routes(store: Store) -> None:
    """Telegram counts the chat, not the topic."""
    blocked = RouteState("a", "-1", None, blocked_until=NOON + SECOND, blocked_at=NOON, reason="too_many_requests")
    store.for_route("a").save_route(blocked)
    of_topic = store.for_route("b").route("-1", 7)
    assert of_topic == replace(blocked, name="b", thread_id=7)
    assert store.for_route("b").route("-2", None).blocked_until is None


# -- why it went there ----------------------------------------------------------------------------------


def explained(town: Town, event: str) -> explain.Explanation:
    here = town.here
    key = next(seen.event.key for seen in here.store.seen() if f"{seen.event.tag} {seen.event.type}" == event)
    return explain.explain(key, here.store, here.config, here.poller.decide, here.clock.now)


def test_an_explanation_says_which_route_decided_and_what_became_of_it(town: Town) -> None:
    town.here.world.push("lib/db", "2", "ann")
    town.here.poll()
    town.tell()
    town.here.world.pull("lib/db", "2", "bob")
    town.here.poll()
    push = explained(town, "2 PUSH_ARTIFACT")
    assert [(each.route, each.is_taken, each.reason) for each in push.verdicts] == [
        ("scans", True, ""),
        ("rest", False, "projects does not match lib"),
    ]
    [story] = push.to_json()["deliveries"]
    assert (story["route"], story["state"], story["message_id"], story["next_attempt"]) == ("scans", "sent", 1, None)
    pulled = explained(town, "2 PULL_ARTIFACT").to_json()
    assert [each["takes"] for each in pulled["routes"]] == [False, False]
    assert pulled["deliveries"][0]["reason"] == NO_ROUTE
    assert pulled["today"] == {"state": "pending", "reason": ""}


def test_an_explanation_of_a_part_asks_for_its_image(by_tag: Town) -> None:
    """So that it names the route by which the part went."""
    by_tag.here.world.push("team/app", "v1", "ann")
    by_tag.here.world.attach("team/app", "v1", "sig", "ann")
    by_tag.here.poll()
    by_tag.tell()
    tag = next(seen.event.tag for seen in by_tag.here.store.seen() if (seen.event.tag or "").endswith(".sig"))
    told = explained(by_tag, f"{tag} PUSH_ARTIFACT")
    assert [each.route for each in told.verdicts if each.is_taken] == ["releases"]
    assert [story.fate.record.route for story in told.stories] == ["releases"]


def test_an_explanation_says_what_is_waited_for_and_what_told_it(town: Town) -> None:
    """A pause of the chat; a digest or a group that has told it together with others."""
    store, clock = town.here.store, town.here.clock
    town.here.world.push("team/app", "1", "ann")
    town.here.poll()
    until = clock.now + 60 * SECOND
    store.save_route(RouteState("scans", "-1002", None, blocked_until=until, blocked_at=clock.now, reason="busy"))
    scans, rest = explained(town, "1 PUSH_ARTIFACT").stories
    assert (scans.next_attempt, rest.next_attempt) == (until, None)
    assert not scans.why_together
    digest = replace(scans.fate, record=replace(scans.fate.record, state=FOLDED), group=None)
    assert "a digest" in explain.Story(digest, is_configured=True).why_together
    grouped = explain.Story(replace(digest, group="image:team/app@sha256:1"), is_configured=True)
    assert grouped.why_together == "it belongs to a group: the platforms of an image"
    town.here.configure(more="[[route]]\nname = 'other'\n")
    assert [story.is_configured for story in explained(town, "1 PUSH_ARTIFACT").stories] == [False, False]


def test_a_key_that_nothing_has_is_said_with_the_nearest(town: Town) -> None:
    town.here.world.push("team/app", "1", "ann")
    town.here.poll()
    key = town.here.store.seen()[-1].event.key
    for wrong in (key[:-3], key.replace("2026", "2025")):
        with pytest.raises(ConfigError, match=re.escape(f"did you mean {key}?")):
            explain.explain(wrong, town.here.store, town.here.config, town.here.poller.decide, NOON)
    with pytest.raises(ConfigError, match='take the "key" that `events --json` shows'):
        explain.explain("zzz", town.here.store, town.here.config, town.here.poller.decide, NOON)


def test_status_shows_what_waits_on_each_route(town: Town) -> None:
    town.here.world.push("team/app", "1", "ann")
    town.here.poll()
    facts = standing(town.here.store, town.here.config, town.here.clock.now).to_json()
    assert [(each["route"], each["chat_id"], each["pending"]) for each in facts["routes"]] == [
        ("scans", -1002, 1),
        ("rest", -1001, 1),
    ]
    assert facts["pending"] == 2
    town.here.configure(more=TWO.replace('"scans"', '"security"'))
    facts = standing(town.here.store, town.here.config, town.here.clock.now).to_json()
    assert [each["pending"] for each in facts["routes"]] == [0, 1]
    assert facts["pending"] == 2


# -- the commands ---------------------------------------------------------------------------------------


@pytest.fixture
def town_hall(tmp_path: Path) -> Iterator[test_cli.Site]:
    with test_cli.open_site(tmp_path) as opened:
        opened.configure(more=TWO)
        opened.poll()
        opened.push("1.27")
        yield opened


def test_once_print_says_the_route_of_each_message(town_hall: test_cli.Site) -> None:
    printed = town_hall.poller("once", "--print").stdout
    assert printed.startswith("[scans]\n📦 New push in Harbor\n")
    assert "\n[rest]\n📦 New push in Harbor\n" in printed
    assert town_hall.telegram.messages == []


def test_events_and_status_show_routes_and_explain_tells_why(town_hall: test_cli.Site) -> None:
    assert town_hall.poller("once").returncode == 0
    assert [message.chat_id for message in town_hall.telegram.messages] == [-1002, -1001]
    assert "\tann\tscans: sent; rest: sent\n" in town_hall.poller("events").stdout
    status = re.sub(" +", " ", town_hall.poller("status").stdout)
    assert "routes scans: -1002, nothing waits\nroutes rest: -1001, nothing waits\n" in status
    key = town_hall.seen()[0]["key"]
    said = re.sub(" +", " ", town_hall.poller("events", "--explain", key).stdout)
    assert "settings today: it is told\nroutes scans: takes it\nroutes rest: takes it\n" in said
    assert re.search(
        r"recorded scans: sent as message 1 of -1002 at 20.*\nrecorded rest: sent as message 2 of -1001", said, re.M
    )
    as_json = json.loads(town_hall.poller("events", "--explain", key, "--json").stdout)
    assert [each["state"] for each in as_json["deliveries"]] == ["sent", "sent"]
    wrong = town_hall.poller("events", "--explain", key[:-2])
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"did you mean {key}?" in wrong.stderr
    assert town_hall.poller("events", "--explain", key, "--limit", "3").returncode == 2


def test_check_tries_each_chat_and_topic_once(town_hall: test_cli.Site) -> None:
    """And names the route that has to be corrected."""
    more = """
[[route]]
name = "topic 5"
events = ["PUSH*"]
message_thread_id = 5
[[route]]
events = ["PULL*"]
message_thread_id = 5
[[route]]
name = "away"
events = ["SCAN*"]
chat_id = -1009
[[route]]
[[route]]
name = "last"
"""
    town_hall.configure(more=more)
    town_hall.telegram.add_chat(-1001, topics=[5])
    town_hall.telegram.add_chat(-1009, bot_is_member=False)
    done = town_hall.poller("check", "--send")
    assert done.returncode == 2
    assert len(town_hall.telegram.messages) == 2
    assert 'route "last" can never take anything: "all" before it takes all of that' in done.stdout
    assert '✗ Telegram: route "away": ' in done.stdout
    assert done.stdout.count("-1001 is there, and the bot may write in it") == 1


def test_a_backfill_tells_each_route(town_hall: test_cli.Site) -> None:
    town_hall.poller("once")
    dry = town_hall.poller("backfill", "--since", "1d", "--dry-run")
    assert dry.returncode == 0
    done = town_hall.poller("backfill", "--since", "1d")
    assert done.returncode == 0, done.stderr
