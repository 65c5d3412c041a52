"""The client of Harbor's API: the only place that talks to Harbor. It only ever asks (GET), one thing at a time.

Whatever goes wrong leaves as an error of poller/errors.py that says where, and what to do about it. Neither
the password nor a query crosses that border.
"""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from poller import activity, bodies, rows
from poller.activity import RepositoryFacts
from poller.answers import Answer, PathNotFound, decoded, one_line, refusal, refuse_partial
from poller.config_values import leads_here
from poller.deadline import Deadline
from poller.errors import (
    BadRequest,
    HarborGarbled,
    HarborUnreachable,
    NotAllowed,
    NotFound,
    OutOfTime,
    PollerError,
    UntrustedCertificate,
    WrongUrl,
)
from poller.events import Finding, Source
from poller.logs import Redactor
from poller.measures import Service, Sink, asking, ignore
from poller.queries import NEVER, OLD_LOG_LAST_ID, between, by_id, by_time, kind_of, q, repository_path, segment
from poller.reach import Log, Reach, ReachKind, detect
from poller.rows import PAGE, Artifact, AuditRow, CurrentUser, Project, Scanner, Server
from poller.secret import Secret

__all__ = ["PAGE", "CurrentUser", "Harbor", "Log", "PathNotFound", "Reach", "ReachKind"]

_T = TypeVar("_T")
_API = "/api/v2.0"
PAUSES_AFTER_401 = (2.0, 4.0)  # Harbor refuses a name for 1.5 s after anybody's failed login with it
IN_HASTE = PAUSES_AFTER_401[:1]
"""For a person who waits."""
_WINDOWS = (timedelta(minutes=10), timedelta(days=1), timedelta(days=30))
_MOST_BYTES = 64 * 2**20
SCANS_PAGE = 20
_WITH_SCAN = {"with_scan_overview": "true", "with_sbom_overview": "true"}
_WITH_ACCESSORY = {"with_accessory": "true"}
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_VULNERABILITIES = (  # without this header, Harbor 2.4 and 2.5 do not show the results of Trivy
    "application/vnd.security.vulnerability.report; version=1.1, "
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
)


