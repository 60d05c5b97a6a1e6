"""A microphone, the daemon and a broker, all real: scored, alerted, unplugged, scored again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import soxr

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from tests.bundles import machine_sound, make_bundle
from tests.daemons import daemon
from tests.mosquitto import Mosquitto, Subscriber
from tests.pulseaudio import PulseAudio
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

# Below what resampling to the sound server's rate and back cuts off.
SPEC = LogMelSpec(f_max_hz=7_000.0)
PLAYED_HZ = 48_000


def played(samples: FloatArray) -> FloatArray:
    """The sound at the sound server's own rate, so that it is not resampled."""
    return np.asarray(soxr.resample(samples, SPEC.sample_rate_hz, PLAYED_HZ), np.float32)


def test_a_fault_is_detected_through_a_microphone_that_was_unplugged(
    tmp_path: Path,
) -> None:
    """The service would work with files only, or need a restart after a cable was unplugged."""
    bundle = make_bundle(tmp_path / "bundle", spec=SPEC)
    sound = np.concatenate(
        [machine_sound(8), machine_sound(9, seed=1, fault=0.3), machine_sound(40, seed=2)]
    )
    (tmp_path / "pulse").mkdir()
    with (
        PulseAudio(tmp_path / "pulse") as pulse,
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker) as subscriber,
        daemon(tmp_path / "daemon", broker) as watched,
    ):

        def states() -> list[str]:
            return [json.loads(one)["state"] for one in subscriber.payloads("/m/state")]

        def alerts() -> list[str]:
            return [json.loads(one)["kind"] for one in subscriber.payloads("/m/alert")]

        watched.environment |= pulse.environment
        watched.machine("m", bundle.path, kind="microphone", sample_rate_hz=PLAYED_HZ)
        pulse.play(played(sound), PLAYED_HZ)
        watched.start()
        wait_for(lambda: alerts() == ["raised", "cleared"], 45)
        pulse.unplug()
        wait_for(lambda: states()[-1] == "unavailable", 15)
        pulse.plug_in()
        pulse.play(played(machine_sound(30, seed=3)), PLAYED_HZ)
        wait_for(lambda: states()[-1] == "ok", 25)
        assert alerts() == ["raised", "cleared"]
        assert subscriber.payloads("/status") == [b"online"]
        assert watched.end(signal.SIGTERM) == 0
