"""Measure detection quality on every installed evaluation set, as tables.

    python -m benchmarks.detection [--seeds 3] [--jobs 2] [--only toycar]

Trains with the default settings on healthy recordings only, and scores recordings that were not
trained on. The score is compared with the plain reconstruction error of the same network and with
a control without a network: the Mahalanobis distance (Ledoit-Wolf) of a recording's mean log-mel
spectrum. The other modules then measure the false alarms of thresholds, the lowest level at which
a fault is detected, alerts from everyday noises, the recognition of another machine, and several
operating states. All results are written to ``docs/benchmarks.md``. With ``--only`` the first
tables are printed and nothing else is done.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from benchmarks._page import write_section
from benchmarks.detection import (
    another_machine,
    budget,
    intruders,
    regimes,
    sensitivity,
    shared_noise,
)
from benchmarks.detection.cases import DATA
from benchmarks.detection.command import exit_without, lacking
from benchmarks.detection.jobs import judge_all
from benchmarks.detection.judge import GAINS_DB, NOMINAL, CaseResult

SCORES = ("auscult", "plain error", "no network")
RANKING = (
    "| case | machine | score chosen | AUC / pAUC | plain error | no network | training | cost |",
    "|---|---|---|---|---|---|---|---|",
)
_FALSE = f"false alarms at {NOMINAL:.0%}"
_GAINS = ", ".join(f"{gain_db:+.0f}" for gain_db in GAINS_DB)
_COLUMNS = (
    "case",
    "machine",
    f"{_FALSE}: recordings ({_GAINS} dB)",
    f"{_FALSE}: decisions ({_GAINS} dB)",
    "budget 1 a week: false alarms, share of faults alerted",
    "budget 1 a day: false alarms, share of faults alerted",
)
THRESHOLDS = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")

Row = Callable[[Sequence[CaseResult]], str]


def table(header: tuple[str, str], row: Row, results: Sequence[CaseResult]) -> str:
    """A row for each machine and the mean of each group, over all seeds."""
    lines = [*header]
    for group, members in groupby(sorted(results, key=lambda v: v.group), key=lambda v: v.group):
        rows = list(members)
        machines = sorted({one.machine for one in rows})
        for machine in machines:
            own = [one for one in rows if one.machine == machine]
            lines.append(f"| {group} | {machine} | {row(own)} |")
        if len(machines) > 1:
            lines.append(f"| {group} | **all** | {row(rows)} |")
    return "\n".join(lines)


def ranking(rows: Sequence[CaseResult]) -> str:
    """How well scores separate faulty from healthy recordings, and the computing time."""
    areas = []
    for score in SCORES:
        auc, pauc = [r.auc[score] for r in rows], [r.pauc[score] for r in rows]
        spread = f" ({np.std(auc, ddof=1):.3f})" if len(rows) > 1 and score == SCORES[0] else ""
        areas.append(f"{np.mean(auc):.3f}{spread} / {np.mean(pauc):.3f}")
    kinds = ", ".join(sorted({r.score_kind for r in rows}))
    train_s, cost = np.mean([r.train_s for r in rows]), np.mean([r.cost_ratio for r in rows])
    return f"{kinds} | {' | '.join(areas)} | {train_s:.0f} s | {cost:.2f} x"


def thresholds(rows: Sequence[CaseResult]) -> str:
    """False alarms and detected faults at the thresholds."""
    n_healthy, n_blocks = [r.n_healthy for r in rows], [r.n_blocks for r in rows]
    recordings = ", ".join(
        f"{np.average([r.false_rate[gain] for r in rows], weights=n_healthy):.1%}"
        for gain in GAINS_DB
    )
    decisions = ", ".join(
        f"{np.average([r.false_decisions[gain] for r in rows], weights=n_blocks):.1%}"
        for gain in GAINS_DB
    )
    hours = sum(r.healthy_hours for r in rows)
    weekly, daily = sum(r.false_alarms for r in rows), sum(r.false_alarms_daily for r in rows)
    return (
        f"{recordings} of {sum(n_healthy)} | {decisions} of {sum(n_blocks)} "
        f"| {weekly} in {hours:.1f} h, {np.mean([r.alerted for r in rows]):.0%} "
        f"| {daily} in {hours:.1f} h, {np.mean([r.alerted_daily for r in rows]):.0%}"
    )


def main() -> None:
    """Run the cases, print the tables and write them to the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only cases with this text in their name")
    options = parser.parse_args()
    exit_without(parser, ["."])  # missing sets are skipped
    results = []
    for case, seed, result in judge_all(options.seeds, options.only, options.jobs):
        print(f"{case.group}, {case.machine}, seed {seed}: {result}", flush=True)
        results.append(result)
    text = "\n\n".join((table(RANKING, ranking, results), table(THRESHOLDS, thresholds, results)))
    print(text)
    if options.only:
        return
    write_section("detection", f"{options.seeds} seeds.\n\n{text}")
    for module in (shared_noise, budget, sensitivity, intruders, another_machine, regimes):
        if missing := lacking(module.NEEDED):
            print(f"{module.__name__}: skipped, {DATA} has no {', '.join(missing)}")
        else:
            module.measure(options.seeds)


if __name__ == "__main__":
    main()
