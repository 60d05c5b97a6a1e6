"""How many real streams a node carries: share of a core, latency, memory.

    python -m benchmarks.streams [--streams 1 10 100 300 500] [--seconds 60] [--cores 2] [--log-mel]
        [--daemons 1]

The real daemon with a real mosquitto receives real sound: recordings of a desk fan (of the
simulated machine where they are not installed), half of the streams as `file` in real time and half
as `command` from named pipes; from ten streams on, two are microphones if PulseAudio is there.
Every score is published. The latency is the time from the last sample of a window to its score at
a subscriber. The processor time of what feeds the daemon is printed apart. `--cores 1`: the daemon
runs on one core. `--log-mel`: every stream is a `logmel` source in real time. `--daemons 2`: the
streams are divided between so many daemons; their shares of a core and their memory are added.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import psutil
import soundfile
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks._machine import RATE_HZ, RUNS, machine_sound, one_thread, trained_bundle
from benchmarks.daemon import Scores, broker, configuration, daemon
from benchmarks.detection.cases import DATA, files
from monitor.model.bundle import load_bundle
from tests.pulseaudio import PulseAudio
from training.sound.recordings import read_recording

_SOUND_S = 300.0
_VARIANTS = 16
_MICROPHONES = 2


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured with so many streams."""

    streams: int
    ready_s: float
    share: float
    scores: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    feeding: float
    load: float


def real_machine(folder: Path) -> tuple[Path, np.ndarray[tuple[int], np.dtype[np.float32]], str]:
    """A bundle, sound for its machine, and where the sound is from."""
    healthy = DATA / "desk_fan" / "on"
    if not healthy.is_dir():
        return trained_bundle(), machine_sound(_SOUND_S, seed=99), "simulated machine, recorded"
    bundle = RUNS / "streams.bundle"
    recordings = files(healthy)
    if not (bundle / "bundle.json").exists():
        training = folder / "healthy"
        training.mkdir()
        for path in recordings[::2]:
            shutil.copy(path, training)
        auscult = [sys.executable, "-m", "monitor", "train", "audio"]
        subprocess.run([*auscult, str(training), "--out", str(bundle)], check=True)
    sounds = [soundfile.read(path, dtype="float32")[0] for path in recordings]
    return bundle, np.concatenate(sounds), "desk fan"


def sources(folder: Path, sound: Path, count: int, *, microphones: int) -> list[str]:
    """The source of each machine."""
    found = []
    for number in range(count):
        if number < microphones:
            found.append('kind = "microphone"\nsample_rate_hz = 16000')
        elif number % 2:
            path = json.dumps(str(folder / f"sound_{number % _VARIANTS}.wav"))
            found.append(f'kind = "file"\npath = {path}\nrealtime = true\nloop = true')
        else:
            pipe = folder / f"{number}.pcm"
            os.mkfifo(pipe)
            command = json.dumps(["cat", str(pipe)])
            found.append(f'kind = "command"\ncommand = {command}\nsample_rate_hz = {RATE_HZ}')
    write_sounds(folder, sound)
    return found


