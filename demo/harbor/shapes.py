"""The JSON of Harbor's API answers about projects, repositories, artifacts and scans."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from demo.harbor.accounts import Account
from demo.harbor.generation import Generation
from demo.harbor.registry import Artifact, Project, Registry, Report, Repository, Tag
from demo.harbor.rows import api_time

VULNERABILITIES = "application/vnd.security.vulnerability.report; version=1.1"
SCANNER = {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.58.0"}
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
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
        "artifact_count": len(repository.top_level()),
        "creation_time": api_time(repository.created_at),
        "id": repository.id,
        "name": repository.name,
        "project_id": repository.project_id,
        "pull_count": repository.pull_count,
        "update_time": api_time(repository.updated_at),
    }


def artifact_json(
    artifact: Artifact, repository: Repository, registry: Registry, generation: Generation, *, with_scan: bool
) -> dict[str, Any]:
    media = _INDEX if artifact.children else _MANIFEST
    config = _INDEX if artifact.children else _CONFIG
    answer: dict[str, Any] = {
        "accessories": [_accessory(each, artifact, repository) for each in repository.accessories(artifact)] or None,
        "addition_links": _addition_links(artifact, repository, generation),
        "artifact_type": config,
        "digest": artifact.digest,
        "extra_attrs": {"architecture": "amd64", "author": "", "config": {}, "os": "linux"},
        "icon": "sha256:0048162a053eef4d4ce3fe7518615bef084403614f8bca43b40ae2e762e11e06",
        "id": artifact.id,
        "labels": None,
        "manifest_media_type": media,
        "media_type": config,
        "project_id": repository.project_id,
        "pull_time": api_time(artifact.pull_time),
        "push_time": api_time(artifact.push_time),
        "references": [_reference(*child, artifact) for child in artifact.children] or None,
        "repository_id": repository.id,
        "repository_name": repository.name,
        "size": artifact.size,
        "type": "IMAGE",
        **artifact.recorded,
        "tags": [_tag(tag, artifact, repository, generation) for tag in artifact.newest_tags] or None,
    }
    if generation is Generation.V2_8:
        del answer["artifact_type"], answer["repository_name"]
    overview = scan_overview(artifact, registry) if with_scan else None
    return answer | ({"scan_overview": overview} if overview else {})


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


def _reference(digest: str, platform: str, index: Artifact) -> dict[str, Any]:
    system, _, architecture = platform.partition("/")
    return {
        "child_digest": digest,
        "child_id": index.id,
        "parent_id": index.id,
        "platform": {"OsFeatures": None, "architecture": architecture, "os": system},
        "urls": None,
    }


def _accessory(accessory: Artifact, subject: Artifact, repository: Repository) -> dict[str, Any]:
    return {
        "artifact_id": accessory.id,
        "creation_time": api_time(accessory.push_time),
        "digest": accessory.digest,
        "id": accessory.id,
        "size": accessory.size,
        "subject_artifact_digest": subject.digest,
        "subject_artifact_id": subject.id,
        "subject_artifact_repo": repository.name,
        "type": "signature.cosign",
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


def scan_overview(artifact: Artifact, registry: Registry) -> dict[str, Any] | None:
    """{mime type: summary}, without the fields that are empty; None where Harbor shows no overview."""
    if artifact.children:
        return _index_overview(artifact, registry)
    report = registry.reports.get(artifact.digest)
    return {VULNERABILITIES: _summary(report)} if report else None


def _summary(report: Report) -> dict[str, Any]:
    started, ended = report.started_at, report.ended_at
    answer: dict[str, Any] = {
        "end_time": api_time(ended),
        "report_id": report.report_id,
        "scan_status": report.status,
        "start_time": api_time(None if report.status == "Pending" else started),
    }
    if ended and (duration := int((ended - started).total_seconds())):
        answer["duration"] = duration
    if report.status == "Success":
        answer |= {
            "complete_percent": 100,
            "scanner": SCANNER,
            "severity": report.severity,
            "summary": _counted(report.counts, report.fixable),
        }
    return answer


def _counted(counts: Mapping[str, int], fixable: int) -> dict[str, Any]:
    return {"fixable": fixable, "summary": dict(sorted(counts.items())), "total": sum(counts.values())}


def _index_overview(index: Artifact, registry: Registry) -> dict[str, Any] | None:
    """The merged overview of an index: Success as soon as one child has it, absent if a child has no report."""
    reports = [registry.reports.get(digest) for digest, _ in index.children]
    known = [report for report in reports if report]
    if not known or len(known) < len(reports):
        return None
    merged = _summary(_merged(known))
    succeeded = sum(report.status == "Success" for report in known)
    if merged["scan_status"] == "Success":
        merged["complete_percent"] = 100 * succeeded // len(known)
    return {VULNERABILITIES: merged}


def _merged(reports: list[Report]) -> Report:
    counts: dict[str, int] = {}
    for report in reports:
        for severity, count in report.counts.items():
            counts[severity] = counts.get(severity, 0) + count
    ends = [report.ended_at for report in reports if report.ended_at]
    return Report(
        base64.b64encode("|".join(report.report_id for report in reports).encode()).decode(),
        _merged_status({report.status for report in reports}),
        min(_NEVER if report.status == "Pending" else report.started_at for report in reports),
        max(ends) if ends else None,
        counts,
        sum(report.fixable for report in reports),
    )


def _merged_status(statuses: Iterable[str]) -> str:
    order = ("Running", "Stopped", "Success", "Error", "Pending")
    return min(statuses, key=order.index)


def webhook_overview(report: Report) -> dict[str, Any]:
    """The same as in the API, but with what is empty, and with times that are not padded."""
    ended = report.ended_at or _NEVER
    answer: dict[str, Any] = {
        "report_id": report.report_id,
        "scan_status": report.status,
        "severity": "",
        "duration": int((ended - report.started_at).total_seconds()),
        "summary": None,
        "start_time": f"{report.started_at:%Y-%m-%dT%H:%M:%SZ}",
        "end_time": f"{ended:%Y-%m-%dT%H:%M:%SZ}",
        "complete_percent": 0,
    }
    if report.status == "Success":
        summary = _counted(report.counts, report.fixable)
        answer |= {"severity": report.severity, "summary": summary, "scanner": SCANNER, "complete_percent": 100}
    return {VULNERABILITIES: answer}


def vulnerabilities(artifact: Artifact, report: Report) -> dict[str, Any]:
    """The findings one by one, as the addition `vulnerabilities` lists them."""
    severities = [severity for severity, count in report.counts.items() for _ in range(count)]
    findings = [
        {
            "id": f"CVE-2026-{number}",
            "package": f"p{number}",
            "version": "1",
            "fix_version": "2" if number < report.fixable else "",
            "severity": severity,
            "description": "d",
            "links": [""],
            "artifact_digests": [artifact.digest],
        }
        for number, severity in enumerate(severities)
    ]
    return {
        VULNERABILITIES: {
            "generated_at": f"{report.ended_at or _NEVER:%Y-%m-%dT%H:%M:%SZ}",
            "scanner": SCANNER,
            "severity": report.severity,
            "vulnerabilities": findings,
        }
    }
