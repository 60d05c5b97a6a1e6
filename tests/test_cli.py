"""The command line: exit statuses, one-line messages, `check` and `inspect`."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from monitor import __version__
from monitor.commands.inspect import lines
from monitor.model.bundle import Bundle
from monitor.text.wording import rounded
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.command_line import auscult, configured, process, process_without
from tests.daemons import ROOT

COMMANDS = (
    *("run", "check", "inspect", "replay", "calibrate", "devices", "record", "selftest"),
    *("outbox", "discovery", "demo", "train", "evaluate", "fleet", "fleet train", "fleet replay"),
)


def test_the_command_is_installed_and_is_the_module() -> None:
    """`auscult` and `python -m monitor` would differ."""
    done = process("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"auscult {__version__}")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command: str) -> None:
    """A command would have no help."""
    outcome = auscult(*command.split(), "--help")
    assert outcome.status == 0
    assert "Usage: auscult" in outcome.out


@pytest.mark.parametrize("command", ["", "train", "fleet"])
@pytest.mark.parametrize("columns", [60, 80, 120, 300])
def test_a_list_of_commands_has_whole_sentences_and_fits(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would guess the end of "Show what happened to a machine: scores, states,..."."""
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((columns, 40)))
    lines = auscult(*command.split(), "--help").out.splitlines()
    commands = "\n".join(lines[lines.index("Commands:") + 1 :])
    for entry in re.split(r"\n(?=  \S)", commands):
        assert entry.endswith("."), entry
        assert not entry.endswith("..."), entry
    longest = max(map(len, lines))
    assert longest <= min(columns, 120)
    if not command and columns >= 120:
        assert longest > 80


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("inspect", "BUNDLE"),
        ("replay", "BUNDLE RECORDING..."),
        ("record", "MACHINE"),
        ("train audio", "RECORDING..."),
        ("train oneclass", ""),
    ],
)
def test_help_names_the_arguments_without_types(command: str, usage: str) -> None:
    """The help would show types of Python, such as `<list[Path]>`, which users do not know."""
    help_text = auscult(*command.split(), "--help").out
    assert help_text.startswith(f"Usage: auscult {command} [OPTIONS] {usage}".strip() + "\n")
    for name in usage.split():
        assert re.search(rf"^  {re.escape(name)}  +[A-Z]", help_text, re.MULTILINE)


def test_help_loads_no_large_library() -> None:
    """The help would be slow, because it loads numpy or ONNX Runtime."""
    code = (
        "import sys; from monitor.cli import run_command; run_command(['--help']); "
        "print(sorted({'numpy', 'onnxruntime', 'pydantic', 'torch'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 64, "Missing command"),
        (["bogus"], 64, "No such command"),
        (["run", "--bogus"], 64, "No such option"),
        (["replay"], 64, "Missing argument"),
        (["run", "--log-format", "xml"], 64, "xml"),
        (["discovery"], 64, "--remove"),
        (["replay", "--bogus"], 64, "(see auscult replay --help)"),
        (["train"], 64, "Missing command (see auscult train --help)"),
        (["train", "audio"], 64, "(see auscult train audio --help)"),
        (["train", "bogus"], 64, "bogus"),
        (["check", "--config", "/nowhere.toml"], 66, "/nowhere.toml"),
        (["run", "--config", "/nowhere.toml"], 66, "/nowhere.toml"),
        (["inspect", "/nowhere"], 78, "/nowhere"),
        (["replay", "/nowhere", "x.wav"], 78, "/nowhere"),
        (["calibrate", "/nowhere", "x.wav", "--in-place"], 78, "/nowhere"),
        (["calibrate", "b", "x.wav", "--false-alarms-per-week", "inf"], 64, "per-week"),
        (["calibrate", "b", "x.wav", "--false-alarms-per-week", "nan"], 64, "per-week"),
        (["train", "audio", "x.wav", "--out", "b", "--false-alarms-per-week", "inf"], 64, "week"),
        (["record", "m", "--out", "o", "--seconds", "inf"], 64, "--seconds"),
        (["demo", "--out", "/dev/null"], 66, "--out /dev/null"),
        (["inspect", "/" + "n" * 300], 78, "cannot be opened"),
    ],
)
def test_a_mistake_gets_one_line_and_its_status(
    arguments: list[str], status: int, says: str
) -> None:
    """A script could not distinguish a typing error from a disk error."""
    outcome = auscult(*arguments)
    assert outcome.status == status
    (line,) = outcome.err.splitlines()
    assert line.startswith("auscult: ")
    assert says in line
    assert outcome.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", ""],
        ["replay", "bundle", "x.wav", ""],
        ["train", "audio", "x.wav", "--out", ""],
        ["evaluate", "bundle", "--normal", "", "--anomalous", "x.wav"],
        ["check", "--config="],
    ],
)
def test_an_empty_path_is_refused(arguments: list[str]) -> None:
    """A script whose variable is not set would read or fill the current folder."""
    outcome = auscult(*arguments)
    assert (outcome.status, outcome.err.count("\n")) == (64, 1)
    assert "must not be empty" in outcome.err


