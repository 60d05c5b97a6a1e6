"""Healthy sound of a machine in a folder of evidence, as a daemon keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import soundfile

from monitor.domain import FloatArray
from monitor.evidence.names import HEALTHY, healthy_stem

AT = "2026-11-23T10:15:30.250Z"


def keep_healthy(
    folder: Path, machine: str, sounds: Sequence[FloatArray], rate_hz: int, state: str = "running"
) -> None:
    """Write the pieces that stay. ``folder``: of the evidence."""
    base = folder / HEALTHY / machine
    base.mkdir(parents=True, exist_ok=True)
    for number, samples in enumerate(sounds, start=1):
        stem = healthy_stem(state, number)
        soundfile.write(base / f"{stem}.flac", samples, rate_hz)
        about = {"machine": machine, "moment": HEALTHY, "at": AT, "starts_at": AT}
        metadata = {**about, "operation": state, "bundle_sha256": "", "kept_run_s": 1.0}
        (base / f"{stem}.json").write_text(json.dumps(metadata))
