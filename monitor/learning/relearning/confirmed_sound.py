"""The relearning set of a machine: the sound of alerts that an operator labelled as false alarms.

It is a copy, so it stays when the evidence of an alert is deleted. A folder for each clip, with
parts of five seconds: each recording is scored with statistics that were made without it, so the
threshold would be raised above a single one that is unlike all others
(docs/decisions/0014-relearning.md).
"""

from __future__ import annotations

import logging
import math
import re
import shutil
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile

from monitor.learning.relearning.labelled_alerts import (
    FALSE_ALARM,
    Clip,
    LabelledAlert,
    LabelledAlerts,
)
from monitor.model.replacement import complete_folder
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f-]{36}-[0-9]{1,6}")
_TIME = "%Y%m%dT%H%M%SZ"
_LOCAL_TIME = "%Y%m%dT%H%M%S"
"""Of files that earlier versions have written: the time of the zone of the computer."""


class ConfirmedSound:
    """The folder of one machine, ``learning/MACHINE/relearn``.

    It follows the labels: call ``labels_changed``, then ``follow`` until ``is_behind`` is false.
    ``most_bytes``: when there is more sound, the oldest is left out.
    """

    PART_S: ClassVar[float] = 5.0
    _LEAST_S: ClassVar[float] = 3.0

    def __init__(self, folder: Path, most_bytes: float, log_extra: dict[str, str]) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        self._log_extra = log_extra
        self._waiting: list[Clip] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether there is sound to add, or labels have not been read yet."""
        return self._waiting is None or bool(self._waiting)

    @property
    def clips(self) -> list[str]:
        """The evidence ids of the clips, the oldest first."""
        return sorted((path.name for path in self._folders()), key=self._time_of)

    @property
    def alerts(self) -> set[str]:
        """The ids of the alerts whose sound is in the folder."""
        return {alert_of(name) for name in self.clips}

    @property
    def n_bytes(self) -> int:
        """The size of all sound."""
        return sum(_size(path) for path in self._folders())

    def labels_changed(self) -> None:
        """An alert has another label or more sound than before."""
        self._waiting = None

    def follow(self, labelled: LabelledAlerts) -> None:
        """Do a part of what is due: read the labels, or one clip. Raises ``OSError``.

        Sound of an alert that is not in ``labelled`` stays.
        """
        if self._waiting is None:
            self._waiting = self._changes(labelled())
        elif self._waiting:
            if self._make_space(self._waiting[0]):
                self._add(self._waiting[0])
            del self._waiting[0]

    def clear(self) -> None:
        """Remove all sound. Raises ``OSError``."""
        self._waiting = None
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def remove(self, parts: Collection[str]) -> bool:
        """Remove the clips that have files with these names; whether there are any.

        Raises ``OSError``.
        """
        damaged = [
            path for path in self._folders() if any((path / part).exists() for part in parts)
        ]
        for path in damaged:
            shutil.rmtree(path)
        return bool(damaged)

    def _changes(self, labelled: Sequence[LabelledAlert]) -> list[Clip]:
        """Remove the sound of other labels; the clips that are missing, the newest first."""
        label = {alert.alert_id: alert.label for alert in labelled}
        for name in self.clips:
            if label.get(alert_of(name), FALSE_ALARM) != FALSE_ALARM:
                shutil.rmtree(self.folder / name)
        present = set(self.clips)
        missing = [
            clip
            for alert in labelled
            for clip in alert.clips
            if alert.label == FALSE_ALARM and clip.evidence_id not in present
        ]
        return sorted(missing, key=lambda clip: -clip.unix_s)

    def _make_space(self, clip: Clip) -> bool:
        """Whether there is space for a clip; removes older ones for it."""
        try:
            needed = clip.path.stat().st_size
        except OSError:  # its evidence was deleted meanwhile
            return False
        time_s = math.floor(clip.unix_s)
        while self.n_bytes + needed > self._most_bytes:
            oldest = next(iter(self.clips), None)
            if oldest is None or self._time_of(oldest) >= time_s:
                log.warning(
                    "the sound of alert %s is not relearned: the sound of newer alerts already "
                    "needs relearn_max_mb",
                    alert_of(clip.evidence_id),
                    extra=self._log_extra,
                )
                return False
            log.warning(
                "the sound of alert %s is relearned no more: relearn_max_mb is full",
                alert_of(oldest),
                extra=self._log_extra,
            )
            shutil.rmtree(self.folder / oldest)
        return True

    def _add(self, clip: Clip) -> None:
        """Copy a clip in parts. It counts when its folder has its name."""
        try:
            samples, rate_hz = soundfile.read(clip.path, dtype="float32")
        except soundfile.LibsndfileError as error:
            log.warning(
                "the sound of alert %s cannot be relearned: %s",
                alert_of(clip.evidence_id),
                one_line(str(error)),
                extra=self._log_extra,
            )
            return
        seconds = len(samples) / rate_hz
        if seconds < self._LEAST_S:
            return
        parts = np.array_split(samples, max(1, round(seconds / self.PART_S)))
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with complete_folder(self.folder / clip.evidence_id) as folder:
                for number, part in enumerate(parts):
                    path = folder / f"{_time(clip)}_{number}.flac"
                    soundfile.write(path, part, rate_hz, "PCM_24", format="FLAC")
        except soundfile.LibsndfileError as error:
            raise OSError(str(error)) from error

    def _folders(self) -> list[Path]:
        if not self.folder.exists():
            return []
        return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]

    def _time_of(self, name: str) -> float:
        return min(map(_unix_s, (self.folder / name).glob("*.flac")), default=0.0)


def alert_of(evidence_id: str) -> str:
    """The id of the alert of a piece of evidence."""
    return evidence_id.rpartition("-")[0]


def _time(clip: Clip) -> str:
    return f"{datetime.fromtimestamp(clip.unix_s, UTC):{_TIME}}"


def _unix_s(part: Path) -> float:
    """The time in the name of a part, to the second; 0 where there is none."""
    text = part.name.partition("_")[0]
    try:
        if text.endswith("Z"):
            return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
        return datetime.strptime(text, _LOCAL_TIME).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.flac"))
