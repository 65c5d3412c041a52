"""Nothing that the program says or keeps shows a secret, whatever goes wrong, at the most talkative log level."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from demo.door import Call, Door, Reply
from demo.harbor import Account, HarborStandIn, Role, World
from demo.telegram import Kind, TelegramStandIn
from poller import config as configuration
from poller.errors import PollerError
from poller.harbor import Harbor
from poller.jobs import AuditPoller
from poller.secret import Secret
from poller.telegram import Telegram
from poller.telling import ROUTE, Teller
from state import Store
from tests.harness import Clock, Nursery, is_alive, wait_for

TOKEN = "987654321:AAbot-Token_of-the-test_0123456789abcd"
PASSWORD = "pA55/w0rd+of %the\"Robot'\\ü"
PROXY_PASSWORD = "pr0xy@Pa55/word?of+the%proxy"
DATABASE_PASSWORD = "dAtaba5e#Pa55:word/here"
ROBOT = "robot$poller"
USER = "proxyuser"
SECRETS = {
    "token": TOKEN,
    "token without its number": TOKEN.partition(":")[2],
    "Harbor's password": PASSWORD,
    "proxy's password": PROXY_PASSWORD,
    "database's password": DATABASE_PASSWORD,
}
CERTIFICATE = Path(__file__).parent / "localhost.pem"


def forms(secret: str) -> set[str]:
    """How a secret may turn up: as it is, quoted for a URL, escaped in JSON or `repr`, in base64."""
    quoted = {quote(secret, safe=""), quote(secret), quote(secret, safe=":"), quote_plus(secret)}
    escaped = {json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.replace("\\", "\\\\").replace('"', '\\"')}
    users = ("", f"{ROBOT}:", f"{USER}:")
    raw = {f"{user}{secret}".encode(charset) for user in users for charset in ("utf-8", "latin-1")}
    encoded = {base64.b64encode(each).decode().rstrip("=") for each in raw}
    return {secret, *quoted, *(form.lower() for form in quoted), *escaped, *encoded}


FORMS = {form: name for name, secret in SECRETS.items() for form in forms(secret)}


def leaks(where: str, text: str) -> list[str]:
    """Which secrets a text shows, with what stands around them."""
    found = []
    for form, name in FORMS.items():
        at = text.find(form)
        if at >= 0:
            found.append(f"{where} shows the {name}: …{text[max(0, at - 200) : at + len(form) + 60]!r}")
    return found


def test_the_search_finds_secrets() -> None:
    """A search that finds nothing anywhere would prove nothing."""
    basic = base64.b64encode(f"{ROBOT}:{PASSWORD}".encode()).decode()
    for text in (
        f"/bot{TOKEN}/",
        quote(TOKEN),
        f"Basic {basic}",
        repr({"p": PASSWORD}),
        quote(PROXY_PASSWORD, safe=""),
    ):
        assert leaks("it", f"something {text} more")


# -- the program, run in every way that can go wrong ----------------------------------------------------


@dataclass
class Lab:
    """Starts the program in many ways at once and gathers what it says."""

    folder: Path
    nursery: Nursery
    running: dict[str, int] = field(default_factory=dict)

    def conf(self, name: str, *, harbor: str, telegram: str, more: str = "") -> Path:
        """Each configuration has a folder of its own, with its database."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        path = folder / "conf.toml"
        path.write_text(
            f"[harbor]\nusername = '{ROBOT}'\n{harbor}\n[telegram]\nchat_id = '-1001'\n{telegram}\n{more}\n"
        )
        return path

    def start(self, conf: Path, *command: str, env: dict[str, str] | None = None) -> str:
        name = f"{len(self.running)}-{conf.parent.name}-{command[0]}.log"
        self.running[name] = self.nursery.start(
            "--config", conf, "--log-level", "debug", *command, env=env, output=self.folder / name
        )
        return name

    def wait(self) -> None:
        """Until all have ended; the daemons are told to."""
        wait_for(lambda: not any(map(is_alive, self.running.values())), 120)

    def stop(self, name: str) -> None:
        os.kill(self.running[name], signal.SIGTERM)

    def output(self, name: str) -> str:
        return (self.folder / name).read_text()

    def written(self) -> Iterator[tuple[str, str]]:
        """Every file that the program wrote: what it said, and its databases."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix not in (".toml", ".secret"):
                yield path.name, path.read_bytes().decode("utf-8", "replace")


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    with Nursery() as nursery:
        yield Lab(folder, nursery)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


SECRET_LINES = f"password = {toml(PASSWORD)}", f"bot_token = {toml(TOKEN)}"


@contextmanager
def sites(token: str = TOKEN, password: str = PASSWORD) -> Iterator[tuple[HarborStandIn, TelegramStandIn]]:
    account = Account(ROBOT, password, Role.SYSTEM_ROBOT_FULL)
    with HarborStandIn(World(), [account]) as harbor, TelegramStandIn(token) as telegram:
        harbor.world.create_project("team")
        harbor.world.push("team/app", "1.0", "ann")
        yield harbor, telegram


def test_what_the_program_says_and_keeps_when_all_is_well(tmp_path: Path) -> None:
    """Every command at --log-level debug, with the secrets from conf.toml."""
    with sites() as (harbor, telegram), lab(tmp_path) as scene:
        password, token = SECRET_LINES
        urls = f"url = '{harbor.url}'\n{password}", f"api_url = '{telegram.url}'\n{token}"
        conf = scene.conf("well", harbor=urls[0], telegram=urls[1], more="[schedule]\npoll = '1s'\njitter = '0s'")
        for command in (["once"], ["check", "--send"], ["once", "--print"]):
            harbor.world.push("team/app", command[-1].strip("-"), "ann")
            first = scene.start(conf, *command)
            scene.wait()
        daemon = scene.start(conf, "run")
        harbor.world.push("team/app", "2.0", "ann")
        telegram.wait_for_messages(2)
        time.sleep(1)
        scene.stop(daemon)
        scene.wait()
        for command in (["events"], ["events", "--json"], ["status"], ["status", "--json"], ["check", "--json"]):
            scene.start(conf, *command)
        scene.start(conf, "backfill", "--since", "1d")
        scene.wait()
        assert "exit 0" in scene.output(first)
        assert "exit 0" in scene.output(daemon)
        assert "/bot***/" in scene.output(daemon)  # it was talkative indeed
        assert [leak for name, text in scene.written() for leak in leaks(name, text)] == []


# -- errors -------------------------------------------------------------------------------------------


@contextmanager
def tls_server() -> Iterator[str]:
    """Its certificate is trusted by nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with suppress(OSError):
                        context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}"


