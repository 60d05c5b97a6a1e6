"""A microphone, unplugged and plugged in again, through a real PortAudio stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import SourceStatus
from monitor.sources.microphone import child as microphone_child
from monitor.sources.microphone.capture_format import CaptureDecoder, CaptureHeader, CaptureRecord
from monitor.sources.settings import MicrophoneSettings
from tests.pulseaudio import PulseAudio
from tests.source_reader import SourceReader


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseAudio]:
    with PulseAudio(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_sound_that_is_played_is_received(pulse: PulseAudio) -> None:
    """No sound would be monitored."""
    tone = 0.25 * np.sin(2 * np.pi * 1_000 * np.arange(20 * 48_000) / 48_000)
    pulse.play(tone.astype(np.float32), 48_000)
    with SourceReader(MicrophoneSettings(sample_rate_hz=16_000)) as reader:
        reader.wait_for_samples(3 * 16_000)
    samples = reader.samples()[-16_000:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert abs(int(np.argmax(spectrum)) - 1_000) <= 1
    assert np.abs(samples).max() == pytest.approx(0.25, rel=0.1)
    assert reader.states() == []


def test_unplugged_and_plugged_in_again(pulse: PulseAudio) -> None:
    """A cable that was unplugged for a moment would end the monitoring."""
    with SourceReader(MicrophoneSettings(sample_rate_hz=16_000)) as reader:
        reader.wait_for_samples(8_000)
        pulse.unplug()
        lost = reader.wait_for_state()
        assert lost.status is SourceStatus.UNAVAILABLE
        assert lost.reason == "disconnected"
        assert "Input/output error" in lost.detail
        pulse.plug_in()
        reader.wait_for_state(SourceStatus.OK)
        before = reader.n_samples()
        reader.wait_for_samples(before + 8_000)
    blocks = reader.blocks()
    breaks = [i for i, block in enumerate(blocks) if block.discontinuous]
    assert len(breaks) == 1
    last, first = blocks[breaks[0] - 1], blocks[breaks[0]]
    lost_s = (first.first_sample - last.first_sample - len(last.samples)) / 16_000
    assert lost_s == pytest.approx(reader.silent_s(breaks[0]), abs=0.5)


def test_the_devices_are_listed(pulse: PulseAudio) -> None:
    """An operator could not find the name of the device for the configuration."""
    assert pulse
    script = "from monitor.sources.microphone.devices import devices; print(*devices(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "name='default'" in done.stdout
    assert "is_default=True" in done.stdout


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (MicrophoneSettings(device="no such thing"), "no such thing"),
        (MicrophoneSettings(device=99), "99"),
        (MicrophoneSettings(channels=64), "channels"),
    ],
)
def test_a_device_that_is_not_there_is_a_state(
    pulse: PulseAudio, settings: MicrophoneSettings, said: str
) -> None:
    """A typing error would be a traceback instead of a state."""
    assert pulse
    with SourceReader(settings) as reader:
        state = reader.wait_for_state()
    assert state.status is SourceStatus.UNAVAILABLE
    assert state.reason == "disconnected"
    assert said in state.detail
    assert "\n" not in state.detail


def test_the_child_needs_no_executable_memory(pulse: PulseAudio) -> None:
    """The hardened service (MemoryDenyWriteExecute=yes) would receive no sound."""
    assert pulse
    wanted = {"device": None, "sample_rate_hz": 16_000, "channels": 1, "block_s": 0.1}
    script = (
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE
        f"os.execv(sys.executable, [sys.executable, '-P', {microphone_child.__file__!r},"
        f" {json.dumps(wanted)!r}])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        received = child.stdout.read(20_000)
        child.kill()
    if child.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert len(received) == 20_000


def test_the_child_stays_small(pulse: PulseAudio) -> None:
    """Every microphone would need as much memory as a daemon."""
    assert pulse
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['x', '{{}}']\n"
        f"try: runpy.run_path({microphone_child.__file__!r}, run_name='child')\n"
        "finally: print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"numpy", "monitor", "pydantic"} & set(done.stdout.split())


FAKE_CHILD = """
import json, pathlib, struct, sys, time
import numpy as np

out, again = sys.stdout.buffer, pathlib.Path({marker!r})
rate_hz = 16_000 if again.exists() else 48_000
again.touch()

def record(flags, read_s, value):
    samples = np.full((4_800, 2), value, '<f4').tobytes()
    out.write(struct.pack('<BdI', flags, read_s, len(samples)) + samples)

out.write(json.dumps({{'device': 'fake', 'sample_rate_hz': rate_hz, 'channels': 2}}).encode())
out.write(b'\\n')
now_s = time.monotonic()
record(0, now_s, 0.1)
record(0, now_s + 0.1, 0.2)
record(1, now_s + 0.7, 0.3)
out.flush()
sys.exit('ALSA lib noise\\nthe device is gone')
"""


def test_lost_samples_are_counted_by_the_clock_and_another_rate_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows would contain an overflow, or another rate would be read as the old one."""
    child = tmp_path / "child.py"
    child.write_text(FAKE_CHILD.format(marker=str(tmp_path / "marker")))
    monkeypatch.setattr("monitor.sources.microphone.source._CHILD", child)
    with SourceReader(MicrophoneSettings(channels=2)) as reader:
        reader.wait_for_samples(6 * 4_800)
    blocks = reader.blocks()[:6]
    assert [block.sample_rate_hz for block in blocks] == [48_000] * 3 + [16_000] * 3
    assert [block.discontinuous for block in blocks] == [False, False, True, True, False, True]
    assert [round(float(block.samples[0]), 3) for block in blocks] == [0.1, 0.2, 0.3] * 2
    # 0.6 s after the second block came 0.1 s of sound: half a second was lost.
    assert [block.first_sample for block in blocks[:3]] == [0, 4_800, 4_800 * 2 + 24_000]
    assert blocks[3].first_sample >= (blocks[2].first_sample + 4_800) / 3
    assert reader.states()[0].detail.endswith("ended with status 1: the device is gone")


@given(data=st.data())
def test_any_pieces_of_what_the_child_writes_are_read_back(data: st.DataObject) -> None:
    """A pipe cuts the data anywhere: samples would be confused with record headers."""
    records = data.draw(
        st.lists(st.builds(CaptureRecord, st.booleans(), st.floats(0, 1e9), st.binary()))
    )
    header = CaptureHeader("a microphone", 16_000, 2)
    written = json.dumps({"device": header.device, "sample_rate_hz": 16_000, "channels": 2})
    content = written.encode() + b"\n"
    for record in records:
        flags = microphone_child.LOST if record.lost else 0
        content += microphone_child.RECORD.pack(flags, record.read_s, len(record.samples))
        content += record.samples
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=20)))
    decoder = CaptureDecoder()
    read = [
        part
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
        for part in decoder.push(content[start:end])
    ]
    assert read == [header, *records]
