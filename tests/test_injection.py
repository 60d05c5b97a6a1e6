"""Injected faults in the recordings of a tiny machine, from its samples to report and bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.commands.inspect import lines
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.domain import DoubleArray
from tests.tiny_sound import SETTINGS, write_machine
from training.sound import injection
from training.sound.budget_recall import BudgetRecall
from training.sound.injected_faults import FAULTS, LEVELS_DB
from training.sound.report import write_report
from training.sound.train import AudioRequest, AudioResult, train_audio

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_bootstraps")]

RATE_HZ = 16_000
N_RECORDINGS = 8
LEVELS = [f"{level:g} dB" for level in LEVELS_DB]
SPANS = ["2 s", "10 s", "15 s", "27 s", "2 min", "15 min"]


def write_sound(folder: Path) -> Path:
    """Recordings of noise with a slope and a hum, a little different each."""
    folder.mkdir()
    for number in range(N_RECORDINGS):
        rng = np.random.default_rng(number)
        noise = rng.standard_normal(8 * RATE_HZ)
        hum_hz = rng.normal(120.0, 0.5)
        hum = np.sin(2.0 * np.pi * hum_hz * np.arange(len(noise)) / RATE_HZ)
        sound = np.convolve(noise, [1.0, rng.normal(0.7, 0.02)], "same") + hum
        soundfile.write(folder / f"{number}.wav", 0.05 * sound, RATE_HZ, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> AudioResult:
    folder = tmp_path_factory.mktemp("injection")
    own = write_sound(folder / "own")
    return train_audio(AudioRequest((own,), folder / "bundle", settings=SETTINGS, device="cpu"))


def mean_by_level(recall: BudgetRecall, trained: AudioResult, span: str) -> DoubleArray:
    """The share for each level from loud to faint, averaged over the kinds."""
    shares = recall.by_span(trained.bundle.calibration)
    each = np.array([[shares[kind][level][span] for level in LEVELS] for kind in FAULTS])
    mean: DoubleArray = each.mean(axis=0)
    return mean


def test_louder_faults_are_not_detected_less_often(trained: AudioResult) -> None:
    """The levels are mixed up, or faults have another level than stated."""
    recall = trained.recall
    assert recall.faults.of_samples
    assert recall.n_sounds == N_RECORDINGS
    assert list(recall.spans) == SPANS
    for span in SPANS:
        means = mean_by_level(recall, trained, span).tolist()
        assert means == sorted(means, reverse=True)
    loud, *_, faint = mean_by_level(recall, trained, SPANS[-1])
    assert loud > faint


def test_more_recordings_never_detect_less(trained: AudioResult) -> None:
    """Users would read that other recordings make it worse."""
    recall = trained.recall
    each = [trained.bundle.calibration, *recall.with_more.values()]
    assert list(recall.with_more) == [4, 16]
    assert [one.recordings for one in each] == [N_RECORDINGS * times for times in (1, 4, 16)]
    shares = [recall.by_kind(one) for one in each]
    for kind in FAULTS:
        for level in LEVELS:
            grown = [one[kind][level] for one in shares]
            assert grown == sorted(grown)


def test_no_fault_gives_the_healthy_values(
    trained: AudioResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other sound is scored than that of the recording, or with statistics that contain it."""
    monkeypatch.setattr(injection, "LEVELS_DB", (-300.0,))
    sound = Path(trained.names[0]).parent
    again = train_audio(AudioRequest((sound,), tmp_path / "again", settings=SETTINGS, device="cpu"))
    rule = Persistence(
        again.bundle.calibration.persistence_required,
        again.bundle.calibration.persistence_out_of,
    )
    faults = again.recall.faults
    first, *others = faults.channels
    assert {key.evidence for key in others} == {"distance", "envelope", "lines"}
    for number, healthy in enumerate(again.healthy):
        for values in faults.values.values():
            expected = [persistent_scores(healthy.scores, rule).max()]
            for key in others:
                scores = healthy.channels[key]
                is_short = key.span_s == first.span_s
                expected.append((persistent_scores(scores, rule) if is_short else scores).max())
            np.testing.assert_allclose(values[number], expected, rtol=1e-3)


def test_report_and_bundle_show_the_recall(trained: AudioResult) -> None:
    """A table is missing, or the bundle has other figures than the report."""
    page = write_report(trained).read_text(encoding="utf-8")
    assert "<h2>Which faults raise an alert?</h2>" in page
    header = "".join(f"<th>within {span}</th>" for span in SPANS)
    assert f"<tr><th>fault</th><th>level</th>{header}</tr>" in page
    assert "<th>8 recordings</th><th>32 recordings</th><th>128 recordings</th>" in page
    assert "that other days are like these" in page
    assert "that of 8 sounds" in page
    provenance = trained.bundle.manifest.provenance
    by_budget = provenance["budget_recall"]
    assert f"<tr><td>1</td><td>{by_budget['1']:.0%}</td><td>none</td></tr>" in page
    shares = provenance["recall"]["line"]["-6 dB"]
    row = "".join(f"<td>{share:.0%}</td>" for share in shares.values())
    assert f"<tr><td>line</td><td>-6 dB</td>{row}</tr>" in page
    assert set(provenance["recall"]) == set(provenance["recall_growth"]["4"]) == set(FAULTS)
    shown = "\n".join(lines(trained.bundle))
    assert f"line: {max(shares.values()):.0%} at -6 dB" in shown
    assert "16 times as many, if other days are alike: impacts " in shown


def test_log_mel_has_changes_in_place_of_faults(tmp_path: Path) -> None:
    """A training on log-mel fails, or shows faults that were mixed into no sound."""
    own = write_machine(tmp_path / "own", 4)
    result = train_audio(AudioRequest((own,), tmp_path / "bundle", settings=SETTINGS, device="cpu"))
    assert not result.recall.faults.of_samples
    recall = result.bundle.manifest.provenance["recall"]
    assert set(recall) == {"a new tone", "a shifted resonance", "knocking"}
    assert set(recall["knocking"]) == {"size 1", "size 3", "size 9"}
    page = write_report(result).read_text(encoding="utf-8")
    assert "<td>a new tone</td><td>size 9</td>" in page
    assert "log-mel without samples" in page
    assert "knocking: " in "\n".join(lines(result.bundle))
