"""The evaluation recordings as cases: for each machine, recordings to train on and to score.

Every split is made by a rule from names and a seed, never from labels.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = Path(
    os.environ.get(
        "AUSCULT_DATA", Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data"
    )
)


@dataclass(frozen=True, slots=True)
class Case:
    """One machine: trained on ``train``, evaluated on ``healthy`` and ``faulty``.

    ``references``: a file or folder for each reference machine.
    """

    group: str
    machine: str
    train: tuple[Path, ...]
    references: tuple[Path, ...]
    healthy: tuple[Path, ...]
    faulty: tuple[Path, ...]


def all_cases(scratch: Path, seed: int) -> Iterator[Case]:
    """Every case whose recordings are installed."""
    makers: dict[str, Callable[[Path, int], Iterator[Case]]] = {
        "toycar": _toycar,
        "uav_propeller": lambda _scratch, seed: drone(seed),
        "desk_fan": _fan,
        "bldc_motor": _motors,
    }
    for folder, maker in makers.items():
        if (DATA / folder).is_dir():
            yield from maker(scratch, seed)


def shuffled(paths: list[Path], seed: int) -> list[Path]:
    """The paths in an order that depends only on the seed."""
    return [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]


def files(folder: Path) -> list[Path]:
    """The recordings in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir())


def sessions_of(recordings: list[Path]) -> list[list[Path]]:
    """The desk fan's recordings by the year in their names."""
    years = itertools.groupby(recordings, key=lambda path: path.name.split("_")[1][:4])
    return [list(session) for _, session in years]


def _toycar(scratch: Path, seed: int) -> Iterator[Case]:
    """Each car with test clips: alone, with the other cars, and with those and twenty clips."""
    unpacked = unpack_toycar(scratch / "toycar")
    cars = folders(unpacked)
    for car in cars:
        if not {"test_normal", "test_anomaly"} <= {part.name for part in folders(car)}:
            continue
        train = files(car / "train_normal")
        others = tuple(other / "train_normal" for other in cars if other != car)
        healthy = tuple(files(car / "test_normal"))
        faulty = tuple(files(car / "test_anomaly"))
        few = shuffled(train, seed)[:20]
        machine = f"car {car.name}"
        yield Case("toycar, alone", machine, tuple(train), (), healthy, faulty)
        yield Case("toycar, with reference", machine, tuple(train), others, healthy, faulty)
        yield Case("toycar, 20 clips and reference", machine, tuple(few), others, healthy, faulty)


def unpack_toycar(folder: Path) -> Path:
    """One ``.npy`` with log-mel for each clip, in folders by car, split and label."""
    if not folder.exists():
        with np.load(DATA / "toycar" / "toycar_logmel.npz", allow_pickle=False) as stored:
            clips = stored["logmel_u8"]
            columns = [stored[name] for name in ("machine_id", "split", "label")]
            for index, (car, split, label) in enumerate(zip(*columns, strict=True)):
                place = folder / str(car) / f"{split}_{label}"
                place.mkdir(parents=True, exist_ok=True)
                frames_db = clips[index].astype(np.float32) * np.float32(0.4) - np.float32(90.0)
                np.save(place / f"{index:05d}.npy", frames_db)
    return folder


def drone(seed: int) -> Iterator[Case]:
    """Two thirds of the healthy flights to train on, the rest to evaluate."""
    flights = shuffled(files(DATA / "uav_propeller" / "normal"), seed)
    broken = tuple(files(DATA / "uav_propeller" / "broken"))
    cut = round(len(flights) * 2 / 3)
    yield Case("drone", "drone", tuple(flights[:cut]), (), tuple(flights[cut:]), broken)


def _fan(_scratch: Path, seed: int) -> Iterator[Case]:
    """Three folds of the healthy recordings, with every session in each of them."""
    sessions = sessions_of(files(DATA / "desk_fan" / "on"))
    mixed = [path for session in sessions for path in shuffled(session, seed)]
    faulty = tuple(files(DATA / "desk_fan" / "blade_fault"))
    for fold in range(3):
        healthy = tuple(mixed[fold::3])
        train = tuple(path for path in mixed if path not in healthy)
        yield Case("desk fan", "fan", train, (), healthy, faulty)


def _motors(_scratch: Path, seed: int) -> Iterator[Case]:
    """Half of a motor's healthy clips, the other motors as reference, in six folds."""
    motors = folders(DATA / "bldc_motor" / "healthy")
    for motor in motors:
        faults = DATA / "bldc_motor" / "propeller" / motor.name
        if not faults.is_dir():
            continue
        clips, faulty = files(motor), tuple(files(faults))
        references = tuple(other for other in motors if other != motor)
        halves = list(itertools.combinations(range(len(clips)), len(clips) // 2))
        chosen = np.random.default_rng(seed).choice(len(halves), 3, replace=False)
        for index in chosen:
            half = halves[index]
            for inside in (set(half), set(range(len(clips))) - set(half)):
                train = tuple(clips[i] for i in sorted(inside))
                healthy = tuple(clip for i, clip in enumerate(clips) if i not in inside)
                name = "motor, 40 s and reference"
                yield Case(name, motor.name, train, references, healthy, faulty)
