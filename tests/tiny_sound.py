"""A tiny machine in log-mel: cheap to make, cheap to train on, with faults to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.settings import AudioSettings, FeatureSettings, NetworkSettings

SPEC = LogMelSpec(n_mels=24, window_frames=16, window_hop_frames=8)
SECONDS = 6.0
SETTINGS = AudioSettings(
    training=NetworkSettings(
        epochs=2, most_windows_per_epoch=128, batch_size=16, channels=(4, 8), bottleneck=4
    ),
    features=FeatureSettings(n_mels=24, window_frames=16, window_hop_frames=8),
)


def simulated_frames(
    seed: int, *, seconds: float = SECONDS, fault_db: float = 0.0, regime: float = 0.0
) -> FloatArray:
    """Log-mel frames ``(n_frames, 24)``: a spectrum that sways a little from recording to
    recording, flutter, a ``fault_db`` louder band 7, and a ``regime`` that tilts it all."""
    rng = np.random.default_rng(seed)
    n_frames = round(seconds * SPEC.frame_rate_hz)
    bands = np.arange(SPEC.n_mels)
    spectrum = -40.0 - 0.5 * bands + 6.0 * np.sin(bands)
    sway = rng.normal(0.0, 0.4) * np.cos(bands / 4.0) + rng.normal(0.0, 0.3) * bands / 12.0
    frames = spectrum + sway + regime * (bands / 6.0 - 2.0) + rng.normal(0, 2.0, (n_frames, 24))
    frames[:, 7] += fault_db
    return frames.astype(np.float32)


def write_machine(
    folder: Path, n_recordings: int, *, first_seed: int = 0, regime: float = 0.0
) -> Path:
    """A folder of healthy ``.npy`` recordings."""
    folder.mkdir(parents=True)
    for index in range(n_recordings):
        np.save(folder / f"{index:02d}.npy", simulated_frames(first_seed + index, regime=regime))
    return folder
