"""The log-mel of recordings on the disk, so that machines of one type read each of them once."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from monitor.domain import CaptureChain
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recording_chain import RecordedBy
from training.sound.recordings import Recording, read_recording

_FORMAT = 3
"""Of what is kept: entries of other formats are not read."""


class FrameCache:
    """Reads a recording from the cache in ``folder``, or else from its file, and keeps it there.

    Several processes may use one folder: a file gets its name when it is complete.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: Path, spec: LogMelSpec) -> Recording:
        """As ``read_recording``, with the same result and the same errors."""
        status = path.stat() if path.exists() else None
        if status is None:
            return read_recording(path, spec)
        origin = [str(path), status.st_size, status.st_mtime_ns]
        key = json.dumps([_FORMAT, *origin, spec.features_sha256])
        place = self._folder / hashlib.sha256(key.encode()).hexdigest()
        description = place.with_suffix(".json")
        if description.exists():
            return _loaded(path, place, json.loads(description.read_text(encoding="utf-8")))
        recording = read_recording(path, spec)
        self._keep(place, recording)
        return recording

    def _keep(self, place: Path, recording: Recording) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(f".part-{os.getpid()}")
        with partial.open("wb") as file:
            np.save(file, recording.frames_db, allow_pickle=False)
        partial.replace(place.with_suffix(".npy"))
        by = recording.recorded_by
        partial.write_text(
            json.dumps({"first_sample": recording.first_sample, "recorded_by": by and asdict(by)}),
            encoding="utf-8",
        )
        partial.replace(place.with_suffix(".json"))


def _loaded(path: Path, place: Path, stored: dict[str, object]) -> Recording:
    frames_db = np.load(place.with_suffix(".npy"), allow_pickle=False)
    by = stored["recorded_by"]
    recorded_by = None
    if isinstance(by, dict):
        recorded_by = RecordedBy(**{**by, "chain": CaptureChain(**by["chain"])})
    first_sample = stored["first_sample"]
    assert isinstance(first_sample, int)  # noqa: S101 - as _keep wrote it
    return Recording(str(path), frames_db, first_sample=first_sample, recorded_by=recorded_by)
