"""A tiny machine that runs and stops, its sound, and a bundle with its states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from monitor.domain import FloatArray
from monitor.features.log_mel_frames import log_mel_frames
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from tests.bundles import SPEC, machine_sound, make_bundle
from training.sound.operation import learn_operation, running_sound
from training.sound.recordings import Recording

RATE_HZ = SPEC.sample_rate_hz
FAULT = 0.1


def room_sound(seconds: float, *, seed: int = 0) -> FloatArray:
    """The machine is off: quiet noise whose spectrum falls."""
    noise = np.random.default_rng(seed).normal(0, 0.0003, int(seconds * RATE_HZ))
    return np.asarray(lfilter([1.0], [1.0, -0.95], noise), dtype=np.float32)


def stream(*parts: FloatArray) -> FloatArray:
    """Sounds one after another."""
    return np.concatenate(parts)


def running(seconds: float, seed: int = 1) -> FloatArray:
    """The healthy machine."""
    return machine_sound(seconds, seed=seed)


def faulty(seconds: float, seed: int = 2) -> FloatArray:
    """The machine with a fault."""
    return machine_sound(seconds, seed=seed, fault=FAULT)


OFF_OR_NOT = ["off never recorded", "off recorded"]
"""What the healthy sound of a bundle may contain."""


def bundle_of(path: Path, recorded: str) -> Bundle:
    """A bundle from sound of the running machine, and of off; one of ``OFF_OR_NOT``."""
    healthy = [running(15, seed) for seed in range(8)]
    if recorded == "off recorded":
        healthy += [room_sound(15, seed=seed) for seed in range(4)]
    return bundle_with_operation(path, healthy)


def bundle_with_operation(path: Path, healthy: Sequence[FloatArray] | None = None) -> Bundle:
    """A bundle whose states were learned from ``healthy``; off only if it is in there."""
    healthy = healthy or [machine_sound(15.0, seed=seed) for seed in range(8)]
    recordings = [
        Recording(str(number), log_mel_frames(samples, SPEC))
        for number, samples in enumerate(healthy)
    ]
    operation = learn_operation(recordings, SPEC, SPEC.n_mels)
    assert operation is not None
    always = [
        sound
        for sound, one in zip(healthy, recordings, strict=True)
        if running_sound([one], SPEC, operation, 8) == [one]
    ]
    bundle = make_bundle(path, always or None)
    write_manifest(path, bundle.manifest.model_copy(update={"operation": operation}))
    return load_bundle(path)
