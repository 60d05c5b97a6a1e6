"""Findings in real recordings, with the spectra that they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.detection.cases import DATA, files
from benchmarks.detection.mixing import RATE_HZ, read
from monitor.diagnosis.diagnose import Diagnosis, diagnosed
from monitor.diagnosis.report import described

_DRONE_STEP = 3
_FEW = (4, 8)
"""With so many pieces, healthy recordings are compared too."""
_TAKE_OFF_S, _LONGEST_S = 15.0, 20.0
_MOST_OF_A_MACHINE = 24


def recordings() -> Iterator[tuple[str, list[Path], list[Path]]]:
    """A name, healthy recordings, and recordings to diagnose."""
    fan = DATA / "desk_fan"
    if fan.is_dir():
        same_session = [path for path in files(fan / "on") if "2020" in path.name]
        yield "desk fan, blade fault", same_session, files(fan / "blade_fault")
        yield "desk fan, tapping", same_session, files(fan / "tapping")
    drone = DATA / "uav_propeller"
    if drone.is_dir():
        yield "drone", files(drone / "normal")[::_DRONE_STEP], files(drone / "broken")
    motors = DATA / "bldc_motor"
    for motor in ("m1", "m2") if motors.is_dir() else ():
        yield (
            f"motor {motor}",
            files(motors / "healthy" / motor),
            files(motors / "propeller" / motor),
        )


def healthy_left_out() -> Iterator[tuple[str, list[Path], Path]]:
    """A name, and a healthy recording with the others of its machine."""
    for name, folder in (
        ("desk fan", DATA / "desk_fan" / "on"),
        ("motor m1", DATA / "bldc_motor" / "healthy" / "m1"),
        ("motor m2", DATA / "bldc_motor" / "healthy" / "m2"),
    ):
        paths = files(folder) if folder.is_dir() else []
        for path in paths:
            yield name, [other for other in paths if other != path], path


def printed(name: str, path: Path, result: Diagnosis) -> None:
    """A line for each finding, and the envelope spectrum."""
    document = described(result)
    print(f"{name}, {path.name}:")
    for one in result.findings or ():
        print(f"  {one.kind}: {one.text}")
    if not result.findings:
        print("  nothing is certain")
    for note in result.notes:
        print(f"  note: {note}")
    envelope = document["envelope_spectrum"]
    if result.findings and envelope is not None:
        peaks = " ".join(
            f"{peak['rate_hz']:g}:{peak['above_background_db']:g}" for peak in envelope["peaks"]
        )
        low, high = envelope["band_hz"]
        print(f"  envelope, {low} to {high} Hz, rate in Hz and dB above the background: {peaks}")


def suspects() -> None:
    """Print the diagnoses of recordings with a fault."""
    for name, healthy, suspect in recordings():
        sounds = [read(path) for path in healthy]
        for path in suspect:
            printed(name, path, diagnosed(read(path), RATE_HZ, sounds))


def healthy_ones() -> None:
    """Print those of healthy recordings, each compared with the others of its machine."""
    found, total = 0, 0
    for name, others, path in healthy_left_out():
        total += 1
        result = diagnosed(read(path), RATE_HZ, [read(other) for other in others])
        if result.findings:
            printed(f"{name}, healthy", path, result)
            found += 1
    print(f"healthy recordings with findings: {found} of {total}")
    for count in _FEW:
        found, total = compared_with_few(count)
        print(f"compared with {count} pieces: healthy recordings with findings: {found} of {total}")


def compared_with_few(count: int) -> tuple[int, int]:
    """How many healthy recordings have findings against some others, and of how many."""
    found, total = 0, 0
    for paths, begin_s in healthy_machines():
        first, end = (round(one * RATE_HZ) for one in (begin_s, begin_s + _LONGEST_S))
        sounds = [read(path)[first:end] for path in paths]
        random = np.random.default_rng(count)
        for number, sound in enumerate(sounds if len(sounds) > count else ()):
            others = np.delete(np.arange(len(sounds)), number)
            chosen = random.choice(others, count, replace=False)
            result = diagnosed(sound, RATE_HZ, [sounds[one] for one in chosen])
            found += bool(result.findings)
            total += 1
    return found, total


def healthy_machines() -> Iterator[tuple[list[Path], float]]:
    """The healthy recordings of each machine in one session, and from where on it runs."""
    fan = DATA / "desk_fan" / "on"
    if fan.is_dir():
        yield [path for path in files(fan) if "2020" in path.name], 0.0
    for folder in ("bldc_motor/healthy/m1", "bldc_motor/healthy/m2", "mimii_fan/normal"):
        if (DATA / folder).is_dir():
            yield files(DATA / folder), 0.0
    if (DATA / "uav_propeller").is_dir():
        yield files(DATA / "uav_propeller" / "normal"), _TAKE_OFF_S
    if (DATA / "compressor").is_dir():
        rest = sorted((DATA / "compressor" / "rest").rglob("*.flac"))
        yield rest[:_MOST_OF_A_MACHINE], 0.0
