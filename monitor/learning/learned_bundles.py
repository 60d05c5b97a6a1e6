"""Keeps the bundles that were learned, each in a folder with the date (UTC) in its name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from monitor.learning.state import LearningState
from monitor.model.replacement import complete_folder, copy_files


def store_bundle(state: LearningState, source: Path) -> str:
    """Copy a bundle to those of the machine; its name. Call it with the lock of ``state``.

    Raises ``OSError`` and ``MissingInputError`` where it cannot be written.
    """
    name = _new_name(state)
    with complete_folder(state.folder / "bundles" / name) as folder:
        copy_files(source, folder)
    return name


def _new_name(state: LearningState) -> str:
    date = f"{datetime.fromtimestamp(state.clock.unix_s(), UTC):%Y-%m-%dZ}"
    folder = state.folder / "bundles"
    folder.mkdir(exist_ok=True)
    taken = {path.name for path in folder.iterdir()}
    return next(name for n in range(1, len(taken) + 2) if (name := f"{date}-{n}") not in taken)
