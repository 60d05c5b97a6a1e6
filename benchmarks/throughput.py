"""Replay throughput in multiples of real time, on one core, in one run.

    python -m benchmarks.throughput [--minutes M] [--hours H]

It compares five programs on the same file: this project's replay; the usual pipeline of the
field (librosa log-mel, five stacked frames, a dense 640-128x4-8-128x4-640 autoencoder in eager
torch, as in the DCASE 2020 Task 2 baseline); its later version, the DCASE 2023 Task 2 baseline,
written anew from its description, with normalised layers everywhere and one score for the
recording; the minimum, which is decoding, ``rfft``, the mel product and the ONNX graph without
anything else; and the floor, which is the same in single precision and in tiles that fit into the
processor's cache. The processor time is measured, so that other programs have little influence.
Every ratio is the median over the rounds, in each of which all programs run. Then the peak memory
of a replay of ten minutes and of ten hours is measured.
"""

from __future__ import annotations

import argparse
import csv
import os
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


def field_2023(recording: Path) -> Callable[[], None]:
    """The autoencoder baseline of DCASE 2023 Task 2, with the mean squared error as its score."""
    import librosa
    import numpy as np
    import torch
    from torch import nn

    torch.set_num_threads(1)
    n_mels, n_frames = 128, 5
    sizes = [n_mels * n_frames, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out, momentum=0.01, eps=1e-3)]
        layers.append(nn.ReLU())
    network = nn.Sequential(*layers, nn.Linear(sizes[-1], sizes[0])).eval()

    def vectors_of(path: Path) -> torch.Tensor:
        samples, rate = librosa.load(path, sr=None, mono=True)
        mel = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=n_mels, power=2.0
        )
        log_mel = 20.0 / 2.0 * np.log10(np.maximum(mel, sys.float_info.epsilon))
        n_vectors = log_mel.shape[1] - n_frames + 1
        vectors = np.zeros((n_vectors, n_mels * n_frames), dtype=np.float32)
        for frame in range(n_frames):
            part = log_mel[:, frame : frame + n_vectors].T
            vectors[:, n_mels * frame : n_mels * (frame + 1)] = part
        return torch.from_numpy(vectors)

    def run() -> None:
        vectors = vectors_of(recording)
        with torch.no_grad():
            nn.functional.mse_loss(network(vectors), vectors, reduction="none").mean().item()

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


def floor(recording: Path, bundle_path: Path) -> Callable[[], None]:
    """The minimum in single precision, in tiles, as fast as it can be written."""
    import numpy as np
    import soundfile

    from monitor.features.fourier import transform
    from monitor.model.bundle import load_bundle
    from monitor.model.network import Network

    bundle = load_bundle(bundle_path)
    network = Network(bundle)
    spec = bundle.spec
    hop, n_frames, n_bins = spec.hop_length, 32, spec.n_fft // 2 + 1
    window = (spec.n_fft * np.hanning(spec.n_fft + 1)[:-1]).astype(np.float32)
    filterbank = spec.mel_filterbank.astype(np.float32)
    groups = []
    for bands in np.array_split(np.arange(spec.n_mels), 4):
        bins = np.flatnonzero(filterbank[bands].any(axis=0))
        weights = np.ascontiguousarray(filterbank[bands, bins[0] : bins[-1] + 1].T)
        groups.append((slice(bins[0], bins[-1] + 1), slice(bands[0], bands[-1] + 1), weights))
    n_block = 8 * spec.window_hop_samples
    whole = np.empty((n_block, 1), np.int16)
    samples = np.zeros(n_block + spec.n_fft, np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, spec.n_fft)[:-1:hop]
    windowed = np.empty((n_frames, spec.n_fft), np.float32)
    spectrum = np.empty((n_frames, n_bins), np.complex64)
    parts = spectrum.reshape(-1).view(np.float32)
    power = np.empty((n_frames, n_bins), np.float32)
    flat = power.reshape(-1)
    kept = spec.window_frames - spec.window_hop_frames
    mel = np.zeros((kept + len(frames), spec.n_mels), np.float32)
    starts = range(0, len(frames), spec.window_hop_frames)

    def run() -> None:
        with soundfile.SoundFile(recording) as file:
            while len(file.read(out=whole)) == n_block:
                samples[: spec.n_fft] = samples[-spec.n_fft :]
                np.multiply(whole[:, 0], np.float32(2.0**-15), out=samples[spec.n_fft :])
                mel[:kept] = mel[-kept:]
                for first in range(0, len(frames), n_frames):
                    np.multiply(frames[first : first + n_frames], window, windowed)
                    transform(windowed, spectrum)
                    np.multiply(parts, parts, parts)
                    np.add(parts[::2], parts[1::2], flat)
                    into = mel[kept + first : kept + first + n_frames]
                    for bins, bands, weights in groups:
                        np.matmul(power[:, bins], weights, out=into[:, bands])
                    np.add(into, np.float32(1e-10), into)
                    np.log10(into, into)
                windows = [mel[start : start + spec.window_frames].T for start in starts]
                network.run(np.stack(windows))

    return run