def test_a_file_that_cannot_be_used_is_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder in the place of a file of results would look like a bug."""

    def refuse(*_: object, **__: object) -> None:
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "run/metrics.json")

    monkeypatch.setattr("monitor.commands.check.check", refuse)
    outcome = auscult("check")
    assert (outcome.status, outcome.err) == (66, "auscult: run/metrics.json: Is a directory\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug would be reported as a mistake of the user."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("monitor.commands.check.check", broken)
    outcome = auscult("check")
    assert outcome.status == 70
    assert "Traceback" in outcome.err


TRAIN_MESSAGE = (
    "auscult: auscult {command} needs the extra 'train' ({package} is not installed): install it "
    "with: pip install '.[train]' (in the folder of the source), or on a node: sudo "
    "deploy/install.sh --train\n"
)
FLEET_MESSAGE = (
    "auscult: auscult fleet needs the extras 'fleet' and 'train' ({package} is not installed): "
    "install them with: pip install '.[fleet,train]' (in the folder of the source)\n"
)
DEMO_MESSAGE = (
    "auscult: auscult demo needs the extras 'demo' and 'train' ({package} is not installed): "
    "install them with: pip install '.[demo,train]' (in the folder of the source)\n"
)


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("torch", "train audio RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("matplotlib", "train audio RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("torch", "train mnist --data RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("sklearn", "train denoise --sigma 0.2 --data RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("matplotlib", "train oneclass --data RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("matplotlib", "replay BUNDLE RECORDINGS --report OUT", TRAIN_MESSAGE),
        ("torch", "evaluate --dcase RECORDINGS --out OUT", TRAIN_MESSAGE),
        ("pyarrow", "fleet train RECORDINGS --out OUT", FLEET_MESSAGE),
        ("ray", "fleet replay RECORDINGS --out OUT --engine ray", FLEET_MESSAGE),
        ("torch", "demo --out OUT", DEMO_MESSAGE),
        ("amqtt", "demo --out OUT", DEMO_MESSAGE),
    ],
)
def test_a_missing_extra_is_named(
    package: str, arguments: str, message: str, bundle: Bundle, tmp_path: Path
) -> None:
    """A node without the trainer would print a traceback instead of the command that helps."""
    recordings, out = tmp_path / "recordings", tmp_path / "out"
    recordings.mkdir()
    places = {"RECORDINGS": recordings, "OUT": out, "BUNDLE": bundle.path}
    done = process_without(package, *(places.get(word, word) for word in arguments.split()))
    assert done.returncode == 69
    first = arguments.split(maxsplit=1)[0]
    command = {"replay": "replay --report", "evaluate": "evaluate --dcase"}.get(first, "train")
    assert done.stderr == message.format(command=command, package=package)
    assert not out.exists()


def test_a_missing_module_of_auscult_is_a_bug() -> None:
    """A broken build would be reported as a missing extra."""
    done = process_without("training", "train", "audio")
    assert done.returncode == 70
    assert "Traceback" in done.stderr


def test_help_of_the_trainer_needs_no_extra() -> None:
    """Options could not be looked up before the trainer is installed."""
    for command in ("audio", "mnist", "denoise", "oneclass"):
        done = process_without("torch,matplotlib,sklearn", "train", command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
    for command in ("train", "replay"):
        done = process_without("torch,pyarrow,fsspec,ray", "fleet", command, "--help")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_disk_is_not_a_bug(bundle: Bundle) -> None:
    """A full disk would be reported as a bug."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "monitor", "inspect", bundle.path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 69
    assert done.stderr == "auscult: disk error: No space left on device\n"


