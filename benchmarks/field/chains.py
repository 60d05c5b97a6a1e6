"""What a recording chain does to the score, and what the unscored transition band costs.

    python -m benchmarks.field.chains [--only fan] [--auc] [--seed 0]

First table: each machine is trained on its healthy recordings. A healthy recording that was not
used, and faulty ones, are scored after each chain: the highest score beside the threshold, the
state, and whether an alert was raised. Ends with status 1 if a chain raises an alert of healthy
sound. With ``--auc`` a second table: AUC with the transition band unscored and scored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.detection.cases import DATA, all_cases
from benchmarks.detection.evidence import evidence_of_file
from benchmarks.detection.judge import whole_score
from benchmarks.field.chain_sounds import (
    Chain,
    codec,
    converter,
    ffmpeg_resampled,
    resampled,
    telephone,
    through_rate,
    unchanged,
)
from monitor.audio.files import read_blocks
from monitor.domain import AudioBlock, FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from monitor.sources.registry import open_source
from monitor.sources.settings import SimulatedSettings
from training.metrics import roc_auc
from training.sound.request import AudioRequest
from training.sound.settings import AudioSettings
from training.sound.train import train_audio

CHAINS: dict[str, Chain] = {
    "as it is": unchanged,
    "48 kHz, soxr": resampled(48_000),
    "44.1 kHz, ffmpeg": ffmpeg_resampled(44_100),
    "16 kHz native, converter": converter(),
    "8 kHz native": resampled(8_000),
    "upsampled from 8 kHz": through_rate(8_000),
    "upsampled from 11.025 kHz": through_rate(11_025),
    "telephone": telephone(),
    "MP3, 16 kHz, 32 kbit/s": codec("mp3", "libmp3lame", 32),
    "MP3, 44.1 kHz, 32 kbit/s": codec("mp3", "libmp3lame", 32, 44_100),
    "MP3, 44.1 kHz, 64 kbit/s": codec("mp3", "libmp3lame", 64, 44_100),
    "MP3, 48 kHz, 128 kbit/s": codec("mp3", "libmp3lame", 128, 48_000),
    "Opus, 16 kbit/s": codec("opus", "libopus", 16, 48_000),
    "Opus, 24 kbit/s": codec("opus", "libopus", 24, 48_000),
    "Opus, 32 kbit/s": codec("opus", "libopus", 32, 48_000),
    "Opus, 48 kbit/s": codec("opus", "libopus", 48, 48_000),
    "Opus, 64 kbit/s": codec("opus", "libopus", 64, 48_000),
}
_DECODED_OPUS_S = 15.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Recordings to train on, a healthy one that is left out, and faulty ones."""

    name: str
    train: tuple[Path, ...]
    healthy: Path
    faulty: tuple[Path, ...]
    references: tuple[Path, ...] = ()


def machines(scratch: Path) -> Iterator[Machine]:
    """The machines whose recordings are installed, and a simulated one at 48 kHz."""
    simulated = [_simulated(scratch / f"{part}.flac", part) for part in range(9)]
    broken = _simulated(scratch / "broken.flac", 20, faults=[{"kind": "bearing"}])
    yield Machine("simulated, 48 kHz", tuple(simulated[:8]), simulated[8], (broken,))
    fan = sorted((DATA / "desk_fan" / "on").glob("*"))
    if fan:
        faulty = sorted((DATA / "desk_fan" / "blade_fault").glob("*"))
        yield Machine("desk fan", tuple(fan[:-1]), fan[-1], tuple(faulty))
    flights = sorted((DATA / "uav_propeller" / "normal").glob("*"))
    if flights:
        faulty = sorted((DATA / "uav_propeller" / "broken").glob("*"))
        yield Machine("drone", tuple(flights[:14]), flights[15], tuple(faulty[:6]))
    compressor = sorted((DATA / "compressor" / "rest").rglob("*.flac"))
    if compressor:
        yield Machine("compressor", tuple(compressor[:12]), compressor[12], ())
    fans = sorted((DATA / "mimii_fan" / "normal").glob("*"))
    if fans:
        yield Machine("MIMII fan", tuple(fans[:16]), fans[16], ())
    motor = DATA / "bldc_motor"
    clips = sorted((motor / "healthy" / "m1").glob("*"))
    if clips:
        faulty = sorted((motor / "propeller" / "m1").glob("*"))
        other = (motor / "healthy" / "m2",)
        yield Machine("motor", tuple(clips[:6]), clips[6], tuple(faulty[:4]), other)


