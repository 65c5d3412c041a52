"""Imports run one way, libraries stay in their place, and the clock is an argument below the daemon."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("poller", "formatters", "state")
VOCABULARY = {"poller.events", "poller.errors", "poller.secret", "poller.knowledge", "poller.measures", "poller.values"}
CLOCK_BEGINS = {"poller.daemon", "poller.foreground"}
"""The programs: they read the clock and wait, and hand the time down."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path): ast.parse(path.read_text(), str(path))
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
OURS = sorted(MODULES)
COMMANDS = {module for module in OURS if module.startswith("poller.commands.")}
HAS_CLOCK = {*CLOCK_BEGINS, *COMMANDS, "poller.times"}


def walk_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only the type checker reads."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        if not is_for_types:
            yield child
            yield from walk_run_time(child)


def imports(module: str) -> set[str]:
    """The full names of what a module imports, at its top or inside of functions."""
    found: set[str] = set()
    for node in walk_run_time(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            base = node.module or ""
            parts = {f"{base}.{alias.name}" for alias in node.names}
            submodules = parts & MODULES.keys()
            found |= submodules
            if len(submodules) < len(parts):
                found.add(base)
    return found


def imports_of_ours(module: str) -> set[str]:
    return {name for name in imports(module) if name in MODULES}


def importers(library: str) -> set[str]:
    """Modules that import a package or anything in it."""
    return {module for module in OURS if any(f"{name}.".startswith(f"{library}.") for name in imports(module))}


def reachable(module: str) -> set[str]:
    """Everything of ours that is loaded with a module."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports_of_ours(waiting.pop()) - found
        found |= new
        waiting.extend(new)
    return found


def test_the_guard_sees_the_modules() -> None:
    """A guard that looks at nothing is always content."""
    assert {"poller.jobs", "poller.__main__", "formatters", "state.store"} <= set(OURS)
    assert imports("poller.harbor") >= {"requests", "poller.rows", "poller.errors"}
    assert "state" in imports_of_ours("poller.jobs")


def test_requests_is_only_in_the_clients() -> None:
    """Nobody else talks HTTP."""
    assert importers("requests") == {"poller.harbor", "poller.telegram", "poller.heartbeat", "poller.administrator"}


def test_only_setup_can_change_anything_in_harbor() -> None:
    """What runs every day does not even load the administrator's calls."""
    loading = {module for module in OURS if "poller.administrator" in imports_of_ours(module)}
    assert loading <= {"poller.setup", "poller.setup_harbor", "poller.setup_robot"}
    assert "poller.administrator" not in reachable("poller.daemon") | reachable("poller.jobs")


def test_rich_is_loaded_only_where_somebody_looks() -> None:
    """It takes long to load, and most runs are seen by nobody: whoever needs it imports it when that is sure."""
    users = {"poller.bar", "poller.show.terminal"}
    assert importers("rich") == users
    at_the_top = {name for module in OURS for node in MODULES[module].body for name in _named(node)}
    assert not at_the_top & users


def _named(node: ast.stmt) -> set[str]:
    """What a statement imports, if it does."""
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()


@pytest.mark.parametrize("library", ["sqlalchemy", "alembic", "sqlite3", "psycopg"])
def test_sql_is_only_in_the_state(library: str) -> None:
    """Every statement of the product is in one package."""
    assert {module.split(".")[0] for module in importers(library)} <= {"state"}


@pytest.mark.parametrize(
    ("library", "at_home"), [("prometheus_client", "poller.metrics"), ("http.server", "poller.serving")]
)
def test_what_shows_the_metrics_has_its_place(library: str, at_home: str) -> None:
    """Who is measured knows neither who counts nor that anybody reads it."""
    assert importers(library) == {at_home}


def test_the_metrics_are_loaded_only_when_they_are_served() -> None:
    """By the daemon's command, inside of a function: nobody else waits for the library."""
    shown = {"poller.metrics", "poller.serving", "poller.health"}
    assert {module for module in OURS if imports_of_ours(module) & shown} <= shown | {"poller.exporter"}
    assert [module for module in OURS if "poller.exporter" in imports_of_ours(module)] == ["poller.commands.run"]


def test_values_are_changed_in_one_way() -> None:
    """What `dataclasses` has for it fails with a Struct, and the type checker does not notice."""
    users = {
        module
        for module in OURS
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.stmt) and "dataclasses.replace" in _named(node)
    }
    assert not users
    assert "poller.values.replace" in {name for node in MODULES["poller.sight"].body for name in _named(node)}


def test_the_scheduler_is_only_in_the_daemon() -> None:
    """Jobs do not know when they are called."""
    assert importers("apscheduler") == {"poller.daemon"}


@pytest.mark.parametrize("module", [module for module in OURS if module.split(".")[0] == "formatters"])
def test_formatters_know_events_and_nothing_else(module: str) -> None:
    """A message depends on the event and the style alone."""
    strangers = {name for name in imports_of_ours(module) if name.split(".")[0] != "formatters"}
    assert strangers <= {"poller.events", "poller.values"}


@pytest.mark.parametrize("module", sorted(VOCABULARY))
def test_the_vocabulary_stands_at_the_bottom(module: str) -> None:
    """What everybody imports imports nothing of ours but its like."""
    assert imports_of_ours(module) <= VOCABULARY


