"""`setup`, as a new user meets it: from an administrator's login and a bot's token to the first message."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.harbor import ALWAYS, Account, Fault, Generation, Grant, HarborStandIn, Role, World
from demo.telegram import ANN, Chat, Person, TelegramStandIn
from poller import config as configuration
from poller import reference, setup
from poller.__main__ import cli
from poller.errors import (
    ConfigError,
    HarborUnreachable,
    NotAllowed,
    OperatorError,
    PollerError,
    UntrustedCertificate,
    WrongCredentials,
)
from poller.secret import Secret
from poller.setup_asking import Edge, Given
from poller.setup_asking import Person as Operator
from poller.setup_plan import (
    SERVICE_FOLDER,
    ChatAnswer,
    HarborAnswers,
    TelegramAnswers,
    contents,
    places_for,
)
from poller.telegram import Telegram
from poller.values import replace
from tests.harness import NOON, ROOT, Nursery, Terminal, is_alive, wait_for

TOKEN = "123456:TOKEN-FOR-TESTS-ONLY-0123456789abcdef"
PASSWORD = "Adm1nistrators-own"
CHIEF = Account("admin", PASSWORD, Role.ADMIN)
PADMIN = Account("padmin", PASSWORD, Role.PROJECT_ADMIN)
CERTIFICATE = Path(__file__).parent / "localhost.pem"
GROUP, DEPLOYS = -1001234567890, 7
EVERYTHING = {
    Grant("/", "audit-log", "list"),
    *(Grant("*", resource, action) for resource, action in (("log", "list"), ("project", "read"))),
    *(Grant("*", resource, action) for resource in ("repository", "artifact") for action in ("list", "read")),
    Grant("*", "artifact-addition", "read"),
}


@dataclass
class Site:
    """Both stand-ins, a folder without anything in it, and `setup` in this process: nobody is there to be asked."""

    harbor: HarborStandIn
    telegram: TelegramStandIn
    folder: Path
    masked: list[Secret] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    @property
    def given(self) -> Given:
        return Given(
            conf=self.folder / "conf.toml",
            harbor_url=self.harbor.url,
            password=Secret(PASSWORD),
            token=Secret(TOKEN),
            chat_id=str(ANN.id),
            api_url=self.telegram.url,
            wait=5,
        )

    def setup(self, **flags: object) -> Path:
        edge = Edge(Operator(is_there=False), lambda: NOON, self.slept.append, self.masked.append)
        return setup.run(replace(self.given, **flags), edge)

    def group(self) -> Chat:
        """The bot is added to one, with a topic."""
        group = self.telegram.add_chat(GROUP, "supergroup", topics=[DEPLOYS], title="Releases")
        group.topic_names[DEPLOYS] = "Deploys"
        return group

    @property
    def flags(self) -> list[str]:
        return ["--telegram-api-url", self.telegram.url, "--directory", str(self.folder)]

    @property
    def files(self) -> dict[str, int]:
        """Their modes."""
        return {each.name: stat.S_IMODE(each.stat().st_mode) for each in sorted(self.folder.iterdir())}

    def conf(self) -> configuration.Config:
        return configuration.load(self.folder / "conf.toml", {})

    def robot_rights(self, name: str = "robot$poller") -> set[Grant]:
        return set(self.harbor.accounts[name].grants)


@pytest.fixture
def world() -> World:
    world = World()
    world.create_project("team")
    world.push("team/app", "1.0", "ann")
    return world


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    with opened(world, tmp_path) as site:
        yield site


def opened(world: World, tmp_path: Path, *accounts: Account) -> _Opened:
    return _Opened(world, tmp_path, accounts or (CHIEF, PADMIN))


class _Opened:
    def __init__(self, world: World, folder: Path, accounts: tuple[Account, ...]) -> None:
        self._harbor = HarborStandIn(world, accounts)
        self._telegram = TelegramStandIn(TOKEN, strict=True)
        self._telegram.add_chat(ANN.id, "private", title="Ann")
        self._site = Site(self._harbor, self._telegram, folder / "site")
        self._site.folder.mkdir()

    def __enter__(self) -> Site:
        self._harbor.__enter__()
        self._telegram.__enter__()
        return self._site

    def __exit__(self, *_: object) -> None:
        self._telegram.__exit__(None, None, None)
        self._harbor.__exit__(None, None, None)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("tests.setup_program") as nursery:
        yield nursery


def ended(pid: int) -> bool:
    wait_for(lambda: not is_alive(pid), every_s=0.02)
    return True


# -- the journey ------------------------------------------------------------------------------------


def test_from_an_empty_machine_to_the_first_message(site: Site, nursery: Nursery) -> None:
    """Six answers at a terminal, and what is pushed then is told by `run` in the topic where somebody wrote."""
    began = time.monotonic()
    with Terminal() as terminal:
        pid = nursery.start("--log-level", "debug", "setup", *site.flags, terminal=terminal.name)
        terminal.answer("Harbor's address", site.harbor.url.removeprefix("http://"))
        terminal.answer("administrator")
        terminal.answer("Password of admin", PASSWORD)
        terminal.answer("Token of the bot", TOKEN)
        terminal.expect("waiting for the bot to hear")
        site.telegram.write(site.group(), "/start@test_bot", topic=DEPLOYS)
        terminal.answer("Which one?")
        assert "Releases › Deploys (topic)" in terminal.shown
        terminal.answer("Go on?")
        terminal.expect("exit 0")
        assert ended(pid)
    assert terminal.answers == 6
    [test_message] = site.telegram.messages
    assert (test_message.chat_id, test_message.thread_id) == (GROUP, DEPLOYS)
    assert site.files == {"conf.toml": 0o644, "harbor-password": 0o600, "telegram-token": 0o600}
    assert site.robot_rights() == EVERYTHING
    assert no_login_in(terminal.shown, site)

    with (site.folder / "conf.toml").open("a") as conf:
        conf.write("[schedule]\npoll = '1s'\njitter = '0s'\n[delivery]\nsettle = '0s'\n")  # a test need not wait
    output = site.folder.parent / "run.txt"
    pid = nursery.start("--config", site.folder / "conf.toml", "run", output=output)
    site.harbor.clear()
    wait_for(lambda: len([r for r in site.harbor.requests if r.path.endswith("/auditlog-exts")]) > 2, every_s=0.05)
    site.harbor.world.push("team/app", "2.0", "ann")
    first = site.telegram.wait_for_messages(2, timeout_s=30)[1]
    assert "team/app" in first.text
    assert (first.chat_id, first.thread_id) == (GROUP, DEPLOYS)
    assert time.monotonic() - began < 180
    stop(pid)
    assert no_login_in(output.read_text(), site)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    ended(pid)


def no_login_in(shown: str, site: Site) -> bool:
    """Neither what was typed nor any encoding of it is anywhere: on the screen, in a file, in a request but its own."""
    encoded = "YWRtaW46QWRtMW5pc3RyYXRvcnMtb3du"  # Basic authentication's
    kept = [shown, *(each.read_bytes().decode("utf-8", "replace") for each in site.folder.iterdir())]
    for text in kept:
        assert PASSWORD not in text
        assert encoded not in text
    assert TOKEN not in shown
    return True


def test_everything_by_flags(site: Site, nursery: Nursery, tmp_path: Path) -> None:
    """For automation: nobody is asked, secrets come from the environment and a file."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    output = tmp_path / "output"
    flags = ["--harbor-url", site.harbor.url, "--token-file", str(token_file), "--language", "ru", "--project", "team"]
    site.telegram.write(site.telegram.chats[ANN.id], "/start")
    pid = nursery.start("setup", *site.flags, *flags, "--yes", env={"HARBOR_ADMIN_PASSWORD": PASSWORD}, output=output)
    assert ended(pid)
    said = output.read_text()
    assert said.endswith("exit 0\n"), said
    assert site.conf().language == "ru"
    assert site.conf().harbor.projects == ("team",)
    assert [message.chat_id for message in site.telegram.messages] == [ANN.id]
    assert no_login_in(said, site)


