"""What the code imports and what pyproject.toml declares, both as names of distributions."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pin_constraints
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"auscult", "monitor", "training", "tests", "benchmarks"} | {
    path.stem for path in (ROOT / "tools").glob("*.py")
}
PART_OF = {"pydantic-core": "pydantic"}
"""A distribution that another one pins to an exact version, and whose names are part of it."""


def declared(group: str) -> set[str]:
    """The distributions of an extra, or with ``run`` those that every installation has."""
    texts = PROJECT["dependencies"] if group == "run" else PROJECT["optional-dependencies"][group]
    return {pin_constraints.normalised(Requirement(text).name) for text in texts}


def imported(*folders: str, without: Collection[str] = ()) -> dict[str, str]:
    """The distributions that Python files below ``folders`` import, each with one file that does.

    Imports inside functions and those for type checkers are included. Files below the folders
    ``without`` are left out.
    """
    distributions = _distributions()
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(path.is_relative_to(ROOT / other) for other in without):
                continue
            for module in _modules(path):
                if module in OWN or module in sys.stdlib_module_names:
                    continue
                name = pin_constraints.normalised(distributions[module][0])
                found.setdefault(PART_OF.get(name, name), path.relative_to(ROOT).as_posix())
    return found


_distributions = cache(metadata.packages_distributions)


@cache
def _modules(path: Path) -> tuple[str, ...]:
    """The modules that a file imports, in the order of the file."""
    return tuple(dict.fromkeys(_imports(ast.parse(path.read_text(encoding="utf-8")))))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]
