"""Whether every recording is read to its end, or refused with the reason.

    python -m benchmarks.field.recordings [--rates 16000 44100]

Makes recordings in every format and rate with ffmpeg, and damages them: joined, cut off, with a
stale or an open header, with tags and with odd names. A row for each: the seconds of sound in
it, the seconds that were read, and the message. Ends with status 1 if sound was lost without a
message.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio.files import read_blocks
from monitor.errors import AuscultError
from monitor.text.escaping import one_line

SECONDS = 4.0
DELAY_S = 0.15
"""Delay and padding of codecs, for each recording in a file."""
FORMATS = {
    "wav 16 bit": ("wav", ["-c:a", "pcm_s16le"]),
    "wav 24 bit": ("wav", ["-c:a", "pcm_s24le"]),
    "wav float": ("wav", ["-c:a", "pcm_f32le"]),
    "wav A-law": ("wav", ["-c:a", "pcm_alaw"]),
    "wav mu-law": ("wav", ["-c:a", "pcm_mulaw"]),
    "wav IMA ADPCM": ("wav", ["-c:a", "adpcm_ima_wav"]),
    "wav MS ADPCM": ("wav", ["-c:a", "adpcm_ms"]),
    "broadcast wave": ("wav", ["-write_bext", "1", "-metadata", "description=pump"]),
    "RF64": ("wav", ["-rf64", "always"]),
    "Wave64": ("w64", []),
    "AIFF": ("aiff", []),
    "FLAC": ("flac", []),
    "Ogg Vorbis": ("ogg", ["-c:a", "libvorbis"]),
    "Opus": ("opus", ["-c:a", "libopus"]),
    "MP3": ("mp3", []),
    "MP3 without Xing": ("mp3", ["-write_xing", "0"]),
    "MP3 VBR without Xing": ("mp3", ["-write_xing", "0", "-q:a", "4"]),
    "AIFF-C": ("aifc", ["-c:a", "pcm_s16le"]),
    "Ogg FLAC": ("oga", ["-c:a", "flac"]),
    "Ogg Speex": ("ogg", ["-c:a", "libspeex"]),
    "m4a": ("m4a", []),
    "m4a ALAC": ("m4a", ["-c:a", "alac"]),
    "AAC": ("aac", []),
    "WMA": ("wma", []),
    "Matroska": ("mka", ["-c:a", "pcm_s16le"]),
    "CAF": ("caf", []),
    "CAF float": ("caf", ["-c:a", "pcm_f32le"]),
    "CAF IMA ADPCM": ("caf", ["-c:a", "adpcm_ima_qt"]),
    "CAF ALAC": ("caf", ["-c:a", "alac"]),
    "AU": ("au", []),
    "AU mu-law": ("au", ["-c:a", "pcm_mulaw"]),
}
WITHOUT_LENGTH = ("MP3 without Xing", "MP3 VBR without Xing")
"""Where a cut between two frames cannot be noticed."""
NAMES = (
    b"plain",
    b"with space",
    b"-dash",
    b"new\nline",
    b"\x1b[31mred",
    b"latin-\xe9",
    b"\xff\xfe",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording."""

    name: str
    fault: str
    there_s: float
    read_s: float
    message: str
    n_recordings: int = 1
    was_cut: bool = False

    @property
    def is_silent_loss(self) -> bool:
        """Whether sound was lost without a message."""
        if self.was_cut and not self.name.startswith(WITHOUT_LENGTH):
            return not self.message
        return not self.message and self.read_s < self.there_s - DELAY_S * self.n_recordings


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="+", default=[8_000, 16_000, 44_100, 48_000])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = list(corpus(Path(folder), options.rates))
    print("| recording | fault | seconds there | seconds read | message |")
    print("|---|---|---|---|---|")
    for one in found:
        lost = " **lost without a message**" if one.is_silent_loss else ""
        print(f"| {one.name} | {one.fault} | {one.there_s:.1f} | {one.read_s:.1f} | ", end="")
        print(f"{one.message}{lost} |")
    n_lost = sum(one.is_silent_loss for one in found)
    print(f"\n{len(found)} recordings, {n_lost} read short without a message")
    return 1 if n_lost else 0


def corpus(folder: Path, rates_hz: Sequence[int]) -> Iterator[Outcome]:
    """Every recording with every fault that its format can have."""
    for rate_hz in rates_hz:
        source = folder / f"source-{rate_hz}.flac"
        noise = np.random.default_rng(rate_hz).normal(0, 0.05, round(SECONDS * rate_hz))
        soundfile.write(source, noise, rate_hz)
        for name, (suffix, options) in FORMATS.items():
            path = folder / f"{name} {rate_hz}.{suffix}".replace(" ", "-")
            if not _encoded(source, path, options):
                continue
            yield from _faults(f"{name}, {rate_hz} Hz", path)
    wav = folder / "wav-16-bit-16000.wav"
    for raw in NAMES if wav.exists() else ():
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + raw + b".wav"))
        path.write_bytes(wav.read_bytes())
        yield _read(f"name {one_line(os.fsdecode(raw))}", "none", path, SECONDS)