def test_what_is_missing_is_named_together(site: Site) -> None:
    """Without a terminal nobody can be asked, so all of it is said at once."""
    with pytest.raises(ConfigError) as error:
        site.setup(harbor_url=None, password=None, token=None)
    for flag in ("--harbor-url", "HARBOR_ADMIN_PASSWORD", "TELEGRAM_BOT_TOKEN"):
        assert flag in str(error.value)
    assert site.harbor.requests == []


def test_the_chats_are_listed_again_when_they_have_changed(site: Site, nursery: Nursery) -> None:
    """Also when there are fewer: whoever waits for another would wait for good otherwise."""
    site.telegram.write(site.telegram.chats[ANN.id], "/start")
    group = site.telegram.add_chat(-4242, "group", title="Old")
    site.telegram.add_bot(group)
    with Terminal() as terminal:
        pid = nursery.start("setup", *site.flags, "--harbor-url", site.harbor.url, terminal=terminal.name)
        terminal.answer("administrator")
        terminal.answer("Password of admin", PASSWORD)
        terminal.answer("Token", TOKEN)
        terminal.answer("Which one?", "+")
        terminal.expect("waiting")
        site.telegram.remove_bot(group)
        terminal.expect("1  Ann")
        terminal.interrupt("another [1]", pid)
        terminal.expect("nothing was made")
        assert ended(pid)