def test_a_file_with_a_disk_error_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read error would be reported as a write error, or without the file."""

    def unreadable(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "healthy.flac")

    monkeypatch.setattr("monitor.commands.check.check", unreadable)
    outcome = auscult("check")
    assert outcome.status == 69
    assert outcome.err == "auscult: disk error: healthy.flac: Input/output error\n"


def test_an_interrupted_command_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C would print a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monitor.commands.check.check", interrupted)
    outcome = auscult("check")
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "")


def test_a_closed_pipe_is_not_an_error(bundle: Bundle) -> None:
    """`auscult inspect BUNDLE | head -1` would end in a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "monitor", "inspect", bundle.path, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(20) == 0


# check and inspect


def test_check_names_every_machine(bundle: Bundle, tmp_path: Path) -> None:
    """A user could not see which machines were checked."""
    config = configured(tmp_path, bundle.path)
    assert "pump-7" in auscult("check", "--config", config).out
    (machine,) = auscult("check", "--config", config, "--json").json["machines"]
    assert machine["bundle_sha256"] == bundle.sha256


def test_check_reports_a_state_folder_that_is_no_folder(bundle: Bundle, tmp_path: Path) -> None:
    """The daemon would keep alerts in memory only, and would name files that exist."""
    config = configured(tmp_path, bundle.path)
    state = tmp_path / "state"
    for is_link in (False, True):
        state.symlink_to("state") if is_link else state.touch()
        outcome = auscult("check", "--config", config)
        assert outcome.status == 0
        assert f"the state folder {state} is not a folder" in outcome.err
        state.unlink()
    assert auscult("check", "--config", config).err == ""


@pytest.mark.parametrize("table", ["[detector]", "[machine.detector]"])
def test_check_reports_a_threshold_for_faults_of_another_length(table: str, tmp_path: Path) -> None:
    """A threshold would not fit the configured length of faults, without a message."""
    bundle = make_bundle(tmp_path / "bundle")
    config = configured(tmp_path, bundle.path)
    assert auscult("check", "--config", config).err == ""
    config.write_text(config.read_text() + f"\n{table}\nmin_fault_s = 0.5\n")
    checked = auscult("check", "--config", config)
    assert checked.status == 0
    assert "the threshold was calibrated for" in checked.err
    assert f"{table} requires" in checked.err
    assert ("min_fault_s = 0.5" in checked.out) == (table == "[machine.detector]")
    (machine,) = auscult("check", "--config", config, "--json").json["machines"]
    assert machine["detector"]["min_fault_s"] == 0.5
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    for seed in range(8):
        soundfile.write(healthy / f"{seed}.wav", machine_sound(15, seed=seed), SPEC.sample_rate_hz)
    assert auscult("calibrate", bundle.path, healthy, "--in-place", "--config", config).status == 0
    assert auscult("check", "--config", config).err == ""


def test_check_refuses_what_run_would_refuse(tmp_path: Path) -> None:
    """A configuration would pass the check and fail in the daemon."""
    config = configured(tmp_path, tmp_path / "nowhere")
    outcome = auscult("check", "--config", config)
    assert outcome.status == 78
    assert 'machine "pump-7"' in outcome.err
    assert "no such bundle" in outcome.err
    damaged = make_bundle(tmp_path / "damaged")
    (damaged.path / "model.onnx").write_bytes(b"not what it was")
    outcome = auscult("check", "--config", configured(tmp_path, damaged.path))
    assert (outcome.status, outcome.out) == (78, "")
    assert "model.onnx: SHA-256" in outcome.err


