"""The calibration of a training, and what it would be with more recordings of the same kind."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.model.manifest import Calibration
from training.sound.request import AudioRequest, TrainingData

MORE = (4, 16)
"""Times as many recordings."""
_MOST_RECORDINGS, _MOST_SCORES = 3_000, 200_000


def calibrated(
    healthy: Sequence[HealthyRecording],
    request: AudioRequest,
    data: TrainingData,
    *,
    distances: bool,
    times: int = 1,
) -> Calibration:
    """The thresholds as if there were ``times`` as many recordings like these.

    ``distances``: whether scores are distances. Raises ``BadInputError`` for too little sound.
    """
    hop_s, span_s = data.spec.window_hop_s, data.spec.seconds_of(data.span_windows)
    files = [recording.file for recording in data.recordings]
    n_files = max(files) + 1
    return calibrate(
        list(healthy) * times,
        false_alarms_per_week=request.false_alarms_per_week,
        persistence=request.settings.detector.persistence(span_s=span_s, hop_s=hop_s),
        hop_s=hop_s,
        span_s=span_s,
        distances=distances,
        files=[file + n_files * number for number in range(times) for file in files],
        seed=request.seed,
    )


def with_more(
    healthy: Sequence[HealthyRecording],
    request: AudioRequest,
    data: TrainingData,
    *,
    distances: bool,
) -> dict[int, Calibration]:
    """The calibrations for ``MORE`` times as many recordings, by their number of times.

    Not for more than thousands of recordings or a day of sound: this would take minutes, and the
    thresholds would change little.
    """
    n_scores = sum(len(recording.scores) for recording in healthy)
    return {
        times: calibrated(healthy, request, data, distances=distances, times=times)
        for times in MORE
        if times * len(healthy) <= _MOST_RECORDINGS and times * n_scores <= _MOST_SCORES
    }
