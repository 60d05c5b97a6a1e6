"""The dense network of the DCASE baseline through ``--network``, beside that of Auscult.

Run as ``python -m benchmarks.own_network [--seeds 0,1]`` where the evaluation data are. Prints a
table of AUC / pAUC of whole recordings.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.cases import Case, all_cases
from monitor.offline.evaluate import evaluation_of, score_labelled
from training.sound.settings import AudioSettings
from training.sound.train import AudioRequest, train_audio

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "networks"
NETWORKS: dict[str, dict[str, Any]] = {
    "Auscult": {},
    "dense, DCASE baseline": {"network": "dcase_dense:dense"},
}
CASES = ("toycar, alone", "drone", "desk fan")


def cases(scratch: Path, seed: int) -> Iterator[Case]:
    """The first case of each machine in each group."""
    seen: set[tuple[str, str]] = set()
    for case in all_cases(scratch, seed):
        key = (case.group, case.machine)
        if case.group in CASES and key not in seen:
            seen.add(key)
            yield case


def measure(case: Case, training: dict[str, Any], seed: int, out: Path) -> dict[str, float]:
    """AUC, pAUC, recall and false alarms at one false alarm a week, seconds of the training."""
    settings = AudioSettings.model_validate({"training": training})
    started = time.perf_counter()
    bundle = train_audio(AudioRequest(case.train, out, seed=seed, settings=settings)).bundle
    train_s = time.perf_counter() - started
    found = evaluation_of(bundle, score_labelled(bundle, case.healthy, case.faulty), resamples=2)
    return {
        "auc": found.auc.value,
        "pauc": found.pauc.value,
        "recall": found.recall.value,
        "false_alarms": float(found.false_alarms),
        "train_s": train_s,
    }


def main() -> None:
    """Print a row for each machine and network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", default="", help="a part of the name of the machine")
    seeds = [int(seed) for seed in parser.parse_args().seeds.split(",")]
    only = parser.parse_args().only
    os.chdir(EXAMPLES)
    print("| machine | network | AUC / pAUC | alert | false alarms | training |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for case in cases(scratch, seeds[0]):
            if only not in case.machine:
                continue
            for label, training in NETWORKS.items():
                rows = [measure(case, training, s, scratch / f"{label}-{s}") for s in seeds]
                mean = {key: np.mean([row[key] for row in rows]) for key in rows[0]}
                print(
                    f"| {case.machine} | {label} | {mean['auc']:.3f} / {mean['pauc']:.3f} | "
                    f"{mean['recall']:.0%} | {mean['false_alarms']:g} | {mean['train_s']:.0f} s |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
