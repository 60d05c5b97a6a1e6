"""``auscult selftest``: checks configuration, bundles, broker and sources, one line each."""

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
from monitor.config.state_folder import daemon_state_dir
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus, block_times_s
from monitor.errors import AuscultError, BadInputError, BundleError, ServiceUnavailableError
from monitor.learning.journal import in_use
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from monitor.mqtt.probe import probe
from monitor.mqtt.settings import MqttSettings
from monitor.pipeline import Pipeline
from monitor.sources.registry import open_source
from monitor.text.wording import rounded

TEST_S = 12.0
"""Length of the test: one block of a recording's score, and the sound before it."""
TIMEOUT_S = 30.0
"""How long the sound of the test may take to arrive."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    what: str
    ok: bool
    detail: str
    exit_status: int = 0


def selftest(config: Path, *, as_json: bool) -> int:
    """Check bundles, broker and sources; the exit status of the first failure, or 0.

    Raises ``ConfigError`` or ``MissingInputError`` for the configuration itself.
    """
    logging.basicConfig(level=logging.CRITICAL)
    settings = load_config(config)
    findings = [Finding("config", ok=True, detail=str(config))]
    state = daemon_state_dir(settings, config)
    bundles = {machine.id: _bundle_of(machine, state) for machine in settings.machines}
    findings += [_try_bundle(name, path) for name, path in bundles.items()]
    findings += _try_broker(settings.mqtt, [machine.id for machine in settings.machines])
    stops = [threading.Event() for _ in settings.machines]
    with ThreadPoolExecutor(max_workers=len(stops)) as pool:
        try:
            for found in pool.map(_try_source, settings.machines, bundles.values(), stops):
                findings += found
        except BaseException:  # a signal: the pool waits for its threads
            for stop in stops:
                stop.set()
            raise
    rows = [("ok" if one.ok else "FAILED", one.what, one.detail) for one in findings]
    emit([asdict(one) for one in findings], columns(rows), as_json=as_json)
    return next((one.exit_status for one in findings if not one.ok), 0)


def _bundle_of(machine: MachineSettings, state: Path) -> Path | None:
    """The bundle in use; None while the first one is learned."""
    if machine.learning is None:
        return machine.bundle
    return next(iter(in_use(state, machine.id, machine.bundle).bundles), None)


def _try_bundle(machine: str, path: Path | None) -> Finding:
    what = f"bundle of {machine}"
    if path is None:
        return Finding(what, True, "the machine is learned, there is no bundle yet")
    try:
        bundle = load_bundle(path)
        threshold = bundle.calibration.threshold
        run_selftest(bundle, Network(bundle))
    except BundleError as error:
        return Finding(what, False, str(error), error.exit_status)
    return Finding(what, True, f"scores are reproduced, threshold {rounded(threshold)}")


def _try_broker(settings: MqttSettings, machines: list[str]) -> list[Finding]:
    unavailable = ServiceUnavailableError.exit_status
    return [
        Finding(line.what, line.ok, line.text, 0 if line.ok else unavailable)
        for line in probe(settings, machines)
    ]


def _try_source(
    machine: MachineSettings, bundle: Path | None, stop: threading.Event
) -> list[Finding]:
    """Whether the source gives sound, and whether the bundle fits it. Ends soon after ``stop``."""
    what = f"source of {machine.id}"
    timeout = threading.Timer(TIMEOUT_S, stop.set)
    timeout.daemon = True
    timeout.start()
    test = _SourceTest(machine, bundle)
    try:
        ok, detail = test.run(stop)
    except AuscultError as error:
        return [Finding(what, False, str(error), error.exit_status)]
    finally:
        timeout.cancel()
        stop.set()
    findings = [Finding(what, ok, detail, 0 if ok else ServiceUnavailableError.exit_status)]
    if ok:
        findings += test.fit()
    return findings


class _SourceTest:
    """Receives some seconds from one machine's source, and scores them if its bundle loads."""

    def __init__(self, machine: MachineSettings, path: Path | None) -> None:
        self._machine = machine
        self._check, self._meter = SignalCheck(), LevelMeter()
        self._received_s = 0.0
        self._pipeline: Pipeline | None = None
        if path is None:
            return
        try:
            bundle = load_bundle(path)
            self._whole = bundle.recording_score()
            self._pipeline = Pipeline(bundle, DetectorSettings(), whole=self._whole)
        except BundleError:
            pass  # the line of the bundle shows the error

    def run(self, stop: threading.Event) -> tuple[bool, str]:
        """Whether the source gives usable sound, and a description."""
        state, trouble, description = SourceState(SourceStatus.OK), "", ""
        for item in open_source(self._machine.source).blocks(stop):
            if isinstance(item, SourceState):
                if item.status is SourceStatus.UNAVAILABLE:
                    trouble = item.detail or item.reason
                continue
            if isinstance(item, AudioBlock):
                state = self._check.push(item)
                self._meter.push(item.samples)
                description = f"at {item.sample_rate_hz} Hz"
            else:
                description = f"as log-mel with {item.frames_db.shape[1]} bands"
                if self._pipeline is None:  # only a bundle has the length of a frame
                    break
            self._score(item)
            if self._received_s >= TEST_S:
                break
        if not description:
            return False, trouble or f"no sound within {TIMEOUT_S:g} s"
        description += self._level()
        if state.status is SourceStatus.OK and self._pipeline is not None:
            state = self._pipeline.capture_fault or state
        if state.status is not SourceStatus.OK:
            return False, f"{state.detail} ({description})"
        seconds = f"{self._received_s:.1f} s " if self._received_s else ""
        return True, f"received {seconds}{description}"

    def fit(self) -> list[Finding]:
        """Whether the sound could be the healthy machine of the bundle."""
        if self._pipeline is None or self._whole.empty:
            return []
        what = f"fit of {self._machine.id}"
        bundle = self._pipeline.bundle
        fit = match_sound(
            bundle.calibration,
            self._whole.value,
            self._received_s,
            self._whole.reference_match,
            bundle.reference_names,
        )
        if not fit.matches:
            return [Finding(what, False, fit.complaint, BadInputError.exit_status)]
        return [Finding(what, True, f"score {rounded(self._whole.value)}, like healthy recordings")]

    def _score(self, block: AudioBlock | LogMelBlock) -> None:
        if self._pipeline is not None:
            frame_rate_hz = self._pipeline.bundle.spec.frame_rate_hz
            _, self._received_s = block_times_s(block, frame_rate_hz)
            self._pipeline.push(block)
        elif isinstance(block, AudioBlock):
            self._received_s = block.end_s

    def _level(self) -> str:
        level_dbfs = self._meter.read_dbfs()
        return "" if level_dbfs is None else f", {level_dbfs:.1f} dBFS"
