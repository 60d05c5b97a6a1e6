"""Sound into FLAC files that training can split by recording."""

from __future__ import annotations

import contextlib
import math
import os
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar, Self

import soundfile

from monitor.domain import AudioBlock, FloatArray
from monitor.errors import MissingInputError, ServiceUnavailableError


class FlacRecorder:
    """Writes mono FLAC of 24 bits: several files of equal length, and a new file after each gap.

    Training needs several files, because it uses some recordings only for validation and
    calibration. ``seconds`` are divided into up to 12 files of at least 10 s, more if a
    file would be longer than 300 s. A rest of less than 10 s is added to the last file.
    Names have the time in UTC, with ``Z``. A file gets its final name when it is complete.
    An existing file is never replaced, also when other programs write to ``folder`` or the
    clock is wrong.

    Raises ``MissingInputError`` when ``folder`` cannot be written, and
    ``ServiceUnavailableError`` when the disk is full; the incomplete file is then removed.
    """

    LEAST_S: ClassVar[float] = 10.0
    MOST_S: ClassVar[float] = 300.0
    MOST_FILES: ClassVar[int] = 12

    def __init__(self, folder: Path, name: str, seconds: float) -> None:
        self.files: list[Path] = []
        self.complete = False
        """Whether all requested seconds are written, to the nearest sample."""
        self._folder = folder
        self._name = name
        self._total_s = seconds
        n_files = min(self.MOST_FILES, math.floor(seconds / self.LEAST_S))
        self._file_s = seconds / max(1, n_files, math.ceil(seconds / self.MOST_S))
        self._file_end_s = 0.0
        self._written_s = 0.0
        self._file: soundfile.SoundFile | None = None
        self._path = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingInputError(f"{folder}: cannot be created: {error.strerror}") from error

    @property
    def seconds(self) -> float:
        """How much has been written."""
        return self._written_s

    def push(self, block: AudioBlock) -> None:
        """Append a block; samples beyond the requested seconds are left out."""
        rate_hz = block.sample_rate_hz
        samples = block.samples[: max(0, round((self._total_s - self._written_s) * rate_hz))]
        if block.discontinuous or (self._file and self._file.samplerate != rate_hz):
            self.close()
        while len(samples):
            if self._file is None:
                self._file = self._open(rate_hz)
            left = max(1, round((self._file_end_s - self._written_s) * rate_hz))
            part, samples = samples[:left], samples[left:]
            self._write(part)
            self._written_s += len(part) / rate_hz
            if len(part) == left:
                self.close()
        self.complete = round((self._total_s - self._written_s) * rate_hz) <= 0

    def close(self) -> None:
        """Complete the file being written."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except soundfile.LibsndfileError as error:
                raise self._abandoned(error) from None
            final = self._path.with_suffix("")
            self._path.rename(final)
            self.files.append(final)

    def discard(self) -> None:
        """Remove every file of this recording."""
        self.close()
        for path in self.files:
            path.unlink(missing_ok=True)
        self.files.clear()

    def _write(self, samples: FloatArray) -> None:
        if self._file is None:
            return
        try:
            self._file.write(samples)
        except soundfile.LibsndfileError as error:
            file, self._file = self._file, None
            with contextlib.suppress(soundfile.LibsndfileError):  # the same error again
                file.close()
            raise self._abandoned(error) from None

    def _abandoned(self, error: soundfile.LibsndfileError) -> ServiceUnavailableError:
        self._path.unlink(missing_ok=True)
        return ServiceUnavailableError(
            f"{self._path}: cannot be written, is the disk full? ({error.error_string})"
        )

    def _open(self, sample_rate_hz: int) -> soundfile.SoundFile:
        self._path = self._reserved()
        self._file_end_s = self._written_s + self._file_s
        if round(self._total_s - self._file_end_s, 6) < self.LEAST_S:
            self._file_end_s = self._total_s
        try:
            return soundfile.SoundFile(
                os.fsencode(self._path),  # soundfile refuses text that is not UTF-8
                "w",
                samplerate=sample_rate_hz,
                channels=1,
                format="FLAC",
                subtype="PCM_24",
            )
        except (OSError, soundfile.LibsndfileError) as error:
            self._path.unlink(missing_ok=True)
            raise MissingInputError(f"{self._path}: cannot be written: {error}") from error

    def _reserved(self) -> Path:
        """A new empty file for the next part of the recording, with the first number that is free.

        The name of the complete file is looked up after the file is made: another recorder gives
        its file the final name before the temporary name is free again.
        """
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for number in count(len(self.files) + 1):
            path = self._folder / f"{self._name}-{now}-{number:03d}.flac.part"
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                continue
            except OSError as error:
                raise MissingInputError(f"{path}: cannot be written: {error.strerror}") from error
            if not path.with_suffix("").exists():
                return path
            path.unlink()
        raise AssertionError("numbers do not end")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
