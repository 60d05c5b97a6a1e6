"""A channel: one stream of scores with thresholds of its own.

Channel 0 has the scores over the span of the bundle. The others are those of its calibration: other
evidence or longer spans.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from monitor.detection.detector import Detector
from monitor.detection.hysteresis import DetectorRule
from monitor.detection.last_alert import LastAlert
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import Thresholds
from monitor.domain import Decision
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelCalibration, EvidenceKind
from monitor.model.channel_scores import has_scores, is_long
from monitor.model.manifest import Calibration


class Channel:
    """One stream of scores: the detector of alerts, and the one of the state ``warning``.

    ``span_s``: seconds of sound in one score. ``evidence``: of what kind it is. Decisions have
    scores in units of the bundle: their threshold is ``bundle_threshold``, and the ratio of score
    and threshold stays.
    """

    def __init__(
        self,
        span_s: float,
        detector: Detector,
        warner: Detector | None,
        bundle_threshold: float,
        evidence: EvidenceKind = "distance",
    ) -> None:
        self.span_s = span_s
        self._evidence = evidence
        self.detector, self.warner = detector, warner
        self._raised_at, self._bundle_threshold = detector.rule.threshold, bundle_threshold

    @property
    def is_long(self) -> bool:
        """Whether its spans are longer than that of the bundle, and continue after a gap."""
        return self.detector.rule.is_long

    @property
    def least_level(self) -> float:
        """All scores below this level have the same effect while no alert is open."""
        return min(min(one.rule.threshold, one.rule.clear_threshold) for one in self._detectors())

    def decision(self, decision: Decision | None) -> Decision | None:
        """A decision of the detector, in units of the bundle."""
        if decision is None:
            return None
        return replace(
            decision,
            score=self._in_units_of_the_bundle(decision.score),
            peak_score=self._in_units_of_the_bundle(decision.peak_score),
            threshold=self._bundle_threshold,
            span_s=self.span_s,
            channel=self._evidence,
        )

    def resume(self, peak_score: float, at_sample: int) -> None:
        """Continue an alert; ``peak_score`` is in units of the bundle."""
        if self._raised_at != self._bundle_threshold:
            peak_score = peak_score / self._bundle_threshold * self._raised_at
        self.detector.resume(peak_score, at_sample)

    def forget(self, at_sample: int) -> None:
        """Another channel has ended an alert at this sample."""
        for one in self._detectors():
            one.forget(at_sample)

    def gap(self) -> None:
        """Sound was lost: drop what is pending."""
        for one in self._detectors():
            one.gap()

    def _detectors(self) -> Iterator[Detector]:
        yield self.detector
        if self.warner is not None:
            yield self.warner

    def _in_units_of_the_bundle(self, score: float) -> float:
        # This order gives no score below the threshold for one above that of the channel.
        if self._raised_at == self._bundle_threshold:
            return score
        return score / self._raised_at * self._bundle_threshold


def channels_of(
    bundle: Bundle, settings: DetectorSettings, thresholds: Thresholds, *, same_fault_s: float
) -> dict[int, Channel]:
    """Channel 0, and the channels of the calibration that have a threshold, by number.

    Without those that have no scores: an alert from before a restart would never be cleared there.
    """
    before = LastAlert()

    def rule(
        scores: Calibration | ChannelCalibration, threshold: float, per_week: float
    ) -> DetectorRule:
        span_s, step_s, long = bundle.actual_span_s, bundle.spec.window_hop_s, False
        if isinstance(scores, ChannelCalibration) and is_long(scores, bundle):
            span_s, step_s, long = scores.span_s, scores.step_s, True
        return DetectorRule.of(
            settings,
            scores,
            threshold,
            per_week,
            span_s=span_s,
            hop_s=step_s,
            sample_rate_hz=bundle.spec.sample_rate_hz,
            same_fault_s=same_fault_s,
            is_long=long,
        )

    def channel(
        scores: Calibration | ChannelCalibration, alarm: float, warning: float | None
    ) -> Channel:
        return Channel(
            scores.span_s if isinstance(scores, ChannelCalibration) else bundle.actual_span_s,
            Detector(rule(scores, alarm, thresholds.alarm_per_week), before),
            None
            if warning is None
            else Detector(rule(scores, warning, thresholds.warning_per_week)),
            thresholds.alarm,
            scores.evidence if isinstance(scores, ChannelCalibration) else "distance",
        )

    calibration = bundle.calibration
    channels = {0: channel(calibration, thresholds.alarm, thresholds.warning)}
    for number, one in enumerate(calibration.channels, start=1):
        own = thresholds.channels[number - 1]
        if has_scores(one, bundle, settings.min_fault_s) and own.alarm is not None:
            channels[number] = channel(one, own.alarm, own.warning)
    return channels
