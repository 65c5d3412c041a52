"""Print a line for each library in a folder: name, version, and the license that its authors name."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions


def license_of(found: Distribution) -> str:
    named = found.metadata["License-Expression"] or found.metadata["License"] or ""
    if named and len(named.splitlines()) == 1:
        return named
    classifiers = found.metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    return ", ".join(names) or "see its folder"


def main(folder: str) -> None:
    for found in sorted(distributions(path=[folder]), key=lambda found: found.name.lower()):
        if found.name != "harbor-poller":
            print(f"{found.name} {found.version}: {license_of(found)}")


if __name__ == "__main__":
    main(sys.argv[1])
