"""Which container a file is, by its first bytes: the content decides, not the name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from monitor.audio.containers.au import AU_MAGIC, au_recordings
from monitor.audio.containers.caf import CAF_MAGIC, caf_recordings
from monitor.audio.containers.flac import MAGIC as FLAC_MAGIC
from monitor.audio.containers.flac import flac_recordings
from monitor.audio.containers.framed import AMR_MAGIC, adts_for_ffmpeg, amr_for_ffmpeg, is_adts
from monitor.audio.containers.mp3 import mp3_recordings
from monitor.audio.containers.nested import (
    ASF_MAGIC,
    MATROSKA_MAGIC,
    asf_for_ffmpeg,
    matroska_for_ffmpeg,
    mp4_for_ffmpeg,
)
from monitor.audio.containers.ogg import MAGIC as OGG_MAGIC
from monitor.audio.containers.ogg import ogg_recordings
from monitor.audio.containers.parts import ForFfmpeg, Recording
from monitor.audio.containers.riff import RIFF_MAGIC, riff_recordings
from monitor.audio.containers.sized import AIFF_MAGIC, W64_MAGIC, aiff_recordings, w64_recordings
from monitor.audio.containers.tags import MOST_HEADER_BYTES, tag_bytes
from monitor.errors import BadInputError

Walk = Callable[[int, Path], list[Recording] | ForFfmpeg]
"""An open file to its recordings, or what ffmpeg must decode. Raises ``BadInputError``."""

EXPECTED = (
    "expected a recording: wav, flac, ogg, opus, mp3, aiff, or what ffmpeg reads; "
    "convert others to wav or flac"
)

_HEAD_BYTES = 64


def walk_for(descriptor: int, path: Path) -> Walk:
    """How to find the recordings of a file.

    Raises ``BadInputError`` for what is not an audio file, and by its name for a format that is
    not read.
    """
    head = os.pread(descriptor, _HEAD_BYTES, 0)
    if head.startswith(b"ID3"):
        return _after_tags(descriptor)
    for magic, walk in _WALKS:
        if head.startswith(magic):
            _require_kind(path, head)
            return walk
    if head[4:8] == b"ftyp":
        return mp4_for_ffmpeg
    if is_adts(head):
        return adts_for_ffmpeg
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    if is_mpeg or head.startswith(b"TAG"):
        return mp3_recordings
    for start, magic, unread in _NOT_READ:
        if head[start:].startswith(magic):
            raise _not_read(path, unread)
    if path.suffix.lower() == ".mp3":
        return mp3_recordings
    if name := _NOT_READ_BY_SUFFIX.get(path.suffix.lower()):
        raise _not_read(path, name)
    raise BadInputError(f"{path}: not an audio file; {EXPECTED}")


def _after_tags(descriptor: int) -> Walk:
    """How to read a file that begins with ID3 tags: MP3, AAC or FLAC."""
    size = os.fstat(descriptor).st_size
    offset = 0
    while offset < size:
        head = os.pread(descriptor, MOST_HEADER_BYTES, offset)
        if not (n_bytes := tag_bytes(head)):
            break
        offset += n_bytes
    head = os.pread(descriptor, 4, offset)
    if head == FLAC_MAGIC:
        return flac_recordings
    return adts_for_ffmpeg if is_adts(head) else mp3_recordings


def _require_kind(path: Path, head: bytes) -> None:
    """RIFF and FORM files can contain other things than WAV and AIFF."""
    kind = head[8:12]
    if len(kind) < 4:
        return
    if (head[:4] in RIFF_MAGIC and kind != b"WAVE") or (
        head[:4] == AIFF_MAGIC and kind not in {b"AIFF", b"AIFC"}
    ):
        name = kind.decode("ascii", "replace").strip()
        if not (name.isascii() and name.isprintable()):
            raise BadInputError(f"{path}: not an audio file, or a damaged one; {EXPECTED}")
        raise _not_read(path, name)


def _not_read(path: Path, name: str) -> BadInputError:
    return BadInputError(
        f"{path}: {name} files are not read. Convert it to wav or flac, for example: "
        f"ffmpeg -i {path.name} {path.stem}.flac"
    )


_WALKS: tuple[tuple[bytes, Walk], ...] = (
    *((magic, riff_recordings) for magic in sorted(RIFF_MAGIC)),
    *((magic, au_recordings) for magic in AU_MAGIC),
    (FLAC_MAGIC, flac_recordings),
    (OGG_MAGIC, ogg_recordings),
    (AIFF_MAGIC, aiff_recordings),
    (W64_MAGIC, w64_recordings),
    (CAF_MAGIC, caf_recordings),
    (AMR_MAGIC, amr_for_ffmpeg),
    (ASF_MAGIC, asf_for_ffmpeg),
    (MATROSKA_MAGIC, matroska_for_ffmpeg),
)

_NOT_READ = (
    (0, b"2BIT", "AVR"),
    (0, b"\x64\xa3", "IRCAM"),
    (2, b"\xa3\x64", "IRCAM"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"NIST_1A", "NIST"),
    (0, b" paf", "PAF"),
    (0, b"fap ", "PAF"),
    (0, b"ALawSoundFile**", "WVE"),
    (0, b"MATLAB 5.0 MAT-file", "MAT"),
    (0, b"PVF1", "PVF"),
    (0, b"\xf0\x7e", "SDS"),
    (0, b"Extended Instrument: ", "XI"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "TTA"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MP+", "Musepack"),
    (0, b"MPCK", "Musepack"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"DSD ", "DSF"),
    (0, b"FRM8", "DSDIFF"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"FLV", "FLV"),
    (0, b"MThd", "MIDI"),
    (0, b"ADIF", "AAC ADIF"),
    (0, b"\xff\xfc", "MPEG layer I or II"),
    (0, b"\xff\xfd", "MPEG layer I or II"),
    (0, b"\xff\xf4", "MPEG layer I or II"),
    (0, b"\xff\xf5", "MPEG layer I or II"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (4, b"wide", "QuickTime"),
)
"""Formats whose length is not checked here: where their mark is, the mark, and the name."""

_NOT_READ_BY_SUFFIX = {
    ".htk": "HTK",
    ".mat": "MAT",
    ".sd2": "SD2",
    ".raw": "raw",
    ".pcm": "raw",
}
"""The same for formats without a mark."""
