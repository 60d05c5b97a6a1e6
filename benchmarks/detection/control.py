"""The control without a network: the distance of a mean spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf

from benchmarks.detection.cases import Case
from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recordings import Recording, read_machine, read_recording

Cut = Callable[[Sequence[Recording], LogMelSpec], Sequence[Recording]]


def spectrum_of(frames_db: FloatArray) -> npt.NDArray[np.float64]:
    """The mean log-mel without its level. Shape: ``(n_frames, n_mels)`` to ``(n_mels,)``."""
    mean = frames_db.mean(axis=0, dtype=np.float64)
    return np.asarray(mean - mean.mean())


def uncut(recordings: Sequence[Recording], _spec: LogMelSpec) -> Sequence[Recording]:
    """The recordings unchanged."""
    return recordings


class SpectrumDistance:
    """Squared Mahalanobis distance (Ledoit-Wolf) of a mean spectrum from a case's healthy ones.

    Every reference machine is centred on its own mean. ``cut`` divides the recordings before the
    statistics are made.
    """

    def __init__(self, case: Case, spec: LogMelSpec, cut: Cut = uncut) -> None:
        def spectra(paths: Sequence[Path]) -> npt.NDArray[np.float64]:
            recordings = cut(read_machine(paths, spec), spec)
            return np.stack([spectrum_of(r.frames_db) for r in recordings])

        self._spec = spec
        own = spectra(case.train)
        self._centre = own.mean(axis=0)
        machines = [own, *(spectra([reference]) for reference in case.references)]
        centred = np.concatenate([machine - machine.mean(axis=0) for machine in machines])
        self._precision = LedoitWolf(assume_centered=True).fit(centred).precision_

    def of(self, spectrum: npt.NDArray[np.float64]) -> float:
        """The distance of one spectrum, >= 0. Shape: ``(n_mels,)``."""
        offset = spectrum - self._centre
        return float(offset @ self._precision @ offset)

    def of_file(self, path: Path) -> float:
        """The distance of a whole recording."""
        return self.of(spectrum_of(read_recording(path, self._spec).frames_db))
