"""Which files have healthy sound of a machine. Loads nothing that a diagnosis needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.audio.recordings import AUDIO_SUFFIXES
from monitor.model.bundle import Bundle

FEW = 3
"""With fewer pieces of healthy sound, its variation is unknown."""


def recordings_of(bundle: Bundle) -> list[Path]:
    """The recordings that a bundle was trained on, as far as they are still there."""
    trained_on = bundle.manifest.provenance.get("recordings")
    names = [
        str(one["name"])
        for one in (trained_on if isinstance(trained_on, list) else [])
        if isinstance(one, dict) and "name" in one
    ]
    return [path for name in names if (path := _found(name, bundle.path)) is not None]


def some_of(files: Sequence[Path], most: int) -> list[Path]:
    """At most ``most`` of the files, evenly."""
    if len(files) <= most:
        return list(files)
    chosen = np.linspace(0, len(files) - 1, most).round().astype(int)
    return [files[number] for number in chosen]


def _found(name: str, bundle: Path) -> Path | None:
    """A recording by the name in a bundle: as it was named, or beside the bundle."""
    for folder in (Path(), bundle.parent):
        path = folder / name
        if path.suffix.lower() in AUDIO_SUFFIXES and _is_file(path):
            return path
    return None


def _is_file(path: Path) -> bool:
    """Also if its folder may not be read, as that of another user."""
    try:
        return path.is_file()
    except OSError:
        return False
