"""Print harbor-poller(1), made of what `--help` says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, it would look beside itself only

from poller import __version__  # noqa: E402 -- found only now
from poller.__main__ import cli  # noqa: E402

FILES = {
    "./conf.toml, /etc/harbor-poller/conf.toml": "The configuration: the first that is there.",
    "/var/lib/harbor-poller/state.db": "The state of the services: what was seen and told.",
}


def escaped(text: str) -> str:
    """No character of it means anything to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


def paragraphs(text: str) -> Iterator[str]:
    """As click has them: what follows a line with \\b alone keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = [line.strip() if "\b" not in paragraph else line for line in paragraph.split("\n")]
        if lines[0].strip() == "\b":
            yield ".PP\n.nf\n" + escaped("\n".join(lines[1:])) + "\n.fi"
        else:
            yield ".PP\n" + escaped("\n".join(lines))


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        if record := parameter.get_help_record(context):
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"


def page() -> Iterator[str]:
    context = click.Context(cli, info_name="harbor-poller")
    yield f'.TH HARBOR\\-POLLER 1 "" "harbor\\-poller {__version__}" "User Commands"'
    yield f".SH NAME\nharbor\\-poller \\- {escaped(cli.get_short_help_str(200).rstrip('.').replace('Tells', 'tells'))}"
    yield ".SH SYNOPSIS\n.B harbor\\-poller\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]"
    yield ".SH OPTIONS"
    yield from options(cli, context)
    yield ".SH COMMANDS"
    for name, command in cli.commands.items():
        within = click.Context(command, parent=context, info_name=name)
        yield f".SS {escaped(' '.join([name, *command.collect_usage_pieces(within)]))}"
        yield from paragraphs(command.help or "")
        yield from options(command, within)
        yield from paragraphs(command.epilog or "")
    yield ".SH NOTES"
    yield from paragraphs(cli.epilog or "")
    yield ".SH FILES"
    for file, meaning in FILES.items():
        yield f".TP\n.I {escaped(file)}\n{escaped(meaning)}"


if __name__ == "__main__":
    print("\n".join(page()))