def test_wrong_answers_have_another_chance(site: Site, nursery: Nursery) -> None:
    """Each is tried at once, and said what is wrong with it; the right ones do then."""
    site.telegram.write(site.telegram.chats[ANN.id], "/start", Person(first_name="Anna", language="ru"))
    site.harbor.accounts["robot$poller"] = Account("robot$poller", "Taken1234", Role.SYSTEM_ROBOT_NOTHING)
    with Terminal() as terminal:
        pid = nursery.start("setup", *site.flags, "--no-test-message", terminal=terminal.name)
        terminal.answer("Harbor's address", "127.0.0.1:1")
        terminal.expect("refused")
        terminal.answer("Harbor's address", f"{site.telegram.url}/api")
        terminal.expect("instead of Harbor's API")
        terminal.answer("Harbor's address", f"{site.harbor.url}/harbor/projects")
        terminal.answer("administrator", "padmin")
        terminal.answer("Password of padmin", PASSWORD)
        terminal.expect("is no system administrator")
        terminal.answer("administrator")
        terminal.answer("Password of admin", PASSWORD)
        terminal.answer("Token", "bot123")
        terminal.expect("must")
        terminal.answer("Token", "123456:ANOTHER-TOKEN-0123456789abcdefghijk")
        terminal.expect("knows no bot")
        terminal.answer("Token", TOKEN)
        terminal.answer("Which one?", "9")
        terminal.expect("cannot reach the chat 9")
        terminal.answer("Which one?", "1")
        terminal.expect("in Russian")
        terminal.answer("Go on?", "n")
        terminal.expect("nothing was made")
        terminal.expect("exit 1")
        assert ended(pid)
    assert site.files == {}
    assert site.harbor.robots.names == []


@pytest.mark.parametrize("number", range(6))
def test_ctrl_c_at_any_question_leaves_nothing(site: Site, nursery: Nursery, number: int) -> None:
    """Neither a robot nor a file: all is asked before anything is made."""
    site.telegram.write(site.telegram.chats[ANN.id], "/start")
    answers = [
        ("Harbor's address", site.harbor.url),
        ("administrator", ""),
        ("Password of admin", PASSWORD),
        ("Token", TOKEN),
        ("Which one?", "1"),
        ("Go on?", ""),
    ]
    with Terminal() as terminal:
        pid = nursery.start("setup", *site.flags, terminal=terminal.name)
        for question, answer in answers[:number]:
            terminal.answer(question, answer)
        terminal.interrupt(answers[number][0], pid)
        terminal.expect("nothing was made")
        terminal.expect("exit 1")
        assert ended(pid)
    assert site.files == {}
    assert site.harbor.robots.names == []
    assert {request.method for request in site.harbor.requests} <= {"GET"}


