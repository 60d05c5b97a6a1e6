"""The request of ``auscult train audio``, and the recordings that it names."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from monitor.audio.recordings import (
    describe_ignored,
    ignored_files,
    read_each,
    recording_files,
)
from monitor.calibration.findings import SetFindings
from monitor.errors import BadInputError, BundleError, UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import MANIFEST, Bundle, load_bundle
from monitor.model.manifest import ScoreKind
from monitor.model.operation import Operation
from monitor.model.recording_score import BLOCK_S
from monitor.text.escaping import one_line
from monitor.text.wording import counted, duration
from training.sound.capture import reach_hz
from training.sound.encoder_file import EncoderFile, chosen_encoder
from training.sound.network_import import import_network
from training.sound.operation import learn_operation, running_sound
from training.sound.recordings import Recording, cut_into, read_recording
from training.sound.section_sound import with_samples
from training.sound.settings import AudioSettings
from training.sound.training_set import distinct_sound

logger = logging.getLogger(__name__)

_LEAST_SECTIONS = 8
_LEAST_SECTION_S = 1.5 * BLOCK_S


@dataclass(frozen=True, slots=True)
class ReferenceMachine:
    """Healthy recordings of another machine of the same type: files, or folders of them."""

    name: str
    recordings: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """The arguments of ``auscult train audio``.

    ``references``: a file or folder for each reference machine, or the machine with its files.
    ``score``: used instead of the score that the rule chooses. ``continued``: the bundle whose
    network is trained further. ``keep_previous``: if there is a bundle at ``out``, keep a copy of
    it. ``keep_outliers``: also train on recordings that do not fit the others. ``confirmed``:
    further healthy recordings of the machine, which a person has confirmed: they are used
    although they do not fit the others.
    ``read``: reads a recording in place of ``read_recording``, with the same result.
    """

    recordings: tuple[Path, ...]
    out: Path
    references: tuple[Path | ReferenceMachine, ...] = ()
    false_alarms_per_week: float = 1.0
    seed: int = 0
    device: str = "auto"
    score: ScoreKind | None = None
    continued: Path | None = None
    keep_previous: bool = False
    keep_outliers: bool = False
    confirmed: tuple[Path, ...] = ()
    settings: AudioSettings = field(default_factory=AudioSettings)
    read: Callable[[Path, LogMelSpec], Recording] = read_recording

    @property
    def reference_machines(self) -> tuple[ReferenceMachine, ...]:
        """The reference machines, each with a name."""
        return tuple(
            one if isinstance(one, ReferenceMachine) else ReferenceMachine(str(one), (one,))
            for one in self.references
        )


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The recordings to train on, their features, and the length of the scored span.

    ``files``: the recordings as they were read, without copies and without those in which the
    machine is off; ``running``: their parts in which it runs; ``recordings``: the same, or
    sections of them. ``scored_bands``: the lowest bands, which are scored. None: all bands.
    ``confirmed``: the names of recordings that a person has confirmed. ``encoder``: one from
    outside, whose vectors are evidence.
    """

    files: tuple[Recording, ...]
    running: tuple[Recording, ...]
    recordings: tuple[Recording, ...]
    references: tuple[tuple[Recording, ...], ...]
    spec: LogMelSpec
    span_s: float
    scored_bands: int | None
    continued: Bundle | None
    findings: SetFindings
    operation: Operation | None
    confirmed: frozenset[str] = frozenset()
    encoder: EncoderFile | None = None

    @property
    def span_windows(self) -> int:
        """Windows that one score is made from."""
        return self.spec.windows_in(self.span_s)

    def without(self, files: Collection[int]) -> TrainingData:
        """The same without the recordings of these numbers."""
        kept = tuple(recording for recording in self.files if recording.file not in files)
        running = tuple(part for part in self.running if part.file not in files)
        return _with_sections(replace(self, files=kept, running=running))


