"""Alerts of a machine with sound and with labels that a test sets."""

from __future__ import annotations

from pathlib import Path

import soundfile

from monitor.learning.relearning.labelled_alerts import Clip, LabelledAlert
from tests.clocks import START_UNIX_S
from tests.test_learning import RATE_HZ, noise

LATER_S = START_UNIX_S + 1000.0
"""After the learning of every machine of the tests."""


def alert_id(number: int) -> str:
    return f"019abf2f-0000-7000-8000-{number:012d}"


class Labelled:
    """Alerts whose labels a test sets."""

    def __init__(self, folder: Path) -> None:
        self.labels: dict[int, str] = {}
        self._folder = folder

    def add(self, number: int, label: str = "", seconds: float = 30.0) -> None:
        """An alert with one clip."""
        folder = self._folder / alert_id(number)
        folder.mkdir(parents=True)
        soundfile.write(folder / "0-raised.flac", noise(seconds, seed=number), RATE_HZ, "PCM_24")
        self.labels[number] = label

    def __call__(self) -> list[LabelledAlert]:
        found = []
        for number, label in self.labels.items():
            path = self._folder / alert_id(number) / "0-raised.flac"
            clip = Clip(f"{alert_id(number)}-0", path, LATER_S + number)
            found.append(LabelledAlert(alert_id(number), label, (clip,)))
        return found
