"""The simulated machine: physically right, reproducible, and without repetition."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine
from monitor.sources.simulated.motion import Motion
from tests.source_reader import SourceReader

RATE_HZ = 16_000
FAULTS = ["bearing", "imbalance", "looseness", "rub", "cavitation"]
MACHINES = ["pump", "fan", "gearbox"]
STOPPING = {"runs_s": 10.0, "rests_s": 10.0, "run_up_s": 2.0, "coast_down_s": 4.0}
USUAL_SAMPLES = [0.0039114710, -0.0093964906, 0.1216871962, 0.0020414675]
"""Four samples of the pump with every fault from 0.5 s on, which must never change."""


def simulated(**options: object) -> SimulatedSettings:
    return SimulatedSettings.model_validate(options)


def cells(machine: SimulatedMachine, first: int, end: int) -> FloatArray:
    return np.concatenate([machine.cell(index) for index in range(first, end)])


def sound(seconds: float, **options: object) -> FloatArray:
    machine = SimulatedMachine(simulated(**options))
    rate_hz = options.get("sample_rate_hz", RATE_HZ)
    assert isinstance(rate_hz, int)
    return cells(machine, 0, round(seconds * rate_hz / machine.cell_samples))


def spectrum(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Amplitudes of sines. Shape: ``(n,)`` to ``(n / 2 + 1,)``."""
    window = np.hanning(len(samples))
    return np.asarray(2.0 * np.abs(np.fft.rfft(samples * window)) / window.sum())


def line(amplitudes: npt.NDArray[np.float64], hz: float, seconds: float) -> float:
    """How far a line is above its surroundings."""
    at = round(hz * seconds)
    around = np.r_[amplitudes[at - 40 : at - 10], amplitudes[at + 10 : at + 40]]
    return float(amplitudes[at - 3 : at + 4].max() / np.median(around))


@settings(max_examples=20)
@given(order=st.permutations(range(12)), seed=st.integers(0, 2**63 - 1))
def test_any_cell_can_be_computed_at_any_time(order: list[int], seed: int) -> None:
    """A run could not be reproduced."""
    stops = {"runs_s": 0.6, "rests_s": 0.4, "run_up_s": 0.1, "coast_down_s": 0.2}
    faults = [{"kind": kind, "onset_s": 0.4} for kind in FAULTS]
    options = stops | {"seed": seed, "faults": faults}
    first = SimulatedMachine(simulated(**options))
    again = SimulatedMachine(simulated(**options))
    expected = [first.cell(index).copy() for index in range(12)]
    assert all(np.array_equal(again.cell(index), expected[index]) for index in order)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_level_is_the_configured_one(machine: str) -> None:
    """A simulated microphone would clip or be silent."""
    samples = sound(60, machine=machine, level_dbfs=-30.0)
    assert 20 * np.log10(samples.std()) == pytest.approx(-30.0, abs=0.7)
    assert abs(samples.mean()) < 1e-3
    assert np.abs(samples).max() < 0.5


def test_the_tones_are_multiples_of_the_shaft_frequency() -> None:
    """The simulation would lack the tones of vanes and gears."""
    seconds = 20.0
    amplitudes = spectrum(sound(seconds, machine="pump", speed_hz=24.0, load_variation=0.0))
    for order in (1, 2, 3, 7, 14, 31, 30, 32, 62):
        assert line(amplitudes, 24.0 * order, seconds) > 5.0, order
    for between in (0.5, 1.5, 8.5, 19.5):
        assert line(amplitudes, 24.0 * between, seconds) < 5.0, between


def test_the_machine_slips_under_load() -> None:
    """The tones would be constant, unlike those of a real machine."""
    motion = Motion(simulated(load_variation=0.2), np.random.default_rng(0))
    t_s = np.arange(0.0, 200.0, 0.01)
    load = motion.load(t_s)
    speed_hz = np.gradient(motion.revolutions(t_s), t_s)
    assert 0.8 <= load.min() < 0.9
    assert 1.1 < load.max() <= 1.2
    assert np.corrcoef(load, speed_hz)[0, 1] < -0.99
    assert speed_hz.mean() == pytest.approx(24.5, rel=2e-3)


def test_a_machine_of_three_speeds_runs_each_in_turn() -> None:
    """Machines with several speeds could not be tested."""
    motion = Motion(
        simulated(speeds_hz=(10, 20, 40), regime_s=10, load_variation=0), np.random.default_rng(0)
    )
    t_s = np.arange(0.0, 100.0, 0.01)
    speed_hz = np.gradient(motion.revolutions(t_s), t_s)
    assert speed_hz[[500, 1500, 2500, 3500, 9500]] == pytest.approx([10, 20, 40, 10, 10])
    assert np.diff(speed_hz).max() < 0.5
    assert np.diff(motion.revolutions(t_s)).min() > 0


