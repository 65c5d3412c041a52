"""Where mistakes are seeded: a Harbor, a Telegram, a conf.toml and a state that `check` is content with."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from demo.door import Call, Door, Reply
from demo.harbor import Account, HarborStandIn, Role, World
from demo.telegram import TelegramStandIn
from poller import check as checking
from poller import config as configuration
from poller.deadline import Deadline
from poller.errors import ConfigError
from poller.findings import Report
from poller.harbor import Harbor
from poller.telegram import Telegram
from poller.values import replace
from tests.harness import TOKEN

CHAT = -1001234567890
ROBOT = Account("robot$poller", "robots-secret-0123456789", Role.SYSTEM_ROBOT_FULL)
PROXY_USER = "clerk:pr0xy-password"
ENOUGH = 20.0
"""Seconds for a check on a busy machine; what never answers is asked with less."""


# -- certificates -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issuer:
    """Somebody who makes certificates, in files of a folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def file(self) -> Path:
        """The own certificate, for `ca_file`."""
        path = self.folder / f"{self.name}.crt"
        if not path.exists():
            path.write_bytes(_pem(self._signed(self.name, self.key, "", NOW, is_issuer=True)))
        return path

    def tls(self, host: str = "127.0.0.1", *, valid_from: datetime | None = None, days: int = 30) -> ssl.SSLContext:
        """A server's context with a certificate for a host name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed("server", key, host, valid_from or NOW, days=days)
        return _context(self.folder / f"{self.name}-{host}-{days}-{id(key)}.pem", certificate, key)

    def _signed(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        host: str,
        start: datetime,
        *,
        days: int = 30,
        is_issuer: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - timedelta(days=1))
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


NOW = datetime.now(UTC)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate that nobody issued but itself, and that certificate."""
    issuer = Issuer(folder, "self-signed")
    certificate = issuer._signed("self-signed", issuer.key, "127.0.0.1", NOW)
    path = folder / "self-signed-server.crt"
    path.write_bytes(_pem(certificate))
    return _context(folder / "self-signed-server.pem", certificate, issuer.key), path


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _context(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(_pem(certificate) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


# -- what may stand in the way ----------------------------------------------------------------------


@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """The address of something that says the same to everybody."""
    door = Door(lambda _: reply)
    door.open()
    try:
        yield f"http://127.0.0.1:{door.port}"
    finally:
        door.close()


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a socket that takes connections and never says a word, as behind a firewall that drops."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def proxy(user: str = "") -> Iterator[str]:
    """`host:port` of a proxy of HTTP, which wants a `user:password` if there is one."""
    expected = f"Basic {base64.b64encode(user.encode()).decode()}"

    def answer(call: Call) -> Reply:
        if user and call.headers.get("proxy-authorization") != expected:
            return Reply(407, b"", "text/html", {"Proxy-Authenticate": "Basic"})
        return _forwarded(call)

    door = Door(answer)
    door.open()
    try:
        yield f"127.0.0.1:{door.port}"
    finally:
        door.close()


def _forwarded(call: Call) -> Reply:
    url = urlsplit(call.path)
    connection = http.client.HTTPConnection(url.netloc)
    headers = {name: value for name, value in call.headers.items() if not name.startswith("proxy-")}
    path = f"{url.path}?{url.query}" if url.query else url.path
    connection.request("POST" if "content-length" in headers else "GET", path, call.body or None, headers)
    with connection.getresponse() as response:
        kept = {name: response.headers[name] for name in ("X-Total-Count", "Date") if name in response.headers}
        return Reply(response.status, response.read(), response.headers.get("Content-Type", ""), kept)


@contextmanager
def writing(path: Path) -> Iterator[int]:
    """The id of another process that has begun to write into a SQLite file, and does not end."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('begun', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate("\n")


@contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, which can be full, or be mounted again to be read only."""
    place = folder / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


@dataclass
class HarborsClock:
    """`offset`: how far it is ahead of ours."""

    offset: timedelta

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


# -- the scene --------------------------------------------------------------------------------------


@dataclass
class Scene:
    """Everything as it should be, to be spoilt. `sections`: of conf.toml, {section: {key: value as in TOML}}."""

    folder: Path
    clock: HarborsClock
    world: World
    harbor: HarborStandIn
    telegram: TelegramStandIn
    stack: ExitStack
    fixture: Callable[[str], object]
    state: Path
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    top: str = ""
    more: str = ""
    text: str | None = None
    timeout: float = ENOUGH
    user: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def conf(self) -> Path:
        return self.folder / "conf.toml"

    def set(self, section: str, **values: object) -> None:
        """Change keys of a section; None takes one out."""
        here = self.sections.setdefault(section, {})
        for key, value in values.items():
            here.pop(key, None)
            if value is not None:
                here[key] = value.decode() if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)

    def open(self, context: AbstractContextManager[str]) -> str:
        return self.stack.enter_context(context)

    def account(self, **changes: object) -> None:
        """Change the robot, as in Harbor's portal."""
        old = self.harbor.accounts[ROBOT.name]
        self.harbor.accounts[ROBOT.name] = replace(old, **changes)

    def secured(self, context: ssl.SSLContext) -> str:
        """The address of the same Harbor behind HTTPS."""
        stand_in = HarborStandIn(self.world, self.harbor.accounts.values(), tls=context)
        return self.stack.enter_context(stand_in).url

    def write(self) -> None:
        lines = [line for name, keys in self.sections.items() for line in (f"[{name}]", *map(" = ".join, keys.items()))]
        self.conf.write_text(self.text if self.text is not None else "\n".join((self.top, *lines, self.more)))

    def check(self, *, is_sending: bool = False) -> Report:
        """What `check` says. No pause is waited for."""
        self.write()
        deadline = Deadline.after(self.timeout)
        try:
            config = configuration.load(self.conf, {})
        except ConfigError as error:
            return checking.misconfigured(error)
        h, t = config.harbor, config.telegram
        client = Harbor(
            h.url,
            h.username,
            h.password,
            ca_file=h.ca_file,
            verify=h.verify,
            proxy=h.proxy,
            timeout=h.timeout,
            sleep=lambda _: None,
            deadline=deadline,
        )
        with self.user():
            return checking.check(
                config,
                client,
                Telegram(t.bot_token, api_url=t.api_url, proxy=t.proxy, deadline=deadline),
                is_sending=is_sending,
                now=datetime.now(UTC),
                deadline=deadline,
            )

    def photograph(self) -> dict[str, tuple[int, int]]:
        """Names, sizes and times of the folder, that of the state, and everything in them."""
        folders = {self.folder, self.state.parent}
        found = (path for folder in folders for path in (folder, *folder.rglob("*")) if path != self.conf)
        return {str(path): _facts(path) for path in sorted(found)}


def _facts(path: Path) -> tuple[int, int]:
    about = path.lstat()
    return about.st_size, about.st_mtime_ns


@contextmanager
def scene(folder: Path, empty_state: Path, fixture: Callable[[str], object]) -> Iterator[Scene]:
    """A world in which an image was pushed and pulled half an hour ago, and the time is now."""
    clock = HarborsClock(timedelta(minutes=-30))
    world = World(clock=clock)
    world.create_project("team")
    world.push("team/app", "1")
    world.pull("team/app", "1", "bob")
    clock.offset = timedelta(0)
    shutil.copy(empty_state, folder / "state.db")
    with ExitStack() as stack, HarborStandIn(world, [ROBOT]) as harbor, TelegramStandIn(TOKEN, strict=True) as telegram:
        telegram.add_chat(CHAT)
        made = Scene(folder, clock, world, harbor, telegram, stack, fixture, folder / "state.db")
        made.set("harbor", url=harbor.url, username=ROBOT.name, password=ROBOT.password)
        made.set("telegram", bot_token=TOKEN, chat_id=str(CHAT), api_url=telegram.url)
        made.conf.touch(0o600)
        yield made
