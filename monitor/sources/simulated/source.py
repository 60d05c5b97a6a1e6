"""A simulated machine as a source."""

from __future__ import annotations

import threading
from collections.abc import Generator

from monitor.domain import AudioBlock
from monitor.sources.pacing import Pacer
from monitor.sources.protocol import SourceItem
from monitor.sources.settings import SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine
from monitor.sources.waiting import Steps, blocking


class SimulatedSource:
    """The sound of a simulated machine, for ``duration_s`` or without end."""

    data_timeout_s = 0.0

    def __init__(self, settings: SimulatedSettings) -> None:
        self._settings = settings
        self.sample_rate_hz: int | None = settings.sample_rate_hz

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        return blocking(self.steps(), stop)

    def steps(self) -> Steps[SourceItem]:
        """See ``SteppedSource``."""
        settings = self._settings
        rate_hz = settings.sample_rate_hz
        machine = SimulatedMachine(settings)
        pacer = Pacer(realtime=settings.realtime)
        total = None if settings.duration_s is None else round(settings.duration_s * rate_hz)
        first_sample = 0
        while total is None or first_sample < total:
            samples = machine.cell(first_sample // machine.cell_samples)
            if total is not None:
                samples = samples[: total - first_sample]
            yield from pacer.wait((first_sample + len(samples)) / rate_hz)
            yield AudioBlock(samples, rate_hz, first_sample)
            first_sample += len(samples)