def seconds_of(run: Callable[[], None]) -> float:
    """The processor time of one run. With one thread this is its duration on an idle core."""
    started = time.process_time()
    run()
    return time.process_time() - started


def two_processes(recording: Path, bundle: Path) -> tuple[float, float]:
    """Of ``auscult replay --jobs 2``, relative to ``--jobs 1``: speed and processor time.

    The speed is that of the wall clock, so two cores must be idle. The median of three pairs.
    """
    pairs = []
    for _ in range(3):
        times = []
        for jobs in ("1", "2"):
            auscult = [sys.executable, "-m", "monitor", "replay", str(bundle), str(recording)]
            before, begun_s = os.times(), time.perf_counter()
            subprocess.run([*auscult, "--jobs", jobs], check=True, stdout=subprocess.DEVNULL)
            wall_s, after = time.perf_counter() - begun_s, os.times()
            used = after.children_user + after.children_system
            times.append((wall_s, used - before.children_user - before.children_system))
        (one_s, one_cpu_s), (two_s, two_cpu_s) = times
        pairs.append((one_s / two_s, two_cpu_s / one_cpu_s))
    speeds, costs = zip(*pairs, strict=True)
    return statistics.median(speeds), statistics.median(costs)


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
        runs = {
            "auscult": ours(recording, bundle),
            "field": field(recording),
            "field 2023": field_2023(recording),
            "minimum": minimum(recording, bundle),
            "floor": floor(recording, bundle),
        }
        for run in runs.values():
            run()
        rounds = [{name: seconds_of(run) for name, run in runs.items()} for _ in range(ROUNDS)]
        long_mb = short_mb = 0.0
        if options.hours:
            short_mb = peak_megabytes(recording, bundle)
            long = write_recording(Path(folder) / "long.wav", options.hours * 3600)
            long_mb = peak_megabytes(long, bundle)
        shared = {}
        for hours in (1, 5):
            longer = write_recording(Path(folder) / f"{hours}_hours.wav", 3600.0 * hours)
            shared[hours] = two_processes(longer, bundle)
    for name, title in (
        ("auscult", "auscult replay"),
        ("field", "librosa + dense autoencoder in torch"),
        ("field 2023", "DCASE 2023 baseline"),
        ("minimum", "decode, rfft, mel, graph alone"),
        ("floor", "the same in single precision, in tiles"),
    ):
        best = min(r[name] for r in rounds)
        print(f"{title:38} {options.minutes * 60 / best:8.0f} x real time")
    for name, title, target in (
        ("field", "of the usual pipeline (median)", f"   target {TARGET_OVER_FIELD:g}"),
        ("field 2023", "of the DCASE 2023 baseline (median)", ""),
        ("minimum", "of the minimum (median)", f"   target {TARGET_OF_MINIMUM:g}"),
        ("floor", "of the floor (median)", ""),
    ):
        ratio = statistics.median(r[name] / r["auscult"] for r in rounds)
        print(f"{title:38} {ratio:8.2f} x{target}")
    for hours, (faster, cost) in shared.items():
        print(
            f"{f'--jobs 2 over --jobs 1, {hours} h (median)':38} {faster:8.2f} x   target 1.8, "
            f"{cost:.2f} x the processor time"
        )
    if options.hours:
        print(f"{'peak memory, short / long recording':38} {short_mb:8.0f} MB / {long_mb:.0f} MB")


if __name__ == "__main__":
    one_thread()
    main()
