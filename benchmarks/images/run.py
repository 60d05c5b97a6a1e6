"""Run every image case for several seeds through the real commands, and print the table.

    python benchmarks/images/run.py --mnist DIR --fashion DIR --out runs/images --seeds 0 1 2

A case with a ``metrics.json`` is not run again, so an interrupted benchmark continues where it
stopped. ``--no-run`` only prints the table of existing results.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS_NAME = "metrics.json"


@dataclass(frozen=True, slots=True)
class Case:
    """A command, its target (at most or at least) and other figures to print."""

    name: str
    dataset: str
    arguments: tuple[str, ...]
    key: str
    at_least: bool
    reach: float
    beside: tuple[str, ...]


CASES = (
    Case(
        "mnist-32", "mnist", ("mnist",), "mse_over_pca", False, 0.35, ("test_mse", "pca_mse"),
    ),
    Case(
        "fashion-64", "fashion-mnist", ("mnist", "--latent-dim", "64"), "test_mse", False, 0.0070,
        ("pca_mse",),
    ),
    Case(
        "denoise-supervised", "fashion-mnist", ("denoise", "--sigma", "0.2"), "psnr_db", True, 23.5,
        ("psnr_noisy_db", "pca_psnr_db", "pca_best_psnr_db", "psnr_per_image_db", "ssim"),
    ),
    Case(
        "denoise-projection", "fashion-mnist",
        ("denoise", "--sigma", "0.2", "--method", "projection"), "psnr_db", True, 19.8,
        ("psnr_noisy_db", "pca_psnr_db", "pca_best_psnr_db", "psnr_per_image_db", "ssim"),
    ),
    Case(
        "oneclass-mnist", "mnist", ("oneclass",), "mean_auc", True, 0.975,
        ("error_mean_auc", "pca_mean_auc", "knn_mean_auc"),
    ),
    Case(
        "oneclass-fashion", "fashion-mnist", ("oneclass",), "mean_auc", True, 0.935,
        ("error_mean_auc", "pca_mean_auc", "knn_mean_auc"),
    ),
    Case(
        "two-and-three", "mnist", ("oneclass", "--normal", "2", "3"), "mean_auc", True, 0.98,
        ("error_mean_auc", "pca_mean_auc", "knn_mean_auc"),
    ),
)  # fmt: skip


def run_case(case: Case, seed: int, data: Path, folder: Path) -> None:
    """Run ``case`` on the IDX files in ``data``, unless ``folder`` contains its metrics."""
    if (folder / METRICS_NAME).exists():
        return
    print(f"{case.name}, seed {seed}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "monitor", "train", *case.arguments]
    command += ["--dataset", case.dataset, "--data", str(data)]
    command += ["--out", str(folder), "--seed", str(seed)]
    root = Path(__file__).resolve().parents[2]
    subprocess.run(command, check=True, cwd=root, env=os.environ, stdout=sys.stderr)


def row(case: Case, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the row of the table for a case, from the metrics of its seeds."""
    values = [run[case.key] for run in runs]
    mean = statistics.mean(values)
    is_met = mean >= case.reach if case.at_least else mean <= case.reach
    target = f"{'at least' if case.at_least else 'at most'} {case.reach:g}"
    beside = ", ".join(f"{key} {spread([run[key] for run in runs])}" for key in case.beside)
    seconds = max(run["seconds"] for run in runs)
    cells = [case.name, case.key, spread(values), target, "yes" if is_met else "NO"]
    return f"| {' | '.join([*cells, beside, str(len(runs)), f'{seconds:.0f}'])} |"


def spread(values: list[float]) -> str:
    """Return the mean, and with several values the standard deviation."""
    digits = 5 if abs(values[0]) < 0.05 else 4 if abs(values[0]) < 1 else 2
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    """Run the cases and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--fashion", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/images"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES])
    parser.add_argument("--no-run", action="store_true", help="only print existing results")
    chosen = parser.parse_args()
    folders = {"mnist": chosen.mnist.resolve(), "fashion-mnist": chosen.fashion.resolve()}
    out = chosen.out.resolve()
    print("| case | figure | reached | target | met | other figures | seeds | seconds, at most |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        if chosen.cases and case.name not in chosen.cases:
            continue
        places = [out / case.name / str(seed) for seed in chosen.seeds]
        if not chosen.no_run:
            for seed, place in zip(chosen.seeds, places, strict=True):
                run_case(case, seed, folders[case.dataset], place)
        files = [place / METRICS_NAME for place in places if (place / METRICS_NAME).exists()]
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        if runs:
            print(row(case, runs), flush=True)


if __name__ == "__main__":
    main()
