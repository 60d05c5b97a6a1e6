"""Measure a machine with three speeds, one of them rare: healthy scores and detected faults.

    python -m benchmarks.detection.regimes [--seeds 3]

The simulated pump is recorded at three speeds, the third in three recordings of twenty-one,
without labels. New recordings at each speed are scored: healthy, and with very small faults
(severity 0.05, where 0.3 is an early fault). The score is compared with that of the same network
with one centre for all speeds.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmarks._machine import sound_of
from benchmarks._page import write_section
from benchmarks.detection.command import run
from benchmarks.detection.judge import whole_score
from benchmarks.detection.mixing import FAULTS, RATE_HZ
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from training.metrics import roc_auc
from training.sound.bundle import network_of
from training.sound.crossfit import fit_statistics, gather
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recording_evidence import evidence_of
from training.sound.recordings import read_machine, read_recording
from training.sound.train import AudioRequest, train_audio

NEEDED: tuple[str, ...] = ()
SPEEDS_HZ = (24.5, 17.0, 31.0)
TRAINED = (10, 8, 3)
NEW = 6
SECONDS = 15.0
SEVERITY = 0.05


@dataclass(frozen=True, slots=True)
class SpeedScores:
    """Scores of new recordings by speed: healthy ``(NEW,)`` each, faulty ``(n_faults,)`` each."""

    healthy: tuple[npt.NDArray[np.float64], ...]
    faulty: tuple[npt.NDArray[np.float64], ...]

    @property
    def auc(self) -> float:
        """ROC AUC, all speeds together."""
        healthy, faulty = np.concatenate(self.healthy), np.concatenate(self.faulty)
        return roc_auc([0] * len(healthy) + [1] * len(faulty), np.concatenate((healthy, faulty)))

    @property
    def rare_over_common(self) -> float:
        """Median healthy score at the rare speed / at the most common one: 1 is ideal."""
        return float(np.median(self.healthy[-1]) / np.median(self.healthy[0]))


def record(path: Path, speed_hz: float, seed: int, fault: str = "") -> Path:
    """One recording of the pump, healthy or with a small fault from its beginning."""
    faults: tuple[SimulatedFault, ...] = ()
    if fault:
        early = {"kind": fault, "severity": SEVERITY, "ramp_s": 0.0}
        faults = (SimulatedFault.model_validate(early),)
    settings = SimulatedSettings(
        seed=seed, speed_hz=speed_hz, realtime=False, duration_s=SECONDS, faults=faults
    )
    soundfile.write(path, sound_of(settings), RATE_HZ, subtype="FLOAT")
    return path


def judge(folder: Path, seed: int) -> tuple[int, SpeedScores, SpeedScores]:
    """Regimes found, the scores with them, and the scores with one centre."""
    healthy = folder / "healthy"
    healthy.mkdir(parents=True)
    first_seed = 10_000 * seed
    for regime, (speed_hz, count) in enumerate(zip(SPEEDS_HZ, TRAINED, strict=True)):
        for i in range(count):
            record(healthy / f"{regime}_{i}.wav", speed_hz, first_seed + 100 * regime + i)
    result = train_audio(AudioRequest((healthy,), folder / "bundle", seed=seed))
    one_centre = _with_one_centre(result.bundle, healthy, result.choice.shrinkage, seed)
    new = [
        (
            [
                record(folder / f"w{r}_{i}.wav", s, first_seed + 5_000 + 100 * r + i)
                for i in range(NEW)
            ],
            [
                record(folder / f"f{r}_{kind}.wav", s, first_seed + 7_000 + 100 * r + i, kind)
                for i, kind in enumerate(FAULTS)
            ],
        )
        for r, s in enumerate(SPEEDS_HZ)
    ]
    return result.n_regimes, _judged(result.bundle, new), _judged(one_centre, new)


def _judged(bundle: Bundle, new: list[tuple[list[Path], list[Path]]]) -> SpeedScores:
    network = Network(bundle)

    def score(path: Path) -> float:
        output = network.run(read_recording(path, bundle.spec).windows(bundle.spec))
        return whole_score(output.evidence, output.loss, bundle)

    return SpeedScores(
        tuple(np.array([score(path) for path in well]) for well, _ in new),
        tuple(np.array([score(path) for path in faulty]) for _, faulty in new),
    )


def _with_one_centre(bundle: Bundle, healthy: Path, shrinkage: float, seed: int) -> Bundle:
    graph = EvidenceGraph(network_of(bundle)).eval()
    cpu = torch.device("cpu")
    recordings = read_machine([healthy], bundle.spec)
    evidence = [evidence_of(graph, recording, bundle.spec, cpu) for recording in recordings]
    spans = [h.spans(bundle.span_windows, step=bundle.span_windows) for h in evidence]
    one_regime = [np.zeros(len(rows), dtype=np.intp) for rows in spans]
    sound = gather(
        evidence, [], bundle.span_windows, parts=graph.layout.parts, seed=seed, regime=one_regime
    )
    everything = np.ones(len(evidence), dtype=bool)
    statistics = fit_statistics(sound, everything, use_references=False)
    return replace(bundle, head=statistics.head(shrinkage))


def measure(seeds: int) -> None:
    """Run the seeds, print the table and write it to the documentation."""
    lines = [
        "| seed | operating states found | AUC | rare / common | AUC, one centre | rare / common |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            n_regimes, regimes, one_centre = judge(Path(folder) / str(seed), seed)
            figures = [
                f"{scores.auc:.3f} | {scores.rare_over_common:.2f}"
                for scores in (regimes, one_centre)
            ]
            lines.append(f"| {seed} | {n_regimes} | {' | '.join(figures)} |")
            print(lines[-1], flush=True)
    write_section("regimes", "\n".join(lines))


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
