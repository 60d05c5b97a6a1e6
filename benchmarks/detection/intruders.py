"""Count the false alarms from everyday noises beside a healthy machine.

    python -m benchmarks.detection.intruders [--seeds 3]

The bundle is trained on two thirds of the drone's healthy flights. Noises are mixed into
twenty-second pieces of the other flights: 10 dB below the machine for their whole length, and as
loud as the machine for one second. The first row has the alerts of the pieces without noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._page import write_section
from benchmarks.detection.cases import drone
from benchmarks.detection.command import run
from benchmarks.detection.injection import evenly, sound_pieces
from benchmarks.detection.judge import replay
from benchmarks.detection.mixing import RATE_HZ, at_level, noises
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from training.sound.train import AudioRequest, train_audio

NEEDED = ("uav_propeller", "esc10_noise")
CLASSES = ("clock_tick", "chainsaw", "helicopter")
START = 8 * RATE_HZ
HEADER = (
    "| seed | noise | mixtures | 10 dB below for 5 s | equal level for 1 s |",
    "|---|---|---|---|---|",
)


class Alarm:
    """A bundle that counts the alerts of sounds."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._bundle, self._network = bundle, Network(bundle)
        self._path = folder / "mixed.wav"

    def alerts(self, sounds: Sequence[FloatArray]) -> int:
        """The number of alerts in all sounds."""
        return sum(map(self._raised, sounds))

    def _raised(self, sound: FloatArray) -> int:
        soundfile.write(self._path, sound, RATE_HZ, subtype="FLOAT")
        return replay(self._path, self._bundle, self._network).alerts


def twenty_second_pieces(paths: Sequence[Path]) -> list[FloatArray]:
    """Pairs of successive ten-second pieces of each recording, joined."""
    long = []
    for path in paths:
        pieces = list(sound_pieces(path))
        long += [np.concatenate(pieces[i : i + 2]) for i in range(0, len(pieces) - 1, 2)]
    return long


def rows(seed: int, folder: Path) -> list[str]:
    """The rows of one seed."""
    case = next(drone(seed))
    bundle = train_audio(AudioRequest(case.train, folder / f"{seed}.bundle", seed=seed)).bundle
    alarm = Alarm(bundle, folder)
    machine = twenty_second_pieces(case.healthy)
    alone = alarm.alerts(machine)
    lines = [f"| {seed} | none | {len(machine)} pieces: {alone} alerts | | |"]
    for name in CLASSES:
        clips = noises(name)
        chosen = evenly(machine, len(clips))
        pairs = [(chosen[i % len(chosen)], clip) for i, clip in enumerate(clips)]
        faint = alarm.alerts([at_level(m, clip, -10.0, START) for m, clip in pairs])
        loud = alarm.alerts([at_level(m, clip[:RATE_HZ], 0.0, START) for m, clip in pairs])
        lines.append(f"| {seed} | {name} | {len(pairs)} | {faint} | {loud} |")
        print(lines[-1], flush=True)
    return lines


def measure(seeds: int) -> None:
    """Measure, print, and write to the documentation."""
    with tempfile.TemporaryDirectory() as name:
        lines = [line for seed in range(seeds) for line in rows(seed, Path(name))]
    write_section("intruders", "\n".join((*HEADER, *lines)))


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
