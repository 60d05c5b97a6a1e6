"""Everything that follows the scores of one machine: two detectors, and slow changes."""

from __future__ import annotations

import math

from monitor.detection.detector import Detector
from monitor.detection.drift import DriftWatch, LevelWatch
from monitor.detection.hysteresis import DetectorRule
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.detection.thresholds import thresholds_of
from monitor.domain import Decision, MachineWarning, Score, SourceState, SourceStatus
from monitor.model.bundle import Bundle

_ANOMALY = SourceState(SourceStatus.ANOMALY)
_WARNING = SourceState(
    SourceStatus.WARNING, "", "the score stays above the warning threshold, below the alarm"
)
_DRIFT_DETAIL = (
    "healthy scores have risen slowly; if the machine is healthy, run auscult calibrate "
    "or auscult train audio --continue with new recordings"
)


class ScoreWatch:
    """``detector`` decides about alerts. A second one gives the state ``warning`` only.

    Drift and level shift become warnings.
    """

    def __init__(
        self, bundle: Bundle, settings: DetectorSettings, operation: OperationSettings
    ) -> None:
        spec, calibration = bundle.spec, bundle.calibration
        hop_s = spec.window_hop_s
        self.thresholds = thresholds_of(calibration, settings)

        def detector_at(threshold: float, per_week: float) -> Detector:
            rule = DetectorRule.of(
                settings,
                calibration,
                threshold,
                per_week,
                span_s=bundle.actual_span_s,
                hop_s=hop_s,
                sample_rate_hz=spec.sample_rate_hz,
                same_fault_s=operation.same_fault_s,
            )
            return Detector(rule)

        alarm, warning = self.thresholds.alarm, self.thresholds.warning
        self.detector = detector_at(alarm, self.thresholds.alarm_per_week)
        self._warner = (
            None if warning is None else detector_at(warning, self.thresholds.warning_per_week)
        )
        rule = self.detector.rule
        self._drift = DriftWatch(
            calibration,
            hop_s,
            clear_threshold=rule.clear_threshold,
            near_alert=math.ceil(bundle.actual_span_s / hop_s) + rule.persistence.out_of,
        )
        self._level = LevelWatch(calibration, hop_s)
        self._start_fault_samples = round(operation.start_fault_s * spec.sample_rate_hz)

    @property
    def state(self) -> SourceState | None:
        """``anomaly`` or ``warning``; None while the score is below both thresholds."""
        if self.detector.raised:
            return _ANOMALY
        return _WARNING if self._warner is not None and self._warner.raised else None

    @property
    def warnings(self) -> list[MachineWarning]:
        """What has changed slowly."""
        warnings = []
        if self._level.shifted_db:
            warnings.append(MachineWarning("level_shift", self._level.detail))
        if self._drift.drifting:
            warnings.append(MachineWarning("drift", _DRIFT_DETAIL))
        return warnings

    def push(self, score: Score) -> Decision | None:
        """Take the next score."""
        if self._warner is not None:
            self._warner.push(score)
        decision = self.detector.push(score)
        self._level.push(score)
        self._drift.push(score, raised=self.detector.raised)
        return decision

    def gap(self) -> None:
        """The next score is not joined to the earlier ones."""
        self._level.reset()
        self.detector.gap()
        if self._warner is not None:
            self._warner.gap()

    def machine_stopped(self, at_sample: int) -> Decision | None:
        """The machine is off from this sample on."""
        if self._warner is not None:
            self._warner.machine_stopped(at_sample)
        return self.detector.machine_stopped(at_sample)

    def machine_started(self, at_sample: int) -> None:
        """The machine runs from this sample on."""
        self.detector.machine_started(at_sample, self._start_fault_samples)
