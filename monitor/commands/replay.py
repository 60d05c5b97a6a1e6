"""``auscult replay``: recordings are scored as the daemon would score them."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor.alerts import Alert, AlertDraft, AlertSeries, alert_to_dict
from monitor.audio.recordings import recording_files
from monitor.audio.start_time import start_times
from monitor.commands.output import ResultFile, columns, emit, message, progress, report_ignored
from monitor.config.settings import Settings, check_machine_id, load_config
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings
from monitor.domain import Score
from monitor.errors import BadInputError, UsageError
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.mqtt.one_shot import publish_alerts
from monitor.offline.replay import (
    DrawAlerts,
    RaisedAlert,
    RecordingSummary,
    ReplaySinks,
    replay_recording,
)
from monitor.text.escaping import csv_cell
from monitor.wording import counted

SCORE_COLUMNS = ("file", "start_s", "end_s", "score", "loss", "threshold", "anomalous")
FILE_COLUMNS = ("file", "seconds", "score", "threshold", "anomalous", "alerts", "error")
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
    starts = start_times(recordings, request.start)
    with ExitStack() as stack:
        results = stack.enter_context(_results(request, bundle, settings))
        network = Network(bundle)
        detector = settings.detector if settings else DetectorSettings()
        for number, recording in enumerate(recordings, 1):
            progress(f"{number} of {len(recordings)}  {recording}")
            results.add(
                replay_recording(
                    recording,
                    bundle,
                    network,
                    detector,
                    ReplaySinks(results.score, results.alert),
                    machine=results.machine,
                    start_unix_s=starts[recording] or 0.0,
                )
            )
        progress("")
        _report_short_ones(results.summaries, bundle, detector)
        _report_undated(results.raised, starts)
        if request.draw_alerts is not None:
            request.draw_alerts(bundle, network, results.raised)
    if request.publish and settings is not None:
        publish_alerts(settings.mqtt, results.alerts)
    results.print()
    if any(one.error for one in results.summaries):
        return BadInputError.exit_status
    raised = any(alert.kind == "raised" for alert in results.alerts)
    return EXIT_ALERT if request.fail_on_alert and raised else 0


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
    n_short = sum(one.seconds < needs_s for one in summaries if not one.error)
    if n_short:
        message(
            f"too short for an alert: {n_short} of {counted(len(summaries), 'recording')}. An "
            f"alert needs {needs_s:.1f} s of unbroken sound. Use the scores of the files"
        )


class _Results:
    """Everything that a replay writes while it runs."""

    def __init__(
        self,
        request: ReplayRequest,
        bundle: Bundle,
        machine: str,
        outputs: dict[str, ResultFile | None],
    ) -> None:
        self.machine = machine
        self.summaries: list[RecordingSummary] = []
        self.alerts: list[Alert] = []
        self.raised: list[RaisedAlert] = []
        self._request = request
        self._rate_hz = bundle.spec.sample_rate_hz
        self._threshold = bundle.calibration.threshold
        # All published replays share the numbers of a machine: the clock keeps them apart.
        self._series = AlertSeries(int(time.time() * 1000) if request.publish else 0)
        self._alert_file = outputs["alerts"]
        self._score_rows = _table(outputs["scores"], SCORE_COLUMNS)
        self._file_rows = _table(outputs["files"], FILE_COLUMNS)

    def score(self, file: str, score: Score) -> None:
        if self._score_rows is not None:
            self._score_rows.writerow(
                (
                    csv_cell(file),
                    score.first_sample / self._rate_hz,
                    score.end_sample / self._rate_hz,
                    score.value,
                    score.loss,
                    self._threshold,
                    int(score.value > self._threshold),
                )
            )

    def alert(self, file: str, draft: AlertDraft, at_s: float) -> None:
        alert = self._series.identify(draft)
        self.alerts.append(alert)
        if alert.kind == "raised":
            self.raised.append(RaisedAlert(alert, Path(file), at_s))
        if self._alert_file is not None:
            self._alert_file.write(json.dumps(alert_to_dict(alert)) + "\n")

    def add(self, summary: RecordingSummary) -> None:
        self._series.open = None  # each recording is a stream of its own
        self.summaries.append(summary)
        if self._file_rows is not None:
            row = _row(summary)
            row |= {name: csv_cell(row[name]) for name in ("file", "error")}
            self._file_rows.writerow(row.values())

    def print(self) -> None:
        raised = sum(alert.kind == "raised" for alert in self.alerts)
        table = [("file", "seconds", "score", "threshold", "alerts", "")]
        table += [
            (
                one.file,
                f"{one.seconds:.1f}",
                "" if one.error else f"{one.score:.3f}",
                f"{one.threshold:.3f}",
                str(one.alerts),
                one.error or ("anomalous" if one.anomalous else ""),
            )
            for one in self.summaries
        ]
        emit(
            {
                "bundle": str(self._request.bundle),
                "machine": self.machine,
                "files": [_row(one) for one in self.summaries],
                "alerts": [alert_to_dict(alert) for alert in self.alerts],
                "published": self._request.publish,
            },
            [*columns(table), _total(raised, len(self.summaries))],
            as_json=self._request.as_json,
        )


@contextmanager
def _results(
    request: ReplayRequest, bundle: Bundle, settings: Settings | None
) -> Iterator[_Results]:
    machine = _machine(request, settings)
    with ExitStack() as stack:
        outputs = {
            name: stack.enter_context(ResultFile(path)) if path else None
            for name, path in (
                ("scores", request.scores),
                ("files", request.files),
                ("alerts", request.alerts),
            )
        }
        yield _Results(request, bundle, machine, outputs)


def _refuse_overwriting(request: ReplayRequest, recordings: Iterable[Path]) -> None:
    """Raise ``UsageError`` where a table would be written over a recording or another table."""
    taken = {recording.resolve(): "is a recording to replay" for recording in recordings}
    for option in ("scores", "files", "alerts"):
        path: Path | None = getattr(request, option)
        if path is None or path.is_char_device():
            continue
        if use := taken.get(path.resolve()):
            raise UsageError(f"--{option} {path}: {use}; name another file")
        taken[path.resolve()] = f"is written by --{option} already"


def _table(file: ResultFile | None, names: tuple[str, ...]) -> Any:
    """A CSV writer with its header written, or ``None``."""
    if file is None:
        return None
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    return writer


def _row(summary: RecordingSummary) -> dict[str, Any]:
    fields = asdict(summary)
    if summary.error:
        fields |= {"score": None, "threshold": None}
    fields["anomalous"] = int(summary.anomalous)
    return {name: fields[name] for name in FILE_COLUMNS}


def _total(n_raised: int, n_recordings: int) -> str:
    return f"{counted(n_raised, 'alert')} raised in {counted(n_recordings, 'recording')}"


def _machine(request: ReplayRequest, settings: Settings | None) -> str:
    """The id in alerts: ``--machine``, else the machine with this bundle, else its name."""
    if request.machine is not None:
        try:
            return check_machine_id(request.machine)
        except ValueError as error:
            raise UsageError(f"--machine {error}") from None
    bundle = request.bundle.absolute()
    for machine in settings.machines if settings else ():
        if machine.bundle == bundle:
            return machine.id
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", bundle.name).strip("-._")[:64] or "replay"
