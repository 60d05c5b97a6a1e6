"""How near a recording is to an alert of a bundle: one number that two bundles have in common.

Scores and thresholds of two bundles are in different units. Their ratio is 1.0 at the threshold of
each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.audio.recordings import recording_blocks
from monitor.detection.channel import channels_of
from monitor.detection.hysteresis import DetectorRule
from monitor.detection.persistent_scores import persistent_scores
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import block_times_s
from monitor.errors import AuscultError
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class AlarmRatio:
    """The highest persistent score of a recording, divided by the threshold for alerts.

    Of all channels whose spans fit into the recording. Above 1 if enough scores for an alert are
    above the threshold; pauses after a start or another alert do not count. ``ratio`` is None if
    nothing could be scored, for ``reason``.
    """

    ratio: float | None
    seconds: float
    reason: str = ""


def alarm_ratio(
    recording: Path,
    bundle: Bundle,
    network: Network,
    detector: DetectorSettings,
    operation: OperationSettings,
) -> AlarmRatio:
    """Score one recording. Raises ``BundleError`` for a budget that the bundle does not have."""
    pipeline = Pipeline(bundle, detector, network, operation=operation)
    channels = channels_of(bundle, detector, pipeline.thresholds, same_fault_s=0.0)
    values: dict[int, list[float]] = {number: [] for number in channels}
    seconds, reason = 0.0, ""
    try:
        for block in recording_blocks(recording, bundle.spec):
            _, seconds = block_times_s(block, bundle.spec.frame_rate_hz)
            output = pipeline.push(block)
            for score in (*output.scores, *output.channel_scores):
                if score.channel in values:
                    values[score.channel].append(score.value)
            reason = reason or pipeline.state.detail
        values[0] += [score.value for score in pipeline.finish().scores]
    except AuscultError as error:
        return AlarmRatio(None, seconds, str(error))
    ratios = [_ratio(channels[number].detector.rule, own) for number, own in values.items() if own]
    if not ratios:
        stopped = "the machine does not run" if pipeline.is_stopped else "too short"
        return AlarmRatio(None, seconds, reason or stopped)
    return AlarmRatio(max(ratios), seconds)


def _ratio(rule: DetectorRule, scores: list[float]) -> float:
    return float(persistent_scores(np.array(scores), rule.persistence).max()) / rule.threshold
