"""The client against real sockets: what it asks, what it makes of faults, and what it concludes about its rights."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import pytest

from poller.errors import (
    BadRequest,
    HarborBusy,
    HarborGarbled,
    HarborUnreachable,
    NotAllowed,
    NotFound,
    OperatorError,
    PollerError,
    UntrustedCertificate,
    WrongCredentials,
    WrongUrl,
)
from poller.events import Source
from poller.harbor import Harbor, Log, PathNotFound, ReachKind
from poller.queries import q
from poller.secret import Secret

HERE = Path(__file__).parent
RECORDINGS = HERE / "recordings"
CERTIFICATE = HERE / "localhost.pem"
PASSWORD = "пароль:with/odd@signs"
PROXY_PASSWORD = "geheim"
OLD, NEW = Log(Source.OLD_LOG), Log(Source.NEW_LOG)
NOW = datetime(2026, 11, 24, 12, 0, 0, 250000, UTC)


# -- a Harbor of wax ----------------------------------------------------------------------------------


@dataclass
class Request:
    method: str
    target: str
    headers: Message
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def q(self) -> dict[str, str]:
        """The filter as Harbor reads it: decoded a second time, then taken apart."""
        return dict(part.split("=", 1) for part in unquote_plus(self.query["q"]).split(","))


@dataclass
class Reply:
    status: int = 200
    body: object = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # sent as it is, instead of an HTTP answer; then the connection ends
    pauses: float = 0  # s, between the single bytes of a raw answer

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answering = Callable[[Request], Reply]


class Wax(ThreadingHTTPServer):
    """Answers as it is told: with `replies` first, then whatever `answer` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = []
        self.answer: Answering = lambda _: Reply()
        self.requests: list[Request] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the game."""

    @property
    def last(self) -> Request:
        return self.requests[-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Wax
    timeout = 10
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        request = Request(self.command, self.path, self.headers, self.client_address[1])
        self.server.requests.append(request)
        reply = self.server.replies.pop(0) if self.server.replies else self.server.answer(request)
        if reply.raw is not None:
            self._send_raw(reply)
            return
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.payload)))
        self.send_header("Set-Cookie", "sid=s1; Path=/; HttpOnly")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.payload)

    do_POST = do_PUT = do_HEAD = do_CONNECT = do_GET

    def _send_raw(self, reply: Reply) -> None:
        assert reply.raw is not None
        self.close_connection = True
        if not reply.pauses:
            self.wfile.write(reply.raw)
            return
        for at in range(len(reply.raw)):
            self.wfile.write(reply.raw[at : at + 1])
            self.wfile.flush()
            time.sleep(reply.pauses)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: Wax) -> Iterator[Wax]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def wax() -> Iterator[Wax]:
    with serving(Wax()) as server:
        yield server


@pytest.fixture
def tls_wax() -> Iterator[Wax]:
    server = Wax()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"https://localhost:{server.server_port}"
    with serving(server):
        yield server


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def client(url: str, **options: Any) -> Harbor:
    given: dict[str, Any] = {"timeout": 5, "sleep": lambda _: None} | options
    return Harbor(url, "robot$team+ci", Secret(PASSWORD), **given)


def row(row_id: int, **changes: object) -> dict[str, object]:
    return {"id": row_id, "op_time": "2026-11-24T12:00:00.000Z", "operation": "pull"} | changes


def error_body(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"code": code, "message": message}]}


# -- what it asks -------------------------------------------------------------------------------------


def test_rows_are_asked_for_by_id_with_a_bound_of_time(wax: Wax) -> None:
    """The cheapest question of all (2.8 ms at three million rows)."""
    wax.answer = lambda _: Reply(body=[row(7), row(9)])
    rows = client(wax.url).rows_from(NEW, 7, since=NOW, operations=frozenset({"delete", "create"}))
    assert [each.id for each in rows] == [7, 9]
    assert wax.last.path == "/api/v2.0/auditlog-exts"
    assert wax.last.q == {"id": "[7~]", "op_time": "[2026-11-24T12:00:00~]", "operation": "{create delete}"}
    assert {key: wax.last.query[key] for key in ("sort", "page", "page_size")} == {
        "sort": "id",
        "page": "1",
        "page_size": "100",
    }


@pytest.mark.parametrize(
    ("log", "path"),
    [
        (OLD, "/audit-logs"),
        (NEW, "/auditlog-exts"),
        (Log(Source.OLD_LOG, "team"), "/projects/team/logs"),
        (Log(Source.NEW_LOG, "team"), "/projects/team/auditlog-exts"),
    ],
)
def test_each_log_has_its_path_and_its_rows_say_where_they_are_from(wax: Wax, log: Log, path: str) -> None:
    wax.answer = lambda _: Reply(body=[row(1)])
    (found,) = client(wax.url).rows_from(log, 1)
    assert wax.last.path == "/api/v2.0" + path == "/api/v2.0" + log.path
    assert (found.table, found.project) == (log.table, log.project)


def test_the_old_log_is_never_asked_for_an_id_that_breaks_it(wax: Wax) -> None:
    """Its ids are int4: a greater number is answered with 500."""
    client(wax.url).rows_from(OLD, 2**31 + 5)
    assert wax.last.q == {"id": "[2147483647~]"}
    client(wax.url).rows_from(NEW, 2**31 + 5)
    assert wax.last.q == {"id": "[2147483653~]"}


def test_a_window_of_time_is_widened_to_whole_seconds(wax: Wax) -> None:
    """Harbor cuts fractions off, which would lose the rows of the last second. Times are sent in UTC."""
    moscow = NOW.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+03:00").tzinfo)
    client(wax.url).rows_between(NEW, moscow, NOW + timedelta(seconds=1), page=3)
    assert wax.last.q == {"op_time": "[2026-11-24T12:00:00~2026-11-24T12:00:02]"}
    assert (wax.last.query["sort"], wax.last.query["page"]) == ("op_time,id", "3")
    client(wax.url).rows_between(NEW, NOW, NOW.replace(microsecond=0))
    assert wax.last.q == {"op_time": "[2026-11-24T12:00:00~2026-11-24T12:00:00]"}


@pytest.mark.parametrize(("page", "total", "rows_sent"), [(1, "5", 4), (1, "300", 99), (2, "150", 49), (1, "1", 0)])
def test_a_page_with_fewer_rows_than_were_counted_is_refused(wax: Wax, page: int, total: str, rows_sent: int) -> None:
    """It would be taken for the last one, and what is missing would never be asked for again. It may be tried again."""
    wax.answer = lambda _: Reply(body=[row(n) for n in range(1, rows_sent + 1)], headers={"X-Total-Count": total})
    with pytest.raises(HarborGarbled, match=f"{rows_sent} rows came, though Harbor counted {total}"):
        client(wax.url).rows_between(NEW, NOW, NOW + timedelta(hours=1), page)


@pytest.mark.parametrize(
    ("page", "total", "rows_sent"),
    [(1, "5", 5), (1, "4", 5), (1, "300", 100), (2, "150", 50), (3, "150", 0), (1, None, 3), (1, "many", 3)],
)
def test_a_whole_page_is_taken(wax: Wax, page: int, total: str | None, rows_sent: int) -> None:
    """Also with rows that came after the counting, beyond the end, or where nobody counted."""
    headers = {} if total is None else {"X-Total-Count": total}
    wax.answer = lambda _: Reply(body=[row(n) for n in range(1, rows_sent + 1)], headers=headers)
    assert len(client(wax.url).rows_between(NEW, NOW, NOW + timedelta(hours=1), page)) == rows_sent


def test_the_newest_row_counts_as_a_whole_page_of_one(wax: Wax) -> None:
    """What is counted beyond the asked size is not missing."""
    wax.answer = lambda _: Reply(body=[row(7)], headers={"X-Total-Count": "7"})
    newest = client(wax.url).newest_row(NEW, NOW)
    assert newest is not None
    assert newest.id == 7


def test_a_window_that_is_not_sorted_is_refused(wax: Wax) -> None:
    """A Harbor before 2.3 sends the newest rows first, and what lies before a full page of them would be lost."""
    times = [(n, f"2026-11-24T12:{n // 60:02}:{n % 60:02}.000Z") for n in range(100, 0, -1)]
    wax.answer = lambda _: Reply(body=[row(n, op_time=time) for n, time in times])
    with pytest.raises(OperatorError, match="does not sort"):
        client(wax.url).rows_between(NEW, NOW, NOW + timedelta(hours=1))


def test_the_newest_row_is_looked_for_in_growing_windows(wax: Wax) -> None:
    """Each answer counts all that it matches, so the whole log is only asked of when it is quiet."""
    wax.replies = [Reply(), Reply(), Reply(body=[row(41)])]
    newest = client(wax.url).newest_row(NEW, NOW)
    assert newest
    assert newest.id == 41
    starts = ["2026-11-24T11:50:00", "2026-11-23T12:00:00", "2026-10-25T12:00:00"]
    assert [request.q for request in wax.requests] == [{"op_time": f"[{start}~]"} for start in starts]
    assert {(request.query["sort"], request.query["page_size"]) for request in wax.requests} == {("-id", "1")}


def test_an_empty_log_has_no_newest_row(wax: Wax) -> None:
    assert client(wax.url).newest_row(NEW, NOW) is None
    assert wax.last.q == {"op_time": "[1970-01-01T00:00:00~]"}


def test_literal_plus_and_percent_survive_being_decoded_twice() -> None:
    """A robot's name would otherwise be looked for with a blank in it."""
    once = unquote_plus(
        unquote_plus("q=" + q(username="robot$team+ci", resource="100%2B").replace("%", "%25").replace("+", "%2B"))
    )
    assert once == "q=username=robot$team+ci,resource=100%2B"