def read_training_data(request: AudioRequest) -> TrainingData:
    """Read the recordings of a request. Copies are left out, other files are reported.

    If there are fewer than eight recordings, long ones are divided into sections. Raises
    ``UsageError`` for a budget that is not a positive number, and one ``BadInputError`` with a line
    for each recording that cannot be used.
    """
    if not 0 < request.false_alarms_per_week < math.inf:
        raise UsageError(
            "--false-alarms-per-week must be a positive number, not "
            f"{request.false_alarms_per_week:g}"
        )
    if request.settings.training.network is not None:
        import_network(request.settings.training.network)  # a mistake is reported at once
    continued = load_bundle(request.continued) if request.continued else None
    spec = continued.spec if continued else request.settings.spec
    training = request.settings.training
    span_s = continued.span_s if continued else training.span_s
    encoder = chosen_encoder(training, spec, continued)
    confirmed = recording_files(request.confirmed) if request.confirmed else []
    paths = [[*recording_files(request.recordings), *confirmed]]
    machines = request.reference_machines
    paths += [recording_files(machine.recordings) for machine in machines]
    of_references = chain.from_iterable(machine.recordings for machine in machines)
    given = [*request.recordings, *request.confirmed, *of_references]
    if ignored := describe_ignored(ignored_files(given)):
        logger.warning("%s", ignored)
    read = read_each(chain.from_iterable(paths), lambda path: request.read(path, spec))
    rest = iter(read)
    own, *references = [list(islice(rest, len(machine))) for machine in paths]
    distinct = distinct_sound(own, references, [machine.name for machine in machines], spec)
    numbered = [replace(recording, file=n) for n, recording in enumerate(distinct.own)]
    scored_bands = _scored_bands(
        numbered, distinct.references, spec, continued, training.scored_share
    )
    operation = learn_operation(numbered, spec, scored_bands or spec.n_mels, request.seed)
    running = running_sound(numbered, spec, operation, spec.windows_in(span_s))
    _refuse_stopped(numbered, running, spec, continued)
    _report_off(numbered, running, operation)
    with_sound = {part.file for part in running}
    recordings = _sections(running, spec)
    seconds = sum(recording.seconds(spec) for recording in recordings)
    others = f", {counted(len(references), 'reference machine')}" if references else ""
    logger.info(
        "training on %s, %s%s%s",
        counted(len(numbered), "recording"),
        duration(seconds),
        others,
        f"; {copies}" if (copies := distinct.findings.copies_text) else "",
    )
    data = TrainingData(
        tuple(recording for recording in numbered if recording.file in with_sound),
        tuple(running),
        recordings,
        distinct.references,
        spec,
        span_s,
        scored_bands,
        continued,
        distinct.findings,
        operation,
        frozenset(map(str, confirmed)),
        encoder,
    )
    return _with_sections(data)


def _with_sections(data: TrainingData) -> TrainingData:
    """The data with the recordings or sections to train on, and samples if an encoder needs any."""
    recordings = _sections(data.running, data.spec)
    if data.encoder is None or data.encoder.layout.input == "log-mel":
        return replace(data, recordings=recordings)
    paths = {file.file: file.path for file in data.files}
    references = [
        with_samples(machine, [one.path for one in machine], data.spec)
        for machine in data.references
    ]
    return replace(
        data,
        recordings=with_samples(recordings, [paths[one.file] for one in recordings], data.spec),
        references=tuple(references),
    )


def _refuse_stopped(
    files: Sequence[Recording],
    running: Sequence[Recording],
    spec: LogMelSpec,
    continued: Bundle | None,
) -> None:
    """Raise ``BadInputError`` if the machine runs in no recording long enough for a score."""
    known = continued.manifest.operation if continued else None
    if not running or not running_sound(files, spec, known, 1):
        raise BadInputError(
            f"{one_line(files[0].name)}{' and the others' if len(files) > 1 else ''}: the machine "
            "does not run long enough for a score. Give recordings in which it runs"
        )


def _report_off(
    files: Sequence[Recording], running: Sequence[Recording], operation: Operation | None
) -> None:
    share = sum(state.share for state in operation.states if state.is_off) if operation else 0.0
    if not share:
        return
    n_off = len({r.file for r in files} - {part.file for part in running})
    logger.info(
        "the machine is off in %.0f %% of the sound%s: this part is not learned. If the machine "
        "runs there, set off_states in [machine.operation]",
        100 * share,
        f", including {counted(n_off, 'whole recording')}" if n_off else "",
    )


def _scored_bands(
    own: Sequence[Recording],
    references: Sequence[Sequence[Recording]],
    spec: LogMelSpec,
    continued: Bundle | None,
    share: float,
) -> int | None:
    """The bands that all recordings reach, or those of the bundle that is continued."""
    if continued is not None:
        scored_bands: int | None = continued.manifest.network.get("scored_bands")
        if scored_bands is not None and not (
            type(scored_bands) is int and 1 <= scored_bands <= spec.n_mels
        ):
            raise BundleError(
                f"{continued.path / MANIFEST}: network: scored_bands must be a whole number from "
                f"1 to {spec.n_mels}"
            )
        return scored_bands
    return spec.bands_below(reach_hz([*own, *chain.from_iterable(references)], spec, share))


def _sections(recordings: Sequence[Recording], spec: LogMelSpec) -> tuple[Recording, ...]:
    least_frames = round(_LEAST_SECTION_S * spec.frame_rate_hz)
    return tuple(cut_into(recordings, _LEAST_SECTIONS, least_frames))
