"""What Harbor said: its JSON answers as checked types, before anybody has an opinion about them.

Decoding is lenient where a page must not be lost for one odd row, and strict where an odd answer means that
this is not Harbor's API. The only error that leaves this module is HarborGarbled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

import msgspec

from poller.errors import HarborGarbled
from poller.events import Finding, RowName, Source
from poller.knowledge import ATTESTATION

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PAGE = 100
"""The most rows that Harbor gives at once; more is refused, and 0 means all of them."""

_T = TypeVar("_T")
_LONGEST_RAW = 2000
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError)
"""What the library raises for bytes that are no JSON; the second for what is no UTF-8 in a text."""
_ODD = (msgspec.ValidationError, OverflowError)
"""The second: a time that is in no year of UTC."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*([+-]\d\d:?\d\d)?")


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of an audit log, in Harbor's own words. `raw` is set only where the row was not as promised.

    Rows are decoded into this as they come: empty strings are left out of them, and the description and the result
    exist since 2.13. What Harbor does not say has names that no row has.
    """

    id: Annotated[int, msgspec.Meta(le=2**63 - 1)]
    op_time: Annotated[datetime, msgspec.Meta(tz=True)]
    operation: str = ""
    resource_type: str = ""
    resource: str = ""
    username: str = ""
    operation_description: str = ""
    operation_result: bool = True
    table: Source = msgspec.field(name="(table)", default=Source.NEW_LOG)
    project: str | None = msgspec.field(name="(project)", default=None)  # set when it was read from a project's log
    raw: str = msgspec.field(name="(raw)", default="")

    @property
    def name(self) -> RowName:
        return RowName(self.table, self.id, self.op_time)


class Tag(msgspec.Struct, frozen=True):
    name: str
    push_time: datetime | None = None


class Reference(msgspec.Struct, frozen=True):
    """A manifest that an index lists: one platform's image, such as `linux/arm64/v8`, or an attestation."""

    child_digest: str
    platform: str = ""

    @property
    def is_image(self) -> bool:
        """Attestations are listed under a platform that there is not; no scanner looks at them."""
        return self.platform != ATTESTATION


class Accessory(msgspec.Struct, frozen=True):
    """What was attached to an artifact, its `subject` (a digest). `type` as Harbor calls it: `signature.cosign`."""

    digest: str
    type: str
    subject: str


class Artifact(msgspec.Struct, frozen=True):
    """`scan_overview` is {mime type: report summary}, absent where Harbor shows none (not: never scanned).

    `sbom_overview` is that of the last run that made a list of materials, since 2.11. `accessories` where they were
    asked for.
    """

    digest: str
    push_time: datetime | None = None
    tags: tuple[Tag, ...] = ()
    references: tuple[Reference, ...] = ()
    scan_overview: dict[str, dict[str, Any]] | None = None
    sbom_overview: dict[str, Any] | None = None
    accessories: tuple[Accessory, ...] = ()


class Project(msgspec.Struct, frozen=True):
    name: str
    project_id: int
    is_public: bool | None = None


class Server(msgspec.Struct, frozen=True):
    """What Harbor says of itself. It tells strangers less: a wrong password shows here, not as an error."""

    version: str | None
    registry: str | None  # host[:port], without scheme
    clock: datetime | None
    is_authenticated: bool
    is_read_only: bool = False
    auth_mode: str = ""  # how people log in: db_auth, ldap_auth, oidc_auth …


class Scanner(msgspec.Struct, frozen=True):
    """The registration of a scanner. Harbor says "unhealthy" when it cannot reach it; old versions say nothing."""

    name: str = ""
    is_disabled: bool = msgspec.field(default=False, name="disabled")
    health: str = ""

    @property
    def is_healthy(self) -> bool:
        return self.health != "unhealthy"


class CurrentUser(msgspec.Struct, frozen=True):
    name: str
    is_sysadmin: bool
    is_robot: bool


# -- the audit log ----------------------------------------------------------------------------------


_rows = msgspec.json.Decoder(tuple[AuditRow, ...] | None)
_raw_rows = msgspec.json.Decoder(list[msgspec.Raw] | None)


def audit_rows(body: bytes, table: Source, project: str | None) -> tuple[AuditRow, ...]:
    """A page of an audit log, in the order in which Harbor gave it. An odd row is kept, with its `raw` text.

    Raises HarborGarbled when the body is no JSON list at all.
    """
    try:
        return _audit_rows(body, table, project)
    except NOT_JSON as error:
        raise HarborGarbled(_not_json(body, error)) from None


