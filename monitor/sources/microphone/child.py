"""A separate program that reads one microphone and writes the samples to its output.

PortAudio does not find devices that are plugged in after its start, and a driver may
hang, so every attempt uses a new process. Reads are blocking, because a callback from C
needs executable memory, which the hardened service does not allow. Only the standard
library and sounddevice are loaded, to stay small.

Input: one argument, JSON with ``device``, ``sample_rate_hz``, ``channels`` and
``block_s``. Output: one line of JSON (``device``, ``sample_rate_hz``,
``channels``), then records of ``RECORD``: flags (bit 0: samples were lost before
these), the monotonic time in s when they were read, the number of bytes; and the
samples, interleaved float32 in the machine's byte order.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import Any, BinaryIO

RECORD = struct.Struct("<BdI")
LOST = 1
_NOTHING_LEFT = 1


def capture(sounddevice: Any, wanted: dict[str, Any], output: BinaryIO) -> None:
    """Read the microphone until an error. Raises what PortAudio raises."""
    device = sounddevice.query_devices(wanted["device"], "input")
    rate_hz = wanted["sample_rate_hz"] or round(device["default_samplerate"])
    channels = wanted["channels"]
    block_frames = max(1, round(wanted["block_s"] * rate_hz))
    with sounddevice.RawInputStream(
        samplerate=rate_hz,
        device=device["index"],
        channels=channels,
        dtype="float32",
        latency="high",
    ) as stream:
        header = {"device": device["name"], "sample_rate_hz": rate_hz, "channels": channels}
        output.write(json.dumps(header).encode() + b"\n")
        while True:
            data, overflowed = stream.read(block_frames)
            output.write(RECORD.pack(LOST if overflowed else 0, time.monotonic(), len(data)))
            output.write(data)
            output.flush()


def plain(error: str) -> str:
    """An error of PortAudio as one line, in plain words where it is a missing device."""
    text = " ".join(error.split())
    if "querying device -1" in text:
        return "no microphone found: connect one (`auscult devices` lists them)"
    if text.startswith("No input device matching"):
        wanted = text.removeprefix("No input device matching").strip()
        return f"no microphone matches {wanted} (`auscult devices` lists them)"
    return text


def main() -> None:
    """Capture until an error, and print it in one line."""
    try:
        import sounddevice  # noqa: PLC0415  # without the system's PortAudio this fails
    except OSError as error:
        sys.exit(f"{error}: install the package libportaudio2")
    try:
        capture(sounddevice, json.loads(sys.argv[1]), sys.stdout.buffer)
    except BrokenPipeError:
        sys.stdout = None  # the reader has ended: nothing to flush
        sys.exit(_NOTHING_LEFT)
    except (sounddevice.PortAudioError, ValueError, OSError) as error:
        sys.exit(plain(str(error)))


if __name__ == "__main__":
    main()
