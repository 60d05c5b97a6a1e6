"""A diagnosis names what is certain, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from monitor.diagnosis.diagnose import Diagnosis, diagnosed
from monitor.diagnosis.healthy_sound import HealthySound
from monitor.diagnosis.segments import SegmentPlan
from monitor.diagnosis.settings import ShaftSettings
from monitor.domain import FloatArray
from tests.diagnosed_sounds import RATE_HZ, babble, healthy_pieces, impacts, machine

SHAFT_HZ = 24.0
OUTER, INNER = 3.5848, 5.4152
SECONDS = 20.0


@pytest.fixture(scope="module")
def healthy() -> list[FloatArray]:
    return healthy_pieces()


@pytest.fixture(scope="module", autouse=True)
def healthy_once() -> Iterator[None]:
    """Spectra of the same healthy recordings are made once: they take most of a diagnosis."""
    made: dict[object, tuple[Sequence[FloatArray], HealthySound | None]] = {}
    of = HealthySound.of

    def once(
        recordings: Sequence[FloatArray], plan: SegmentPlan, length_s: float
    ) -> HealthySound | None:
        key = (*map(id, recordings), plan, length_s)
        if key not in made:  # kept with its recordings: an id is used again after their end
            made[key] = (recordings, of(recordings, plan, length_s))
        return made[key][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HealthySound, "of", once)
        yield


def diagnosis(sound: FloatArray, healthy: list[FloatArray], **shaft: object) -> Diagnosis:
    return diagnosed(sound, RATE_HZ, healthy, ShaftSettings.model_validate(shaft))


def causes(result: Diagnosis) -> list[str]:
    return [fit.cause for one in result.findings for fit in one.fits]


@pytest.mark.parametrize("seed", range(3))
def test_impacts_at_any_rate_are_found(healthy: list[FloatArray], seed: int) -> None:
    """A rate that fits no cause would not be reported, or a wrong one."""
    random = np.random.default_rng(seed)
    rate_hz = float(random.uniform(6.0, 150.0))
    struck = impacts(SECONDS, rate_hz, seed, resonance_hz=float(random.uniform(1_500.0, 6_500.0)))
    result = diagnosis(machine(SECONDS, seed) + struck, healthy)
    first = result.findings[0]
    assert first.kind == "impacts"
    assert first.rate_hz == pytest.approx(rate_hz, rel=0.005)
    assert first.level_db > 6.0


@pytest.mark.parametrize(
    ("order", "part"), [(OUTER, "outer race of 6205"), (INNER, "inner race of 6205")]
)
@pytest.mark.parametrize("slip", [-0.015, 0.015])
def test_the_part_of_the_bearing_is_named(
    healthy: list[FloatArray], order: float, part: str, slip: float
) -> None:
    """A slipping cage would hide the part, or another part be named."""
    struck = impacts(SECONDS, order * SHAFT_HZ * (1.0 + slip), 7)
    sound = machine(SECONDS, 8) + struck
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=["6205"])
    first = result.findings[0]
    assert [fit.cause for fit in first.fits] == [part]
    assert first.order == pytest.approx(order * (1.0 + slip), rel=0.005)
    assert part in first.text
    assert "within" in first.text


@pytest.mark.parametrize("level", [0.03, 0.3])
@pytest.mark.parametrize(
    ("order", "turning", "part"),
    [(INNER, 1.0, "inner race of 6205"), (2.0 * 2.3567, 0.39828, "ball of 6205")],
)
def test_impacts_that_swell_with_the_load_are_one_finding(
    healthy: list[FloatArray], order: float, turning: float, part: str, level: float
) -> None:
    """A damaged inner race or ball turns through the load: that would be a rub, or many tones."""
    struck = impacts(SECONDS, order * SHAFT_HZ, 7, level=level)
    time_s = np.arange(len(struck)) / RATE_HZ
    load = 1.0 + np.cos(2.0 * np.pi * turning * SHAFT_HZ * time_s)
    sound = machine(SECONDS, 8) + (struck * load).astype(np.float32)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=["6205"])
    specific = [one for one in result.findings if one.rate_hz]
    assert [one.kind for one in specific] == ["impacts"]
    assert [fit.cause for fit in specific[0].fits] == [part]


def test_healthy_sound_of_other_speeds_is_left_out() -> None:
    """The tones of one speed would be new at another, or hide a fault of it."""
    speeds = {24.0: 5, 31.0: 5}
    both = [
        machine(15.0, 700 + number, shaft_hz=hz)
        for hz, count in speeds.items()
        for number in range(count)
    ]
    for hz in speeds:
        quiet = diagnosis(machine(SECONDS, 720, shaft_hz=hz), both, speed_hz=[23.0, 32.0])
        assert not quiet.findings
        assert quiet.speed is not None
        assert quiet.speed.hz == pytest.approx(hz, rel=0.002)
        loose = machine(SECONDS, 721, shaft_hz=hz, tones=(0.5, 1.5, 2.5, 3.5, 1, 2, 3, 5))
        found = diagnosis(loose, both, speed_hz=[23.0, 32.0]).findings[0]
        assert found.kind == "subharmonics"
        assert found.rate_hz == pytest.approx(hz / 2.0, rel=0.005)


def test_two_causes_that_cannot_be_distinguished_are_both_named(healthy: list[FloatArray]) -> None:
    """One of two equal causes would be stated as the cause."""
    bearings = ["6205", {"name": "other", "balls": 9, "ball_mm": 7.9, "pitch_mm": 39.0}]
    sound = machine(SECONDS, 9) + impacts(SECONDS, OUTER * SHAFT_HZ, 9)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=bearings)
    found = {fit.cause for fit in result.findings[0].fits}
    assert found == {"outer race of 6205", "outer race of other"}


def test_the_wrong_bearing_is_not_named(healthy: list[FloatArray]) -> None:
    """A bearing that is not in the machine would be replaced."""
    sound = machine(SECONDS, 10) + impacts(SECONDS, OUTER * SHAFT_HZ, 10)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=["UER204"])
    assert result.findings[0].kind == "impacts"
    assert not any("UER204" in cause for cause in causes(result))


def test_a_speed_that_is_off_by_a_fifth_names_no_part(healthy: list[FloatArray]) -> None:
    """A wrong setting would lead to a wrong part."""
    sound = machine(SECONDS, 11) + impacts(SECONDS, OUTER * SHAFT_HZ, 11)
    for factor in (0.8, 1.2):
        result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ * factor, bearings=["6205"])
        assert result.findings[0].rate_hz == pytest.approx(OUTER * SHAFT_HZ, rel=0.005)
        assert not causes(result)


def test_without_the_speed_no_part_is_named() -> None:
    """Any rate fits any part at some speed."""
    quiet = [machine(15.0, 200 + seed, tones=()) for seed in range(4)]
    sound = machine(SECONDS, 12, tones=()) + impacts(SECONDS, OUTER * SHAFT_HZ, 12)
    result = diagnosis(sound, quiet, bearings=["6205"])
    assert result.findings[0].kind == "impacts"
    assert result.findings[0].order is None
    assert not causes(result)


def test_a_tone_near_the_rate_of_a_part_is_not_that_part(healthy: list[FloatArray]) -> None:
    """Any new tone would be near one of five rates of a bearing, each of which may slip."""
    time_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    tone = (0.01 * np.sin(2.0 * np.pi * 2.3567 * SHAFT_HZ * time_s)).astype(np.float32)
    result = diagnosis(machine(SECONDS, 24) + tone, healthy, speed_hz=SHAFT_HZ, bearings=["6205"])
    assert [one.kind for one in result.findings] == ["tone"]
    assert not causes(result)


def test_halves_of_the_speed_are_looseness(healthy: list[FloatArray]) -> None:
    """Looseness would be called imbalance."""
    loose = machine(SECONDS, 13, tones=(0.5, 1.5, 2.5, 3.5, 1, 2, 3, 5))
    result = diagnosis(loose, healthy, speed_hz=SHAFT_HZ)
    first = result.findings[0]
    assert (first.kind, first.fits[0].cause) == ("subharmonics", "looseness")
    assert first.order == pytest.approx(0.5, rel=0.005)


def test_a_louder_first_order_is_imbalance(healthy: list[FloatArray]) -> None:
    """Imbalance would be missed because the tone is also in healthy sound."""
    time_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    extra = (0.01 * np.sin(2.0 * np.pi * SHAFT_HZ * time_s + 1.0)).astype(np.float32)
    result = diagnosis(machine(SECONDS, 14) + extra, healthy, speed_hz=SHAFT_HZ)
    first = result.findings[0]
    assert (first.kind, first.fits[0].cause) == ("tone", "imbalance")
    assert first.rate_hz == pytest.approx(SHAFT_HZ, rel=0.005)


def test_hum_is_distinguished_from_the_shaft(healthy: list[FloatArray]) -> None:
    """A bad cable would be taken for the machine."""
    time_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    hum = sum(0.004 * np.sin(2.0 * np.pi * hz * time_s) for hz in (50, 100, 150, 250))
    sound = machine(SECONDS, 15) + np.asarray(hum, dtype=np.float32)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ)
    assert [one.kind for one in result.findings] == ["hum"]
    assert result.findings[0].rate_hz == pytest.approx(50.0, rel=0.001)


def test_sidebands_around_a_tone_are_found() -> None:
    """A damaged gear would be several tones without a cause."""
    orders = (1, 2, 43)
    quiet = [machine(15.0, 300 + seed, tones=orders) for seed in range(4)]
    sound = machine(SECONDS, 16, tones=(*orders, 41, 42, 44, 45))
    result = diagnosis(sound, quiet, speed_hz=SHAFT_HZ, teeth=43)
    first = result.findings[0]
    assert first.kind == "sidebands"
    assert first.rate_hz == pytest.approx(SHAFT_HZ, rel=0.005)


def test_a_tone_that_is_gone_is_missing() -> None:
    """A stopped cooling fan inside the machine would not be noticed."""
    quiet = [machine(15.0, 400 + seed, tones=(1, 2, 3, 5, 7)) for seed in range(4)]
    result = diagnosis(machine(SECONDS, 17), quiet, speed_hz=SHAFT_HZ, blades=7)
    assert [one.kind for one in result.findings] == ["missing"]
    assert result.findings[0].fits[0].cause == "blades or vanes"


def test_louder_noise_is_broadband_and_a_higher_gain_is_nothing(healthy: list[FloatArray]) -> None:
    """A microphone that was moved would be a fault of the machine."""
    random = np.random.default_rng(18)
    spectrum = np.fft.rfft(random.normal(0.0, 0.05, round(SECONDS * RATE_HZ)))
    hz = np.fft.rfftfreq(round(SECONDS * RATE_HZ), 1.0 / RATE_HZ)
    hiss = np.fft.irfft(spectrum * ((hz > 4_500) & (hz < 7_000)), round(SECONDS * RATE_HZ))
    sound = machine(SECONDS, 18)
    (found,) = diagnosis(sound + hiss.astype(np.float32), healthy).findings
    assert (found.kind, found.rate_hz) == ("broadband", None)
    assert found.band is not None
    assert 4_000.0 < found.band.low_hz < found.band.high_hz < 7_500.0
    assert not diagnosis(sound * np.float32(3.0), healthy).findings


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_in_healthy_sound(healthy: list[FloatArray], seed: int) -> None:
    """Every alert would have a cause, also a false one."""
    sound = machine(SECONDS, 500 + seed)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=["6205"], blades=5)
    assert not result.findings
    assert result.speed is not None
    assert result.speed.hz == pytest.approx(SHAFT_HZ, rel=0.002)


@pytest.mark.parametrize("seed", range(3))
def test_speech_beside_the_machine_has_no_cause(healthy: list[FloatArray], seed: int) -> None:
    """People who talk would be a fault of the machine."""
    sound = machine(SECONDS, 600 + seed) + babble(SECONDS, seed)
    result = diagnosis(sound, healthy, speed_hz=SHAFT_HZ, bearings=["6205"], blades=5)
    assert not causes(result)
    assert all(one.kind == "broadband" for one in result.findings)


@pytest.mark.parametrize(
    ("sound", "note"),
    [
        (machine(2.0, 1), "2.0 s of sound are too short: at least 5 s are needed"),
        (machine(4.99, 1), "4.9 s of sound are too short: at least 5 s are needed"),
        (np.zeros(10 * RATE_HZ, dtype=np.float32), "the sound is silent"),
        (np.zeros(0, dtype=np.float32), "0.0 s of sound are too short: at least 5 s are needed"),
    ],
)
def test_of_too_little_sound_nothing_is_stated(
    healthy: list[FloatArray], sound: FloatArray, note: str
) -> None:
    """Findings would be chance."""
    result = diagnosis(sound, healthy)
    assert (result.findings, result.notes) == ((), (note,))


@pytest.mark.parametrize(("gain", "later_gain"), [(60.0, 1.0), (1e6, 1.0), (100.0, 0.3)])
def test_of_sound_that_is_mostly_clipped_nothing_is_stated(
    gain: float, later_gain: float, healthy: list[FloatArray]
) -> None:
    """A microphone with too much gain would be a rub once a revolution."""
    clipped = np.clip(machine(SECONDS, 19) * np.float32(gain), -1.0, 1.0)
    result = diagnosis(clipped * np.float32(later_gain), healthy)
    assert result.findings == ()
    assert any("clipped" in note for note in result.notes)


@pytest.mark.parametrize("offset", [0.5, 1.0])
def test_an_offset_without_sound_is_silence(offset: float, healthy: list[FloatArray]) -> None:
    """A muted input with an offset would have impacts, from the rounding of the computation."""
    result = diagnosis(np.full(round(SECONDS * RATE_HZ), offset, dtype=np.float32), healthy)
    assert result.findings == ()
    assert "silent" in result.notes[0]


def test_of_clipped_sound_only_impacts_are_named(healthy: list[FloatArray]) -> None:
    """Overtones of the clipping would be harmonics of a fault."""
    sound = np.clip(machine(SECONDS, 19) * np.float32(40.0), -1.0, 1.0)
    assert not diagnosis(sound, healthy, speed_hz=SHAFT_HZ).findings
    struck = machine(SECONDS, 19) + impacts(SECONDS, 31.0, 19, level=0.3)
    clipped = np.clip(struck * np.float32(12.0), -1.0, 1.0)
    result = diagnosis(clipped, healthy)
    assert {one.kind for one in result.findings} == {"impacts"}
    assert result.findings[0].rate_hz == pytest.approx(31.0, rel=0.005)
    assert any("clipped" in note for note in result.notes)


def test_uneven_blows_are_counted(healthy: list[FloatArray]) -> None:
    """Knocking without a steady rhythm leaves no line in an envelope spectrum."""
    struck = impacts(SECONDS, 5.0, 20, jitter=0.12, level=0.5)
    result = diagnosis(machine(SECONDS, 20) + struck, healthy)
    assert result.findings[0].kind == "impacts"
    assert result.findings[0].rate_hz == pytest.approx(5.0, rel=0.05)
    one = machine(SECONDS, 21)
    one[50_000:50_160] += impacts(1.0, 1.0, 1, level=0.5)[:160]
    assert not diagnosis(one, healthy).findings


def test_without_healthy_sound_only_rhythms_are_named() -> None:
    """The tones that every machine has would be faults."""
    assert not diagnosis(machine(SECONDS, 22), [], speed_hz=SHAFT_HZ).findings
    sound = machine(SECONDS, 22) + impacts(SECONDS, OUTER * SHAFT_HZ, 22, level=0.2)
    result = diagnosis(sound, [], speed_hz=SHAFT_HZ, bearings=["6205"])
    assert causes(result) == ["outer race of 6205"]
    assert result.notes == ("without healthy sound: what is named may be normal for this machine",)


@pytest.mark.parametrize(
    ("shaft", "says"),
    [
        ({"speed_hz": 24, "rpm": 1440}, "has speed_hz and rpm: use one of them"),
        ({"speed_hz": [25, 24]}, r"speed_hz must be one number or \[lowest, highest\], from 0.1"),
        ({"rpm": 0}, r"rpm must be one number or \[lowest, highest\], from 6 to 120000"),
        ({"bearings": ["6999"]}, "the geometry of bearing '6999' is not in the table"),
        ({"bearings": [{"balls": 9, "ball_mm": 50, "pitch_mm": 39}]}, "ball_mm must be above 0"),
    ],
)
def test_a_wrong_shaft_is_refused(shaft: dict[str, object], says: str) -> None:
    """A mistake in the configuration would lead to a wrong cause."""
    with pytest.raises(ValidationError, match=says):
        ShaftSettings.model_validate(shaft)


def test_revolutions_per_minute_are_a_speed() -> None:
    """A machine would be diagnosed at sixty times its speed."""
    given = ShaftSettings.model_validate({"rpm": [1440, 1500]}).speed_range_hz
    assert given == pytest.approx((24.0, 25.0))
    assert ShaftSettings.model_validate({"rpm": 1440}).speed_range_hz == pytest.approx(
        (23.28, 24.72)
    )
