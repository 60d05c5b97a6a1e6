"""Measure how much of the gain from reference machines is due to noise in their recordings.

    python -m benchmarks.detection.shared_noise [--seeds 3]

Noise of the surroundings was mixed into the clips of the toy cars. Other cars' clips have the same
noise as half of a car's healthy test clips, but not as its faulty ones. So the healthy test clips
are known better than new healthy sound would be. The other cars' clips that share noise with the
healthy test clips are left out, or as many at random. With all of them, or with none:
``benchmarks.detection``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._page import write_section
from benchmarks.detection.cases import Case, all_cases, files
from benchmarks.detection.command import run
from benchmarks.detection.evidence import evidence_of_file
from benchmarks.detection.judge import whole_score
from monitor.calibration.fine_structure import fine_structure
from monitor.domain import DoubleArray, FloatArray
from monitor.model.network import Network
from monitor.text.wording import counted
from training.metrics import partial_auc, roc_auc
from training.sound.train import AudioRequest, train_audio

NEEDED = ("toycar",)
SHARED = 0.15
"""The least correlation of the fine structure of clips with the same noise; others reach 0.1."""
_NOMINAL = 0.05
_COLUMNS = (
    "machine",
    "other cars",
    "their clips",
    "AUC / pAUC",
    f"healthy test clips above the threshold for {_NOMINAL:.0%}",
)
HEADER = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")


@dataclass(frozen=True, slots=True)
class Judged:
    """The results of one training."""

    clips: int
    auc: float
    pauc: float
    false: float


def largest_correlation(clips: Sequence[Path], others: Sequence[Path]) -> DoubleArray:
    """The largest correlation of each clip with any of ``others``, at any lag. Shape: ``(n,)``."""
    spectra = np.stack([_spectrum(path) for path in others])
    found = []
    for path in clips:
        products = np.einsum("fb,nfb->nf", _spectrum(path).conj(), spectra)
        found.append(float(np.fft.irfft(products, axis=1).max()))
    return np.array(found)


def _spectrum(path: Path) -> npt.NDArray[np.complexfloating]:
    """Of the fine structure with unit norm, padded so that its ends do not meet."""
    fine: FloatArray = fine_structure(np.load(path))
    fine /= np.linalg.norm(fine)
    spectrum: npt.NDArray[np.complexfloating] = np.fft.rfft(fine, 2 * len(fine), axis=0)
    return spectrum


def variants(case: Case, folder: Path, seed: int) -> dict[str, tuple[Path, ...]]:
    """The references of each row: folders with the clips of one car."""
    rng = np.random.default_rng(seed)
    kept: dict[str, list[Path]] = {"without that noise": [], "as many at random": []}
    for machine in case.references:
        clips = files(machine)
        is_kept = largest_correlation(clips, case.healthy) < SHARED
        chosen = {"without that noise": is_kept, "as many at random": rng.permutation(is_kept)}
        for name, mask in chosen.items():
            own = folder / name / machine.parent.name
            own.mkdir(parents=True)
            for clip in np.array(clips)[mask]:
                (own / clip.name).symlink_to(clip)
            kept[name].append(own)
    return {name: tuple(machines) for name, machines in kept.items()}


def judged(case: Case, references: Sequence[Path], seed: int, out: Path) -> Judged:
    """Train with these references, and score the test clips."""
    result = train_audio(AudioRequest(case.train, out, tuple(references), seed=seed))
    bundle = result.bundle
    network = Network(bundle)

    def scores(paths: Sequence[Path]) -> list[float]:
        evidence = [evidence_of_file(path, bundle, network) for path in paths]
        return [whole_score(one.evidence, one.loss, bundle) for one in evidence]

    healthy, faulty = scores(case.healthy), scores(case.faulty)
    known = sorted(one.whole for one in result.healthy)
    threshold = known[math.ceil((len(known) + 1) * (1.0 - _NOMINAL)) - 1]
    labels, values = np.repeat([0, 1], [len(healthy), len(faulty)]), np.array(healthy + faulty)
    return Judged(
        sum(len(files(machine)) for machine in references),
        roc_auc(labels, values),
        partial_auc(labels, values),
        float(np.mean(np.array(healthy) > threshold)),
    )


def rows(seeds: int, scratch: Path) -> Iterator[str]:
    """A row for each car and choice of references, the mean over all seeds."""
    found: dict[tuple[str, str], list[Judged]] = {}
    for seed in range(seeds):
        for case in all_cases(scratch, seed):
            if case.group != "toycar, with reference":
                continue
            folder = scratch / f"{case.machine}-{seed}"
            for name, references in variants(case, folder, seed).items():
                result = judged(case, references, seed, folder / "machine.bundle")
                found.setdefault((case.machine, name), []).append(result)
                print(f"{case.machine}, {name}, seed {seed}: {result}", flush=True)
    for (machine, name), results in found.items():

        def mean(of: Callable[[Judged], float], results: Sequence[Judged] = results) -> float:
            return float(np.mean([of(one) for one in results]))

        areas = f"{mean(lambda one: one.auc):.3f} / {mean(lambda one: one.pauc):.3f}"
        clips, false = mean(lambda one: one.clips), mean(lambda one: one.false)
        yield f"| {machine} | {name} | {clips:.0f} | {areas} | {false:.1%} |"


def measure(seeds: int) -> None:
    """Measure, print, and write to the documentation."""
    with tempfile.TemporaryDirectory() as name:
        text = "\n".join((*HEADER, *rows(seeds, Path(name))))
    print(text)
    write_section("shared noise", f"{counted(seeds, 'seed')}.\n\n{text}")


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
