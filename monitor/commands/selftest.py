"""``auscult selftest``: everything tried once, a line each."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.audio.level import LevelMeter
from monitor.audio.signal_check import SignalCheck
from monitor.calibration.machine_match import match_sound
from monitor.commands.output import columns, emit
from monitor.config.settings import MachineSettings, load_config
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus
from monitor.errors import AuscultError, BadInputError, BundleError, ServiceUnavailableError
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from monitor.mqtt.one_shot import probe
from monitor.mqtt.settings import MqttSettings
from monitor.pipeline import Pipeline
from monitor.sources.registry import open_source

HEARD_S = 12.0
"""So much sound is listened to: one block of a recording's score, and what comes before it."""
PATIENCE_S = 30.0
"""So long it may take to come."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    what: str
    ok: bool
    detail: str
    exit_status: int = 0


def selftest(config: Path, *, as_json: bool) -> int:
    """Try bundles, broker and sources; the exit status of the first that failed, or 0.

    Raises ``ConfigError`` or ``MissingInputError`` for the configuration itself.
    """
    logging.basicConfig(level=logging.CRITICAL)
    settings = load_config(config)
    findings = [Finding("config", ok=True, detail=str(config))]
    findings += map(_try_bundle, settings.machines)
    findings += _try_broker(settings.mqtt)
    with ThreadPoolExecutor(max_workers=len(settings.machines)) as pool:
        for found in pool.map(_try_source, settings.machines):
            findings += found
    rows = [("ok" if one.ok else "FAILED", one.what, one.detail) for one in findings]
    emit([asdict(one) for one in findings], columns(rows), as_json=as_json)
    return next((one.exit_status for one in findings if not one.ok), 0)


def _try_bundle(machine: MachineSettings) -> Finding:
    what = f"bundle of {machine.id}"
    try:
        bundle = load_bundle(machine.bundle)
        threshold = bundle.calibration.threshold
        run_selftest(bundle, Network(bundle))
    except BundleError as error:
        return Finding(what, False, str(error), error.exit_status)
    return Finding(what, True, f"gives the scores it was made with, threshold {threshold:.4g}")


def _try_broker(settings: MqttSettings) -> list[Finding]:
    unavailable = ServiceUnavailableError.exit_status
    return [
        Finding(what, line.ok, line.text, 0 if line.ok else unavailable)
        for what, line in zip(("broker", "alert"), probe(settings), strict=False)
    ]


def _try_source(machine: MachineSettings) -> list[Finding]:
    """Whether the machine is heard, and whether it sounds like the bundle's."""
    what = f"source of {machine.id}"
    stop = threading.Event()
    patience = threading.Timer(PATIENCE_S, stop.set)
    patience.daemon = True
    patience.start()
    listener = _Listener(machine)
    try:
        ok, detail = listener.hear(stop)
    except AuscultError as error:
        return [Finding(what, False, str(error), error.exit_status)]
    finally:
        patience.cancel()
        stop.set()
    findings = [Finding(what, ok, detail, 0 if ok else ServiceUnavailableError.exit_status)]
    if ok:
        findings += listener.fit()
    return findings


class _Listener:
    """Listens to one machine for some seconds, and scores them where its bundle can be read."""

    def __init__(self, machine: MachineSettings) -> None:
        self._machine = machine
        self._check, self._meter = SignalCheck(), LevelMeter()
        self._heard_s = 0.0
        self._pipeline: Pipeline | None = None
        try:
            bundle = load_bundle(machine.bundle)
            self._whole = bundle.recording_score()
            self._pipeline = Pipeline(bundle, DetectorSettings(), whole=self._whole)
        except BundleError:
            pass  # the bundle's own line says what is wrong with it

    def hear(self, stop: threading.Event) -> tuple[bool, str]:
        """Whether the source is heard, and how."""
        state, trouble, how = SourceState(SourceStatus.OK), "", ""
        for item in open_source(self._machine.source).blocks(stop):
            if isinstance(item, SourceState):
                if item.status is SourceStatus.UNAVAILABLE:
                    trouble = item.detail or item.reason
                continue
            if isinstance(item, AudioBlock):
                state = self._check.push(item)
                self._meter.push(item.samples)
                how = f"at {item.sample_rate_hz} Hz"
            else:
                how = f"as {item.frames_db.shape[1]} bands of log-mel"
                if self._pipeline is None:  # only a bundle knows how long a frame is
                    break
            self._score(item)
            if self._heard_s >= HEARD_S:
                break
        if not how:
            return False, trouble or f"nothing heard within {PATIENCE_S:g} s"
        how += self._level()
        if state.status is not SourceStatus.OK:
            return False, f"{state.reason}: {state.detail} ({how})"
        return True, f"heard {self._heard_s:.1f} s {how}" if self._heard_s else f"heard {how}"

    def fit(self) -> list[Finding]:
        """Whether what was heard could be the bundle's machine when it is well."""
        if self._pipeline is None or self._whole.empty:
            return []
        what = f"fit of {self._machine.id}"
        bundle = self._pipeline.bundle
        fit = match_sound(
            bundle.calibration,
            self._whole.value,
            self._heard_s,
            self._whole.reference_match,
            bundle.reference_names,
        )
        if not fit.matches:
            return [Finding(what, False, fit.complaint, BadInputError.exit_status)]
        return [Finding(what, True, f"scores {self._whole.value:.3g}, as healthy recordings do")]

    def _score(self, block: AudioBlock | LogMelBlock) -> None:
        if isinstance(block, AudioBlock):
            self._heard_s = (block.first_sample + len(block.samples)) / block.sample_rate_hz
        elif self._pipeline is not None:
            n_frames = block.first_frame + len(block.frames_db)
            self._heard_s = n_frames / self._pipeline.bundle.spec.frame_rate_hz
        if self._pipeline is not None:
            self._pipeline.push(block)

    def _level(self) -> str:
        level_dbfs = self._meter.read_dbfs()
        return "" if level_dbfs is None else f", {level_dbfs:.1f} dBFS"
