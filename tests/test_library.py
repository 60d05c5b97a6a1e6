"""The library: its examples run, and it gives what the commands and the daemon give."""

from __future__ import annotations

import csv
import doctest
import inspect
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import api_page
import numpy as np
import pytest
import soundfile

import auscult
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.service.machine import Machine
from tests.bundles import machine_sound
from tests.command_line import auscult as command
from tests.daemons import ROOT
from tests.scripted_machines import (
    RATE_HZ,
    RecordingOutlet,
    cut,
    fault_and_back,
    plan,
    playing,
)
from tests.waiting import wait_for

EXAMPLES = ROOT / "examples" / "library"
DESCRIBED = [name for name in auscult.__all__ if name not in api_page.TYPES]
SMALL = {
    "CHANNELS": "[4]",
    "BOTTLENECK": "2",
    "MOST_WINDOWS_PER_EPOCH": "64",
    "BATCH_SIZE": "16",
    "DAY_VARIATION": "false",
}
"""Settings of ``[training]`` for a training of a second."""


def healthy_sound(seed: int = 0) -> FloatArray:
    return machine_sound(4.0, seed=seed)


def faulty_sound(seed: int = 0) -> FloatArray:
    return machine_sound(12.0, seed=seed, fault=0.3)


def run_examples(name: str) -> None:
    """Run the examples in the docstring of a public name."""
    words = {
        "auscult": auscult,
        "np": np,
        "healthy_sound": healthy_sound,
        "faulty_sound": faulty_sound,
    }
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    said: list[str] = []
    for test in doctest.DocTestFinder(recurse=False).find(
        getattr(auscult, name), name, globs=words
    ):
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    few_bootstraps: None,  # noqa: ARG001 - makes the training quick
) -> Iterator[Path]:
    """The current folder of the examples, with the bundle that the example of ``train`` makes."""
    made = Path(tmp_path_factory.mktemp("library"))
    soundfile.write(made / "healthy.wav", healthy_sound(50), RATE_HZ)
    (made / "recordings").mkdir()
    soundfile.write(made / "recordings" / "monday.wav", healthy_sound(51), RATE_HZ)
    soundfile.write(made / "recordings" / "tuesday.wav", faulty_sound(52), RATE_HZ)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setenv(f"AUSCULT_TRAINING__{name}", value)
        patch.chdir(made)
        run_examples("train")
        yield made


@pytest.fixture
def trained(folder: Path) -> Bundle:
    """The bundle of the example."""
    return auscult.load_bundle(folder / "pump.bundle")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in DESCRIBED
        if ">>>" in (inspect.getdoc(getattr(auscult, name)) or "") and name != "train"
    ],
)
@pytest.mark.usefixtures("folder")
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    """The reference would show calls that fail, or results that do not come."""
    run_examples(name)


def test_the_page_of_the_library_is_that_of_the_code() -> None:
    """docs/api.md would describe other arguments: run tools/api_page.py."""
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page()


def test_every_public_name_is_documented() -> None:
    """A user would have to read the code."""
    for name in DESCRIBED:
        assert inspect.getdoc(getattr(auscult, name)), name
    functions = [getattr(auscult, name) for name in ("score", "replay", "train", "evaluate")]
    for one in functions:
        undocumented = [
            argument
            for argument in inspect.signature(one).parameters
            if argument != "bundle" and f"``{argument}``" not in (one.__doc__ or "")
        ]
        assert not undocumented, one


