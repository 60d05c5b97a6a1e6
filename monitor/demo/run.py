"""The demo: the whole path with a simulated machine and an embedded broker.

It records healthy sound of a simulated machine, trains a bundle and starts an embedded
broker. The real daemon, a separate process, monitors the machine in real time while a
bearing fault begins and ends. The output shows what an MQTT subscriber receives.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from monitor.demo.broker import EmbeddedBroker
from monitor.demo.daemon import BASE_TOPIC, MACHINE, configuration, running_daemon
from monitor.demo.folder import demo_folder
from monitor.demo.subscriber import DemoSubscriber
from monitor.domain import AudioBlock
from monitor.errors import ServiceUnavailableError
from monitor.model.manifest import Calibration
from monitor.sources.registry import open_source
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.text.escaping import one_line
from monitor.text.wording import bands_text, counted, rounded

RECORDINGS_FOLDER = "recordings"
RECORDINGS = 24
RECORDING_S = 30.0
FAULT = SimulatedFault(kind="bearing", onset_s=9.0, end_s=21.0, severity=1.0)
LATEST_CLEARED_S = 45.0
AFTERWARDS_S = 2.0
"""During this time after the alert is cleared, no other one may be raised."""


@dataclass(slots=True)
class DemoResult:
    """The result; times are seconds since the daemon was ready."""

    raised_s: float | None = None
    cleared_s: float | None = None
    other_alerts: int = 0
    threshold: float = 0.0
    alerts: list[dict[str, Any]] = field(default_factory=list)
    scores: list[tuple[float, float]] = field(default_factory=list)

    def take(self, alert: dict[str, Any], at_s: float, report: Callable[[str], None]) -> None:
        """Record an alert that was received ``at_s`` after the start."""
        self.alerts.append(alert)
        kind = alert["kind"]
        if kind == "raised" and self.raised_s is None:
            self.raised_s = at_s
        elif kind == "cleared" and self.raised_s is not None and self.cleared_s is None:
            self.cleared_s = at_s
        elif kind != "updated":
            self.other_alerts += 1
        bands = bands_text(alert.get("bands_hz", ()))
        report(
            f"{at_s:4.1f} s  received: {kind}, at {alert['at']}, score {alert['score']:.1f}, "
            f"threshold {alert['threshold']:.1f}"
            + (f", largest difference at {bands}" if bands else "")
        )
        if kind == "updated" and (findings := alert.get("findings")):
            report(f"        found: {one_line(findings[0]['text'])}")

    @property
    def good(self) -> bool:
        """Whether the fault was raised while present and cleared after it, without other alerts."""
        return (
            self.raised_s is not None
            and self.cleared_s is not None
            and FAULT.onset_s < self.raised_s <= (FAULT.end_s or 0.0)
            and self.cleared_s > (FAULT.end_s or 0.0)
            and self.other_alerts == 0
        )


def demo(out: Path, seed: int, report: Callable[[str], None]) -> DemoResult:
    """Run the demo. ``report`` prints a line; files and the picture go to ``out``.

    Raises as ``demo_folder`` for ``out``, and ``ServiceUnavailableError`` when a part of the demo
    does not start.
    """
    with demo_folder(out):
        return _demo(out, seed, report)


def _demo(out: Path, seed: int, report: Callable[[str], None]) -> DemoResult:
    calibration = prepare(out, seed, report)
    live = SimulatedSettings(unit=seed, seed=2 * seed + 1, faults=(FAULT,))
    with EmbeddedBroker() as broker, DemoSubscriber(broker.port, BASE_TOPIC) as subscriber:
        config = out / "config.toml"
        text = configuration(broker.port, out / "bundle", {MACHINE: live})
        config.write_text(text, encoding="utf-8")
        with running_daemon(config, out / "daemon.log") as started_unix_s:
            result = follow(subscriber, started_unix_s, report)
    result.threshold = calibration.threshold
    draw(result, out / "demo.png")
    return result


def prepare(out: Path, seed: int, report: Callable[[str], None]) -> Calibration:
    """Record the healthy machine and train its bundle, in ``out``."""
    begun_s = time.monotonic()
    healthy = SimulatedSettings(unit=seed, seed=2 * seed)
    report(f"recording {RECORDINGS * RECORDING_S / 60:g} minutes of a healthy pump (unit {seed})")
    recordings = record_healthy(healthy, out / RECORDINGS_FOLDER)
    report("training a bundle with these recordings")
    calibration = learn(recordings, out / "bundle", seed)
    report(
        f"trained after {time.monotonic() - begun_s:.0f} s: threshold "
        f"{rounded(calibration.threshold)} for "
        f"{counted(calibration.false_alarms_per_week, 'false alarm')} a week"
    )
    return calibration


def record_healthy(settings: SimulatedSettings, folder: Path) -> Path:
    """Healthy sound of the machine as recordings of equal length.

    Raises ``ServiceUnavailableError`` when the disk does not take them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_samples = round(RECORDING_S * settings.sample_rate_hz)
    offline = settings.model_copy(
        update={"realtime": False, "duration_s": RECORDINGS * RECORDING_S}
    )
    blocks = open_source(offline).blocks(threading.Event())
    sound = np.concatenate([block.samples for block in blocks if isinstance(block, AudioBlock)])
    for number in range(RECORDINGS):
        piece = sound[number * n_samples : (number + 1) * n_samples]
        path = folder / f"healthy-{number:02d}.flac"
        try:
            soundfile.write(path, piece, settings.sample_rate_hz, subtype="PCM_24")
        except soundfile.LibsndfileError as error:
            raise ServiceUnavailableError(
                f"{path}: cannot be written, is the disk full? ({error.error_string})"
            ) from None
    return folder


