"""What a Harbor holds at one moment: projects, repositories, artifacts, tags, scan reports and SBOMs.

Made for large ones: whatever is asked often is kept in an index, and what most artifacts have in common is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

WORST_FIRST = ("Critical", "High", "Medium", "Low", "Unknown", "None")
ATTESTATION = "unknown/unknown"
"""The platform by which an index lists an attestation: what buildx tells of how a platform's image was built."""

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""Harbor's word for a time that is not known."""

SIGNATURE = "signature.cosign"
NOTATION = "signature.notation"
REFERRER = "subject.accessory"
"""What names a subject and is of no kind that Harbor has heard of: attestations, and SBOMs of others."""

SBOM = "sbom.harbor"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Scanner:
    """`name` of its registration: part of its robots' names. Harbor keeps reports by registration, not by version."""

    name: str
    version: str
    vendor: str
    is_disabled: bool = False

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "vendor": self.vendor, "version": self.version}


TRIVY = Scanner("Trivy", "v0.58.0", "Aqua Security")


class Vulnerability(NamedTuple):
    """A finding. `fix_version` is empty where there is no fix."""

    id: str
    severity: str
    package: str = ""
    version: str = ""
    fix_version: str = ""


@dataclass(slots=True)
class Tag:
    id: int
    name: str
    push_time: datetime
    pull_time: datetime | None = None


@dataclass(slots=True)
class Artifact:
    """`children`: (digest, platform) of what an index lists. `subject`: digest of what an accessory belongs to.

    These two do not change any more once the artifact is in a repository, and `tags` only by the repository's verbs.
    `recorded`: what a recorded Harbor said of it, for the fields that nothing here depends on.
    """

    id: int
    digest: str
    push_time: datetime
    pushed_by: str = ""
    tags: dict[str, Tag] = field(default_factory=dict)
    children: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    accessory_type: str = REFERRER
    is_attestation: bool = False
    pull_time: datetime | None = None
    size: int = 1127
    recorded: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def newest_tags(self) -> list[Tag]:
        """As Harbor lists them: pushed last, first."""
        return sorted(self.tags.values(), key=lambda tag: (tag.push_time, tag.id), reverse=True)

    @property
    def first_tag(self) -> str | None:
        return self.newest_tags[0].name if self.tags else None

    @property
    def scannable(self) -> list[str]:
        """Digests of what a scan of it scans: an index's platforms, never an attestation."""
        if self.children:
            return [digest for digest, platform in self.children if platform != ATTESTATION]
        return [] if self.is_attestation else [self.digest]


@dataclass(slots=True)
class Repository:
    """`name` with its project. `artifacts` is to be read; `add`, `remove`, `tag` and `untag` change it."""

    id: int
    name: str
    project_id: int
    created_at: datetime
    updated_at: datetime
    pull_count: int = 0
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    _holders: dict[str, Artifact] = field(default_factory=dict, repr=False)  # by tag
    _listings: dict[str, int] = field(default_factory=dict, repr=False)  # how many indexes list a digest
    _accessories: dict[str, list[Artifact]] = field(default_factory=dict, repr=False)  # by subject

    def find(self, reference: str) -> Artifact | None:
        """By digest or tag."""
        return (self.artifacts if ":" in reference else self._holders).get(reference)

    def is_indexed(self, digest: str) -> bool:
        """Whether an index lists it."""
        return digest in self._listings

    def top_level(self) -> list[Artifact]:
        """Without accessories, and without what only an index refers to."""
        return [
            artifact
            for artifact in self.artifacts.values()
            if artifact.subject is None and (artifact.tags or artifact.digest not in self._listings)
        ]

    @property
    def artifact_count(self) -> int:
        """How many are on the top level: all but the accessories, and but the listed ones without a tag."""
        listed = (self.artifacts.get(digest) for digest in self._listings)
        hidden = sum(1 for each in listed if each and each.subject is None and not each.tags)
        return len(self.artifacts) - hidden - sum(map(len, self._accessories.values()))

    def accessories(self, artifact: Artifact) -> list[Artifact]:
        return list(self._accessories.get(artifact.digest, ()))

    # -- changes ----------------------------------------------------------------------------------------

    def add(self, artifact: Artifact) -> Artifact:
        """Take it in, with the tags that it brings."""
        self.artifacts[artifact.digest] = artifact
        self._holders |= dict.fromkeys(artifact.tags, artifact)
        for digest, _ in artifact.children:
            self._listings[digest] = self._listings.get(digest, 0) + 1
        if artifact.subject is not None:
            self._accessories.setdefault(artifact.subject, []).append(artifact)
        return artifact

    def remove(self, digest: str) -> Artifact | None:
        """Let go of it and of its tags, and of nothing else; None if it is not there."""
        artifact = self.artifacts.pop(digest, None)
        if artifact is None:
            return None
        for tag in artifact.tags:
            del self._holders[tag]
        for child, _ in artifact.children:
            self._unlist(child)
        if artifact.subject is not None:
            self._accessories[artifact.subject].remove(artifact)
        return artifact

    def _unlist(self, digest: str) -> None:
        left = self._listings.pop(digest) - 1
        if left:
            self._listings[digest] = left

    def tag(self, artifact: Artifact, tag: Tag) -> None:
        """Whatever had that tag has it no more."""
        self.untag(tag.name)
        artifact.tags[tag.name] = tag
        self._holders[tag.name] = artifact

    def untag(self, name: str) -> None:
        holder = self._holders.pop(name, None)
        if holder is not None:
            del holder.tags[name]


