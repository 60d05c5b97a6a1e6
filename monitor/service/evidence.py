"""The evidence of all machines of the daemon, and the outlet that names it in alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from monitor.alerts import Alert, AlertDraft
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.config.settings import Settings
from monitor.control.operator_log import OperatorLog
from monitor.evidence.clip import Request
from monitor.evidence.folder import EvidenceFolder
from monitor.evidence.keeper import EvidenceKeeper, EvidenceStatus
from monitor.evidence.names import split_id
from monitor.evidence.piece_work import EvidenceEvent
from monitor.evidence.recorder import Recorder
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.store import EvidenceStore
from monitor.history.reader import HistoryReader
from monitor.process.memory import give_back_memory
from monitor.service.delivery import Delivery
from monitor.service.history_feed import HistoryFeed
from monitor.service.machine_plan import MachinePlan
from monitor.service.named_evidence import named_evidence
from monitor.service.supervisor import SupervisedOutlet

log = logging.getLogger(__name__)

FOLDER = "evidence"


class Evidence:
    """An outlet that keeps the sound around alerts, and names it in them.

    Every method may be called from any thread, ``start``, ``apply`` and ``stop`` only from one.
    ``is_labelled``: whether an operator has labelled an alert; its evidence is deleted last.
    """

    def __init__(
        self,
        outlet: SupervisedOutlet,
        state_dir: Path,
        settings: EvidenceSettings,
        *,
        web_url: str = "",
        is_labelled: Callable[[str], bool] = lambda _alert_id: False,
        on_event: Callable[[EvidenceEvent], None] = lambda _event: None,
        on_picture: Callable[[Request, bytes], None] = lambda _request, _png: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.is_muted: Callable[[str], bool] = lambda _machine: False
        """Nothing is kept of muted machines. Set it before ``start``."""
        self.false_alarm_kept: Callable[[str], None] = lambda _machine: None
        """Called, by the thread that writes, when sound of an alert of a machine was kept that an
        operator had already labelled as a false alarm. Set it before ``start``."""
        self.kept: Callable[[Request], None] = lambda _request: None
        """Called, by the thread that writes, when a piece of the beginning of an alert was kept, or
        of a worse part, that is to be diagnosed; also one of an earlier process that was ended
        before. Set it before ``start``."""
        self._outlet = outlet
        self._settings = settings
        self._web_url = web_url
        self.folder = EvidenceFolder(state_dir / FOLDER)
        """To read what was kept."""
        store = EvidenceStore(self.folder.path, settings, is_labelled, clock)
        self._keeper = EvidenceKeeper(store, on_event, on_picture, give_back_memory)
        self._recorders: dict[str, Recorder] = {}
        self._kept_times: dict[str, list[float]] = {}
        self._stopped: dict[str, str] = {}
        """The alerts that ended because their machine stopped, by machine."""

    def start(
        self,
        plans: Iterable[MachinePlan],
        waiting: Iterable[Alert] = (),
        history: HistoryReader | None = None,
    ) -> None:
        """Begin to write.

        ``waiting``: alerts of earlier processes that are not yet delivered, or that the history
        does not have. ``history``: has the others, if it exists.
        """
        judges = {plan.settings.id: judge for plan in plans if (judge := plan.judge) is not None}
        opened = [self._outlet.open_alert(machine) for machine in judges]
        known = [*waiting, *(alert for alert in opened if alert is not None)]
        expected = partial(named_evidence, known, history, judges)
        self._keeper.start(judges, expected, self._restore)

    def stop(self) -> None:
        """Write what was collected. Call it after the machines have stopped."""
        self._keeper.stop()

    def apply(self, settings: EvidenceSettings, web_url: str) -> None:
        """Use other settings from now on."""
        self._web_url = web_url
        if settings != self._settings:
            self._settings = settings
            self._keeper.use(settings)
            for recorder in self._recorders.values():
                recorder.configure(settings)

    def recorder(self, machine: str) -> Recorder:
        """The recorder of a machine, the same for each call."""
        known = self._recorders.get(machine)
        if known is None:
            known = Recorder(
                machine,
                self._settings,
                self._keeper,
                is_muted=lambda: self.is_muted(machine),
            )
            known.kept_before(self._kept_times.get(machine, []))
            standing = self._outlet.open_alert(machine)
            if standing is not None and standing.reason != "off":
                known.resume(standing, self._pieces_of(standing))
            self._recorders[machine] = known
        return known

    def turn(self) -> None:
        """Complete the pieces for which no sound arrives. Call it about every second."""
        for recorder in list(self._recorders.values()):
            recorder.expire()

    def status(self) -> EvidenceStatus:
        """What is kept now."""
        return self._keeper.status()

    def describe(self, request: Request, more: Mapping[str, Any]) -> None:
        """Add to the metadata of a piece that was kept."""
        self._keeper.describe(request, more)

    def diagnose(self, request: Request) -> None:
        """Have a piece diagnosed, if the sound of alerts is to be diagnosed."""
        if self._settings.diagnose:
            self.kept(request)

    def flush(self) -> None:
        """Wait until everything so far is written."""
        self._keeper.flush()

    # monitor.service.supervisor.SupervisedOutlet

    def open_alert(self, machine: str) -> Alert | None:
        """The alert that is raised now."""
        return self._outlet.open_alert(machine)

    def alert(self, draft: AlertDraft) -> Alert | None:
        """Publish an alert with the name of its evidence, and begin to keep it."""
        recorder = self._recorders.get(draft.machine)
        if recorder is None:
            return self._outlet.alert(draft)
        with recorder.lock:
            standing = self._outlet.open_alert(draft.machine)
            stopped = draft.continues and draft.machine in self._stopped
            named, wanted = recorder.before(draft, goes_on=standing is not None or stopped)
            alert = self._outlet.alert(replace(named, web_url=self._web_url))
            if alert is not None:
                recorder.after(alert, wanted)
                self._remember(alert)
            return alert

    def state(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the machine's state."""
        self._outlet.state(machine, payload)

    def operation(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish whether the machine runs."""
        self._outlet.operation(machine, payload)

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the newest score."""
        self._outlet.score(machine, payload)

    def forget(self, machine: str) -> None:
        """The machine is no longer monitored."""
        recorder = self._recorders.pop(machine, None)
        if recorder is not None:
            recorder.ended("the machine is no longer monitored")
        self._outlet.forget(machine)

    def _restore(self, times_s: dict[str, list[float]]) -> None:
        self._kept_times = times_s
        for machine, recorder in list(self._recorders.items()):
            recorder.kept_before(times_s.get(machine, []))

    def _remember(self, alert: Alert) -> None:
        if alert.reason == "stopped":
            self._stopped[alert.machine] = alert.alert_id
        elif alert.reason != "off":
            self._stopped.pop(alert.machine, None)

    def _pieces_of(self, alert: Alert) -> int:
        """How many pieces an alert has, or its messages name."""
        numbers = [
            parts[1]
            for piece in self.folder.pieces(alert.alert_id)
            if (parts := split_id(piece.evidence_id)) is not None
        ]
        named = split_id(alert.evidence.id) if alert.evidence is not None else None
        return 1 + max([*numbers, *([named[1]] if named is not None else [])], default=-1)


def open_evidence(
    settings: Settings,
    outlet: Delivery,
    state_dir: Path,
    history: HistoryFeed,
    operators: OperatorLog,
    *,
    settle: Callable[[str], None] = lambda _evidence_id: None,
) -> Evidence:
    """The evidence of a daemon; what is kept and lost is in the history.

    ``settle``: called with the id of evidence that was kept or lost.
    """

    def is_labelled(alert_id: str) -> bool:
        known = operators.alerts.get(alert_id)
        return known is not None and bool(known.label)

    def note(event: EvidenceEvent) -> None:
        request = event.request
        if event.what in {"kept", "found"} and request.moment != "cleared":
            evidence.diagnose(request)
        if event.what == "found":  # it is in the history already
            return
        history.event(
            "evidence",
            request.machine,
            alert_id=request.alert_id,
            value=event.what,
            note=event.reason,
            payload={
                "evidence_id": request.evidence_id,
                "moment": request.moment,
                "bytes": event.n_bytes,
            },
        )
        settle(request.evidence_id)
        known = operators.alerts.get(request.alert_id)
        if event.what == "kept" and known is not None and known.label == "false-alarm":
            evidence.false_alarm_kept(request.machine)

    evidence = Evidence(
        outlet,
        state_dir,
        settings.evidence,
        web_url=settings.web.url or "",
        is_labelled=is_labelled,
        on_event=note,
        on_picture=lambda request, png: outlet.picture(request.machine, png),
    )
    return evidence