def test_rows_that_harbor_did_not_sort_are_sorted(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body=[row(9), row(7)])
    assert [each.id for each in client(wax.url).rows_from(NEW, 7)] == [7, 9]


def test_a_harbor_that_cannot_sort_is_refused_before_rows_are_lost(wax: Wax) -> None:
    """Before 2.3 a full page holds the newest rows, and what lies before them would never be read."""
    wax.answer = lambda _: Reply(body=[row(number) for number in range(200, 100, -1)])
    with pytest.raises(OperatorError, match=r"Harbor 2\.3 or later"):
        client(wax.url).rows_from(OLD, 1)


def test_accessories_are_asked_for_by_name(wax: Wax) -> None:
    """Harbor leaves them out otherwise. A list is bounded, by time and in size."""
    wax.answer = lambda _: Reply(body={"digest": "sha256:a"})
    client(wax.url).artifact("team/app", "sha256:a", with_accessory=True)
    assert wax.last.query == {"with_accessory": "true"}
    wax.answer = lambda _: Reply(body=[])
    client(wax.url).artifacts_lately("team/app", datetime(2026, 11, 24, tzinfo=UTC), most=10)
    assert wax.last.query["with_accessory"] == "true"
    assert (wax.last.query["sort"], wax.last.query["page_size"]) == ("-push_time", "10")
    assert wax.last.query["q"].startswith("push_time=[2026-11-24")