@dataclass(slots=True)
class Project:
    """`scanner` None: that of all projects without one of their own."""

    id: int
    name: str
    is_public: bool
    created_at: datetime
    metadata: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, Any] = field(default_factory=dict)
    scanner: Scanner | None = None


@dataclass(slots=True)
class Report:
    """A scan's result, or the place that is kept for it. `ended_at` None: not yet.

    `findings` None: nobody said which they are, only how many. `is_swept`: the task that knew status and times is
    gone; the findings are still there.
    """

    report_id: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    fixable: int = 0
    findings: tuple[Vulnerability, ...] | None = None
    scanner: Scanner = TRIVY
    is_swept: bool = False

    @property
    def severity(self) -> str:
        return next((name for name in WORST_FIRST if self.counts.get(name)), "None")

    @property
    def is_readable(self) -> bool:
        """Whether its findings can be asked for."""
        return self.status == "Success" or self.is_swept


@dataclass(slots=True)
class Sbom:
    """A run that makes an artifact's list of contents. `digest`: of the accessory, once there is one."""

    report_id: str
    status: str
    started_at: datetime
    scanner: Scanner
    ended_at: datetime | None = None
    digest: str | None = None


@dataclass(slots=True)
class Registry:
    """Reports are kept by scanner and digest: the same artifact in two repositories shares them; SBOMs by artifact.

    `is_scanner_reachable` False: Harbor takes every artifact for one that cannot be scanned.
    """

    projects: dict[str, Project] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    scanner: Scanner = TRIVY
    is_scanner_reachable: bool = True
    _reports: dict[str, dict[str, Report]] = field(default_factory=dict, repr=False)
    _sboms: dict[tuple[str, int], Sbom] = field(default_factory=dict, repr=False)

    def project_of(self, repository: str) -> Project | None:
        return self.projects.get(repository.partition("/")[0])

    def project(self, name_or_id: str, *, is_name: bool = False) -> Project | None:
        if name_or_id.isdecimal() and not is_name:
            return next((each for each in self.projects.values() if each.id == int(name_or_id)), None)
        return self.projects.get(name_or_id)

    def repositories_in(self, project: Project) -> Iterator[Repository]:
        return (each for each in self.repositories.values() if each.project_id == project.id)

    def find(self, repository: str, reference: str) -> Artifact | None:
        found = self.repositories.get(repository)
        return found.find(reference) if found else None

    # -- scans --------------------------------------------------------------------------------------------

    def scanner_of(self, repository: str) -> Scanner:
        project = self.project_of(repository)
        return (project.scanner if project else None) or self.scanner

    def report(self, repository: str, digest: str) -> Report | None:
        """That of the project's present scanner, as far as Harbor shows it."""
        return self.stored_report(repository, digest) if self.is_scanner_reachable else None

    def stored_report(self, repository: str, digest: str) -> Report | None:
        """The same, shown or not."""
        return self._reports.get(self.scanner_of(repository).name, {}).get(digest)

    def keep_report(self, digest: str, report: Report) -> None:
        self._reports.setdefault(report.scanner.name, {})[digest] = report

    def sbom(self, repository: str, artifact: Artifact) -> Sbom | None:
        """That of the project's present scanner, as far as Harbor shows it."""
        if not self.is_scanner_reachable:
            return None
        return self._sboms.get((self.scanner_of(repository).name, artifact.id))

    def keep_sbom(self, artifact: Artifact, sbom: Sbom) -> None:
        self._sboms[sbom.scanner.name, artifact.id] = sbom
