"""Log lines: readable, one line each, and never a secret."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller import logs
from poller.logs import Log, Redactor
from poller.secret import Secret

PASSWORD = "p/a s+s'w\\ö:rd"
TOKEN = "123456789:AAE-abcdefghijklmnopqrstuvwxyz_0123"
SECRETS = (Secret(PASSWORD), Secret(f"ann:{PASSWORD}"), Secret(TOKEN), Secret(TOKEN.partition(":")[2]))


def listening(level: str = "info", format: str = "text") -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(level, format, SECRETS, stream)
    return stream


def without_time(text: str) -> str:
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", text, flags=re.MULTILINE)


def test_a_text_line() -> None:
    stream = listening()
    Log("poller.jobs").info("audit.polled", rows=3, new=1, project=None, since=datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO audit\.polled rows=3 new=1 project=null since=2026-11-24T12:00:00Z\n",
        stream.getvalue(),
    )


def test_a_json_line() -> None:
    stream = listening(format="json")
    Log("poller.jobs").warning("audit.polled", rows=3, rate=0.5, none=None, is_new=True, error=KeyError(), time="x")
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"[\d-]+T[\d:]+\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "audit.polled",
        "rows": 3,
        "rate": 0.5,
        "none": None,
        "is_new": True,
        "error": "KeyError",
        "time_": "x",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("team/app:1.27", "team/app:1.27"),
        ("two words", '"two words"'),
        ("", '""'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a=b", '"a=b"'),
        ("x\n2026-11-24T12:00:00Z INFO message.sent", '"x\\n2026-11-24T12:00:00Z INFO message.sent"'),
        ("\x1b[31m\u2028\u202e\x85", '"\\x1b[31m\\u2028\\u202e\\x85"'),
        ("образ", "образ"),
    ],
)
def test_a_value_cannot_fake_a_line_or_another_value(value: str, expected: str) -> None:
    stream = listening()
    Log("poller").info("event.recorded", repository=value, event="kept")
    assert without_time(stream.getvalue()) == f"INFO event.recorded repository={expected} event=kept\n"


@pytest.mark.parametrize("format", ["text", "json"])
@given(value=st.text(), library=st.text())
def test_any_value_stays_on_one_line(format: str, value: str, library: str) -> None:
    stream = listening(format=format)
    Log("poller").info("event.recorded", value=value)
    logging.getLogger("urllib3").warning(library)
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "form",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote(PASSWORD, safe="").lower(),
        quote_plus(PASSWORD),
        repr(PASSWORD),
        repr({"password": PASSWORD}),
        json.dumps(PASSWORD),
        "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode(),
        f"https://api.telegram.org/bot{TOKEN}/sendMessage",
        f"https://api.telegram.org/bot{quote(TOKEN, safe='')}/sendMessage",
        f"Invalid port: '{TOKEN.partition(':')[2]}'",
    ],
)
def test_no_form_of_a_secret_gets_through(form: str, format: str) -> None:
    """In values, in libraries' messages and their arguments, and in tracebacks with their causes."""
    stream = listening("debug", format)
    Log("poller").info("x.y", value=form, values=[form], error=ValueError(form))
    logging.getLogger("urllib3.connectionpool").debug("%s and " + form.replace("%", "%%"), form)
    try:
        try:
            raise ValueError(form)
        except ValueError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        Log("poller").exception("job.failed", detail=form)

    text = stream.getvalue()
    assert "***" in text
    assert "RuntimeError: outer" in text
    for piece in ("s+s'w", "s%2bs", "AAE-abc", base64.b64encode(f"ann:{PASSWORD}".encode()).decode()):
        assert piece.lower() not in text.lower()


def test_a_traceback_is_indented() -> None:
    """An exception's text with line breaks cannot fake a log line either."""
    stream = listening()
    try:
        raise ValueError("bad\n2026-11-24T12:00:00Z INFO message.sent")
    except ValueError:
        Log("poller").exception("job.failed")

    first, *others = stream.getvalue().splitlines()
    assert first.endswith("ERROR job.failed")
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in others)


def test_what_looks_like_a_secret_is_masked_unasked() -> None:
    """Before the configuration is read, nobody has said what the secrets are."""
    redactor = Redactor(())
    assert redactor.redact(f"/bot{TOKEN}/getMe") == f"/bot{TOKEN}/getMe".replace(TOKEN, "***")
    assert redactor.redact("Authorization: Basic YW5uOnBhc3N3b3Jk") == "Authorization: Basic ***"
    assert redactor.redact("postgresql://ann:word@db/x") == "postgresql://***@db/x"
    digest = "registry.example.org/team/app@sha256:" + "50bd" * 16
    assert redactor.redact(digest) == digest
    key = f"scan:team/app@{digest[-70:-6]}123456:7ab27f2f-83e7-4a3e-b1a9-a41a97f98ec6:Success"  # of an event
    assert redactor.redact(key) == key


def test_redact_knows_what_set_up_was_told() -> None:
    listening()
    assert logs.redact(f"the password is {PASSWORD}\nsecond line") == "the password is ***\nsecond line"


def test_libraries_follow_the_level_without_their_chatter() -> None:
    stream = listening("info")
    logging.getLogger("apscheduler.executors.default").info("Running job")
    logging.getLogger("apscheduler.scheduler").warning("missed %s", "by a second")
    assert without_time(stream.getvalue()) == 'WARNING apscheduler.scheduler text="missed by a second"\n'

    stream = listening("debug")
    logging.getLogger("urllib3.connectionpool").debug("x")
    assert without_time(stream.getvalue()) == "DEBUG urllib3.connectionpool text=x\n"

    stream = listening("error")
    Log("poller.jobs").warning("x.y")
    logging.getLogger("alembic").warning("x")
    assert stream.getvalue() == ""