def test_a_stream_gives_what_the_daemon_gives(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A loop of one's own would decide otherwise than the daemon."""
    sound = fault_and_back()
    machine = Machine(plan(bundle, network), playing(*cut(sound, 1371), forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    stream = auscult.Stream(bundle, RATE_HZ)
    outputs = [stream.push(block) for block in np.array_split(sound, 97)]
    spans = [span for output in outputs for span in output.spans]
    alerts = [alert for output in outputs for alert in output.alerts]
    assert [(one.score, one.loss, one.threshold) for one in spans] == [
        (one["score"], one["loss"], one["threshold"]) for _, one in record.scores
    ]
    assert [(one.kind, one.score, one.bands_hz) for one in alerts] == [
        (one.kind, one.score, one.bands_hz) for one in record.alerts
    ]
    assert [one.kind for one in alerts] == ["raised", "cleared"]


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_file_an_array_a_stream_and_the_command_agree(
    bundle: Bundle, rate_hz: int, tmp_path: Path
) -> None:
    """The same sound would have several scores."""
    sound = np.concatenate([machine_sound(9.0, seed=3), machine_sound(9.0, seed=4, fault=0.3)])
    path, table = tmp_path / "sound.wav", tmp_path / "scores.csv"
    soundfile.write(path, sound, rate_hz, subtype="FLOAT")
    of_file = auscult.score(bundle, path)
    of_array = auscult.score(bundle, sound.astype(np.float64), rate_hz)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(sound), 40))
    stream = auscult.Stream(bundle, rate_hz)
    outputs = [*(stream.push(block) for block in np.split(sound, cuts)), stream.finish()]
    assert command("replay", bundle.path, path, "--scores", table).status == 0
    with table.open(encoding="utf-8") as file:
        rows = [
            tuple(float(row[name]) for name in ("start_s", "end_s", "score", "loss", "threshold"))
            for row in csv.DictReader(file)
        ]
    assert len(rows) >= 5
    for spans in (of_file.spans, of_array.spans, [s for out in outputs for s in out.spans]):
        assert [(s.start_s, s.end_s, s.score, s.loss, s.threshold) for s in spans] == rows
    assert (of_file.score, of_file.alerts) == (of_array.score, of_array.alerts)
    assert of_array.alerts == tuple(alert for out in outputs for alert in out.alerts)
    assert (of_file.file, of_array.file) == (str(path), "array")


def test_no_score_contains_sound_from_before_and_after_a_loss(bundle: Bundle) -> None:
    """A gap in a stream would look like a fault."""
    stream = auscult.Stream(bundle, RATE_HZ)
    sound = machine_sound(20.0)
    before = stream.push(sound[: 10 * RATE_HZ])
    after = stream.push(sound[10 * RATE_HZ :], lost=RATE_HZ)
    assert before.spans
    assert min(span.start_s for span in after.spans) >= 11.0


def test_sound_that_cannot_be_judged_is_a_state(bundle: Bundle) -> None:
    """A muted microphone would look like a healthy machine, or raise an alert."""
    stream = auscult.Stream(bundle, RATE_HZ)
    stream.push(machine_sound(8.0))
    assert (stream.state, stream.state_detail) == ("ok", "")
    output = stream.push(np.full(RATE_HZ, np.nan, np.float32))
    assert (output.spans, stream.state) == ((), "no_signal")
    assert stream.state_detail


def test_arrays_and_files_give_the_same_bundle(trained: Bundle, tmp_path: Path) -> None:
    """A bundle would depend on how the sound was given, or name a temporary folder."""
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    for seed in range(4):
        soundfile.write(healthy / f"{seed}.wav", healthy_sound(seed), RATE_HZ, subtype="FLOAT")
    of_files = auscult.train([healthy], tmp_path / "of-files", epochs=1)
    assert of_files.model == trained.model
    assert of_files.calibration == trained.calibration
    names = [one["name"] for one in trained.manifest.provenance["recordings"]]
    assert names == [f"recording {number}" for number in range(1, 5)]


def test_reference_machines_may_be_arrays_and_a_bundle_is_kept(
    trained: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engineer would have to write files for each reference machine, or lose a bundle."""
    out = tmp_path / "bundle"
    shutil.copytree(trained.path, out)
    reported: list[Any] = []
    monkeypatch.setattr("training.sound.report.write_report", reported.append)
    own = [healthy_sound(seed) for seed in range(4)]
    other = [healthy_sound(seed) * np.float32(0.5) for seed in range(40, 42)]
    bundle = auscult.train(
        own, out, RATE_HZ, references=[other], epochs=1, overwrite=True, report=True
    )
    (reference,) = bundle.manifest.provenance["references"]
    assert (reference["name"], reference["recordings"]) == ("reference 1", 2)
    assert [one.bundle for one in reported] == [bundle]
    assert auscult.load_bundle(tmp_path / "bundle.previous-1").sha256 == trained.sha256


def test_files_that_cannot_be_read_do_not_stop_an_evaluation(
    trained: Bundle, folder: Path, tmp_path: Path
) -> None:
    """One broken file of a thousand would cost the result."""
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    normal: list[auscult.Sound] = [folder / "healthy.wav", broken, healthy_sound(53)]
    result = auscult.evaluate(trained, normal, [folder / "recordings/tuesday.wav"], RATE_HZ)
    assert (result.n_scored("normal"), result.n_scored("anomalous")) == (2, 1)
    assert [one.file for one in result.refused] == [str(broken)]
    assert [one.summary.file for one in result.recordings][2] == "normal 3"
    assert result.auc.value == 1.0


MISTAKES: list[tuple[Callable[[Bundle], object], type[Exception], str]] = [
    (lambda _: auscult.load_bundle("none"), auscult.BundleError, "none: "),
    (lambda b: auscult.score(b, "none.wav"), auscult.MissingInputError, "none.wav: "),
    (lambda b: auscult.score(b, np.zeros(9)), auscult.UsageError, "sample_rate_hz: "),
    (lambda b: auscult.score(b, np.zeros(9), True), auscult.UsageError, "sample_rate_hz: "),
    (lambda b: auscult.Stream(b, 8000).push([0.1]), auscult.BadInputError, "block: is a list"),  # type: ignore[arg-type] # wrong on purpose
    (
        lambda b: auscult.Stream(b, 8000).push(np.zeros(9), lost=1.5),  # type: ignore[arg-type] # as above
        auscult.UsageError,
        "lost: .* not 1.5",
    ),
    (lambda b: auscult.score(b, np.zeros(9), 0), auscult.UsageError, "sample_rate_hz: .* not 0"),
    (
        lambda b: auscult.score(b, np.zeros((9, 2)), 8000),
        auscult.BadInputError,
        r"array: has the shape \(9, 2\); expected one channel",
    ),
    (
        lambda b: auscult.score(b, np.zeros(9, np.int16), 8000),
        auscult.BadInputError,
        "array: contains int16; .* divide",
    ),
    (
        lambda b: auscult.score(b, np.full(20_000, np.nan), 16_000),
        auscult.BadInputError,
        "array: sample 0 is nan",
    ),
    (lambda b: auscult.score(b, np.zeros(0), 8000), auscult.BadInputError, "array: contains no"),
    (lambda b: auscult.score(b, [0.1]), auscult.UsageError, "list: expected the path"),  # type: ignore[arg-type] # wrong on purpose
    (lambda b: auscult.replay(b, "a.wav"), auscult.UsageError, "recordings: expected a list"),
    (lambda b: auscult.replay(b, ["a.wav"]), auscult.MissingInputError, "a.wav: no such file"),
    (lambda b: auscult.Stream(b, -1), auscult.UsageError, "sample_rate_hz: "),
    (lambda b: auscult.Stream(b, 0.5), auscult.UsageError, "sample_rate_hz: "),  # type: ignore[arg-type] # as above
    (lambda b: auscult.Stream(b, math.nan), auscult.UsageError, "sample_rate_hz: .* not nan"),  # type: ignore[arg-type] # as above
    (lambda b: auscult.Stream(b, "8 kHz"), auscult.UsageError, "sample_rate_hz: .* not 8 kHz"),  # type: ignore[arg-type] # as above
    (
        lambda b: auscult.Stream(b, 8000).push(np.zeros(9, np.int32)),
        auscult.BadInputError,
        "block: contains int32",
    ),
    (
        lambda b: auscult.Stream(b, 8000).push(np.zeros(9), lost=-1),
        auscult.UsageError,
        "lost: .* not -1",
    ),
    (
        lambda b: auscult.evaluate(b, [np.zeros((2, 2))], [np.zeros(9)], 8000),
        auscult.BadInputError,
        "normal 1: has the shape",
    ),
    (
        lambda b: auscult.evaluate(b, ["healthy.wav"], ["healthy.wav"]),
        auscult.UsageError,
        "healthy.wav: is given as normal and as anomalous",
    ),
    (
        lambda _: auscult.train([np.ones(9)], "x", 8000, false_alarms_per_week=math.nan),
        auscult.UsageError,
        "false-alarms-per-week must be a positive number, not nan",
    ),
    (
        lambda _: auscult.train([np.zeros(9, np.int16)], "x", 8000),
        auscult.BadInputError,
        "recording 1: contains int16",
    ),
    (
        lambda _: auscult.train([machine_sound(0.5), machine_sound(0.25)], "x", 16_000),
        auscult.BadInputError,
        "recording 1: 0.45 s is too short to train on.*\nrecording 2: ",
    ),
    (lambda _: auscult.train(["none"], "x"), auscult.MissingInputError, "none: no such file"),
    (lambda _: auscult.train([], "pump.bundle"), auscult.UsageError, "overwrite=True"),
    (lambda _: auscult.train([], "x", epochs=0), auscult.UsageError, "epochs: .* not 0"),
    (
        lambda _: auscult.train(["healthy.wav"], "x", network="no_such_module:make"),
        auscult.UsageError,
        "no_such_module",
    ),
    (
        lambda _: auscult.train(["healthy.wav"], "x", encoder="no.onnx"),
        auscult.MissingInputError,
        "no.onnx",
    ),
    (lambda _: auscult.train([], "x", config="no.toml"), auscult.MissingInputError, "no.toml"),
]


@pytest.mark.parametrize(("call", "kind", "line"), MISTAKES)
def test_a_mistake_of_the_caller_is_one_clear_line(
    call: Callable[[Bundle], object], kind: type[Exception], line: str, trained: Bundle
) -> None:
    """A caller would get a traceback from inside, or a wrong score."""
    with pytest.raises(kind, match=line) as caught:
        call(trained)
    assert isinstance(caught.value, auscult.AuscultError)
    assert f"{tempfile.gettempdir()}/auscult-" not in str(caught.value)
    assert not Path("x").exists()


def test_training_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a plain installation would get a ModuleNotFoundError."""
    monkeypatch.setattr("auscult.training.FOR_TRAINING", ("not_installed_anywhere",))
    with pytest.raises(auscult.ServiceUnavailableError, match="needs the extra 'train'"):
        auscult.train([healthy_sound()], "y", RATE_HZ)


def test_the_library_loads_without_the_trainer() -> None:
    """A node without torch could not score, and every import would take seconds."""
    script = "import sys, auscult; print(sorted({'torch', 'training', 'librosa'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def run_program(
    name: str, *arguments: object, given: bytes = b"", folder: Path
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        input=given,
        capture_output=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_the_program_that_scores_a_file(folder: Path) -> None:
    """A reader would copy a program that does not work."""
    code = (EXAMPLES / "score_file.py").read_text(encoding="utf-8")
    statements = [line for line in code.splitlines()[1:] if line and "import" not in line]
    assert len(statements) <= 5
    done = run_program("score_file.py", "pump.bundle", "recordings/tuesday.wav", folder=folder)
    assert done.stderr == b""
    assert re.fullmatch(
        rb"recordings/tuesday.wav: anomalous, score \d+\.\d\d of \d+\.\d\d\n", done.stdout
    )


def test_the_program_that_monitors_a_stream(folder: Path) -> None:
    """A reader would copy a loop that misses alerts."""
    sound = np.concatenate([healthy_sound(60), faulty_sound(61)])
    given = (sound * 32768).clip(-32768, 32767).astype("<i2").tobytes()
    done = run_program("monitor_stream.py", "pump.bundle", RATE_HZ, given=given, folder=folder)
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert len([line for line in lines if "score" in line]) > 20
    assert len([line for line in lines if "raised" in line and "Hz" in line]) == 1
    assert lines[-1].startswith(("state: anomaly", "1"))
    assert "state: anomaly" in lines


@pytest.mark.usefixtures("folder")
def test_the_program_that_trains_and_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A reader would copy a script that does not work."""
    for name, first, make in (
        ("healthy", 0, healthy_sound),
        ("normal", 20, healthy_sound),
        ("anomalous", 30, faulty_sound),
    ):
        (tmp_path / name).mkdir()
        for seed in range(4 if name == "healthy" else 2):
            soundfile.write(tmp_path / name / f"{seed}.wav", make(first + seed), RATE_HZ)
    monkeypatch.setenv("AUSCULT_TRAINING__EPOCHS", "1")
    names = [str(tmp_path / name) for name in ("healthy", "normal", "anomalous", "bundle")]
    monkeypatch.setattr(sys, "argv", ["train_and_evaluate.py", *names])
    runpy.run_path(str(EXAMPLES / "train_and_evaluate.py"), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"AUC +1\.000  \(95 %: 1\.000 to 1\.000\)", said[0])
    assert len(said) == 3 + 4
