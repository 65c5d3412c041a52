"""`python -m demo.standins`: a Harbor and a Telegram on this machine, for trying `setup` and `run` by hand.

A registry day goes on in that Harbor; as soon as somebody asks for the bot's messages, ann writes to it. What the bot
sends is shown here.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count

import click

from demo.harbor import ADMIN, Generation, HarborStandIn, World
from demo.screen import Screen
from demo.telegram import ANN, Chat, TelegramStandIn
from demo.telegram_parser import ParserMissing

TOKEN = "123456:TOKEN-OF-THE-TELEGRAM-STAND-IN"
GENERATIONS = {"2.8": Generation.V2_8, "2.12": Generation.V2_12, "2.16": Generation.V2_16}
DEPLOYS = 7


def main(generation: Generation, *, every: float, harbor_port: int, telegram_port: int) -> None:
    """Until Ctrl-C. `every`: something happens in Harbor every so many seconds."""
    screen = Screen()
    world = World(generation)
    harbor = HarborStandIn(world, [ADMIN], port=harbor_port)
    telegram = TelegramStandIn(TOKEN, strict=True, port=telegram_port)
    with harbor, telegram:
        ann = telegram.add_chat(ANN.id, "private", title=ANN.first_name)
        group = telegram.add_chat(-1001234567890, "supergroup", topics=(), title="Releases")
        _tell(screen, harbor, telegram)
        _begin(lambda: _people(telegram, ann, group))
        _begin(lambda: _day(world, every))
        shown = 0
        while True:
            for message in telegram.messages[shown:]:
                screen.show(message)
                shown += 1
            time.sleep(0.2)


def _tell(screen: Screen, harbor: HarborStandIn, telegram: TelegramStandIn) -> None:
    screen.say(f"Harbor {harbor.source.version} at {harbor.url}; administrator {ADMIN.name}, password {ADMIN.password}")
    screen.say(f"Telegram at {telegram.url}; the bot's token: {telegram.token}")
    screen.say("In another terminal, from this folder:")
    click.echo(f"  {shlex.quote(sys.orig_argv[0])} -m poller setup --telegram-api-url {telegram.url}")
    screen.say("As soon as it listens, ann presses Start, adds the bot to a group and writes in one of its topics.")


def _begin(work: Callable[[], object]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _people(telegram: TelegramStandIn, ann: Chat, group: Chat) -> None:
    """They write when somebody listens, as the operator who runs `setup` would."""
    while not any(request.method == "getUpdates" for request in list(telegram.requests)):
        time.sleep(0.1)
    time.sleep(2)
    telegram.add_bot(group)
    telegram.create_topic(group, DEPLOYS, "Deploys")
    telegram.write(group, "/start@test_bot", topic=DEPLOYS)
    telegram.write(ann, "/start")


def _day(world: World, every: float) -> None:
    world.create_project("team")
    for number in count(1):
        world.push(f"team/service-{number % 3}", f"1.{number}", "ann")
        time.sleep(every)
        world.pull(f"team/service-{number % 3}", f"1.{number}", "robot$team+ci")
        time.sleep(every)


@click.command()
@click.option("--harbor", "version", type=click.Choice(list(GENERATIONS)), default="2.16", show_default=True)
@click.option("--every", type=click.FloatRange(min=0.01), default=5.0, show_default=True, metavar="SECONDS")
@click.option("--harbor-port", type=int, default=0, help="Default: any that is free.")
@click.option("--telegram-port", type=int, default=0, help="Default: any that is free.")
def command(version: str, every: float, harbor_port: int, telegram_port: int) -> None:
    """A Harbor and a Telegram on this machine, for trying `setup` and `run` by hand. Ctrl-C ends them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # a job in the background is born deaf to Ctrl-C
    try:
        main(GENERATIONS[version], every=every, harbor_port=harbor_port, telegram_port=telegram_port)
    except ParserMissing as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo()


if __name__ == "__main__":
    command()
