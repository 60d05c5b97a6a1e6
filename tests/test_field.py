"""A short form of the table of faults in ``benchmarks/field``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.field import brokers, clock_steps, names
from benchmarks.field.rows import Row, print_table


def wrong(rows: Iterable[Row]) -> list[str]:
    return [str(row) for row in rows if row.wrong]


def test_no_name_reaches_an_output_unescaped(tmp_path: Path) -> None:
    """A name moves the cursor of a terminal, ends a command or stops a source."""
    rows = list(names.rows(tmp_path, names.SHORT, ["in the folder of a source", "configuration"]))
    assert len(rows) == 2 * len(names.SHORT)
    assert wrong(rows) == []


def test_no_step_of_the_clock_loses_an_alert_or_dates_it_in_the_future(tmp_path: Path) -> None:
    """An alert is lost, or has a date in the future."""
    moments = ("during the alert", "between two starts of the computer")
    assert wrong(clock_steps.rows(tmp_path, ["45 days back"], moments)) == []


def test_no_limit_of_a_broker_loses_an_alert(tmp_path: Path) -> None:
    """A broker with a limit receives no alert, and there is no message."""
    limits = ("nothing retained, QoS 0, 300 bytes", "may write all but alerts")
    assert wrong(brokers.rows(tmp_path, limits, ["5"])) == []


def test_a_wrong_row_is_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken guarantee gives the exit status of success."""
    good = Row("name", "a|b", "read", "", 1.0, 1.0)
    assert print_table([good]) == 0
    assert print_table([good, Row("name", "c", "read", "", 0.5, 1.0, "read short")]) == 1
    assert "| name | c | 0.5 of 1.0 | read **read short** |  |" in capsys.readouterr().out
