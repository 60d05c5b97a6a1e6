"""Diagnoses the sound of alerts, after it was kept: beside the daemon, one alert at a time."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from monitor.config.settings import Settings
from monitor.diagnosis.healthy_files import FEW, recordings_of, some_of
from monitor.diagnosis.settings import ShaftSettings
from monitor.evidence.clip import Request
from monitor.evidence.folder import EvidenceFolder, Piece
from monitor.service.delivery import Delivery
from monitor.service.diagnosis_process import DiagnosisProcess, FailedDiagnosisError
from monitor.service.evidence import Evidence
from monitor.service.muting import Muting
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_PUBLISHED = 3
"""So many findings are in a message, the most certain ones, with so many causes each."""
_MOST_RECORDINGS = 8
_KEYS = ("kind", "rate_hz", "rate_uncertainty_hz", "order", "level_db", "band_hz", "text")
_FIT_KEYS = ("cause", "expected_hz", "deviation")


class Diagnosing:
    """A thread that waits for a child process: neither can delay an alert.

    ``folder``: has the pieces. ``shaft_of``: what is known of the shaft of a machine.
    ``on_result``: called in the thread, or by ``submit``, with the result, see
    :mod:`monitor.diagnosis.child`; without findings, its ``notes`` say why. ``process``: computes
    it.
    """

    MOST_WAITING: ClassVar[int] = 20
    _STOP_S: ClassVar[float] = 1.0

    def __init__(
        self,
        folder: EvidenceFolder,
        shaft_of: Callable[[str], ShaftSettings],
        on_result: Callable[[Request, dict[str, Any]], None],
        process: DiagnosisProcess,
    ) -> None:
        self._folder = folder
        self._shaft_of = shaft_of
        self._on_result = on_result
        self._waiting: queue.Queue[Request | None] = queue.Queue(self.MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="diagnosis", daemon=True)
        self._is_stopping = threading.Event()
        self._process = process

    def start(self) -> None:
        """Begin with what was submitted so far. Call it once."""
        self._thread.start()

    def stop(self) -> None:
        """End soon. What waits is not diagnosed."""
        self._is_stopping.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._process.stop()
        if self._thread.ident is not None:
            self._thread.join(self._STOP_S)

    def submit(self, request: Request) -> None:
        """Diagnose a piece that was kept. From any thread; does not wait."""
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            log.warning(
                "an alert is not diagnosed: %d others wait",
                self.MOST_WAITING,
                extra={"machine": request.machine, "alert_id": request.alert_id},
            )
            self._on_result(request, _nothing(f"{self.MOST_WAITING} others wait"))

    def _run(self) -> None:
        while (request := self._waiting.get()) is not None and not self._is_stopping.is_set():
            try:
                self._diagnose(request)
            except Exception:  # a bug here must not end the diagnoses of later alerts
                log.exception("internal error during a diagnosis")

    def _diagnose(self, request: Request) -> None:
        piece = self._folder.piece(request.evidence_id)
        if piece is None or piece.sound_path is None:
            return
        about = {"machine": request.machine, "alert_id": request.alert_id}
        try:
            result = self._process.result(self._question(request, piece))
        except FailedDiagnosisError as error:
            if self._is_stopping.is_set():
                return
            log.warning("an alert is not diagnosed: %s", one_line(str(error)), extra=about)
            result = _nothing(str(error))
        else:
            texts = [str(one.get("text")) for one in result["findings"]]
            log.info("alert diagnosed", extra={**about, "findings": texts})
        self._on_result(request, result)

    def _question(self, request: Request, piece: Piece) -> dict[str, Any]:
        """The request of the child: the sound from where the fault began."""
        at_s = piece.metadata.get("at_s")
        lasted_s = request.at_s - request.began_s
        is_known = isinstance(at_s, int | float) and lasted_s > 0.0
        return {
            "sound": str(piece.sound_path),
            "start_s": max(0.0, float(at_s or 0.0) - lasted_s) if is_known else 0.0,
            "gaps": piece.metadata.get("gaps") or [],
            "healthy": [str(path.absolute()) for path in self._healthy(request, piece)],
            "shaft": self._shaft_of(request.machine).model_dump(mode="json"),
        }

    def _healthy(self, request: Request, piece: Piece) -> list[Path]:
        """Healthy sound of the machine, in the same operating state if there is enough."""
        kept = [one for one in self._folder.staying_healthy(request.machine) if one.sound_path]
        state = piece.metadata.get("operation")
        same = [one for one in kept if one.metadata.get("operation") == state]
        paths = [one.sound_path for one in (same if len(same) >= FEW else kept) if one.sound_path]
        bundle = request.judge.bundle
        recordings = recordings_of(bundle) if bundle is not None else []
        return [*paths, *some_of(recordings, _MOST_RECORDINGS)]


def _nothing(reason: str) -> dict[str, Any]:
    """The result of a diagnosis that was not made."""
    return {"findings": [], "notes": [f"no diagnosis: {reason}"], "spectra": []}


def published(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a message has of the findings: the most certain ones, without what only a page shows."""
    return [
        {
            **{key: one.get(key) for key in _KEYS},
            "fits": [
                {key: fit.get(key) for key in _FIT_KEYS}
                for fit in (one.get("fits") or ())[:_PUBLISHED]
            ],
        }
        for one in findings[:_PUBLISHED]
    ]


def open_diagnosing(
    in_force: Sequence[Settings], delivery: Delivery, evidence: Evidence, muting: Muting
) -> Diagnosing:
    """Diagnose the sound that is kept of alerts; what is found is added to it, and sent.

    ``in_force``: has the settings now. While a machine is muted, it is not sent: the next message
    about the alert has it.
    """

    def shaft_of(machine: str) -> ShaftSettings:
        known = (one.shaft for one in in_force[0].machines if one.id == machine)
        return next(known, ShaftSettings())

    def on_result(request: Request, result: dict[str, Any]) -> None:
        evidence.describe(request, {"diagnosis": result})
        found = published(result["findings"])
        if found:
            is_muted = muting.is_muted(request.machine)
            delivery.diagnosed(request.machine, request.alert_id, found, is_muted=is_muted)

    diagnosing = Diagnosing(evidence.folder, shaft_of, on_result, DiagnosisProcess())
    evidence.kept = diagnosing.submit
    diagnosing.start()
    return diagnosing
