"""Recordings to log-mel frames, and random windows of them to train a network on.

Splits are made by recording and not by window, because the sound of a machine repeats within
minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from monitor.audio.recording_frames import frames_of
from monitor.audio.recordings import read_each, recording_files
from monitor.domain import FloatArray, SourceState
from monitor.errors import BadInputError
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recording_chain import RecordedBy, RecordingObserver

logger = logging.getLogger(__name__)

_LEAST_DEVIATION_DB = 1e-3


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording, or a section of one.

    ``frames_db``: float32 ``(n_frames, n_mels)``. ``file``: the number of the recording among
    those that were read, which its sections have in common. ``first_sample``: where the sound
    begins that is used of the file, at the rate of the features. ``first_frame``: of a section,
    its place in this sound. ``recorded_by``: None for log-mel. ``file_path``: where it is read
    again, if its name is not its path. ``samples``: those of the frames or more, read only where an
    encoder needs them.
    """

    name: str
    frames_db: FloatArray = field(repr=False)
    file: int = 0
    first_frame: int = 0
    first_sample: int = 0
    recorded_by: RecordedBy | None = None
    file_path: Path | None = None
    samples: FloatArray | None = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """The file of the recording."""
        return self.file_path or Path(self.name)

    def windows(self, spec: LogMelSpec, hop_frames: int | None = None) -> FloatArray:
        """The windows that the run time computes. Shape: ``(n, n_mels, window_frames)``."""
        hop = hop_frames or spec.window_hop_frames
        views = np.lib.stride_tricks.sliding_window_view(self.frames_db, spec.window_frames, axis=0)
        return np.ascontiguousarray(views[::hop])

    def window_samples(self, spec: LogMelSpec) -> FloatArray:
        """The samples of the windows, a view: ``(n, window_samples)``; ``(0, 0)`` without any."""
        if self.samples is None:
            return np.empty((0, 0), np.float32)
        n_windows = 1 + (len(self.frames_db) - spec.window_frames) // spec.window_hop_frames
        views = np.lib.stride_tricks.sliding_window_view(self.samples, spec.window_samples)
        return views[:: spec.window_hop_samples][:n_windows]

    def seconds(self, spec: LogMelSpec) -> float:
        """The length, by the number of frames."""
        return len(self.frames_db) / spec.frame_rate_hz


def read_machine(arguments: Iterable[Path], spec: LogMelSpec) -> list[Recording]:
    """All recordings of one machine, files or folders of them.

    Raises ``MissingInputError`` for a path that does not exist, and one ``BadInputError`` with a
    line for each recording that cannot be read, is shorter than a window, or is silence.
    """
    return read_each(recording_files(arguments), lambda path: read_recording(path, spec))


def read_recording(path: Path, spec: LogMelSpec, name: str = "") -> Recording:
    """One recording; raises as :func:`read_machine`.

    Where the signal check refuses a part, the longest sound between refused parts is used and a
    warning names the recording. ``name``: in place of the path, in the result and in messages.
    """
    name = name or str(path)
    observer = RecordingObserver(spec)
    runs, refused = _runs(path, spec, observer)
    frames_db, first_sample = max(runs, key=lambda run: len(run[0]))
    seconds = len(frames_db) / spec.frame_rate_hz
    # The signal check needs three seconds until it refuses silence, and lets them through.
    if len(frames_db) < spec.window_frames or (refused is not None and observer.is_silent):
        if refused is not None:
            raise BadInputError(f"{name}: {refused.detail}; remove it from the training recordings")
        raise BadInputError(
            f"{name}: {seconds:.2f} s is too short to train on, at least {spec.window_s:.2f} s "
            "are needed"
        )
    if float(np.std(frames_db, dtype=np.float64)) < _LEAST_DEVIATION_DB:
        raise BadInputError(f"{name}: all frames are equal; remove it from the training recordings")
    if refused is not None:
        logger.warning(
            "%s: %s; only the longest usable part, %.1f s, is used",
            name,
            refused.detail,
            seconds,
        )
    return Recording(
        name,
        frames_db,
        first_sample=first_sample,
        recorded_by=observer.recorded_by,
        file_path=path,
    )


def _runs(
    path: Path, spec: LogMelSpec, observer: RecordingObserver
) -> tuple[list[tuple[FloatArray, int]], SourceState | None]:
    """The frames between gaps with their first sample, and why the first gap is there.

    Shape: each ``(n_frames, n_mels)``.
    """
    runs: list[list[FloatArray]] = [[np.empty((0, spec.n_mels), np.float32)]]
    firsts = [0]
    refused = None
    for part in frames_of(path, spec, observer=observer):
        if isinstance(part, SourceState):
            refused = refused or part
            continue
        if part.discontinuous:
            runs.append([])
            firsts.append(part.first_sample)
        runs[-1].append(part.frames_db)
    joined = [np.concatenate(run) for run in runs]
    return list(zip(joined, firsts, strict=True)), refused