def test_slashes_of_a_repository_are_encoded_twice(wax: Wax) -> None:
    """Harbor's own proxy decodes once."""
    wax.answer = lambda _: Reply(body={"digest": "sha256:a", "tags": [{"name": "v1"}]})
    artifact = client(wax.url).artifact("team/group/app", "sha256:a", with_scan=True)
    assert artifact
    assert artifact.tags[0].name == "v1"
    assert wax.last.path == "/api/v2.0/projects/team/repositories/group%252Fapp/artifacts/sha256:a"
    assert wax.last.query == {"with_scan_overview": "true", "with_sbom_overview": "true"}
    assert wax.last.headers["X-Accept-Vulnerabilities"] == (
        "application/vnd.security.vulnerability.report; version=1.1, "
        "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
    )
    client(wax.url).artifact("team/app", "v1")
    assert wax.last.query == {}


def test_what_is_not_there_is_none(wax: Wax) -> None:
    wax.answer = lambda _: Reply(404, error_body("NOT_FOUND", "artifact team/app:v1 not found"))
    assert client(wax.url).artifact("team/app", "v1") is None
    assert client(wax.url).repository_created("team/app") is None


def test_artifacts_of_a_moment_are_few_and_the_newest_first(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body=[{"digest": "sha256:a", "push_time": "2026-11-24T11:59:59.990Z"}])
    (artifact,) = client(wax.url).artifacts_pushed("team/app", NOW - timedelta(seconds=1), NOW)
    assert artifact.push_time == datetime(2026, 11, 24, 11, 59, 59, 990000, UTC)
    assert wax.last.path == "/api/v2.0/projects/team/repositories/app/artifacts"
    assert wax.last.q == {"push_time": "[2026-11-24T11:59:59~2026-11-24T12:00:01]"}
    assert (wax.last.query["sort"], wax.last.query["page_size"]) == ("-push_time", "20")


