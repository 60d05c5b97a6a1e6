"""Odd names of files, folders and machines, at every output.

    python -m benchmarks.field.names

Each name is given to a recording with a fault and to a file without sound, in a folder that the
folder source and the commands read, and to a bundle, a configuration, a machine and a folder to
record into. A row for each: the seconds that were read, the result, and the message. Ends with
status 1 if a control character, or a byte that is not UTF-8, reaches the terminal or a file, if
a command ends with a traceback, or if the folder source reads a recording twice or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from benchmarks.field.rows import LogLines, Row, print_table
from monitor.cli.program import EXIT_BUG, run_command
from monitor.domain import AudioBlock, SourceState
from monitor.sources.folder.source import FolderSource
from monitor.sources.settings import FolderSettings
from monitor.text.escaping import one_line
from tests.bundles import SPEC, make_bundle
from tests.daemons import healthy_then_faulty, toml

NAMES = {
    "plain": b"plain",
    "spaces": b" a  b ",
    "leading dash": b"--json",
    "newline": b"new\nline",
    "carriage return": b"over\rwritten",
    "tab": b"a\tb",
    "escape sequence": b"\x1b[31mred",
    "window title": b"\x1b]0;title\x07",
    "C1 control": "a\x9b31mb".encode(),
    "Latin-1": b"latin-\xe9",
    "not UTF-8": b"\xff\xfe",
    "surrogate as UTF-8": b"\xed\xb2\x80",
    "right to left": "a\u202efdp".encode(),
    "line separator": "a\u2028b".encode(),
    "emoji": "\U0001f50a".encode(),
    "longest": b"n" * 247,
    "longest, not UTF-8": b"\xff" * 247,
    "quotes": b'"it\'s"',
    "backslash": b"a\\nb",
    "hash": b"a#b",
    "plus": b"a+b",
    "percent": b"%s%n%%",
    "braces": b"{0}{x}",
    "separators": b"a,b;c|d",
    "formula": b"=cmd|' c calc'!A1",
    "element": b"<script>alert(1)<&>",
    "wildcards": b"[a-z]*?",
    "home": b"~",
    "variable": b"$HOME ${HOME} `id`",
    "markup": b"[bold red]b",
}
SHORT = ("newline", "escape sequence", "not UTF-8", "leading dash")
SECONDS = 30.0


@dataclass
class Ended:
    """A command that has ended: its status, and everything it wrote."""

    status: int
    out: bytes
    err: bytes
    wrong: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        """The last line for the user."""
        lines = (self.err or self.out).decode(errors="backslashreplace").splitlines()
        return one_line(lines[-1]).strip() if lines else ""


class Bench:
    """A folder with what the cases need, and the place of each case."""

    def __init__(self, folder: Path) -> None:
        self.bundle = make_bundle(folder / "pump").path
        self.sound = folder / "sound.wav"
        soundfile.write(self.sound, healthy_then_faulty(), SPEC.sample_rate_hz)
        self._folder = folder

    def place(self, place: str, name: str) -> Path:
        """A new folder."""
        path = self._folder / place / str(list(NAMES).index(name))
        path.mkdir(parents=True)
        return path


def rows(
    folder: Path, names: Sequence[str] = tuple(NAMES), places: Sequence[str] | None = None
) -> Iterator[Row]:
    """A row for each name in each place."""
    bench = Bench(folder)
    for place in places or PLACES:
        for name in names:
            yield PLACES[place](bench, bench.place(place, name), NAMES[name], f"{place}, {name}")


def _folder_source(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """Read twice, as after a restart: nothing is read again."""
    incoming = _recordings(bench, place / "incoming", name)
    settings = FolderSettings(kind="folder", path=incoming, settle_s=0.0, poll_interval_s=0.05)
    read_s, details, again_s = 0.0, [], 0.0
    with LogLines() as log:
        for run in range(2):
            source, stop = FolderSource(settings, place / "ledger"), threading.Event()
            timer = threading.Timer(10.0, stop.set)
            timer.start()
            for item in source.blocks(stop):
                if isinstance(item, AudioBlock):
                    read_s += (run == 0) * len(item.samples) / item.sample_rate_hz
                    again_s += (run == 1) * len(item.samples) / item.sample_rate_hz
                elif isinstance(item, SourceState) and item.reason:
                    details.append(item.detail)
                    if run or (item.reason == "bad_input" and read_s >= SECONDS):
                        stop.set()
                if read_s >= SECONDS and details:
                    stop.set()
            timer.cancel()
    wrong = ["read again"] if again_s else []
    wrong += [] if read_s == SECONDS else ["not read"]
    wrong += _unprintable("state or log", "\n".join([*details, *log.lines]).encode(), lines=True)
    message = details[0] if details else ""
    return _row(case, f"{len(details)} states", message, wrong, read_s)


def _replay(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    incoming = _recordings(bench, place / "incoming", name)
    outputs = {option: place / option for option in ("scores", "files", "alerts", "report")}
    options = [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    plain = _ended("replay", bench.bundle, incoming, *options)
    document = _ended("replay", bench.bundle, incoming, "--json")
    wrong = [*plain.wrong, *document.wrong]
    read_s = 0.0
    with _collected(wrong):
        files = json.loads(document.out)["files"]
        read_s = sum(one["seconds"] for one in files)
        rows = list(csv.DictReader(outputs["files"].read_text("utf-8").splitlines()))
        if len(files) != 2 or len(rows) != 2:
            wrong.append("rows missing")
        if not list(outputs["report"].glob("*.html")):
            wrong.append("no report")
        for path in (*outputs["report"].rglob("*.html"), *place.glob("*")):
            if path.is_file():
                wrong += _unprintable(path.name, path.read_bytes())
    return _row(case, f"status {plain.status}", plain.message, wrong, read_s)


def _one_recording(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """The name as an argument, relative to the present folder."""
    incoming = _recordings(bench, place / "incoming", name)
    with contextlib.chdir(incoming):
        ended = _ended("replay", "--json", "--", bench.bundle, _text(name, ".wav"))
    read_s = 0.0
    with _collected(ended.wrong):
        read_s = json.loads(ended.out)["files"][0]["seconds"]
    return _row(case, f"status {ended.status}", ended.message, ended.wrong, read_s)


def _calibrate(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    incoming = _recordings(bench, place / "incoming", name)
    ended = _ended("calibrate", bench.bundle, incoming, "--out", place / "new.bundle")
    return _row(case, f"status {ended.status}", ended.message, ended.wrong)


def _train(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    incoming = _recordings(bench, place / "incoming", name)
    ended = _ended("train", "audio", incoming, "--out", place / "new.bundle")
    return _row(case, f"status {ended.status}", ended.message, ended.wrong)


def _bundle(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """A bundle, and what is said of one that is not there."""
    path = place / _text(name, ".bundle")
    shutil.copytree(bench.bundle, path)
    ended = _ended("inspect", path)
    missing = _ended("inspect", place / _text(name, ".gone"))
    wrong = [*ended.wrong, *missing.wrong, *([] if ended.status == 0 else ["not read"])]
    return _row(case, f"status {ended.status}, {missing.status}", missing.message, wrong)


def _configuration(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """A configuration with this name, in a folder with this name, that is right and then wrong."""
    path = place / _text(name) / _text(name, ".toml")
    path.parent.mkdir()
    source = toml({"kind": "simulated"})
    machine = f"[[machine]]\n{toml({'id': 'm', 'bundle': str(bench.bundle)})}"
    path.write_text(f"{machine}[machine.source]\n{source}")
    right = _ended("check", "--config", path)
    path.write_text(f"{machine}[machine.source]\n{source}oops = 1\n")
    ended = _ended("check", "--config", path)
    wrong = [*right.wrong, *ended.wrong, *([] if right.status == 0 else ["not read"])]
    return _row(case, f"status {right.status}, {ended.status}", ended.message, wrong)


def _environment(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """The name as the path of a source in a variable."""
    config = place / "config.toml"
    config.write_text(
        f"[[machine]]\n{toml({'id': 'm', 'bundle': str(bench.bundle)})}"
        f"[machine.source]\n{toml({'kind': 'folder', 'path': 'x'})}"
    )
    with _variable("AUSCULT_MACHINE__0__SOURCE__PATH", _text(name)):
        ended = _ended("check", "--config", config)
    return _row(case, f"status {ended.status}", ended.message, ended.wrong)


def _machine_id(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    """Only letters, digits, and ``-_.`` are allowed, because the id is part of a topic."""
    config = place / "config.toml"
    with _variable("AUSCULT_MACHINE__0__ID", _text(name)):
        config.write_text(
            f"[[machine]]\n{toml({'id': 'm', 'bundle': str(bench.bundle)})}"
            f"[machine.source]\n{toml({'kind': 'simulated'})}"
        )
        ended = _ended("check", "--config", config)
    is_allowed = name == b"plain"
    wrong = [*ended.wrong, *([] if (ended.status == 0) == is_allowed else ["accepted"])]
    return _row(case, f"status {ended.status}", ended.message, wrong)


def _record(bench: Bench, place: Path, name: bytes, case: str) -> Row:
    config = place / "config.toml"
    config.write_text(
        f"[[machine]]\n{toml({'id': 'm', 'bundle': str(bench.bundle)})}"
        f"[machine.source]\n{toml({'kind': 'simulated', 'realtime': False})}"
    )
    out = place / _text(name)
    ended = _ended("record", "m", "--config", config, "--out", out, "--seconds", 10)
    if not list(place.rglob("*.flac")):
        ended.wrong.append("not recorded")
    return _row(case, f"status {ended.status}", ended.message, ended.wrong)


PLACES: Mapping[str, Callable[[Bench, Path, bytes, str], Row]] = {
    "in the folder of a source": _folder_source,
    "in a folder for replay": _replay,
    "recording for replay": _one_recording,
    "in a folder for calibrate": _calibrate,
    "in a folder for train": _train,
    "bundle": _bundle,
    "configuration": _configuration,
    "path in a variable": _environment,
    "machine id": _machine_id,
    "folder for record": _record,
}


def _row(
    case: str, result: str, message: str, wrong: Sequence[str], read_s: float | None = None
) -> Row:
    there_s = None if read_s is None else SECONDS
    if read_s is not None and abs(read_s - SECONDS) > 0.01 and "not read" not in wrong:
        wrong = [*wrong, "not read"]
    return Row("name", case, result, message, read_s, there_s, ", ".join(dict.fromkeys(wrong)))


def _text(name: bytes, suffix: str = "") -> str:
    return os.fsdecode(name) + suffix


def _recordings(bench: Bench, folder: Path, name: bytes) -> Path:
    """A folder with one recording of this name, and one file without sound."""
    folder.mkdir()
    os.link(bench.sound, folder / _text(name, ".wav"))
    (folder / _text(name, ".flac")).write_bytes(b"no sound")
    return folder


def _ended(*arguments: object) -> Ended:
    """Run a command; standard output and error accept only UTF-8, as a terminal does."""
    out, err = io.BytesIO(), io.BytesIO()
    wrong: list[str] = []
    streams = [io.TextIOWrapper(one, "utf-8", write_through=True) for one in (out, err)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = run_command([str(argument) for argument in arguments])
    if status == EXIT_BUG:
        wrong.append("traceback")
    wrong += _unprintable("output", out.getvalue() + err.getvalue())
    return Ended(status, out.getvalue(), err.getvalue(), wrong)


def _unprintable(where: str, content: bytes, *, lines: bool = True) -> list[str]:
    """What a terminal or a reader of a file cannot show."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return [f"{where} is not UTF-8"]
    bad = {c for c in text if not c.isprintable() and not (lines and c == "\n")}
    return [f"{where} has {c!a}" for c in sorted(bad)]


@contextlib.contextmanager
def _collected(wrong: list[str]) -> Iterator[None]:
    """An output that cannot be read is wrong."""
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError) as error:
        wrong.append(one_line(repr(error)))


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def main() -> int:
    """Print the table; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        return print_table(rows(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
