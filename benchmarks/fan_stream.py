"""A desk fan in one stream: healthy, a blade fault, healthy again.

    python -m benchmarks.fan_stream [--seeds 3]

The bundle is trained on the healthy recordings without two of the first session. A stream
is one of these two, a recording of the blade fault, and the other one; there is a stream for
every recording of the fault. Prints when the alert was raised and cleared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.detection.cases import DATA, files, shuffled
from benchmarks.detection.command import exit_without
from monitor.detection.settings import DetectorSettings
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.replay import ReplaySinks, replay_recording
from training.sound.train import AudioRequest, train_audio

RAISED_WITHIN_S = 10.0
CLEARED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Joined recordings, and the start and end of the middle one in seconds."""

    path: Path
    fault_from_s: float
    fault_to_s: float


def joined(parts: list[Path], path: Path) -> Stream:
    """Write three recordings to one file."""
    sounds = [soundfile.read(part, dtype="float32") for part in parts]
    rate_hz = sounds[0][1]
    ends_s = np.cumsum([len(sound) for sound, _ in sounds]) / rate_hz
    soundfile.write(path, np.concatenate([sound for sound, _ in sounds]), rate_hz)
    return Stream(path, float(ends_s[0]), float(ends_s[1]))


def splits(seed: int) -> tuple[list[Path], list[Path]]:
    """Healthy recordings for training, and two of the first session for the streams."""
    healthy = files(DATA / "desk_fan" / "on")
    first = [path for path in healthy if path.name.startswith("on_2020")]
    held_out = shuffled(first, seed)[:2]
    return [path for path in healthy if path not in held_out], held_out


def alerts_of(stream: Stream, bundle: Bundle) -> list[tuple[str, float]]:
    """The kind of every alert, and its time in the stream in seconds."""
    alerts: list[tuple[str, float]] = []
    sinks = ReplaySinks(
        lambda _name, _score: None, lambda _name, alert, at_s: alerts.append((alert.kind, at_s))
    )
    summary = replay_recording(
        stream.path,
        bundle,
        Network(bundle),
        DetectorSettings(),
        sinks,
        machine="fan",
        start_unix_s=0.0,
    )
    assert not summary.error, summary.error
    return alerts


def as_wanted(stream: Stream, alerts: list[tuple[str, float]]) -> bool:
    """Raised within 10 s of the fault's start, cleared within 20 s of its end, no other alert.

    It may be updated in between.
    """
    changes = [(kind, at_s) for kind, at_s in alerts if kind != "updated"]
    if [kind for kind, _ in changes] != ["raised", "cleared"]:
        return False
    raised_s, cleared_s = (at_s for _, at_s in changes)
    return (
        0.0 < raised_s - stream.fault_from_s <= RAISED_WITHIN_S
        and 0.0 < cleared_s - stream.fault_to_s <= CLEARED_WITHIN_S
    )


def main() -> None:
    """Train, join, replay and print a row for each stream."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    exit_without(parser, ["desk_fan"])
    good = total = 0
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.seeds):
            train, (before, after) = splits(seed)
            bundle = train_audio(
                AudioRequest(tuple(train), Path(name) / f"{seed}.bundle", seed=seed)
            ).bundle
            for fault in files(DATA / "desk_fan" / "blade_fault"):
                stream = joined([before, fault, after], Path(name) / "stream.wav")
                alerts = alerts_of(stream, bundle)
                said = ", ".join(f"{kind} at {at:.1f} s" for kind, at in alerts) or "no alert"
                good += as_wanted(stream, alerts)
                total += 1
                print(
                    f"seed {seed}  fault {stream.fault_from_s:.1f} to {stream.fault_to_s:.1f} s: "
                    f"{said}",
                    flush=True,
                )
    print(f"{good} of {total} streams: raised once in time, cleared in time, no other alert")
    sys.exit(good != total)


if __name__ == "__main__":
    main()