def test_repositories_are_gone_through_by_the_name_of_their_column(wax: Wax) -> None:
    """Answers call it `id`; asked by that name, Harbor would ignore filter and order, and the round would not end."""
    wax.answer = lambda _: Reply(body=[{"name": "team/app", "id": 8}])
    assert [each.name for each in client(wax.url).repositories_after(7, 20)] == ["team/app"]
    assert (wax.last.q, wax.last.query["sort"]) == ({"repository_id": "[8~]"}, "repository_id")


def test_a_repository_has_an_age(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body={"creation_time": "2026-11-24T21:29:20.845Z", "name": "team/app"})
    assert client(wax.url).repository_created("team/app") == datetime(2026, 11, 24, 21, 29, 20, 845000, UTC)


def project(name: str) -> dict[str, object]:
    return {"name": name, "project_id": 3, "metadata": {"public": "true"}}


def test_a_project_is_found_by_its_exact_name(wax: Wax) -> None:
    """Harbor's filter matches every name that contains it."""
    wax.answer = lambda _: Reply(body=[project("team2"), project("team")])
    found = client(wax.url).project("team")
    assert found
    assert (found.name, found.is_public) == ("team", True)
    assert wax.last.query["name"] == "team"
    assert client(wax.url).project("tea") is None


@pytest.mark.parametrize(
    ("reply", "is_found"),
    [(Reply(body=project("1")), True), (Reply(404, error_body("NOT_FOUND", "x")), False), (Reply(403, b"{}"), False)],
)
def test_a_name_that_many_contain_is_asked_for_itself(wax: Wax, reply: Reply, is_found: bool) -> None:
    """By name: a number would be taken for an id."""
    wax.replies = [Reply(body=[project(f"a1{number}") for number in range(100)]), reply]
    assert bool(client(wax.url).project("1")) is is_found
    assert wax.last.path == "/api/v2.0/projects/1"
    assert wax.last.headers["X-Is-Resource-Name"] == "true"


def test_all_projects_are_read_page_by_page(wax: Wax) -> None:
    wax.replies = [Reply(body=[project(f"p{n}") for n in range(100)]), Reply(body=[project("last")])]
    names = client(wax.url).project_names()
    assert len(names) == 101
    assert names[-1] == "last"
    assert [request.query["page"] for request in wax.requests] == ["1", "2"]


def test_one_connection_and_one_session_serve_all_questions(wax: Wax) -> None:
    """Without the cookie every request would leave a session in Harbor's Redis."""
    harbor = client(wax.url)
    for _ in range(3):
        harbor.rows_from(NEW, 1)
    assert len({request.connection for request in wax.requests}) == 1
    assert [request.headers["Cookie"] for request in wax.requests] == [None, "sid=s1", "sid=s1"]
    assert len({request.headers["X-Request-Id"] for request in wax.requests}) == 3
    assert {request.method for request in wax.requests} == {"GET"}
    assert harbor.requests_sent == 3


def test_a_cookie_that_was_taken_back_is_not_sent_again(wax: Wax) -> None:
    """Whoever stands before Harbor would refuse it every time."""
    harbor = client(wax.url)
    gone = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=; Path=/; Max-Age=0\r\nContent-Length: 2\r\n\r\n[]"
    wax.replies = [Reply(), Reply(raw=gone)]
    for _ in range(3):
        harbor.rows_from(NEW, 1)
    assert [request.headers["Cookie"] for request in wax.requests] == [None, "sid=s1", None]


def test_credentials_are_sent_as_utf_8(wax: Wax) -> None:
    client(wax.url).rows_from(NEW, 1)
    kind, _, text = wax.last.headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(text).decode()) == ("Basic", f"robot$team+ci:{PASSWORD}")


@pytest.mark.parametrize("tail", ["/", "/api/v2.0", "/api/v2.0/", "//"])
def test_what_people_copy_along_with_the_url_does_no_harm(wax: Wax, tail: str) -> None:
    client(wax.url.replace("//", "//someone:else@") + tail).rows_from(NEW, 1)
    assert wax.last.path == "/api/v2.0/auditlog-exts"


def test_a_harbor_below_a_path_is_asked_there(wax: Wax) -> None:
    client(wax.url + "/registry").rows_from(NEW, 1)
    assert wax.last.path == "/registry/api/v2.0/auditlog-exts"


# -- who we are ---------------------------------------------------------------------------------------


