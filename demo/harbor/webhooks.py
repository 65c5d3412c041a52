"""The webhooks that Harbor would have sent, in its Default payload."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from demo.harbor.generation import Generation
from demo.harbor.registry import Project, Repository
from demo.harbor.scans import RunningSbom, RunningScan
from demo.harbor.shapes import webhook_overview, webhook_sbom

Webhook = dict[str, Any]
_SCAN_EVENTS = {"Success": "SCANNING_COMPLETED", "Error": "SCANNING_FAILED", "Stopped": "SCANNING_STOPPED"}


def artifact_webhook(
    kind: str,
    at: datetime,
    operator: str,
    registry_url: str,
    repository: Repository,
    project: Project,
    digest: str,
    tag: str | None,
    *,
    with_creation: bool = True,
) -> Webhook:
    """PUSH_ARTIFACT, PULL_ARTIFACT or DELETE_ARTIFACT. Without a tag, Harbor puts the digest in its place.

    `with_creation` False: the repository is gone by the time of the webhook.
    """
    resource = {"digest": digest, "tag": tag or digest, "resource_url": _url(registry_url, repository, digest, tag)}
    described = _repository(repository, project)
    if with_creation:
        described = {"date_created": int(repository.created_at.timestamp()), **described}
    operator = "" if operator == "anonymous" else operator
    return _webhook(kind, at, operator, {"resources": [resource], "repository": described})


def scan_webhook(
    at: datetime,
    scan: RunningScan,
    registry_url: str,
    repository: Repository,
    project: Project,
    generation: Generation,
) -> Webhook:
    """SCANNING_COMPLETED, SCANNING_FAILED or SCANNING_STOPPED of a scan that has just ended."""
    resource = _scanned(registry_url, repository, scan.digest, scan.tag)
    if not (scan.is_scan_all and generation.scans_name_their_type):
        resource["scan_overview"] = webhook_overview(scan.report)
    event_data: dict[str, Any] = {"resources": [resource], "repository": _repository(repository, project)}
    if generation.scans_name_their_type:
        event_data["scan"] = {} if scan.is_scan_all else {"scan_type": "vulnerability"}
    operator = scan.operator if generation.scans_name_who_asked else "auto"
    return _webhook(_SCAN_EVENTS[scan.report.status], at, operator, event_data)


def sbom_webhook(
    at: datetime, run: RunningSbom, registry_url: str, repository: Repository, project: Project
) -> Webhook:
    """The same of a run that made an SBOM, or was to make one."""
    resource = _scanned(registry_url, repository, run.artifact.digest, run.tag)
    resource["sbom_overview"] = webhook_sbom(run.sbom, repository)
    event_data = {
        "resources": [resource],
        "repository": _repository(repository, project),
        "scan": {"scan_type": "sbom"},
    }
    return _webhook(_SCAN_EVENTS[run.sbom.status], at, run.operator, event_data)


def _scanned(registry_url: str, repository: Repository, digest: str, tag: str | None) -> dict[str, Any]:
    resource: dict[str, Any] = {"digest": digest, "resource_url": _url(registry_url, repository, digest, tag)}
    return resource | ({"tag": tag} if tag else {})


def _webhook(kind: str, at: datetime, operator: str, event_data: dict[str, Any]) -> Webhook:
    return {"type": kind, "occur_at": int(at.timestamp()), "operator": operator, "event_data": event_data}


def _url(registry_url: str, repository: Repository, digest: str, tag: str | None) -> str:
    return f"{registry_url}/{repository.name}" + (f":{tag}" if tag else f"@{digest}")


def _repository(repository: Repository, project: Project) -> dict[str, Any]:
    namespace, _, name = repository.name.partition("/")
    return {
        "name": name,
        "namespace": namespace,
        "repo_full_name": repository.name,
        "repo_type": "public" if project.is_public else "private",
    }
