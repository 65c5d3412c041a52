"""The files that `setup` writes: all of them or none, secrets for their owner alone from the first moment on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from poller.config_file import read_toml
from poller.config_values import PLACEHOLDER_HOST
from poller.errors import ConfigError
from poller.setup_plan import Content

SECRET_MODE, OPEN_MODE = 0o600, 0o644


@dataclass(slots=True)
class Reserved:
    """An empty file beside each place, so that what can go wrong with the folder has gone wrong before."""

    temporary: Mapping[Path, Path]
    suffix: str  # of the copies of what was there

    def put(self, contents: Mapping[Path, Content]) -> list[Path]:
        """Write all of them, keeping what was there under another name, which is told. All or nothing."""
        with _explained(), ExitStack() as undo:
            for place, content in contents.items():
                _fill(self.temporary[place], content)
            kept = [copy for place in contents if (copy := self._keep(place, undo))]
            for place in contents:
                self.temporary[place].replace(place)
                undo.callback(place.unlink)
            undo.pop_all()
            return kept

    def _keep(self, place: Path, undo: ExitStack) -> Path | None:
        if not place.exists():
            return None
        copy = place.with_name(place.name + self.suffix)
        place.rename(copy)
        undo.callback(copy.replace, place)
        return copy


@contextmanager
def reserved(places: Sequence[Path], suffix: str) -> Iterator[Reserved]:
    """The folder is made if need be. What was not put is gone at the end. Raises ConfigError."""
    folder = places[0].parent
    with ExitStack() as stack:
        with _explained():
            for missing in _missing(folder):
                missing.mkdir()
                stack.callback(_remove_empty, missing)
            temporary = {place: _temporary(place, stack) for place in places}
        yield Reserved(temporary, suffix)


def check_folder(folder: Path) -> None:
    """Raises ConfigError if nothing can be written there; the folder itself may still have to be made."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        raise ConfigError(f"{there}: nothing can be written there by this user; name another folder with --directory")


def is_as_it_came(conf: Path) -> bool:
    """The conf.toml that comes with the program, into which nobody has put an address yet: nothing of anybody's."""
    with suppress(ConfigError):
        harbor = read_toml(conf).get("harbor")
        return isinstance(harbor, Mapping) and PLACEHOLDER_HOST in str(harbor.get("url"))
    return False


def _missing(folder: Path) -> list[Path]:
    """It and those above it that are not there, the uppermost first."""
    return [each for each in reversed((folder.absolute(), *folder.absolute().parents)) if not each.exists()]


def _temporary(place: Path, stack: ExitStack) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)  # mode 0600
    os.close(handle)
    stack.callback(Path(name).unlink, missing_ok=True)
    return Path(name)


def _fill(path: Path, content: Content) -> None:
    with path.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), SECRET_MODE if content.is_secret else OPEN_MODE & ~_umask())
        file.write(content.text)
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # what was put is in it
        folder.rmdir()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or "the folder"
        raise ConfigError(
            f"{where}: cannot be written: {error.strerror}; name another folder with --directory"
        ) from None
