"""How training sound was captured, for tests, and bundles that state it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.domain import CaptureChain, FloatArray
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.capture import Capture
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.sounds import levels

RATE_HZ = SPEC.sample_rate_hz
SCORED_BANDS = SPEC.bands_below(0.9 * RATE_HZ / 2)


def capture_of(recordings: list[FloatArray], **changes: object) -> Capture:
    """The capture of training recordings."""
    received = np.concatenate([levels(samples) for samples in recordings])
    return Capture.model_validate(
        {
            "scored_bands": SCORED_BANDS,
            "reach_hz": float(SPEC.band_corners_hz[SCORED_BANDS + 1]),
            "low_db": tuple(map(float, np.quantile(received, 0.02, axis=0))),
            "high_db": tuple(map(float, np.quantile(received, 0.98, axis=0))),
            "chains": (CaptureChain("file", RATE_HZ, 1, "FLAC PCM_16"),),
            **changes,
        }
    )


def healthy_capture() -> Capture:
    """The capture of the recordings of ``make_bundle``."""
    return capture_of([machine_sound(15.0, seed=seed) for seed in range(8)])


def bundle_with_capture(path: Path, capture: Capture) -> Bundle:
    """The bundle of ``make_bundle`` that states how its training sound was captured."""
    made = make_bundle(path)
    write_manifest(path, made.manifest.model_copy(update={"capture": capture}))
    return load_bundle(path)
