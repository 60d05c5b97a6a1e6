"""Formats that libsndfile does not read, decoded by the system's ffmpeg where it is installed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.domain import LOSSY, FloatArray
from monitor.errors import BadInputError, MissingInputError, TruncatedError

FFMPEG_SUFFIXES = frozenset({".m4a", ".mp4", ".aac", ".amr", ".wma", ".3gp", ".mka"})
_TIMEOUT_S = 30.0
_STATED_LENGTH = frozenset({"mov", "mp4", "asf", "matroska", "caf"})
"""Containers whose length is written by the encoder. Others only have an estimate."""
_TOLERANCE_S = 0.2
_SAFE = ("-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe")


@dataclass(frozen=True, slots=True)
class Stream:
    """The first sound in a file: rate, channels, codec, and the length if the file states it.

    ``kbit_s``: of all channels together, where the file states it.
    """

    sample_rate_hz: int
    channels: int
    seconds: float | None
    codec: str = ""
    kbit_s: float | None = None


def probe(path: Path) -> Stream:
    """The result of ffprobe. Raises ``BadInputError`` for a file that it cannot read.

    Raises ``MissingInputError`` where ffmpeg is not installed.
    """
    program = _program("ffprobe", path)
    wanted = "stream=sample_rate,channels,duration,codec_name,bit_rate:format=format_name,duration"
    command = [program, *_SAFE[1:], "-select_streams", "a:0", "-show_entries", wanted]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; the path is one argument
            [*command, "-of", "json", f"file:{path}"],
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
        found: dict[str, Any] = json.loads(done.stdout or b"{}")
        stream = found["streams"][0]
        rate_hz, channels = int(stream["sample_rate"]), int(stream["channels"])
    except subprocess.TimeoutExpired:
        raise BadInputError(f"{path}: ffprobe does not finish") from None
    except (ValueError, LookupError, TypeError):
        raise BadInputError(f"{path}: contains no sound that ffmpeg can decode") from None
    seconds = None
    if set(str(found["format"].get("format_name", "")).split(",")) & _STATED_LENGTH:
        stated = stream.get("duration", found["format"].get("duration"))
        with contextlib.suppress(TypeError, ValueError):
            seconds = float(stated)
    kbit_s = None
    with contextlib.suppress(TypeError, ValueError, KeyError):
        kbit_s = float(stream["bit_rate"]) / 1000
    return Stream(rate_hz, channels, seconds, _codec(str(stream.get("codec_name", ""))), kbit_s)


def _codec(name: str) -> str:
    """A codec by its usual name: ffmpeg's ``amr_nb`` is AMR, its ``wmav2`` WMA."""
    upper = name.upper()
    return next((known for known in sorted(LOSSY) if upper.startswith(known)), upper)


def decode(path: Path, stream: Stream, block_frames: int) -> Iterator[FloatArray]:
    """The sound of a file, float32 ``(n_frames, channels)``, at most ``block_frames`` at a time.

    Raises ``TruncatedError`` where it is damaged or truncated.
    """
    program = _program("ffmpeg", path)
    command = [program, *_SAFE, "-i", f"file:{path}", "-map", "0:a:0", "-f", "f32le"]
    command += ["-ar", str(stream.sample_rate_hz), "-ac", str(stream.channels), "-"]
    n_frames = 0
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(  # noqa: S603 - a fixed program; the path is one argument
            command, stdout=subprocess.PIPE, stderr=messages, stdin=subprocess.DEVNULL
        )
        try:
            output = process.stdout
            assert output is not None  # noqa: S101 - given by stdout=PIPE
            frame_bytes = 4 * stream.channels
            while piece := output.read(block_frames * frame_bytes):
                whole = len(piece) // frame_bytes * frame_bytes
                frames = np.frombuffer(piece[:whole], dtype="<f4").astype(np.float32)
                n_frames += whole // frame_bytes
                yield frames.reshape(-1, stream.channels)
            status = process.wait(_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            output_pipe = process.stdout
            if output_pipe is not None:
                output_pipe.close()
        messages.seek(0)
        complaint = messages.read(2000).decode("utf-8", "replace").strip()
    good_s = n_frames / stream.sample_rate_hz
    is_short = stream.seconds is not None and good_s < stream.seconds - _TOLERANCE_S
    if status or complaint or is_short or not n_frames:
        raise TruncatedError(
            f"{path}: truncated or damaged after {good_s:.2f} s; "
            "copy it again, or use a complete recording"
        )


def _program(name: str, path: Path) -> str:
    program = shutil.which(name)
    if program is None:
        raise MissingInputError(
            f"{path}: needs ffmpeg, which is not installed "
            "(sudo apt-get install ffmpeg); or convert it to wav or flac"
        )
    return program
