"""The table of the image benchmarks agrees with the metrics of the runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.images.run import CASES, main, row

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("mnist-32", [0.34, 0.35], "yes"),
        ("mnist-32", [0.34, 0.37], "NO"),
        ("denoise-supervised", [23.4, 23.7], "yes"),
        ("denoise-supervised", [23.4, 23.5], "NO"),
    ],
)
def test_a_target_is_met_by_the_mean_of_the_seeds(
    name: str, values: list[float], word: str
) -> None:
    """A missed target would be reported as met, or the best seed as the mean."""
    case = BY_NAME[name]
    runs = [{**dict.fromkeys(case.beside, 1.0), case.key: v, "seconds": 5.0} for v in values]
    cells = [cell.strip() for cell in row(case, runs).strip("|").split("|")]
    assert cells[4] == word
    assert cells[6] == "2"


def test_no_run_only_prints_existing_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printing the table would start hours of training."""
    case = BY_NAME["two-and-three"]
    folder = tmp_path / case.name / "1"
    folder.mkdir(parents=True)
    metrics = {**dict.fromkeys(case.beside, 0.5), case.key: 0.987, "seconds": 7.0}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    places = ["--mnist", str(tmp_path), "--fashion", str(tmp_path), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run.py", *places, "--no-run"])
    main()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert "| two-and-three | mean_auc | 0.9870 | at least 0.98 | yes |" in printed[-1]
