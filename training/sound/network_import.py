"""The function that ``--network`` names: where it is, and the module that it makes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from torch import nn

from monitor.errors import UsageError
from monitor.text.escaping import one_line

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

ORIGIN_KEYS = ("source", "file", "file_sha256", "distribution")
"""In the manifest of a bundle."""


@dataclass(frozen=True, slots=True)
class NetworkOrigin:
    """Where a network comes from, for the manifest of the bundle.

    ``name``: as given with ``--network``. ``file``: the name of the source file, with its
    ``sha256``; empty where there is none. ``distribution``: the installed package and its version,
    empty for a file of the current directory.
    """

    name: str
    file: str = ""
    sha256: str = ""
    distribution: str = ""

    def to_dict(self) -> dict[str, str]:
        """What is known, as JSON-ready values."""
        values = (self.name, self.file, self.sha256, self.distribution)
        return {key: value for key, value in zip(ORIGIN_KEYS, values, strict=True) if value}


@dataclass(frozen=True, slots=True)
class ImportedNetwork:
    """A function from the number of bands and frames to a module, and its origin."""

    origin: NetworkOrigin
    function: Callable[[int, int], Any] = field(repr=False)

    def make(self, n_bands: int, n_frames: int) -> nn.Module:
        """A new module for windows of this size. Raises ``UsageError`` where there is none."""
        name = self.origin.name
        try:
            module = self.function(n_bands, n_frames)
        except Exception as error:
            raise UsageError(
                f"--network {name}: called with ({n_bands}, {n_frames}), it raised "
                f"{in_one_line(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"--network {name}: returns {type(module).__name__}; it must return a torch module "
                "for the given number of bands and frames"
            )
        return module


def import_network(name: str) -> ImportedNetwork:
    """The function ``module:function`` of the current directory or of an installed package.

    It may be anything that can be called. Raises ``UsageError`` with what is missing.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--network {one_line(name)}: write it as module:function, for example "
            "my_networks:dense"
        )
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # the installed command does not look for modules there
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"--network {name}: {module_name} imports {error.name}, which is not installed"
            ) from error
        raise UsageError(
            f"--network {name}: there is no module {module_name}, neither in {one_line(here)} nor "
            "among the installed packages"
        ) from error
    except Exception as error:
        raise UsageError(f"--network {name}: its import raised {in_one_line(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"--network {name}: {module_name} has no function {function_name}")
    return ImportedNetwork(_origin(name, module_name, function), function)


def in_one_line(error: Exception) -> str:
    """An exception of code from outside: kind, text, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""  # noqa: PTH119  # may be <string>
    text = (str(error).splitlines() or [""])[0][:200]
    return one_line(f"{type(error).__name__}: {text}{at}")


def _origin(name: str, module_name: str, function: object) -> NetworkOrigin:
    source = None
    with contextlib.suppress(TypeError):  # compiled code, or an object that can be called
        source = inspect.getsourcefile(function)  # type: ignore[arg-type]  # raises TypeError
    path = Path(source) if source else None
    content = path.read_bytes() if path is not None and path.is_file() else b""
    found = packages_distributions().get(module_name.split(".", maxsplit=1)[0], [])
    return NetworkOrigin(
        name,
        file=path.name if path is not None and content else "",
        sha256=hashlib.sha256(content).hexdigest() if content else "",
        distribution=f"{found[0]} {version(found[0])}" if found else "",
    )
