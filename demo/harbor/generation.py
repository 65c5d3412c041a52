"""What differs between the generations of Harbor, as seen on three running ones."""

from __future__ import annotations

from enum import Enum, StrEnum


class Table(StrEnum):
    """The two audit logs; each has ids of its own. The value is the path of its answers."""

    OLD = "audit-logs"
    NEW = "auditlog-exts"


class Generation(Enum):
    """The value is the version that Harbor tells."""

    V2_8 = "v2.8.6-5d0c5d3c"
    V2_12 = "v2.12.4-58c0e0e6"
    V2_16 = "v2.16.0-c50c7ddd"

    @classmethod
    def of_version(cls, version: str) -> Generation:
        """The generation of any version text, such as `v2.12.4-lab`."""
        minor = int(version.lstrip("v").split(".")[1])
        return cls.V2_16 if minor >= 13 else cls.V2_12 if minor >= 12 else cls.V2_8

    @property
    def live_table(self) -> Table:
        """The log that gets new rows."""
        return Table.NEW if self.has_new_log else Table.OLD

    @property
    def has_new_log(self) -> bool:
        """With it come the descriptions, and rows of logins, users and the configuration."""
        return self is Generation.V2_16

    @property
    def has_member_rows(self) -> bool:
        return self is Generation.V2_16

    @property
    def has_robot_rows(self) -> bool:
        return self is not Generation.V2_8

    @property
    def before_digest(self) -> str:
        """What stands between repository and digest in a row's `resource`."""
        return ":" if self is Generation.V2_8 else "@"

    @property
    def log_needs_project_admin(self) -> bool:
        """Up to 2.12 every member could list the log of a project."""
        return self.has_new_log

    @property
    def hides_version(self) -> bool:
        """Whether `/systeminfo` tells its version only to whoever is logged in."""
        return self.has_new_log

    @property
    def has_sboms(self) -> bool:
        """Since 2.11."""
        return self is not Generation.V2_8

    @property
    def lets_robots_read_scan_all(self) -> bool:
        """Since 2.10 a system robot can be given `scan-all: read`."""
        return self is not Generation.V2_8

    @property
    def lists_permissions(self) -> bool:
        """Since 2.10 a robot can be given only what `GET /permissions` lists; before, any pair was accepted."""
        return self is not Generation.V2_8

    @property
    def names_creators(self) -> bool:
        """Whether a robot says who created it."""
        return self is not Generation.V2_8

    @property
    def has_finding_status(self) -> bool:
        """Whether a finding has the field `status`."""
        return self is Generation.V2_16

    @property
    def scans_name_who_asked(self) -> bool:
        """Before 2.9 the operator of every scan's webhook was `auto`."""
        return self is not Generation.V2_8

    @property
    def scans_name_their_type(self) -> bool:
        """Since 2.11 the webhook says the type of scan; a scan-all records none, and its webhook lacks the overview."""
        return self is not Generation.V2_8
