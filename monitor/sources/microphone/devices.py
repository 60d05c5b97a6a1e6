"""The microphones that PortAudio finds."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.errors import ServiceUnavailableError


@dataclass(frozen=True, slots=True)
class MicrophoneDevice:
    """An input device; ``index`` or a part of ``name`` selects it."""

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate_hz: float
    is_default: bool


def devices() -> list[MicrophoneDevice]:
    """All input devices as of now.

    Raises ``ServiceUnavailableError`` when PortAudio is not installed (with the package
    to install) or cannot start.
    """
    try:
        import sounddevice  # noqa: PLC0415  # needs the system's libportaudio2
    except OSError as error:
        raise ServiceUnavailableError(
            f"PortAudio is not installed ({error}): install the package libportaudio2"
        ) from None
    try:
        host_apis = sounddevice.query_hostapis()
        default_index = sounddevice.default.device[0]
        found = list(sounddevice.query_devices())
    except sounddevice.PortAudioError as error:
        raise ServiceUnavailableError(f"PortAudio cannot list the devices: {error}") from None
    return [
        MicrophoneDevice(
            index=device["index"],
            name=device["name"],
            host_api=host_apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            sample_rate_hz=device["default_samplerate"],
            is_default=device["index"] == default_index,
        )
        for device in found
        if device["max_input_channels"] > 0
    ]
