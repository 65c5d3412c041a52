"""`setup`: from an administrator's login and a bot's token to a conf.toml that works. The story, top to bottom.

First everything is asked, and each answer tried at once; nothing is made until the last one is given. Then come the
robot and the files, all or none of them. The administrator's login is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from poller import config_values as values
from poller.administrator import Administrator
from poller.errors import ConfigError
from poller.secret import Secret
from poller.setup_asking import Edge, Given, Person, fitting
from poller.setup_chats import Listener, Wish, choose_chat
from poller.setup_files import check_folder, is_as_it_came, reserved
from poller.setup_harbor import Login, ask_administrator, ask_harbor, ask_robot
from poller.setup_plan import HarborAnswers, Places, TelegramAnswers, contents, places_for
from poller.setup_robot import RobotPlan, plan_robot, robot_made
from poller.telegram import API_URL, Me, Telegram, TelegramRefused, TelegramUnavailable

_COLUMN = 18  # where what is listed begins
LANGUAGES = {"ru": "Russian", "en": "English"}


@dataclass(frozen=True, slots=True)
class NewRobot:
    """A robot that is to be created, and who will do it."""

    plan: RobotPlan
    administrator: Administrator


Account = Login | NewRobot


def run(given: Given, edge: Edge) -> Path:
    """Ask, create, write. The path of the conf.toml that was written."""
    places = places_for(given.conf)
    _check_beforehand(places, given, edge.person)
    harbor = ask_harbor(given, edge.person)
    with ExitStack() as stack:
        account = _ask_account(given, edge, harbor, stack)
        telegram = _ask_telegram(given, edge)
        _agree(given, edge.person, places, account, telegram)
        kept = _make(places, harbor, account, telegram, edge)
    for copy in kept:
        edge.person.say(f"What was there before is now {copy}")
    return places.conf


def _check_beforehand(places: Places, given: Given, person: Person) -> None:
    """What would make all answers vain."""
    there = [place for place in places.all if place.exists() and not (place == places.conf and is_as_it_came(place))]
    if there and not given.overwrites:
        raise ConfigError(
            f"{there[0]} is there already: another folder with --directory, or --force, which keeps a copy of what is"
            " there; `check` tries what is there"
        )
    check_folder(places.conf.parent)
    if not person.is_there and given.missing():
        raise ConfigError(f"nobody is there to be asked, and these are not given: {', '.join(given.missing())}")
    if given.robot_secret is not None and given.robot_user is None:
        person.say("! HARBOR_PASSWORD is set here: `run` would take that instead of the new robot's secret; unset it")


def _ask_account(given: Given, edge: Edge, harbor: HarborAnswers, stack: ExitStack) -> Account:
    if given.robot_user is not None:
        return ask_robot(given.robot_user, given, edge, harbor)
    administrator = ask_administrator(given, edge, harbor)
    stack.callback(administrator.close)
    return NewRobot(plan_robot(given, edge.person, administrator), administrator)


# -- Telegram ---------------------------------------------------------------------------------------


def _ask_telegram(given: Given, edge: Edge) -> TelegramAnswers:
    api_url = fitting("--telegram-api-url", values.api_url)(given.api_url) if given.api_url else None
    proxy = fitting("--telegram-proxy", values.proxy)(given.telegram_proxy) if given.telegram_proxy else None

    def read(text: str) -> tuple[Secret, Telegram, Me]:
        token = Secret(fitting("the token", values.bot_token)(text))
        edge.mask(token)
        telegram = Telegram(token, api_url=api_url or API_URL, proxy=proxy)
        return token, telegram, _bot(telegram)

    known = given.token.reveal() if given.token else None
    token, telegram, bot = edge.person.ask("Token of the bot, from @BotFather", read, given=known, is_hidden=True)
    wish = Wish(given.chat_id, given.topic, given.language, given.wait)
    chat = choose_chat(bot, Listener(telegram, edge.sleep), edge.person, wish)
    return TelegramAnswers(token, chat, api_url, proxy)


def _bot(telegram: Telegram) -> Me:
    try:
        return telegram.me()
    except TelegramUnavailable as error:
        raise TelegramUnavailable(
            error.reason,
            f"{error}: is there a way to Telegram from here? A proxy for it: --telegram-proxy socks5h://HOST:PORT",
        ) from None
    except TelegramRefused as error:
        if error.reason not in ("telegram.unauthorized", "telegram.not_found"):
            raise
        said = "Telegram knows no bot with this token: copy it from @BotFather (/mybots, API Token)"
        raise TelegramRefused(error.reason, said) from None


# -- making -----------------------------------------------------------------------------------------


def _agree(given: Given, person: Person, places: Places, account: Account, telegram: TelegramAnswers) -> None:
    """The last answer, before which nothing was made."""
    chat = telegram.chat
    person.say()
    person.say("This is what will be done:")
    if isinstance(account, NewRobot):
        person.say(f"  robot account   {account.plan.description}", column=_COLUMN)
        for right in account.plan.lacking:
            said = f"! this Harbor does not know the right {right}; `check` says what that costs"
            person.say(f"                  {said}", column=_COLUMN + 2)
    person.say(f"  configuration   {places.conf}")
    person.say(f"  secrets         {places.password} and {places.token}, mode 0600", column=_COLUMN)
    person.say(f"  messages        to {chat.label}, in {LANGUAGES[chat.language]} (--language)", column=_COLUMN)
    if person.is_there and not given.is_agreed and not person.agrees("Go on?", default=True):
        raise click.Abort


def _make(places: Places, harbor: HarborAnswers, account: Account, telegram: TelegramAnswers, edge: Edge) -> list[Path]:
    """The robot and the files. What was overwritten is kept, and told."""
    suffix = f".{edge.clock():%Y-%m-%dT%H-%M-%S}.bak"
    with reserved(places.all, suffix) as files, _login(account) as login:
        edge.mask(login.secret)
        return files.put(contents(places, harbor, login.name, login.secret, telegram, edge.clock()))


@contextmanager
def _login(account: Account) -> Iterator[Login]:
    if isinstance(account, Login):
        yield account
        return
    with robot_made(account.plan, account.administrator) as login:
        yield login
