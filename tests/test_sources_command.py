"""PCM from any program: cut anywhere, ended, hanging, in a wrong format, and without secrets."""

from __future__ import annotations

import fcntl
import itertools
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.audio.files import read_blocks
from monitor.backoff import Backoff
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from monitor.sources.child_process import ChildProcess
from monitor.sources.command import CommandSource
from monitor.sources.pcm import PcmStream
from monitor.sources.settings import CommandSettings, SampleFormat
from monitor.sources.supervised_child import SupervisedChild
from monitor.sources.waiting import Wait, blocking
from tests.sounds import noise
from tests.source_reader import SourceReader

RATE_HZ = 16_000
FORMATS: list[SampleFormat] = ["s16le", "s32le", "f32le"]


def python(script: str, **options: object) -> CommandSettings:
    command = [sys.executable, "-c", f"import sys, time, os\nout = sys.stdout.buffer\n{script}"]
    return CommandSettings.model_validate({"command": command, **options})


def encoded(samples: FloatArray, sample_format: SampleFormat) -> bytes:
    """Shape: ``(n_frames, n_channels)``, or flat."""
    if sample_format == "f32le":
        return samples.astype("<f4").tobytes()
    bits, dtype = (15, "<i2") if sample_format == "s16le" else (31, "<i4")
    return np.round(samples.astype(np.float64) * 2.0**bits).astype(dtype).tobytes()


def pushed(stream: PcmStream, content: bytes, cuts: list[int]) -> list[AudioBlock | SourceState]:
    edges = [0, *sorted(cuts), len(content)]
    return [
        item for start, end in itertools.pairwise(edges) for item in stream.push(content[start:end])
    ]


@given(
    data=st.data(),
    sample_format=st.sampled_from(FORMATS),
    channels=st.integers(1, 6),
    n_frames=st.integers(0, 500),
)
def test_any_pieces_give_the_same_sound(
    data: st.DataObject, sample_format: SampleFormat, channels: int, n_frames: int
) -> None:
    """An odd number of bytes would turn all later samples into noise."""
    samples = noise(n_frames * channels).reshape(n_frames, channels)
    content = encoded(samples, sample_format)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=30))
    items = pushed(PcmStream(RATE_HZ, channels, sample_format, "mix"), content, cuts)
    position = 0
    for item in items:
        assert isinstance(item, AudioBlock)
        assert item.first_sample == position
        assert not item.discontinuous
        position += len(item.samples)
    assert position == n_frames
    received = np.concatenate(
        [np.empty(0)] + [i.samples for i in items if isinstance(i, AudioBlock)]
    )
    assert np.abs(received - samples.mean(axis=1)).max(initial=0.0) <= 2**-15


@example(content=b"\0\0\0C" + bytes(8), cuts=[5])  # 128.0, cut inside the next sample
@given(content=st.binary(max_size=4_000), cuts=st.lists(st.integers(0, 4_000), max_size=10))
@pytest.mark.parametrize("sample_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_bytes_give_valid_samples_only(
    sample_format: SampleFormat, channels: int, content: bytes, cuts: list[int]
) -> None:
    """A program with a wrong sample format could give wrong scores or crash the daemon."""
    stream = PcmStream(4, channels, sample_format, "mix")
    cuts = [cut for cut in cuts if cut <= len(content)]
    available, position = True, 0
    for item in pushed(stream, content, cuts):
        if isinstance(item, SourceState):
            available = item.status is SourceStatus.OK
            continue
        assert available
        assert np.isfinite(item.samples).all()
        assert np.abs(item.samples).max() <= 64.0
        assert item.first_sample == position if not item.discontinuous else (
            item.first_sample >= position
        )  # fmt: skip
        position = item.first_sample + len(item.samples)
    assert stream.next_sample == len(content) // stream.frame_bytes