def test_the_noise_never_repeats() -> None:
    """A network could learn noise that repeats, and score other noise as a fault."""
    samples = sound(60, load_variation=0.0).astype(np.float64)
    n_fft = 2 * len(samples)
    noise = samples - np.tile(
        samples[: len(samples) // 98 * 98].reshape(-1, 98).mean(axis=0), len(samples) // 98 + 1
    )[: len(samples)]  # fmt: skip
    whitened = np.fft.rfft(noise, n_fft)
    whitened /= np.abs(whitened) + 1e-9
    correlation = np.fft.irfft(whitened)[RATE_HZ : len(samples) - RATE_HZ]
    assert np.abs(correlation).max() < 0.02


def test_seeds_and_units_differ_and_settings_repeat() -> None:
    """Training and monitoring would have the same noise, or two machines the same sound."""
    usual = sound(2)
    assert np.array_equal(sound(2), usual)
    for options in ({"seed": 1}, {"unit": 1}, {"machine": "fan"}):
        assert abs(np.corrcoef(sound(2, **options), usual)[0, 1]) < 0.95
    tones = [spectrum(sound(10, seed=seed, load_variation=0.0, speed_hz=25)) for seed in (0, 1)]
    assert tones[0][250] == pytest.approx(tones[1][250], rel=0.1)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_present_from_its_onset_to_its_end_only(kind: str) -> None:
    """The simulated fault would not be present at the configured time."""
    healthy = sound(6)
    faulty = sound(6, faults=[{"kind": kind, "onset_s": 2.05, "end_s": 4.02, "ramp_s": 0.2}])
    added = np.abs(faulty - healthy)
    onset, end = round(2.05 * RATE_HZ), round(4.02 * RATE_HZ)
    assert added[:onset].max() == 0.0
    assert added[end + 1 :].max() == 0.0
    middle = added[round(2.4 * RATE_HZ) : round(3.7 * RATE_HZ)].reshape(-1, 1_600)
    assert (middle.max(axis=1) > 0.1 * healthy.std()).all()
    ramp = added[onset : onset + 160].max()
    assert ramp < middle.max()


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_comes_again(kind: str) -> None:
    """A demo of a day would need a list of hundreds of faults."""
    fault = {"kind": kind, "onset_s": 1.0, "end_s": 2.0, "ramp_s": 0.0}
    healthy = sound(8.0)
    differs = sound(8.0, faults=[fault | {"every_s": 3.0}]) != healthy
    seconds = differs[: 8 * RATE_HZ].reshape(16, -1).mean(axis=1)
    assert [number for number, share in enumerate(seconds) if share] == [2, 3, 8, 9, 14, 15]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_fault_grows_with_its_severity(kind: str, machine: str) -> None:
    """An early stage and a late stage of a fault would be equal."""
    healthy = sound(3, machine=machine)
    added = [
        (sound(3, machine=machine, faults=[{"kind": kind, "severity": severity}]) - healthy).std()
        for severity in (0.3, 1.0, 2.0)
    ]
    assert 0.2 * healthy.std() < added[1] < 3.0 * healthy.std()
    assert added[0] == pytest.approx(0.3 * added[1], rel=0.05)
    assert added[2] == pytest.approx(2.0 * added[1], rel=0.1)


def test_a_bearing_fault_has_the_ball_pass_frequency() -> None:
    """Envelope analysis, the standard method, would not find the simulated fault."""
    seconds = 20.0
    samples = sound(
        seconds, machine="fan", speed_hz=25.0, load_variation=0.0, faults=[{"kind": "bearing"}]
    )
    bins = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    bins[(hz < 2_500) | (hz > 4_500)] = 0
    envelope = np.abs(np.fft.irfft(bins))
    amplitudes = spectrum(envelope - envelope.mean())
    low, high = round(3.4 * 25 * seconds), round(3.8 * 25 * seconds)
    ball_pass_hz = (low + np.argmax(amplitudes[low:high])) / seconds
    assert ball_pass_hz == pytest.approx(3.585 * 25, rel=0.021)
    assert line(amplitudes, ball_pass_hz, seconds) > 10.0


def test_looseness_gives_half_orders_and_imbalance_one_turn() -> None:
    """The faults would not differ as they do in real machines."""
    seconds = 10.0
    options = {"speed_hz": 24.0, "load_variation": 0.0}
    healthy, loose, unbalanced = (
        spectrum(sound(seconds, faults=faults, **options))
        for faults in ([], [{"kind": "looseness"}], [{"kind": "imbalance"}])
    )
    half, one = round(12 * seconds), round(24 * seconds)
    assert loose[half] > 10 * healthy[half]
    assert unbalanced[one] > 3 * healthy[one]
    assert unbalanced[half] < 2 * healthy[half]


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 44_100, 96_000])
def test_any_rate_has_the_same_machine(rate_hz: int) -> None:
    """Tones above half the sample rate would appear as aliases."""
    faults = [{"kind": kind} for kind in FAULTS]
    samples = sound(2, sample_rate_hz=rate_hz, speed_hz=24.0, load_variation=0.0)
    amplitudes = spectrum(samples)
    assert np.isfinite(sound(1, sample_rate_hz=rate_hz, faults=faults)).all()
    assert line(amplitudes, 24.0 * 7, len(samples) / rate_hz) > 4.0


