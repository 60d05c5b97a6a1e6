"""``auscult diagnose``: what repeats in a recording, and which fault that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.audio.recordings import AUDIO_SUFFIXES, recording_files
from monitor.commands.output import columns, emit, message
from monitor.config.settings import MachineSettings, load_config
from monitor.diagnosis.bearings import known_bearing
from monitor.diagnosis.diagnose import Diagnosis
from monitor.diagnosis.healthy_files import recordings_of, some_of
from monitor.diagnosis.healthy_sound import LONGEST_S
from monitor.diagnosis.recordings import diagnosed_with, read_beginning
from monitor.diagnosis.report import described
from monitor.diagnosis.settings import BearingSettings, ShaftSettings
from monitor.errors import BadInputError, UsageError
from monitor.model.bundle import Bundle, load_bundle
from monitor.offline.replay import RaisedAlert
from monitor.text.regular_files import real_path

_MOST_FILES = 60
_BEFORE_ALERT_S, _OF_ALERT_S = 5.0, 30.0
"""Where the diagnosis of an alert begins, and how long its sound is."""


@dataclass(frozen=True, slots=True)
class DiagnoseRequest:
    """What to compare, and what is known of the machine. ``start_s``: in the recording."""

    recording: Path
    healthy: tuple[Path, ...] = ()
    bundle: Path | None = None
    config: Path | None = None
    machine: str | None = None
    shaft_hz: float | None = None
    bearings: tuple[str, ...] = ()
    start_s: float = 0.0
    as_json: bool = False


def diagnose(request: DiagnoseRequest) -> None:
    """Print the findings and the spectra. Raises the errors of reading and of configuration."""
    machine = _machine_of(request)
    shaft = _shaft_of(request, machine)
    bundle = request.bundle or (machine.bundle if machine is not None else None)
    files = _healthy_files(request, bundle)
    samples, rate_hz = read_beginning(request.recording, request.start_s + LONGEST_S)
    first = round(request.start_s * rate_hz)
    if first >= len(samples):
        length_s = len(samples) / rate_hz
        raise BadInputError(f"{request.recording}: is {length_s:.1f} s long: --start must be less")
    samples = samples[first:]
    result = diagnosed_with(samples, rate_hz, files, shaft, is_named=bool(request.healthy))
    document = {"file": str(request.recording), "healthy": len(files), **described(result)}
    emit(document, _lines(result, document), as_json=request.as_json)


def _machine_of(request: DiagnoseRequest) -> MachineSettings | None:
    if request.config is None:
        if request.machine is not None:
            raise UsageError("--machine needs --config: name the file in which it is configured")
        return None
    settings = load_config(request.config)
    if request.machine is not None:
        return settings.machine(request.machine)
    if request.bundle is not None and (found := settings.machine_with(request.bundle)):
        return found
    if len(settings.machines) > 1:
        names = ", ".join(one.id for one in settings.machines)
        raise UsageError(f"{request.config}: has several machines: add --machine, one of {names}")
    return settings.machines[0]


def _shaft_of(request: DiagnoseRequest, machine: MachineSettings | None) -> ShaftSettings:
    """``[machine.shaft]`` with what the command line states in its place."""
    shaft = machine.shaft if machine is not None else ShaftSettings()
    update: dict[str, Any] = {}
    if request.shaft_hz is not None:
        update |= {"speed_hz": (request.shaft_hz, request.shaft_hz), "rpm": None}
    if request.bearings:
        try:
            known = [known_bearing(name) for name in request.bearings]
        except ValueError as error:
            raise UsageError(f"--bearing: {error} in [machine.shaft] of --config") from None
        update["bearings"] = tuple(
            BearingSettings(
                name=one.name,
                balls=one.balls,
                ball_mm=one.ball_mm,
                pitch_mm=one.pitch_mm,
                angle_deg=one.angle_deg,
            )
            for one in known
        )
    return shaft.model_copy(update=update)


def _healthy_files(request: DiagnoseRequest, bundle: Path | None) -> list[Path]:
    """The given recordings, or those that the bundle was trained on, as far as they are there."""
    files: list[Path] = []
    if request.healthy:
        files = recording_files(request.healthy, AUDIO_SUFFIXES)
    elif bundle is not None:
        files = recordings_of(load_bundle(bundle))
        if not files:
            message(
                f"{bundle}: its healthy recordings are not here: name them, or others, with "
                "--healthy to compare with healthy sound"
            )
    same = real_path(request.recording)
    files = [path for path in files if real_path(path) != same]
    return some_of(files, _MOST_FILES)


@dataclass(frozen=True, slots=True)
class AlertDiagnosis:
    """Diagnoses alerts of a replay against the recordings of the bundle.

    ``config``: the file with ``[machine.shaft]`` of the machine with this bundle, if there is one.
    """

    config: Path | None = None

    def __call__(self, bundle: Bundle, raised: RaisedAlert) -> Diagnosis | None:
        """None if the recordings of the bundle are not there, or the alert is no sound."""
        replayed = real_path(raised.recording)
        healthy = [path for path in recordings_of(bundle) if real_path(path) != replayed]
        if not healthy or raised.recording.suffix.lower() not in AUDIO_SUFFIXES:
            return None
        machine = load_config(self.config).machine_with(bundle.path) if self.config else None
        begin_s = max(0.0, raised.at_s - _BEFORE_ALERT_S)
        try:
            samples, rate_hz = read_beginning(raised.recording, begin_s + _OF_ALERT_S)
        except BadInputError as error:
            return Diagnosis(notes=(str(error),))
        shaft = machine.shaft if machine is not None else ShaftSettings()
        return diagnosed_with(
            samples[round(begin_s * rate_hz) :], rate_hz, some_of(healthy, _MOST_FILES), shaft
        )


def _lines(result: Diagnosis, document: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    if not result.findings:
        yield "nothing is certain"
    for one in result.findings:
        rate = ""
        if one.rate_hz is not None and one.rate_uncertainty_hz is not None:
            rate = f", rate {one.rate_hz:.2f} Hz +- {one.rate_uncertainty_hz:.2f} Hz"
        yield f"{one.kind}: {one.text} (by {one.level_db:.0f} dB{rate})"
    for note in result.notes:
        yield f"note: {note}"
    speed = document["speed"]
    if speed is not None:
        how = "measured" if speed["measured"] else "as given"
        yield f"speed: {speed['hz']:.3f} rev/s +- {speed['uncertainty_hz']:.3f}, {how}"
    envelope = document["envelope_spectrum"]
    if envelope is not None:
        low, high = envelope["band_hz"]
        yield f"envelope spectrum, {low} to {high} Hz, kurtosis {envelope['kurtosis']:g}"
        yield from _table(envelope["peaks"])
    if document["order_spectrum"]:
        yield "order spectrum"
        yield from _table(document["order_spectrum"])


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Rows with the names of their columns, without empty columns."""
    if not rows:
        yield "  no rate stands out"
        return
    names = [name for name in rows[0] if rows[0][name] is not None]
    cells = [tuple(f"{row[name]:g}" for name in names) for row in rows]
    for line in columns([tuple(name.replace("_", " ") for name in names), *cells]):
        yield f"  {line}"