def cut_into(recordings: Sequence[Recording], least: int, least_frames: int) -> list[Recording]:
    """At least ``least`` sections, if there are fewer recordings and they are long enough.

    Each recording is cut into equally many sections of at least ``least_frames`` frames. Nothing
    is cut if there are enough recordings.
    """
    if len(recordings) >= least:
        return list(recordings)
    pieces = -(-least // len(recordings))
    cut: list[Recording] = []
    for recording in recordings:
        n = max(1, min(pieces, len(recording.frames_db) // least_frames))
        parts = np.array_split(recording.frames_db, n)
        starts = np.cumsum([0, *map(len, parts)])
        cut += [
            replace(
                recording,
                name=f"{recording.name}[{i + 1}/{n}]" if n > 1 else recording.name,
                frames_db=part,
                first_frame=recording.first_frame + int(starts[i]),
            )
            for i, part in enumerate(parts)
        ]
    return cut


def folds(n_recordings: int, n_folds: int, seed: int) -> npt.NDArray[np.intp]:
    """The fold of each recording, folds of nearly equal size. Shape: ``(n_recordings,)``."""
    order = np.random.default_rng(seed).permutation(n_recordings)
    fold = np.empty(n_recordings, dtype=np.intp)
    fold[order] = np.arange(n_recordings) % max(1, min(n_folds, n_recordings))
    return fold


LEAST_FILES_APART = 4


def folds_of_files(file: Sequence[int], n_folds: int, seed: int) -> npt.NDArray[np.intp]:
    """The fold of each recording. With enough files, all sections of a file are in one fold.

    ``file``: the number of the file of each recording. Sections of one file sound alike, so a
    section that is scored with statistics of the others of its file has a score that is too low.
    With fewer than ``LEAST_FILES_APART`` files, too little would be left for the statistics.
    """
    files, number = np.unique(np.asarray(file), return_inverse=True)
    if len(files) < LEAST_FILES_APART:
        return folds(len(number), n_folds, seed)
    fold: npt.NDArray[np.intp] = folds(len(files), n_folds, seed)[number]
    return fold


def are_apart(file: Sequence[int], fold: npt.NDArray[np.intp]) -> bool:
    """Whether all sections of each file are in one fold. Shape: ``(n_recordings,)``, both."""
    return len(set(zip(file, fold.tolist(), strict=True))) == len(set(file))


class WindowBatch(NamedTuple):
    """A batch: windows ``(B, 1, n_mels, n_frames)`` in dB and the machine of each ``(B,)``."""

    windows_db: Tensor
    machine: Tensor


class WindowBatches:
    """Random windows of several machines' recordings, an equal share of each machine.

    Within a machine, the chance of a recording is proportional to its length. The windows of an
    epoch depend only on (seed, epoch).
    """

    def __init__(
        self,
        machines: Sequence[Sequence[Recording]],
        *,
        n_frames: int,
        windows_per_epoch: int,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._machines = machines
        self._n_frames = n_frames
        self._batch_size = min(batch_size, windows_per_epoch)
        self._n_batches = windows_per_epoch // self._batch_size
        self._seed = seed
        self._device = device
        starts = [[len(r.frames_db) - n_frames + 1 for r in machine] for machine in machines]
        self._bounds = [np.cumsum(np.array(counts)) for counts in starts]

    def __len__(self) -> int:
        return self._n_batches

    def epoch(self, epoch: int) -> Iterator[WindowBatch]:
        """Yield the batches of epoch ``epoch``."""
        rng = np.random.default_rng((self._seed, epoch))
        for _ in range(self._n_batches):
            machine = rng.permutation(np.arange(self._batch_size) % len(self._machines))
            windows = np.stack([self._window(int(m), rng) for m in machine])
            yield WindowBatch(
                torch.from_numpy(windows[:, None]).to(self._device),
                torch.from_numpy(machine).to(self._device),
            )

    def _window(self, machine: int, rng: np.random.Generator) -> FloatArray:
        bounds = self._bounds[machine]
        draw = int(rng.integers(bounds[-1]))
        index = int(np.searchsorted(bounds, draw, side="right"))
        start = draw - (int(bounds[index - 1]) if index else 0)
        frames_db = self._machines[machine][index].frames_db[start : start + self._n_frames]
        return np.ascontiguousarray(frames_db.T)
