"""Reading conf.toml: the file, its sections, and what to say about a mistake in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import tomli

from poller.config_values import Unfit
from poller.errors import ConfigError

Table = Mapping[str, object]
T = TypeVar("T")

_MOST_SHOWN = 60
_USER_INFO = re.compile(r"^(\w[\w+.-]*://)?.+@")
_TOKEN_INSIDE = re.compile(r"\d{5,}:[\w-]{10,}")


def read_toml(path: Path) -> Table:
    """Raises ConfigError with a sentence for whatever keeps the file from being read."""
    try:
        return tomli.loads(_decoded(path))
    except tomli.TOMLDecodeError as error:
        hint = " (is the key or section there twice?)" if "overwrite" in error.msg or "twice" in error.msg else ""
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path}: {where}: not TOML: {_visible(error.msg)}{hint}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not a configuration: nested too deeply") from None


def _decoded(path: Path) -> str:
    content = read_bytes(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}: is saved as UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")  # some editors put a byte order mark before UTF-8
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: is not UTF-8; save it as UTF-8") from None


def read_bytes(path: Path) -> bytes:
    """Raises ConfigError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name the file in it") from None
    except PermissionError:
        raise ConfigError(f"{path}: may not be read by this user; change its owner or mode") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def is_there(path: Path) -> bool:
    """Also when that cannot be seen: reading it will say what is wrong."""
    try:
        return path.exists()
    except PermissionError:
        return True


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What is wrong, a line each, so that all of it can be mended in one go."""

    path: Path
    lines: list[str] = field(default_factory=list)

    def add(self, where: str, sentence: str) -> None:
        self.add_line(f"{self.path}: {where} {sentence}")

    def add_line(self, line: str) -> None:
        self.lines.append(_visible(line))


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the file, read key by key. Mistakes are noted and the default stands in for the value.

    An empty text is the same as no key, as the Telegram keys have always had it.
    """

    name: str  # "" for the top of the file
    values: Table
    mistakes: Mistakes
    is_missing: bool = False
    label: str = ""  # how mistakes call it, if not by its name

    def has(self, key: str) -> bool:
        return key in self.values and self.values[key] != ""

    def read(self, key: str, parse: Callable[[object], T], default: T, *, is_secret: bool = False) -> T:
        if not self.has(key):
            return default
        value = self.values[key]
        try:
            return parse(value)
        except Unfit as unfit:
            shown = ":" if is_secret or isinstance(value, Mapping) else f" = {_shown(value)}:"
            self.mistakes.add(f"{self.where(key)}{shown}", str(unfit))
            return default

    def need(self, key: str, parse: Callable[[object], T], stand_in: T, meaning: str) -> T:
        """As `read`; a missing key is a mistake, unless the whole section is missing, which was said already."""
        if not self.has(key) and not self.is_missing:
            self.mistakes.add(self.where(key), f"is missing: {meaning}")
        return self.read(key, parse, stand_in)

    def where(self, key: str) -> str:
        if self.label:
            return f"{self.label} {key}"
        return f"[{self.name}] {key}" if self.name else key


def section(document: Table, name: str, mistakes: Mistakes, *, missing: str = "") -> Section:
    """`missing`: what to say when the section is not there; "" when it need not be."""
    found = document.get(name)
    if isinstance(found, Mapping):
        return Section(name, found, mistakes)
    if isinstance(found, list):
        mistakes.add(f"[[{name}]]", f"must be one section, with single brackets: [{name}]")
    elif found is not None:
        mistakes.add(name, f"must be a section: a line [{name}], its keys below it")
    elif missing:
        mistakes.add(f"[{name}]", f"is missing: {missing}")
    return Section(name, {}, mistakes, is_missing=True)


# -- unknown names ----------------------------------------------------------------------------------


def note_unknown(
    document: Table, known: Mapping[str, Sequence[str]], mistakes: Mistakes, *, tables: Collection[str] = ()
) -> None:
    """`known`: the keys of each section; those of "" stand at the top of the file. `tables`: known, too."""
    for name, value in document.items():
        if name in known[""] or name in tables:
            continue
        if name not in known or not name:
            mistakes.add(_unknown_top(name, value), _hint_top(name, value, known, tables))
        elif isinstance(value, Mapping):
            for key in value:
                if key not in known[name]:
                    mistakes.add(f"[{name}] {key}:", f"unknown key; {_hint(key, name, known)}")


def _unknown_top(name: str, value: object) -> str:
    return f"[{name}]:" if _is_section(value) else f"{name}:"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What to say of a key that is none of those."""
    return f"unknown key; {_hint(key, '', {'': known})}"


def _hint_top(name: str, value: object, known: Mapping[str, Sequence[str]], tables: Collection[str]) -> str:
    if not _is_section(value):
        return f"unknown key; {_hint(name, '', known)}"
    shown = {section: f"[{section}]" for section in known if section} | {table: f"[[{table}]]" for table in tables}
    near = nearest(name, shown)
    if near:
        return f"unknown section; did you mean {shown[near]}?"
    return "unknown section; there are " + ", ".join(shown.values())


def _is_section(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(item, Mapping) for item in value))


def _hint(key: str, here: str, known: Mapping[str, Sequence[str]]) -> str:
    homes = [_place(name) for name in known if name != here and key in known[name]]
    near = nearest(key, known[here])
    if homes:
        return f"{key} belongs {' or '.join(homes)}" + (f"; or did you mean {near}?" if near else "")
    if near:
        return f"did you mean {near}?"
    for name in known:
        if elsewhere := nearest(key, known[name], likeness=0.75):
            return f"did you mean {elsewhere} {_place(name)}?"
    return "known here are " + ", ".join(known[here])


def _place(name: str) -> str:
    return f"in [{name}]" if name else "at the top of the file, above the first section"


def nearest(word: str, words: Collection[str], *, likeness: float = 0.65) -> str | None:
    """The one that was probably meant."""
    lower = {known.lower(): known for known in words}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=likeness)
    return lower[near[0]] if near else None


# -- showing values ---------------------------------------------------------------------------------


def _shown(value: object) -> str:
    """A value as TOML has it, short, without what could be a password: user:password@ in a URL, a bot token."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{_cut(_masked(value))}"'
    if isinstance(value, list):
        return _cut("[" + ", ".join(_shown(item) for item in value) + "]")
    return _cut(str(value))


def _masked(text: str) -> str:
    text = _TOKEN_INSIDE.sub("***", text)
    return _USER_INFO.sub(r"\1***@", text.partition("?")[0] + "?…" if "?" in text else text)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def _visible(text: str) -> str:
    """One line, whatever characters a name or value has."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
