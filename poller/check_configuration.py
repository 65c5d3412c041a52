"""What `check` finds out about conf.toml. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from poller.config import Config
from poller.errors import ConfigError
from poller.findings import WARNING, WRONG, Finding, fine, warning

CONFIGURATION = "configuration"

_MISTAKES = (
    ("configuration.not_toml", r"not TOML|UTF-8|UTF-16|nested too deeply"),
    ("configuration.unknown_section", r"unknown section"),
    ("configuration.unknown_key", r"unknown key"),
    ("configuration.missing", r" is missing: "),
    ("configuration.secret", r"\] \w+_file: |the environment variable|the systemd credential"),
    ("configuration.value", r" must "),
    ("configuration.no_file", r"no configuration|no such file|is a directory|may not be read|cannot be read"),
    ("configuration.placeholder", r"still the placeholder"),
    ("configuration.value", r""),
)
"""What kind of mistake a line of ConfigError tells, by its words; the first that is found."""
_IN_THE_LINE = re.compile(
    r"(?:; |: |, | )"
    r"((?:did you mean|\S+ belongs|must|there are|add|name|give|save|put|leave|change|known here)\b.*)$"
)
_REMEDIES = {
    "configuration.secret": "put the secret into that file, as its only line, and chmod 600 it",
    "configuration.no_file": "name the file with --config; or make it: `reference` prints one to be filled in",
    "configuration.not_toml": "correct that line; text stands in quotation marks, sections in brackets, each key once",
    "configuration.value": "correct the value; the comments of conf.toml say what it may be",
}


def probe(config: Config, now: datetime) -> Iterator[Finding]:
    local = now.astimezone(config.timezone)
    read = f"{config.path} can be read; times are told in {config.timezone}, now {local:%H:%M}"
    yield fine("configuration.read", CONFIGURATION, read)
    for caution in config.warnings:
        yield Finding(f"configuration.{caution.code}", WARNING, CONFIGURATION, caution.text, caution.remedy)
    if config.missing_escapes:
        lacking = " ".join(config.missing_escapes)
        yield warning(
            "configuration.escape_chars",
            CONFIGURATION,
            f"[markdown] escape_chars lacks {lacking} which Telegram wants escaped; it is escaped all the same",
            "nothing has to be done; add them so that the list says what happens",
        )


def mistakes(error: ConfigError) -> Iterator[Finding]:
    """One for each line of the error. What to write instead is in the line, and is made the remedy."""
    for line in str(error).splitlines():
        code = next(code for code, words in _MISTAKES if re.search(words, line))
        text, remedy = _parted(line, code)
        yield Finding(code, WRONG, CONFIGURATION, text, remedy)


def _parted(line: str, code: str) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    if code == "configuration.missing":
        text, _, meaning = line.partition(" is missing: ")
        return f"{text} is missing", f"add it: {meaning.removeprefix('add it, ')}"
    found = _IN_THE_LINE.search(line)
    if found is None:
        return line, _REMEDIES.get(code, "correct that in conf.toml")
    return line[: found.start()], found[1]
