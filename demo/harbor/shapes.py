"""The JSON of Harbor's API answers about projects, repositories, artifacts and scans."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from demo.harbor.accounts import Account
from demo.harbor.generation import Generation
from demo.harbor.registry import (
    NEVER,
    WORST_FIRST,
    Artifact,
    Project,
    Registry,
    Report,
    Repository,
    Sbom,
    Tag,
    Vulnerability,
)
from demo.harbor.rows import api_time

VULNERABILITIES = "application/vnd.security.vulnerability.report; version=1.1"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


def project_json(project: Project, account: Account | None, registry: Registry) -> dict[str, Any]:
    role = account.role_id(project.name) if account else None
    created = api_time(project.created_at)
    answer: dict[str, Any] = {
        "creation_time": created,
        "current_user_role_ids": None,
        "cve_allowlist": {
            "creation_time": api_time(None),
            "id": project.id,
            "items": [],
            "project_id": project.id,
            "update_time": api_time(None),
        },
        "metadata": {"public": str(project.is_public).lower(), **project.metadata},
        "name": project.name,
        "owner_id": 1,
        "owner_name": "admin",
        "project_id": project.id,
        "repo_count": sum(1 for _ in registry.repositories_in(project)),
        "update_time": created,
        **project.recorded,
    }
    answer.pop("current_user_role_id", None)
    return answer | ({"current_user_role_id": role, "current_user_role_ids": [role]} if role else {})


def repository_json(repository: Repository) -> dict[str, Any]:
    return {
        "artifact_count": repository.artifact_count,
        "creation_time": api_time(repository.created_at),
        "id": repository.id,
        "name": repository.name,
        "project_id": repository.project_id,
        "pull_count": repository.pull_count,
        "update_time": api_time(repository.updated_at),
    }


def artifact_json(
    artifact: Artifact,
    repository: Repository,
    registry: Registry,
    generation: Generation,
    *,
    with_scan: bool,
    with_sbom: bool = False,
    with_accessory: bool = False,
) -> dict[str, Any]:
    """Without the overviews that nobody wants, that are not there, or that this generation has not heard of."""
    config = _INDEX if artifact.children else _CONFIG
    answer: dict[str, Any] = {
        "accessories": (with_accessory and accessories_json(artifact, repository)) or None,
        "addition_links": _addition_links(artifact, repository, generation),
        "artifact_type": config,
        "digest": artifact.digest,
        "extra_attrs": {"architecture": "amd64", "author": "", "config": {}, "os": "linux"},
        "icon": "sha256:0048162a053eef4d4ce3fe7518615bef084403614f8bca43b40ae2e762e11e06",
        "id": artifact.id,
        "labels": None,
        "manifest_media_type": media_type(artifact),
        "media_type": config,
        "project_id": repository.project_id,
        "pull_time": api_time(artifact.pull_time),
        "push_time": api_time(artifact.push_time),
        "references": [_reference(*child, artifact, repository) for child in artifact.children] or None,
        "repository_id": repository.id,
        "repository_name": repository.name,
        "size": artifact.size,
        "type": "IMAGE",
        **artifact.recorded,
        "tags": [_tag(tag, artifact, repository, generation) for tag in artifact.newest_tags] or None,
    }
    if generation is Generation.V2_8:
        del answer["artifact_type"], answer["repository_name"]
    overviews = {
        "scan_overview": scan_overview(artifact, repository, registry) if with_scan else None,
        "sbom_overview": sbom_overview(artifact, repository, registry) if with_sbom and generation.has_sboms else None,
    }
    return answer | {key: overview for key, overview in overviews.items() if overview}


def media_type(artifact: Artifact) -> str:
    """Of its manifest."""
    said = artifact.recorded.get("manifest_media_type")
    return str(said) if said else _INDEX if artifact.children else _MANIFEST


def _tag(tag: Tag, artifact: Artifact, repository: Repository, generation: Generation) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "artifact_id": artifact.id,
        "id": tag.id,
        "immutable": False,
        "name": tag.name,
        "pull_time": api_time(tag.pull_time),
        "push_time": api_time(tag.push_time),
        "repository_id": repository.id,
    }
    return answer | ({"signed": False} if generation is Generation.V2_8 else {})


def _reference(digest: str, platform: str, index: Artifact, repository: Repository) -> dict[str, Any]:
    system, _, architecture = platform.partition("/")
    child = repository.artifacts.get(digest)
    return {
        "child_digest": digest,
        "child_id": child.id if child else 0,
        "parent_id": index.id,
        "platform": {"OsFeatures": None, "architecture": architecture, "os": system},
        "urls": None,
    }


def accessories_json(artifact: Artifact, repository: Repository) -> list[dict[str, Any]]:
    """What belongs to it, oldest first."""
    return [_accessory(each, artifact, repository) for each in repository.accessories(artifact)]


def _accessory(accessory: Artifact, subject: Artifact, repository: Repository) -> dict[str, Any]:
    return {
        "artifact_id": accessory.id,
        "creation_time": api_time(accessory.push_time),
        "digest": accessory.digest,
        "icon": "",
        "id": accessory.id,
        "size": accessory.size,
        "subject_artifact_digest": subject.digest,
        "subject_artifact_id": subject.id,
        "subject_artifact_repo": repository.name,
        "type": accessory.accessory_type,
    }


def _addition_links(artifact: Artifact, repository: Repository, generation: Generation) -> dict[str, Any]:
    project, _, name = repository.name.partition("/")
    artifacts = f"/api/v2.0/projects/{project}/repositories/{quote(quote(name, safe=''), safe='')}/artifacts"
    answer = {
        kind: {"absolute": False, "href": f"{artifacts}/{artifact.digest}/additions/{kind}"}
        for kind in ("build_history", "vulnerabilities")
    }
    if generation is not Generation.V2_8:
        answer["sboms"] = {"absolute": False, "href": f"{artifacts}//additions/sbom"}  # the gap is Harbor's
    return answer


# -- scans ----------------------------------------------------------------------------------------------


def scan_overview(artifact: Artifact, repository: Repository, registry: Registry) -> dict[str, Any] | None:
    """{mime type: summary}, without the fields that are empty; None where Harbor shows no overview."""
    reports = _reports(artifact, repository, registry)
    if not reports:
        return None
    if not artifact.children:
        return {VULNERABILITIES: _summary(reports[0])}
    merged = _summary(_merged(reports))
    if merged["scan_status"] == "Success":
        merged["complete_percent"] = 100 * sum(report.status == "Success" for report in reports) // len(reports)
    return {VULNERABILITIES: merged}


def _reports(artifact: Artifact, repository: Repository, registry: Registry) -> list[Report]:
    """Its own, or those of an index's platforms; none at all as long as one of them has none."""
    reports = [registry.report(repository.name, digest) for digest in artifact.scannable]
    known = [report for report in reports if report]
    return known if len(known) == len(reports) else []


