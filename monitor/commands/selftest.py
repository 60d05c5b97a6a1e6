"""``auscult selftest``: everything tried once, a line each."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.bundle import load_bundle
from monitor.commands.output import columns, emit
from monitor.config import MachineSettings, load_config
from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus
from monitor.errors import AuscultError, BundleError, ServiceUnavailableError
from monitor.level import LevelMeter
from monitor.mqtt_dial import probe
from monitor.mqtt_settings import MqttSettings
from monitor.network import Network
from monitor.scorer import run_selftest
from monitor.signal_check import SignalCheck
from monitor.sources import open_source

HEARD_S = 2.0
"""So much sound is listened to."""
PATIENCE_S = 15.0
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
        findings += pool.map(_try_source, settings.machines)
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


def _try_source(machine: MachineSettings) -> Finding:
    what = f"source of {machine.id}"
    stop = threading.Event()
    patience = threading.Timer(PATIENCE_S, stop.set)
    patience.daemon = True
    patience.start()
    try:
        ok, detail = _hear(machine, stop)
    except AuscultError as error:
        return Finding(what, False, str(error), error.exit_status)
    finally:
        patience.cancel()
        stop.set()
    return Finding(what, ok, detail, 0 if ok else ServiceUnavailableError.exit_status)


def _hear(machine: MachineSettings, stop: threading.Event) -> tuple[bool, str]:
    """Whether the source is heard, and how."""
    check, meter, heard_s = SignalCheck(), LevelMeter(), 0.0
    state, trouble, rate_hz = SourceState(SourceStatus.OK), "", 0
    for item in open_source(machine.source).blocks(stop):
        if isinstance(item, LogMelBlock):
            return True, f"{item.frames_db.shape[1]} bands of log-mel"
        if isinstance(item, AudioBlock):
            state = check.push(item)
            meter.push(item.samples)
            rate_hz = item.sample_rate_hz
            heard_s += len(item.samples) / rate_hz
            if heard_s >= HEARD_S:
                break
        elif item.status is SourceStatus.UNAVAILABLE:
            trouble = item.detail or item.reason
    if heard_s == 0.0:
        return False, trouble or f"nothing heard within {PATIENCE_S:g} s"
    level_dbfs = meter.read_dbfs()
    level = "not sound" if level_dbfs is None else f"{level_dbfs:.1f} dBFS"
    if state.status is not SourceStatus.OK:
        return False, f"{state.reason}: {state.detail} ({rate_hz} Hz, {level})"
    return True, f"heard {heard_s:.1f} s at {rate_hz} Hz, {level}"
