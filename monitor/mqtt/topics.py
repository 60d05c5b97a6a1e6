"""The names of the MQTT topics, in one place."""

from __future__ import annotations

from dataclasses import dataclass

ONLINE = "online"
OFFLINE = "offline"
STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below ``base`` (``mqtt.base_topic``)."""

    base: str

    @property
    def status(self) -> str:
        """``online``, ``offline`` (the last will) or ``stopped``; retained."""
        return f"{self.base}/status"

    @property
    def info(self) -> str:
        """Version, machines and bundles; retained."""
        return f"{self.base}/info"

    @property
    def health(self) -> str:
        """The outbox, dropped alerts, and the broker's answers; retained."""
        return f"{self.base}/health"

    @property
    def selftest(self) -> str:
        """Where ``auscult selftest`` publishes; subscribers ignore it."""
        return f"{self.base}/selftest"

    def machine_selftest(self, machine: str) -> str:
        """The same for one machine, where the broker refuses ``selftest``."""
        return f"{self.base}/{machine}/selftest"

    def state(self, machine: str) -> str:
        """The state of one machine; retained."""
        return f"{self.base}/{machine}/state"

    def operation(self, machine: str) -> str:
        """Whether one machine runs, for how long, and how often it started; retained."""
        return f"{self.base}/{machine}/operation"

    def score(self, machine: str) -> str:
        """The newest score of one machine; not retained, not queued."""
        return f"{self.base}/{machine}/score"

    def picture(self, machine: str) -> str:
        """The picture of the newest alert of one machine; not retained."""
        return f"{self.base}/{machine}/picture"

    def alert(self, machine: str) -> str:
        """The alerts of one machine, in order, each at least once."""
        return f"{self.base}/{machine}/alert"
