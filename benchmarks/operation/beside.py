"""Noises beside a machine that is off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.detection.cases import DATA, files, folders
from benchmarks.detection.mixing import at_level, noises, read
from benchmarks.operation.following import RATE_HZ, Followed, cut, followed, joined
from benchmarks.operation.recorded import compressor_files, trained
from benchmarks.operation.rows import Row, row
from monitor.domain import FloatArray

LEVELS_DB = (0.0, 10.0, 20.0, 30.0)
"""Of the noise, relative to the sound of the machine that is off."""
_BEFORE_S = 5.0


def noises_beside(folder: Path) -> Iterator[Row]:
    """Single clips and joined ones, of each class, beside the fan and the compressor."""
    fan_off = files(DATA / "desk_fan" / "off")
    machines = {
        "fan": (files(DATA / "desk_fan" / "on")[::2], fan_off),
        "fan, with off": (files(DATA / "desk_fan" / "on")[::2] + fan_off[::2], fan_off),
        "compressor": (
            [*compressor_files("rest"), *compressor_files("run")],
            compressor_files("off"),
        ),
    }
    for machine, (training, off) in machines.items():
        result, network = trained(training, folder / f"noise {machine}.bundle")
        room = joined(read(path) for path in off)
        for kind in folders(DATA / "esc10_noise"):
            for level_db in LEVELS_DB:
                for name, sounds in _mixed(room, noises(kind.name), level_db):
                    total = Followed()
                    for sound in sounds:
                        total.add(followed(result.bundle, network, cut(sound)))
                    label = f"off, {kind.name} {level_db:+.0f} dB, {name}"
                    yield row(machine, label, total)


def _mixed(
    room: FloatArray, clips: list[FloatArray], level_db: float
) -> Iterator[tuple[str, list[FloatArray]]]:
    start = round(_BEFORE_S * RATE_HZ)
    single = room[: 3 * start]
    yield "single clips", [at_level(single, clip, level_db, start) for clip in clips]
    lasting = joined(clips)
    around = room[: len(lasting) + 2 * start]
    yield "joined", [at_level(around, lasting, level_db, start)]