def test_a_robot_is_told_by_412(wax: Wax) -> None:
    """Harbor has no current user for robots, and says so with this status."""
    wax.answer = lambda _: Reply(412, error_body("PRECONDITION", "not available for security context: robot"))
    user = client(wax.url).current_user()
    assert (user.name, user.is_robot, user.is_sysadmin) == ("robot$team+ci", True, False)


def test_a_user_is_told_by_name(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body={"username": "admin", "sysadmin_flag": True})
    user = client(wax.url).current_user()
    assert (user.name, user.is_robot, user.is_sysadmin) == ("admin", False, True)


def test_settings_are_none_to_those_who_may_not_see_them(wax: Wax) -> None:
    wax.replies = [Reply(body={"read_only": {"editable": True, "value": False}})]
    wax.answer = lambda _: Reply(403, error_body("FORBIDDEN", "forbidden"))
    assert client(wax.url).configuration() == {"read_only": False}
    assert client(wax.url).configuration() is None


def test_an_old_harbor_has_the_clock_of_its_answers(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body={"harbor_version": "v2.4.0"})
    clock = client(wax.url).server().clock
    assert clock
    assert abs(clock - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("pong", [b"Pong", b'"Pong"\n'])
def test_a_harbor_answers_a_ping(wax: Wax, pong: bytes) -> None:
    wax.answer = lambda _: Reply(body=pong)
    client(wax.url).ping()
    assert wax.last.path == "/api/v2.0/ping"


def test_what_does_not_answer_a_ping_is_no_harbor(wax: Wax) -> None:
    wax.answer = lambda _: Reply(body=b"<html>welcome</html>")
    with pytest.raises(WrongUrl, match="it is not Harbor"):
        client(wax.url).ping()


# -- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (
            Reply(403, error_body("FORBIDDEN", "forbidden")),
            NotAllowed,
            r"403 forbidden .*robot\$team\+ci lacks a right",
        ),
        (Reply(404, error_body("NOT_FOUND", "path /api/v2.0/x was not found")), PathNotFound, "path /api"),
        (Reply(404, error_body("NOT_FOUND", "project team not found")), NotFound, "project team not found"),
        (
            Reply(404, b"404 page not found"),
            WrongUrl,
            r"something else instead of Harbor's API: correct \[harbor\] url",
        ),
        (Reply(404, b"<html>no</html>"), WrongUrl, "a web page instead of Harbor's API"),
        (Reply(400, b"<html>plain HTTP to HTTPS port</html>"), WrongUrl, "a web page"),
        (Reply(400, error_body("BAD_REQUEST", "bad q")), BadRequest, "400 bad q"),
        (Reply(422, error_body("UNPROCESSABLE_ENTITY", "validation:\npage_size")), BadRequest, "validation: page_size"),
        (Reply(412, error_body("PRECONDITION", "no")), BadRequest, "412 no"),
        (Reply(407, b""), NotAllowed, r"credentials: put them into \[harbor\] proxy"),
        (Reply(429, error_body("TOO_MANY_REQUEST", "slow down")), HarborBusy, "429 slow down"),
        (Reply(500, error_body("UNKNOWN", "internal server error")), HarborBusy, "500 internal server error"),
        (Reply(502, b"<html>nginx</html>"), HarborBusy, "502"),
        (Reply(503, b""), HarborBusy, "503"),
        (Reply(504, b"<html>nginx</html>"), HarborBusy, "504"),
        (Reply(204, b""), HarborGarbled, "204"),
        (Reply(200, b"<html>back soon</html>"), HarborGarbled, "a maintenance page, or the url is not that of Harbor"),
        (Reply(200, b'[{"id": 1, "op_'), HarborGarbled, "not JSON, or was cut short after 15 bytes"),
        (Reply(200, b""), HarborGarbled, "cut short after 0 bytes"),
        (Reply(200, {"rows": []}), HarborGarbled, "JSON, but not a list of audit rows"),
    ],
)
def test_each_answer_has_its_error(wax: Wax, reply: Reply, error: type[PollerError], text: str) -> None:
    """Sorted by who must act; each names the place and the request."""
    wax.answer = lambda _: reply
    with pytest.raises(error, match=text) as caught:
        client(wax.url).rows_from(NEW, 1)
    assert type(caught.value) is error
    assert f"127.0.0.1:{wax.server_port}/api/v2.0/auditlog-exts" in str(caught.value)
    assert f"(request {wax.last.headers['X-Request-Id']})" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed_but_named(wax: Wax, status: int) -> None:
    """Following one could carry the password elsewhere. What may be secret in its target is left out."""
    target = "https://u:secret@harbor.example.com/api/v2.0/x?code=secret#secret"
    wax.answer = lambda _: Reply(status, b"", {"Location": target})
    with pytest.raises(WrongUrl, match=r"redirects to https://harbor\.example\.com/api/v2\.0/x; put") as caught:
        client(wax.url).rows_from(NEW, 1)
    assert "secret" not in str(caught.value)
    assert len(wax.requests) == 1


