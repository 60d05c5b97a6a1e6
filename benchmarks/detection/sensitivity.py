"""How faint a fault is still heard: AUC against its level, and what intruders raise.

    python -m benchmarks.detection.sensitivity [--seeds 3]

Trained on two thirds of the drone's healthy flights. Ten-second pieces of the other
flights are judged as they are and with a fault mixed in, from -30 to +6 dB of the
machine's own level: simulated faults, and clock ticks. Beside the score stand the plain
error of the same network and the control without one. Then everyday noises: 10 dB below
the machine for as long as they last, and as loud as the machine for one second.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from sklearn.covariance import LedoitWolf

from benchmarks.detection.cases import DATA, Case, all_cases
from benchmarks.detection.judge import spectrum_of
from benchmarks.detection.mixing import FAULTS, RATE_HZ, at_level, noises, read, simulated_fault
from monitor.bundle import Bundle
from monitor.detector_settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.features import log_mel_frames
from monitor.network import Network
from monitor.recording_score import RecordingScore
from monitor.replay import ReplaySinks, replay_recording
from training.audio import AudioRequest, train_audio
from training.evaluation import roc_auc
from training.recordings import Recording, read_machine

LEVELS_DB = tuple(range(-30, 7, 6))
PIECE_S = 10
CLASSES = ("clock_tick", "chainsaw", "helicopter")
SCORES = ("auscult", "plain error", "no network")
WANTED_AUC = 0.9


class Judges:
    """The three scores of a piece of sound."""

    def __init__(self, case: Case, bundle: Bundle) -> None:
        self._bundle, self._network = bundle, Network(bundle)
        spectra = np.stack(
            [spectrum_of(r.frames_db) for r in _pieces_of(read_machine(case.train, bundle.spec))]
        )
        self._centre = spectra.mean(axis=0)
        self._precision = LedoitWolf(assume_centered=True).fit(spectra - self._centre).precision_

    def scores(self, samples: FloatArray) -> tuple[float, float, float]:
        """The score, the plain error, the distance of the mean spectrum."""
        spec = self._bundle.spec
        recording = Recording("piece", log_mel_frames(samples, spec))
        output = self._network.run(recording.windows(spec))
        whole = RecordingScore(spec, self._bundle.manifest.score.kind, self._bundle.head)
        for evidence, loss in zip(output.evidence, output.loss, strict=True):
            whole.push(evidence, float(loss))
        offset = spectrum_of(recording.frames_db) - self._centre
        return whole.value, float(output.loss.mean()), float(offset @ self._precision @ offset)


def _pieces_of(recordings: list[Recording]) -> list[Recording]:
    """Ten-second stretches, so that the control learns from what it will judge."""
    frames = round(PIECE_S * RATE_HZ / 512)
    return [
        Recording(r.name, r.frames_db[first : first + frames])
        for r in recordings
        for first in range(0, len(r.frames_db) - frames + 1, frames)
    ]


def pieces(paths: tuple[Path, ...]) -> list[FloatArray]:
    """Ten-second pieces of the recordings, the first and the last of each left out."""
    length = PIECE_S * RATE_HZ
    cut = []
    for path in paths:
        sound = read(path)
        starts = range(length, len(sound) - 2 * length + 1, length)
        cut += [sound[start : start + length] for start in starts]
    return cut


def curve(
    healthy: list[FloatArray], judges: Judges, fault: dict[str, list[FloatArray]]
) -> dict[str, npt.NDArray[np.float64]]:
    """AUC by level for every score, all kinds of the fault together. Shape: ``(n_levels,)``."""
    clean = [judges.scores(piece) for piece in healthy]
    sounds = [sound for kind in fault.values() for sound in kind]
    by_score: dict[str, list[float]] = defaultdict(list)
    for level_db in LEVELS_DB:
        mixed = [
            judges.scores(at_level(piece, sounds[i % len(sounds)], level_db, 0))
            for i, piece in enumerate(healthy)
        ]
        labels = [0] * len(clean) + [1] * len(mixed)
        for index, name in enumerate(SCORES):
            values = [row[index] for row in (*clean, *mixed)]
            by_score[name].append(roc_auc(labels, values))
    return {name: np.array(values) for name, values in by_score.items()}


def level_reached_db(aucs: npt.NDArray[np.float64]) -> float:
    """The level at which the curve reaches an AUC of 0.9, between levels by a straight line."""
    above = np.flatnonzero(aucs >= WANTED_AUC)
    if not above.size:
        return float("inf")
    first = int(above[0])
    if first == 0:
        return float(LEVELS_DB[0])
    low, high = aucs[first - 1], aucs[first]
    share = (WANTED_AUC - low) / (high - low)
    return float(LEVELS_DB[first - 1] + share * (LEVELS_DB[first] - LEVELS_DB[first - 1]))


def intruder_alerts(healthy: list[FloatArray], bundle: Bundle, folder: Path) -> dict[str, str]:
    """Alerts that everyday noises raise, by class: of the lasting faint and of the loud second."""
    network = Network(bundle)
    sinks = ReplaySinks(lambda _name, _score: None, lambda _name, _alert: None)

    def raised(sound: FloatArray) -> int:
        path = folder / "mixed.wav"
        soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
        return replay_recording(
            path, bundle, network, DetectorSettings(), sinks, machine="m", start_unix_s=0.0
        ).alerts

    table = {}
    long = [np.concatenate(healthy[i : i + 2]) for i in range(0, len(healthy) - 1, 2)]
    for name in CLASSES:
        clips = noises(name)
        pairs = [(long[i % len(long)], clip) for i, clip in enumerate(clips)]
        faint = sum(raised(at_level(m, clip, -10.0, 8 * RATE_HZ)) for m, clip in pairs)
        loud = sum(raised(at_level(m, clip[:RATE_HZ], 0.0, 8 * RATE_HZ)) for m, clip in pairs)
        table[name] = f"{faint} of {len(pairs)} | {loud} of {len(pairs)}"
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if not (DATA / "uav_propeller").is_dir():
        parser.exit(66, f"{DATA}: the evaluation recordings are not there; set AUSCULT_DATA\n")
    curves: dict[str, list[dict[str, npt.NDArray[np.float64]]]] = defaultdict(list)
    intruders: dict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds):
            case = next(c for c in all_cases(folder, seed) if c.group == "drone")
            bundle = train_audio(
                AudioRequest(case.train, folder / f"{seed}.bundle", seed=seed)
            ).bundle
            judges, healthy = Judges(case, bundle), pieces(case.healthy)
            simulated = {k: [simulated_fault(k, PIECE_S, s) for s in range(3)] for k in FAULTS}
            ticks = {"clock_tick": [np.tile(t, 3) for t in noises("clock_tick")]}
            for title, fault in (("simulated faults", simulated), ("clock ticks", ticks)):
                curves[title].append(curve(healthy, judges, fault))
            for kind, row in intruder_alerts(healthy, bundle, folder).items():
                intruders[kind].append(row)
    print("| fault | score | " + " | ".join(f"{db} dB" for db in LEVELS_DB) + " | AUC .9 at |")
    print("|---" * (len(LEVELS_DB) + 3) + "|")
    for title, runs in curves.items():
        for score in SCORES:
            mean = np.mean([run[score] for run in runs], axis=0)
            figures = " | ".join(f"{auc:.2f}" for auc in mean)
            print(f"| {title} | {score} | {figures} | {level_reached_db(mean):.0f} dB |")
    print("\n| noise | alerts, 10 dB below for 5 s | alerts, equal level for 1 s |\n|---|---|---|")
    for kind, rows in intruders.items():
        for row in rows:
            print(f"| {kind} | {row} |")


if __name__ == "__main__":
    main()