class Harbor:
    """One account's view of one Harbor.

    `sleep` is called for the `pauses` after a 401; `timeout` (s) is that of connecting and of each silence. Without a
    `username` it asks as a stranger.
    `deadline`: for who looks at Harbor once and in haste. Nothing is waited for longer, and each question is asked
    once, however often the answer is wanted.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: Secret,
        *,
        ca_file: Path | None = None,
        verify: bool = True,
        proxy: str | None = None,
        timeout: float = 30,
        sleep: Callable[[float], None] = time.sleep,
        pauses: tuple[float, ...] = PAUSES_AFTER_401,
        sink: Sink = ignore,
        deadline: Deadline | None = None,
    ) -> None:
        self.requests_sent = 0
        self._sink = sink
        self._deadline = deadline
        self._answers: dict[tuple[str, str, str], Answer] = {}
        self._base = _base(url)
        self._username = username
        self._verify: bool | str = str(ca_file) if ca_file and verify else verify
        self._proxies = _proxies(proxy)
        self._timeout = timeout
        self._sleep = sleep
        self._pauses = pauses if deadline is None else IN_HASTE
        self._run = uuid.uuid4().hex[:12]
        self._session = _session(username, password)
        self._template: requests.PreparedRequest | None = None
        self._of_environment: Any = None
        self._redactor = Redactor((password, Secret(f"{username}:{password.reveal()}")))
        # Proxies of the environment are for the world outside, not for this machine.
        self._session.trust_env = not leads_here(self._base)
        if not verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # one per request; `check` says it once

    def close(self) -> None:
        self._session.close()

    # -- the audit log ------------------------------------------------------------------------------

    def rows_from(
        self, log: Log, first_id: int, *, since: datetime | None = None, operations: frozenset[str] = frozenset()
    ) -> tuple[AuditRow, ...]:
        """The first rows (up to PAGE) from an id on, by id. `since` is cut to the second: Harbor compares no finer.

        A page that is not full is the last one. Without `operations`: all of them.
        """
        if log.table is Source.OLD_LOG:
            first_id = min(first_id, OLD_LOG_LAST_ID)
        filters = {"id": f"[{first_id}~]"} | _only(operations)
        if since is not None:
            filters["op_time"] = between(since, None)
        return by_id(self._rows(log, filters, sort="id"))

    def rows_between(
        self,
        log: Log,
        start: datetime,
        end: datetime,
        page: int = 1,
        *,
        operations: frozenset[str] = frozenset(),
    ) -> tuple[AuditRow, ...]:
        """A page (up to PAGE rows, 1 is the first) of a window of time, by time. A page that is not full is the last.

        The window is widened to whole seconds, as Harbor compares no finer: rows just outside may be among them.
        """
        filters = {"op_time": between(start, end)} | _only(operations)
        return by_time(self._rows(log, filters, sort="op_time,id", page=page))

    def newest_row(
        self, log: Log, now: datetime, *, until: datetime | None = None, operations: frozenset[str] = frozenset()
    ) -> AuditRow | None:
        """The row with the highest id; of those up to a moment, if one is given.

        Looked for in growing windows of time, as Harbor counts all that it matches.
        """
        for start in (*((until or now) - window for window in _WINDOWS), rows.EPOCH):
            filters = {"op_time": between(start, until)} | _only(operations)
            found = self._rows(log, filters, sort="-id", page_size=1)
            if found:
                return found[0]
        return None

    def _rows(
        self, log: Log, filters: dict[str, str], *, sort: str, page: int = 1, page_size: int = PAGE
    ) -> tuple[AuditRow, ...]:
        params = {"q": q(**filters), "sort": sort, "page": str(page), "page_size": str(page_size)}
        answer = self._get(log.path, params)
        found = decoded(lambda body: rows.audit_rows(body, log.table, log.project), answer)
        refuse_partial(answer, len(found), before=(page - 1) * page_size, most=page_size)
        return found

    # -- what rows do not say -----------------------------------------------------------------------

    def artifact(
        self, repository: str, reference: str, *, with_scan: bool = False, with_accessory: bool = False
    ) -> Artifact | None:
        """An artifact by tag or digest, or None when it is not there."""
        params = (_WITH_SCAN if with_scan else {}) | (_WITH_ACCESSORY if with_accessory else {})
        path = f"{repository_path(repository)}/artifacts/{quote(reference, safe=':')}"
        return self._ask_for(rows.artifact, path, params, {"X-Accept-Vulnerabilities": _VULNERABILITIES})

    def artifacts_pushed(self, repository: str, start: datetime, end: datetime) -> tuple[Artifact, ...]:
        """Up to 20 artifacts of a repository that were pushed in a window of time (whole seconds), newest first."""
        params = {"q": q(push_time=between(start, end)), "sort": "-push_time", "page_size": "20"}
        return self._ask(rows.artifacts, f"{repository_path(repository)}/artifacts", params)

    def artifacts_lately(self, repository: str, since: datetime, *, most: int) -> tuple[Artifact, ...]:
        """The newest artifacts of a repository that were pushed since then, with what was attached to them."""
        params = {"q": q(push_time=between(since, None)), "sort": "-push_time", "page_size": str(most)}
        return self._ask(rows.artifacts, f"{repository_path(repository)}/artifacts", params | _WITH_ACCESSORY)

    def artifacts_scanned(
        self, repository: str, *, page: int = 1, pulled_since: datetime | None = None
    ) -> tuple[Artifact, ...]:
        """A page (up to SCANS_PAGE) of a repository's artifacts with their overviews, platforms of indexes included.

        Overviews are dear: for each of them Harbor counts all findings of a report. `pulled_since`: only those that
        were pulled since then, as every scanner does whose pulls are counted.
        """
        filters = {"base": "*"} | ({"pull_time": between(pulled_since, None)} if pulled_since else {})
        params = {"q": q(**filters), "sort": "-push_time", "page": str(page), "page_size": str(SCANS_PAGE)}
        path, headers = f"{repository_path(repository)}/artifacts", {"X-Accept-Vulnerabilities": _VULNERABILITIES}
        return self._ask(rows.artifacts, path, params | _WITH_SCAN, headers)

    def indexes(self, repository: str) -> tuple[Artifact, ...]:
        """The newest (up to PAGE) images of several platforms in a repository."""
        params = {"q": q(manifest_media_type="{" + " ".join(_INDEXES) + "}"), "sort": "-push_time"}
        return self._ask(rows.artifacts, f"{repository_path(repository)}/artifacts", params | {"page_size": str(PAGE)})

    def findings(self, repository: str, digest: str) -> tuple[Finding, ...] | None:
        """Every vulnerability that the last scan of an artifact found; None when there is no such report."""
        path = f"{repository_path(repository)}/artifacts/{quote(digest, safe=':')}/additions/vulnerabilities"
        return self._ask_for(rows.findings, path, headers={"X-Accept-Vulnerabilities": _VULNERABILITIES})

    def is_scanning_all(self) -> bool | None:
        """Whether a scan of everything is under way; None when this account may not know, or nothing scans."""
        try:
            return any(self._ask(rows.is_ongoing, f"/scans/{kind}/metrics") for kind in ("all", "schedule"))
        except (NotAllowed, NotFound, BadRequest):  # 412: there is no scanner
            return None

    def scanner_of(self, project: str) -> Scanner | None:
        """The scanner that a project's images are scanned with; None: there is none. Needs `scanner: read`."""
        return self._ask(rows.scanner, f"/projects/{segment(project)}/scanner", headers={"X-Is-Resource-Name": "true"})

    def repository_created(self, repository: str) -> datetime | None:
        return self._ask_for(rows.repository_created, repository_path(repository))

    def project(self, name: str) -> Project | None:
        """A project that the account may see, else None. Asked by list: that needs no right of its own."""
        found = self._ask(rows.projects, "/projects", {"name": name, "page_size": str(PAGE)})
        exact = next((each for each in found if each.name == name), None)
        if exact is None and len(found) == PAGE:  # names that merely contain it fill the page
            try:
                return self._ask_for(rows.project, f"/projects/{segment(name)}", headers={"X-Is-Resource-Name": "true"})
            except NotAllowed:
                return None
        return exact

    def projects(self, page: int) -> tuple[Project, ...]:
        """A page (up to PAGE) of the projects that the account may see, public ones of strangers included."""
        return self._ask(rows.projects, "/projects", {"page": str(page), "page_size": str(PAGE), "sort": "name"})

    def project_names(self) -> tuple[str, ...]:
        """Every project that the account may see."""
        names: list[str] = []
        found: tuple[Project, ...] | None = None
        while found is None or len(found) == PAGE:
            found = self.projects(len(names) // PAGE + 1)
            names += [each.name for each in found]
        return tuple(names)

    # -- Harbor and the account ---------------------------------------------------------------------

    def reach(self, projects: tuple[str, ...] = ()) -> Reach:
        """Which log is alive, and how much of it the account can see. `projects`: those configured; none: all."""
        return detect(self, projects)

    def may_read_whole_new_log(self) -> bool | None:
        """None: this Harbor has no new log (before 2.13). The probe touches no table."""
        try:
            self._get("/auditlog-exts/events")
        except NotAllowed:
            return False
        except PathNotFound:
            return None
        return True

    def may_read(self, log: Log) -> bool:
        """Whether a project's log is there for this account."""
        try:
            self._rows(log, {"op_time": between(NEVER, None)}, sort="-op_time", page_size=1)
        except PathNotFound:
            raise  # the log's generation is wrong, which says nothing about the project
        except (NotAllowed, NotFound):
            return False
        return True

    def server(self) -> Server:
        answer = self._get("/systeminfo")
        return decoded(lambda body: rows.server(body, answer.headers.get("Date")), answer)

    def current_user(self) -> CurrentUser:
        """Who we are. Also the cleanest check of the credentials: strangers get 401 here."""
        answer = self._get("/users/current", also=412)
        if answer.status == 412:  # Harbor's way of saying: a robot
            return CurrentUser(self._username, is_sysadmin=False, is_robot=True)
        return decoded(rows.current_user, answer)

    def configuration(self) -> dict[str, object] | None:
        """Harbor's settings, {key: value}; None when the account may not see them (robots never may)."""
        try:
            return self._ask(rows.configuration, "/configurations")
        except NotAllowed:
            return None

    def ping(self) -> None:
        """Whether Harbor's API answers at the configured url at all. Needs no account."""
        answer = self._get("/ping")
        if answer.body.strip().strip(b'"') != b"Pong":
            raise WrongUrl(f"{answer.where}: something answers, but it is not Harbor: correct [harbor] url")

    # -- for `check`: does the log keep up with the registry? -----------------------------------------

    def rows_since(
        self, log: Log, start: datetime, *, most: int = 1, operation: str = "", resource_type: str = ""
    ) -> tuple[AuditRow, ...]:
        """The newest rows (by id, up to `most`) from a moment on; of one operation or resource type, if named."""
        kind = {"operation": operation, "resource_type": resource_type}
        filters = {"op_time": between(start, None)} | {key: value for key, value in kind.items() if value}
        return self._rows(log, filters, sort="-id", page_size=most)

    def repositories(
        self, *, sort: str, most: int, project: str | None = None, page: int = 1, where: str = ""
    ) -> tuple[RepositoryFacts, ...]:
        """Up to `most` repositories that the account may list: of one project, or of all. `where`: Harbor's filter."""
        path = f"/projects/{segment(project)}/repositories" if project else "/repositories"
        params = {"sort": sort, "page": str(page), "page_size": str(most)} | ({"q": where} if where else {})
        return self._ask(activity.repositories, path, params)

    def repositories_changed(self, since: datetime, page: int) -> tuple[RepositoryFacts, ...]:
        """A page (up to PAGE) of the repositories in which something was pushed or pulled since then, newest first."""
        return self.repositories(sort="-update_time", most=PAGE, page=page, where=q(update_time=between(since, None)))

    def repositories_after(self, repository_id: int, most: int) -> tuple[RepositoryFacts, ...]:
        """The repositories that follow one in the order of their ids."""
        # The column is not called as the field of the answer, and Harbor ignores what it does not know.
        where = q(repository_id=f"[{repository_id + 1}~]")
        found = self.repositories(sort="repository_id", most=most, where=where)
        return tuple(each for each in found if each.id > repository_id)

    def newest_time(self, repository: str, field: activity.Moment, since: datetime) -> datetime | None:
        """When an artifact of the repository was last pushed or pulled, if since then."""
        # Unfiltered, PostgreSQL puts what was never pulled before everything else.
        params = {"q": q(**{field: between(since, None)}), "sort": f"-{field}", "page_size": "1"}
        return self._ask(activity.newest(field), f"{repository_path(repository)}/artifacts", params)

    # -- asking -------------------------------------------------------------------------------------

    def _ask(
        self,
        decode: Callable[[bytes], _T],
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _T:
        return decoded(decode, self._get(path, params, headers))

    def _ask_for(
        self,
        decode: Callable[[bytes], _T],
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _T | None:
        try:
            return self._ask(decode, path, params, headers)
        except NotFound:
            return None

    def _get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        also: int = 200,
    ) -> Answer:
        """One question. Any status but 200 and `also` raises."""
        question = (path, repr(params), repr(headers))
        answer = self._answers.get(question) or self._patiently(path, params, headers)
        if self._deadline is not None:
            self._answers[question] = answer
        if answer.status not in (200, also):
            raise refusal(answer, self._username, self._redactor.redact)
        return answer

    def _patiently(self, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> Answer:
        """Asked again after a pause when it is answered 401."""
        asked_at = time.monotonic()
        answer = self._exchange(path, params, headers)
        for pause in self._pauses:
            if answer.status != 401:
                break
            # In haste, the time counts for which Harbor held the answer back: it punishes wrong passwords so. Where
            # there is none left for asking again, the first answer stands.
            rest = pause if self._deadline is None else max(0.0, asked_at + pause - time.monotonic())
            if self._deadline is not None and rest >= self._deadline.left:
                break
            self._sleep(rest)
            with suppress(OutOfTime):
                answer = self._exchange(path, params, headers)
        return answer

    def _exchange(self, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> Answer:
        failure: PollerError | None = None
        for is_retried in (self.requests_sent > 0, False):
            try:
                with asking(self._sink, Service.HARBOR, kind_of(path)) as asked:
                    answer = self._send(path, params, headers)
                    asked.status = str(answer.status)
                    return answer
            except (OSError, urllib3.exceptions.HTTPError, UnicodeError) as error:
                failure = self._out_of_time(path) or self._failure(error, path)
                # A kept connection may be closed by Harbor in the moment of our asking: that is no outage.
                if not (is_retried and _was_closed(error)):
                    break
        assert failure is not None
        raise failure  # outside of `except`: the foreign exception holds the request with its credentials

    def _send(self, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> Answer:
        timeout = self._deadline.cut(self._timeout) if self._deadline else self._timeout
        self.requests_sent += 1
        request_id = f"{self._run}-{self.requests_sent}"
        deadline = min(time.monotonic() + 2 * timeout, self._deadline.at if self._deadline else math.inf)
        request = self._prepared(path, params, {**(headers or {}), "X-Request-Id": request_id})
        with self._session.send(request, timeout=timeout, allow_redirects=False, **self._settings()) as response:
            if "Set-Cookie" in response.headers:  # which may as well take one back
                self._template = None
            body = bodies.read(response.raw, most=_MOST_BYTES, end=deadline)
            return Answer(self._where(path), response.url, request_id, response.status_code, response.headers, body)

    def _prepared(
        self, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """As the library makes it, but once for all questions: what they have in common takes it longest."""
        if self._template is None:
            self._template = self._session.prepare_request(requests.Request("GET", self._base + _API))
        request = self._template.copy()
        request.url = f"{request.url}{path}?{urlencode(params)}" if params else f"{request.url}{path}"
        request.headers.update(headers)
        return request

    def _settings(self) -> Any:
        """What the environment says of proxies and certificates, where nothing else does. It does not change."""
        if self._of_environment is None:
            # Per request: on the session, REQUESTS_CA_BUNDLE would win over ca_file.
            self._of_environment = self._session.merge_environment_settings(
                self._base, self._proxies or {}, stream=True, verify=self._verify, cert=None
            )
        return self._of_environment

    def _out_of_time(self, path: str) -> OutOfTime | None:
        """What a failure is when the time for everything ended with it."""
        if self._deadline is None or self._deadline.left:
            return None
        return OutOfTime(f"{self._where(path)}: no whole answer within {self._deadline.seconds:.1f} s")

    def _where(self, path: str) -> str:
        return f"{self._base.partition('://')[2]}{_API}{path}"

    def _failure(self, error: Exception, path: str) -> PollerError:
        """Our word for an exception of the HTTP library: what happened, where, and the remedy where there is one."""
        where, cause = self._where(path), _cause(error)
        match error:
            case requests.ConnectTimeout():
                return HarborUnreachable(f"{where}: no connection within {self._timeout:g} s")
            case requests.ReadTimeout() | urllib3.exceptions.ReadTimeoutError() | TimeoutError():
                return HarborUnreachable(f"{where}: no whole answer within {self._timeout:g} s")
            case requests.exceptions.SSLError() | urllib3.exceptions.SSLError():
                return self._tls_failure(where, cause)
            case requests.exceptions.ProxyError():
                return HarborUnreachable(f"{where}: the proxy cannot be used: {cause}")
            case requests.ConnectionError():
                return HarborUnreachable(f"{where}: {cause}")
            case ValueError():  # all of the library's words for a bad url are one
                return WrongUrl(f"{where}: this url or proxy cannot be used: {cause}; correct [harbor] url or proxy")
            case urllib3.exceptions.HTTPError():
                return HarborGarbled(f"{where}: the answer was cut short: {cause}")
            case requests.RequestException():
                return HarborUnreachable(f"{where}: {cause}")
        return UntrustedCertificate(f"{where}: the certificates of ca_file cannot be read: {cause}")

    def _tls_failure(self, where: str, cause: str) -> PollerError:
        found = re.search(r"certificate verify failed: (.*?)\.?(?: \(_ssl|$)", cause)
        if found:
            return UntrustedCertificate(
                f"{where}: Harbor's certificate is not trusted: {found[1]}; {_remedy(found[1])}"
            )
        if "WRONG_VERSION_NUMBER" in cause or "RECORD_LAYER_FAILURE" in cause:
            cause += "; if Harbor speaks plain HTTP there, the url begins with http://"
        if "X509" in cause or "PEM" in cause:
            return UntrustedCertificate(f"{where}: the certificates of ca_file cannot be read: {cause}")
        return HarborUnreachable(f"{where}: TLS failed: {cause}")


# -- requests ---------------------------------------------------------------------------------------


def _session(username: str, password: Secret) -> requests.Session:
    """Cookies are kept: with Harbor's session cookie a thousand requests leave one session in its Redis."""
    session = requests.Session()
    # As text, it would be Latin-1. A stranger says nothing: with no `auth` at all, `requests` looks into ~/.netrc.
    known = HTTPBasicAuth(username.encode(), password.reveal().encode())
    session.auth = known if username else lambda request: request
    session.headers.update({"User-Agent": "harbor-poller", "Accept": "application/json"})
    return session


def _base(url: str) -> str:
    """The url without what people copy along: a trailing slash, the API's path, a user name."""
    parts = _parts("url", url.strip().rstrip("/").removesuffix(_API))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")


def _parts(setting: str, url: str) -> SplitResult:
    with suppress(ValueError):  # its text may hold a proxy's password
        return urlsplit(url)
    raise WrongUrl(f"[harbor] {setting} is not a url")


def _proxies(proxy: str | None) -> dict[str, str] | None:
    """For both schemes, so that it wins over whatever the environment says. None: what the environment says."""
    if proxy and not _parts("proxy", proxy if "://" in proxy else f"//{proxy}").hostname:
        raise WrongUrl("[harbor] proxy names no host")
    return {"http": proxy, "https": proxy} if proxy else None


# -- what went wrong --------------------------------------------------------------------------------


def _was_closed(error: Exception) -> bool:
    return isinstance(error, requests.ConnectionError) and "Connection aborted" in str(error)


def _cause(error: BaseException) -> str:
    """The innermost exception's text: the outer ones repeat urls and the library's internals."""
    for inner in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(inner, BaseException):
            return _cause(inner)
    return one_line(str(error) or type(error).__name__)


def _remedy(reason: str) -> str:
    if "mismatch" in reason.lower() or "not valid for" in reason.lower():
        return "use the name that the certificate is made out to in [harbor] url"
    if "expired" in reason or "not yet valid" in reason:
        return "renew it, or correct this machine's clock"
    return "put the certificate of its issuer into a file and name that in [harbor] ca_file"


def _only(operations: frozenset[str]) -> dict[str, str]:
    return {"operation": "{" + " ".join(sorted(operations)) + "}"} if operations else {}