def test_a_401_may_be_somebody_elses_typo(wax: Wax) -> None:
    """Harbor refuses a name for 1.5 s after any failed login with it, right passwords included."""
    pauses: list[float] = []
    wax.replies = [Reply(401, error_body("UNAUTHORIZED", "")), Reply(401, error_body("UNAUTHORIZED", ""))]
    assert client(wax.url, sleep=pauses.append).rows_from(NEW, 1) == ()
    assert pauses == [2, 4]


def test_a_lasting_401_is_a_wrong_password(wax: Wax) -> None:
    wax.answer = lambda _: Reply(401, error_body("UNAUTHORIZED", "unauthorized"))
    harbor = client(wax.url)
    with pytest.raises(WrongCredentials, match=r"refusing robot\$team\+ci: correct \[harbor\] username or password"):
        harbor.rows_from(NEW, 1)
    assert harbor.requests_sent == len(wax.requests) == 3


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", HarborUnreachable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", HarborUnreachable),
        (HEAD + b"Content-Length: 100\r\n\r\n[]", HarborGarbled),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1, 2", HarborGarbled),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", HarborGarbled),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n", HarborGarbled),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]", HarborGarbled),
    ],
)
def test_broken_connections_and_answers_are_ours_to_wait_out(wax: Wax, raw: bytes, error: type[PollerError]) -> None:
    wax.answer = lambda _: Reply(raw=raw)
    with pytest.raises(error, match=f"127.0.0.1:{wax.server_port}/api/v2.0/auditlog-exts: "):
        client(wax.url).rows_from(NEW, 1)


def test_compressed_and_chunked_answers_are_read(wax: Wax) -> None:
    body = gzip.compress(json.dumps([row(n, resource="x" * 1000) for n in range(1, 100)]).encode())
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:]))
    head = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    wax.answer = lambda _: Reply(raw=head + chunks + b"0\r\n\r\n")
    assert len(client(wax.url).rows_from(NEW, 1)) == 99


def test_a_kept_connection_that_was_closed_is_no_outage(wax: Wax) -> None:
    """Harbor's proxy closes idle connections, at times in the very moment of the next question."""
    harbor = client(wax.url)
    harbor.rows_from(NEW, 1)
    wax.replies = [Reply(raw=b"")]
    assert harbor.rows_from(NEW, 1) == ()
    wax.answer = lambda _: Reply(raw=b"")
    with pytest.raises(HarborUnreachable):
        harbor.rows_from(NEW, 1)
    assert harbor.requests_sent == 5


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(HarborUnreachable, match="Connection refused"):
            client(f"http://127.0.0.1:{unused.getsockname()[1]}").rows_from(NEW, 1)


def test_silence_is_given_up(wax: Wax) -> None:
    wax.answer = lambda _: Reply(raw=HEAD, pauses=1)
    with pytest.raises(HarborUnreachable, match=r"no whole answer within 0\.2 s"):
        client(wax.url, timeout=0.2).rows_from(NEW, 1)


def test_an_answer_that_drips_for_ever_is_given_up(wax: Wax) -> None:
    """No single silence is long enough for the time-out."""
    wax.answer = lambda _: Reply(raw=HEAD + b"Content-Length: 9999\r\n\r\n" + b" " * 9999, pauses=0.002)
    began = time.monotonic()
    with pytest.raises(HarborUnreachable, match="no whole answer"):
        client(wax.url, timeout=0.3).rows_from(NEW, 1)
    assert time.monotonic() - began < 15  # it would take 20 s to the end


@pytest.mark.parametrize(
    "url", ["harbor.example.com", "ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:x"]
)
def test_what_is_no_url_is_the_operators_to_correct(url: str) -> None:
    with pytest.raises(WrongUrl):
        client(url).rows_from(NEW, 1)


