"""Print constraints.txt: the installed version of every direct and indirect requirement.

Usage, in an environment with the versions that were tested:
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
# The tested version of every direct and indirect requirement of Auscult.
# The permitted ranges are in pyproject.toml. Written by tools/pin_constraints.py.
"""
# Required by audioread on Python 3.13 and newer only, so not installed where the pins are made.
NEWER_PYTHONS = (
    "audioop-lts==0.2.2",
    "standard-aifc==3.13.0",
    "standard-chunk==3.13.0",
    "standard-sunau==3.13.0",
)


def normalised(name: str) -> str:
    """The name of a distribution, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """The requirements of the installed `name` with `extras` on this platform."""
    found = []
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        environments = [{"extra": extra} for extra in extras or {""}]
        if marker is None or any(marker.evaluate(environment) for environment in environments):
            found.append(requirement)
    return found


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """The installed version of `name` and of all its direct and indirect requirements, by name.

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
