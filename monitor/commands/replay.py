"""``auscult replay``: recordings are scored as the daemon would score them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.audio.recordings import recording_files
from monitor.audio.start_time import start_times
from monitor.commands.output import (
    STANDARD_OUTPUT,
    message,
    progress,
    refuse_shared_output,
    report_ignored,
    report_unjudged,
)
from monitor.commands.replay_results import replay_results
from monitor.config.machine_id import check_machine_id
from monitor.config.settings import Settings, load_config
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.detection.thresholds import thresholds_of
from monitor.errors import BadInputError, UsageError
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.mqtt.one_shot import publish_alerts
from monitor.offline.ahead import ahead_for
from monitor.offline.replay import (
    DrawAlerts,
    RaisedAlert,
    RecordingSummary,
    ReplaySinks,
    replay_recording,
)
from monitor.text.regular_files import real_path
from monitor.text.wording import counted

EXIT_ALERT = 1


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The command line of a replay."""

    bundle: Path
    recordings: tuple[Path, ...]
    scores: Path | None = None
    files: Path | None = None
    alerts: Path | None = None
    publish: bool = False
    config: Path | None = None
    machine: str | None = None
    start: str | None = None
    fail_on_alert: bool = False
    as_json: bool = False
    jobs: int = 1
    """How many processes share the work."""
    draw_alerts: DrawAlerts | None = None


def replay(request: ReplayRequest) -> int:
    """Score every recording; the exit status.

    65 when a recording could not be read (the others are still scored), 1 with
    ``fail_on_alert`` when an alert was raised, otherwise 0.
    """
    if request.publish and request.config is None:
        raise UsageError("--publish needs --config FILE, which names the broker")
    settings = load_config(request.config) if request.config else None
    bundle = load_bundle(request.bundle)
    recordings = recording_files(request.recordings)
    report_ignored(request.recordings)
    _refuse_overwriting(request, recordings)
    paths = {"scores": request.scores, "files": request.files, "alerts": request.alerts}
    refuse_shared_output({f"--{name}": one for name, one in paths.items()}, as_json=request.as_json)
    starts = start_times(recordings, request.start)
    machine = _machine(request, settings)
    detector, operation = _how_to_detect(machine, settings)
    # All published replays share the numbers of a machine: the clock keeps them apart.
    first_sequence = int(time.time() * 1000) if request.publish else 0
    threshold = thresholds_of(bundle.calibration, detector).alarm
    with replay_results(bundle, machine, paths, first_sequence, threshold) as results:
        network = Network(bundle)
        with ahead_for(bundle, network, recordings, request.jobs) as ahead:
            for number, recording in enumerate(recordings, 1):
                progress(f"{number} of {len(recordings)}  {recording}")
                results.add(
                    replay_recording(
                        recording,
                        bundle,
                        network,
                        detector,
                        ReplaySinks(results.score, results.alert),
                        machine=machine,
                        start_unix_s=starts[recording] or 0.0,
                        operation=operation,
                        ahead=ahead,
                    )
                )
        progress("")
        report_unjudged(results.summaries)
        _report_off(results.summaries)
        _report_short_ones(results.summaries, bundle, detector)
        _report_undated(results.raised, starts)
        if request.draw_alerts is not None:
            request.draw_alerts(bundle, network, results.raised)
    if request.publish and settings is not None:
        publish_alerts(settings.mqtt, results.alerts)
    results.print(published=request.publish, as_json=request.as_json)
    if any(one.error for one in results.summaries):
        return BadInputError.exit_status
    raised = any(alert.kind == "raised" for alert in results.alerts)
    return EXIT_ALERT if request.fail_on_alert and raised else 0


def _report_off(summaries: Sequence[RecordingSummary]) -> None:
    """Count the recordings in which the machine does not run."""
    n_off = sum(not one.error and not one.is_scored for one in summaries)
    if n_off:
        message(
            f"the machine does not run in {n_off} of {counted(len(summaries), 'recording')}: not "
            "scored"
        )


def _report_undated(raised: Sequence[RaisedAlert], starts: dict[Path, float | None]) -> None:
    """Warn of alerts whose time is not that of the recording."""
    undated = {alert.recording for alert in raised if starts[alert.recording] is None}
    if undated:
        message(
            f"no start time in the name or metadata of {counted(len(undated), 'recording')}: the "
            "alerts are dated from 1970-01-01T00:00:00Z; give --start, or put the time into the "
            "name, for example pump_20261123T101530Z.wav"
        )


def _report_short_ones(
    summaries: Sequence[RecordingSummary], bundle: Bundle, detector: DetectorSettings
) -> None:
    """Warn of recordings that are too short to raise an alert."""
    rule = persistence_of(bundle, detector)
    needs_s = rule.needs_s(bundle.actual_span_s, bundle.spec.window_hop_s)
    n_short = sum(one.seconds < needs_s for one in summaries if one.is_scored)
    if n_short:
        message(
            f"too short for an alert: {n_short} of {counted(len(summaries), 'recording')}. An "
            f"alert needs {needs_s:.1f} s of unbroken sound. Use the scores of the files"
        )


def _refuse_overwriting(request: ReplayRequest, recordings: Iterable[Path]) -> None:
    """Raise ``UsageError`` where a table would be written over a recording or another table."""
    taken = {real_path(recording): "is a recording to replay" for recording in recordings}
    for option in ("scores", "files", "alerts"):
        path: Path | None = getattr(request, option)
        if path is None or path == STANDARD_OUTPUT or path.is_char_device():
            continue
        if use := taken.get(real_path(path)):
            raise UsageError(f"--{option} {path}: {use}; name another file")
        taken[real_path(path)] = f"is written by --{option} already"


def _machine(request: ReplayRequest, settings: Settings | None) -> str:
    """The id in alerts: ``--machine``, else the machine with this bundle, else its name."""
    if request.machine is not None:
        try:
            return check_machine_id(request.machine)
        except ValueError as error:
            raise UsageError(f"--machine {error}") from None
    if settings and (machine := settings.machine_with(request.bundle)):
        return machine.id
    name = request.bundle.absolute().name
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:64] or "replay"


def _how_to_detect(
    machine_id: str, settings: Settings | None
) -> tuple[DetectorSettings, OperationSettings]:
    """The settings of the configured machine, else those of the file, else the defaults."""
    if settings is None:
        return DetectorSettings(), OperationSettings()
    configured = [machine for machine in settings.machines if machine.id == machine_id]
    if not configured:
        return settings.detector_of(None), OperationSettings()
    return settings.detector_of(configured[0]), configured[0].operation
