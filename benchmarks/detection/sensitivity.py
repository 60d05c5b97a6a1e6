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

from benchmarks._page import write_section
from benchmarks.detection.cases import DATA, Case, all_cases
from benchmarks.detection.judge import spectrum_of, whole_score
from benchmarks.detection.mixing import FAULTS, RATE_HZ, at_level, noises, read, simulated_fault
from monitor.bundle import Bundle
from monitor.detector_settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.features import log_mel_frames
from monitor.network import Network
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
        whole = whole_score(output.evidence, output.loss, self._bundle)
        offset = spectrum_of(recording.frames_db) - self._centre
        return whole, float(output.loss.mean()), float(offset @ self._precision @ offset)


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


Curve = dict[str, npt.NDArray[np.float64]]
"""AUC by level for every score. Shape: ``(n_levels,)``."""


def curves(
    healthy: list[FloatArray], judges: Judges, faults: dict[str, list[FloatArray]]
) -> dict[str, Curve]:
    """The curve of each kind of fault, every piece of healthy sound with every kind."""
    clean = np.array([judges.scores(piece) for piece in healthy])
    found: dict[str, Curve] = {}
    for kind, sounds in faults.items():
        by_level = [
            [
                judges.scores(at_level(piece, sounds[i % len(sounds)], level_db, 0))
                for i, piece in enumerate(healthy)
            ]
            for level_db in LEVELS_DB
        ]
        labels = np.repeat([0, 1], len(healthy))
        found[kind] = {
            name: np.array(
                [
                    roc_auc(labels, np.concatenate((clean[:, i], np.array(mixed)[:, i])))
                    for mixed in by_level
                ]
            )
            for i, name in enumerate(SCORES)
        }
    return found


def level_reached_db(aucs: npt.NDArray[np.float64]) -> float:
    """The level at which the curve reaches an AUC of 0.9, between levels by a straight line.

    Infinite where it never does, minus infinite where it is above at the lowest level.
    """
    above = np.flatnonzero(aucs >= WANTED_AUC)
    if not above.size:
        return float("inf")
    first = int(above[0])
    if first == 0:
        return float("-inf")
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
    runs: list[dict[str, Curve]] = []
    intruders: dict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds):
            case = next(c for c in all_cases(folder, seed) if c.group == "drone")
            bundle = train_audio(
                AudioRequest(case.train, folder / f"{seed}.bundle", seed=seed)
            ).bundle
            healthy = pieces(case.healthy)
            runs.append(curves(healthy, Judges(case, bundle), _faults()))
            for kind, row in intruder_alerts(healthy, bundle, folder).items():
                intruders[kind].append(row)
    text = "\n\n".join((_curve_table(runs), _intruder_table(intruders)))
    print(text)
    write_section("sensitivity", f"{options.seeds} seeds.\n\n{text}")


def _faults() -> dict[str, list[FloatArray]]:
    """The sounds of each kind of fault."""
    simulated = {kind: [simulated_fault(kind, PIECE_S, s) for s in range(3)] for kind in FAULTS}
    return {**simulated, "clock ticks": [np.tile(tick, 3) for tick in noises("clock_tick")]}


def _curve_table(runs: list[dict[str, Curve]]) -> str:
    lines = [
        f"| fault | score | {' | '.join(f'{level} dB' for level in LEVELS_DB)} | AUC .9 at |",
        "|---" * (len(LEVELS_DB) + 3) + "|",
    ]
    for kind in runs[0]:
        for score in SCORES:
            mean = np.mean([run[kind][score] for run in runs], axis=0)
            figures = " | ".join(f"{auc:.2f}" for auc in mean)
            reached_db = level_reached_db(mean)
            below = f"below {LEVELS_DB[0]}"
            at = below if reached_db == float("-inf") else f"{reached_db:.1f}"
            lines.append(f"| {kind} | {score} | {figures} | {at} dB |")
    return "\n".join(lines)


def _intruder_table(intruders: dict[str, list[str]]) -> str:
    lines = [
        "| noise | alerts, 10 dB below for 5 s | alerts, equal level for 1 s |",
        "|---|---|---|",
    ]
    lines += [f"| {kind} | {row} |" for kind, rows in intruders.items() for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
