"""Where secrets come from: the environment, a systemd credential, a file of their own, conf.toml. First found wins."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from poller.config_file import Section, is_there, read_bytes
from poller.config_values import Unfit, text
from poller.errors import ConfigError
from poller.secret import Secret


@dataclass(frozen=True, slots=True)
class Places:
    """The names of one secret."""

    variable: str
    credential: str
    key: str  # in conf.toml; with `_file` behind it the key that names a file
    parse: Callable[[object], str]
    is_needed: bool = True


def find_secret(places: Places, section: Section, environ: Mapping[str, str], folder: Path) -> Secret:
    """An empty one, with the mistake noted, when there is none or it cannot be used."""
    if value := environ.get(places.variable):
        return _checked(value, f"the environment variable {places.variable}:", places, section)
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", ""), places.credential)
    if environ.get("CREDENTIALS_DIRECTORY") and is_there(credential):
        return _of_file(credential, f"the systemd credential {places.credential}:", places, section)
    key = f"{places.key}_file"
    if section.has(key):
        name = section.read(key, text, "")
        where = f"{section.mistakes.path}: {section.where(key)}:"
        return _of_file(folder / name, where, places, section) if name else Secret("")
    if places.is_needed and not section.has(places.key) and not section.is_missing:
        section.mistakes.add(
            section.where(places.key),
            f"is missing: give it here, name a file in {key}, or set the environment variable {places.variable}",
        )
    return Secret(section.read(places.key, places.parse, "", is_secret=True))


def secret_file(places: Places, table: object, environ: Mapping[str, str], folder: Path) -> Path | None:
    """The file of its own that the secret is read from, if it is. systemd keeps its credentials to itself."""
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if environ.get(places.variable) or (credentials and is_there(Path(credentials, places.credential))):
        return None
    name = table.get(f"{places.key}_file") if isinstance(table, Mapping) else None
    return folder / name if isinstance(name, str) and name else None


def _checked(value: str, where: str, places: Places, section: Section) -> Secret:
    try:
        return Secret(places.parse(value.rstrip("\r\n")))
    except Unfit as unfit:
        section.mistakes.add_line(f"{where} {unfit}")
        return Secret("")


def _of_file(path: Path, where: str, places: Places, section: Section) -> Secret:
    try:
        return _checked(only_line(path), where, places, section)
    except ConfigError as error:
        section.mistakes.add_line(f"{where} {error}")
        return Secret("")


def only_line(path: Path) -> str:
    """Raises ConfigError."""
    try:
        line = read_bytes(path).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8") from None
    if not line.strip():
        raise ConfigError(f"{path}: is empty; put the secret into it, as its only line")
    if "\n" in line or "\r" in line:
        raise ConfigError(f"{path}: has several lines; leave the secret in it, as its only line")
    return line


def readers(path: Path) -> str:
    """Who else may read the file and how to end that: "" when nobody does.

    Reading by the group counts only when it is the owner's own group, in which files are born: another
    one was chosen on purpose, so that the service may read what it does not own.
    """
    try:
        found = path.stat()
    except OSError:
        return ""
    is_for_group = found.st_mode & stat.S_IRGRP and _is_own_group(found)
    if found.st_mode & stat.S_IROTH:
        return f"every user of this machine; chmod {'go-r' if is_for_group else 'o-r'} {path}"
    return f"its group; chmod g-r {path}" if is_for_group else ""


def _is_own_group(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and found.st_gid == os.getegid()
