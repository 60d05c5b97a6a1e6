"""The figures of ``metrics``: their names, what they mean, and where their values are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

STATES = (
    *("ok", "off", "starting", "warming", "learning", "muted", "warning"),
    *("degraded", "no_signal", "unavailable", "anomaly"),
)
"""The number of a state is its position: the higher, the worse. Others are -1."""

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """``path``: where the value is in a document. ``is_total``: it only grows."""

    name: str
    about: str
    path: tuple[str, ...]
    is_total: bool = False

    def family(self, labels: Sequence[str] = ()) -> GaugeMetricFamily | CounterMetricFamily:
        """The metric without a value."""
        kind = CounterMetricFamily if self.is_total else GaugeMetricFamily
        return kind(f"auscult_{self.name}", self.about, labels=labels)


def _gauge(name: str, about: str, *path: str) -> Figure:
    return Figure(name, about, path)


def _total(name: str, about: str, *path: str) -> Figure:
    return Figure(name, about, path, is_total=True)


OF_MACHINES = (
    _gauge("ratio", "Newest score divided by the alarm threshold.", "summary", "ratio"),
    _gauge("score", "Newest score.", "summary", "score"),
    _gauge("threshold", "Score from which an alert is raised.", "summary", "threshold"),
    _gauge(
        "warning_threshold", "Score from which a warning is shown.", "summary", "warning_threshold"
    ),
    _gauge("level_dbfs", "Newest level of the sound.", "summary", "level_dbfs"),
    _gauge("state", "Number of the state, see docs/web.md.", "state_number"),
    _gauge("running", "1 if the machine runs, 0 if it does not.", "is_running"),
    _gauge("alert_open", "1 while an alert is open.", "is_alert_open"),
    _gauge("muted", "1 while the machine is muted.", "is_muted"),
    _gauge("provisional", "1 while the threshold is not yet tested.", "is_provisional"),
    _gauge("warnings", "Number of active warnings.", "n_warnings"),
    _total("running_seconds", "Seconds in which the machine ran.", "operation", "running_s"),
    _total("starts", "Starts of the machine.", "operation", "starts"),
    _total("monitored_seconds", "Judged sound.", "summary", "coverage", "monitored_s"),
    _total("degraded_seconds", "Unusable sound.", "summary", "coverage", "degraded_s"),
    _total("lost_seconds", "Time without sound.", "summary", "coverage", "lost_s"),
    _total("alerts", "Alerts that were raised since the daemon started.", "alerts_raised"),
    _total("inference_seconds", "Seconds of computing for this machine.", "computed_s"),
)

OF_THE_DAEMON = (
    _gauge(
        "outbox_messages",
        "Messages of alerts that the broker has not acknowledged.",
        *("outbox", "depth"),
    ),
    _gauge("outbox_on_disk", "1 if alerts are on the disk, 0 if only in memory.", "is_on_disk"),
    _total("outbox_dropped_messages", "Messages of alerts dropped, ever.", "n_dropped"),
    _total(
        "delivered_messages",
        "Messages of alerts that the broker has acknowledged since the daemon started.",
        *("broker", "acknowledged"),
    ),
    _total(
        "refused_messages",
        "Refusals of messages of alerts by the broker.",
        *("broker", "refused"),
    ),
    _total("broker_connections", "Connections to the broker.", "broker", "connections"),
    _gauge("broker_connected", "1 while the broker is connected.", "broker", "connected"),
    _gauge("history_bytes", "Size of the history.", "history", "n_bytes"),
    _total("history_replaced_files", "Damaged files replaced.", "history", "n_replaced"),
    _total("history_lost_records", "Values and events that were lost.", "history", "n_lost"),
    _gauge("evidence_bytes", "Size of the evidence.", "evidence", "n_bytes"),
    _gauge("evidence_limit_bytes", "Most bytes of evidence.", "evidence", "max_bytes"),
    _gauge("evidence_pieces", "Pieces of evidence.", "evidence", "pieces"),
    _total("evidence_evictions", "Pieces deleted because of limits, ever.", "evidence", "evicted"),
    _total("evidence_lost_pieces", "Pieces that could not be kept.", "evidence", "lost"),
    _gauge("daemon_memory_bytes", "Memory of the daemon.", "process", "memory_bytes"),
    _total("daemon_cpu_seconds", "Processor time of the daemon.", "process", "cpu_s"),
    _gauge("daemon_threads", "Threads of the daemon.", "process", "threads"),
    _gauge("daemon_start_time_seconds", "When the daemon was started.", "started_unix_s"),
)
