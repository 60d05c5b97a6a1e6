"""The healthy spectra of a training set, for each fold of recordings and for all of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray
from monitor.errors import BadInputError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.peaks import HealthyPeaks, PeakRule, healthy_peaks
from monitor.model.stretched_db import stretched, unstretched
from monitor.text.escaping import one_line
from training.sound.section_spectra import SectionSpectra

logger = logging.getLogger(__name__)

LEAST_RECORDINGS = 4
PIECE_S = 15.0
SPEED_SHARE = 0.015
"""The usual variation of the speed between days, as in :mod:`training.sound.alterations`."""
LEVEL_SHARE = 0.1
"""A tone 20 dB above its neighbourhood varies by about 2 dB between days."""
AMPLITUDE_TO_DB = 10.0
"""With 0, the faults of a fan that are mixed in at -12 and -18 dB raise an alert in .81 of the
recordings, with this in .88, and healthy sound comes as near to the thresholds."""
NEVER_DB = 1e4
_MOST_PIECES = 400


@dataclass(frozen=True, slots=True)
class PieceSpectra:
    """The mean spectra of pieces of about ``PIECE_S`` of the recordings, in stretched decibels.

    ``means``: for each spectrum ``(n_pieces, n_bands, n_bins)``. ``n_windows`` and ``section``:
    ``(n_pieces,)``, the windows of a piece and the index of its recording or section.
    """

    means: tuple[DoubleArray, ...] = field(repr=False)
    n_windows: npt.NDArray[np.intp]
    section: npt.NDArray[np.intp]

    def healthy(
        self, inside: npt.NDArray[np.bool_], sound: SectionSpectra, f_max_hz: float
    ) -> tuple[HealthyPeaks, ...]:
        """The statistics of the recordings that are ``inside`` ``(n_recordings,)``.

        Bins above ``f_max_hz`` never stand out.
        """
        kept = inside[self.section]
        envelope, lines = sound.spectra.envelope, sound.spectra.lines
        first_bins = (envelope.first_bin, lines.bin_slice.start)
        # Impacts and rubs repeat, so they have harmonics. A tone may have none.
        rules = (
            PeakRule(first_bin=envelope.first_bin, amplitude_to_db=AMPLITUDE_TO_DB),
            PeakRule(amplitude_to_db=AMPLITUDE_TO_DB),
        )
        unused = (
            np.broadcast_to(
                (envelope.band_edges_hz[1:] > f_max_hz)[:, None], self.means[0].shape[1:]
            ),
            (lines.frequencies_hz > f_max_hz)[None],
        )
        chances_db2 = (envelope.chance_db2, lines.chance_db2)
        return tuple(
            _for_other_speeds(
                healthy_peaks(means[kept], self.n_windows[kept], rule.of_chance(chance), rule),
                first,
                never,
            )
            for means, chance, rule, first, never in zip(
                self.means, chances_db2, rules, first_bins, unused, strict=True
            )
        )


def _for_other_speeds(
    healthy: HealthyPeaks, first_bin: int, unused: npt.NDArray[np.bool_]
) -> HealthyPeaks:
    """Each bin as the highest within ``SPEED_SHARE`` of its frequency: the speed varies.

    And a tone varies more from day to day than noise does, so the deviation of a bin is at least
    ``LEVEL_SHARE`` of its healthy level. ``first_bin``: how many multiples of the spacing the
    first bin is from 0 Hz.
    """
    level_db = _highest_near(healthy.level_db, first_bin)
    limit_db = healthy.rule.amplitude_to_db
    tone_db = unstretched(np.maximum(level_db, 0.0), limit_db)
    of_days_db2 = np.square(LEVEL_SHARE * tone_db)
    return replace(
        healthy,
        level_db=np.where(unused, NEVER_DB, level_db),
        variance_db2=_highest_near(healthy.variance_db2, first_bin) + of_days_db2,
    )


def _highest_near(values: DoubleArray, first_bin: int) -> DoubleArray:
    """Shape in, shape out: ``(n_bands, n_bins)``."""
    n_bins = values.shape[1]
    reach = np.ceil(SPEED_SHARE * (first_bin + np.arange(n_bins))).astype(int)
    highest = values.copy()
    for step in range(1, int(reach.max()) + 1):
        near = np.flatnonzero(reach >= step)
        below, above = np.maximum(near - step, 0), np.minimum(near + step, n_bins - 1)
        beside = np.maximum(values[:, below], values[:, above])
        highest[:, near] = np.maximum(highest[:, near], beside)
    return highest


def piece_spectra(sound: SectionSpectra) -> PieceSpectra | None:
    """Average the spectra of all windows in pieces.

    None, with a warning, where they cannot be had for every recording: log-mel has no samples, and
    a file may have changed since it was read.
    """
    if any(recording.recorded_by is None for recording in sound.recordings):
        logger.info("log-mel has no samples: repeated impacts and narrow lines are not scored")
        return None
    try:
        return _averaged(sound)
    except (BadInputError, MissingInputError) as error:
        logger.warning("%s: repeated impacts and narrow lines are not scored", error)
        return None


def _averaged(sound: SectionSpectra) -> PieceSpectra:
    ends = _piece_ends(sound.n_windows, sound.spec)
    totals: dict[tuple[int, int], list[DoubleArray]] = {}
    counts: dict[tuple[int, int], int] = {}
    taken = [0] * len(ends)
    for index, spectra in sound.windows():
        piece = index, int(np.searchsorted(ends[index], taken[index], side="right"))
        taken[index] += 1
        if piece not in totals:
            totals[piece] = [np.zeros(one.shape) for one in spectra]
        for total, one in zip(totals[piece], spectra, strict=True):
            np.add(total, stretched(one, AMPLITUDE_TO_DB), out=total)
        counts[piece] = counts.get(piece, 0) + 1
    short = [
        one.name
        for one, n, wanted in zip(sound.recordings, taken, sound.n_windows, strict=True)
        if n != wanted
    ]
    if short:
        raise BadInputError(f"{one_line(short[0])}: its sound is not the same as before")
    n_spectra = len(next(iter(totals.values())))
    means = tuple(
        np.stack([total[number] / counts[piece] for piece, total in totals.items()])
        for number in range(n_spectra)
    )
    sections = np.array([index for index, _ in totals])
    return PieceSpectra(means, np.array([counts[piece] for piece in totals]), sections)


def _piece_ends(n_windows: Sequence[int], spec: LogMelSpec) -> list[npt.NDArray[np.intp]]:
    """For each section, where its pieces end, in windows; at most about ``_MOST_PIECES``."""
    per_piece = max(round(PIECE_S / spec.window_hop_s), math.ceil(sum(n_windows) / _MOST_PIECES))
    ends = []
    for n in n_windows:
        n_pieces = max(1, round(n / per_piece))
        ends.append(np.cumsum([len(part) for part in np.array_split(np.arange(n), n_pieces)]))
    return ends