def _audit_rows(body: bytes, table: Source, project: str | None) -> tuple[AuditRow, ...]:
    try:
        rows = _rows.decode(body) or ()
        is_as_it_is = table is Source.NEW_LOG and project is None and all(row.op_time.tzinfo is UTC for row in rows)
        return rows if is_as_it_is else tuple(_audit_row(row, table, project) for row in rows)
    except _ODD:
        return tuple(_repaired(_decode(_raw_rows, body, "a list of audit rows") or (), table, project))


def _audit_row(row: AuditRow, table: Source, project: str | None) -> AuditRow:
    return msgspec.structs.replace(row, op_time=row.op_time.astimezone(UTC), table=table, project=project)


def _repaired(raws: Iterable[msgspec.Raw], table: Source, project: str | None) -> Iterable[AuditRow]:
    for raw in raws:
        try:
            yield _audit_row(msgspec.json.decode(raw, type=AuditRow), table, project)
        except _ODD:
            yield _repair(bytes(raw), table, project)


def _repair(raw: bytes, table: Source, project: str | None) -> AuditRow:
    """What can be saved of a row that is not as promised.

    Nothing may be borrowed from its neighbours: the key, which is id and time, must be the same at every reading.
    """
    said = msgspec.json.decode(raw)
    fields: dict[str, Any] = said if isinstance(said, dict) else {}
    result = fields.get("operation_result")
    return AuditRow(
        id=_row_id(fields.get("id"), raw),
        op_time=parse_time(fields.get("op_time")) or EPOCH,
        operation=_text(fields.get("operation")),
        resource_type=_text(fields.get("resource_type")),
        resource=_text(fields.get("resource")),
        username=_text(fields.get("username")),
        operation_description=_text(fields.get("operation_description")),
        operation_result=result if isinstance(result, bool) else True,
        table=table,
        project=project,
        raw=raw[:_LONGEST_RAW].decode(errors="replace"),
    )


def _row_id(said: object, raw: bytes) -> int:
    """The id, or for want of one a negative number drawn from the text: below every cursor, and the same each time."""
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    if isinstance(said, str) and said.isdecimal() and len(said) < 20:
        said = int(said)
    is_id = isinstance(said, int) and not isinstance(said, bool) and 0 < said < 2**63
    return said if is_id and isinstance(said, int) else -crc32(raw)


def _text(said: object) -> str:
    if said is None or isinstance(said, str):
        return said or ""
    return msgspec.json.encode(said).decode()


# -- everything else --------------------------------------------------------------------------------


class _Tag(msgspec.Struct):
    name: str
    push_time: Any = None


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class _Reference(msgspec.Struct):
    child_digest: str
    platform: _Platform | None = None


class _Accessory(msgspec.Struct):
    digest: str = ""
    type: str = ""
    subject_artifact_digest: str = ""  # old versions do not say it


class _Artifact(msgspec.Struct):
    digest: str
    push_time: Any = None
    tags: list[_Tag] | None = None
    references: list[_Reference] | None = None
    scan_overview: Any = None
    sbom_overview: Any = None
    accessories: list[_Accessory] | None = None

    def checked(self) -> Artifact:
        return Artifact(
            digest=self.digest,
            push_time=parse_time(self.push_time),
            tags=tuple(Tag(tag.name, parse_time(tag.push_time)) for tag in self.tags or ()),
            references=tuple(Reference(each.child_digest, str(each.platform or "")) for each in self.references or ()),
            scan_overview=_overview(self.scan_overview),
            sbom_overview=self.sbom_overview if isinstance(self.sbom_overview, dict) else None,
            accessories=tuple(
                Accessory(each.digest, each.type, each.subject_artifact_digest or self.digest)
                for each in self.accessories or ()
                if each.digest
            ),
        )


class _Vulnerability(msgspec.Struct):
    id: str = ""
    severity: str = ""
    package: str = ""
    version: str = ""
    fix_version: str | None = None


class _Vulnerabilities(msgspec.Struct):
    vulnerabilities: list[_Vulnerability] | None = None


class _Progress(msgspec.Struct):
    ongoing: bool = False


class _Project(msgspec.Struct):
    name: str
    project_id: int
    metadata: dict[str, Any] | None = None

    def checked(self) -> Project:
        public = str((self.metadata or {}).get("public", "")).lower()  # Harbor writes booleans as text here
        return Project(self.name, self.project_id, {"true": True, "false": False}.get(public))


class _Repository(msgspec.Struct):
    creation_time: Any = None


class _SystemInfo(msgspec.Struct):
    harbor_version: str | None = None
    external_url: str | None = None
    registry_url: str | None = None
    current_time: Any = None
    read_only: bool | None = None
    auth_mode: str = ""


class _User(msgspec.Struct):
    username: str
    sysadmin_flag: bool = False


class _Setting(msgspec.Struct):
    value: Any = None


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error]


