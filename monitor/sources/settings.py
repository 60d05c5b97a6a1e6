"""The ``[machine.source]`` table: where a machine's sound comes from, one model a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.audio.channels import Channel

SampleRate = Annotated[int, Field(ge=1_000, le=768_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Position = Annotated[float, Field(ge=0, le=3.2e9, allow_inf_nan=False)]
Frequency = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]
SampleFormat = Literal["s16le", "s32le", "f32le"]


class _Source(BaseModel):
    """What every kind has in common: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FileSettings(_Source):
    """One recording: wav, flac, ogg or mp3."""

    kind: Literal["file"] = "file"
    path: Path
    realtime: bool = False
    """Deliver no faster than the sound would have been heard."""
    loop: bool = False
    channel: Channel = "mix"


class FolderSettings(_Source):
    """A folder's recordings, then every new one as it appears and is complete."""

    kind: Literal["folder"] = "folder"
    path: Path
    poll_interval_s: Seconds = 1.0
    settle_s: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """A file whose size and time have not changed for so long is complete."""
    channel: Channel = "mix"


class CommandSettings(_Source):
    """Any program that writes raw PCM to its standard output: ffmpeg, arecord, ..."""

    kind: Literal["command"] = "command"
    command: Annotated[tuple[str, ...], Field(min_length=1, repr=False)]
    """The program and its arguments. No shell is involved. Never shown: URLs hold passwords."""
    sample_rate_hz: SampleRate = 16_000
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    sample_format: SampleFormat = "s16le"
    channel: Channel = "mix"
    silence_timeout_s: Seconds = 10.0
    """No data for so long: the program is stopped and started anew."""
    restart: bool = True
    """Start it again whenever it ends; if false, its end with status 0 is the sound's end."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.command[0]:
            raise ValueError("command must begin with the name of a program")
        if any("\0" in argument for argument in self.command):
            raise ValueError("command must not hold NUL characters")
        _check_channel(self.channel, self.channels)
        return self


class MicrophoneSettings(_Source):
    """A microphone that PortAudio sees; ``auscult devices`` lists them."""

    kind: Literal["microphone"] = "microphone"
    device: int | Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Its number, or a part of its name (names survive replugging), or the default one."""
    sample_rate_hz: SampleRate | None = None
    """Unset: the device's own."""
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    channel: Channel = "mix"
    block_s: Annotated[float, Field(ge=0.01, le=2.0)] = 0.1
    stall_timeout_s: Seconds = 3.0
    """No data for so long: the device is gone or hangs, and is opened anew."""

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
    """1 is plainly wrong to an experienced ear, 0.3 an early stage."""
    ramp_s: Annotated[float, Field(ge=0, le=1e8)] = 0.5
    """How long it takes to grow to ``severity``."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.end_s is not None and self.end_s <= self.onset_s:
            raise ValueError("end_s must be greater than onset_s")
        return self


class SimulatedSettings(_Source):
    """A simulated rotating machine: the same settings, the same sound."""

    kind: Literal["simulated"] = "simulated"
    machine: Literal["pump", "fan", "gearbox"] = "pump"
    sample_rate_hz: Annotated[int, Field(ge=4_000, le=192_000)] = 16_000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """What is random in the sound: the noise and the course of the load."""
    unit: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Which individual of the type: each has its own proportions and resonances."""
    realtime: bool = True
    speed_hz: Frequency = 24.5
    """Shaft speed in revolutions per second."""
    speeds_hz: tuple[Frequency, ...] = ()
    """A machine of several speeds: it changes to the next every ``regime_s``."""
    regime_s: Annotated[float, Field(ge=2.0, le=1e6)] = 20.0
    load_variation: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Depth of the slow changes of load, relative."""
    level_dbfs: Annotated[float, Field(ge=-80, le=-12)] = -26.0
    duration_s: Position | None = None
    faults: tuple[SimulatedFault, ...] = ()


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
"""Any ``[machine.source]``, told apart by ``kind``."""


def _check_channel(channel: int | Literal["mix"], channels: int) -> None:
    if channel != "mix" and channel >= channels:
        raise ValueError(
            f"channel {channel} is not there: with channels = {channels} "
            f'it is "mix" or 0 to {channels - 1}'
        )
