"""``metrics``: figures for Prometheus. The only label is ``machine``, except for the version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from monitor.web.context import context_of
from monitor.web.figures import OF_MACHINES, OF_THE_DAEMON, STATES, Figure, Values
from monitor.web.health import health_document
from monitor.web.overview import machine_summary


class DaemonCollector(Collector):
    """The figures of one moment. ``health``: the document of ``api/health``.

    ``machines``: of the daemon's status; empty if it does not answer.
    """

    def __init__(self, health: Values, machines: Iterable[Values]) -> None:
        self._health = health
        self._machines = list(machines)

    def collect(self) -> Iterator[Metric]:
        """All metrics. A value that is not known has no sample."""
        daemon: Values = self._health["daemon"] or {}
        yield GaugeMetricFamily("auscult_up", "1 if the daemon answers.", 1.0 if daemon else 0.0)
        build = GaugeMetricFamily(
            "auscult_build_info", "Version of the daemon.", labels=["version"]
        )
        if daemon:
            build.add_metric([str(daemon["version"])], 1.0)
        yield build
        values = _daemon_values(daemon)
        for figure in OF_THE_DAEMON:
            family = figure.family()
            if (value := _value(values, figure.path)) is not None:
                family.add_metric([], value)
            yield family
        machines = [(str(one["id"]), _machine_values(one)) for one in self._machines]
        for figure in OF_MACHINES:
            yield _by_machine(figure, machines)
        disk = self._health["disk"]
        free = GaugeMetricFamily("auscult_disk_free_bytes", "Free space for the state folder.")
        if disk["free_bytes"] is not None:
            free.add_metric([], disk["free_bytes"])
        yield free
        yield GaugeMetricFamily(
            "auscult_web_viewers",
            "Browsers that receive live data.",
            self._health["web"]["viewers"],
        )


def _by_machine(figure: Figure, machines: Iterable[tuple[str, Values]]) -> Metric:
    family = figure.family(["machine"])
    for machine, values in machines:
        if (value := _value(values, figure.path)) is not None:
            family.add_metric([machine], value)
    return family


async def metrics(request: Request) -> Response:
    """``metrics``."""
    context = context_of(request)
    status = await context.daemon.status()
    registry = CollectorRegistry()
    registry.register(
        DaemonCollector(await health_document(context), status["machines"] if status else ())
    )
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _machine_values(machine: Values) -> dict[str, Any]:
    state: Values = machine.get("state") or {}
    name = str(state.get("state", "warming"))
    operation = (machine.get("operation") or {}).get("operation")
    summary = machine_summary(machine)
    return {
        **machine,
        "summary": summary,
        "state_number": STATES.index(name) if name in STATES else -1,
        "is_running": None if operation is None else operation == "running",
        "is_alert_open": state.get("alert_id") is not None,
        "is_muted": state.get("muted_until") is not None,
        "is_provisional": summary["provisional"],
        "n_warnings": len(state.get("warnings", ())),
    }


def _daemon_values(daemon: Values) -> dict[str, Any]:
    if "outbox" not in daemon:
        return {}
    started = datetime.fromisoformat(daemon["started_at"])
    return {
        **daemon,
        "is_on_disk": daemon["outbox"]["state"] == "ok",
        "n_dropped": sum(daemon["outbox"]["dropped"].values()),
        "started_unix_s": started.timestamp(),
    }


def _value(values: Values, path: Sequence[str]) -> float | None:
    """The number at a path; None where there is none."""
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