def test_setting_up_twice_writes_once() -> None:
    first = listening()
    second = listening()
    Log("poller").info("x.y")
    assert first.getvalue() == ""
    assert without_time(second.getvalue()) == "INFO x.y\n"


def test_a_librarys_broken_log_call_neither_raises_nor_shows_arguments() -> None:
    stream = listening()
    logging.getLogger("urllib3").warning("%d", TOKEN)
    assert without_time(stream.getvalue()) == "WARNING urllib3 text=%d\n"


def test_uncaught_exceptions_and_warnings_are_log_lines_too() -> None:
    stream = listening()
    error = ValueError(f"token {TOKEN}")
    sys.excepthook(ValueError, error, None)

    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    warnings.warn(f"insecure {PASSWORD}", stacklevel=1)

    text = without_time(stream.getvalue())
    assert text.startswith("CRITICAL process.failed\n    ValueError: token ***\n")
    assert text.count("process.failed") == 2
    assert "WARNING py.warnings" in text
    assert "insecure ***" in text
    assert TOKEN not in text


# -- the level, at run time -------------------------------------------------------------------------


@pytest.fixture
def heeding() -> Iterator[None]:
    """Signals are this process's own: put back what was heeded before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    logs.heed_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("usual", ["info", "error"])
def test_a_signal_makes_it_tell_everything_and_another_one_ends_that(usual: str) -> None:
    """Each says so, whichever level was asked for at the start; libraries follow."""
    stream = listening(usual)
    urllib3, ours = logging.getLogger("urllib3.connectionpool"), Log("poller.jobs")
    ours.debug("x.hidden")
    os.kill(os.getpid(), signal.SIGUSR1)
    ours.debug("x.shown")
    urllib3.debug("asked")
    os.kill(os.getpid(), signal.SIGUSR2)
    ours.debug("x.hidden")
    urllib3.debug("hidden")
    assert without_time(stream.getvalue()).splitlines() == [
        "INFO log.level_changed level=debug",
        "DEBUG x.shown",
        "DEBUG urllib3.connectionpool text=asked",
        f"INFO log.level_changed level={usual}",
    ]


# -- in systemd's journal ---------------------------------------------------------------------------


@dataclass
class Journal:
    """A pipe that, as systemd says it, leads to the journal."""

    stream: TextIO
    end: int

    def lines(self) -> list[str]:
        """What came out at the other end since this was asked last."""
        return os.read(self.end, 1 << 16).decode().splitlines()


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # where nothing comes, there is an error at once
    found = os.fstat(writing)
    monkeypatch.setenv(logs.JOURNAL_STREAM, f"{found.st_dev}:{found.st_ino}")
    with os.fdopen(writing, "w", buffering=1) as stream:
        yield Journal(stream, reading)
    os.close(reading)


def test_the_journal_is_told_priorities_and_no_time(journal: Journal) -> None:
    """So `journalctl -p warning` works, and no line has two times."""
    logs.set_up("debug", "text", SECRETS, journal.stream)
    ours = Log("poller")
    for say in (ours.debug, ours.info, ours.warning, ours.error):
        say("x.y", password=PASSWORD)
    sys.excepthook(ValueError, ValueError("end"), None)
    assert journal.lines() == [
        "<7>DEBUG x.y password=***",
        "<6>INFO x.y password=***",
        "<4>WARNING x.y password=***",
        "<3>ERROR x.y password=***",
        "<3>CRITICAL process.failed",
        "<3>    ValueError: end",
    ]


def test_every_line_of_a_traceback_has_its_priority(journal: Journal) -> None:
    """The journal takes each line for an entry of its own."""
    logs.set_up("info", "text", SECRETS, journal.stream)
    try:
        raise ValueError("bad\n<7>DEBUG nothing.happened")
    except ValueError:
        Log("poller").exception("job.failed")
    lines = journal.lines()
    assert lines[0] == "<3>ERROR job.failed"
    assert len(lines) > 3
    assert all(line.startswith("<3>    ") for line in lines[1:])


def test_json_in_the_journal_keeps_its_time(journal: Journal) -> None:
    """An object is the same wherever it goes."""
    logs.set_up("info", "json", SECRETS, journal.stream)
    Log("poller").warning("x.y")
    (line,) = journal.lines()
    assert json.loads(line.removeprefix("<4>")).keys() == {"time", "level", "event"}


def test_what_is_said_to_people_has_a_priority_in_the_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as all mistakes of a configuration."""
    monkeypatch.setattr(sys, "stderr", journal.stream)
    logs.set_up("info", "text", SECRETS)
    assert logs.for_stderr(f"one {PASSWORD}\ntwo", logging.ERROR) == "<3>one ***\n<3>two"


@pytest.mark.parametrize("named", ["", "1:1", "nonsense"])
def test_a_journal_that_is_somebody_elses_is_none(
    named: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is inherited, also where standard error leads to a file by now."""
    monkeypatch.setenv(logs.JOURNAL_STREAM, named)
    logs.set_up("info", "text", SECRETS, journal.stream)
    Log("poller").info("x.y")
    assert without_time(journal.lines()[0]) == "INFO x.y"


def test_a_stream_that_is_no_file_is_no_journal() -> None:
    """Such as that of a test runner."""
    assert not logs.is_journal(io.StringIO())
