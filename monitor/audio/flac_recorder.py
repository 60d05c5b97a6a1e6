"""Sound into FLAC files that training can split by recording."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

import soundfile

from monitor.domain import AudioBlock, FloatArray
from monitor.errors import MissingInputError, ServiceUnavailableError


class FlacRecorder:
    """Writes mono FLAC of 24 bits, a new file every so often and after each gap.

    Training keeps whole recordings apart for validation and calibration, so one long
    file would be of no use to it: ``seconds`` are cut into about a dozen, each of 10
    to 300 seconds. A file bears its final name only once it is complete.

    Raises ``MissingInputError`` when ``folder`` cannot be written, and
    ``ServiceUnavailableError`` when the disk takes no more; the file that it does not
    hold is removed.
    """

    LEAST_S: ClassVar[float] = 10.0
    MOST_S: ClassVar[float] = 300.0
    PIECES: ClassVar[int] = 12

    def __init__(self, folder: Path, name: str, seconds: float) -> None:
        self.files: list[Path] = []
        self.complete = False
        """Whether all the wanted seconds are written, to the nearest sample."""
        self._folder = folder
        self._name = name
        self._total_s = seconds
        self._piece_s = min(self.MOST_S, max(self.LEAST_S, seconds / self.PIECES))
        self._written_s = 0.0
        self._piece_written_s = 0.0
        self._file: soundfile.SoundFile | None = None
        self._path = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingInputError(f"{folder}: cannot be made: {error.strerror}") from error

    @property
    def seconds(self) -> float:
        """How much has been written."""
        return self._written_s

    def push(self, block: AudioBlock) -> None:
        """Append a block; what goes beyond the wanted seconds is left out."""
        rate_hz = block.sample_rate_hz
        samples = block.samples[: max(0, round((self._total_s - self._written_s) * rate_hz))]
        if block.discontinuous or (self._file and self._file.samplerate != rate_hz):
            self.close()
        while len(samples):
            if self._file is None:
                self._file = self._open(rate_hz)
            room = max(1, round((self._piece_s - self._piece_written_s) * rate_hz))
            piece, samples = samples[:room], samples[room:]
            self._write(piece)
            self._written_s += len(piece) / rate_hz
            self._piece_written_s += len(piece) / rate_hz
            if len(piece) == room:
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

    def _write(self, samples: FloatArray) -> None:
        if self._file is None:
            return
        try:
            self._file.write(samples)
        except soundfile.LibsndfileError as error:
            file, self._file = self._file, None
            with contextlib.suppress(soundfile.LibsndfileError):  # says the same once more
                file.close()
            raise self._abandoned(error) from None

    def _abandoned(self, error: soundfile.LibsndfileError) -> ServiceUnavailableError:
        self._path.unlink(missing_ok=True)
        return ServiceUnavailableError(
            f"{self._path}: cannot be written, is the disk full? ({error.error_string})"
        )

    def _open(self, sample_rate_hz: int) -> soundfile.SoundFile:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        stem = f"{self._name}-{now}-{len(self.files) + 1:03d}"
        self._path = self._folder / f"{stem}.flac.part"
        self._piece_written_s = 0.0
        try:
            return soundfile.SoundFile(
                self._path,
                "w",
                samplerate=sample_rate_hz,
                channels=1,
                format="FLAC",
                subtype="PCM_24",
            )
        except (OSError, soundfile.LibsndfileError) as error:
            raise MissingInputError(f"{self._path}: cannot be written: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
