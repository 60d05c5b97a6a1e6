"""Print constraints.txt for what is installed: auscult's requirements, all the way down.

Usage, in an environment where the wanted versions are installed and tested:
    .venv/bin/python tools/pin_constraints.py > constraints.txt
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

from packaging.requirements import Requirement

ROOT_DISTRIBUTION = "auscult"
BUILD_REQUIREMENTS = ("setuptools",)
HEADER = """\
# Every package that Auscult can pull in, at the version it was tested with.
# Ranges are in pyproject.toml; regenerate with tools/pin_constraints.py.
"""
# Required on Pythons newer than the one that the pins were made with (audioread, on 3.13).
NEWER_PYTHONS = (
    "audioop-lts==0.2.2",
    "standard-aifc==3.13.0",
    "standard-chunk==3.13.0",
    "standard-sunau==3.13.0",
)


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What the installed distribution `name` requires here with `extras`, self-references kept."""
    found = []
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        environments = [{"extra": extra} for extra in extras or {""}]
        if marker is None or any(marker.evaluate(environment) for environment in environments):
            found.append(requirement)
    return found


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Distribution to version, for everything that `name[extras]` requires and has installed.

    Raises `importlib.metadata.PackageNotFoundError` when a requirement is not installed.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [(normalised(name), extras | {""})]
    while queue:
        current, wanted = queue.pop()
        if (current, wanted) in seen:
            continue
        seen.add((current, wanted))
        versions[current] = metadata.version(current).partition("+")[0]
        queue += [
            (normalised(requirement.name), frozenset(requirement.extras) | {""})
            for requirement in requirements_of(current, wanted)
        ]
    return versions


def main() -> int:
    extras = frozenset(metadata.metadata(ROOT_DISTRIBUTION).get_all("Provides-Extra") or [])
    versions = closure(ROOT_DISTRIBUTION, extras)
    versions.pop(ROOT_DISTRIBUTION)
    for name in BUILD_REQUIREMENTS:
        versions[name] = metadata.version(name)
    pins = sorted({f"{name}=={version}" for name, version in versions.items()} | {*NEWER_PYTHONS})
    sys.stdout.write(HEADER + "\n".join(pins) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
