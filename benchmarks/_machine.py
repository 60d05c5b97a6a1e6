"""Recordings of a simulated machine, and a bundle trained on them, for several benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from monitor.domain import AudioBlock
from monitor.sources.registry import open_source
from monitor.sources.settings import SimulatedSettings

RUNS = Path(__file__).resolve().parent.parent / "runs"
RATE_HZ = 16_000


def one_thread() -> None:
    """Start this program again with one thread for every numeric library."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **wanted})  # noqa: S606  # this very program


def machine_sound(seconds: float, seed: int = 0) -> npt.NDArray[np.float32]:
    """Healthy sound of the simulated machine. Shape: ``(seconds * 16000,)``."""
    settings = SimulatedSettings(
        kind="simulated", seed=seed, sample_rate_hz=RATE_HZ, realtime=False, duration_s=seconds
    )
    return sound_of(settings)


def sound_of(settings: SimulatedSettings) -> npt.NDArray[np.float32]:
    """All sound of a simulated machine with a duration. Shape: ``(n_samples,)``."""
    blocks = open_source(settings).blocks(threading.Event())
    return np.concatenate([block.samples for block in blocks if isinstance(block, AudioBlock)])


def recordings(folder: Path, n: int = 12, seconds: float = 20.0) -> Path:
    """``n`` healthy recordings as FLAC files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(n):
        path = folder / f"healthy_{seed:02d}.flac"
        if not path.exists():
            soundfile.write(path, machine_sound(seconds, seed=seed), RATE_HZ)
    return folder


def trained_bundle() -> Path:
    """A bundle of the simulated machine, with the default network."""
    bundle = RUNS / "benchmark.bundle"
    if not (bundle / "bundle.json").exists():
        healthy = recordings(RUNS / "benchmark_healthy")
        subprocess.run(
            [sys.executable, "-m", "monitor", "train", "audio", str(healthy), "--out", str(bundle)],
            check=True,
        )
    return bundle