def _summary(report: Report) -> dict[str, Any]:
    started, ended = report.started_at, report.ended_at
    answer: dict[str, Any] = {
        "end_time": api_time(ended),
        "report_id": report.report_id,
        "scan_status": report.status,
        "start_time": api_time(None if report.status == "Pending" else started),
    }
    if ended and (duration := _seconds(started, ended)):
        answer["duration"] = duration
    if report.status == "Success":
        answer |= {
            "complete_percent": 100,
            "scanner": report.scanner.to_json(),
            "severity": report.severity,
            "summary": _counted(report.counts, report.fixable),
        }
    return answer


def _seconds(started: datetime, ended: datetime) -> int:
    return int((ended - started).total_seconds())


def _counted(counts: Mapping[str, int], fixable: int) -> dict[str, Any]:
    return {"fixable": fixable, "summary": dict(sorted(counts.items())), "total": sum(counts.values())}


def _merged(reports: list[Report]) -> Report:
    """Of an index: Success as soon as one platform has it and none is running."""
    counts: dict[str, int] = {}
    for report in reports:
        for severity, count in report.counts.items() if report.status == "Success" else ():
            counts[severity] = counts.get(severity, 0) + count
    ends = [report.ended_at for report in reports if report.ended_at]
    return Report(
        base64.b64encode("|".join(report.report_id for report in reports).encode()).decode(),
        _merged_status({report.status for report in reports}),
        min(NEVER if report.status == "Pending" else report.started_at for report in reports),
        max(ends) if ends else None,
        counts,
        sum(report.fixable for report in reports if report.status == "Success"),
        scanner=reports[0].scanner,
    )


def _merged_status(statuses: Iterable[str]) -> str:
    order = ("Running", "Stopped", "Success", "Error", "Pending")
    return min(statuses, key=order.index)


def webhook_overview(report: Report) -> dict[str, Any]:
    """The same as in the API, but with what is empty, and with times that are not padded."""
    ended = report.ended_at or NEVER
    answer: dict[str, Any] = {
        "report_id": report.report_id,
        "scan_status": report.status,
        "severity": "",
        "duration": _seconds(report.started_at, ended),
        "summary": None,
        "start_time": _go_time(report.started_at),
        "end_time": _go_time(ended),
        "complete_percent": 0,
    }
    if report.status == "Success":
        summary, scanner = _counted(report.counts, report.fixable), report.scanner.to_json()
        answer |= {"severity": report.severity, "summary": summary, "scanner": scanner, "complete_percent": 100}
    return {VULNERABILITIES: answer}


