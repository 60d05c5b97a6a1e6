"""Rules that join the evidence of an encoder with that of Auscult, on recordings of real faults.

Run as ``python -m benchmarks.joined_evidence [--seeds 0]`` where the evaluation data are. The
encoder is a small network that was trained to distinguish the other machines, so it has seen
neither the machine nor its faults. Prints a table of AUC / pAUC of whole recordings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.detection.cases import DATA, Case, all_cases, files
from monitor.domain import DoubleArray
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from monitor.offline.roc import partial_auc, roc_auc
from training.sound.controls import heads_of
from training.sound.crossfit import fit_statistics, gather, head_for
from training.sound.encoder_file import least_variance
from training.sound.injected_faults import FAULTS, fault
from training.sound.recording_evidence import (
    RecordingEvidence,
    all_rows,
    evidence_of,
    score_evidence,
)
from training.sound.recordings import Recording, read_recording
from training.sound.request import AudioRequest, read_training_data
from training.sound.score_choice import choose_score
from training.sound.scored_network import ScoredNetwork, train_and_score

SPEC = LogMelSpec()
CPU = torch.device("cpu")
VECTOR = 32
MOST_WINDOWS = 300
FAULT_DB = -18.0


class Encoder(nn.Module):
    """Log-mel windows to vectors, and from these to the number of a machine."""

    def __init__(self, n_machines: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, stride=(4, 2), padding=2), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=(4, 2), padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten(), nn.Linear(128, VECTOR)),
        )
        self.classify = nn.Linear(VECTOR, n_machines)

    def forward(self, windows: Tensor) -> Tensor:
        """The vectors. Shape: ``(B, 1, n_mels, n_frames)`` in dB to ``(B, VECTOR)``."""
        level_free = windows - windows.mean(dim=(1, 2, 3), keepdim=True)
        vectors: Tensor = self.layers(level_free / 10.0)
        return vectors


def trained_encoder(machines: Sequence[Sequence[Recording]], seed: int) -> Encoder:
    """An encoder that distinguishes the machines."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    windows, labels = [], []
    for number, machine in enumerate(machines):
        own = np.concatenate([one.windows(SPEC) for one in machine])
        own = own[random.permutation(len(own))[:MOST_WINDOWS]]
        windows.append(own)
        labels += [number] * len(own)
    inputs = torch.from_numpy(np.concatenate(windows)[:, None])
    targets = torch.tensor(labels)
    encoder = Encoder(len(machines))
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=2e-3)
    for _ in range(8):
        for batch in torch.randperm(len(inputs)).split(64):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.zero_grad()
            logits = encoder.classify(encoder(inputs[batch]))
            loss = nn.functional.cross_entropy(logits, targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # as above
            optimizer.step()
    return encoder.eval()


def other_machines(case: Case, scratch: Path) -> list[list[Recording]]:
    """Healthy recordings of machines, without the one of the case."""
    sets = {f"car {n}": files(scratch / "toycar" / n / "train_normal")[:40] for n in ("03", "04")}
    sets |= {f"car {n}": files(scratch / "toycar" / n / "train_normal")[:40] for n in ("01", "02")}
    sets |= {
        "drone": files(DATA / "uav_propeller" / "normal")[:8],
        "fan": files(DATA / "desk_fan" / "on")[:8],
        "m1": files(DATA / "bldc_motor" / "healthy" / "m1")[:8],
        "m2": files(DATA / "bldc_motor" / "healthy" / "m2")[:8],
        "mimii": sorted((DATA / "mimii_fan").rglob("*normal*/*"))[:12],
        "compressor": sorted((DATA / "compressor" / "run").rglob("*.flac"))[:12],
    }
    return [
        [read_recording(path, SPEC) for path in paths]
        for name, paths in sets.items()
        if paths and name != case.machine
    ]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two kinds of evidence of recordings, and both as one."""

    own: list[RecordingEvidence]
    encoder: list[RecordingEvidence]

    @property
    def joined(self) -> list[RecordingEvidence]:
        """Both kinds in one row."""
        return [
            replace(
                one,
                evidence=np.concatenate((one.evidence, other.evidence), axis=1),
                rows=np.concatenate((one.rows, other.rows), axis=1),
            )
            for one, other in zip(self.own, self.encoder, strict=True)
        ]


def encoded(
    encoder: Encoder, recordings: Sequence[Recording], own: Sequence[RecordingEvidence]
) -> list[RecordingEvidence]:
    """The evidence of the encoder for recordings."""
    found = []
    for recording, one in zip(recordings, own, strict=True):
        with torch.no_grad():
            vectors = encoder(torch.from_numpy(recording.windows(SPEC)[:, None])).numpy()
        found.append(
            RecordingEvidence.of(
                recording, SPEC, evidence=vectors, loss=one.loss, level_db=one.level_db
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that was learned: what its scores are made from."""

    learned: ScoredNetwork
    span_windows: int
    seed: int

    def scores(
        self,
        healthy: list[RecordingEvidence],
        tested: list[RecordingEvidence],
        parts: tuple[slice, ...],
        n_vector: int,
    ) -> tuple[DoubleArray, DoubleArray]:
        """The scores of healthy recordings without themselves, and of the tested ones."""
        span = self.span_windows
        regime, fold = self.learned.sound.regime, self.learned.trial.fold
        gathered = gather(healthy, [], span, parts=parts, seed=self.seed, regime=regime)
        if n_vector:
            least = least_variance(all_rows(healthy), n_vector)
            gathered = replace(gathered, least_variance=least)
        choice = choose_score(gathered, self.seed)
        heads = heads_of(gathered, fold, choice)
        cross = [
            score_evidence(one, SPEC, span, head_for(heads, index)).whole
            for index, one in enumerate(healthy)
        ]
        everything = np.ones(len(healthy), dtype=bool)
        statistics = fit_statistics(gathered, everything, use_references=False)
        head = statistics.head(choice.shrinkage)
        whole = [score_evidence(one, SPEC, span, head).whole for one in tested]
        return np.array(cross), np.array(whole)


Rule = Callable[[DoubleArray, DoubleArray], DoubleArray]
RULES: dict[str, Rule] = {
    "larger": np.maximum,
    "smaller": np.minimum,
    "root of the sum of squares": np.hypot,
    "mean": lambda one, other: (one + other) / 2.0,
}
"""Of two scores, each standardised by cross-fitted healthy ones."""


def standardised(healthy: DoubleArray, tested: DoubleArray) -> DoubleArray:
    """In healthy standard deviations above the healthy mean, on the scale of cube roots."""
    roots = np.cbrt(healthy)
    scores: DoubleArray = (np.cbrt(tested) - roots.mean()) / roots.std(ddof=1)
    return scores


def as_ratio(healthy: DoubleArray, tested: DoubleArray) -> DoubleArray:
    """Relative to the largest healthy score."""
    ratio: DoubleArray = tested / np.quantile(healthy, 0.95)
    return ratio


def measure(case: Case, scratch: Path, seed: int) -> dict[str, tuple[float, float]]:
    """AUC and pAUC of each rule."""
    request = AudioRequest(case.train, scratch / "out", seed=seed)
    data = read_training_data(request)
    learned = train_and_score(request, data, CPU, ())
    graph = learned.graph
    encoder = trained_encoder(other_machines(case, scratch), seed)
    tested, labels = tested_recordings(case, seed)
    own = [evidence_of(graph, one, SPEC, CPU) for one in tested]
    healthy = Evidence(
        list(learned.sound.recordings),
        encoded(encoder, data.recordings, learned.sound.recordings),
    )
    test = Evidence(own, encoded(encoder, tested, own))
    parts = graph.layout.parts
    n = graph.layout.length
    last = slice(n, n + VECTOR)

    machine = Machine(learned, data.span_windows, seed)

    def scored(kind: str, of: tuple[slice, ...]) -> tuple[DoubleArray, DoubleArray]:
        n_vector = 0 if kind == "own" else VECTOR
        return machine.scores(getattr(healthy, kind), getattr(test, kind), of, n_vector)

    a, b = scored("own", parts), scored("encoder", (slice(0, VECTOR),))
    found = {
        "Auscult's evidence alone": a[1],
        "encoder alone": b[1],
        "one distance of both": scored("joined", (*parts, last))[1],
        "one distance, encoder as part of the first": scored("joined", parts)[1],
    }
    for name, rule in RULES.items():
        found[f"{name}, as ratio"] = rule(as_ratio(a[0], a[1]), as_ratio(b[0], b[1]))
        if name != "root of the sum of squares":
            found[f"{name}, in deviations"] = rule(standardised(*a), standardised(*b))
    return {
        name: (roc_auc(labels, scores), partial_auc(labels, scores))
        for name, scores in found.items()
    }


def tested_recordings(case: Case, seed: int) -> tuple[list[Recording], DoubleArray]:
    """Log-mel: the recordings of the case. Sound: healthy ones, and the same with faults added."""
    healthy = [read_recording(path, SPEC) for path in case.healthy]
    if case.healthy[0].suffix == ".npy":
        faulty = [read_recording(path, SPEC) for path in case.faulty]
    else:
        faulty = [one for path in case.healthy for one in with_faults(path, seed)]
    return healthy + faulty, np.repeat([0.0, 1.0], [len(healthy), len(faulty)])


def with_faults(path: Path, seed: int) -> Iterator[Recording]:
    """The sound of a file with each kind of fault mixed in."""
    import soundfile

    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    if rate_hz != SPEC.sample_rate_hz:
        raise ValueError(f"{path}: expected {SPEC.sample_rate_hz} Hz")
    sound = samples.mean(axis=1)
    rms = float(np.sqrt(np.square(sound, dtype=np.float64).mean()))
    for kind in FAULTS:
        added = fault(kind, len(sound), rate_hz, (seed, len(sound)))
        mixed = sound + np.float32(rms * 10.0 ** (FAULT_DB / 20.0)) * added
        yield Recording(f"{path}: {kind}", log_mel_frames(mixed.astype(np.float32), SPEC))


def main() -> None:
    """Print a row for each rule and a column for each machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0")
    seeds = [int(seed) for seed in parser.parse_args().seeds.split(",")]
    columns: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for seed in seeds:
            seen: set[str] = set()
            for case in all_cases(Path(name), seed):
                if case.references and not case.group.startswith("toycar, 20"):
                    continue
                label = f"{case.machine}, {len(case.train)}"
                if label in seen:
                    continue
                seen.add(label)
                for rule, figures in measure(
                    replace(case, references=()), Path(name), seed
                ).items():
                    columns.setdefault(rule, {}).setdefault(label, []).append(figures)
                print(label, {k: v[label] for k, v in columns.items()}, flush=True)
    machines = list(next(iter(columns.values())))
    print("| rule |", " | ".join(machines), "|")
    print("| --- |", " | ".join("---" for _ in machines), "|")
    for rule, by_machine in columns.items():
        cells = [np.mean(by_machine[machine], axis=0) for machine in machines]
        print(f"| {rule} |", " | ".join(f"{a:.3f} / {p:.3f}" for a, p in cells), "|")


if __name__ == "__main__":
    main()
