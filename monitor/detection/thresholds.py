"""The thresholds of a machine: those of its bundle, for the budgets of its settings."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.detection.settings import DetectorSettings
from monitor.errors import BundleError
from monitor.model.channel_calibration import ChannelCalibration
from monitor.model.manifest import Calibration


@dataclass(frozen=True, slots=True)
class ChannelThresholds:
    """Where an alarm and a warning of one channel begin, in scores of this channel.

    ``alarm`` is None if the calibration of the channel has no threshold for the budget: the
    channel then decides nothing. ``warning`` is None as in ``Thresholds``.
    """

    alarm: float | None
    warning: float | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where an alarm and a warning begin.

    ``alarm`` and ``warning`` are for persistent scores, ``recording`` for the score of a whole
    recording. ``alarm`` and ``recording`` are for ``alarm_per_week`` false alarms, ``warning``
    for ``warning_per_week``. ``warning`` is None if it would not be below ``alarm``, and for a
    bundle of an earlier version. ``channels``: for the channels of the calibration, in their order
    and for the same budgets.
    """

    alarm: float
    recording: float
    alarm_per_week: float
    warning: float | None
    warning_per_week: float
    channels: tuple[ChannelThresholds, ...] = ()


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
    warning_per_week = settings.warning_per_week
    may_warn = warning_per_week > per_week
    warning = calibration.threshold_for(warning_per_week) if may_warn else None
    return Thresholds(
        alarm,
        recording,
        per_week,
        _below(warning, alarm),
        warning_per_week,
        tuple(
            _channel_thresholds(channel, per_week, warning_per_week if may_warn else None)
            for channel in calibration.channels
        ),
    )


def _channel_thresholds(
    channel: ChannelCalibration, per_week: float, warning_per_week: float | None
) -> ChannelThresholds:
    alarm = channel.threshold_for(per_week)
    warning = None if warning_per_week is None else channel.threshold_for(warning_per_week)
    return ChannelThresholds(alarm, _below(warning, alarm))


def _below(warning: float | None, alarm: float | None) -> float | None:
    """``warning`` if both are known and it is below ``alarm``."""
    return None if warning is None or alarm is None or warning >= alarm else warning
