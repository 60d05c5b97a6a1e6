"""The machines: what each is trained on, and the sound that was not used for it.

Every split is made by a rule from names and a seed, never from labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.detection.cases import (
    DATA,
    Case,
    all_cases,
    drone,
    files,
    folders,
    sessions_of,
    shuffled,
)
from benchmarks.detection.injection import LogMelPiece, Piece, SoundPiece, evenly
from benchmarks.detection.mixing import RATE_HZ, read
from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recordings import read_recording

PIECE_S = 30.0
JOINED_S = 300.0
_MOST_PIECES = 12
_JOINS = 2
_EDGE_S = 10.0
_LONG_S = 40.0
_MOST_CLIPS = 40


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine with one choice of recordings.

    ``pieces``: healthy sound that was not trained on, into which faults are mixed. ``joined``:
    the same sound joined to five minutes each, in several orders; empty for short clips.
    ``unused``: all of it, for counting false alarms. ``faulty``: recordings of real faults.
    """

    name: str
    seed: int
    train: tuple[Path, ...]
    references: tuple[Path, ...]
    unused: tuple[Path, ...]
    faulty: tuple[Path, ...]
    pieces: Callable[[LogMelSpec], Sequence[Piece]] = field(repr=False)
    joined: Callable[[LogMelSpec], Sequence[Piece]] = field(repr=False)


def machines(scratch: Path, seed: int, only: Sequence[str] = ()) -> Iterator[Machine]:
    """Every machine whose recordings are installed, or those of the sets in ``only``."""
    for name, (folder, make) in _SETS.items():
        if (DATA / folder).is_dir() and (not only or name in only):
            yield from make(scratch, seed)


def _of_sound(
    name: str,
    seed: int,
    case: Case,
    *,
    join: bool = False,
) -> Machine:
    def pieces(spec: LogMelSpec) -> Sequence[Piece]:
        return [SoundPiece(one, spec) for one in _pieces(case.healthy)]

    def joined(spec: LogMelSpec) -> Sequence[Piece]:
        if not join:
            return []
        sounds = _pieces(case.healthy)
        orders = [np.random.default_rng((seed, n)).permutation(len(sounds)) for n in range(_JOINS)]
        return [SoundPiece(_joined([sounds[i] for i in order]), spec) for order in orders]

    return Machine(
        name, seed, case.train, case.references, case.healthy, case.faulty, pieces, joined
    )


def _fan(_scratch: Path, seed: int) -> Iterator[Machine]:
    """Half of the recordings of each session."""
    sessions = sessions_of(files(DATA / "desk_fan" / "on"))
    mixed = [path for session in sessions for path in shuffled(session, seed)]
    faulty = tuple(files(DATA / "desk_fan" / "blade_fault"))
    case = Case("fan", "fan", tuple(mixed[::2]), (), tuple(mixed[1::2]), faulty)
    yield _of_sound("fan", seed, case, join=True)


def _drone(_scratch: Path, seed: int) -> Iterator[Machine]:
    """Two thirds of the flights."""
    yield _of_sound("drone", seed, next(drone(seed)), join=True)


def _mimii(_scratch: Path, seed: int) -> Iterator[Machine]:
    """Ten of the twenty healthy clips."""
    clips = shuffled(files(DATA / "mimii_fan" / "normal"), seed)
    faulty = tuple(files(DATA / "mimii_fan" / "abnormal"))
    case = Case("mimii", "mimii", tuple(clips[:10]), (), tuple(clips[10:]), faulty)
    yield _of_sound("mimii", seed, case)


def _motors(_scratch: Path, seed: int) -> Iterator[Machine]:
    """Half of the clips of each motor, 40 s; the other motors are reference machines."""
    motors = folders(DATA / "bldc_motor" / "healthy")
    for motor in motors:
        clips = shuffled(files(motor), seed)
        half = len(clips) // 2
        others = tuple(other for other in motors if other != motor)
        faulty = tuple(files(DATA / "bldc_motor" / "propeller" / motor.name))
        case = Case("motor", motor.name, tuple(clips[:half]), others, tuple(clips[half:]), faulty)
        yield _of_sound(f"motor {motor.name}", seed, case)


def _compressor(_scratch: Path, seed: int) -> Iterator[Machine]:
    """The machine at rest on two days; the third day is not used. The seed chooses the day."""
    days = folders(DATA / "compressor" / "rest")
    left_out = days[(len(days) - 1 - seed) % len(days)]
    train = tuple(path for day in days if day != left_out for path in files(day))
    case = Case("compressor", "rest", train, (), tuple(files(left_out)), ())
    yield _of_sound("compressor", seed, case, join=True)


def _toycars(scratch: Path, seed: int) -> Iterator[Machine]:
    """The cars with test clips: log-mel only, so that faults are added as power."""
    for case in all_cases(scratch, seed):
        if case.group == "toycar, alone":
            yield _of_log_mel(f"toy {case.machine}", case, seed)
        elif case.group == "toycar, with reference":
            yield _of_log_mel(f"toy {case.machine} with others", case, seed)


def _of_log_mel(name: str, case: Case, seed: int) -> Machine:
    clips = evenly(case.healthy, _MOST_CLIPS)

    def pieces(spec: LogMelSpec) -> Sequence[Piece]:
        return [LogMelPiece(read_recording(path, spec).frames_db, spec) for path in clips]

    return Machine(
        name,
        seed,
        case.train,
        case.references,
        case.healthy,
        case.faulty,
        pieces,
        lambda _spec: [],
    )


def _pieces(paths: Sequence[Path]) -> list[FloatArray]:
    """Pieces of 30 s, at most twelve; shorter recordings as they are.

    The first and the last ten seconds of a recording of 40 s or more are left out, because the
    machine may start and stop in them.
    """
    length, edge = round(PIECE_S * RATE_HZ), round(_EDGE_S * RATE_HZ)
    found = []
    for sound in map(read, paths):
        if len(sound) >= _LONG_S * RATE_HZ:
            inner = sound[edge : len(sound) - edge]
            starts = range(0, max(1, len(inner) - length + 1), length)
            found += [inner[start : start + length] for start in starts]
        else:
            found.append(sound[:length])
    return evenly(found, _MOST_PIECES)


def _joined(sounds: Sequence[FloatArray]) -> FloatArray:
    """The sounds after each other, from the beginning again until there are five minutes."""
    return np.resize(np.concatenate(sounds), round(JOINED_S * RATE_HZ))


_SETS: Mapping[str, tuple[str, Callable[[Path, int], Iterator[Machine]]]] = {
    "fan": ("desk_fan", _fan),
    "drone": ("uav_propeller", _drone),
    "mimii": ("mimii_fan", _mimii),
    "motor": ("bldc_motor", _motors),
    "compressor": ("compressor", _compressor),
    "toycar": ("toycar", _toycars),
}
NAMES = tuple(_SETS)
"""The sets of recordings."""