def _encoded(source: Path, path: Path, options: list[str]) -> bool:
    """Whether this ffmpeg can make it. Codecs without a rate take their nearest."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-ac", "1", *options, str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _faults(name: str, path: Path) -> Iterator[Outcome]:
    content = path.read_bytes()
    yield _read(name, "none", path, SECONDS)
    yield _changed(name, "two joined", path, 2 * content, 2 * SECONDS, n_recordings=2)
    yield _changed(name, "three joined", path, 3 * content, 3 * SECONDS, n_recordings=3)
    for share in (0.97, 0.6, 0.1):
        cut = content[: int(share * len(content))]
        yield _changed(name, f"{share:.0%} of it", path, cut, share * SECONDS, was_cut=True)
    yield _changed(name, "64 bytes appended", path, content + bytes(64), SECONDS)
    for fault, change in HEADER_FAULTS.items():
        changed = change(content)
        if changed is not None:
            yield _changed(name, fault, path, changed, SECONDS)


def _changed(
    name: str,
    fault: str,
    path: Path,
    content: bytes,
    there_s: float,
    *,
    n_recordings: int = 1,
    was_cut: bool = False,
) -> Outcome:
    other = path.with_name(f"changed-{path.name}")
    other.write_bytes(content)
    return _read(name, fault, other, there_s, n_recordings=n_recordings, was_cut=was_cut)


def _read(
    name: str,
    fault: str,
    path: Path,
    there_s: float,
    *,
    n_recordings: int = 1,
    was_cut: bool = False,
) -> Outcome:
    read_s, message = 0.0, ""
    try:
        for block in read_blocks(path):
            read_s = block.end_s
    except AuscultError as error:
        message = one_line(str(error).replace(str(path.parent) + "/", ""))
    return Outcome(name, fault, there_s, read_s, message, n_recordings, was_cut)


def _wav_with(data_bytes: int | None, riff_bytes: int | None) -> Callable[[bytes], bytes | None]:
    def change(content: bytes) -> bytes | None:
        at = content.find(b"data")
        if content[:4] != b"RIFF" or at < 0:
            return None
        changed = bytearray(content)
        if data_bytes is not None:
            changed[at + 4 : at + 8] = struct.pack("<I", data_bytes)
        if riff_bytes is not None:
            changed[4:8] = struct.pack("<I", riff_bytes)
        return bytes(changed)

    return change


def _wav_with_chunk(chunk: bytes) -> Callable[[bytes], bytes | None]:
    def change(content: bytes) -> bytes | None:
        return content[:12] + chunk + content[12:] if content[:4] == b"RIFF" else None

    return change


def _au_states(n_bytes: int) -> Callable[[bytes], bytes | None]:
    def change(content: bytes) -> bytes | None:
        if content[:4] != b".snd":
            return None
        return content[:8] + struct.pack(">I", n_bytes) + content[12:]

    return change


def _flac_states(n_samples: int) -> Callable[[bytes], bytes | None]:
    def change(content: bytes) -> bytes | None:
        if content[:4] != b"fLaC":
            return None
        changed = bytearray(content)
        changed[21] &= 0xF0
        changed[22:26] = struct.pack(">I", n_samples)
        return bytes(changed)

    return change


def _tagged(content: bytes) -> bytes | None:
    is_tagged_format = content[:3] == b"ID3" or content[:1] == b"\xff"  # MP3 and AAC
    picture = bytes(range(256)) * 300
    size = bytes((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + picture + content if is_tagged_format else None


HEADER_FAULTS: dict[str, Callable[[bytes], bytes | None]] = {
    "header states a quarter": _wav_with(8_000, None),
    "header states 0": _wav_with(0, 0),
    "header of a pipe": _wav_with(0xFFFF_FFFF, 0xFFFF_FFFF),
    "header states twice as much": _wav_with(0x0100_0000, None),
    "odd chunk without pad": _wav_with_chunk(b"note\x05\x00\x00\x0012345"),
    "odd chunk with pad": _wav_with_chunk(b"note\x05\x00\x00\x0012345\x00"),
    "AU header states a quarter": _au_states(4_000),
    "AU header states nothing": _au_states(0xFFFF_FFFF),
    "FLAC header states a quarter": _flac_states(4_000),
    "FLAC header states nothing": _flac_states(0),
    "picture in front": _tagged,
}


if __name__ == "__main__":
    sys.exit(main())
