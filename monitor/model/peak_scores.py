"""How far spectra stand out of healthy recordings: one score for each spectrum of a window.

The spectra of a window are one row of numbers here, because a call of numpy for all of them takes
little longer than one for the shortest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray
from monitor.model.peaks import HealthyPeaks
from monitor.model.stretched_db import stretch
from monitor.workspace import workspaces

_PER_HARMONIC = 0.5**0.5
_SCALE = 0.25
"""The twelfth power of the largest deviation must not be too large for single precision."""
_KEPT_NUMBERS = 16
"""So many numbers of windows are expected to take turns."""


class PeakScores:
    """The scores of all spectra of a bundle.

    A row holds the values of all spectra of a window, one spectrum after the other, stretched as
    the rule of the spectrum says, less their healthy levels: float32, shape ``(n_values,)``. All
    means are means of rows.

    The score of a spectrum is ``(sum over bins of s^exponent)^(1/exponent)``. If bins count alone,
    ``s`` is the deviation ``max(0, z)`` with ``z = (mean - level) / (slope sqrt(variance
    (1 + 1 / n_recordings) + chance / n_windows))``. If they count with their second harmonics, it
    is the sum of the deviations at the bin and at twice its rate, divided by the root of 2. The
    deviation at twice the rate is the largest of three bins, because rates vary, and 0 beyond the
    last bin. Noise of 4,000 bins gives about 3, whatever the number of windows.
    """

    def __init__(self, healthy: Sequence[HealthyPeaks]) -> None:
        self._healthy = tuple(healthy)
        ends = np.cumsum([one.level_db.size for one in self._healthy]).tolist()
        self._places = [slice(*pair) for pair in zip([0, *ends], ends, strict=False)]
        self._levels_db = [one.level_db.astype(np.float32) for one in self._healthy]
        self.n_values: int = ends[-1]
        self._kept: dict[tuple[int, int], FloatArray] = {}

    def above(self, spectra: Sequence[npt.NDArray[np.floating]]) -> FloatArray:
        """The row of a window, from its values in dB. Shape: each ``(n_bands, n_bins)``."""
        row = np.empty(self.n_values, dtype=np.float32)
        for spectrum, healthy, level_db, place in zip(
            spectra, self._healthy, self._levels_db, self._places, strict=True
        ):
            part = row[place].reshape(level_db.shape)
            part[...] = spectrum
            if healthy.rule.amplitude_to_db:
                stretch(part, healthy.rule.amplitude_to_db)
            np.subtract(part, level_db, out=part)
        return row

    def of(self, mean: npt.NDArray[np.floating], n_windows: int) -> tuple[float, ...]:
        """The score of each spectrum, >= 0, from the mean of the rows of ``n_windows``."""
        with _works(1, self.n_values) as work:
            np.multiply(mean, self._per_db(n_windows), out=work.deviations[0], casting="same_kind")
            return tuple(self._scores(work)[0].tolist())

    def of_rows(self, rows: Sequence[FloatArray]) -> tuple[float, ...]:
        """As :meth:`of`, from the row of each window."""
        with _works(1, self.n_values) as work:
            total = rows[0]
            for index in range(1, len(rows)):
                total = np.add(total, rows[index], out=work.deviations[0])
            np.multiply(total, self._per_db_of_sum(len(rows)), out=work.deviations[0])
            return tuple(self._scores(work)[0].tolist())

    def of_means(
        self, weights: FloatArray, rows: FloatArray, n_windows: Sequence[int]
    ) -> DoubleArray:
        """The scores of several means of the same rows.

        ``weights``: of each row in each mean, ``(n_means, n_rows)``. ``rows``: ``(n_rows,
        n_values)``. ``n_windows``: of each mean. Shape: ``(n_means, n_spectra)``.
        """
        with _works(len(weights), self.n_values) as work:
            np.matmul(weights, rows, out=work.deviations)
            for row, n in zip(work.deviations, n_windows, strict=True):
                np.multiply(row, self._per_db(n), out=row)
            return self._scores(work)

    def highest(self, number: int, mean: FloatArray, n_windows: int) -> tuple[int, int]:
        """The band and the bin with the largest ``z`` of the spectrum ``number``.

        The first of equals. If no bin is above its level, ``z`` is negative and the one nearest to
        it counts.
        """
        place = self._places[number]
        at = int((mean[place] * self._per_db(n_windows)[place]).argmax())
        band, in_band = divmod(at, self._healthy[number].level_db.shape[1])
        return band, in_band

    def _scores(self, work: _Work) -> DoubleArray:
        """The scores of ``work.deviations``, which may be negative. ``(n_means, n_spectra)``."""
        values, powers = work.deviations, work.powers
        # Twice what is above 0. The maximum of two numbers takes longer.
        np.abs(values, out=powers)
        np.add(values, powers, out=values)
        for healthy, place in zip(self._healthy, self._places, strict=True):
            if healthy.rule.first_bin:
                _add_harmonics(values[:, place], powers[:, place], healthy)
        np.multiply(values, values, out=values)
        np.multiply(values, values, out=powers)
        scores = np.empty((len(values), len(self._places)))
        for number, (healthy, place) in enumerate(zip(self._healthy, self._places, strict=True)):
            one, other = values[:, place], powers[:, place]  # second and fourth powers
            if healthy.rule.exponent == 12:
                np.multiply(other, other, out=one)
            share = 0.5 / _SCALE * (_PER_HARMONIC if healthy.rule.first_bin else 1.0)
            scores[:, number] = share * np.vecdot(one, other) ** (1.0 / healthy.rule.exponent)
        return scores

    def _per_db(self, n_windows: int) -> FloatArray:
        """``_SCALE / (slope sqrt(variance))``, for means of ``n_windows``: ``(n_values,)``."""
        return self._keep((n_windows, 1))

    def _per_db_of_sum(self, n_windows: int) -> FloatArray:
        """The same, divided by the number."""
        return self._keep((n_windows, n_windows))

    def _keep(self, key: tuple[int, int]) -> FloatArray:
        per_db = self._kept.get(key)
        if per_db is None:
            n_windows, divisor = key
            variances = [
                one.variance_db2 * (1.0 + 1.0 / one.n_recordings) + one.chance_db2 / n_windows
                for one in self._healthy
            ]
            each = [
                (_SCALE / (one.slope * np.sqrt(variance)) / divisor).reshape(-1)
                for one, variance in zip(self._healthy, variances, strict=True)
            ]
            per_db = np.concatenate(each).astype(np.float32)
            # A recording that grows has another number at each window.
            if len(self._kept) >= _KEPT_NUMBERS:
                self._kept.clear()
            self._kept[key] = per_db
        return per_db


def _add_harmonics(above: FloatArray, work: FloatArray, healthy: HealthyPeaks) -> None:
    """Make each bin the sum with its second harmonic. Shape: ``(n_means, n_values)`` both.

    Bin ``i`` is at ``i + first_bin`` times the spacing, so its harmonic is bin ``2 i + first_bin``.
    """
    # The larger of two neighbours. Pairs across two bands are not used.
    np.maximum(above[:, :-1], above[:, 1:], out=work[:, :-1])
    shape, first = (len(above), *healthy.level_db.shape), healthy.rule.first_bin
    n = max(0, shape[2] - first) // 2
    pairs = work.reshape(shape)
    second = np.maximum(pairs[..., first - 1 :: 2][..., :n], pairs[..., first::2][..., :n])
    lowest = above.reshape(shape)[..., :n]
    np.add(lowest, second, out=lowest)


class _Work:
    def __init__(self, n_rows: int, n_values: int) -> None:
        self.deviations = np.empty((n_rows, n_values), dtype=np.float32)
        self.powers = np.empty_like(self.deviations)


_works = workspaces(_Work)