def test_invalid_samples_are_a_fault_until_a_second_was_valid() -> None:
    """NaN would be scored, or one bad sample would end the monitoring."""
    stream = PcmStream(RATE_HZ, 1, "f32le", "mix")
    bad = noise(1_000)
    bad[500] = np.nan
    [before] = stream.push(noise(1_000).tobytes())
    [fault] = stream.push(bad.tobytes())
    assert stream.push(bad.tobytes()) == []
    assert stream.push(noise(RATE_HZ - 10).tobytes()) == []
    [back, after] = stream.push(noise(1_000).tobytes())
    assert isinstance(before, AudioBlock)
    assert fault == SourceState(
        SourceStatus.UNAVAILABLE, "not_finite", getattr(fault, "detail", "")
    )
    assert back == SourceState(SourceStatus.OK)
    assert isinstance(after, AudioBlock)
    assert after.discontinuous
    assert after.first_sample == 1_000 + 2_000 + RATE_HZ
    assert np.array_equal(after.samples, noise(1_000)[10:])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
def test_a_program_gives_what_the_file_gives(subtype: str, tmp_path: Path) -> None:
    """A stream and its recording would be scored differently."""
    wav, raw = tmp_path / "a.wav", tmp_path / "a.raw"
    soundfile.write(wav, noise(50_000).reshape(-1, 2), RATE_HZ, subtype=subtype)
    raw.write_bytes(wav.read_bytes()[-25_000 * 2 * {"PCM_16": 2}.get(subtype, 4) :])
    formats = {"PCM_16": "s16le", "PCM_32": "s32le", "FLOAT": "f32le"}
    with SourceReader(
        CommandSettings.model_validate(
            {"command": ["cat", str(raw)], "channels": 2, "sample_format": formats[subtype],
             "restart": False}
        )
    ) as reader:  # fmt: skip
        reader.wait_for_end()
    assert np.array_equal(reader.samples(), np.concatenate([b.samples for b in read_blocks(wav)]))


def test_a_program_that_ends_is_started_again() -> None:
    """The stream of a camera that was interrupted would not be started again."""
    settings = python("out.write(bytes(3200)); sys.stderr.write('Connection refused\\n'); exit(3)")
    with SourceReader(settings) as reader:
        reader.wait_for_samples(3_200)
    states = reader.states()
    assert states[0].status is SourceStatus.UNAVAILABLE
    assert states[0].reason == "exited"
    assert states[0].detail.endswith("ended with status 3: Connection refused")
    assert states[1] == SourceState(SourceStatus.OK)
    first, second = reader.blocks()[:2]
    assert second.discontinuous
    lost_s = (second.first_sample - len(first.samples)) / RATE_HZ
    assert lost_s == pytest.approx(reader.silent_s(1), abs=0.05)


def test_a_program_that_hangs_is_ended_and_started_again() -> None:
    """A stalled stream would look like a quiet machine."""
    settings = python("out.write(bytes(3200)); out.flush(); time.sleep(60)", silence_timeout_s=0.5)
    with SourceReader(settings) as reader:
        reader.wait_for_samples(3_200)
    assert [(s.status, s.reason) for s in reader.states()][:2] == [
        (SourceStatus.UNAVAILABLE, "stalled"),
        (SourceStatus.OK, ""),
    ]
    assert "no data for 0.5 s" in reader.states()[0].detail


def test_a_missing_program_is_reported_once() -> None:
    """The same state would be published with every attempt."""
    with SourceReader(CommandSettings(command=("no-such-program",))) as reader:
        time.sleep(1.5)
    [state] = reader.states()
    assert state.reason == "not_started"
    assert state.detail == "no-such-program cannot be started: No such file or directory"


def test_a_program_killed_by_a_signal_is_reported_with_its_name() -> None:
    """The operator would see a number instead of the name of the signal."""
    with SourceReader(python("os.kill(os.getpid(), 11)")) as reader:
        state = reader.wait_for_state()
    assert "was killed by SIGSEGV" in state.detail
    with SourceReader(python("os.kill(os.getpid(), 40)")) as reader:
        state = reader.wait_for_state()
    assert "was killed by signal 40" in state.detail


