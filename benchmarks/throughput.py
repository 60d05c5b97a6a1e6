"""Replay throughput in multiples of real time, on one core, in one run.

    python -m benchmarks.throughput [--minutes M] [--hours H]

It compares three programs on the same file: this project's replay; the usual pipeline of
the field (librosa log-mel, five stacked frames, a dense 640-128x4-8-128x4-640 autoencoder
in eager torch, as in the DCASE 2020 Task 2 baseline); and the minimum, which is decoding,
``rfft``, the mel product and the ONNX graph without anything else. The processor time is
measured, so that other programs have little influence. Then the peak memory of a replay of
ten minutes and of ten hours is measured.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from benchmarks._machine import RATE_HZ, machine_sound, one_thread, trained_bundle

TARGET_OVER_FIELD = 5.0
TARGET_OF_MINIMUM = 0.5
ROUNDS = 5


def ours(recording: Path, bundle_path: Path) -> Callable[[], None]:
    """The complete replay of a recording, with its table."""
    from monitor.detection.settings import DetectorSettings
    from monitor.model.bundle import load_bundle
    from monitor.model.network import Network
    from monitor.offline.replay import ReplaySinks, replay_recording

    bundle = load_bundle(bundle_path)
    network = Network(bundle)

    def run() -> None:
        with tempfile.TemporaryFile("w", newline="") as file:
            rows = csv.writer(file)
            sinks = ReplaySinks(
                score=lambda name, score: rows.writerow([name, score.value, score.loss]),
                alert=lambda name, alert, _at_s: rows.writerow([name, alert.at]),
            )
            summary = replay_recording(
                recording,
                bundle,
                network,
                DetectorSettings(),
                sinks,
                machine="benchmark",
                start_unix_s=0.0,
            )
            assert not summary.error, summary.error

    return run


def field(recording: Path) -> Callable[[], None]:
    """librosa log-mel and a dense autoencoder over five stacked frames in eager torch."""
    import librosa
    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(1)
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    layers: list[nn.Module] = []
    for index, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(n_in, n_out))
        if index < len(sizes) - 2:
            layers += [nn.BatchNorm1d(n_out), nn.ReLU()]
    network = nn.Sequential(*layers).eval()

    def run() -> None:
        samples, rate = librosa.load(recording, sr=None)
        mel = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=128
        )
        log_mel = (20.0 / 2.0 * np.log10(np.maximum(mel, sys.float_info.epsilon))).T
        stacked = np.lib.stride_tricks.sliding_window_view(log_mel, 5, axis=0)
        vectors = torch.from_numpy(stacked.reshape(len(stacked), -1).astype(np.float32))
        with torch.no_grad():
            for batch in vectors.split(512):  # type: ignore[no-untyped-call]  # torch does not type it
                ((network(batch) - batch) ** 2).mean(dim=1).numpy()

    return run


def minimum(recording: Path, bundle_path: Path) -> Callable[[], None]:
    """Decoding, rfft, mel product and graph, without anything else."""
    import numpy as np
    import soundfile

    from monitor.model.bundle import load_bundle
    from monitor.model.network import Network

    bundle = load_bundle(bundle_path)
    network = Network(bundle)
    spec = bundle.spec
    weights = np.ascontiguousarray(spec.mel_filterbank.T.astype(np.float32))
    hann = np.hanning(spec.n_fft + 1)[:-1].astype(np.float32)

    def run() -> None:
        for samples in soundfile.blocks(
            recording, blocksize=60 * RATE_HZ, overlap=spec.n_fft, dtype="float32"
        ):
            view = np.lib.stride_tricks.sliding_window_view(samples, spec.n_fft)
            spectrum = np.fft.rfft(view[:: spec.hop_length] * hann)
            mel = np.log10(
                (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ weights + 1e-10
            )
            starts = range(0, len(mel) - spec.window_frames + 1, spec.window_hop_frames)
            windows = [mel[start : start + spec.window_frames].T for start in starts]
            if windows:
                network.run(np.stack(windows))

    return run


def seconds_of(run: Callable[[], None]) -> float:
    """The processor time of one run. With one thread this is its duration on an idle core."""
    started = time.process_time()
    run()
    return time.process_time() - started


def peak_megabytes(recording: Path, bundle: Path) -> float:
    """Peak resident memory of ``auscult replay`` on a file, as reported by the kernel."""
    program = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6)"
    )
    replay = [sys.executable, "-m", "monitor", "replay", str(bundle), str(recording)]
    printed = subprocess.run(
        [sys.executable, "-c", program, *replay], check=True, capture_output=True, text=True
    )
    return float(printed.stdout)


def write_recording(path: Path, seconds: float) -> Path:
    """A recording of any length: ten minutes of the simulated machine, repeated."""
    import soundfile

    if not path.exists():
        sound = machine_sound(min(seconds, 600.0))
        with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
            for _ in range(round(seconds / (len(sound) / RATE_HZ))):
                file.write(sound)
    return path


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the timed recording")
    parser.add_argument(
        "--hours", type=float, default=10.0, help="of the long one; 0 leaves it out"
    )
    options = parser.parse_args()
    bundle = trained_bundle()
    with tempfile.TemporaryDirectory() as folder:
        recording = write_recording(Path(folder) / "short.wav", options.minutes * 60)
        runs = {"auscult": ours(recording, bundle), "field": field(recording)}
        runs["minimum"] = minimum(recording, bundle)
        for run in runs.values():
            run()
        rounds = [{name: seconds_of(run) for name, run in runs.items()} for _ in range(ROUNDS)]
        long_mb = short_mb = 0.0
        if options.hours:
            short_mb = peak_megabytes(recording, bundle)
            long_mb = peak_megabytes(
                write_recording(Path(folder) / "long.wav", options.hours * 3600), bundle
            )
    for name, title in (
        ("auscult", "auscult replay"),
        ("field", "librosa + dense autoencoder in torch"),
        ("minimum", "decode, rfft, mel, graph alone"),
    ):
        best = min(r[name] for r in rounds)
        print(f"{title:38} {options.minutes * 60 / best:8.0f} x real time")
    over_field = statistics.median(r["field"] / r["auscult"] for r in rounds)
    of_minimum = statistics.median(r["minimum"] / r["auscult"] for r in rounds)
    print(
        f"{'of the usual pipeline (median)':38} {over_field:8.1f} x   target {TARGET_OVER_FIELD:g}"
    )
    print(f"{'of the minimum (median)':38} {of_minimum:8.2f} x   target {TARGET_OF_MINIMUM:g}")
    if options.hours:
        print(f"{'peak memory, short / long recording':38} {short_mb:8.0f} MB / {long_mb:.0f} MB")


if __name__ == "__main__":
    one_thread()
    main()
