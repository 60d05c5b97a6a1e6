"""Sound as the bytes of a FLAC file, so that its size is known before the disk is touched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from monitor.evidence.sound_memory import Rows


class NoFlacError(Exception):
    """The sound cannot be a FLAC file. The message is a sentence for people."""


def flac_bytes(samples: Rows, sample_rate_hz: int) -> bytes:
    """A FLAC file of one channel. Raises ``NoFlacError`` for a rate that FLAC does not have.

    Shape: ``(n,)``, int16, or int32 with 24 bits. The file has the same bits.
    """
    descriptor = os.memfd_create("evidence", os.MFD_CLOEXEC)
    try:
        # With a Python file, soundfile would need memory that is writable and executable.
        is_wide = samples.dtype == np.int32
        with soundfile.SoundFile(
            descriptor,
            "w",
            sample_rate_hz,
            1,
            "PCM_24" if is_wide else "PCM_16",
            format="FLAC",
            closefd=False,
        ) as file:
            file.write(samples << 8 if is_wide else samples)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(descriptor, "rb", closefd=False) as content:
            return content.read()
    except soundfile.LibsndfileError as error:
        raise NoFlacError(
            f"a sample rate of {sample_rate_hz} Hz cannot be kept as FLAC ({error.error_string})"
        ) from error
    finally:
        os.close(descriptor)


def read_flac(path: Path) -> tuple[Rows, int]:
    """The samples of a file of ``flac_bytes``, and its rate. Raises ``NoFlacError``."""
    try:
        with path.open("rb") as opened, soundfile.SoundFile(opened.fileno(), closefd=False) as file:
            if file.subtype == "PCM_16":
                return file.read(dtype="int16"), file.samplerate
            return file.read(dtype="int32") >> 8, file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise NoFlacError(f"the sound cannot be read ({error})") from error