_artifact = msgspec.json.Decoder(_Artifact)
_artifacts = msgspec.json.Decoder(list[_Artifact] | None)
_vulnerabilities = msgspec.json.Decoder(dict[str, _Vulnerabilities | None])
_progress = msgspec.json.Decoder(_Progress)
_project = msgspec.json.Decoder(_Project)
_projects = msgspec.json.Decoder(list[_Project] | None)
_repository = msgspec.json.Decoder(_Repository)
_system_info = msgspec.json.Decoder(_SystemInfo)
_user = msgspec.json.Decoder(_User)
_scanner = msgspec.json.Decoder(Scanner | None)
_configuration = msgspec.json.Decoder(dict[str, _Setting])
_errors = msgspec.json.Decoder(_Errors)


def artifact(body: bytes) -> Artifact:
    return _decode(_artifact, body, "an artifact").checked()


def artifacts(body: bytes) -> tuple[Artifact, ...]:
    return tuple(each.checked() for each in _decode(_artifacts, body, "a list of artifacts") or ())


def findings(body: bytes) -> tuple[Finding, ...] | None:
    """What the addition `vulnerabilities` lists, {mime type: report}; of several reports the first that has any.

    None without a report: so it is while the image is scanned again.
    """
    reports = [each for each in _decode(_vulnerabilities, body, "a list of vulnerabilities").values() if each]
    if not reports:
        return None
    found = next((each.vulnerabilities for each in reports if each.vulnerabilities), [])
    return tuple(Finding(v.id, v.severity, v.package, v.version, v.fix_version or "") for v in found)


def is_ongoing(body: bytes) -> bool:
    """Whether a scan-all is under way, by its metrics."""
    return _decode(_progress, body, "the progress of a scan").ongoing


def project(body: bytes) -> Project:
    return _decode(_project, body, "a project").checked()


def projects(body: bytes) -> tuple[Project, ...]:
    return tuple(each.checked() for each in _decode(_projects, body, "a list of projects") or ())


def repository_created(body: bytes) -> datetime | None:
    return parse_time(_decode(_repository, body, "a repository").creation_time)


def server(body: bytes, date_header: str | None = None) -> Server:
    """`/systeminfo`. Harbor before 2.5 does not tell its time: then the answer's Date header is its clock."""
    info = _decode(_system_info, body, "the system information")
    return Server(
        version=info.harbor_version or None,
        registry=_host(info.external_url) or _host(info.registry_url),
        clock=parse_time(info.current_time) or _http_date(date_header),
        is_authenticated=bool(info.external_url or info.registry_url),
        is_read_only=bool(info.read_only),
        auth_mode=info.auth_mode,
    )


def current_user(body: bytes) -> CurrentUser:
    user = _decode(_user, body, "a user")
    return CurrentUser(user.username, user.sysadmin_flag, is_robot=False)


def scanner(body: bytes) -> Scanner | None:
    """None: there is no scanner at all."""
    found = _decode(_scanner, body, "a scanner") if body.strip() else None
    return found if found and found.name else None


def configuration(body: bytes) -> dict[str, object]:
    """Harbor's settings, {key: value}."""
    return {key: setting.value for key, setting in _decode(_configuration, body, "the configuration").items()}


def error_message(body: bytes) -> str | None:
    """What Harbor's error body says (may be ""), or None when the body is not one."""
    try:
        errors = _errors.decode(body).errors
    except NOT_JSON:
        return None
    return "; ".join(each.message or each.code for each in errors)


# -- small things -----------------------------------------------------------------------------------


def parse_time(said: object) -> datetime | None:
    """RFC 3339, or the text of Go's Time.String() that Harbor 2.0 gives. Go's zero time (year 1) is None."""
    found = _TIME.match(said) if isinstance(said, str) else None
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '')[:6]:0<6}").replace(tzinfo=_zone(offset))
        return local.astimezone(UTC) if local.year > 1 else None
    except (ValueError, OverflowError):
        return None


def is_web_page(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _zone(offset: str | None) -> timezone:
    if offset is None:
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _http_date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:
        return None


def _host(url: str | None) -> str | None:
    """host[:port] of `https://host:port/` or of `host:port`."""
    if not url:
        return None
    return urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2] or None


def _overview(said: object) -> dict[str, dict[str, Any]] | None:
    if not isinstance(said, dict):
        return None
    return {str(mime): report for mime, report in said.items() if isinstance(report, dict)} or None


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes, expected: str) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise HarborGarbled(f"the answer is JSON, but not {expected}: {error}") from None
    except NOT_JSON as error:
        raise HarborGarbled(_not_json(body, error)) from None


def _not_json(body: bytes, error: Exception) -> str:
    if is_web_page(body):
        return "the answer is a web page, not JSON: a maintenance page, or the url is not that of Harbor"
    return f"the answer is not JSON, or was cut short after {len(body)} bytes: {error}"
