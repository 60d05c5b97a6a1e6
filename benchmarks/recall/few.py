"""Count the false alarms of machines that are trained on four recordings only.

    python -m benchmarks.recall.few [--only drone] [--draws 4]

Four recordings of each machine are drawn at random. All its other healthy recordings are replayed
at one false alarm a week.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks._machine import one_thread
from benchmarks._page import write_section
from benchmarks.detection.command import exit_without
from benchmarks.detection.mixing import read
from benchmarks.recall.machines import Machine, machines
from benchmarks.recall.replayed import blocks_of
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from training.sound.train import AudioRequest, train_audio

NAMES = ("fan", "drone", "mimii", "compressor")
RECORDINGS = 4


def alerts_of(machine: Machine, draw: int, out: Path) -> tuple[int, float]:
    """The alerts of the other recordings, and how many minutes these are long."""
    drawn = set(np.random.default_rng(draw).choice(len(machine.train), RECORDINGS, replace=False))
    trained = tuple(path for index, path in enumerate(machine.train) if index in drawn)
    bundle = train_audio(AudioRequest(trained, out, machine.references, seed=draw)).bundle
    network, rate_hz = Network(bundle), bundle.spec.sample_rate_hz
    others = [path for path in (*machine.train, *machine.unused) if path not in trained]
    alerts, n_samples = 0, 0
    for path in others:
        pipeline, sound = Pipeline(bundle, network=network), read(path)
        for output in (*map(pipeline.push, blocks_of(sound, rate_hz)), pipeline.finish()):
            alerts += sum(decision.kind == "raised" for decision in output.decisions)
        n_samples += len(sound)
    return alerts, n_samples / rate_hz / 60.0


def rows(names: list[str], draws: int, scratch: Path) -> Iterator[str]:
    """A row of the table for each machine."""
    yield "| machine | trainings on four recordings | healthy sound replayed | false alarms |"
    yield "|---|---|---|---|"
    for machine in machines(scratch, 0, names):
        found = [
            alerts_of(machine, draw, scratch / f"{machine.name}-{draw}.bundle")
            for draw in range(draws)
        ]
        alerts, minutes = np.sum(found, axis=0).tolist()
        yield f"| {machine.name} | {draws} | {minutes:.0f} min | {alerts:.0f} |"


def main() -> None:
    """Measure and print; write to the documentation if everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    exit_without(parser, ["."])
    with tempfile.TemporaryDirectory() as scratch:
        text = "\n".join(rows(options.only, options.draws, Path(scratch)))
    print(text)
    if len(options.only) == len(NAMES):
        write_section("few", text)


if __name__ == "__main__":
    one_thread()
    main()
