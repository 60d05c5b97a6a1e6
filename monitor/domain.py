"""The records that are passed along the data path.

Positions are integer sample counts since the stream began, at the rate of the
record that carries them; wall time is the stream's start plus index / rate and
is never accumulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from monitor.alerts import AlertKind

FloatArray = npt.NDArray[np.float32]
"""Samples, log-mel values and what a network gives: single precision."""
DoubleArray = npt.NDArray[np.float64]
"""Statistics and scores: double precision."""


LOSSY = frozenset(
    {"MP3", "OPUS", "VORBIS", "AAC", "AMR", "WMA", "AC3", "MP2", "SPEEX", "GSM", "GSM610"}
)
"""Encodings that leave sound out."""
TRANSPARENT_KBIT_S = {"OPUS": 56.0, "AAC": 56.0, "WMA": 90.0}
"""The bit rate of one channel from which an encoding does not change scores, if it is not
``OTHER_TRANSPARENT_KBIT_S``. At 48 kbit/s, Opus uses its speech codec for the low frequencies."""
OTHER_TRANSPARENT_KBIT_S = 48.0
TRANSPARENT_KBIT_S_PER_KHZ = 1.6
"""The same for MP3 and Vorbis, for all channels together and each kHz of the sample rate: at a high
rate, their bits are spent on high frequencies too."""


@dataclass(frozen=True, slots=True)
class CaptureChain:
    """The chain of a piece of sound, as far as its source states it.

    ``source``: ``file``, ``microphone``, ``command`` and so on. ``encoding``: such as
    ``WAV PCM_16``, ``FLAC PCM_24`` or ``MP3``, empty if unknown. ``kbit_s``: the bit rate of
    all channels together, for a lossy encoding whose length is known.
    """

    source: str
    sample_rate_hz: int
    channels: int = 1
    encoding: str = ""
    kbit_s: float | None = None

    @property
    def loses_sound(self) -> bool:
        """Whether an encoding has too few bits to leave the scores as they are.

        ADPCM always has: its noise is as loud as the quiet bands of a machine.
        """
        if "ADPCM" in self.encoding:
            return True
        if self.encoding not in LOSSY or self.kbit_s is None:
            return False
        least_kbit_s = self.channels * TRANSPARENT_KBIT_S.get(
            self.encoding, OTHER_TRANSPARENT_KBIT_S
        )
        if self.encoding in {"MP3", "VORBIS"}:
            per_khz = TRANSPARENT_KBIT_S_PER_KHZ * self.sample_rate_hz / 1000
            least_kbit_s = max(least_kbit_s, per_khz)
        return self.kbit_s < least_kbit_s

    def __str__(self) -> str:
        """As in messages, for example ``MP3 with 32 kbit/s``."""
        rate = f" with {self.kbit_s:.0f} kbit/s" if self.kbit_s is not None else ""
        return f"{self.encoding or self.source}{rate}"


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A run of mono samples.

    ``samples``: float32, shape ``(n_samples,)``, full scale +-1.
    ``first_sample``: index of ``samples[0]`` since the stream began, at
    ``sample_rate_hz``. ``discontinuous``: audio was lost before this block, so
    nothing computed from earlier samples may be joined to it. ``recorded_unix_s``:
    the Unix time of ``samples[0]``, where the recording states it. ``chain``: how it was
    captured, if the source states it. ``unmixed``: the channels that ``samples`` are the mean of,
    ``(n_samples, n_channels)``; None for one channel.
    """

    samples: FloatArray
    sample_rate_hz: int
    first_sample: int
    discontinuous: bool = False
    recorded_unix_s: float | None = None
    chain: CaptureChain | None = None
    unmixed: FloatArray | None = field(default=None, repr=False)

    @property
    def start_s(self) -> float:
        """Where the block starts, in seconds since the stream began."""
        return self.first_sample / self.sample_rate_hz

    @property
    def end_s(self) -> float:
        """Where the block ends, in seconds since the stream began."""
        return (self.first_sample + len(self.samples)) / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class LogMelBlock:
    """A run of log-mel frames that were computed elsewhere.

    ``frames_db``: float32, shape ``(n_frames, n_mels)``. ``first_frame``: index
    of the first one since the stream began.
    """

    frames_db: FloatArray
    first_frame: int
    discontinuous: bool = False