@contextmanager
def door(answer: Callable[[Call], Reply]) -> Iterator[str]:
    opened = Door(answer)
    opened.open()
    try:
        yield f"127.0.0.1:{opened.port}"
    finally:
        opened.close()


@contextmanager
def refusing_proxy() -> Iterator[str]:
    """It knows of nobody, and repeats what it was told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    said = connection.recv(65536)
                    length = str(len(said)).encode()
                    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: " + length)
                    connection.sendall(b"\r\nConnection: close\r\n\r\n" + said)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def quoting(call: Call) -> Reply:
    """An answer in the shape of both servers that repeats the request's secrets, as a badly made gateway would."""
    said = f"not found: {call.path} {dict(call.headers)} {TOKEN if '/bot' in call.path else PASSWORD}"
    errors = [{"code": "NOT_FOUND", "message": said}]
    return Reply(404, json.dumps({"ok": False, "error_code": 404, "description": said, "errors": errors}).encode())


def redirecting(call: Call) -> Reply:
    return Reply(302, headers={"Location": f"https://{USER}:{quote(PASSWORD)}@elsewhere.example{call.path}"})


def troubles(key: str, host: str, ways: dict[str, str], proxies: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Lines of conf.toml that lead into each of the troubles, straight or through a proxy."""
    straight = {name: f"{key} = '{url}'" for name, url in ways.items()}
    through = {name: f"{key} = '{scheme}://{host}.invalid'\n{line}" for name, (scheme, line) in proxies.items()}
    return straight | through


def test_what_the_program_says_when_the_network_fails(tmp_path: Path) -> None:
    """Wrong password or token, TLS, proxies with a password, servers that repeat what they were told."""
    password, token = SECRET_LINES
    dead = f"127.0.0.1:{free_port()}"
    with (
        sites() as (harbor, telegram),
        sites(token="987654321:another-token-of-another-bot-000000", password="another") as (wrong_harbor, wrong_bot),
        tls_server() as tls,
        door(quoting) as echo,
        door(redirecting) as mirror,
        refusing_proxy() as proxy,
        lab(tmp_path) as scene,
    ):
        good = f"url = '{harbor.url}'\n{password}", f"api_url = '{telegram.url}'\n{token}"
        wrong_bot.fail(Kind.REFUSED, times=3, code=404, description=f"Not Found: bot{TOKEN} {quote(TOKEN)}")
        credentials = f"{USER}:{quote(PROXY_PASSWORD, safe='')}"
        ways = {"away": f"http://{dead}", "tls": tls, "no-tls": f"https://{echo}", "echo": f"http://{echo}"}
        ways["mirror"] = f"http://{mirror}"
        proxies = {
            f"{kind}-{what}": (scheme, f"proxy = '{kind}://{credentials}@{place}'")
            for kind in ("http", "socks5h")
            for what, scheme, place in (("dead", "http", dead), ("407", "http", proxy), ("407s", "https", proxy))
        }
        harbors = {"wrong-password": f"url = '{wrong_harbor.url}'"} | troubles("url", "harbor", ways, proxies)
        for name, url in harbors.items():
            conf = scene.conf(f"harbor-{name}", harbor=f"{url}\n{password}", telegram=good[1])
            scene.start(conf, "once")
            scene.start(conf, "check")
        telegrams = {"wrong-token": f"api_url = '{wrong_bot.url}'"} | troubles("api_url", "telegram", ways, proxies)
        for name, url in telegrams.items():
            conf = scene.conf(f"telegram-{name}", harbor=good[0], telegram=f"{url}\n{token}")
            scene.start(conf, "check")
            scene.start(conf, "once")
        scene.wait()
        said = dict(scene.written())
        assert [leak for name, text in said.items() for leak in leaks(name, text)] == []
        endings = {name: text.rstrip().splitlines()[-1] for name, text in said.items() if name.endswith(".log")}
        assert {name: end for name, end in endings.items() if end not in ("exit 0", "exit 1", "exit 2")} == {}


def test_what_the_program_says_about_a_broken_configuration(tmp_path: Path) -> None:
    """Broken TOML beside a secret, secrets under wrong keys or of wrong types, files that cannot be used."""
    password, token = SECRET_LINES
    harbor, telegram = f"url = 'http://127.0.0.1:9'\n{password}", token
    quoted = quote(PROXY_PASSWORD, safe="")
    broken = {
        "unclosed": (harbor.rstrip('"'), telegram),
        "bare-token": (harbor, f"bot_token = {TOKEN}"),
        "twice": (f"{harbor}\n{password}", telegram),
        "unknown-key": (f"{harbor}\npasword = {toml(PASSWORD)}", telegram),
        "list": (f"url = 'http://127.0.0.1:9'\npassword = [{toml(PASSWORD)}]", telegram),
        "bot-before": (harbor, f"bot_token = 'bot{TOKEN}'"),
        "dirty-token": (harbor, f"bot_token = '{TOKEN}!'"),
        "token-as-chat": (harbor, f"{telegram}\nmessage_thread_id = '{TOKEN}'"),
        "token-in-url": (harbor, f"{telegram}\napi_url = 'https://api.telegram.org/bot{TOKEN}'"),
        "password-in-url": (f"url = 'http://{ROBOT}:{quote(PASSWORD, safe='')}@127.0.0.1:9'\n{password}", telegram),
        "bad-proxy": (f"{harbor}\nproxy = '{USER}:{quoted}@127.0.0.1:9'", telegram),
        "bad-port": (harbor, f"{telegram}\nproxy = 'http://{USER}:{quoted}@127.0.0.1:99999'"),
        "raw-proxy": (f"{harbor}\nproxy = {toml(f'http://{USER}:{PROXY_PASSWORD}@127.0.0.1:9')}", telegram),
        "raw-api": (harbor, f"{telegram}\napi_url = {toml(f'http://{USER}:{PROXY_PASSWORD}@127.0.0.1:9')}"),
    }
    files = {
        "two-lines": f"{PASSWORD}\n{TOKEN}\n".encode(),
        "latin-1": PASSWORD.encode("latin-1"),
        "utf-16": PASSWORD.encode("utf-16"),
    }
    with lab(tmp_path) as scene:
        for name, (of_harbor, of_telegram) in broken.items():
            scene.start(scene.conf(name, harbor=of_harbor, telegram=of_telegram), "check")
        for name, content in files.items():
            (tmp_path / f"{name}.secret").write_bytes(content)
            key = f"url = 'http://127.0.0.1:9'\npassword_file = '../{name}.secret'"
            scene.start(scene.conf(f"file-{name}", harbor=key, telegram=telegram), "once")
        good = scene.conf("good", harbor=harbor, telegram=telegram)
        scene.start(good, "once", env={"TELEGRAM_BOT_TOKEN": f"{TOKEN} and {PASSWORD}"})
        scene.wait()
        said = dict(scene.written())
        assert len(said) == len(broken) + len(files) + 1
        assert [leak for name, text in said.items() for leak in leaks(name, text)] == []
        assert [name for name, text in said.items() if not text.endswith("exit 2\n")] == []


def test_what_the_program_says_about_the_database(tmp_path: Path) -> None:
    """A PostgreSQL that is away or refuses, and URLs that are none, all with a password."""
    password, token = SECRET_LINES
    quoted = quote(DATABASE_PASSWORD, safe="")
    dead = f"127.0.0.1:{free_port()}"
    urls = {
        "away": f"postgresql://{USER}:{quoted}@{dead}/state",
        "unquoted": f"postgresql://{USER}:{DATABASE_PASSWORD}@{dead}/state",
        "other": f"mysql://{USER}:{quoted}@{dead}/state",
        "no-database": f"postgresql://{USER}:{quoted}@{dead}",
        "query": f"postgresql://{USER}@{dead}/state?password={quoted}",
        "bracket": f"postgresql://{USER}:{quoted}@[{dead}/state",
    }
    with sites() as (harbor, telegram), lab(tmp_path) as scene:
        for name, url in urls.items():
            conf = scene.conf(
                name,
                harbor=f"url = '{harbor.url}'\n{password}",
                telegram=f"api_url = '{telegram.url}'\n{token}",
                more=f"[state]\nurl = {toml(url)}",
            )
            for command in ("once", "check", "status"):
                scene.start(conf, command)
            scene.start(conf, "run", env={"HARBOR_POLLER_STATE_URL": url})
        scene.wait()
        said = dict(scene.written())
        assert [leak for name, text in said.items() for leak in leaks(name, text)] == []
        assert all(text.endswith(("exit 1\n", "exit 2\n")) for text in said.values())


# -- in this process --------------------------------------------------------------------------------------


def told(error: BaseException | None) -> Iterator[str]:
    """All that an exception, and those that it came from, could show."""
    while error is not None:
        yield from traceback.format_exception(error)
        yield repr(error)
        yield repr(error.args)
        yield repr(vars(error))
        error = error.__cause__ or error.__context__


def test_exceptions_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """No exception that leaves a client holds a secret anywhere in its chain."""
    caplog.set_level(logging.DEBUG)
    quoted = quote(PROXY_PASSWORD, safe="")
    proxies = (None, f"http://{USER}:{quoted}@127.0.0.1:{free_port()}", f"socks5h://{USER}:{quoted}@127.0.0.1:9")
    seen: list[str] = []
    with door(quoting) as echo, door(redirecting) as mirror, tls_server() as tls:
        for url in (f"http://{echo}", f"http://{mirror}", tls, f"https://{echo}", "http://harbor.invalid", "http://["):
            for proxy in proxies:
                seen += _met(url, proxy)
    assert len(seen) > 100
    assert [leak for text in [*seen, caplog.text] for leak in leaks("an exception", text)] == []


def _met(url: str, proxy: str | None) -> Iterator[str]:
    def harbor() -> None:
        client = Harbor(url, ROBOT, Secret(PASSWORD), proxy=proxy, timeout=1, sleep=lambda _: None)
        seen.append(repr(client))
        client.ping()

    def telegram() -> None:
        client = Telegram(Secret(TOKEN), api_url=url, proxy=proxy, timeout=(1, 1))
        seen.extend((repr(client), repr(client.send(-1001, None, "text", "text"))))
        client.me()

    seen: list[str] = []
    for ask in (harbor, telegram):
        try:
            ask()
        except PollerError as error:
            seen += told(error)
    return iter(seen)


def test_objects_show_nothing(tmp_path: Path) -> None:
    """`repr` and `str` of the configuration and of everything that is built from it."""
    path = tmp_path / "conf.toml"
    credentials = f"{USER}:{quote(PROXY_PASSWORD, safe='')}@127.0.0.1:9"
    password, token = SECRET_LINES
    path.write_text(
        f"[harbor]\nurl = 'http://127.0.0.1:9'\nusername = '{ROBOT}'\n{password}\nproxy = 'http://{credentials}'\n"
        f"[telegram]\nchat_id = '-1001'\n{token}\nproxy = 'socks5h://{credentials}'\n"
    )
    config = configuration.load(path, {})
    store = Store.open(config.state.url.reveal(), config.harbor.url, ROUTE)
    harbor = Harbor(config.harbor.url, ROBOT, config.harbor.password, proxy=config.harbor.proxy)
    telegram = Telegram(config.telegram.bot_token, proxy=config.telegram.proxy)
    objects = [
        config,
        store,
        harbor,
        telegram,
        AuditPoller(harbor, store, config),
        Teller(telegram, store, config, Clock()),
    ]
    shown = [f"{each!r} {each}" for each in objects]
    store.close()
    assert [leak for text in shown for leak in leaks("an object", text)] == []
