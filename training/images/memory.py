"""Whether images fit into memory, before they are read or trained on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from monitor.errors import BadInputError

READ_BYTES = 5
"""For each element of images that are read: as a byte, and as a number of single precision."""
TRAINED_BYTES = 14
"""The least for each element of images that are trained on: also a copy for the training, and one
in double precision for PCA."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def check_memory(name: object, n_images: int, n_elements: int, bytes_each: int) -> None:
    """Raise ``BadInputError`` if images do not fit into the memory that is available.

    ``name``: of their file or folder. ``n_elements``: of one image. ``bytes_each``: how much each
    element needs. Nothing is refused where the system does not say how much is available.
    """
    needed, available = n_images * n_elements * bytes_each, available_bytes()
    if available is not None and needed > available:
        raise BadInputError(
            f"{name}: {n_images} images of {n_elements} values need {_gb(needed)} of memory, "
            f"{_gb(available)} are available: use fewer or smaller images"
        )


def available_bytes() -> int | None:
    """How much memory this process can use at most, with swap; None if it is not known."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError):
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        names = ("MemAvailable", "SwapFree")
        yield sum(int(fields[name].split()[0]) for name in names if name in fields) * 1024
    with suppress(OSError, ValueError):  # "max" is no limit
        yield int(_CGROUP_LIMIT.read_text())
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        if (soft := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY:
            yield soft


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
