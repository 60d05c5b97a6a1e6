"""DCASE Task 2: the layout, the official score, and a submission from beginning to end."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from monitor.errors import BadInputError, MissingInputError
from monitor.model.bundle import load_bundle
from tests.command_line import auscult
from tests.test_fleet import CONFIG
from tests.tiny_sound import simulated_frames
from training.evaluation.dcase_layout import read_layout
from training.evaluation.dcase_score import SectionScores, figures_of, official_score

N_TRAIN, N_TEST = 8, 3


def write_clip(path: Path, seed: int, fault_db: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, simulated_frames(seed, fault_db=fault_db))


def write_type(folder: Path, *, labelled: bool = True) -> Path:
    """A machine type with two sections, of which the second one has faint faults."""
    for section, fault_db in ((0, 8.0), (1, 0.6)):
        name, seed = f"section_{section:02d}", 1000 * section
        for number in range(N_TRAIN):
            domain = "target" if number < 2 else "source"
            file = f"{name}_{domain}_train_normal_{number:04d}_speed_1.npy"
            write_clip(folder / "train" / file, seed + number)
        answers = itertools.product(("source", "target"), ("normal", "anomaly"), range(N_TEST))
        for number, (domain, label, index) in enumerate(answers):
            file = f"{name}_{domain}_test_{label}_{index:04d}_speed_1.npy"
            if not labelled:
                file = f"{name}_{number:04d}.npy"
            fault = fault_db if label == "anomaly" else 0.0
            write_clip(folder / "test" / file, seed + 100 + number, fault)
    return folder


def test_the_official_score_of_a_case_computed_by_hand() -> None:
    """The figure could not be compared with published ones."""
    # Normal source 1 2, normal target 3 4, anomalous 2.5 5. Pairs that are in order:
    # source 4 of 4, target 2 of 4.
    # The curve: 5 is found without a false alarm, then 4 and 3 are false, then 2.5 is found.
    # Up to a rate of 0.1 it is flat at 1/2: an area of 0.05, chance is 0.005, the most is 0.1.
    # Standardised: 0.5 * (1 + 0.045 / 0.095) = 14 / 19.
    scores = SectionScores(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([2.5, 5.0]))
    figures = figures_of(scores)
    assert (figures.auc_source, figures.auc_target) == (1.0, 0.5)
    assert figures.pauc == pytest.approx(14 / 19, abs=1e-12)
    # The harmonic mean of 1, 1/2 and 14/19: 3 / (1 + 2 + 19/14) = 42 / 61.
    assert official_score([figures]) == pytest.approx(42 / 61, abs=1e-12)


def test_the_official_score_agrees_with_the_functions_of_the_evaluator() -> None:
    """The organisers' evaluator would give another figure for the submission."""
    rng = np.random.default_rng(0)
    values, ours = [], []
    for _ in range(3):
        normal_source, normal_target, anomalous = (
            rng.normal(mean, 1.0, n) for mean, n in ((0.0, 50), (0.3, 40), (1.0, 60))
        )
        for normal in (normal_source, normal_target):
            labels = [0] * len(normal) + [1] * len(anomalous)
            values.append(roc_auc_score(labels, [*normal, *anomalous]))
        labels = [0] * 90 + [1] * 60
        both = [*normal_source, *normal_target, *anomalous]
        values.append(roc_auc_score(labels, both, max_fpr=0.1))
        ours.append(figures_of(SectionScores(normal_source, normal_target, anomalous)))
    assert official_score(ours) == pytest.approx(float(hmean(values)), abs=1e-12)


def test_a_worthless_section_makes_the_score_zero() -> None:
    """A division by zero would end the command after hours of training."""
    figures = figures_of(SectionScores(np.array([2.0]), np.array([2.0]), np.array([1.0])))
    assert official_score([figures]) == 0.0


def test_sections_and_answers_come_from_the_names(tmp_path: Path) -> None:
    """A clip would count for another domain or section."""
    first, second = read_layout(write_type(tmp_path / "ToyPump"))
    assert (first.id, second.id) == ("ToyPump-section_00", "ToyPump-section_01")
    assert (len(first.train), len(first.test)) == (N_TRAIN, 4 * N_TEST)
    assert [(one.domain, one.label) for one in second.test] == [
        *[("source", "anomaly")] * N_TEST,
        *[("source", "normal")] * N_TEST,
        *[("target", "anomaly")] * N_TEST,
        *[("target", "normal")] * N_TEST,
    ]
    assert read_layout(tmp_path) == [first, second]


def test_a_layout_that_is_wrong_is_refused_with_every_mistake(tmp_path: Path) -> None:
    """Hours of training would end with figures of a part of the clips."""
    with pytest.raises(MissingInputError, match="train and test"):
        read_layout(tmp_path)
    folder = write_type(tmp_path / "pump")
    write_clip(folder / "test" / "odd.npy", 0)
    write_clip(folder / "test" / "section_07_source_test_normal_0000.npy", 0)
    with pytest.raises(BadInputError) as raised:
        read_layout(tmp_path)
    assert [text.split(": ")[0].rpartition("/")[2] for text in raised.value.lines] == [
        "odd.npy",
        "pump",
    ]
    assert "section_07 has no clips in train" in str(raised.value)


def read_csv(path: Path) -> dict[str, float]:
    with path.open(newline="") as file:
        return {name: float(value) for name, value in csv.reader(file)}


@pytest.mark.slow
@pytest.mark.xdist_group("fleet")
def test_a_submission_from_beginning_to_end(tmp_path: Path) -> None:
    """The command would fail, or print another score than that of the files it writes."""
    write_type(tmp_path / "data" / "pump")
    write_type(tmp_path / "data" / "unknown", labelled=False)
    (tmp_path / "auscult.toml").write_text(CONFIG)
    out = tmp_path / "out"
    arguments = (
        "evaluate", "--dcase", tmp_path / "data", "--out", out,
        "--config", tmp_path / "auscult.toml", "--jobs", 1, "--json",
    )  # fmt: skip
    outcome = auscult(*arguments)
    assert outcome.status == 0, outcome.err
    result = outcome.json
    assert [*result["machine_types"]] == ["pump"]
    figures = []
    for section in ("section_00", "section_01"):
        load_bundle(out / f"pump-{section}")
        scores = read_csv(out / f"anomaly_score_pump_{section}_test.csv")
        decisions = read_csv(out / f"decision_result_pump_{section}_test.csv")
        assert len(scores) == 4 * N_TEST
        assert scores.keys() == decisions.keys()
        assert {*decisions.values()} <= {0.0, 1.0}
        groups = [
            np.array([value for name, value in scores.items() if part in name])
            for part in ("source_test_normal", "target_test_normal", "test_anomaly")
        ]
        figures.append(figures_of(SectionScores(*groups)))
        printed = result["machine_types"]["pump"]["sections"][section]
        assert printed["auc_source"] == figures[-1].auc_source
        assert printed["pauc"] == figures[-1].pauc
    assert figures[0].auc_source == 1.0
    assert result["official_score"] == official_score(figures)
    low, high = result["official_score_interval"]
    assert low <= result["official_score"] <= high
    assert len(read_csv(out / "anomaly_score_unknown_section_00_test.csv")) == 4 * N_TEST
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/bundle.json")}
    text = auscult(*arguments[:-1])
    assert text.status == 0
    assert f"{result['official_score']:.4f} (" in text.out
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/bundle.json")} == times