@dataclass(frozen=True, slots=True)
class LogMelWindow:
    """One window of the log-mel spectrogram.

    ``values_db``: float32, shape ``(n_mels, n_frames)``,
    ``10 log10(power + floor)``. The window was made from the samples
    ``[first_sample, end_sample)``. ``spectra``: finer spectra of the same samples, float32, each
    ``(n_bands, n_bins)`` in dB (:mod:`monitor.features.spectra`); empty without samples.
    ``samples``: ``(n_samples,)``, only where an encoder needs them.
    """

    values_db: FloatArray
    first_sample: int
    end_sample: int
    spectra: tuple[FloatArray, ...] = field(default=(), repr=False)
    samples: FloatArray | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one span.

    ``value``: finite, >= 0, higher is more anomalous; compared with the threshold.
    ``loss``: mean of ``(x_hat - x)^2`` over the newest window, >= 0.
    ``band_error``: float32, shape ``(n_mels,)``, the averaged signed residual in
    healthy standard deviations. ``level_db``: the averaged level of the windows
    in dB, which distinguishes a changed gain from a fault. The span was made from
    the samples ``[first_sample, end_sample)``. ``channel``: 0 for the scores over the span of the
    bundle; otherwise the number, from 1, of the channel of the bundle's calibration, and
    ``value`` is compared with the threshold of that channel. ``bands_hz``: where it stands out, if
    ``band_error`` does not show it.
    """

    value: float
    loss: float
    first_sample: int
    end_sample: int
    band_error: FloatArray = field(repr=False)
    level_db: float = 0.0
    channel: int = 0
    bands_hz: tuple[tuple[float, float], ...] = ()


def block_times_s(block: AudioBlock | LogMelBlock, frame_rate_hz: float) -> tuple[float, float]:
    """Start and end of a block in seconds since the stream began.

    ``frame_rate_hz``: frames per second of a ``LogMelBlock``; an ``AudioBlock`` has its own rate.
    """
    if isinstance(block, AudioBlock):
        return block.start_s, block.end_s
    end_frame = block.first_frame + len(block.frames_db)
    return block.first_frame / frame_rate_hz, end_frame / frame_rate_hz


class SourceStatus(StrEnum):
    """The values of ``state`` on ``BASE/<machine>/state``."""

    LEARNING = "learning"
    WARMING = "warming"
    OK = "ok"
    ANOMALY = "anomaly"
    NO_SIGNAL = "no_signal"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    OFF = "off"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a machine's source.

    ``reason``: a short word for programs, empty without a fault (``silence``,
    ``clipping``, ``dc_offset``, ``stuck``, ``not_finite``, ``disconnected``
    ...). ``detail``: one line for people.
    """

    status: SourceStatus
    reason: str = ""
    detail: str = ""

    def differs(self, other: SourceState) -> bool:
        """Whether two states differ in more than their detail."""
        return (self.status, self.reason) != (other.status, other.reason)


@dataclass(frozen=True, slots=True)
class MachineWarning:
    """Something to look at, beside any state: the machine is monitored all the same.

    ``name``: for programs (``level_shift``, ``drift``, ``unusually_quiet`` ...). ``detail``: one
    line for people.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of the detector: an anomaly is raised, updated or cleared.

    Positions are samples of the stream. Wall time and identity are added when it becomes
    an ``Alert``. ``started_sample``: the end of the first span above the threshold. ``reason``:
    why an alert is cleared, if not because the score is healthy again (``stopped``).
    ``continues``: whether it is the fault of the alert before, which ended by a stop. ``span_s``:
    seconds of sound in each score that decided, 0 if unknown. ``channel``: the evidence of these
    scores, empty if unknown. ``bands_hz``: as in ``Score``.
    """

    kind: AlertKind
    at_sample: int
    started_sample: int
    score: float
    peak_score: float
    threshold: float
    loss: float
    false_alarms_per_week: float
    band_error: FloatArray = field(repr=False)
    reason: str = ""
    continues: bool = False
    span_s: float = 0.0
    channel: str = ""
    bands_hz: tuple[tuple[float, float], ...] = ()
