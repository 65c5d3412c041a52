"""Files that come with the program."""

from __future__ import annotations

import click

from poller import reference
from poller.exit_codes import DONE


def run(name: str) -> int:
    click.echo(reference.text(name), nl=False)
    return DONE
