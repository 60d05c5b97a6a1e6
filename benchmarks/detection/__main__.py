"""Detection quality on every evaluation set that is there, as a table.

    python -m benchmarks.detection [--seeds 3] [--only toycar] [--out docs/benchmarks.md]

Trains with the defaults on healthy recordings alone and judges recordings that were
not trained on. Beside the score stand the plain reconstruction error of the same
network and a control without a network: the Mahalanobis distance (Ledoit-Wolf) of a
recording's mean log-mel spectrum.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from benchmarks.detection.cases import DATA, all_cases
from benchmarks.detection.judge import GAINS_DB, Verdict, judge

HEADING = (
    "| case | machine | score | AUC / pAUC | plain error | no network | false at 5 % "
    "(0, +3, -3 dB) | false alarms at 1 a week, 1 a day | faults alerted | training | cost |"
)
SCORES = ("auscult", "plain error", "no network")


def table(verdicts: Sequence[Verdict]) -> str:
    """The table, a row a machine and the mean of each group, over all seeds."""
    lines = [
        HEADING,
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for group, members in groupby(sorted(verdicts, key=lambda v: v.group), key=lambda v: v.group):
        rows = list(members)
        machines = sorted({row.machine for row in rows})
        lines += [_row(group, m, [row for row in rows if row.machine == m]) for m in machines]
        if len(machines) > 1:
            lines.append(_row(group, "**mean**", rows))
    return "\n".join(lines)


def _row(group: str, machine: str, rows: Sequence[Verdict]) -> str:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    areas = [
        f"{mean([r.auc[s] for r in rows]):.3f} / {mean([r.pauc[s] for r in rows]):.3f}"
        for s in SCORES
    ]
    rates = ", ".join(f"{mean([r.false_rate[g] for r in rows]):.1%}" for g in GAINS_DB)
    alarms = sum(r.false_alarms for r in rows)
    daily = sum(r.false_per_day_budget for r in rows)
    hours = sum(r.healthy_hours for r in rows)
    kinds = ", ".join(sorted({r.score_kind for r in rows}))
    return (
        f"| {group} | {machine} | {kinds} | {' | '.join(areas)} | {rates} "
        f"| {alarms}, {daily} in {hours:.1f} h | {mean([r.alerted for r in rows]):.0%} "
        f"| {mean([r.train_s for r in rows]):.0f} s | {mean([r.cost_ratio for r in rows]):.1f} x |"
    )


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    torch.set_num_threads(max(1, torch.get_num_threads()))
    if not DATA.is_dir():
        parser.exit(66, f"{DATA}: the evaluation recordings are not there; set AUSCULT_DATA\n")
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for seed in range(options.seeds):
            for number, case in enumerate(all_cases(scratch, seed)):
                if options.only and options.only not in case.group:
                    continue
                verdict = judge(case, seed, scratch / f"{seed}_{number}.bundle")
                verdicts.append(verdict)
                print(f"seed {seed} {verdict}", flush=True)
    printed = table(verdicts)
    print(printed)
    if options.out:
        options.out.write_text(printed + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
