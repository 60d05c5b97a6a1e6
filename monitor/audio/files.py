"""Recordings as audio blocks, however long they are, complete or refused.

Formats: docs/sources.md. libsndfile decodes; where the sound begins and ends is read from the
file itself (``monitor.audio.containers``), because headers can be wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.audio.channel_choice import Channel
from monitor.audio.channels import one_channel, unmixed
from monitor.audio.containers.formats import EXPECTED, walk_for
from monitor.audio.containers.parts import ForFfmpeg, Range, Recording, joined_file
from monitor.audio.containers.riff import riff_recordings
from monitor.audio.decoders import ByFfmpeg, BySndfile, Decoder, open_file
from monitor.domain import AudioBlock
from monitor.errors import BadInputError, MissingInputError, TruncatedError

BLOCK_S = 8.2
"""Length of the blocks of a replay: sixteen windows of the default at once share most steps."""


def read_blocks(
    path: Path,
    channel: Channel = "mix",
    *,
    block_s: float = BLOCK_S,
    skip_frames: int = 0,
    growing: bool = False,
) -> Iterator[AudioBlock]:
    """A recording's sound from its beginning, at its own rate, in constant memory.

    A file that holds several recordings one after the other gives one after the other; they
    must have the same rate. Any bit depth and up to 64 channels. ``skip_frames``: begin after so
    many samples. ``growing``: a WAV may still be being written, so its header may state another
    length than there is; what is there is read.

    Raises ``MissingInputError`` when there is no such file or its format needs ffmpeg and that
    is not installed, and ``BadInputError`` naming the file and what would be right when it is no
    recording, has no such channel, contains no samples, holds some that are not finite, is not
    complete, or was changed while it was read (not if ``growing``).
    """
    first_sample, rate_hz, skip = 0, 0, skip_frames
    with _opened(path, skip_frames=skip_frames, growing=growing) as recordings:
        for recording in recordings:
            if rate_hz not in {0, recording.rate_hz}:
                raise BadInputError(
                    f"{path}: several recordings in one file with {rate_hz} and "
                    f"{recording.rate_hz} Hz; use one file for each"
                )
            rate_hz = recording.rate_hz
            recording.check(path, channel)
            first_sample += recording.skipped
            skip -= recording.skipped
            chain = recording.chain
            for frames in recording.blocks(path, block_s, first_sample):
                first_sample += len(frames)
                wanted = frames[skip:] if skip > 0 else frames
                skip = max(0, skip - len(frames))
                if len(wanted):
                    start = first_sample - len(wanted)
                    samples = one_channel(wanted, channel)
                    channels = unmixed(wanted, channel)
                    if channels is not None:
                        channels = channels.copy()  # decoders use their array again
                    yield AudioBlock(samples, rate_hz, start, chain=chain, unmixed=channels)
    if not first_sample:
        raise BadInputError(f"{path}: contains no samples")


def require_stated_length(path: Path) -> None:
    """Raise ``TruncatedError`` for a WAV that contains less sound than its header states.

    Reading it with ``growing`` does not check this.
    """
    descriptor = _open_descriptor(path)
    try:
        if walk_for(descriptor, path) is riff_recordings:
            riff_recordings(descriptor, path)
    except TruncatedError:
        raise
    except (BadInputError, OSError):  # a header that states less, or nothing yet
        return
    finally:
        os.close(descriptor)


@contextmanager
def _opened(
    path: Path, *, skip_frames: int = 0, growing: bool = False
) -> Iterator[Iterator[Decoder]]:
    """The recordings of a file, each opened when it is needed."""
    descriptor = _open_descriptor(path)
    begun = os.fstat(descriptor)
    try:
        walk = walk_for(descriptor, path)
        if growing and walk is riff_recordings:
            found = riff_recordings(descriptor, path, growing=True)
            yield _decoded(descriptor, path, found, skip_frames)
            return
        recordings = walk(descriptor, path)
        if isinstance(recordings, ForFfmpeg):
            yield iter([ByFfmpeg(path, recordings)])
        else:
            yield _decoded(descriptor, path, recordings, 0)
        ended = os.fstat(descriptor)
        # Some file systems store whole seconds, and cut off the rest after a while.
        if ended.st_size != begun.st_size or int(ended.st_mtime) != int(begun.st_mtime):
            raise BadInputError(f"{path}: was changed while it was read; read it again")
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _decoded(
    descriptor: int, path: Path, recordings: list[Recording], skip_frames: int
) -> Iterator[Decoder]:
    whole = (Range(0, os.fstat(descriptor).st_size),)
    for recording in recordings:
        rest, left = recording.skipping(skip_frames)
        skipped, skip_frames = skip_frames - left, left
        if rest.parts == whole:
            os.lseek(descriptor, 0, os.SEEK_SET)
            with open_file(path, descriptor) as file:
                yield BySndfile(file, rest, skipped, descriptor)
        else:
            with joined_file(descriptor, rest.parts) as copy, open_file(path, copy) as file:
                yield BySndfile(file, rest, skipped, descriptor)


def _open_descriptor(path: Path) -> int:
    """A descriptor of what may be a recording, positioned at the beginning."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingInputError(f"{path}: cannot be opened: {why}") from None
    status = os.fstat(descriptor)
    trouble = "not a file" if not stat.S_ISREG(status.st_mode) else ""
    trouble = trouble or ("" if status.st_size else "empty")
    if trouble:
        os.close(descriptor)
        raise BadInputError(f"{path}: {trouble}; {EXPECTED}")
    return descriptor
