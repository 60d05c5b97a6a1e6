"""Whether the bundle can judge sound of this recording chain.

Less bandwidth than in training, a high-pass filter, a codec that leaves sound out, or zeros in
place of lost sound change the scored bands as a fault would. Such sound is not scored: it gives the
state ``degraded``, reason ``bandwidth`` or ``capture_changed``, and never an alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from monitor.audio.bandwidth import missing_from, weakened_edge
from monitor.audio.cells import SoundCells
from monitor.audio.spectral_gaps import ShareOfGaps, share_of_gaps
from monitor.detection.capture_fault import CaptureFault
from monitor.detection.codec_gaps import CodecGaps
from monitor.detection.dropouts import Dropouts
from monitor.detection.low_cut import LowCut
from monitor.detection.offset_leak import OffsetLeak
from monitor.detection.rounding_noise import RoundingNoise
from monitor.domain import (
    AudioBlock,
    CaptureChain,
    FloatArray,
    LogMelWindow,
    SourceState,
    SourceStatus,
)
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture

_EDGE_WINDOWS = 4
_EDGE_WINDOWS_NEEDED = 3  # two seconds of sound, before which nothing is scored
_RATE_TOLERANCE = 0.99


def declared_fault(
    capture: Capture, sample_rate_hz: int, chain: CaptureChain | None = None
) -> SourceState | None:
    """What the stated rate and encoding of the sound already show; None if nothing."""
    passes_hz = capture.scored_share * sample_rate_hz / 2
    if passes_hz < _RATE_TOLERANCE * capture.reach_hz:
        return _degraded(
            "bandwidth",
            f"at {sample_rate_hz} Hz the sound ends at {_khz(passes_hz)} kHz; the training sound "
            f"reaches {_khz(capture.reach_hz)} kHz: use a higher sample rate",
        )
    if chain is not None and chain.loses_sound and not _is_known(chain, capture):
        return _degraded(
            "capture_changed",
            f"the sound is {chain}; the training sound is {_trained_on(capture)}: use the chain "
            "of the training sound, or a higher bit rate",
        )
    return None


class CaptureCheck:
    """Selects the windows of one machine that can be scored, and gives the reason for the others.

    The result depends on the samples and not on how the stream was cut. State: the fault that the
    stated rate and encoding show, the lowest band without sound, the mean levels of the newest
    windows, whether they have low frequencies, whether there are gaps of a codec, and the windows
    that wait until this is known (two seconds, which a score needs in any case).
    """

    def __init__(
        self, capture: Capture, spec: LogMelSpec, share: ShareOfGaps = share_of_gaps
    ) -> None:
        """``share``: computes the share of gaps of a cell."""
        self._capture, self._spec = capture, spec
        self._low_db = np.array(capture.low_db)
        self._received, self._sound = SoundCells(), SoundCells()
        self._dropouts = Dropouts(capture)
        self._rounding = RoundingNoise(capture, spec)
        self._leak = OffsetLeak(capture, spec)
        self._low_cut = LowCut(capture, spec)
        self._codec_gaps = CodecGaps(capture, spec.sample_rate_hz, share)
        self._declared: SourceState | None = None
        self._missing = CaptureFault[int]()
        """The lowest band without sound."""
        self._is_sound = False
        self.gap()

    @property
    def fault(self) -> SourceState | None:
        """Why the sound cannot be judged at present; None if it can."""
        if self._declared is not None:
            return self._declared
        if (missing := self._missing.value) is not None:
            end_hz, _ = self._spec.band_edges_hz(missing)
            return _degraded(
                "bandwidth",
                f"the sound ends at {_khz(end_hz)} kHz; the training sound reaches "
                f"{_khz(self._capture.reach_hz)} kHz: check sample rate, codec and filters",
            )
        if (offset := self._leak.offset) is not None:
            return _degraded(
                "dc_offset",
                f"the samples have a DC offset of {offset:+.4f} of full scale, which changes the "
                "scores and was not in the training sound: check the input, or train with sound "
                "from this microphone",
            )
        if detail := self._changed():
            return _degraded("capture_changed", detail)
        return None

    def _changed(self) -> str:
        """What the recording chain adds to the sound or leaves out; empty if nothing."""
        if (bits := self._rounding.bits) is not None:
            return (
                f"the samples have only {bits} bits, whose noise is louder than the healthy sound: "
                "use 16 bits, or a higher gain"
            )
        if (cut_hz := self._low_cut.cut_hz) is not None:
            return (
                f"frequencies below about {round(cut_hz, -1):.0f} Hz are much weaker than in the "
                "training sound: switch off the low-cut filter of the microphone or program, or "
                "train with sound from this chain"
            )
        if self._dropouts.is_on:
            return (
                "there are stretches of exact zeros, as programs and drivers put them in place of "
                "lost sound; the training sound has none or fewer: look for lost packets and for a "
                "busy computer"
            )
        if self._codec_gaps.is_coded:
            return (
                "the spectrum has gaps as a lossy codec leaves them; the training sound has none: "
                "use the chain of the training sound, or a higher bit rate"
            )
        return ""

    def gap(self) -> None:
        """Sound was lost: keep the results, and start new cells."""
        self._codec_gaps.gap()
        self._rounding.gap()
        self._dropouts.gap()
        self._leak.gap()
        self._waiting: list[LogMelWindow] = []
        self._levels_db: deque[FloatArray] = deque(maxlen=_EDGE_WINDOWS)

    def declare(self, sample_rate_hz: int, chain: CaptureChain | None) -> None:
        """The rate and the encoding that the source states."""
        self._declared = declared_fault(self._capture, sample_rate_hz, chain)

    def receive(self, block: AudioBlock) -> None:
        """Measure sound as it was received, at any rate. Call it before ``measure``."""
        rate_hz = block.sample_rate_hz
        for end_sample, cell in self._received.push(block):
            self._rounding.measure(end_sample / rate_hz, cell, rate_hz)
            self._dropouts.measure(end_sample / rate_hz, cell, rate_hz)

    def measure(self, block: AudioBlock) -> None:
        """Measure sound at the rate of the features. Call it before ``scorable``."""
        self._is_sound = True
        for end_sample, cell in self._sound.push(block):
            self._codec_gaps.measure(end_sample, cell)
            self._leak.measure(end_sample, cell)

    def scorable(
        self, windows: Sequence[LogMelWindow]
    ) -> Iterator[list[LogMelWindow] | SourceState]:
        """Groups of successive windows that can be scored, and between them why others cannot."""
        run: list[LogMelWindow] = []
        for window in windows:
            self._add(window)
            if (fault := self.fault) is None:
                self._waiting.append(window)
                if not self._is_sound or self._codec_gaps.is_known:
                    run += self._waiting
                    self._waiting = []
                continue
            self._waiting = []
            if run:
                yield run
                run = []
            yield fault
        if run:
            yield run

    def finish(self) -> list[LogMelWindow]:
        """The windows that still wait at the end of a recording."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _add(self, window: LogMelWindow) -> None:
        levels_db = window.values_db.sum(axis=1) / np.float32(window.values_db.shape[1])
        self._levels_db.append(levels_db)
        self._leak.add(window.end_sample, levels_db)
        self._low_cut.add(self._levels_db)
        end_s = window.end_sample / self._spec.sample_rate_hz
        self._rounding.add(end_s, levels_db)
        self._dropouts.add(end_s)
        n_scored = self._capture.scored_bands
        missing = missing_from(levels_db, self._low_db, n_scored)
        if missing is None and len(self._levels_db) >= _EDGE_WINDOWS_NEEDED:
            low_db = self._low_db[n_scored - 1]
            if any(one[n_scored - 1] < low_db for one in self._levels_db):
                mean_db = np.stack(self._levels_db).mean(axis=0)
                missing = weakened_edge(mean_db, self._low_db, n_scored)
        if missing is None:
            self._missing.good()
        else:
            self._missing.bad(missing if self._missing.value is None else None)
        self._codec_gaps.add(window.end_sample)


def _is_known(chain: CaptureChain, capture: Capture) -> bool:
    """Whether training sound had the encoding with as few bits."""
    return any(
        known.encoding == chain.encoding
        and (known.kbit_s or 0.0) / known.channels <= 1.25 * (chain.kbit_s or 0.0) / chain.channels
        for known in capture.chains
        if known.kbit_s or chain.kbit_s is None
    )


def _trained_on(capture: Capture) -> str:
    names = sorted({str(chain) for chain in capture.chains})
    return ", ".join(names[:3]) or "not encoded"


def _degraded(reason: str, detail: str) -> SourceState:
    return SourceState(SourceStatus.DEGRADED, reason, detail)


def _khz(frequency_hz: float) -> str:
    return f"{frequency_hz / 1000:.1f}"
