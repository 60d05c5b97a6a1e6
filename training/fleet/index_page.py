"""The page of a fleet: a row a machine, with a link to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.offline.html_page import heading, link, page, paragraph, table
from monitor.text.wording import counted, duration, rounded

INDEX = "index.html"
REPORT = "report.html"
"""In the folder of a bundle, see ``training.sound.report``, which loads torch."""
_COLUMNS = (
    *("machine", "type", "healthy sound", "threshold", "false alarms a week"),
    *("supported a week", "network, without", "training", "notes"),
)


def write_index(
    out: Path, rows: Sequence[Mapping[str, Any]], messages: Mapping[str, Sequence[str]]
) -> Path:
    """Write ``index.html``: the machines that failed first. Raises ``OSError``.

    ``rows``: those of ``fleet.parquet`` with ``took_s``. ``messages``: warnings by machine.
    """
    failed = [row for row in rows if row["error"]]
    done = [row for row in rows if not row["error"]]
    parts = [paragraph(f"{counted(len(done), 'bundle')} of {counted(len(rows), 'machine')}.")]
    if failed:
        parts += [
            heading("No bundle"),
            table(("machine", "type", "reason"), [_failed(row) for row in failed]),
        ]
    parts += [
        heading("Bundles"),
        table(_COLUMNS, [_done(out, row, messages.get(row["machine"], ())) for row in done]),
        paragraph(
            "Supported: the lowest budget of false alarms that the sound supports by counting. "
            "Network, without: mean ROC AUC for small artificial changes, with the network and "
            "without it."
        ),
    ]
    path = out / INDEX
    path.write_text(page(out.absolute().name, parts), encoding="utf-8")
    return path


def _failed(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["machine"], row["type"], row["error"]


def _name(out: Path, machine: str) -> str:
    """The name, as a link where the machine has a report."""
    has_report = (out / machine / REPORT).exists()
    return link(f"{machine}/{REPORT}", machine) if has_report else machine


def _done(out: Path, row: Mapping[str, Any], messages: Sequence[str]) -> tuple[str, ...]:
    left_out = f"{counted(row['left_out'], 'recording')} left out" if row["left_out"] else ""
    notes = "; ".join(filter(None, [left_out, *messages]))
    return (
        _name(out, row["machine"]),
        row["type"],
        f"{counted(row['recordings'], 'recording')}, {duration(row['seconds'])}",
        rounded(row["threshold"]),
        f"{row['false_alarms_per_week']:g}",
        rounded(row["supported_false_alarms_per_week"]),
        f"{row['network_auc']:.3f}, {row['control_auc']:.3f}",
        f"{row['took_s']:.0f} s",
        notes,
    )