def test_a_thousand_turns_a_second_are_a_machine_too() -> None:
    """Very high speeds would be an error or would give aliases."""
    samples = sound(2, speed_hz=1_000, faults=[{"kind": kind} for kind in FAULTS])
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


def test_a_duration_is_kept_to_the_sample() -> None:
    """Recordings of the simulation would be longer than configured."""
    with SourceReader(simulated(realtime=False, duration_s=1.23456)) as reader:
        reader.wait_for_end()
    assert reader.n_samples() == round(1.23456 * RATE_HZ)
    whole = sound(3)
    assert np.array_equal(reader.samples(), whole[: reader.n_samples()])


def test_a_hundred_machines_fit_into_half_a_core() -> None:
    """The load test would measure the simulation instead of the daemon."""
    machine = SimulatedMachine(simulated(faults=[{"kind": "bearing", "onset_s": 1e6}]))
    cells(machine, 0, 10)
    best_s = float("inf")
    for attempt in range(5):
        begun_s = time.process_time()
        cells(machine, 100 * attempt, 100 * attempt + 100)
        best_s = min(best_s, time.process_time() - begun_s)
    assert 10.0 / best_s > 200.0


def test_the_settings_of_a_fault_are_checked() -> None:
    """A fault that ends before it begins would be accepted and never occur."""
    with pytest.raises(ValueError, match="end_s must be greater than onset_s"):
        SimulatedFault(kind="rub", onset_s=2.0, end_s=1.0)


@pytest.mark.parametrize(
    ("values", "text"),
    [({"every_s": 9.0}, "needs end_s"), ({"end_s": 5.0, "every_s": 5.5}, "must be greater than")],
)
def test_a_fault_that_would_not_end_before_it_comes_again_is_refused(
    values: dict[str, float], text: str
) -> None:
    """The second fault would be hidden by the first one."""
    with pytest.raises(ValueError, match=text):
        SimulatedFault.model_validate({"kind": "rub", **values})


def test_a_machine_that_stops_runs_in_every_cycle_as_long_as_configured() -> None:
    """Starts and stops would not be at the configured times."""
    motion = Motion(simulated(**STOPPING, load_variation=0), np.random.default_rng(0))
    t_s = np.arange(0.0, 60.0, 0.01)
    drive = motion.drive(t_s)
    assert drive[[0, 999, 1200, 1401, 1999, 2100, 2200, 2999]] == pytest.approx(
        [1, 1, 0.5, 0, 0, 0.5, 1, 1], abs=0.01
    )
    speed_hz = np.gradient(motion.revolutions(t_s), t_s)
    assert speed_hz == pytest.approx(24.5 * drive, abs=0.2)
    assert np.diff(motion.revolutions(t_s)).min() >= 0


@pytest.mark.parametrize("kind", FAULTS)
def test_while_a_machine_is_off_only_the_room_is_there(kind: str) -> None:
    """A machine that is off would still sound, or its fault would."""
    options = STOPPING | {"room_dbfs": -60.0}
    running = sound(30, **options, faults=[{"kind": kind}])
    off = running[15 * RATE_HZ : 19 * RATE_HZ]
    assert 20 * np.log10(off.std()) == pytest.approx(-60.0, abs=0.7)
    healthy = sound(30, **options)
    assert np.array_equal(healthy[15 * RATE_HZ : 19 * RATE_HZ], off)
    added = (running - healthy)[22 * RATE_HZ : 30 * RATE_HZ]
    assert added.std() > 0.2 * healthy[: 10 * RATE_HZ].std()


def test_the_level_falls_with_the_speed() -> None:
    """A machine that stops would be as loud as before until it stands still."""
    samples = sound(14, **STOPPING)[10 * RATE_HZ :]
    level_db = 10 * np.log10(np.square(samples.reshape(4, -1)).mean(axis=1))
    assert (np.diff(level_db) < -3.0).all()
    assert level_db[0] > -32.0


def test_a_machine_that_never_rests_has_the_sound_of_one_without_these_settings() -> None:
    """The same settings would give another sound than in the version before."""
    faults = [{"kind": kind, "onset_s": 0.5} for kind in FAULTS]
    usual = sound(2, faults=faults)
    running = sound(2, faults=faults, runs_s=3600.0)
    assert 0.0 < np.abs(running - usual).max() < 5e-3
    assert usual[[0, 1000, 20_000, 30_000]] == pytest.approx(USUAL_SAMPLES, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"runs_s": 2.0}, {"runs_s": 10.0, "rests_s": 3.0}], ids=["run-up", "coast-down"]
)
def test_a_run_shorter_than_its_ramps_is_refused(options: dict[str, float]) -> None:
    """A machine would never reach its speed or never stand still."""
    with pytest.raises(ValueError, match="must be greater than"):
        simulated(**options)