def _simulated(path: Path, part: int, **changes: object) -> Path:
    """Fifteen seconds of one machine; each part is another stretch of its life."""
    wanted = {"kind": "simulated", "unit": 3, "seed": part, "sample_rate_hz": 48_000}
    values = wanted | {"duration_s": _DECODED_OPUS_S, "realtime": False} | changes
    source = open_source(SimulatedSettings.model_validate(values))

    blocks = [b.samples for b in source.blocks(threading.Event()) if isinstance(b, AudioBlock)]
    soundfile.write(path, np.concatenate(blocks), 48_000)
    return path


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one recording after one chain; ``highest`` is None where nothing was scored."""

    highest: float | None
    reasons: tuple[str, ...]
    alerts: int


def outcome(bundle: Bundle, network: Network, samples: FloatArray, rate_hz: int) -> Outcome:
    """Sound through the pipeline, a second at a time."""
    pipeline = Pipeline(bundle, network=network)
    outputs = [
        pipeline.push(AudioBlock(samples[first : first + rate_hz], rate_hz, first))
        for first in range(0, len(samples), rate_hz)
    ]
    outputs.append(pipeline.finish())
    scores = [score.value for output in outputs for score in output.scores]
    reasons = [state.reason for output in outputs for state in output.states if state.reason]
    raised = sum(one.kind == "raised" for output in outputs for one in output.decisions)
    return Outcome(max(scores, default=None), tuple(dict.fromkeys(reasons)), raised)


def chain_rows(machine: Machine, scratch: Path, seed: int) -> Iterator[tuple[str, bool]]:
    """A row of the first table for each chain, and whether it is a false alert."""
    request = AudioRequest(
        machine.train, scratch / f"{machine.name}.bundle", references=machine.references, seed=seed
    )
    bundle = train_audio(request).bundle
    network, threshold = Network(bundle), bundle.calibration.threshold
    healthy, rate_hz = _read(machine.healthy)
    faulty = [_read(path) for path in machine.faulty]
    for name, chain in CHAINS.items():
        found = outcome(bundle, network, *chain(healthy, rate_hz))
        faults = [outcome(bundle, network, *chain(*sound)) for sound in faulty]
        highest = "" if found.highest is None else f"{found.highest:.0f}"
        alerts = f"{sum(one.alerts > 0 for one in faults)} of {len(faults)}" if faults else ""
        row = (
            f"| {machine.name} | {name} | {highest} | {threshold:.0f} | "
            f"{', '.join(found.reasons) or 'ok'} | {'yes' if found.alerts else 'no'} | {alerts} |"
        )
        yield row, found.alerts > 0


def _read(path: Path, most_s: float = 30.0) -> tuple[FloatArray, int]:
    blocks, rate_hz = [], 0
    for block in read_blocks(path):
        blocks.append(block.samples)
        rate_hz = block.sample_rate_hz
        if block.end_s >= most_s:
            break
    return np.concatenate(blocks), rate_hz


def auc_rows(scratch: Path, seed: int, only: str) -> Iterator[str]:
    """The mean AUC of each group of cases, with the transition band unscored and scored."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number, case in enumerate(all_cases(scratch, seed)):
        if only not in case.group:
            continue
        both = []
        for share in (0.9, 1.0):
            settings = AudioSettings()
            training = settings.training.model_copy(update={"scored_share": share})
            request = AudioRequest(
                case.train,
                scratch / f"{number}-{share}.bundle",
                references=case.references,
                seed=seed,
                settings=settings.model_copy(update={"training": training}),
            )
            bundle = train_audio(request).bundle
            network = Network(bundle)
            heard = [
                evidence_of_file(path, bundle, network) for path in (*case.healthy, *case.faulty)
            ]
            labels = np.array([0] * len(case.healthy) + [1] * len(case.faulty))
            scores = [whole_score(one.evidence, one.loss, bundle) for one in heard]
            both.append(roc_auc(labels, np.array(scores)))
        found.setdefault(case.group, []).append((both[0], both[1]))
    for group, pairs in found.items():
        unscored, scored = np.mean(pairs, axis=0)
        yield f"| {group} | {unscored:.4f} | {scored:.4f} | {unscored - scored:+.4f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="machines or cases whose names hold this")
    parser.add_argument("--auc", action="store_true", help="only the table of AUC")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    false_alerts = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.auc:
            print("| case | AUC, transition band unscored | scored | gain |\n|---|---|---|---|")
            for row in auc_rows(scratch, arguments.seed, arguments.only):
                print(row, flush=True)
            return
        print("| machine | chain | highest score | threshold | state | alert | faults alerted |")
        print("|---|---|---|---|---|---|---|")
        for machine in machines(scratch):
            if arguments.only in machine.name:
                for row, is_false in chain_rows(machine, scratch, arguments.seed):
                    print(row, flush=True)
                    false_alerts += is_false
    print(f"\n{false_alerts} alerts of healthy sound")
    sys.exit(1 if false_alerts else 0)


if __name__ == "__main__":
    main()
