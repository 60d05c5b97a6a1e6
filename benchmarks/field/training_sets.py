"""Unsound training sets: which recordings are left out, and is the fault detected afterwards?

    python -m benchmarks.field.training_sets [--only fan]

Each set is trained twice: as it is by default, and with everything (``--keep-outliers``). The
same fault in recordings that were not in the set is then scored: the table has the share that
scores above the threshold for whole recordings. In sets without a fault nothing should be left
out. Sets of recordings that are not there are left out by name; the simulated machine always is.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._page import write_section
from benchmarks.detection.cases import DATA, files
from benchmarks.detection.evidence import evidence_of_file
from benchmarks.detection.judge import whole_score
from benchmarks.field.rows import Row
from monitor.errors import BadInputError
from monitor.model.network import Network
from monitor.sources.settings import FaultKind, SimulatedFault, SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine
from training.sound.train import AudioRequest, AudioResult, train_audio

RATE_HZ = 16_000
SIMULATED_S = 20.0
FAULTS: tuple[FaultKind, ...] = ("bearing", "imbalance", "looseness", "rub", "cavitation")
HEADER = (
    "| set | recordings | left out | of these faulty or copies | named as a group "
    "| threshold, with everything | fault detected, with everything |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Recordings to train on, those of them that should be left out, and the fault elsewhere."""

    name: str
    good: Sequence[Path]
    bad: Sequence[Path] = ()
    fault: Sequence[Path] = ()
    references: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A set after training. Pairs: as it is by default, and with everything."""

    name: str
    n_recordings: int
    n_bad: int
    message: str
    n_left_out: int = 0
    n_right: int = 0
    n_grouped: int = 0
    thresholds: tuple[float, ...] = ()
    detected: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A row of the table of this module."""
        cells: tuple[object, ...] = (self.name, self.n_recordings, f"refused: {self.message}")
        if self.thresholds:
            cells = (
                self.name,
                self.n_recordings,
                self.n_left_out,
                f"{self.n_right} of {self.n_bad}",
                self.n_grouped,
                ", ".join(f"{threshold:.1f}" for threshold in self.thresholds),
                ", ".join(self.detected),
            )
        return f"| {' | '.join(map(str, cells))} |"

    @property
    def row(self) -> Row:
        """A row of the table of all faults."""
        detected = f"fault detected: {self.detected[0]}" if self.detected else "refused"
        result = f"{self.n_left_out} of {self.n_recordings} left out, {detected}"
        is_hidden = self.n_bad and not self.message and self.detected[0].startswith("0 of")
        wrong = "a fault is used without a message, and not detected" if is_hidden else ""
        if wrong and self.n_bad > 1:  # they look like an operating state
            result, wrong = f"{result}, not guaranteed", ""
        return Row("training", self.name, result, self.message, wrong=wrong)


def rows(folder: Path, only: str = "") -> Iterator[Row]:
    """A row for each training set."""
    for judged in judge_all(folder, only):
        yield judged.row


def judge_all(scratch: Path, only: str = "") -> Iterator[Judged]:
    """Train every set whose recordings are installed, in both ways."""
    for needed, maker in MACHINES.items():
        if (DATA / needed).is_dir() or not needed:
            folder = scratch / (needed or "simulated")
            folder.mkdir()
            for one in maker(folder):
                if only in one.name:
                    yield judge(one, folder)


def judge(one: TrainingSet, folder: Path) -> Judged:
    """Train a set in both ways."""
    n_recordings, n_bad = len(one.good) + len(one.bad), len(one.bad)
    try:
        result = _trained(one, folder / "clean.bundle", keep_outliers=False)
    except BadInputError as error:
        return Judged(one.name, n_recordings, n_bad, str(error))
    findings = result.findings
    kept = result
    if findings.outliers:
        kept = _trained(one, folder / "kept.bundle", keep_outliers=True)
    left_out = [outlier.name for outlier in findings.outliers]
    left_out += [copy.name for copy in findings.copies]
    return Judged(
        one.name,
        n_recordings,
        n_bad,
        "; ".join(f"{name}: {text}" for name, text in findings.facts().items()),
        len(left_out),
        sum(Path(name) in one.bad for name in left_out),
        sum(map(len, findings.groups)),
        tuple(r.bundle.calibration.recording_threshold for r in (result, kept)),
        tuple(_detected(one.fault, r) for r in (result, kept)),
    )


def _trained(one: TrainingSet, out: Path, *, keep_outliers: bool) -> AudioResult:
    recordings, references = (*one.good, *one.bad), tuple(one.references)
    return train_audio(
        AudioRequest(recordings, out, references=references, keep_outliers=keep_outliers)
    )


def _detected(paths: Sequence[Path], result: AudioResult) -> str:
    bundle = result.bundle
    network, threshold = Network(bundle), bundle.calibration.recording_threshold
    evidence = [evidence_of_file(path, bundle, network) for path in paths]
    above = sum(whole_score(one.evidence, one.loss, bundle) > threshold for one in evidence)
    return f"{above} of {len(paths)}" if paths else "-"


