"""How the recordings of a training set were captured, and which bands can be scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from monitor.audio.bandwidth import end_of_sound
from monitor.domain import DoubleArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture
from training.sound.recordings import Recording

logger = logging.getLogger(__name__)

_MARGIN = 0.95
_LOWEST, _HIGHEST = 0.02, 0.98
_LONGEST_LIST = 1000


def reach_hz(recordings: Sequence[Recording], spec: LogMelSpec, share: float) -> float:
    """The frequency up to which every recording has sound that no resampler has changed.

    The lowest of: ``share`` of the Nyquist frequency of the features and of each recording, and
    0.95 of the frequency at which the sound of a recording ends. A warning names the recordings
    that end lower than the others. For log-mel that was computed elsewhere, all bands are scored,
    because its recording chain does not change.
    """
    if all(recording.recorded_by is None for recording in recordings):
        return spec.f_max_hz
    full_hz = share * spec.sample_rate_hz / 2
    reaches = [min(full_hz, _reach_of(recording, spec, share)) for recording in recordings]
    lowest = min(reaches)
    if lowest < full_hz:
        narrow = [r.name for r, one in zip(recordings, reaches, strict=True) if one == lowest]
        logger.warning(
            "the sound of %s ends at %.1f kHz: higher frequencies are not scored%s",
            narrow[0] + (f" and {len(narrow) - 1} more" if len(narrow) > 1 else ""),
            lowest / 1000,
            "" if len(narrow) == len(reaches) else "; to score them, train without such recordings",
        )
    return lowest


def capture_of(
    recordings: Sequence[Recording], spec: LogMelSpec, scored_bands: int | None, share: float
) -> Capture | None:
    """The description of the training sound in the bundle; None if the network scores all bands."""
    if scored_bands is None:
        return None
    levels_db = np.concatenate([r.windows(spec).mean(axis=2) for r in recordings])
    known = [r.recorded_by for r in recordings if r.recorded_by is not None]
    chains = dict.fromkeys(one.chain for one in known)
    low, high = np.quantile(levels_db, (_LOWEST, _HIGHEST), axis=0)
    return Capture(
        scored_bands=scored_bands,
        scored_share=share,
        reach_hz=float(spec.band_corners_hz[scored_bands + 1]),
        low_db=tuple(round(float(value), 2) for value in low),
        high_db=tuple(round(float(value), 2) for value in high),
        slope_db_per_octave=_slope(levels_db.mean(axis=0), spec, scored_bands),
        gap_share=round(max((one.gap_share for one in known), default=0.0), 4),
        zeroed_share=_zeroed_share(recordings),
        offset=round(max(one.offset for one in known), 7) if known else None,
        chains=tuple(chains)[:_LONGEST_LIST],
    )


def _zeroed_share(recordings: Sequence[Recording]) -> float | None:
    """The largest share of a recording, with a warning. None for log-mel."""
    known = [(r.recorded_by.zeroed_share, r.name) for r in recordings if r.recorded_by is not None]
    if not known:
        return None
    share, name = max(known)
    if share > 0.0:
        logger.warning(
            "%s has stretches of exact zeros, as programs put them in place of lost sound: such "
            "sound is not reported later; to have it reported, train without such recordings",
            name,
        )
    return round(share, 4)


def _reach_of(recording: Recording, spec: LogMelSpec, share: float) -> float:
    reach = float("inf")
    if recording.recorded_by is not None:
        reach = share * recording.recorded_by.chain.sample_rate_hz / 2
    end = end_of_sound(recording.frames_db.mean(axis=0, dtype=np.float64))
    if end is None:
        return reach
    end_hz = spec.band_edges_hz(end)[0]
    if end_hz > share * spec.sample_rate_hz / 2:  # in the transition band: not scored
        return reach
    return min(reach, _MARGIN * end_hz)


def _slope(levels_db: DoubleArray, spec: LogMelSpec, n: int) -> float:
    """Of the upper third of ``n`` bands, in dB per octave."""
    bands = np.arange(2 * n // 3, n)
    if len(bands) < 2:
        return 0.0
    octaves = np.log2(spec.band_corners_hz[1:-1][bands])
    return round(float(np.polyfit(octaves, levels_db[bands], 1)[0]), 2)
