"""What ``auscult train audio`` was asked for, and the sound that it was given."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.errors import UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.manifest import ScoreKind
from monitor.model.recording_score import BLOCK_S
from training.sound.recordings import Recording, cut_into, read_machine
from training.sound.settings import AudioSettings

logger = logging.getLogger(__name__)

_LEAST_STRETCHES = 8
_LEAST_STRETCH_S = 1.5 * BLOCK_S


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """What ``auscult train audio`` was asked for.

    ``references``: a file or folder for each reference machine. ``score``: used instead of the
    score that the rule chooses. ``continued``: the bundle whose network is trained further.
    ``keep_previous``: if there is a bundle at ``out``, keep a copy of it.
    """

    recordings: tuple[Path, ...]
    out: Path
    references: tuple[Path, ...] = ()
    false_alarms_per_week: float = 1.0
    seed: int = 0
    device: str = "auto"
    score: ScoreKind | None = None
    continued: Path | None = None
    keep_previous: bool = False
    settings: AudioSettings = field(default_factory=AudioSettings)


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on: recordings, the features they become, the span that is scored."""

    recordings: tuple[Recording, ...]
    references: tuple[tuple[Recording, ...], ...]
    spec: LogMelSpec
    span_s: float
    continued: Bundle | None

    @property
    def span_windows(self) -> int:
        """Windows that one score is made from."""
        return self.spec.windows_in(self.span_s)


def read_material(request: AudioRequest) -> Material:
    """Read everything that is trained on.

    Where there are fewer than eight recordings, long ones are cut into stretches, so that
    some sound can be left out in turn.
    """
    if request.false_alarms_per_week <= 0:
        raise UsageError(
            f"--false-alarms-per-week is {request.false_alarms_per_week:g}; it must be positive"
        )
    continued = load_bundle(request.continued) if request.continued else None
    spec = continued.spec if continued else request.settings.spec
    span_s = continued.span_s if continued else request.settings.training.span_s
    least_frames = round(_LEAST_STRETCH_S * spec.frame_rate_hz)
    read = read_machine(request.recordings, spec)
    numbered = [replace(recording, file=number) for number, recording in enumerate(read)]
    recordings = cut_into(numbered, _LEAST_STRETCHES, least_frames)
    references = tuple(tuple(read_machine([path], spec)) for path in request.references)
    seconds = sum(recording.seconds(spec) for recording in recordings)
    logger.info(
        "%.1f minutes of healthy sound in %d recordings, %d reference machines",
        seconds / 60,
        len(read),
        len(references),
    )
    return Material(tuple(recordings), references, spec, span_s, continued)