def test_all_descendants_are_ended_even_if_they_ignore_signals() -> None:
    """Every restart would leave an ffmpeg process that a shell has started."""
    script = (
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)'])\n"
        "out.write(bytes(3200)); out.flush(); time.sleep(60)"
    )
    others = {*psutil.Process().children(recursive=True)}  # of other tests of this worker
    with SourceReader(python(script)) as reader:
        reader.wait_for_samples(1_601)
        family = [p for p in psutil.Process().children(recursive=True) if p not in others]
    assert len(family) >= 2
    assert reader.ended_s < 0.5
    psutil.wait_procs(family, timeout=1.0)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_program_that_cannot_be_killed_is_reported_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a sound driver that hangs, the watchdog would restart the service again and again."""
    kill = os.killpg
    released = threading.Event()

    def refuse(group: int, number: int) -> None:
        if not released.is_set():
            raise PermissionError(number)  # as for a program of root's; a hung driver does nothing
        kill(group, number)

    monkeypatch.setattr(os, "killpg", refuse)
    settings = python("out.write(bytes(3200)); out.flush(); time.sleep(61)", silence_timeout_s=0.5)
    with SourceReader(settings) as reader:
        reader.wait(lambda: len(reader.states()) == 2, "a second state")
        stalled, hangs = reader.states()
        assert (stalled.reason, hangs.reason) == ("stalled", "stalled")
        assert "hangs and cannot be killed" in hangs.detail
        time.sleep(2.0)
        (child,) = [c for c in psutil.Process().children() if "sleep(61)" in c.cmdline()[-1]]
        assert reader.n_samples() == 1_600
        released.set()
        child.kill()
        reader.wait_for_samples(3_200)


def test_the_error_output_of_a_program_is_limited() -> None:
    """A program that writes many messages would block on a full pipe, or fill the memory."""
    script = "sys.stderr.write('x' * 5_000_000); out.write(bytes(3200)); out.flush(); exit(1)"
    with SourceReader(python(script)) as reader:
        reader.wait_for_samples(1_600)
        state = reader.wait_for_state()
    assert len(state.detail) < 400


def test_a_program_does_not_get_the_secrets_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any configured program could read the broker's password or notify systemd."""
    monkeypatch.setenv("AUSCULT_MQTT__PASSWORD", "hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    with SourceReader(python("sys.exit(' '.join(os.environ))")) as reader:
        state = reader.wait_for_state()
    for name in ("AUSCULT", "CREDENTIALS", "NOTIFY"):
        assert name not in state.detail


def test_a_password_in_the_command_is_in_no_state(caplog: pytest.LogCaptureFixture) -> None:
    """The password would be in the retained state on the broker."""
    url = "rtsp://operator:correct-horse@camera/1"
    settings = CommandSettings(
        command=(sys.executable, "-c", "import sys; sys.exit('cannot open ' + sys.argv[1])", url)
    )
    with SourceReader(settings) as reader:
        state = reader.wait_for_state()
    assert "cannot open rtsp://***@camera/1" in state.detail
    assert "correct-horse" not in caplog.text + repr(settings) + str(reader.items())


def test_a_program_that_cannot_start_is_not_tried_all_the_time() -> None:
    """A camera that is switched off would use a core and fill the log."""
    child = SupervisedChild(
        ["no-such-program"], name="none", timeout_s=5.0, backoff=Backoff(0.2, 0.4)
    )
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    attempts = len(list(blocking(child.steps(), stop)))
    # Pauses of 0.2, 0.4, 0.4 ... s, each up to a quarter more or less.
    assert 3 <= attempts <= 7


# Writes silence in real time for so many seconds, then ends with an error.
DROPPING = """
n, begun = 0, time.monotonic()
while n < {alive_s} * 16_000:
    out.write(bytes(640)); out.flush(); n += 320
    time.sleep(max(0.0, begun + n / 16_000 - time.monotonic()))
sys.exit("[tcp @ " + hex(id(object()) + os.getpid()) + "] Connection timed out")
"""


@pytest.mark.parametrize(("alive_s", "largest_loss"), [(0.75, 0.4), (0.3, 0.55)])
def test_a_stream_that_drops_often_is_started_again_soon(
    alive_s: float, largest_loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream that drops every 15 s, half would be lost in pauses that grow."""
    scale = 1 / 20  # of 15 s and 6 s of sound, and the pauses of production
    monkeypatch.setattr(SupervisedChild, "HEALTHY_AFTER_S", SupervisedChild.HEALTHY_AFTER_S * scale)
    monkeypatch.setattr("monitor.sources.command._FIRST_PAUSE_S", 0.5 * scale)
    monkeypatch.setattr("monitor.sources.command._LONGEST_PAUSE_S", 30 * scale)
    with SourceReader(python(DROPPING.format(alive_s=alive_s))) as reader:
        reader.wait(lambda: len(starts(reader)) >= 10, "ten starts", 60)
    blocks = reader.blocks()
    end = blocks[-1].first_sample + len(blocks[-1].samples)
    assert 1 - reader.n_samples() / end < largest_loss


def starts(reader: SourceReader) -> list[AudioBlock]:
    return [block for block in reader.blocks() if block.discontinuous]


def test_sound_that_comes_at_once_does_not_shorten_the_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that ends at once would be started hundreds of times a minute."""
    monkeypatch.setattr(SupervisedChild, "HEALTHY_AFTER_S", 0.3)
    monkeypatch.setattr("monitor.sources.command._FIRST_PAUSE_S", 0.1)
    with SourceReader(python("out.write(bytes(3_200)); out.flush()")) as reader:
        reader.wait(lambda: len(starts(reader)) >= 4, "four starts")
    assert reader.silent_s(4) > 2 * reader.silent_s(1) * 0.75


def test_an_error_that_changes_in_any_way_is_a_few_lines_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that counts what it lost would write a line of the log with each attempt."""
    monkeypatch.setattr("monitor.sources.command._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("monitor.sources.command._LONGEST_PAUSE_S", 0.01)
    script = "sys.stderr.write(f'{time.monotonic_ns() % 997} packets were lost')"
    with (
        caplog.at_level("DEBUG", "monitor.sources.supervised_child"),
        SourceReader(python(script)) as reader,
    ):
        reader.wait(lambda: len(caplog.records) >= 12, "twelve attempts")
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert 2 <= len(warnings) <= SupervisedChild.MAX_VARIANTS


def test_an_error_with_a_changing_address_is_one_state_and_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt would publish a retained state and write a line of the log."""
    monkeypatch.setattr("monitor.sources.command._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("monitor.sources.command._LONGEST_PAUSE_S", 0.01)
    begun = len(psutil.Process().children())
    with (
        caplog.at_level("DEBUG", "monitor.sources.supervised_child"),
        SourceReader(python(DROPPING.format(alive_s=0))) as reader,
    ):
        reader.wait(lambda: len(caplog.records) >= 5, "five attempts")
    assert len({record.getMessage() for record in caplog.records}) >= 5
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    [state] = reader.states()
    assert "Connection timed out" in state.detail
    assert "[tcp @ 0x" in state.detail
    assert len(psutil.Process().children()) == begun


@pytest.mark.parametrize(("bytes_per_s", "pipe_bytes"), [(32_000, 131_072), (3_000_000, 1 << 20)])
def test_a_pipe_is_as_large_as_the_sound_needs(bytes_per_s: int, pipe_bytes: int) -> None:
    """All pipes of a user have a limit together: large ones would leave tiny ones for others."""
    child = ChildProcess(["sleep", "60"], bytes_per_s)
    try:
        assert child.pipe_bytes == pipe_bytes
    finally:
        child.end()


def test_a_small_pipe_is_reported_and_looked_at_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program whose pipe is full drops sound, and nobody would know."""
    monkeypatch.setattr("monitor.sources.child_process._pipe_of", lambda *_: 8192)
    settings = CommandSettings(command=("sleep", "60"), sample_rate_hz=48_000)
    steps = CommandSource(settings).steps()
    wait = next(steps)
    assert isinstance(wait, Wait)
    assert wait.longest_s == pytest.approx(8192 / 96_000 / 3)
    assert "holds only 0.09 s of sound" in caplog.text
    steps.close()


def test_a_pipe_that_was_full_does_not_show_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy computer, machines would be unavailable until their programs are restarted."""
    interrupted: list[float] = []
    monkeypatch.setattr(
        "monitor.sources.delivery_rate.DeliveryRate.interrupt",
        lambda _rate: interrupted.append(time.monotonic()),
    )
    script = """
os.set_blocking(1, False)
for number in range(10**6):
    try: os.write(1, bytes(3200))
    except BlockingIOError: pass
    time.sleep(0.1 if number > 60 else 0)
"""
    steps = CommandSource(python(script)).steps()
    assert isinstance(next(steps), Wait)
    time.sleep(1.0)
    n_blocks = 0
    while n_blocks < 4:
        item = next(steps)
        if isinstance(item, Wait):
            time.sleep(0.1)
        else:
            n_blocks += 1
    steps.close()
    assert len(interrupted) == 1


@pytest.mark.parametrize("keeps_sound", [False, True])
def test_sound_that_a_full_pipe_has_lost_is_a_gap(
    keeps_sound: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A score would be made of sound with a jump, or none of a program that has lost nothing."""
    monkeypatch.setattr("monitor.sources.child_process._pipe_of", small_pipe)
    piece_s, n_pieces = 0.05, 100
    values = noise(round(piece_s * RATE_HZ) * n_pieces)
    content = encoded(values, "s16le")
    file = tmp_path / "sound.pcm"
    file.write_bytes(content)
    script = f"""
os.set_blocking(1, {keeps_sound})
content = open({str(file)!r}, 'rb').read()
step, begun_s = {len(content) // n_pieces}, time.monotonic()
for number in range({n_pieces}):
    time.sleep(max(0.0, begun_s + {piece_s} * number - time.monotonic()))
    try: os.write(1, content[number * step:(number + 1) * step])
    except BlockingIOError: pass
"""
    blocks: list[AudioBlock] = []
    has_paused = False
    for item in CommandSource(python(script, restart=False)).blocks(threading.Event()):
        assert isinstance(item, AudioBlock)
        blocks.append(item)
        if not has_paused and item.first_sample > RATE_HZ:
            time.sleep(1.5)  # as long as three pipes
            has_paused = True
    gaps = [number for number, block in enumerate(blocks) if block.discontinuous]
    assert len(gaps) == (0 if keeps_sound else 1)
    for start, end in itertools.pairwise([0, *gaps, len(blocks)]):
        received = np.concatenate([block.samples for block in blocks[start:end]])
        first = blocks[start].first_sample
        near = values[max(0, first - RATE_HZ // 4) :][: RATE_HZ // 2]
        matches = np.correlate(near, received[:800], "valid")
        place = max(0, first - RATE_HZ // 4) + int(np.argmax(matches))
        expected = values[place : place + len(received)]
        assert np.abs(received - expected).max() <= 2**-15
    assert blocks[-1].first_sample + len(blocks[-1].samples) >= 0.95 * len(values)


def small_pipe(descriptor: int, _bytes_per_s: int) -> int:
    """Holds half a second."""
    return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 16_384)