def fan(folder: Path) -> Iterator[TrainingSet]:
    """The desk fan: on, off, and with a broken blade."""
    on, off = files(DATA / "desk_fan" / "on"), files(DATA / "desk_fan" / "off")
    blade = files(DATA / "desk_fan" / "blade_fault")
    yield TrainingSet("fan, healthy", on)
    for number, bad in enumerate(blade, 1):
        others = [path for path in blade if path != bad]
        yield TrainingSet(f"fan, 1 of 12 faulty ({number})", on[:11], [bad], others)
    yield TrainingSet("fan, 2 of 12 faulty", on[:10], blade[:2], blade[2:])
    yield TrainingSet("fan, on and off, 12 and 8", [*on, *off])
    yield TrainingSet("fan, on and off, 10 and 2", [*on[:10], *off[:2]])
    sound, rate_hz = soundfile.read(on[0], dtype="float32")
    copies = []
    for suffix, gain in ((".wav", 1.0), (".ogg", 0.5), (".mp3", 1.0), (".flac", 0.1)):
        copies.append(folder / f"copy{suffix}")
        soundfile.write(copies[-1], gain * sound[3000:], rate_hz)
    yield TrainingSet("fan, 4 copies of one recording", on, copies, blade)
    yield TrainingSet("fan, copies of one recording only", on[:1], copies, blade)


def drone(_folder: Path) -> Iterator[TrainingSet]:
    """The drone's flights, with broken propellers."""
    flights = files(DATA / "uav_propeller" / "normal")
    broken = files(DATA / "uav_propeller" / "broken")
    yield TrainingSet("drone, healthy", flights)
    yield TrainingSet("drone, 1 of 12 faulty", flights[:11], broken[:1], broken[1:])
    yield TrainingSet("drone, 2 of 12 faulty", flights[:10], broken[::8], broken[1:8])


def motors(_folder: Path) -> Iterator[TrainingSet]:
    """Two motors, each the other's reference machine, with damaged propellers."""
    folder = DATA / "bldc_motor"
    for motor, other in (("m1", "m2"), ("m2", "m1")):
        good, bad = files(folder / "healthy" / motor), files(folder / "propeller" / motor)
        references = [folder / "healthy" / other]
        yield TrainingSet(f"motor {motor}, healthy", good, references=references)
        for number in (0, 3, 5):
            fault = [path for path in bad if path != bad[number]]
            name = f"motor {motor}, 1 of 9 faulty ({number + 1})"
            yield TrainingSet(name, good, [bad[number]], fault, references)


def compressor(_folder: Path) -> Iterator[TrainingSet]:
    """The compressor on several days, without faults."""
    folder = DATA / "compressor"
    rest, run, off = (sorted((folder / s).rglob("*.flac")) for s in ("rest", "run", "off"))
    yield TrainingSet("compressor, rest", rest)
    yield TrainingSet("compressor, off", off)
    yield TrainingSet("compressor, rest and run", [*rest, *run])


def simulated(folder: Path) -> Iterator[TrainingSet]:
    """The simulated pump with each fault, and at two speeds."""
    good = [_simulated(folder, seed) for seed in range(12)]
    faster = [_simulated(folder, 100 + seed, speed_hz=29.0) for seed in range(2)]
    yield TrainingSet("pump, healthy", good)
    yield TrainingSet("pump, two speeds, 10 and 2", [*good[:10], *faster])
    for kind in FAULTS:
        bad = [_simulated(folder, 200 + seed, kind=kind) for seed in range(4)]
        yield TrainingSet(f"pump, 1 of 12 with {kind}", good[:11], bad[:1], bad[1:])
    yield TrainingSet("pump, 2 of 12 with the same fault", good[:10], bad[:2], bad[2:])


def _simulated(
    folder: Path, seed: int, *, speed_hz: float = 24.5, kind: FaultKind | None = None
) -> Path:
    faults = (SimulatedFault(kind=kind),) if kind else ()
    settings = SimulatedSettings(seed=seed, speed_hz=speed_hz, faults=faults, realtime=False)
    machine = SimulatedMachine(settings)
    n_cells = round(SIMULATED_S * RATE_HZ / machine.cell_samples)
    path = folder / f"{seed}-{kind}.wav"
    sound = np.concatenate([machine.cell(index) for index in range(n_cells)])
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
    return path


MACHINES: dict[str, Callable[[Path], Iterator[TrainingSet]]] = {
    "desk_fan": fan,
    "uav_propeller": drone,
    "bldc_motor": motors,
    "compressor": compressor,
    "": simulated,
}


def main() -> None:
    """Print the table, a row as soon as it is known, and write it to the documentation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="only sets with this text in their name")
    only = parser.parse_args().only
    print(HEADER, flush=True)
    lines = [HEADER]
    with tempfile.TemporaryDirectory() as folder:
        for judged in judge_all(Path(folder), only):
            print(judged, flush=True)
            lines.append(str(judged))
    if not only:
        write_section("training sets", "\n".join(lines))
    for needed in MACHINES:
        if not (DATA / needed).is_dir() and needed:
            print(f"\n{DATA} has no {needed}: its sets are left out")


if __name__ == "__main__":
    main()
