"""The ``[machine.source]`` table: where a machine's sound comes from, one model per kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.audio.channel_choice import Channel

SampleRate = Annotated[int, Field(ge=1_000, le=768_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Position = Annotated[float, Field(ge=0, le=3.2e9, allow_inf_nan=False)]
Frequency = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
SampleFormat = Literal["s16le", "s32le", "f32le"]


class _Source(BaseModel):
    """The base of every kind: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FileSettings(_Source):
    """One recording: wav, flac, ogg or mp3."""

    kind: Literal["file"] = "file"
    path: Path
    realtime: bool = False
    """Read in real time instead of as fast as possible."""
    loop: bool = False
    channel: Channel = "mix"


class FolderSettings(_Source):
    """A folder's recordings, then every new one when it is complete."""

    kind: Literal["folder"] = "folder"
    path: Path
    poll_interval_s: Seconds = 1.0
    settle_s: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """A file is complete when its size and time have not changed for this time."""
    channel: Channel = "mix"


class CommandSettings(_Source):
    """Any program that writes raw PCM to its standard output: ffmpeg, arecord, ..."""

    kind: Literal["command"] = "command"
    command: Annotated[tuple[str, ...], Field(min_length=1, repr=False)]
    """The program and its arguments, without a shell. Never shown: URLs may contain passwords."""
    sample_rate_hz: SampleRate = 16_000
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    sample_format: SampleFormat = "s16le"
    channel: Channel = "mix"
    silence_timeout_s: Seconds = 10.0
    """After this time without data, the program is stopped and started again."""
    restart: bool = True
    """Start it again when it ends. If false, its end with status 0 ends the sound."""
    realtime: bool = True
    """Whether it delivers a second of sound in a second. Then a wrong rate is noticed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.command[0]:
            raise ValueError("command must begin with the name of a program")
        if any("\0" in argument for argument in self.command):
            raise ValueError("command must not contain NUL characters")
        _check_channel(self.channel, self.channels)
        return self


class MicrophoneSettings(_Source):
    """A microphone that PortAudio finds; ``auscult devices`` lists them."""

    kind: Literal["microphone"] = "microphone"
    device: int | Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Its number, or a part of its name (names stay after replugging). Unset: the default."""
    sample_rate_hz: SampleRate | None = None
    """Unset: the device's own."""
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    channel: Channel = "mix"
    block_s: Annotated[float, Field(ge=0.01, le=2.0)] = 0.1
    stall_timeout_s: Seconds = 3.0
    """After this time without data, the device is opened again."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_channel(self.channel, self.channels)
        return self


FaultKind = Literal["bearing", "imbalance", "looseness", "rub", "cavitation"]


class SimulatedFault(_Source):
    """A fault of the simulated machine, from ``onset_s`` to ``end_s``."""

    kind: FaultKind
    onset_s: Position = 0.0
    end_s: Position | None = None
    severity: Annotated[float, Field(gt=0, le=5)] = 1.0
    """1 is a clearly audible fault, 0.3 an early stage."""
    ramp_s: Annotated[float, Field(ge=0, le=1e8)] = 0.5
    """How long it takes to grow to ``severity``."""
    every_s: Seconds | None = None
    """After this time from its onset it comes again, and so on. Unset: it comes once."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.end_s is not None and self.end_s <= self.onset_s:
            raise ValueError("end_s must be greater than onset_s")
        if self.every_s is not None and self.end_s is None:
            raise ValueError("every_s needs end_s")
        if self.every_s is not None and self.every_s < (self.end_s or 0.0) - self.onset_s + 1.0:
            raise ValueError("every_s must be greater than end_s - onset_s by at least 1 s")
        return self


class SimulatedSettings(_Source):
    """A simulated rotating machine. The same settings give the same sound."""

    kind: Literal["simulated"] = "simulated"
    machine: Literal["pump", "fan", "gearbox"] = "pump"
    sample_rate_hz: Annotated[int, Field(ge=4_000, le=192_000)] = 16_000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the random parts of the sound: the noise and the changes of the load."""
    unit: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Which machine of the type: each has its own proportions and resonances."""
    realtime: bool = True
    speed_hz: Frequency = 24.5
    """Shaft speed in revolutions per second."""
    speeds_hz: tuple[Frequency, ...] = ()
    """A machine of several speeds: it changes to the next every ``regime_s``."""
    regime_s: Annotated[float, Field(ge=2.0, le=1e6)] = 20.0
    load_variation: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Depth of the slow changes of load, relative."""
    level_dbfs: Annotated[float, Field(ge=-80, le=-12)] = -26.0
    runs_s: Seconds | None = None
    """A machine that stops: seconds from a start to the stop. Unset: it always runs."""
    rests_s: Seconds = 60.0
    """Seconds from a stop to the next start. With ``runs_s`` only, as the next three."""
    run_up_s: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """Seconds from a start to full speed."""
    coast_down_s: Annotated[float, Field(ge=0, le=3_600)] = 4.0
    """Seconds from a stop to standstill."""
    room_dbfs: Annotated[float, Field(ge=-120, le=-12)] = -66.0
    """Level of the room, which is there whether the machine runs or not."""
    duration_s: Position | None = None
    faults: tuple[SimulatedFault, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.runs_s is not None and self.runs_s <= self.run_up_s:
            raise ValueError("runs_s must be greater than run_up_s")
        if self.runs_s is not None and self.rests_s <= self.coast_down_s:
            raise ValueError("rests_s must be greater than coast_down_s")
        return self


class LogMelSettings(_Source):
    """Precomputed log-mel: an ``.npy`` of ``(n_frames, n_mels)`` float32 in dB, or a folder."""

    kind: Literal["logmel"] = "logmel"
    path: Path
    realtime: bool = False
    frame_rate_hz: Annotated[float, Field(gt=0, le=10_000)] = 31.25
    """Frames per second, for ``realtime``: sample rate / hop length."""


SourceSettings = Annotated[
    FileSettings
    | FolderSettings
    | CommandSettings
    | MicrophoneSettings
    | SimulatedSettings
    | LogMelSettings,
    Field(discriminator="kind"),
]
"""Any ``[machine.source]``, distinguished by ``kind``."""


def is_live(source: SourceSettings) -> bool:
    """Whether its sound comes in real time: a machine cannot take it later."""
    if isinstance(source, FolderSettings):
        return False
    return isinstance(source, MicrophoneSettings) or source.realtime


def paces_itself(source: SourceSettings) -> bool:
    """Whether it gives sound in real time whatever happens outside of this program."""
    kinds = FileSettings | LogMelSettings | SimulatedSettings
    return isinstance(source, kinds) and source.realtime


def _check_channel(channel: int | Literal["mix"], channels: int) -> None:
    if channel != "mix" and channel >= channels:
        raise ValueError(
            f"channel {channel} does not exist: with channels = {channels} "
            f'use "mix" or 0 to {channels - 1}'
        )
