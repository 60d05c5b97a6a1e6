"""The thresholds of a machine: those of its bundle, for the budgets of its settings."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.detection.settings import DetectorSettings
from monitor.errors import BundleError
from monitor.model.manifest import Calibration


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where an alarm and a warning begin.

    ``alarm`` and ``warning`` are for persistent scores, ``recording`` for the score of a whole
    recording. ``alarm`` and ``recording`` are for ``alarm_per_week`` false alarms, ``warning``
    for ``warning_per_week``. ``warning`` is None if it would not be below ``alarm``, and for a
    bundle of an earlier version.
    """

    alarm: float
    recording: float
    alarm_per_week: float
    warning: float | None
    warning_per_week: float


def thresholds_of(calibration: Calibration, settings: DetectorSettings) -> Thresholds:
    """The thresholds for the budgets of ``settings``.

    Raises ``BundleError`` if the calibration has no threshold for ``alarm_per_week``.
    """
    per_week = settings.alarm_per_week or calibration.false_alarms_per_week
    alarm = calibration.threshold_for(per_week)
    recording = calibration.recording_threshold_for(per_week)
    if alarm is None or recording is None:
        raise BundleError(
            f"alarm_per_week = {per_week:g}: the bundle has no threshold for it: calibrate it "
            f"again with auscult calibrate --false-alarms-per-week {per_week:g}"
        )
    warning = calibration.threshold_for(settings.warning_per_week)
    if warning is not None and (warning >= alarm or settings.warning_per_week <= per_week):
        warning = None
    return Thresholds(alarm, recording, per_week, warning, settings.warning_per_week)
