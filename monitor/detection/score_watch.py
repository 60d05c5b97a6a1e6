"""Everything that follows the scores of one machine: alerts, warnings, and slow changes."""

from __future__ import annotations

import math

from monitor.detection.channel import channels_of
from monitor.detection.channels import Channels
from monitor.detection.drift import DriftWatch, LevelWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.detection.thresholds import thresholds_of
from monitor.domain import Decision, MachineWarning, Score, SourceState, SourceStatus
from monitor.features.spectra import SPECTRA
from monitor.model.bundle import Bundle

_ANOMALY = SourceState(SourceStatus.ANOMALY)
_WARNING = SourceState(
    SourceStatus.WARNING,
    "",
    "the score stays above the warning threshold, below the alarm threshold",
)
_DRIFT_DETAIL = (
    "healthy scores have risen slowly; if the machine is healthy, run auscult calibrate "
    "or auscult train audio --continue with new recordings"
)


class ScoreWatch:
    """The scores of all channels decide about alerts, and about the state ``warning``.

    Drift and level shift become warnings. They follow the scores over the span of the bundle only.
    """

    def __init__(
        self, bundle: Bundle, settings: DetectorSettings, operation: OperationSettings
    ) -> None:
        spec, calibration = bundle.spec, bundle.calibration
        hop_s = spec.window_hop_s
        self.thresholds = thresholds_of(calibration, settings)

        channels = channels_of(
            bundle, settings, self.thresholds, same_fault_s=operation.same_fault_s
        )
        self._channels = Channels(channels)
        self._of_spectra = [
            number
            for number, one in enumerate(calibration.channels, start=1)
            if one.single_evidence in SPECTRA
        ]
        rule = channels[0].detector.rule
        self.needs_s = rule.persistence.needs_s(bundle.actual_span_s, hop_s)
        """Unbroken sound that an alert needs, apart from those over long spans."""
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
        if self.raised:
            return _ANOMALY
        return _WARNING if self._channels.warns else None

    @property
    def raised(self) -> bool:
        """Whether an alert is open."""
        return self._channels.raised

    @property
    def least_levels(self) -> dict[int, float]:
        """As in ``Channels``."""
        return self._channels.least_levels

    @property
    def undecided_since(self) -> int | None:
        """Where the first score ends that may still be part of the next decision to raise.

        Of the scores over the span of the bundle: the newest one if none of the last ones is over
        its threshold; None before the first.
        """
        return self._channels.undecided_since

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
        """Take the next score of any channel, in the order of their ends."""
        decision = self._channels.push(score)
        if not score.channel:
            self._level.push(score)
            self._drift.push(score, raised=self.raised)
        return decision

    def without_spectra(self) -> None:
        """The source delivers log-mel: there are no scores of other evidence."""
        self._channels.leave_out(self._of_spectra)
        self._of_spectra = []

    def gap(self) -> None:
        """Sound was lost: the next score is not joined to the earlier ones, except long ones."""
        self._level.reset()
        self._channels.gap()

    def machine_stopped(self, at_sample: int) -> Decision | None:
        """The machine is off from this sample on."""
        return self._channels.machine_stopped(at_sample)

    def machine_started(self, at_sample: int) -> None:
        """The machine runs from this sample on."""
        self._channels.machine_started(at_sample, self._start_fault_samples)

    def resume(self, peak_score: float, span_s: float, at_sample: int) -> None:
        """Continue an alert that was raised before, from scores over ``span_s`` (0: unknown).

        ``peak_score``: as in decisions, in units of the bundle.
        """
        self._channels.resume(peak_score, span_s, at_sample)