def learn(recordings: Path, bundle: Path, seed: int) -> Calibration:
    """Train and calibrate as ``auscult train audio`` does, also with ``AUSCULT_`` variables."""
    # Two threads are enough for a small network. More threads than free cores make it ten times
    # slower, because they wait actively. torch reads these variables when it is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from training.sound.settings import load_audio_settings  # noqa: PLC0415  # needs an extra
    from training.sound.train import AudioRequest, train_audio  # noqa: PLC0415  # loads torch

    settings = load_audio_settings(None)
    request = AudioRequest(recordings=(recordings,), out=bundle, seed=seed, settings=settings)
    return train_audio(request).bundle.calibration


def follow(
    subscriber: DemoSubscriber, started_unix_s: float, report: Callable[[str], None]
) -> DemoResult:
    """Receive until shortly after the alert is cleared."""
    result = DemoResult()
    faults = [(FAULT.onset_s, "a bearing fault begins"), (FAULT.end_s, "the fault ends")]
    report(" 0.0 s  the daemon monitors the healthy pump")
    end_s = LATEST_CLEARED_S
    while (now_s := time.time() - started_unix_s) < end_s:
        while faults and now_s >= (faults[0][0] or 0.0):
            at_s, what = faults.pop(0)
            report(f"{at_s:4.1f} s  {what}")
        try:
            message = subscriber.messages.get(timeout=0.1)
        except queue.Empty:
            continue
        if message.topic.endswith("/score"):
            at_s = unix_s(message.document["at"]) - started_unix_s
            result.scores.append((round(at_s, 3), message.document["score"]))
        elif message.topic.endswith("/alert"):
            result.take(message.document, message.at_unix_s - started_unix_s, report)
            if result.cleared_s is not None:
                end_s = min(end_s, result.cleared_s + AFTERWARDS_S)
    return result


def unix_s(rfc3339: str) -> float:
    """The time of a text in RFC 3339."""
    return datetime.fromisoformat(rfc3339).timestamp()


def draw(result: DemoResult, path: Path) -> None:
    """Draw the scores and the threshold, and mark the fault and the alerts."""
    from training.sound.figures import draw_demo  # noqa: PLC0415  # loads matplotlib

    draw_demo(
        path,
        scores=result.scores,
        threshold=result.threshold,
        fault_s=(FAULT.onset_s, FAULT.end_s or 0.0),
        raised_s=result.raised_s,
        cleared_s=result.cleared_s,
    )
