"""Logs on standard error: a dotted word with key=value, as text or JSON. No secret and no line break gets through."""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import Literal, TextIO
from urllib.parse import quote, quote_plus, unquote

from poller.secret import Secret

OURS = ("poller", "formatters", "state", "demo", "bench", "__main__")
MASK = "***"

_URL_SAFE = ("", "/", ":", "/:", "!#$%&'()*+,/:;=?@[]~")  # which characters different libraries leave unquoted
_LIKELY_SECRETS = (
    # A bot token; not the end of a digest with a report's UUID behind it.
    (re.compile(r"(?<!\d)\d{6,}:(?![0-9a-f]{8}-[0-9a-f]{4}-)[A-Za-z0-9_-]{30,}"), MASK),
    (re.compile(r"(\b(?:Basic|Bearer) )[A-Za-z0-9+/=._-]{8,}"), rf"\1{MASK}"),
    (re.compile(r"(://)[^/\s@]+:[^/\s@]+(?=@)"), rf"\1{MASK}"),
)
"""What is masked even when nobody said that it is a secret."""

_BARE = re.compile(r"[^\s\"'=\\]+")

JOURNAL_STREAM = "JOURNAL_STREAM"
"""The variable in which systemd names the device and inode of a standard error that leads to its journal."""
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""The journal's number for each level and what is above it; 7 is for what is below. See sd-daemon(3)."""


class Log:
    """A logger whose lines are a constant dotted word and values. Keys may have any name."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **values: object) -> None:
        self._write(logging.DEBUG, event, values)

    def info(self, event: str, /, **values: object) -> None:
        self._write(logging.INFO, event, values)

    def warning(self, event: str, /, **values: object) -> None:
        self._write(logging.WARNING, event, values)

    def error(self, event: str, /, **values: object) -> None:
        self._write(logging.ERROR, event, values)

    def exception(self, event: str, /, **values: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, event, values, has_traceback=True)

    def at(self, level: int, event: str, /, **values: object) -> None:
        self._write(level, event, values)

    def _write(self, level: int, event: str, values: Mapping[str, object], *, has_traceback: bool = False) -> None:
        # The word is given as an argument, so that a % in it means nothing.
        self._logger.log(level, "%s", event, exc_info=has_traceback, extra={"word": event, "values": values})


_log = Log(__name__)


# -- setting up -------------------------------------------------------------------------------------


def set_up(
    level: str,
    format: Literal["text", "json"] | str,
    secrets: Iterable[Secret],
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process, also of libraries and of uncaught exceptions, to the stream.

    May be called again, when more secrets are known. `level`: debug, info, warning or error. Libraries
    follow it, except that their chatter at info is left out: a scheduler tells each run twice.
    """
    stream = stream if stream is not None else sys.stderr
    formatter = _Json if format == "json" else _Text
    handler = _Handler(stream, level)
    handler.setFormatter(formatter(Redactor(secrets), in_journal=is_journal(stream)))
    root = logging.getLogger()
    for old in _handlers():
        root.removeHandler(old)
    root.addHandler(handler)
    _set_level(level)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # its report of a failed log call would show the arguments unmasked
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _set_level(level: str) -> None:
    wanted = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(logging.WARNING if wanted == logging.INFO else wanted)
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)


def heed_signals() -> None:
    """From now on SIGUSR1 makes this process tell everything, and SIGUSR2 as much as it was started with."""
    signal.signal(signal.SIGUSR1, _tell_everything)
    signal.signal(signal.SIGUSR2, _tell_as_usual)


def _tell_everything(_number: int, _frame: FrameType | None) -> None:
    _set_level("debug")
    _log.info("log.level_changed", level="debug")


def _tell_as_usual(_number: int, _frame: FrameType | None) -> None:
    """Said before the level is put back, which may hide it."""
    usual = next((handler.usual_level for handler in _handlers()), "info")
    _log.info("log.level_changed", level=usual)
    _set_level(usual)


def is_journal(stream: TextIO) -> bool:
    """Whether what is written there ends in systemd's journal, which knows the time and wants priorities."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # not a file, or closed
        return False
    return os.environ.get(JOURNAL_STREAM) == f"{found.st_dev}:{found.st_ino}"


def for_stderr(text: str, level: int) -> str:
    """A text for people, as standard error wants it: redacted, and with the level before each line in the journal."""
    redacted = redact(text)
    return _with_priority(redacted, level) if is_journal(sys.stderr) else redacted


def _with_priority(text: str, level: int) -> str:
    number = next((number for least, number in _PRIORITIES if level >= least), 7)
    return "\n".join(f"<{number}>{line}" for line in text.split("\n"))


@contextmanager
def through(stream: TextIO) -> Iterator[None]:
    """Write to this stream for a while: that of a progress bar, which makes room for lines."""
    handlers = _handlers()
    before = [handler.stream for handler in handlers]
    try:
        for handler in handlers:
            handler.setStream(stream)
        yield
    finally:
        for handler, old in zip(handlers, before, strict=True):
            handler.setStream(old)


def redact(text: str) -> str:
    """The text without the secrets that `set_up` was told of."""
    handlers = _handlers()
    formatter = handlers[0].formatter if handlers else None
    return formatter.redactor.redact(text) if isinstance(formatter, _Formatter) else Redactor(()).redact(text)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    logging.getLogger("poller").critical(
        "process.failed", exc_info=(kind, error, traceback), extra={"word": "process.failed", "values": {}}
    )


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    _log_uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told apart from those of a test runner. `usual_level`: the one that was asked for at the start."""

    def __init__(self, stream: TextIO, usual_level: str) -> None:
        super().__init__(stream)
        self.usual_level = usual_level.lower()