def test_the_stand_ins_can_be_tried_by_hand(site: Site) -> None:
    """`python -m demo.standins` names what `setup` asks for, and it works."""
    command = [sys.executable, "-m", "demo.standins"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, stdout=subprocess.PIPE, text=True
    ) as shown:
        assert shown.stdout
        said = "".join(itertools.islice(shown.stdout, 3))
        harbor, telegram = re.findall(r"http://127\.0\.0\.1:\d+", said)[:2]
        password = re.search(r"password (\S+)", said)
        token = re.search(r"token: (\S+)", said)
        assert password
        assert token
        site.setup(harbor_url=harbor, api_url=telegram, password=Secret(password[1]), token=Secret(token[1]))
        shown.send_signal(signal.SIGINT)
    assert site.conf().harbor.username == "robot$poller"


# -- the robot --------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", list(Generation))
def test_the_robot_can_do_what_is_needed_and_nothing_else(world: World, tmp_path: Path, generation: Generation) -> None:
    """On every generation of Harbor: it never expires, and its secret works."""
    world.generation = generation
    with opened(world, tmp_path) as site:
        site.setup()
        assert site.robot_rights() == EVERYTHING
        [robot] = site.harbor.robots.made.values()
        assert (robot.level, robot.duration) == ("system", -1)
        assert site.conf().harbor.username == "robot$poller"
        assert site.conf().harbor.password.reveal() == robot.secret


def test_one_project_has_a_robot_of_its_own(site: Site) -> None:
    """Its administrator can create it, without any right in the system."""
    site.setup(admin="padmin", projects=("team",))
    assert site.robot_rights("robot$team+poller") == {
        replace(grant, namespace="team") for grant in EVERYTHING if grant.namespace == "*"
    }
    assert site.conf().harbor.username == "robot$team+poller"


def test_several_projects_share_a_robot(site: Site) -> None:
    """It has rights in these, and none in the system or elsewhere."""
    site.harbor.world.create_project("other")
    site.setup(projects=("team", "library"))
    assert {grant.namespace for grant in site.robot_rights()} == {"team", "library"}
    assert site.conf().harbor.projects == ("team", "library")


def test_the_prefix_is_what_this_harbor_puts_before_names(site: Site) -> None:
    """It is a setting of Harbor's."""
    site.harbor.world.robot_prefix = "bot-"
    site.setup()
    assert site.conf().harbor.username == "bot-poller"


def test_a_right_that_this_harbor_does_not_know_is_left_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """And said; otherwise Harbor would refuse the whole robot."""
    site.harbor.robots.withheld.add(("artifact-addition", "read"))
    site.setup()
    assert Grant("*", "artifact-addition", "read") not in site.robot_rights()
    assert "does not know the right artifact-addition: read" in capsys.readouterr().err


def test_a_robot_of_that_name_is_not_touched(site: Site) -> None:
    """Unless that is asked for: whoever uses it would be locked out. Another name does as well."""
    site.setup()
    [robot] = site.harbor.robots.made.values()
    for file in site.folder.iterdir():
        file.unlink()
    with pytest.raises(OperatorError, match=r"robot\$poller already.*--robot-name.*--replace-robot"):
        site.setup()
    assert site.harbor.robots.made == {robot.id: robot}
    site.setup(robot_name="poller-2")
    assert site.harbor.robots.names == ["robot$poller", "robot$poller-2"]


def test_a_robot_is_taken_over_when_asked(site: Site) -> None:
    """It gets exactly the rights that are needed, and a new secret; even if it was disabled and had others."""
    site.setup(projects=("library", "team"))
    [old] = site.harbor.robots.made.values()
    site.setup(takes_over=True, overwrites=True)
    [new] = site.harbor.robots.made.values()
    assert (new.id, set(new.grants)) == (old.id, EVERYTHING)
    assert new.secret != old.secret
    assert site.conf().harbor.password.reveal() == new.secret


