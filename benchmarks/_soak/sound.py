"""Sound that repeats exactly, so that all its scores are known.

The loop of each machine has a whole number of window hops. The windows and the scores
therefore repeat bit for bit.
"""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, FloatArray
from monitor.model.bundle import Bundle
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound, make_bundle

RATE_HZ = SPEC.sample_rate_hz
LOOP_SAMPLES = 59 * SPEC.window_hop_samples
CYCLE_LOOPS = 20
"""The last machine has a fault in the last loop of each cycle of about ten minutes."""

# Runs without site-packages, so that it has little influence on the measurement.
FEEDER = """
import json, os, struct, sys, time
plan = json.load(open(sys.argv[1]))
cursor = os.open(plan["cursor"], os.O_RDWR)
cycle = b"".join(open(path, "rb").read() for path in plan["cycle"])
second, at, begun = plan["rate_hz"] * 2, 0, time.monotonic()
while True:
    left = memoryview(cycle)[at % len(cycle) :][: 1 << 15]
    at += len(left)
    while left:
        left = left[os.write(1, left):]
    os.pwrite(cursor, struct.pack("<q", at), 0)
    ahead = begun + at / second / plan["speed"] - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
"""


@dataclass(frozen=True)
class Looped:
    """One machine: its bundle, its source, and the scores that its sound gives."""

    machine: str
    bundle: Path
    source: dict[str, Any]
    cursor: Path
    scores: frozenset[float]
    faulty: bool

    def received_s(self) -> float:
        """Seconds of sound that the daemon has read."""
        return float(struct.unpack("<q", self.cursor.read_bytes())[0] / 2 / RATE_HZ)


def make_machines(folder: Path, number: int, speed: float) -> list[Looped]:
    """Machines with different sounds and bundles; the last one has a fault."""
    program = folder / "feeder.py"
    program.write_text(FEEDER)
    return [_make(folder, index, index == number - 1, program, speed) for index in range(number)]


def _make(folder: Path, index: int, faulty: bool, program: Path, speed: float) -> Looped:
    machine = f"m{index}"
    gain = np.float32(0.7**index)
    seeds = range(100 * index, 100 * index + 8)
    bundle = make_bundle(folder / machine, [gain * machine_sound(15.0, seed=s) for s in seeds])
    loops = [_as_s16(gain * _loop(100 * index, fault)) for fault in (0.0, 0.3)]
    paths = [folder / f"{machine}-{kind}.s16" for kind in ("healthy", "faulty")]
    for path, loop in zip(paths, loops, strict=True):
        path.write_bytes(loop)
    order = [0] * (CYCLE_LOOPS - 1) + [int(faulty)]
    cursor, plan = folder / f"{machine}.cursor", folder / f"{machine}.json"
    cursor.write_bytes(struct.pack("<q", 0))
    plan.write_text(
        json.dumps(
            {
                "cursor": str(cursor),
                "cycle": [str(paths[which]) for which in order],
                "rate_hz": RATE_HZ,
                "speed": speed,
            }
        )
    )
    source = {
        "kind": "command",
        "command": [sys.executable, "-S", "-E", str(program), str(plan)],
        "sample_format": "s16le",
        "sample_rate_hz": RATE_HZ,
        "silence_timeout_s": 60,
    }
    # Healthy before and after the fault, as in the cycle.
    cycle = b"".join([loops[0], loops[0], *([loops[1], loops[0]] if faulty else [])])
    return Looped(machine, bundle.path, source, cursor, _scores(bundle, cycle), faulty)


def _loop(seed: int, fault: float) -> FloatArray:
    sound = machine_sound(LOOP_SAMPLES / RATE_HZ + 1.0, seed=seed, fault=fault)
    return sound[:LOOP_SAMPLES]


def _as_s16(samples: FloatArray) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def _scores(bundle: Bundle, pcm: bytes) -> frozenset[float]:
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) * np.float32(2.0**-15)
    pipeline = Pipeline(bundle, DetectorSettings())
    return frozenset(s.value for s in pipeline.push(AudioBlock(samples, RATE_HZ, 0)).scores)
