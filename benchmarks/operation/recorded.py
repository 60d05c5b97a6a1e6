"""A compressor and a desk fan that were recorded running and off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from benchmarks.detection.cases import DATA, files, folders
from benchmarks.detection.mixing import read
from benchmarks.operation.following import RATE_HZ, Followed, cut, followed, joined
from benchmarks.operation.rows import Row, row
from monitor.detection.operation import OperationStatus
from monitor.model.network import Network
from training.sound.settings import AudioSettings
from training.sound.train import AudioRequest, AudioResult, train_audio

RUNNING, OFF = OperationStatus.RUNNING, OperationStatus.OFF
RAISED_WITHIN_S = 10.0
FAN_OFF_WHILE_TAPPING = ("205446", "205523")
"""The times in the names of the recordings in which the fan is off."""


def compressor_files(state: str) -> list[Path]:
    """The recordings of one state, of all days."""
    return list(chain.from_iterable(files(day) for day in folders(DATA / "compressor" / state)))


def trained(
    recordings: Sequence[Path], folder: Path, settings: AudioSettings | None = None
) -> tuple[AudioResult, Network]:
    """A bundle of these recordings, with the default settings unless others are given."""
    request = AudioRequest(tuple(recordings), folder, settings=settings or AudioSettings())
    result = train_audio(request)
    return result, Network(result.bundle)


def each(result: AudioResult, network: Network, recordings: Sequence[Path]) -> Followed:
    """Every recording as a stream of its own."""
    total = Followed()
    for path in recordings:
        total.add(followed(result.bundle, network, cut(read(path))))
    return total


def compressor(folder: Path) -> Iterator[Row]:
    """Trained on rest and run, without and with the recordings of off."""
    rest, run, off = (compressor_files(state) for state in ("rest", "run", "off"))
    for name, training in (("compressor", [*rest, *run]), ("with off", [*rest, *run, *off])):
        result, network = trained(training, folder / f"{len(training)}.bundle")
        yield row(name, "off", each(result, network, off), state=OFF)
        for state, recordings in (("rest", rest), ("run", run)):
            yield row(name, state, each(result, network, recordings), state=RUNNING)


def fan_halves() -> Iterator[tuple[str, list[Path], list[Path]]]:
    """A name, the recordings to train on, and those of ``on`` to test."""
    on, off = files(DATA / "desk_fan" / "on"), files(DATA / "desk_fan" / "off")
    for half in (0, 1):
        yield f"fan, half {half + 1}", on[half::2], on[1 - half :: 2]
        yield f"fan, half {half + 1}, with off", on[half::2] + off[half::2], on[1 - half :: 2]


def fan(folder: Path) -> Iterator[Row]:
    """Trained on each half, without and with half of off; then all that was recorded."""
    fan_folder = DATA / "desk_fan"
    off = files(fan_folder / "off")
    tapping = files(fan_folder / "tapping")
    beside = [path for path in tapping if path.stem.endswith(FAN_OFF_WHILE_TAPPING)]
    on_it = [path for path in tapping if path not in beside]
    for name, training, on in fan_halves():
        result, network = trained(training, folder / f"{name}.bundle")
        yield row(name, "off", each(result, network, off), state=OFF)
        yield row(name, "on", each(result, network, on), state=RUNNING)
        yield row(name, "off, tapping", each(result, network, beside))
        for path in [*files(fan_folder / "blade_fault"), *on_it]:
            fault = each(result, network, [path])
            yield row(name, path.stem, fault, state=RUNNING, alerts="some")
        yield fan_stream(name, result, network, on, off)


def fan_stream(
    name: str, result: AudioResult, network: Network, on: Sequence[Path], off: Sequence[Path]
) -> Row:
    """On, off, on, blade fault, off, on: one alert in time, cleared by the stop."""
    fault = files(DATA / "desk_fan" / "blade_fault")[0]
    parts = [read(path) for path in (on[0], off[0], on[1], fault, off[1], on[2])]
    fault_at_s = sum(map(len, parts[:3])) / RATE_HZ
    one = followed(result.bundle, network, cut(joined(parts)))
    found = row(name, "stream", one, alerts=None, starts=2)
    kinds = [
        (decision.kind, decision.reason) for decision in one.decisions if decision.kind != "updated"
    ]
    if kinds != [("raised", ""), ("cleared", "stopped")]:
        return Row(name, "stream", one, f"not one alert cleared as stopped {found.problem}")
    raised_s = one.decisions[0].at_sample / RATE_HZ - fault_at_s
    late = "" if 0.0 < raised_s <= RAISED_WITHIN_S else f"raised after {raised_s:.1f} s"
    return Row(name, f"stream, raised after {raised_s:.1f} s", one, found.problem or late)
