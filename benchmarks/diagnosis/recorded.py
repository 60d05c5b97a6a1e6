"""Findings in real recordings, with the spectra that they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.detection.cases import DATA, files
from benchmarks.detection.mixing import RATE_HZ, read
from monitor.diagnosis.diagnose import Diagnosis, diagnosed
from monitor.diagnosis.report import described

_DRONE_STEP = 3


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