def test_check_without_the_password(bundle: Bundle, tmp_path: Path) -> None:
    """A reload under systemd would fail because its check has no access to the password."""
    config = configured(tmp_path, bundle.path)
    keys = 'username = "hall-2"\npassword_file = "absent"\n'
    config.write_text(config.read_text().replace("[mqtt]\n", f"[mqtt]\n{keys}"))
    refused = auscult("check", "--config", config)
    assert refused.status == 78
    assert "absent" in refused.err
    assert auscult("check", "--config", config, "--no-password").status == 0


def test_check_reports_a_password_that_others_can_read(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Other users of the computer could publish in the name of Auscult."""
    config = configured(tmp_path, bundle.path)
    password = config.with_name("secret")
    password.write_text("open-sesame")
    keys = 'username = "hall-2"\npassword_file = "secret"\n'
    config.write_text(config.read_text().replace("[mqtt]\n", f"[mqtt]\n{keys}"))
    for mode, is_reported in ((0o600, False), (0o400, False), (0o640, True), (0o444, True)):
        password.chmod(mode)
        outcome = auscult("check", "--config", config)
        assert outcome.status == 0
        assert (f"its mode is {mode:04o}, but must be" in caplog.text) == is_reported
        caplog.clear()


def test_inspect_shows_what_a_bundle_is(bundle: Bundle) -> None:
    """A user could not distinguish two bundles."""
    text = auscult("inspect", bundle.path).out
    assert f"recording threshold {rounded(bundle.calibration.recording_threshold)}" in text
    assert bundle.sha256 in text
    document = auscult("inspect", bundle.path, "--json").json
    assert document["sha256"] == bundle.sha256
    assert document["features"] == bundle.spec.to_dict()
    assert document["checks"]["selftest"] == "passed"


def test_inspect_shows_nested_figures_in_words(bundle: Bundle) -> None:
    """Budgets and changes between days are rows of words and numbers without separators."""
    provenance = {
        "budget_recall": {"0.1": 0.583, "7": 0.9},
        "day_variation": {
            "kept": [{"change": "noise", "size": -40.0}, {"change": "gain", "size": 6.0}],
            "left_out": ["slope", "speed"],
        },
    }
    manifest = bundle.manifest.model_copy(update={"provenance": provenance})
    shown = "\n".join(lines(replace(bundle, manifest=manifest)))
    assert "58% at 0.1 a week, 90% at 7 a week" in shown
    assert "more recordings" not in shown
    assert "change noise, size -40.0; change gain, size 6.00, left out slope, speed" in shown


def test_inspect_shows_the_faults_that_raise_an_alert(bundle: Bundle) -> None:
    """The recall would be a long row of nested figures, or would end the command."""
    spans = {"2 s": 0.5, "15 s": 0.75, "2 min": 0.75}
    provenance = {
        "recall": {
            "impacts": {"-6 dB": {"2 s": 1.0, "15 s": 1.0}, "-12 dB": spans},
            "rub": {"-6 dB": {"2 s": 0.25}},
            "of other tools": "none",
        },
        "recall_growth": {"4": {"impacts": {"-6 dB": 1.0, "-12 dB": 1.0}, "rub": {"-6 dB": 0.5}}},
    }
    manifest = bundle.manifest.model_copy(update={"provenance": provenance})
    shown = list(lines(replace(bundle, manifest=manifest)))
    more = "impacts 100% (now 88%), rub 50% (now 25%)"
    first = next(number for number, line in enumerate(shown) if line.startswith("recall "))
    assert shown[first : first + 3] == [
        "recall              impacts: 100% at -6 dB, 75% at -12 dB (15 s)",
        "                    rub: 25% at -6 dB",
        f"more recordings     4 times as many, if other days are alike: {more}",
    ]
