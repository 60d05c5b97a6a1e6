"""Recording chains: what resamplers, converters, codecs and telephones do to a sound."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy import signal

from monitor.domain import DoubleArray, FloatArray

Chain = Callable[[FloatArray, int], tuple[FloatArray, int]]
"""Samples ``(n,)`` and their rate in Hz to samples and rate after the chain."""


def unchanged(samples: FloatArray, rate_hz: int) -> tuple[FloatArray, int]:
    """The sound itself."""
    return samples, rate_hz


def resampled(rate_hz: int, quality: str = "HQ") -> Chain:
    """soxr's resampling to another rate, as a recorder or a sound server does it."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        return soxr.resample(samples, from_hz, rate_hz, quality).astype(np.float32), rate_hz

    return chain


def through_rate(rate_hz: int, quality: str = "HQ") -> Chain:
    """To a rate and back: the sound at its first rate, with the bandwidth of the other."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        low = soxr.resample(samples, from_hz, rate_hz, quality)
        return soxr.resample(low, rate_hz, from_hz, quality).astype(np.float32), from_hz

    return chain


def ffmpeg_resampled(rate_hz: int) -> Chain:
    """ffmpeg's own resampler (swr), to another rate."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        return _ffmpeg(samples, from_hz, ["-ar", str(rate_hz)]), rate_hz

    return chain


def converter(share: float = 0.45) -> Chain:
    """The anti-alias filter of a converter: passes up to ``share`` of the rate, -6 dB later."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        taps = signal.firwin(97, 2.0 * (share + 0.025))
        return signal.lfilter(taps, 1.0, samples).astype(np.float32), from_hz

    return chain


def telephone(low_hz: float = 300.0, high_hz: float = 3400.0) -> Chain:
    """The band of a telephone line."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        sos = signal.butter(8, [low_hz, high_hz], "bandpass", fs=from_hz, output="sos")
        passed = np.asarray(signal.sosfilt(sos, samples), dtype=np.float32)
        return _as_16_bit(passed), from_hz

    return chain


def high_pass(cut_hz: float, order: int) -> Chain:
    """The low-cut filter of a microphone or a program."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        sos = signal.butter(order, cut_hz, "highpass", fs=from_hz, output="sos")
        passed = np.asarray(signal.sosfilt(sos, samples), dtype=np.float32)
        return _as_16_bit(passed), from_hz

    return chain


def few_bits(bits: int) -> Chain:
    """Rounded to few bits, with dither."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        dither = np.random.default_rng(0).triangular(-1.0, 0.0, 1.0, len(samples))
        steps = 2.0 ** (bits - 1)
        return (np.round(samples * steps + dither) / steps).astype(np.float32), from_hz

    return chain


def codec(suffix: str, encoder: str, kbit_s: int, rate_hz: int | None = None) -> Chain:
    """Encoded by ffmpeg and decoded again; ``rate_hz``: the rate before encoding."""

    def chain(samples: FloatArray, from_hz: int) -> tuple[FloatArray, int]:
        to_hz = rate_hz or from_hz
        with tempfile.TemporaryDirectory() as folder:
            raw, coded = Path(folder) / "in.wav", Path(folder) / f"coded.{suffix}"
            soundfile.write(raw, samples, from_hz, "PCM_16")
            options = ["-ac", "1", "-ar", str(to_hz), "-c:a", encoder, "-b:a", f"{kbit_s}k"]
            _run(["-i", str(raw), *options, str(coded)])
            return _decoded(["-i", str(coded), "-ar", str(to_hz)]), to_hz

    return chain


def _ffmpeg(samples: FloatArray, from_hz: int, options: list[str]) -> FloatArray:
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "in.wav"
        soundfile.write(raw, samples, from_hz, "PCM_16")
        return _decoded(["-i", str(raw), *options])


def _decoded(arguments: list[str]) -> FloatArray:
    done = _run([*arguments, "-ac", "1", "-f", "f32le", "-"])
    return np.frombuffer(done, dtype="<f4").copy()


def _run(arguments: list[str]) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # fixed arguments


def _as_16_bit(samples: FloatArray) -> FloatArray:
    rounded: DoubleArray = np.round(np.asarray(samples, np.float64) * 2**15) / 2**15
    return rounded.astype(np.float32)
