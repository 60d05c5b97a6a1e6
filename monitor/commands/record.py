"""``auscult record`` and ``auscult devices``: the sources by themselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from monitor.audio.flac_recorder import FlacRecorder
from monitor.audio.signal_check import SignalCheck
from monitor.commands.output import columns, emit, message, progress
from monitor.config.settings import load_config
from monitor.domain import AudioBlock, SourceState, SourceStatus
from monitor.errors import ServiceUnavailableError, UsageError
from monitor.sources.microphone.devices import devices as microphones
from monitor.sources.registry import open_source
from monitor.sources.settings import SourceSettings

PATIENCE_S = 20.0
"""A source that delivers nothing for so long is given up by a command (never by the daemon)."""


def record(config: Path, machine: str, out: Path, seconds: float, *, as_json: bool) -> None:
    """Capture ``seconds`` of sound into FLAC files below ``out``.

    Raises ``ServiceUnavailableError`` when the source gives nothing for
    ``PATIENCE_S`` or comes to its end before, and when the disk is full; the files
    that were complete by then are kept.
    """
    logging.basicConfig(level=logging.ERROR)
    settings = load_config(config).machine(machine)
    recorder = FlacRecorder(out, machine, seconds)
    check, complaints = SignalCheck(), set[str]()
    with recorder:
        for block in sound(settings.source, patience_s=PATIENCE_S):
            state = check.push(block)
            if state.status is not SourceStatus.OK and state.reason not in complaints:
                complaints.add(state.reason)
                message(f"auscult: {machine}: {state.reason}: {state.detail}")
            recorder.push(block)
            progress(f"{recorder.seconds:.1f} of {seconds:g} s")
            if recorder.complete:
                break
    progress("")
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
    if not recorder.complete:
        raise ServiceUnavailableError(
            f"source {settings.source.kind}: came to its end after {recorder.seconds:.1f} s, "
            f"{seconds:g} s were asked for"
        )


def sound(settings: SourceSettings, *, patience_s: float) -> Iterator[AudioBlock]:
    """The audio of a source. Raises ``ServiceUnavailableError`` when it stays away.

    Precomputed log-mel is no sound: ``UsageError``.
    """
    if settings.kind == "logmel":
        raise UsageError("a logmel source holds no sound that could be recorded")
    stop = threading.Event()
    detail = f"nothing heard for {patience_s:g} s"
    timer = _Deadline(stop, patience_s)
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
    """Sets an event when ``push_back`` has not been called for a while."""

    def __init__(self, stop: threading.Event, patience_s: float) -> None:
        self._stop = stop
        self._patience_s = patience_s
        self._due_s = time.monotonic() + patience_s
        self._cancelled = threading.Event()
        self.passed = False
        threading.Thread(target=self._watch, daemon=True).start()

    def push_back(self) -> None:
        self._due_s = time.monotonic() + self._patience_s

    def cancel(self) -> None:
        self._cancelled.set()

    def _watch(self) -> None:
        while not self._cancelled.wait(min(0.25, self._patience_s)):
            if time.monotonic() >= self._due_s:
                self.passed = True
                self._stop.set()
                return


def devices(*, as_json: bool) -> None:
    """Print the microphones that PortAudio sees."""
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
        message("auscult: no microphone is plugged in, or this user may not use it (group audio)")
