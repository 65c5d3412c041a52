"""Logs on standard error: a dotted word with key=value, as text or JSON. No secret and no line break gets through."""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
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

    def _write(self, level: int, event: str, values: Mapping[str, object], *, has_traceback: bool = False) -> None:
        # The word is given as an argument, so that a % in it means nothing.
        self._logger.log(level, "%s", event, exc_info=has_traceback, extra={"word": event, "values": values})


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
    wanted = logging.getLevelNamesMapping()[level.upper()]
    redactor = Redactor(secrets)
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(_Json(redactor) if format == "json" else _Text(redactor))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING if wanted == logging.INFO else wanted)
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # its report of a failed log call would show the arguments unmasked
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


@contextmanager
def through(stream: TextIO) -> Iterator[None]:
    """Write to this stream for a while: that of a progress bar, which makes room for lines."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]
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
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]
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
    """Ours, to be told apart from those of a test runner."""


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

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

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
    def format(self, record: logging.LogRecord) -> str:
        word, values = self._facts(record)
        pairs = [f"{key}={_quoted(self._redacted(value))}" for key, value in values.items()]
        line = " ".join([_time(record), record.levelname, visible(self.redactor.redact(word)), *pairs])
        # Indented, so that no line of it can pass for a log line.
        return "\n    ".join([line, *(visible(part) for part in self._traceback(record).splitlines())])


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        word, values = self._facts(record)
        line: dict[str, object] = {
            "time": _time(record),
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


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
