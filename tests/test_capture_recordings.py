"""Real machines: their faults are no faults of the recording chain, and narrow copies are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from scipy import signal

from monitor.audio.bandwidth import missing_from
from monitor.audio.files import read_blocks
from monitor.audio.spectral_gaps import CODEC_SHARE, SpectralGaps
from monitor.detection.low_cut import LowCut
from monitor.domain import AudioBlock, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture
from tests.captures import capture_of
from tests.conftest import shared_data
from tests.sounds import levels

SPEC = LogMelSpec()
RATE_HZ = SPEC.sample_rate_hz
SCORED_BANDS = SPEC.bands_below(0.9 * RATE_HZ / 2)
MACHINES = {
    "desk_fan": ("on", ("blade_fault", "off", "tapping", "fan_guards")),
    "uav_propeller": ("normal", ("broken",)),
    "bldc_motor": ("healthy/m1", ("propeller/m1", "healthy/m2")),
    "compressor": ("rest/0327", ("off", "run")),
    "mimii_fan": ("normal", ("abnormal",)),
}

pytestmark = pytest.mark.data


def sounds(folder: Path, most: int, seconds: int = 10) -> list[FloatArray]:
    """The beginnings of some recordings, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    chosen = paths[:: max(1, len(paths) // most)][:most]
    found = []
    for path in chosen:
        samples = np.concatenate([block.samples for block in read_blocks(path)])
        found.append(samples[: seconds * RATE_HZ])
    return found


def cut_windows(capture: Capture, samples: FloatArray) -> tuple[int, int]:
    """In how many windows the low frequencies are missing, and the number of windows."""
    check, newest, found = LowCut(capture, SPEC), list(levels(samples)), 0
    for n in range(1, len(newest) + 1):
        check.add(newest[max(0, n - 4) : n])
        found += check.cut_hz is not None
    return found, len(newest)


@pytest.mark.parametrize("machine", MACHINES)
def test_faults_and_stops_are_no_chain_faults_and_narrow_copies_are(machine: str) -> None:
    """A broken machine raises no alert, or a resampled healthy one does."""
    folder = shared_data(machine)
    healthy_name, other_names = MACHINES[machine]
    healthy = sounds(folder / healthy_name, 6)
    low_db = np.quantile(np.concatenate([levels(one) for one in healthy]), 0.02, axis=0)
    others = [one for name in other_names for one in sounds(folder / name, 4)]
    for samples in (*healthy, *others):
        assert all(missing_from(one, low_db, SCORED_BANDS) is None for one in levels(samples))
        cells = SpectralGaps(RATE_HZ).push(AudioBlock(samples, RATE_HZ, 0))
        assert np.mean([share for _, share in cells]) < 0.5 * CODEC_SHARE
    for rate_hz in (8_000, 11_025):
        low = soxr.resample(healthy[0], RATE_HZ, rate_hz, "HQ")
        narrow = soxr.resample(low, rate_hz, RATE_HZ, "HQ").astype(np.float32)
        found = [missing_from(one, low_db, SCORED_BANDS) for one in levels(narrow)]
        assert None not in found


@pytest.mark.parametrize("machine", MACHINES)
def test_faults_and_stops_are_no_high_pass_and_filtered_sound_is(machine: str) -> None:
    """A broken machine raises no alert, or a low-cut switch does."""
    folder = shared_data(machine)
    healthy_name, other_names = MACHINES[machine]
    healthy = sounds(folder / healthy_name, 6)
    capture = capture_of(healthy)
    others = [one for name in other_names for one in sounds(folder / name, 4)]
    assert all(cut_windows(capture, one)[0] == 0 for one in (*healthy, *others))
    for cut_hz in (100, 200, 300, 500):
        for order in (2, 4):
            sos = signal.butter(order, cut_hz, "highpass", fs=RATE_HZ, output="sos")
            filtered = signal.sosfilt(sos, healthy[0]).astype(np.float32)
            n_found, n_windows = cut_windows(capture, filtered)
            assert n_found >= n_windows - 4  # an alert needs more sound
