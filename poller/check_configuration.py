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
    ("configuration.no_file", r"no configuration|no such file|is a directory|may not be read|cannot be read"),
    ("configuration.unknown_section", r"unknown section"),
    ("configuration.unknown_key", r"unknown key"),
    ("configuration.secret", r"password_file|bot_token_file|environment variable|systemd credential|secret"),
    ("configuration.missing", r" is missing: "),
    ("configuration.placeholder", r"still the placeholder"),
    ("configuration.value", r""),
)
"""What kind of mistake a line of ConfigError tells, by its words; the first that is found."""
_IN_THE_LINE = re.compile(
    r"(?:; |: |, | )((?:did you mean|must|there are|add|name|give|save|put|change|known here)\b.*)$"
)
_REMEDIES = {
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
        found = _IN_THE_LINE.search(line)
        text = line[: found.start()] if found else line
        remedy = found[1] if found else _REMEDIES.get(code, "correct that in conf.toml")
        yield Finding(code, WRONG, CONFIGURATION, text, remedy)
