"""The request of ``auscult train audio``, and the recordings that it names."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.errors import UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.manifest import ScoreKind
from monitor.model.recording_score import BLOCK_S
from monitor.text.wording import counted, duration
from training.sound.recordings import Recording, cut_into, read_machine
from training.sound.settings import AudioSettings

logger = logging.getLogger(__name__)

_LEAST_SECTIONS = 8
_LEAST_SECTION_S = 1.5 * BLOCK_S


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """The arguments of ``auscult train audio``.

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
class TrainingData:
    """The recordings to train on, their features, and the length of the scored span."""

    recordings: tuple[Recording, ...]
    references: tuple[tuple[Recording, ...], ...]
    spec: LogMelSpec
    span_s: float
    continued: Bundle | None

    @property
    def span_windows(self) -> int:
        """Windows that one score is made from."""
        return self.spec.windows_in(self.span_s)


def read_training_data(request: AudioRequest) -> TrainingData:
    """Read the recordings of a request.

    If there are fewer than eight recordings, long ones are cut into sections, so that sections
    can be left out in turn. Raises ``UsageError`` for a budget that is not positive.
    """
    if request.false_alarms_per_week <= 0:
        raise UsageError(
            f"--false-alarms-per-week must be positive, not {request.false_alarms_per_week:g}"
        )
    continued = load_bundle(request.continued) if request.continued else None
    spec = continued.spec if continued else request.settings.spec
    span_s = continued.span_s if continued else request.settings.training.span_s
    least_frames = round(_LEAST_SECTION_S * spec.frame_rate_hz)
    read = read_machine(request.recordings, spec)
    numbered = [replace(recording, file=number) for number, recording in enumerate(read)]
    recordings = cut_into(numbered, _LEAST_SECTIONS, least_frames)
    references = tuple(tuple(read_machine([path], spec)) for path in request.references)
    seconds = sum(recording.seconds(spec) for recording in recordings)
    others = f", {counted(len(references), 'reference machine')}" if references else ""
    logger.info("training on %s, %s%s", counted(len(read), "recording"), duration(seconds), others)
    return TrainingData(tuple(recordings), references, spec, span_s, continued)