# -- TLS ----------------------------------------------------------------------------------------------


def test_an_unknown_certificate_is_not_trusted(tls_wax: Wax) -> None:
    with pytest.raises(UntrustedCertificate, match=r"self-signed certificate; put .* name that in \[harbor\] ca_file"):
        client(tls_wax.url).rows_from(NEW, 1)


def test_ca_file_is_trusted_whatever_the_environment_says(
    tls_wax: Wax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    assert client(tls_wax.url, ca_file=CERTIFICATE).rows_from(NEW, 1) == ()


def test_verification_can_be_switched_off(tls_wax: Wax, recwarn: pytest.WarningsRecorder) -> None:
    """Without a warning on standard error at every request."""
    assert client(tls_wax.url, verify=False).rows_from(NEW, 1) == ()
    assert not list(recwarn)


def test_a_certificate_for_another_name_says_so(tls_wax: Wax) -> None:
    with pytest.raises(
        UntrustedCertificate, match=r"use the name that the certificate is made out to in \[harbor\] url"
    ):
        client(tls_wax.url.replace("localhost", "127.0.0.1"), ca_file=CERTIFICATE).rows_from(NEW, 1)


@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_file_that_cannot_be_used_says_so(tls_wax: Wax, tmp_path: Path, content: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with pytest.raises(UntrustedCertificate, match="ca_file"):
        client(tls_wax.url, ca_file=ca_file).rows_from(NEW, 1)


def test_plain_http_behind_an_https_url_is_hinted_at(wax: Wax) -> None:
    with pytest.raises(HarborUnreachable, match="the url begins with http://"):
        client(wax.url.replace("http:", "https:")).rows_from(NEW, 1)


# -- proxies ------------------------------------------------------------------------------------------


def test_proxies_of_the_environment_do_not_apply_to_this_machine(wax: Wax, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client(wax.url).rows_from(NEW, 1) == ()


def test_proxies_of_the_environment_apply_to_the_world(wax: Wax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", wax.url)
    assert client("http://harbor.invalid").rows_from(NEW, 1) == ()
    assert wax.last.target.startswith("http://harbor.invalid/api/v2.0/auditlog-exts?")


def test_the_configured_proxy_wins(wax: Wax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "harbor.invalid")
    assert client("http://harbor.invalid", proxy=wax.url).rows_from(NEW, 1) == ()
    assert wax.last.target.startswith("http://harbor.invalid/")


@pytest.mark.parametrize(
    "proxy", ["http://{}@127.0.0.1:9", "socks5h://{}@127.0.0.1:9", "odd://{}@x", "http://{}@", "http://{}@["]
)
def test_a_proxy_that_cannot_be_used_keeps_its_password(proxy: str) -> None:
    with pytest.raises((HarborUnreachable, WrongUrl)) as caught:
        client("https://harbor.invalid", proxy=proxy.format(f"u:{PROXY_PASSWORD}")).rows_from(NEW, 1)
    assert_nothing_leaks(caught.value)


# -- secrets ------------------------------------------------------------------------------------------


def assert_nothing_leaks(error: PollerError) -> None:
    """Neither the text nor anything that hangs on the exception knows a secret."""
    assert error.__cause__ is None
    context = error.__context__
    assert context is None or isinstance(context, PollerError)
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert PROXY_PASSWORD not in told
    assert PASSWORD not in told


@pytest.mark.parametrize(
    "reply",
    [Reply(401, b""), Reply(403, b""), Reply(500, b""), Reply(200, b"<"), Reply(raw=b""), Reply(raw=HEAD + b"\r\n{")],
)
def test_no_error_holds_the_password(wax: Wax, reply: Reply) -> None:
    wax.answer = lambda _: reply
    harbor = client(wax.url)
    with pytest.raises(PollerError) as caught:
        harbor.rows_from(NEW, 1)
    assert_nothing_leaks(caught.value)
    assert PASSWORD not in repr(harbor)


# -- reach: the recorded accounts of three Harbors ----------------------------------------------------


def replay(harbor: str, account: str) -> Answering:
    """Answers as the recorded Harbor answered that account, whatever the query. What was not recorded is refused."""
    recorded: dict[str, Reply] = {}
    with (RECORDINGS / harbor / "answers.jsonl").open() as lines:
        for line in lines:
            answer = json.loads(line)
            if answer["as"] == account:
                path = urlsplit(answer["request"]["path"]).path
                recorded.setdefault(path, Reply(answer["status"], answer["body"]))
    return lambda request: recorded.get(unquote(request.path), Reply(403, error_body("FORBIDDEN", "forbidden")))


SYSTEM, PROJECTS, BLIND = ReachKind.SYSTEM, ReachKind.PROJECTS, ReachKind.BLIND
OF_EVERY_HARBOR = {
    "admin": SYSTEM,
    "system-robot-audit": SYSTEM,
    "system-robot-noaudit": BLIND,
    "system-robot-all-projects": PROJECTS,
    "project-robot-log": PROJECTS,
    "project-robot-nolog": BLIND,
    "project-admin": PROJECTS,
    "no-member": BLIND,
}
UP_TO_2_12 = {"project-maintainer": PROJECTS, "project-guest": PROJECTS}
FROM_2_13 = {"project-maintainer": BLIND, "project-guest": BLIND}


@pytest.mark.parametrize(
    ("harbor", "account", "kind"),
    [
        (harbor, account, kind)
        for harbor, more in (("2.16-dev", FROM_2_13), ("2.12.4", UP_TO_2_12), ("2.8.6", UP_TO_2_12))
        for account, kind in (OF_EVERY_HARBOR | more).items()
    ],
)
@pytest.mark.parametrize("configured", [(), ("team",), ("team", "not-there")])
def test_what_each_account_can_see(
    wax: Wax, harbor: str, account: str, kind: ReachKind, configured: tuple[str, ...]
) -> None:
    """An empty answer is never taken for silence, nor a frozen log for a living one."""
    wax.answer = replay(f"harbor-{harbor}", account)
    reach = client(wax.url).reach(configured)
    table = Source.NEW_LOG if harbor == "2.16-dev" else Source.OLD_LOG
    assert (reach.kind, reach.table) == (kind, table)
    assert reach.projects == (("team",) if kind is PROJECTS else ())
    assert reach.logs == ((Log(table, "team"),) if kind is PROJECTS else (Log(table),))
    assert reach.unreadable == {SYSTEM: (), PROJECTS: configured[1:], BLIND: configured}[kind]
    assert reach.version
    assert reach.version.startswith("v" + harbor[:4])


def test_probing_never_asks_for_the_whole_log(wax: Wax) -> None:
    """Every question about rows is bounded by time and asks for one row: Harbor counts all that it matches."""
    for account in ("project-admin", "system-robot-audit", "system-robot-noaudit"):
        for harbor in ("harbor-2.16-dev", "harbor-2.12.4"):
            wax.answer = replay(harbor, account)
            client(wax.url).reach()
    asked = [request for request in wax.requests if request.path.endswith(("logs", "exts"))]
    assert asked
    assert all("op_time" in request.q and request.query["page_size"] == "1" for request in asked)


@pytest.mark.parametrize("account", ["wrong-password", "unknown-user", "anonymous"])
@pytest.mark.parametrize("harbor", ["harbor-2.16-dev", "harbor-2.12.4", "harbor-2.8.6"])
def test_wrong_credentials_show_although_public_answers_hide_them(wax: Wax, harbor: str, account: str) -> None:
    wax.answer = replay(harbor, account)
    with pytest.raises(WrongCredentials):
        client(wax.url).reach()


@pytest.mark.parametrize("reply", [Reply(404, b"404 page not found"), Reply(502, b"<html>"), Reply(200, b"<html>")])
def test_a_foreign_answer_is_never_taken_for_an_old_harbor(wax: Wax, reply: Reply) -> None:
    """Only Harbor's own word that it has no such path tells the generation."""
    recorded = replay("harbor-2.16-dev", "admin")
    wax.answer = lambda request: reply if request.path.endswith(("exts/events", "systeminfo")) else recorded(request)
    with pytest.raises((WrongUrl, HarborBusy, HarborGarbled)):
        client(wax.url).reach()


def test_a_reach_costs_an_administrator_three_questions_at_most(wax: Wax) -> None:
    asked: dict[str, int] = defaultdict(int)
    for harbor in ("harbor-2.16-dev", "harbor-2.12.4"):
        wax.answer = replay(harbor, "admin")
        before = len(wax.requests)
        client(wax.url).reach()
        asked[harbor] = len(wax.requests) - before
    assert max(asked.values()) <= 3