def write_sounds(folder: Path, sound: Path) -> None:
    """The recordings of the `file` sources: the same sound with other beginnings."""
    samples, rate_hz = soundfile.read(sound, dtype="float32")
    for variant in range(_VARIANTS):
        turned = np.roll(samples, variant * len(samples) // _VARIANTS)
        soundfile.write(folder / f"sound_{variant}.wav", turned, rate_hz, subtype="PCM_16")


def log_mel_sources(folder: Path, sound: Path, count: int, bundle: Path) -> list[str]:
    """The source of each machine, if all deliver log-mel."""
    spec = load_bundle(bundle).spec
    frames_db = read_recording(sound, spec).frames_db
    for variant in range(_VARIANTS):
        turned = np.roll(frames_db, variant * len(frames_db) // _VARIANTS, axis=0)
        np.save(folder / f"log_mel_{variant}.npy", turned)
    rate = f"frame_rate_hz = {spec.frame_rate_hz}\nrealtime = true"
    paths = (json.dumps(str(folder / f"log_mel_{n % _VARIANTS}.npy")) for n in range(count))
    return [f'kind = "logmel"\npath = {path}\n{rate}' for path in paths]


@contextmanager
def feeder(sound: Path, folder: Path, count: int) -> Iterator[psutil.Process]:
    """The program that writes into the pipes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._streams.feeder", sound, folder, str(count)]
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def used_s(processes: list[psutil.Process]) -> float:
    """The processor time of processes that still run."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def measured(bundle: Path, sound: Path, count: int, options: argparse.Namespace) -> Row:
    """One row of the table."""
    hop_s = load_bundle(bundle).spec.window_hop_s
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(broker(folder))
        has_microphones = count >= 10 and not options.log_mel and shutil.which("pulseaudio")
        microphones = _MICROPHONES if has_microphones else 0
        if microphones:
            sub = folder / "pulse"
            sub.mkdir()
            pulse = stack.enter_context(PulseAudio(sub, RATE_HZ))
            samples, rate_hz = soundfile.read(sound, dtype="float32")
            pulse.play(np.tile(samples, 4), rate_hz)
            os.environ.update(pulse.environment)
        if options.log_mel:
            made = log_mel_sources(folder, sound, count, bundle)
        else:
            made = sources(folder, sound, count, microphones=microphones)
        feeding = stack.enter_context(feeder(sound, folder, count))
        daemons, ready_s = [], 0.0
        for number in range(options.daemons):
            own = folder / f"daemon_{number}"
            own.mkdir()
            config = configuration(
                own, port, made[number :: options.daemons], bundle, base_topic=f"bench{number}"
            )
            process, own_ready_s = stack.enter_context(daemon(config, own))
            if options.cores == 1:
                process.cpu_affinity([max(process.cpu_affinity())])
            daemons.append(process)
            ready_s = max(ready_s, own_ready_s)
        time.sleep(options.settle)
        scores, client = Scores(), paho.Client(CallbackAPIVersion.VERSION2)
        client.on_message = scores.take
        client.connect("127.0.0.1", port)
        client.subscribe("+/+/score")
        client.loop_start()
        beside = [feeding, *(child for one in daemons for child in one.children(recursive=True))]
        before, beside_before, begun_s = used_s(daemons), used_s(beside), time.monotonic()
        time.sleep(options.seconds)
        lasted_s = time.monotonic() - begun_s
        share = (used_s(daemons) - before) / lasted_s
        beside_share = (used_s(beside) - beside_before) / lasted_s
        client.loop_stop()
        memory = sum(one.memory_info().rss for one in daemons) / 1e6
    p50, p99 = np.quantile(scores.latency_s or [np.nan], (0.5, 0.99)) * 1000
    due = count * lasted_s / hop_s
    return Row(
        count, ready_s, share, len(scores.latency_s) / due, p50, p99, memory, beside_share,
        os.getloadavg()[0],
    )  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 10, 100, 300, 500])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=20.0, help="before it is measured")
    parser.add_argument("--cores", type=int, choices=(1, 2), default=2)
    parser.add_argument("--daemons", type=int, default=1)
    parser.add_argument("--log-mel", action="store_true", help="every stream is log-mel")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bundle, samples, origin = real_machine(Path(name))
        sound = Path(name) / "sound.wav"
        soundfile.write(sound, samples, RATE_HZ, subtype="PCM_16")
        print(f"sound: {origin}, {len(samples) / RATE_HZ:.0f} s; cores: {options.cores}")
        print(
            "| streams | ready | share of a core | of one stream | scores of those due "
            "| latency p50 | p99 | memory | what feeds it | load |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for count in options.streams:
            row = measured(bundle, sound, count, options)
            print(
                f"| {row.streams} | {row.ready_s:.1f} s | {row.share:.1%} "
                f"| {row.share / row.streams:.2%} | {row.scores:.1%} | {row.p50_ms:.0f} ms "
                f"| {row.p99_ms:.0f} ms | {row.memory_mb:.0f} MB | {row.feeding:.0%} "
                f"| {row.load:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    one_thread()
    main()
