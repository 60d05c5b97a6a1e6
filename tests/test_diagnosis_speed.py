"""A machine whose speed varies, or that runs at another speed or stops, is diagnosed the same."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from monitor.diagnosis.ceilings import Ceiling
from monitor.diagnosis.diagnose import Diagnosis, compared
from monitor.diagnosis.healthy_sound import HealthySound
from monitor.diagnosis.relative_speed import relative_speed
from monitor.diagnosis.segments import SegmentPlan
from monitor.diagnosis.settings import ShaftSettings
from monitor.diagnosis.sound import Spectra, segments_of
from monitor.diagnosis.speed_track import SpeedTrack, speed_track
from monitor.diagnosis.steadied import steadied
from monitor.domain import DoubleArray, FloatArray

RATE_HZ, SECONDS, SHAFT_HZ = 8_000, 16.0, 24.3
TIME_S = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
ORDERS = (1.0, 2.0, 3.0, 7.0, 14.0, 31.0)
PLAN = SegmentPlan.for_sound(SECONDS, RATE_HZ)
KNOWN = {"speed_hz": [23.0, 26.0], "bearings": ["6205"], "blades": 7, "teeth": 31}
HALVES = (0.5, 1.5, 2.5, 3.5)
MAINS_HZ = (50.0, 100.0, 200.0, 300.0)


def revolutions(variation: float, shaft_hz: float = SHAFT_HZ) -> DoubleArray:
    """Of a shaft whose speed is between ``1 - variation`` and ``1 + variation`` times its mean."""
    slow = 2.0 * np.pi / 11.0
    excess = variation / slow * (1.0 - np.cos(slow * TIME_S))
    turned: DoubleArray = shaft_hz * (TIME_S + excess)
    return turned


def machine(
    seed: int,
    turned: DoubleArray,
    *,
    more: tuple[float, ...] = (),
    hum: bool = False,
    louder: dict[float, float] | None = None,
) -> FloatArray:
    """Noise, and tones at multiples of the revolutions."""
    random = np.random.default_rng(seed)
    sound = random.normal(0.0, 1.0, len(turned))
    for order in (*ORDERS, *more):
        level = 0.3 * (louder or {}).get(order, 1.0)
        sound += level * np.sin(2.0 * np.pi * (order * turned + random.uniform()))
    for hz in MAINS_HZ if hum else ():
        sound += 0.2 * np.sin(2.0 * np.pi * (hz * TIME_S + random.uniform()))
    return (0.02 * sound).astype(np.float32)


def struck(
    turned: DoubleArray, order: float, seed: int, swells_at: float | None = None
) -> FloatArray:
    """Rings of a resonance ``order`` times a revolution, louder ``swells_at`` times in one."""
    random = np.random.default_rng(seed)
    count = int(turned[-1] * order)
    at = (np.arange(count) + random.normal(0.0, 0.02, count)) / order
    times_s = np.interp(at, turned, TIME_S)
    strength = random.uniform(0.7, 1.3, len(at))
    if swells_at is not None:
        strength *= np.maximum(0.0, np.cos(2.0 * np.pi * swells_at * at))
    train = np.zeros(len(turned))
    np.add.at(train, (times_s * RATE_HZ).astype(int), strength)
    ring_s = np.arange(80) / RATE_HZ
    ring = np.exp(-700.0 * ring_s) * np.sin(2.0 * np.pi * 2_600.0 * ring_s)
    rung: DoubleArray = scipy.signal.fftconvolve(train, ring)[: len(turned)]
    return (0.2 * rung).astype(np.float32)


def spectra_of(samples: FloatArray) -> Spectra:
    segments = segments_of(samples, PLAN)
    assert segments is not None
    return segments.averaged()


def reference_of(sounds: list[FloatArray]) -> HealthySound:
    reference = HealthySound.of(sounds, PLAN, SECONDS)
    assert reference is not None
    return reference


@pytest.fixture(scope="module")
def healthy() -> HealthySound:
    """At a steady speed, with hum."""
    return reference_of([machine(100 + n, revolutions(0.0), hum=True) for n in range(4)])


@pytest.fixture(scope="module")
def healthy_without_hum() -> HealthySound:
    return reference_of([machine(600 + n, revolutions(0.0)) for n in range(4)])


def diagnosis(sound: FloatArray, reference: HealthySound, **shaft: object) -> Diagnosis:
    return compared(sound, PLAN, reference, ShaftSettings.model_validate({**KNOWN, **shaft}))


def causes(result: Diagnosis) -> list[str]:
    return [fit.cause for one in result.findings for fit in one.fits]


@pytest.mark.parametrize("variation", [0.003, 0.01, 0.03])
def test_how_the_speed_varies_is_found(variation: float) -> None:
    """Lines that move would be compared with lines that do not."""
    turned = revolutions(variation)
    track = speed_track(machine(1, turned, hum=True), RATE_HZ)
    assert track is not None
    true = np.interp(track.times_s, TIME_S, np.gradient(turned, TIME_S))
    difference = track.relative / true
    assert np.std(difference) < 0.001
    assert difference[4:-4] == pytest.approx(difference.mean(), abs=0.002)


@pytest.mark.parametrize("seed", range(2))
def test_a_steady_speed_and_noise_have_no_track(seed: int) -> None:
    """Sound would be distorted by a speed that is chance."""
    assert speed_track(machine(seed, revolutions(0.0), hum=True), RATE_HZ) is None
    noise = np.random.default_rng(seed).normal(0.0, 0.1, len(TIME_S)).astype(np.float32)
    assert speed_track(noise, RATE_HZ) is None
    assert speed_track(noise + struck(revolutions(0.0), 0.4, seed), RATE_HZ) is None


def test_a_tone_that_glides_is_steady_after_resampling() -> None:
    """Lines would have lines beside them, or another frequency."""
    track = SpeedTrack(np.array([0.0, SECONDS]), np.array([0.98, 1.02]))
    for hz in (130.0, 1_100.0, 3_400.0):
        phase = 2.0 * np.pi * hz * (0.98 * TIME_S + 0.04 / SECONDS * TIME_S**2 / 2.0)
        steady = steadied(np.sin(phase).astype(np.float32), RATE_HZ, track)
        expected = np.sin(2.0 * np.pi * hz * TIME_S)
        inside = slice(2_000, -2_000)
        assert np.corrcoef(steady[inside], expected[inside])[0, 1] > 0.999


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.13])
def test_the_speed_relative_to_another_recording_is_found(ratio: float) -> None:
    """Orders would be compared with other orders."""
    other = spectra_of(machine(2, revolutions(0.0), hum=True))
    sound = spectra_of(machine(3, revolutions(0.0, ratio * SHAFT_HZ), hum=True))
    assert relative_speed(sound, other) == pytest.approx(ratio, rel=0.001)
    noise = np.random.default_rng(4).normal(0.0, 0.1, len(TIME_S)).astype(np.float32)
    assert relative_speed(spectra_of(noise), other) is None


def test_a_ceiling_has_what_is_at_the_same_frequency_and_at_the_same_order() -> None:
    """The hum of healthy sound, or its orders, would be new at another speed."""
    spectra = np.zeros((3, 400), dtype=np.float32)
    speeds = np.array([1.0, 1.1, 0.9])
    for number, speed in enumerate(speeds):
        spectra[number, round(100 * speed)] = 1.0 + number
        spectra[number, 300] = 5.0
    ceiling = Ceiling(list(spectra), speeds)
    for speed in (0.95, 1.0, 1.05):
        everything = ceiling.without(None, speed)
        assert everything[round(100 * speed)] == pytest.approx(3.0)
        assert everything[300] == pytest.approx(5.0)
        assert ceiling.without(2, speed)[round(100 * speed)] == pytest.approx(2.0)


@pytest.mark.parametrize("variation", [0.002, 0.03])
def test_nothing_is_found_if_only_the_speed_varies(healthy: HealthySound, variation: float) -> None:
    """Tones of every motor whose load changes would be missing."""
    result = diagnosis(machine(5, revolutions(variation), hum=True), healthy)
    assert not result.findings
    assert result.speed is not None
    assert result.speed.hz == pytest.approx(revolutions(variation)[-1] / SECONDS, rel=0.002)


def test_a_line_that_moves_is_not_missing_without_a_track() -> None:
    """The only tone of a machine gives no track: two halves of the lines cannot agree."""

    def whistle(seed: int, variation: float) -> FloatArray:
        noise = np.random.default_rng(seed).normal(0.0, 1.0, len(TIME_S))
        turned = 7.0 * revolutions(variation)
        return (0.02 * (noise + 0.6 * np.sin(2.0 * np.pi * turned))).astype(np.float32)

    reference = reference_of([whistle(200 + n, 0.0) for n in range(3)])
    for variation in (0.01, 0.03):
        found = diagnosis(whistle(210, variation), reference).findings
        assert "missing" not in {one.kind for one in found}
    gone = np.random.default_rng(9).normal(0.0, 0.02, len(TIME_S)).astype(np.float32)
    assert {one.kind for one in diagnosis(gone, reference).findings} <= {"missing"}


@pytest.mark.parametrize("ratio", [0.9, 1.015, 1.08])
def test_nothing_is_found_in_healthy_sound_at_another_speed(
    healthy: HealthySound, ratio: float
) -> None:
    """All tones would be new there, and others missing."""
    sound = machine(6, revolutions(0.0, ratio * SHAFT_HZ), hum=True)
    result = diagnosis(sound, healthy, speed_hz=[20.0, 28.0])
    assert not result.findings
    assert result.speed is not None
    assert result.speed.hz == pytest.approx(ratio * SHAFT_HZ, rel=0.001)
    is_noted = any("times the speed of healthy sound" in note for note in result.notes)
    assert is_noted == (abs(ratio - 1.0) > 0.03)


def test_healthy_sound_of_different_speeds_is_one_reference() -> None:
    """Limits would be so high that nothing is found."""
    speeds = (23.9, 24.1, 24.6, 24.8)
    reference = reference_of([machine(300 + n, revolutions(0.0, hz), hum=True) for n, hz in
                              enumerate(speeds)])  # fmt: skip
    assert not diagnosis(machine(7, revolutions(0.0, 24.25), hum=True), reference).findings
    faulty = machine(8, revolutions(0.0, 24.25), hum=True, more=HALVES)
    assert causes(diagnosis(faulty, reference)) == ["looseness"]


@pytest.mark.parametrize(
    ("order", "swells_at", "part"),
    [
        (3.5848, None, "outer race of 6205"),
        (5.4152, 1.0, "inner race of 6205"),
        (4.7135, 0.39828, "ball of 6205"),
    ],
)
@pytest.mark.parametrize("variation", [0.0, 0.01])
def test_parts_of_a_bearing_are_named_at_a_speed_that_varies(
    healthy: HealthySound, order: float, swells_at: float | None, part: str, variation: float
) -> None:
    """A damaged inner race would be a rub, and a ball the cage."""
    turned = revolutions(variation)
    sound = machine(9, turned, hum=True) + struck(turned, order, 10, swells_at)
    result = diagnosis(sound, healthy)
    assert causes(result) == [part]
    assert result.findings[0].order == pytest.approx(order, rel=0.005)


def test_what_cannot_be_distinguished_at_an_unknown_speed_is_all_named() -> None:
    """A damaged inner race would be a rub if its own rate is too wide to be seen."""
    noise = [np.random.default_rng(400 + n).normal(0.0, 0.02, len(TIME_S)) for n in range(4)]
    reference = reference_of([one.astype(np.float32) for one in noise[:3]])
    turned = revolutions(0.03)
    impacts = struck(turned, 5.4152, 11, swells_at=1.0) + struck(revolutions(0.0), 1.0, 12)
    result = diagnosis(noise[3].astype(np.float32) + impacts, reference, speed_hz=[24.0, 24.6])
    assert {"rub or contact once a revolution", "inner race of 6205"} <= set(causes(result))


@pytest.mark.parametrize("variation", [0.0, 0.01])
def test_looseness_and_misalignment_are_named(healthy: HealthySound, variation: float) -> None:
    """Both would be an imbalance, or have no cause."""
    turned = revolutions(variation)
    loose = diagnosis(machine(13, turned, hum=True, more=(*HALVES, 1.0, 2.0)), healthy)
    assert causes(loose) == ["looseness"]
    for louder in ({2.0: 5.0}, {1.0: 2.0, 2.0: 6.0, 3.0: 2.0}):
        off = diagnosis(machine(14, turned, hum=True, louder=louder), healthy)
        assert causes(off) == ["misalignment"]


def test_two_blades_and_a_motor_at_the_mains_are_not_misaligned(healthy: HealthySound) -> None:
    """Both have a tone at twice the speed that is not that of the coupling."""
    blades = machine(15, revolutions(0.0), hum=True, louder={2.0: 5.0})
    assert "misalignment" not in causes(diagnosis(blades, healthy, blades=2))
    shaft_hz = 49.8
    motors = [machine(500 + n, revolutions(0.0, shaft_hz)) for n in range(3)]
    louder = machine(16, revolutions(0.0, shaft_hz), louder={2.0: 5.0})
    found = diagnosis(louder, reference_of(motors), speed_hz=[49.0, 50.0])
    assert "misalignment" not in causes(found)


def test_half_the_speed_is_not_looseness(healthy: HealthySound) -> None:
    """Every machine that runs slowly would be loose."""
    slow = machine(17, revolutions(0.0, 12.0), hum=True)
    assert "looseness" not in causes(diagnosis(slow, healthy))


@pytest.mark.parametrize("variation", [0.0, 0.01])
def test_hum_is_not_the_speed_of_the_shaft(
    healthy_without_hum: HealthySound, variation: float
) -> None:
    """The rate of every part would be computed from 25 revolutions per second."""
    turned = revolutions(variation)
    result = diagnosis(machine(18, turned, hum=True), healthy_without_hum)
    assert [one.kind for one in result.findings] == ["hum"]
    assert result.findings[0].rate_hz == pytest.approx(50.0, rel=0.001)
    assert result.speed is not None
    assert result.speed.hz == pytest.approx(turned[-1] / SECONDS, rel=0.002)


@pytest.mark.parametrize("beside", [(1, 2), (2, 3)])
def test_sidebands_have_their_smallest_distance(
    healthy: HealthySound, beside: tuple[int, ...]
) -> None:
    """A gear wheel would be damaged at two or three places."""
    orders = tuple(31.0 + side * number for number in beside for side in (-1, 1))
    sound = machine(19, revolutions(0.0), hum=True, more=orders)
    first = diagnosis(sound, healthy).findings[0]
    assert first.kind == "sidebands"
    assert first.rate_hz == pytest.approx(SHAFT_HZ, rel=0.005)


@pytest.mark.parametrize("off_s", [(0.0, 6.0), (10.0, SECONDS)])
def test_a_machine_that_starts_or_stops_is_compared_while_it_runs(
    healthy: HealthySound, off_s: tuple[float, float]
) -> None:
    """All its tones would be missing."""
    sound = machine(20, revolutions(0.0), hum=True)
    silence = slice(*(round(one * RATE_HZ) for one in off_s))
    background = np.random.default_rng(21).normal(0.0, 0.002, len(sound)).astype(np.float32)
    sound[silence] = background[silence]
    result = diagnosis(sound, healthy)
    assert not result.findings
    assert any("the machine is off" in note for note in result.notes)


def test_a_gain_that_changes_is_not_a_stop(healthy: HealthySound) -> None:
    """Half of the sound would not be compared."""
    sound = machine(22, revolutions(0.0), hum=True)
    sound[: len(sound) // 2] *= np.float32(0.3)
    result = diagnosis(sound, healthy)
    assert (result.findings, result.notes) == ((), ())


def test_in_a_wide_range_a_fault_is_not_the_speed(healthy: HealthySound) -> None:
    """The rate of a bearing would be a speed, and its impacts once a revolution."""
    turned = revolutions(0.0)
    sound = machine(23, turned, hum=True) + struck(turned, 3.5848, 24)
    result = diagnosis(sound, healthy, speed_hz=[0.1, 2_000.0])
    assert result.speed is not None
    assert result.speed.hz == pytest.approx(SHAFT_HZ, rel=0.002)
    assert causes(result) == ["outer race of 6205"]


def test_a_part_is_named_once(healthy: HealthySound) -> None:
    """A machine with four equal bearings would have four equal causes."""
    turned = revolutions(0.0)
    sound = machine(25, turned, hum=True) + struck(turned, 3.5848, 26)
    assert causes(diagnosis(sound, healthy, bearings=["6205"] * 4)) == ["outer race of 6205"]


def test_a_fast_inner_race_is_not_a_rub_alone() -> None:
    """Its own rate is too high to be distinguished from noise that swells."""
    shaft_hz = 49.1
    steady = revolutions(0.0, shaft_hz)
    reference = reference_of([machine(700 + n, steady) for n in range(3)])
    impacts = struck(steady, 5.4152, 27, swells_at=1.0)
    for level in (1.0, 0.4):
        sound = machine(28, steady) + np.float32(level) * impacts
        found = causes(diagnosis(sound, reference, speed_hz=[48.5, 49.5]))
        assert "inner race of 6205" in found or not found
