"""docs/reference/log.md lists every word that a log line may begin with, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.test_imports import MODULES, ROOT

PAGE = ROOT / "docs" / "reference" / "log.md"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
CONSTANTS = {"INFO": "info", "WARNING": "warning", "ERROR": "error"}
EITHER = "warning or error"


def words_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Words and their levels: of lines, and of troubles, whose level may depend on the error."""
    own = dict(named_loggers(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name, _, method = called.partition(".")
        if called == "Trouble":
            *words, recovered = (ast.literal_eval(argument) for argument in node.args[:3])
            level = CONSTANTS[ast.unparse(node.args[3]).removeprefix("logging.")] if len(node.args) > 3 else EITHER
            yield from ((word, level) for word in words)
            yield recovered, "info"
        elif called.startswith("_log.") and called != "_log.at":
            level = LEVELS[called.removeprefix("_log.")]
            yield from ((word, level) for word in _constants(node.args[0]))
        elif name in own:
            yield own[name], LEVELS[method]
        elif called.endswith(".critical"):
            yield from ((word, "critical") for word in _constants(node.args[0]))


def named_loggers(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Where the log's own vocabulary is not known, a logger's name is the word."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(attr="getLogger"), args=[ast.Constant(value=str(word))]),
            ):
                yield name, word


def _constants(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(word)):
            yield word
        case ast.IfExp(body=body, orelse=orelse):
            yield from _constants(body)
            yield from _constants(orelse)


def in_code() -> dict[str, str]:
    return dict(pair for module, tree in MODULES.items() if module != "poller.troubles" for pair in words_of(tree))


def in_page() -> dict[str, str]:
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {word: level.strip() for words, level in rows for word in re.findall(r"`([^`]+)`", words)}


def test_the_page_has_every_word_with_its_level() -> None:
    """Whoever writes an alert or a parser reads it there."""
    assert in_page() == in_code()


def test_words_are_constant() -> None:
    """A word that is put together is found by no search, and by this test neither."""
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).startswith("_log.")
                and module != "poller.troubles"
            ):
                assert list(_constants(node.args[0])), f"{module}: line {node.lineno}"


def test_the_search_finds_words() -> None:
    """One that finds nothing would be content with an empty page."""
    code = 'x = Trouble("a.a", "a.b", "a.c", WARNING)\n_log.info("b.b" if x else "b.c", y=1)\n_log.exception("c.c")'
    assert dict(words_of(ast.parse(code))) == {
        "a.a": "warning",
        "a.b": "warning",
        "a.c": "info",
        "b.b": "info",
        "b.c": "info",
        "c.c": "error",
    }