@pytest.mark.parametrize("prefix", ["robot$", "bot-"])
def test_nobody_elses_robot_is_taken_over(site: Site, prefix: str) -> None:
    """Not even if this Harbor ignores the filter by name, and theirs ends as ours does."""
    site.harbor.world.robot_prefix = prefix
    site.harbor.robots.ignored.add("name")
    site.setup(robot_name="my-poller")
    site.setup(robot_name="my-poller", projects=("team",), overwrites=True)
    theirs = dict(site.harbor.robots.made)
    site.setup(takes_over=True, overwrites=True)
    site.setup(takes_over=True, overwrites=True, admin="padmin", projects=("team",))
    assert site.harbor.robots.names[2:] == [f"{prefix}poller", f"{prefix}team+poller"]
    for _ in range(2):
        site.setup(takes_over=True, overwrites=True, admin="padmin", projects=("team",))
    assert len(site.harbor.robots.made) == 4
    assert {id: site.harbor.robots.made[id] for id in theirs} == theirs


def test_a_robot_that_is_not_listed_has_its_name_all_the_same(site: Site) -> None:
    """Harbor refuses a second one, and setup says what to do."""
    site.setup()
    site.harbor.fail(Fault.PARTIAL, path="/robots")
    with pytest.raises(OperatorError, match=r"of that name already.*--robot-name"):
        site.setup(overwrites=True)
    assert site.harbor.robots.names == ["robot$poller"]


def test_a_robot_whose_new_secret_is_lost(site: Site) -> None:
    """Its old one has ended: that has to be said."""
    site.setup()
    site.harbor.fail(Fault.DROPPED, path="/robots", after=2)  # the look for it and its new rights come before
    with pytest.raises(HarborUnreachable, match=r"may have a new secret.*--replace-robot"):
        site.setup(takes_over=True, overwrites=True)
    assert site.harbor.robots.names == ["robot$poller"]


def test_a_taken_name_can_be_settled_at_the_terminal(site: Site, nursery: Nursery) -> None:
    """Before anything else is asked."""
    site.setup()
    site.telegram.write(site.telegram.chats[ANN.id], "/start")
    with Terminal() as terminal:
        env = {"HARBOR_ADMIN_PASSWORD": PASSWORD, "TELEGRAM_BOT_TOKEN": TOKEN}
        flags = ["--harbor-url", site.harbor.url, "--force", "--yes", "--no-test-message"]
        pid = nursery.start("setup", *site.flags, *flags, env=env, terminal=terminal.name)
        terminal.answer("Another name for the robot")
        terminal.answer("Which one?")
        terminal.expect("exit 0")
        assert ended(pid)
    assert site.harbor.robots.names == ["robot$poller", "robot$poller-2"]


def test_a_robot_made_by_hand_needs_no_administrator(site: Site) -> None:
    """For those who log in by OIDC, or may not create one."""
    site.harbor.accounts["robot$mine"] = Account("robot$mine", "Secret1234", Role.SYSTEM_ROBOT_FULL)
    mine = {"robot_user": "robot$mine", "password": None}
    with pytest.raises(WrongCredentials, match="with its prefix"):
        site.setup(**mine, robot_secret=Secret("Wrong1234"))
    site.setup(**mine, robot_secret=Secret("Secret1234"))
    assert site.conf().harbor.username == "robot$mine"
    assert {request.method for request in site.harbor.requests} == {"GET"}


# -- what goes wrong with Harbor --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        (
            {"harbor_url": "http://127.0.0.1:1"},
            HarborUnreachable,
            r"refused: nothing listens.*the address \(--harbor-url",
        ),
        ({"harbor_url": "http://host.invalid"}, HarborUnreachable, r"correct the host in the address"),
        ({"harbor_url": "ftp://127.0.0.1"}, ConfigError, "the address must"),
        ({"password": Secret("wrong")}, WrongCredentials, "refuses admin with this password"),
        ({"admin": "padmin"}, NotAllowed, "no system administrator.*--project NAME"),
        ({"admin": "padmin", "projects": ("team", "library")}, NotAllowed, "several projects"),
        ({"admin": "padmin", "projects": ("library",)}, NotAllowed, "lacks a right|no administrator of the project"),
        ({"projects": ("gone",)}, ConfigError, "no such project"),
        ({"projects": ("team/app",)}, ConfigError, "--project must name projects"),
        ({"robot_name": "Poller"}, ConfigError, "does not take the robot Poller.*illegal characters"),
        ({"ca_file": Path(__file__)}, ConfigError, "no file of certificates"),
        ({"token": Secret("123456:ANOTHER-TOKEN-0123456789abcdefghijk")}, OperatorError, "knows no bot"),
        ({"chat_id": "-100999"}, ConfigError, "cannot reach the chat -100999.*add the bot"),
        ({"chat_id": "Releases"}, ConfigError, "the chat id must be"),
    ],
)
def test_a_wrong_answer_is_named(site: Site, flags: dict[str, object], error: type[PollerError], said: str) -> None:
    """By a sentence, and nothing is left behind."""
    with pytest.raises(error, match=said):
        site.setup(**flags)
    assert site.files == {}
    assert site.harbor.robots.names == []