@pytest.mark.parametrize("module", [module for module in OURS if module.split(".")[0] == "state"])
def test_the_state_knows_only_the_vocabulary(module: str) -> None:
    """It stores domain values and has no opinion about them."""
    strangers = {name for name in imports_of_ours(module) if name.split(".")[0] != "state"}
    assert strangers <= VOCABULARY


@pytest.mark.parametrize("client", ["poller.harbor", "poller.telegram", "poller.heartbeat", "poller.administrator"])
def test_the_clients_know_neither_the_state_nor_the_story(client: str) -> None:
    """They say what the server said."""
    loaded = reachable(client)
    assert not {name for name in loaded if name.split(".")[0] in ("state", "formatters")}
    assert not loaded & {"poller.jobs", "poller.daemon", "poller.config", "poller.normalize", "poller.telling"}


@pytest.mark.parametrize(
    ("pure", "may_load"),
    [
        ("poller.normalize", {"poller.rows"}),
        ("poller.reading", {"poller.rows", "poller.logs"}),
        ("poller.plan", {"formatters", "poller.comparison"}),
        (
            "poller.routes",
            {"poller.comparison", "poller.normalize", "poller.rows", "poller.scans", "poller.versions"},
        ),
        ("poller.kin", {"poller.rows"}),
        (
            "poller.threads",
            {
                "poller.comparison",
                "poller.kin",
                "poller.normalize",
                "poller.plan",
                "poller.rows",
                "poller.scans",
                "poller.versions",
            },
        ),
        ("poller.pacing", set()),
        ("poller.chats", set()),
        ("poller.robots", set()),
        ("poller.setup_plan", {"poller.here", "poller.logs"}),
        ("poller.episodes", set()),
        ("poller.pulse", set()),
        ("poller.backoff", set()),
        ("poller.times", set()),
    ],
)
def test_decisions_are_made_without_the_edges(pure: str, may_load: set[str]) -> None:
    """A module talks to the world or has opinions: these do not even load a client."""
    loaded = {name for name in reachable(pure) if name.split(".")[0] == "poller"}
    assert loaded <= VOCABULARY | may_load


@pytest.mark.parametrize("module", ["poller.jobs", "poller.telling", "poller.backfill", "poller.check", "poller.lease"])
def test_jobs_do_not_know_who_calls_them(module: str) -> None:
    """`__main__` calls the daemon, which calls the jobs, and never the other way round."""
    assert not reachable(module) & {"poller.daemon", "poller.__main__", "poller.foreground", *COMMANDS}


def test_nobody_imports_the_command_line() -> None:
    """It is the top, and below it are its commands, which only it imports and one another."""
    assert [module for module in OURS if "poller.__main__" in imports_of_ours(module)] == []
    assert {module for module in OURS if imports_of_ours(module) & COMMANDS} <= COMMANDS | {"poller.__main__"}


def test_there_are_no_circles() -> None:
    """Every module can be read and loaded after those that it imports."""
    graph = {module: imports_of_ours(module) - {module} for module in OURS}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    assert order.index("poller.events") < order.index("poller.jobs") < order.index("poller.__main__")


# -- the clock --------------------------------------------------------------------------------------

CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.sleep", "time.time_ns"}


def uses_of_the_clock(tree: ast.Module) -> list[str]:
    """Where the clock is read or slept. `sleep=time.sleep` as an argument's default is how it is handed in."""
    defaults = {
        id(default)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.Lambda)
        for default in (*node.args.defaults, *node.args.kw_defaults)
        if default is not None and ast.unparse(default) == "time.sleep"
    }
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and id(node) not in defaults and _dotted(node) in CLOCKS
    ]
    taken = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "time"
        and {a.name for a in node.names} & {"sleep", "time"}
    ]
    return found + taken


def _dotted(node: ast.Attribute) -> str:
    """`datetime.now` also of `datetime.datetime.now`."""
    return ".".join(ast.unparse(node).split(".")[-2:])


@pytest.mark.parametrize("module", [module for module in OURS if module not in HAS_CLOCK])
def test_below_the_daemon_the_clock_is_an_argument(module: str) -> None:
    """What happens at night or after a week can then be tested at once."""
    assert uses_of_the_clock(MODULES[module]) == []


def test_only_the_programs_have_the_clock() -> None:
    """It is read in one place, which nobody else may call."""
    readers = {module for module, tree in MODULES.items() if "utc_now" in ast.unparse(tree)}
    assert readers <= HAS_CLOCK
    assert len(uses_of_the_clock(MODULES["poller.times"])) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def f(): return datetime.now(UTC)",
        "import datetime\nx = datetime.datetime.utcnow()",
        "from time import sleep",
        "def f(): time.sleep(1)",
        "wait = time.sleep",
        "def f(now=datetime.now): ...",
    ],
)
def test_the_guard_finds_the_clock(code: str) -> None:
    """In every way in which it can be written."""
    assert uses_of_the_clock(ast.parse(code))


def test_the_guard_allows_a_sleep_that_is_handed_in() -> None:
    """The clients pause between two attempts; tests hand in another sleep."""
    assert uses_of_the_clock(ast.parse("class C:\n def f(self, *, sleep=time.sleep): sleep(1)")) == []