def _go_time(at: datetime) -> str:
    """As Go writes a time by itself: no more of a second than there is."""
    text = at.replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if at.microsecond else text) + "Z"


# -- findings -------------------------------------------------------------------------------------------


def vulnerabilities(
    artifact: Artifact, repository: Repository, registry: Registry, generation: Generation
) -> dict[str, Any]:
    """The findings one by one, as the addition `vulnerabilities` lists them; empty where there is no report to read."""
    reports = _reports(artifact, repository, registry)
    read = [(digest, each) for digest, each in zip(artifact.scannable, reports, strict=False) if each.is_readable]
    if not read:
        return {}
    by_finding: dict[Vulnerability, list[str]] = {}
    for digest, report in read:
        for finding in report.findings if report.findings is not None else _made_up(report):
            by_finding.setdefault(finding, []).append(digest)
    last = max((report for _, report in read), key=lambda report: report.ended_at or NEVER)
    return {
        VULNERABILITIES: {
            "generated_at": _go_time(last.ended_at or NEVER),
            "scanner": last.scanner.to_json(),
            "severity": min((report.severity for _, report in read), key=WORST_FIRST.index),
            "vulnerabilities": [_finding(each, digests, generation) for each, digests in by_finding.items()],
        }
    }


def _made_up(report: Report) -> Iterator[Vulnerability]:
    """As many as were counted, worst first."""
    named = [*WORST_FIRST, *(name for name in report.counts if name not in WORST_FIRST)]
    severities = (name for name in named for _ in range(report.counts.get(name, 0)))
    for number, severity in enumerate(severities):
        fix_version = "2" if number < report.fixable else ""
        yield Vulnerability(f"CVE-2026-{number}", severity, f"p{number}", "1", fix_version)


def _finding(finding: Vulnerability, digests: list[str], generation: Generation) -> dict[str, Any]:
    answer = {
        **finding._asdict(),
        "description": "d",
        "links": [""],
        "artifact_digests": digests,
        "preferred_cvss": {"score_v3": None, "score_v2": None, "vector_v3": "", "vector_v2": ""},
        "cwe_ids": [""],
        "vendor_attributes": None,
    }
    return answer | ({"status": ""} if generation.has_finding_status else {})


# -- SBOMs ----------------------------------------------------------------------------------------------


def sbom_overview(artifact: Artifact, repository: Repository, registry: Registry) -> dict[str, Any] | None:
    """None without a run. Only a success tells its times, and it tells no id; an index tells of its platforms' runs."""
    if artifact.children:
        return _index_sbom(artifact, repository, registry)
    sbom = registry.sbom(repository.name, artifact)
    if sbom is None:
        return None
    if sbom.digest is None:
        return {"report_id": sbom.report_id, "scan_status": sbom.status, **_times(None, None)}
    scanner = {"sbom_digest": sbom.digest, "scanner": sbom.scanner.to_json()}
    return {"scan_status": sbom.status, **_times(sbom.started_at, sbom.ended_at), **scanner}


def _times(started: datetime | None, ended: datetime | None) -> dict[str, Any]:
    """With the duration, if there is any."""
    answer: dict[str, Any] = {"end_time": api_time(ended), "start_time": api_time(started)}
    duration = _seconds(started, ended) if started and ended else 0
    return answer | ({"duration": duration} if duration else {})


def _index_sbom(index: Artifact, repository: Repository, registry: Registry) -> dict[str, Any] | None:
    platforms = [repository.artifacts[digest] for digest in index.scannable if digest in repository.artifacts]
    runs = [run for platform in platforms if (run := registry.sbom(repository.name, platform))]
    if not runs or len(runs) < len(platforms):
        return None
    ends = [run.ended_at for run in runs if run.ended_at]
    status = min((run.status for run in runs), key=("Running", "Error", "Stopped", "Success").index)
    ended = max(ends) if len(ends) == len(runs) else None
    return {"scan_status": status, **_times(min(run.started_at for run in runs), ended)}


def webhook_sbom(sbom: Sbom, repository: Repository) -> dict[str, Any]:
    """What Harbor has kept of the run: of a failed one no more than its id."""
    if sbom.digest is None or sbom.ended_at is None:
        return {"report_id": sbom.report_id, "scan_status": sbom.status}
    return {
        "duration": _seconds(sbom.started_at, sbom.ended_at),
        "end_time": _go_time(sbom.ended_at),
        "sbom_digest": sbom.digest,
        "sbom_repository": repository.name,
        "scan_status": sbom.status,
        "scanner": sbom.scanner.to_json(),
        "start_time": _go_time(sbom.started_at),
    }
