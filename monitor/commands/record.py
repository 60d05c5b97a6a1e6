"""``auscult record`` and ``auscult devices``: sources without a bundle."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import numpy as np

from monitor.audio.flac_recorder import FlacRecorder
from monitor.audio.signal_check import SignalCheck, SignalLimits
from monitor.audio.unmixed_cell import CANCELLED
from monitor.commands.output import columns, emit, message, progress
from monitor.config.settings import load_config
from monitor.domain import AudioBlock, SourceState, SourceStatus
from monitor.errors import ServiceUnavailableError, UsageError
from monitor.sources.microphone.devices import devices as microphones
from monitor.sources.registry import open_source
from monitor.sources.settings import LogMelSettings, SourceSettings

SOUND_TIMEOUT_S = 20.0
"""How long a source may give no sound before the command fails (the daemon waits without end)."""
PROGRESS_INTERVAL_S = 30.0
"""How often progress is printed where there is no terminal."""
_SILENT_RMS = 10.0 ** (SignalLimits().quiet_dbfs / 20.0)


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def record(config: Path, machine: str, out: Path, seconds: float, *, as_json: bool) -> int:
    """Record ``seconds`` of sound into FLAC files in ``out``; returns the exit status.

    SIGINT, SIGTERM and SIGHUP end the recording early. The file that is being written is
    completed, and the exit status is 128 plus the number of the signal.

    Raises ``ServiceUnavailableError`` when the source gives no sound for
    ``SOUND_TIMEOUT_S``, when it ends early and when the disk is full; complete files are
    kept. Raises it too when everything recorded is silence; no file is kept then.
    """
    logging.basicConfig(level=logging.ERROR)
    settings = load_config(config).machine(machine)
    recorder = FlacRecorder(out, machine, seconds)
    check, complaints = SignalCheck(), set[str]()
    state = check.state
    silent, progress_due_s = True, time.monotonic() + PROGRESS_INTERVAL_S
    stop, received = threading.Event(), list[signal.Signals]()
    with _stopped_by_signals(stop, received), recorder:
        for block in sound(settings.source, timeout_s=SOUND_TIMEOUT_S, stop=stop):
            state = check.push(block)
            if state.status is not SourceStatus.OK and state.reason not in complaints:
                complaints.add(state.reason)
                progress("")
                message(f"auscult: {machine}: {state.detail}")
            silent = silent and float(np.std(block.samples)) < _SILENT_RMS
            recorder.push(block)
            progress(f"{recorder.seconds:.1f} of {seconds:g} s")
            if not sys.stderr.isatty() and time.monotonic() >= progress_due_s:
                progress_due_s += PROGRESS_INTERVAL_S
                message(f"auscult: {machine}: {recorder.seconds:.0f} of {seconds:g} s recorded")
            if recorder.complete:
                break
    progress("")
    if not recorder.seconds and not received:
        recorder.discard()
        raise ServiceUnavailableError(
            f"{machine}: the source gave no sound, nothing is kept: check [machine.source]"
        )
    if silent and not (received and not recorder.seconds):
        recorder.discard()
        if state.detail == CANCELLED:
            raise ServiceUnavailableError(f'{machine}: nothing is kept: channel = "mix" is silent')
        raise ServiceUnavailableError(
            f"{machine}: only silence was recorded, nothing is kept: check that the microphone "
            "is connected and not muted, and that [machine.source] names the right device "
            "(auscult devices lists them)"
        )
    emit(
        {
            "machine": machine,
            "seconds": round(recorder.seconds, 3),
            "files": [str(path) for path in recorder.files],
            "complaints": sorted(complaints),
        },
        map(str, recorder.files),
        as_json=as_json,
    )
    if recorder.complete:
        return 0
    if received:
        message(
            f"auscult: {machine}: stopped by {received[0].name} after {recorder.seconds:.1f} of "
            f"{seconds:g} s; what was recorded is complete"
        )
        return 128 + received[0]
    raise ServiceUnavailableError(
        f"{machine}: only {recorder.seconds:.3g} of {seconds:g} s recorded: the source ended"
    )


@contextmanager
def _stopped_by_signals(stop: threading.Event, received: list[signal.Signals]) -> Iterator[None]:
    """Sets ``stop`` at the first signal; a second one interrupts at once."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))
        stop.set()

    # Under nohup a hangup stays ignored.
    wanted = [one for one in _STOPPING if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sound(
    settings: SourceSettings, *, timeout_s: float, stop: threading.Event
) -> Iterator[AudioBlock]:
    """The audio of a source until ``stop`` is set.

    Raises ``ServiceUnavailableError`` when none comes for ``timeout_s``, and ``UsageError``
    for a source of precomputed log-mel.
    """
    if isinstance(settings, LogMelSettings):
        raise UsageError("a logmel source has no sound to record")
    detail = f"no sound for {timeout_s:g} s"
    timer = _Deadline(stop, timeout_s)
    try:
        for item in open_source(settings).blocks(stop):
            if isinstance(item, AudioBlock):
                timer.push_back()
                yield item
            elif isinstance(item, SourceState) and item.status is SourceStatus.UNAVAILABLE:
                detail = item.detail or item.reason
        if timer.passed:
            raise ServiceUnavailableError(f"source {settings.kind}: {detail}")
    finally:
        stop.set()
        timer.cancel()


class _Deadline:
    """Sets an event when ``push_back`` has not been called for ``timeout_s``."""

    def __init__(self, stop: threading.Event, timeout_s: float) -> None:
        self._stop = stop
        self._timeout_s = timeout_s
        self._due_s = time.monotonic() + timeout_s
        self._cancelled = threading.Event()
        self.passed = False
        threading.Thread(target=self._watch, daemon=True).start()

    def push_back(self) -> None:
        self._due_s = time.monotonic() + self._timeout_s

    def cancel(self) -> None:
        self._cancelled.set()

    def _watch(self) -> None:
        while not self._cancelled.wait(min(0.25, self._timeout_s)):
            if time.monotonic() >= self._due_s:
                self.passed = True
                self._stop.set()
                return


def devices(*, as_json: bool) -> None:
    """Print the microphones that PortAudio finds."""
    found = microphones()
    rows = [
        (
            str(device.index),
            device.name,
            device.host_api,
            f"{device.channels} ch",
            f"{device.sample_rate_hz:.0f} Hz",
            "default" if device.is_default else "",
        )
        for device in found
    ]
    emit([asdict(device) for device in found], columns(rows), as_json=as_json)
    if not found:
        message("auscult: no microphone found: connect one, or add this user to the group audio")