def test_a_wrong_password_is_tried_once_more(site: Site) -> None:
    """Somebody else's typo may have locked the name for 1.5 s; and a person waits for no more than that."""
    with pytest.raises(WrongCredentials):
        site.setup(password=Secret("wrong"))
    assert site.slept == [2.0]
    assert [request.status for request in site.harbor.requests if request.user] == [401, 401]


def test_people_who_log_in_by_oidc_have_no_password_here(site: Site) -> None:
    """So it is said what does work."""
    site.harbor.world.auth_mode = "oidc_auth"
    with pytest.raises(WrongCredentials, match=r"log in by OIDC.*--robot-user"):
        site.setup(password=Secret("wrong"))


class OldWorld(World):
    version = "v2.3.1-abcdef"


def test_an_old_harbor_is_refused(tmp_path: Path) -> None:
    """What is needed is there since 2.4."""
    with opened(OldWorld(), tmp_path) as site, pytest.raises(OperatorError, match=r"too old: 2.4 or newer"):
        site.setup()


def test_an_unknown_certificate_is_shown_and_not_trusted(site: Site) -> None:
    """Whoever knows its fingerprint can decide; with the issuer's certificate Harbor is spoken to."""
    with tls_before(site.harbor.url) as url:
        with pytest.raises(
            UntrustedCertificate, match=r"--ca-file.*issued by a test's Harbor, SHA-256 fingerprint (\w\w:){31}"
        ):
            site.setup(harbor_url=url)
        assert site.harbor.requests == []
        site.setup(harbor_url=url, ca_file=CERTIFICATE)
    assert site.conf().harbor.ca_file == CERTIFICATE


@contextmanager
def tls_before(url: str) -> Iterator[str]:
    """A proxy before Harbor that speaks TLS, as every real Harbor has one."""
    port = int(url.rpartition(":")[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    class Pipe(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as harbor,
            ):
                threading.Thread(target=pour, args=(harbor, client), daemon=True).start()
                pour(client, harbor)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pipe) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()


def pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)


def test_a_password_is_not_sent_in_the_clear_unasked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a scheme at which only plain HTTP answers: that has to be said by name."""
    monkeypatch.setattr("poller.setup_harbor.leads_here", lambda _: False)
    with pytest.raises(ConfigError, match=r"not encrypted.*--harbor-url http://"):
        site.setup(harbor_url=site.harbor.url.removeprefix("http://"))
    assert {request.user for request in site.harbor.requests} == {""}


def test_harbor_goes_away_while_the_robot_is_made(site: Site) -> None:
    """The answer is lost, but the robot is there: it is found, and deleted again."""
    site.harbor.fail(Fault.DROPPED, path="/robots", after=1)
    with pytest.raises(HarborUnreachable):
        site.setup()
    assert [request.method for request in site.harbor.requests if request.method != "GET"] == ["POST", "DELETE"]
    assert site.harbor.robots.names == []
    assert site.files == {}


def test_harbor_is_gone_after_it_made_the_robot(site: Site) -> None:
    """Then it cannot be deleted, and somebody has to know of it."""
    site.harbor.fail(Fault.DROPPED, path="/robots", after=1, times=ALWAYS)
    with pytest.raises(HarborUnreachable, match=r"The robot poller may have been created.*delete it there later"):
        site.setup()
    assert site.files == {}


def test_a_robot_whose_files_cannot_be_written_is_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, for instance."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        site.setup()
    assert site.harbor.robots.names == []
    assert site.files == {}


def test_no_name_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Titles of chats, and what a server says, are somebody else's text."""
    Operator(is_there=False).say("  1  Releases\n✓ all is well\x1b[32m")
    assert capsys.readouterr().err == "  1  Releases\\n✓ all is well\\x1b[32m\n"


