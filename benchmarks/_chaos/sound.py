"""Sound for the chaos benchmark: machines whose faults start and end by a plan.

The sound waits while no daemon reads it: a new program continues where the last one
ended. An hour of sound is therefore an hour that was delivered, and a killed daemon
loses only the sound that it had not scored yet.
"""

from __future__ import annotations

import functools
import json
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.domain import FloatArray
from tests.bundles import SPEC, machine_sound

RATE_HZ = SPEC.sample_rate_hz
LOOP_S = 30
FAULT_S, CYCLE_S = 40.0, 90.0
TONES_HZ = (2500.0, 4000.0, 6000.0)
"""The faults have three tones in rotation, so that a missed fault is noticed."""

# Runs without site-packages, so that it starts quickly and needs little memory.
FEEDER = """
import fcntl, json, mmap, os, select, struct, sys, termios, time
plan = json.load(open(sys.argv[1]))
cursor = os.open(plan["cursor"], os.O_RDWR)
sounds = [mmap.mmap(os.open(p, os.O_RDONLY), 0, prot=mmap.PROT_READ) for p in plan["sounds"]]
rate, speed, loop = plan["rate_hz"], plan["speed"], len(sounds[0])
at = struct.unpack("<q", os.pread(cursor, 8, 0))[0]
begun, began_at = time.monotonic(), at
reader = select.poll()
reader.register(1, 0)
with open(plan["starts"], "ab", buffering=0) as starts:
    starts.write(struct.pack("<q", at))
while True:
    t = at / 2 / rate
    kind = next((tone for start, end, tone in plan["faults"] if start <= t < end), 0)
    part = sounds[kind][at % loop : at % loop + 4096]
    # What waits in the pipe is lost when the daemon is killed.
    while struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, b"0000"))[0] > 8192:
        if reader.poll(2):  # the daemon has ended
            sys.exit()
    left = memoryview(part)
    while left:
        left = left[os.write(1, left):]
    at += len(part)
    os.pwrite(cursor, struct.pack("<q", at), 0)
    ahead = begun + (at - began_at) / 2 / rate / speed - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
"""


@dataclass(frozen=True)
class SoundPlan:
    """The sound of one machine. ``tones``: the tone of each of its faults, in order.

    ``starts``: the file with the position of each start of its program.
    """

    machine: str
    cursor: Path
    starts: Path
    tones: tuple[float, ...]
    fault_starts_s: tuple[float, ...]
    source: dict[str, Any]

    def position_s(self) -> float:
        """Seconds of sound that were delivered."""
        return float(struct.unpack("<q", self.cursor.read_bytes())[0] / 2 / RATE_HZ)

    def received_since_start_s(self) -> float:
        """Seconds of sound that the program delivered that runs now."""
        return self.position_s() - self._starts_s()[-1]

    def unbroken_s(self) -> list[float]:
        """For each fault its longest part that one program delivered."""
        starts_s = self._starts_s()
        longest = []
        for begin_s in self.fault_starts_s:
            end_s = begin_s + FAULT_S
            inside = sorted(at_s for at_s in starts_s if begin_s < at_s < end_s)
            longest.append(float(np.diff([begin_s, *inside, end_s]).max()))
        return longest

    def _starts_s(self) -> list[float]:
        starts = struct.iter_unpack("<q", self.starts.read_bytes())
        return [at / 2 / RATE_HZ for (at,) in starts]


def plan_sounds(
    folder: Path, machines: Sequence[str], seconds: float, speed: float
) -> list[SoundPlan]:
    """Write the files of the sound programs; the last fault ends well before ``seconds``."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = [folder / f"{name}.s16" for name in ("healthy", *map(str, TONES_HZ))]
    for path, data in zip(sounds, loops(), strict=True):
        path.write_bytes(data)
    program = folder / "feeder.py"
    program.write_text(FEEDER)
    feeder = {"sounds": [str(path) for path in sounds], "rate_hz": RATE_HZ, "speed": speed}
    plans = []
    for index, machine in enumerate(machines):
        starts = np.arange(
            15.0 + index * CYCLE_S / len(machines), seconds - FAULT_S - 30.0, CYCLE_S
        )
        tones = tuple((index + number) % len(TONES_HZ) for number in range(len(starts)))
        faults = [
            (float(start), float(start) + FAULT_S, 1 + tone)
            for start, tone in zip(starts, tones, strict=True)
        ]
        starts_file = folder / f"{machine}.starts"
        cursor, plan = folder / f"{machine}.cursor", folder / f"{machine}.json"
        paths = {"cursor": str(cursor), "starts": str(starts_file)}
        cursor.write_bytes(struct.pack("<q", 0))
        plan.write_text(json.dumps(feeder | paths | {"faults": faults}))
        source = {
            "kind": "command",
            "command": [sys.executable, "-S", "-E", str(program), str(plan)],
            "sample_format": "s16le",
            "sample_rate_hz": RATE_HZ,
            "silence_timeout_s": 60,
            "realtime": False,
        }
        tones_hz = tuple(TONES_HZ[tone] for tone in tones)
        begins_s = tuple(map(float, starts))
        plans.append(SoundPlan(machine, cursor, starts_file, tones_hz, begins_s, source))
    return plans


@functools.cache
def loops() -> tuple[bytes, ...]:
    """``LOOP_S`` of healthy sound and of each fault: 16-bit samples at ``RATE_HZ``."""
    healthy = machine_sound(LOOP_S, seed=0)
    return tuple(map(_as_s16, (healthy, *(healthy + _tone(tone_hz) for tone_hz in TONES_HZ))))


def _tone(frequency_hz: float) -> FloatArray:
    t_s = np.arange(LOOP_S * RATE_HZ) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * frequency_hz * t_s)).astype(np.float32)


def _as_s16(samples: FloatArray) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
