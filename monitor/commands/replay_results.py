"""The results of ``auscult replay``: tables, alerts and the summary."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.alerts import Alert, AlertDraft
from monitor.commands.output import ResultFile, columns, emit, message
from monitor.domain import Score
from monitor.model.bundle import Bundle
from monitor.mqtt.payloads import alert_payload
from monitor.offline.replay import RaisedAlert, RecordingSummary
from monitor.outbox.series import AlertSeries
from monitor.text.escaping import csv_cell
from monitor.text.wording import counted, rounded

SCORE_COLUMNS = ("file", "start_s", "end_s", "score", "loss", "threshold", "anomalous")
FILE_COLUMNS = (
    "file",
    "seconds",
    "score",
    "threshold",
    "anomalous",
    "alerts",
    "error",
    "operation",
)


@contextmanager
def replay_results(
    bundle: Bundle,
    machine: str,
    paths: Mapping[str, Path | None],
    first_sequence: int,
    threshold: float,
) -> Iterator[ReplayResults]:
    """Open the result files ``scores``, ``files`` and ``alerts`` that have a path."""
    with ExitStack() as stack:
        outputs = {
            name: stack.enter_context(ResultFile(path, f"--{name}")) if path else None
            for name, path in paths.items()
        }
        yield ReplayResults(bundle, machine, outputs, first_sequence, threshold)


class ReplayResults:
    """Everything that a replay writes while it runs."""

    def __init__(
        self,
        bundle: Bundle,
        machine: str,
        outputs: Mapping[str, ResultFile | None],
        first_sequence: int,
        threshold: float,
    ) -> None:
        self.machine = machine
        self.summaries: list[RecordingSummary] = []
        self.alerts: list[Alert] = []
        self.raised: list[RaisedAlert] = []
        self._bundle = bundle
        self._rate_hz = bundle.spec.sample_rate_hz
        self._threshold = threshold
        self._series = AlertSeries(first_sequence)
        self._alert_file = outputs["alerts"]
        self._owns_standard_output = any(one and one.is_standard_output for one in outputs.values())
        self._score_rows = _table(outputs["scores"], SCORE_COLUMNS)
        self._file_rows = _table(outputs["files"], FILE_COLUMNS)

    def score(self, file: str, score: Score) -> None:
        """Write a row of ``--scores``."""
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
        """Keep an alert, and write a line of ``--alerts``."""
        alert = self._series.identify(draft)
        self.alerts.append(alert)
        if alert.kind == "raised":
            self.raised.append(RaisedAlert(alert, Path(file), at_s))
        if self._alert_file is not None:
            self._alert_file.write(json.dumps(alert_payload(alert)) + "\n")

    def add(self, summary: RecordingSummary) -> None:
        """End a recording, and write a row of ``--files``."""
        self._series.open = None  # each recording is a stream of its own
        self.summaries.append(summary)
        if self._file_rows is not None:
            row = _row(summary)
            row |= {name: csv_cell(row[name]) for name in ("file", "error")}
            self._file_rows.writerow(row.values())

    def print(self, *, published: bool, as_json: bool) -> None:
        """Print the summary: on standard output, unless a table is there."""
        raised = sum(alert.kind == "raised" for alert in self.alerts)
        table = [("file", "seconds", "recording score", "recording threshold", "alerts", "result")]
        table += [
            (
                one.file,
                f"{one.seconds:.1f}",
                rounded(one.score) if one.is_scored else "",
                rounded(one.threshold),
                str(one.alerts),
                _result(one),
            )
            for one in self.summaries
        ]
        n_unread = sum(bool(one.error) for one in self.summaries)
        n_read = len(self.summaries) - n_unread
        total = f"{counted(raised, 'alert')} raised in {counted(n_read, 'recording')}"
        if n_unread:
            total += f"; {counted(n_unread, 'recording')} could not be scored"
        lines = [*columns(table), total, *_explanations(self.summaries)]
        if self._owns_standard_output:
            for line in lines:
                message(line)
            return
        emit(
            {
                "bundle": str(self._bundle.path),
                "machine": self.machine,
                "files": [_row(one) for one in self.summaries],
                "alerts": [alert_payload(alert) for alert in self.alerts],
                "published": published,
            },
            lines,
            as_json=as_json,
        )


def _result(summary: RecordingSummary) -> str:
    """For people. The file is in the first column, so an error does not repeat it."""
    if summary.error:
        return summary.error.removeprefix(f"{summary.file}: ")
    if not summary.is_scored:
        return summary.operation
    if not summary.anomalous:
        return "normal"
    return "anomalous" if summary.score > summary.threshold else "anomalous in a part"


def _explanations(summaries: Sequence[RecordingSummary]) -> Iterator[str]:
    """Why scores and alerts differ: whole recordings and alerts have two thresholds."""
    anomalous = [one for one in summaries if one.anomalous]
    in_part = [one for one in anomalous if one.score <= one.threshold]
    silent = [one for one in anomalous if not one.alerts]
    if in_part:
        yield (
            f"anomalous in a part: {counted(len(in_part), 'recording')}. An alert was raised, but "
            "the score of the whole recording is below its threshold"
        )
    if silent:
        yield (
            f"anomalous without an alert: {counted(len(silent), 'recording')}. An alert needs "
            "scores that stay above the threshold for alerts, which is another one. After a start "
            "it also needs start_fault_s of running (2 minutes by default)"
        )


def _table(file: ResultFile | None, names: tuple[str, ...]) -> Any:
    """A CSV writer with its header written, or ``None``."""
    if file is None:
        return None
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    return writer


def _row(summary: RecordingSummary) -> dict[str, Any]:
    fields = asdict(summary)
    if not summary.is_scored:
        fields |= {"score": None}
    if summary.error:
        fields |= {"threshold": None}
    fields["anomalous"] = int(summary.anomalous)
    return {name: fields[name] for name in FILE_COLUMNS}
