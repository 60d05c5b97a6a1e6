"""The figures of all machines as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from scipy import stats

from benchmarks.recall.figures import MachineFigures, Outcome, areas
from benchmarks.recall.replayed import FALSE_CLIPS, LOUDEST_JOINED_DB, NOMINAL
from monitor.calibration.blocks import WEEK_S
from training.sound.injected_faults import FAULTS

Of = Callable[[Outcome], bool]
_CONFIDENCE = 0.95
_MACHINE = (
    "machine",
    "seeds, score",
    "healthy sound",
    "threshold / highest healthy value",
    "false alarms on sound not used for training: counted, 95 % limits a week",
    f"false at {NOMINAL:.0%} a recording",
)
_REAL = (
    "machine",
    "recordings",
    "AUC / pAUC",
    "alert, 1 a week",
    "alert, supported budget",
    "recording, 1 a week",
    f"recording, {NOMINAL:.0%} false, 95 % limits",
    f"recording, 1 false in {round(1 / FALSE_CLIPS)}",
)


def mixed_in(results: Sequence[MachineFigures], levels_db: Sequence[float]) -> str:
    """A row for each machine and kind of fault, a column for each level."""
    lines = list(_header(["machine", "fault", *(f"{level:g} dB" for level in levels_db)]))
    for machine, rows in _by_machine(results):
        for kind in (None, *FAULTS):
            cells = [_detected(rows, kind, level_db) for level_db in levels_db]
            lines.append(f"| {machine} | {kind or '**all**'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def joined(results: Sequence[MachineFigures], levels_db: Sequence[float]) -> str:
    """Five minutes of continuing sound: the share with an alert. Empty without such sound."""
    levels_db = [level_db for level_db in levels_db if level_db <= LOUDEST_JOINED_DB]
    lines = list(_header(["machine", "healthy", *(f"{level:g} dB" for level in levels_db)]))
    with_joined = [one for one in results if one.of("joined", "")]
    if not with_joined:
        return ""
    for machine, rows in _by_machine(with_joined):
        healthy = _each(rows, "joined", "")
        columns = [_each(rows, "joined", None, level_db) for level_db in levels_db]
        cells = [_share(column, _alerted) for column in (healthy, *columns)]
        lines.append(f"| {machine} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machines(results: Sequence[MachineFigures]) -> str:
    """A row for each machine: its threshold and its false alarms."""
    lines = list(_header(_MACHINE))
    for machine, rows in _by_machine(results):
        kinds = ", ".join(sorted({row.score_kind for row in rows}))
        unused = _each(rows, "unused", "")
        cells = (
            f"{len(rows)}, {kinds}",
            f"{np.mean([row.healthy_s for row in rows]) / 60:.1f} min",
            f"{np.mean([row.over_healthy for row in rows]):.2f}",
            false_alarms(sum(one.alerts for one in unused), sum(one.seconds for one in unused)),
            f"{_share(unused, lambda one: one.at_nominal)} of {len(unused)}",
        )
        lines.append(f"| {machine} | {' | '.join(cells)} |")
    return "\n".join(lines)


def real(results: Sequence[MachineFigures]) -> str:
    """A row for each machine with recordings of real faults. Empty if no machine has any."""
    lines = list(_header(_REAL))
    with_real = [one for one in results if one.of("real", "")]
    if not with_real:
        return ""
    for machine, rows in _by_machine(with_real):
        faulty = _each(rows, "real", "")
        supported = np.mean([row.supported_per_week for row in rows])
        pairs = [(row.of("unused", ""), row.of("real", "")) for row in rows]
        cells = (
            str(len(faulty)),
            _areas(pairs),
            _share(faulty, _alerted),
            f"{_share(faulty, lambda one: one.supported)} at {supported:,.0f} a week",
            _share(faulty, lambda one: one.at_week),
            _with_limits([one.at_nominal for one in faulty]),
            _share(faulty, lambda one: one.at_clips),
        )
        lines.append(f"| {machine} | {' | '.join(cells)} |")
    return "\n".join(lines)


def false_alarms(counted: int, seconds: float) -> str:
    """The number, and the limits of the rate a week by Poisson's distribution (Garwood 1936)."""
    weeks = seconds / WEEK_S
    tail = (1.0 - _CONFIDENCE) / 2.0
    low = stats.chi2.ppf(tail, 2 * counted) / 2.0 if counted else 0.0
    high = stats.chi2.ppf(1.0 - tail, 2 * counted + 2) / 2.0
    return f"{counted} in {seconds / 3600:.2f} h, {low / weeks:.0f} to {high / weeks:.0f}"


def _detected(rows: Sequence[MachineFigures], kind: str | None, level_db: float) -> str:
    """Alert, score over the highest healthy one, AUC and partial AUC."""
    faulty = _each(rows, "piece", kind, level_db)
    kinds = [kind] if kind else list(FAULTS)
    pairs = [(row.of("piece", ""), row.of("piece", one, level_db)) for row in rows for one in kinds]
    highest = _share(faulty, lambda one: one.over_highest)
    return f"{_share(faulty, _alerted)}, {highest}, {_areas(pairs)}"


def _areas(pairs: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]]) -> str:
    """The means of AUC and partial AUC. Scores of different bundles are not compared."""
    auc, pauc = np.mean([areas(healthy, faulty) for healthy, faulty in pairs], axis=0)
    return f"{auc:.3f} / {pauc:.3f}"


def _alerted(one: Outcome) -> bool:
    return one.alerts > 0


def _share(outcomes: Sequence[Outcome], of: Of) -> str:
    return f"{np.mean([of(one) for one in outcomes]):.2f}"


def _with_limits(outcomes: Sequence[bool]) -> str:
    """The share, with its limits by Clopper and Pearson (1934, Biometrika 26)."""
    n, found = len(outcomes), sum(outcomes)
    tail = (1.0 - _CONFIDENCE) / 2.0
    low = stats.beta.ppf(tail, found, n - found + 1) if found else 0.0
    high = stats.beta.ppf(1.0 - tail, found + 1, n - found) if found < n else 1.0
    return f"{found / n:.2f} ({low:.2f} to {high:.2f})"


def _each(
    rows: Sequence[MachineFigures], role: str, kind: str | None, level_db: float = 0.0
) -> list[Outcome]:
    return [one for row in rows for one in row.of(role, kind, level_db)]


def _by_machine(
    results: Sequence[MachineFigures],
) -> Iterator[tuple[str, list[MachineFigures]]]:
    ordered = sorted(results, key=lambda one: one.machine)
    return (
        (machine, list(rows)) for machine, rows in groupby(ordered, key=lambda one: one.machine)
    )


def _header(columns: Sequence[str]) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"
