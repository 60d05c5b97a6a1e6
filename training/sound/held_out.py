"""How near each healthy recording is to an alert, by statistics that were made without it.

Scores of recordings by the finished bundle are too low: its statistics were made from them. These
ratios show how new sound of the same kind would be scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.calibration.channels import ChannelKey
from monitor.calibration.threshold import HealthyRecording
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.model.manifest import Calibration

_SAME_S = 0.5


def held_out_ratios(
    healthy: Sequence[HealthyRecording], calibration: Calibration, span_s: float
) -> list[float | None]:
    """The highest persistent score of each recording, divided by the threshold.

    Of all channels whose spans fit into the recording, by their own thresholds for the budget of
    the bundle. ``span_s``: seconds of sound in a score of the bundle. None for a recording without
    a score.
    """
    return [max(_ratios(recording, calibration, span_s), default=None) for recording in healthy]


def _ratios(
    recording: HealthyRecording, calibration: Calibration, span_s: float
) -> Iterator[float]:
    rule = Persistence(calibration.persistence_required, calibration.persistence_out_of)
    if len(recording.scores):
        yield float(persistent_scores(recording.scores, rule).max()) / calibration.threshold
    for channel in calibration.channels:
        key = ChannelKey(channel.evidence, channel.span_s, channel.step_s)
        scores = recording.channels.get(key)
        threshold = channel.threshold_for(calibration.false_alarms_per_week)
        is_too_short = recording.seconds + _SAME_S < channel.span_s
        if scores is None or not len(scores) or threshold is None or is_too_short:
            continue
        is_long = channel.span_s > span_s + _SAME_S
        values = scores if is_long else persistent_scores(scores, rule)
        yield float(values.max()) / threshold
