"""How a machine's healthy recordings lie around their nearest centres, on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from monitor.distance import Head
from monitor.log_mel_spec import LogMelSpec
from monitor.mean_shift import Sample, sample_of
from monitor.recording_score import RecordingScore
from training.crossfit import HealthySound
from training.heard import Heard

LEAST_FILES = 4


def healthy_sample(
    sound: HealthySound, file: Sequence[int], head: Head, spec: LogMelSpec
) -> Sample | None:
    """The mean offsets of the files that were read; None for fewer than ``LEAST_FILES``.

    ``file``: of which one each recording is, or a stretch: stretches of one file share what
    files differ in. The variance that the centres took away is made up for, and a centre is
    only as good as the files it was taken from: ``n`` is that of the rarest regime.
    """
    files, n_regimes = np.unique(file), sound.n_regimes
    fewest = min(len(_files_of(sound, file, regime)) for regime in range(n_regimes))
    if len(files) < LEAST_FILES or len(files) <= n_regimes or fewest < 2:
        return None
    offsets = np.stack([_mean_offset(heard, head, spec) for heard in sound.recordings])
    sample = sample_of(np.stack([offsets[np.equal(file, one)].mean(axis=0) for one in files]))
    lost = (len(files) - 1) / (len(files) - n_regimes)
    return replace(sample, variance=sample.variance * lost, n=fewest)


def _files_of(sound: HealthySound, file: Sequence[int], regime: int) -> set[int]:
    return {one for one, labels in zip(file, sound.regime, strict=True) if (labels == regime).any()}


def _mean_offset(heard: Heard, head: Head, spec: LogMelSpec) -> npt.NDArray[np.float64]:
    """As the runtime will find it. Shape: ``(d,)``."""
    whole = RecordingScore(spec, "diagonal", head)
    whole.extend(heard.evidence, heard.loss)
    if whole.mean_offset is None:
        raise ValueError(f"{heard.name}: nothing was heard")
    return whole.mean_offset