# -- files ------------------------------------------------------------------------------------------


def test_what_is_there_is_not_overwritten(site: Site) -> None:
    """Nor is anything asked. With --force, what was there is kept beside it."""
    conf = site.folder / "conf.toml"
    conf.write_text("mine = true")
    with pytest.raises(ConfigError, match=r"is there already.*--force"):
        site.setup()
    assert site.harbor.requests == []
    site.setup(overwrites=True)
    assert (site.folder / "conf.toml.2026-11-24T12-00-00.bak").read_text() == "mine = true"
    assert site.conf().harbor.username == "robot$poller"


def test_the_conf_toml_that_comes_with_the_program_is_nobodys(site: Site) -> None:
    """So `setup` works in a fresh checkout, and beside a package's. A copy is kept; other files still stand."""
    conf = site.folder / "conf.toml"
    conf.write_text(reference.text("conf.toml"))
    (site.folder / "telegram-token").write_text(TOKEN)
    with pytest.raises(ConfigError, match="telegram-token is there already"):
        site.setup()
    (site.folder / "telegram-token").unlink()
    site.setup()
    assert (site.folder / "conf.toml.2026-11-24T12-00-00.bak").read_text() == reference.text("conf.toml")
    assert site.conf().harbor.username == "robot$poller"


def test_a_folder_that_cannot_be_written(site: Site, as_ordinary_user: Callable[[], object], open_folder: Path) -> None:
    """Is found before anything is asked."""
    site.folder = open_folder
    open_folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(ConfigError, match="nothing can be written there"):  # type: ignore[attr-defined]
        site.setup()
    assert site.harbor.requests == []


def test_the_folder_is_made(site: Site) -> None:
    """And goes again if nothing comes of it."""
    deep = site.folder / "etc" / "harbor-poller"
    with pytest.raises(OperatorError):
        site.setup(conf=deep / "conf.toml", robot_name="Poller")
    assert site.files == {}
    site.setup(conf=deep / "conf.toml")
    assert sorted(each.name for each in deep.iterdir()) == ["conf.toml", "harbor-password", "telegram-token"]


def test_conf_toml_says_what_was_answered(tmp_path: Path) -> None:
    """In the product's own words; and it is for its owner alone where the password of a proxy is in it."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(CERTIFICATE.read_bytes())
    places = places_for(tmp_path / "conf.toml")
    harbor = HarborAnswers("https://registry.example.org/harbor", ca_file, "http://me:Secret@127.0.0.1:3128", ("team",))
    chat = ChatAnswer(GROUP, DEPLOYS, 'Releases › a\n\x7f[telegram]"', "en")
    telegram = TelegramAnswers(Secret(TOKEN), chat, "https://telegram.example.org", "socks5h://127.0.0.1:1080")
    written = contents(places, harbor, "robot$team+poller", Secret("Robots-own"), telegram, NOON)
    for place, content in written.items():
        assert content.is_secret
        place.write_text(content.text)
    config = configuration.load(places.conf, {})
    assert config.harbor == configuration.HarborConfig(
        "https://registry.example.org/harbor",
        "robot$team+poller",
        Secret("Robots-own"),
        projects=("team",),
        ca_file=ca_file,
        proxy="http://me:Secret@127.0.0.1:3128",
    )
    assert config.telegram == configuration.TelegramConfig(
        Secret(TOKEN),
        GROUP,
        DEPLOYS,
        api_url="https://telegram.example.org",
        proxy="socks5h://127.0.0.1:1080",
    )
    assert config.language == "en"


def test_the_systemd_service_finds_its_secrets() -> None:
    """In its own folder they have the names that the units give them, and the state is where the service may write."""
    places = places_for(SERVICE_FOLDER / "conf.toml")
    for unit in ("harbor-poller.service", "harbor-poller-once.service"):
        text = (ROOT / "systemd" / unit).read_text()
        assert f"LoadCredential=harbor_password:{places.password}\n" in text
        assert f"LoadCredential=telegram_bot_token:{places.token}\n" in text
        assert "StateDirectory=harbor-poller\n" in text
    assert places.state_url == "sqlite:////var/lib/harbor-poller/state.db"


def test_the_service_is_set_up_before_it_has_its_folder(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That comes with its first start; until then the check is content without it, and leaves nothing there."""
    monkeypatch.setattr("poller.setup_plan.SERVICE_FOLDER", site.folder)
    monkeypatch.setattr("poller.here.STATE_FOLDER", site.folder / "var")
    monkeypatch.setenv("HARBOR_ADMIN_PASSWORD", PASSWORD)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    flags = ["--harbor-url", site.harbor.url, "--chat-id", str(ANN.id)]
    with pytest.raises(SystemExit) as exit:
        cli(["setup", *site.flags, *flags])
    assert exit.value.code == 0, capsys.readouterr()
    assert site.files == {"conf.toml": 0o644, "harbor_password": 0o600, "telegram_bot_token": 0o600}
    assert "HARBOR_ADMIN_PASSWORD" not in os.environ