def _handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]


# -- redaction --------------------------------------------------------------------------------------


class Redactor:
    """Replaces every known secret by ***, also where a library has quoted or encoded it."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        forms = {form for secret in secrets for form in _forms(secret.reveal())}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(form) for form in longest_first)) if forms else None

    def redact(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _LIKELY_SECRETS:
            text = pattern.sub(replacement, text)
        return text


def _forms(text: str) -> set[str]:
    """The ways in which a text turns up in URLs, headers, `repr` and JSON."""
    raw = text.encode("utf-8", "surrogatepass")
    quoted = {quote(raw, safe=safe) for safe in _URL_SAFE} | {quote_plus(raw), unquote(text)}
    lower = {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in quoted}
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    escaped = {repr(text)[1:-1], repr(raw)[2:-1], json.dumps(text)[1:-1]}
    return {form for form in {text} | quoted | lower | encoded | escaped if form}


# -- formats ----------------------------------------------------------------------------------------


class _Formatter(logging.Formatter):
    """Common to both formats: what a record says, redacted."""

    def __init__(self, redactor: Redactor, *, in_journal: bool) -> None:
        super().__init__()
        self.redactor = redactor
        self._in_journal = in_journal

    def format(self, record: logging.LogRecord) -> str:
        text = self._told(record)
        return _with_priority(text, record.levelno) if self._in_journal else text

    def _told(self, record: logging.LogRecord) -> str:
        raise NotImplementedError

    def _facts(self, record: logging.LogRecord) -> tuple[str, dict[str, object]]:
        """The word and the values. A library's line has its logger's name for a word and its message for a value."""
        word = getattr(record, "word", None)
        values = getattr(record, "values", None)
        if isinstance(word, str) and isinstance(values, Mapping):
            return word, dict(values)
        return record.name, {"text": _message(record)}

    def _traceback(self, record: logging.LogRecord) -> str:
        # Built anew: logging keeps the unmasked text in the record for other handlers.
        has_error = record.exc_info and record.exc_info[0] is not None
        text = self.formatException(record.exc_info) if has_error and record.exc_info else ""
        return self.redactor.redact("\n".join(part for part in (text, record.stack_info or "") if part))

    def _redacted(self, value: object) -> str:
        return self.redactor.redact(_text(value))


class _Text(_Formatter):
    """The journal knows the time of each line; two would be one too many."""

    def _told(self, record: logging.LogRecord) -> str:
        word, values = self._facts(record)
        pairs = [f"{key}={_quoted(self._redacted(value))}" for key, value in values.items()]
        head = [record.levelname, visible(self.redactor.redact(word))]
        line = " ".join([*([] if self._in_journal else [_time(record, "seconds")]), *head, *pairs])
        # Indented, so that no line of it can pass for a log line.
        return "\n    ".join([line, *(visible(part) for part in self._traceback(record).splitlines())])


class _Json(_Formatter):
    """For programs, so an object has its time wherever it goes."""

    def _told(self, record: logging.LogRecord) -> str:
        word, values = self._facts(record)
        line: dict[str, object] = {
            "time": _time(record, "milliseconds"),
            "level": record.levelname.lower(),
            "event": self.redactor.redact(word),
        }
        for key, value in values.items():
            line[f"{key}_" if key in line else key] = self._plain(value)
        if traceback := self._traceback(record):
            line["traceback"] = traceback
        text = json.dumps(line, ensure_ascii=False)
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)

    def _plain(self, value: object) -> object:
        """Numbers, true, false and null stay what they are; anything else is text."""
        redacted = self._redacted(value)
        is_plain = value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        return value if is_plain and redacted == _text(value) else redacted


def visible(text: str) -> str:
    """On one line: control characters, line breaks and invisible marks are spelt out, so that no name fakes a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(escaped)}"'


def _text(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, BaseException):
        return str(value) or type(value).__name__
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # a library's arguments that do not fit its format
        return str(record.msg)


def _time(record: logging.LogRecord, precision: str) -> str:
    """`precision`: as of `isoformat`."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
