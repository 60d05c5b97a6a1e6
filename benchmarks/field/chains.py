"""What a recording chain does to the score, and what the unscored transition band costs.

    python -m benchmarks.field.chains [--only fan] [--auc [--seeds 2]]

First table: each machine is trained on its healthy recordings. A healthy recording that was not
used, and faulty ones, are scored after each chain: the highest score beside the threshold, the
state, and whether an alert was raised. The second table sums the machines up. Ends with status 1
if a chain raises an alert of healthy sound, except those in ``NOT_GUARANTEED``. With ``--auc``
another table: how well faults are separated with the transition band scored (share 1 of the
Nyquist frequency) and unscored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._page import write_section
from benchmarks.detection.cases import DATA, Case, all_cases
from benchmarks.detection.evidence import evidence_of_file
from benchmarks.detection.judge import whole_score
from benchmarks.field.chain_sounds import (
    Chain,
    codec,
    converter,
    few_bits,
    ffmpeg_resampled,
    high_pass,
    resampled,
    telephone,
    through_rate,
    unchanged,
)
from benchmarks.field.rows import Row
from monitor.audio.files import read_blocks
from monitor.domain import AudioBlock, FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from monitor.sources.registry import open_source
from monitor.sources.settings import SimulatedSettings
from training.metrics import partial_auc, roc_auc
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
    **{
        f"high-pass, {cut_hz} Hz, order {order}": high_pass(cut_hz, order)
        for cut_hz in (100, 200, 300, 500)
        for order in (2, 4)
    },
    "8 bits with dither": few_bits(8),
    "MP3, 16 kHz, 32 kbit/s": codec("mp3", "libmp3lame", 32),
    "MP3, 16 kHz, 64 kbit/s": codec("mp3", "libmp3lame", 64, 16_000),
    "MP3, 44.1 kHz, 32 kbit/s": codec("mp3", "libmp3lame", 32, 44_100),
    "MP3, 44.1 kHz, 64 kbit/s": codec("mp3", "libmp3lame", 64, 44_100),
    "MP3, 48 kHz, 128 kbit/s": codec("mp3", "libmp3lame", 128, 48_000),
    "Opus, 16 kbit/s": codec("opus", "libopus", 16, 48_000),
    "Opus, 24 kbit/s": codec("opus", "libopus", 24, 48_000),
    "Opus, 32 kbit/s": codec("opus", "libopus", 32, 48_000),
    "Opus, 48 kbit/s": codec("opus", "libopus", 48, 48_000),
    "Opus, 64 kbit/s": codec("opus", "libopus", 64, 48_000),
}
NOT_GUARANTEED = (
    "MP3, 44.1 kHz, 64 kbit/s",
    "Opus, 16 kbit/s",
    "Opus, 24 kbit/s",
    "Opus, 32 kbit/s",
    "Opus, 48 kbit/s",
)
"""Decoded before the program receives it, such sound does not show that it was encoded. As a file
it is ``capture_changed``."""
SIMULATED_S = 15.0
AUC_HEADER = (
    "| case | scored share | AUC / pAUC | lowest faulty / highest healthy score |\n"
    "|---|---|---|---|"
)
SHARES = (0.9, 0.95, 1.0)
"""Of the Nyquist frequency. 1 scores the transition band too; 0.95 is the default."""


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
    values = wanted | {"duration_s": SIMULATED_S, "realtime": False} | changes
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


@dataclass(frozen=True, slots=True)
class Chained:
    """What one chain does to a machine: healthy sound, and the faulty recordings that alert."""

    machine: str
    chain: str
    healthy: Outcome
    threshold: float
    n_alerted: int
    n_faulty: int
    seconds: float

    def __str__(self) -> str:
        """A row of the table of this module."""
        highest = "" if self.healthy.highest is None else f"{self.healthy.highest:.0f}"
        alerted = f"{self.n_alerted} of {self.n_faulty}" if self.n_faulty else ""
        return (
            f"| {self.machine} | {self.chain} | {highest} | {self.threshold:.0f} | "
            f"{', '.join(self.healthy.reasons) or 'ok'} | "
            f"{'yes' if self.healthy.alerts else 'no'} | {alerted} |"
        )

    @property
    def is_false_alert(self) -> bool:
        """Whether healthy sound alerts after a chain for which this is guaranteed not to happen."""
        return self.healthy.alerts > 0 and self.chain not in NOT_GUARANTEED

    @property
    def row(self) -> Row:
        """A row of the table of all faults."""
        result = f"faults that alert: {self.n_alerted} of {self.n_faulty}"
        if self.healthy.alerts and not self.is_false_alert:
            result += ", healthy sound alerts, not guaranteed"
        return Row(
            "chain",
            f"{self.machine}, {self.chain}",
            result,
            ", ".join(self.healthy.reasons),
            self.seconds,
            self.seconds,
            "healthy sound alerts" if self.is_false_alert else "",
        )


def rows(folder: Path) -> Iterator[Row]:
    """A row for each machine and chain."""
    for machine in machines(folder):
        for chained in chain_all(machine, folder, seed=0):
            yield chained.row


def chain_all(machine: Machine, scratch: Path, seed: int) -> Iterator[Chained]:
    """Train on a machine, and score its healthy and faulty sound after each chain."""
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
        n_alerted = sum(one.alerts > 0 for one in faults)
        seconds = len(healthy) / rate_hz
        yield Chained(machine.name, name, found, threshold, n_alerted, len(faults), seconds)


def _read(path: Path, most_s: float = 30.0) -> tuple[FloatArray, int]:
    blocks, rate_hz = [], 0
    for block in read_blocks(path):
        blocks.append(block.samples)
        rate_hz = block.sample_rate_hz
        if block.end_s >= most_s:
            break
    return np.concatenate(blocks), rate_hz


def auc_rows(scratch: Path, n_seeds: int, only: str) -> Iterator[str]:
    """A row for each group of cases and each scored share: how well faults are separated.

    Only cases of audio: log-mel that was computed elsewhere is scored in all bands.
    """
    found: dict[tuple[str, float], list[tuple[float, float, float]]] = {}
    for seed in range(n_seeds):
        for number, case in enumerate(all_cases(scratch, seed)):
            if only in case.group and case.train[0].suffix != ".npy":
                for share in SHARES:
                    out = scratch / f"{seed}-{number}-{share}.bundle"
                    separated = _separation(case, share, seed, out)
                    found.setdefault((case.group, share), []).append(separated)
    for (group, share), values in found.items():
        auc, pauc, margin = np.mean(values, axis=0)
        yield f"| {group} | {share} | {auc:.4f} / {pauc:.4f} | {margin:.1f} |"


def _separation(case: Case, share: float, seed: int, out: Path) -> tuple[float, float, float]:
    """AUC, pAUC and the lowest faulty score divided by the highest healthy score."""
    settings = AudioSettings()
    training = settings.training.model_copy(update={"scored_share": share})
    settings = settings.model_copy(update={"training": training})
    bundle = train_audio(
        AudioRequest(case.train, out, references=case.references, seed=seed, settings=settings)
    ).bundle
    network = Network(bundle)
    evidence = [evidence_of_file(path, bundle, network) for path in (*case.healthy, *case.faulty)]
    scores = np.array([whole_score(one.evidence, one.loss, bundle) for one in evidence])
    is_faulty = np.array([0] * len(case.healthy) + [1] * len(case.faulty))
    margin = scores[is_faulty == 1].min() / scores[is_faulty == 0].max()
    return roc_auc(is_faulty, scores), partial_auc(is_faulty, scores), float(margin)


def by_chain(found: Sequence[Chained]) -> str:
    """The table of chains, over all machines."""
    lines = [
        "| chain | machines | scored | degraded | false alerts | faults that alert |",
        "|---|---|---|---|---|---|",
    ]
    for name in CHAINS:
        own = [one for one in found if one.chain == name]
        reasons = Counter(reason for one in own for reason in one.healthy.reasons)
        degraded = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        n_scored = sum(one.healthy.highest is not None for one in own)
        n_alerts = sum(one.healthy.alerts > 0 for one in own)
        faults = f"{sum(one.n_alerted for one in own)} of {sum(one.n_faulty for one in own)}"
        lines.append(
            f"| {name} | {len(own)} | {n_scored} | {degraded or 0} | {n_alerts} | {faults} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the tables, and write them to the documentation; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="machines or cases whose names hold this")
    parser.add_argument("--auc", action="store_true", help="only the table of AUC")
    parser.add_argument("--seeds", type=int, default=2, help="of the table of AUC")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.auc:
            table = "\n".join((AUC_HEADER, *auc_rows(scratch, arguments.seeds, arguments.only)))
            print(table)
            if not arguments.only:
                write_section("transition band", f"{arguments.seeds} seeds.\n\n{table}")
            return 0
        print("| machine | chain | highest score | threshold | state | alert | faults alerted |")
        print("|---|---|---|---|---|---|---|")
        found = []
        for machine in machines(scratch):
            if arguments.only in machine.name:
                for chained in chain_all(machine, scratch, seed=0):
                    print(chained, flush=True)
                    found.append(chained)
    print(f"\n{by_chain(found)}")
    if not arguments.only:
        write_section("chains", by_chain(found))
    return int(any(one.is_false_alert for one in found))


if __name__ == "__main__":
    sys.exit(main())