# -- the chat ---------------------------------------------------------------------------------------


def test_the_only_chat_that_wrote_is_taken(site: Site) -> None:
    """Messages are in the language of whoever wrote, and what they wrote stays for others to read."""
    site.telegram.write(site.telegram.chats[ANN.id], "/start", Person(language="ru"))
    site.setup(chat_id=None)
    assert (site.conf().telegram.chat_id, site.conf().language) == (ANN.id, "ru")
    assert site.telegram.waiting_updates == 1


def test_a_chat_may_write_while_it_is_waited_for(site: Site) -> None:
    """By long polling."""
    threading.Timer(0.5, lambda: site.telegram.add_bot(site.group())).start()
    site.setup(chat_id=None)
    assert site.conf().telegram.chat_id == GROUP


def test_several_chats_are_named_with_their_flags(site: Site) -> None:
    """Nobody is there to choose."""
    site.telegram.create_topic(site.group(), DEPLOYS, "Deploys")
    site.telegram.write(site.telegram.chats[ANN.id], "/start")
    with pytest.raises(ConfigError, match=rf"Deploys \(topic\): --chat-id {GROUP} --topic 7; Ann .*--chat-id {ANN.id}"):
        site.setup(chat_id=None)
    site.setup(chat_id=str(GROUP), topic="7")
    assert (site.conf().telegram.chat_id, site.conf().telegram.message_thread_id) == (GROUP, DEPLOYS)


def test_no_chat_writes(site: Site) -> None:
    """After the time that was given."""
    site.telegram.write(site.group(), "hello everybody")  # privacy mode: the bot does not hear that
    with pytest.raises(ConfigError, match=r"heard of no chat within 0.3 s"):
        site.setup(chat_id=None, wait=0.3)


def test_a_bot_with_a_webhook_hears_nothing_here(site: Site) -> None:
    """A remedy is named; with the chat's number it works all the same."""
    site.telegram.set_webhook("https://example.org/hook")
    with pytest.raises(ConfigError, match=r"webhook.*--chat-id"):
        site.setup(chat_id=None)
    site.setup()


def test_another_program_reads_the_bots_messages(site: Site) -> None:
    """Two cannot."""
    threading.Timer(0.3, lambda: ask_for_updates(site)).start()
    with pytest.raises(ConfigError, match=r"another program.*--chat-id"):
        site.setup(chat_id=None)


def ask_for_updates(site: Site) -> None:
    Telegram(Secret(TOKEN), api_url=site.telegram.url).updates(None, 0)


def test_the_bot_may_not_write_there(site: Site) -> None:
    """Better known now than at the first message."""
    site.group().members_can_send = False
    with pytest.raises(ConfigError, match="may not write in Releases"):
        site.setup(chat_id=str(GROUP))
