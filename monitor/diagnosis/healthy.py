"""Healthy sound as a reference: what of an alert is new, and how much counts.

A line or rate is new only as far as it is above the loudest of all healthy pieces, a little up
and down in frequency. How far above that is chance is learned from the pieces themselves: each is
compared with the others, over all frequencies, rates and bands, exactly as the alert is. The
largest excess so found, and a margin, is the limit. So a machine whose healthy sound varies much
has high limits, and the search over many rates is paid for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.ceilings import Ceiling, moved
from monitor.diagnosis.combs import first_rate
from monitor.diagnosis.relative_speed import relative_speed, relative_speeds
from monitor.diagnosis.segments import background_of, widest
from monitor.diagnosis.sound import Spectra
from monitor.domain import DoubleArray, FloatArray

_SPEED_SHARE = 0.008
"""By how much healthy lines may lie beside those of the alert: load changes the speed."""
KNOWN_LINE_DB = 10.0
"""A healthy line that stands out so far is known: it is compared with its own level."""
_LEAST_NEW_DB, _LEAST_KNOWN_DB = 7.0, 3.0
_LEAST_COMB = 7.0
_LEAST_THIRD_DB = 3.0
_MARGIN = 3.0
"""Of the limit over the largest excess among healthy pieces, in their deviations."""
_MEAN_OF_POWER_DB = 2.5
"""Of noise: the level of its mean power over the mean of its levels."""
_OTHER_SPEED, _OTHER_SPEED_DB = 0.03, 6.0
_ENOUGH, _TWO = 8, 2
"""The next healthy piece is above the largest of n in one of n + 1 cases. With two pieces the least
limits are twice as high as with eight, and evenly less in between."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From which excess over the ceiling something counts.

    ``new_db``: a line where healthy sound has none; ``known_db``: a healthy line that has become
    louder; ``comb``: a rate, in deviations; ``third_db``: a third octave.
    """

    new_db: float
    known_db: float
    comb: float
    third_db: float


class Healthy:
    """Healthy pieces of sound in one operating state.

    ``has_sound``: false if there is no healthy sound and the only piece is ``featureless``. Raises
    ``ValueError`` without any piece, and for pieces that were cut in another way.
    """

    def __init__(self, pieces: Sequence[Spectra], *, has_sound: bool = True) -> None:
        if not pieces or any(one.plan != pieces[0].plan for one in pieces):
            raise ValueError("healthy pieces of one plan are needed")
        self.pieces = tuple(pieces)
        self.has_sound = has_sound
        self.plan = pieces[0].plan
        self.speeds, self._typical = relative_speeds(pieces)
        """Of the machine in each piece, relative to the most typical piece; 1 if not certain."""
        self.speed = 1.0
        """Of the machine in what is compared, in the same measure."""
        n_bins = len(pieces[0].density_db)
        self.reach = (1 + _SPEED_SHARE * np.arange(n_bins)).astype(np.intp)
        self._density = Ceiling(
            [self._widest_of(one, lambda it: it.density_db) for one in pieces], self.speeds
        )
        self._power = Ceiling(
            [self._widest_of(one, self._around_db) for one in pieces], self.speeds
        )
        self._prominence = Ceiling(
            [self._widest_of(one, lambda it: it.prominence_db) for one in pieces], self.speeds
        )
        self._line_power = Ceiling(
            [widest(self._line_power_db(one), self.reach) for one in pieces], self.speeds
        )
        combs = [one.combs.values for one in pieces]
        comb_reach = (4 + _SPEED_SHARE * np.arange(combs[0].shape[-1])).astype(np.intp)
        self._combs = Ceiling(
            [widest(one, comb_reach) for one in combs], self.speeds, first_rate(self.plan.bin_hz)
        )
        self.median_density_db: FloatArray = np.median(
            self._at_one_speed(widest(one.density_db, self.reach) for one in pieces), axis=0
        )
        self.least_prominence_db: FloatArray = np.min(
            self._at_one_speed(widest(one.prominence_db, self.reach) for one in pieces), axis=0
        )
        """What every piece has at least, a little up and down in frequency."""
        self.mean_density_db: FloatArray = np.mean(
            self._at_one_speed(one.density_db for one in pieces), axis=0
        )
        self._thirds_db = np.stack([one.noise_thirds_db for one in pieces])
        self.limits = self._limits()

    @classmethod
    def featureless(cls, sound: Spectra) -> Healthy:
        """In place of healthy sound: the same noise without any line or rhythm."""
        flat = replace(
            sound,
            density_db=sound.background_db,
            power_db=sound.background_db,
            raw_density_db=None,
            envelope_db=background_of(sound.envelope_db, sound.plan.bin_hz),
            kurtosis=np.zeros_like(sound.kurtosis),
        )
        return cls([flat], has_sound=False)

    def _widest_of(self, piece: Spectra, values: Callable[[Spectra], FloatArray]) -> FloatArray:
        """A spectrum of the piece, also as it was before its speed was made steady."""
        either = values(piece)
        if piece.raw_density_db is not None:
            either = np.maximum(either, values(piece.raw))
        return widest(either, self.reach)

    def _at_one_speed(self, spectra: Iterable[FloatArray]) -> list[FloatArray]:
        pairs = zip(spectra, self.speeds, strict=True)
        return [moved(one, 1.0 / float(speed)) for one, speed in pairs]

    def at_speed_of(self, sound: Spectra) -> Healthy:
        """The same pieces, compared with this sound, if its speed relative to them is certain."""
        speed = relative_speed(sound, self.pieces[self._typical])
        return self if speed is None else self.at_speed(speed)

    def at_speed(self, speed: float) -> Healthy:
        """The same pieces, compared with sound of this speed of the machine, see ``speed``.

        At a speed that no piece has, resonances make other lines loud, and there is other noise:
        only rates and lines that are far above all pieces count.
        """
        other = copy(self)
        other.speed = speed
        other.median_density_db = moved(self.median_density_db, speed)
        other.least_prominence_db = moved(self.least_prominence_db, speed)
        other.mean_density_db = moved(self.mean_density_db, speed)
        if other.is_other_speed:
            new_db = self.limits.new_db + _OTHER_SPEED_DB
            other.limits = Limits(new_db, math.inf, self.limits.comb, math.inf)
        return other

    @property
    def is_other_speed(self) -> bool:
        """Whether no piece has about this speed."""
        return bool((np.abs(self.speed / self.speeds - 1.0) > _OTHER_SPEED).all())

    def line_excess_db(self, sound: Spectra, without: int | None = None) -> FloatArray:
        """How far each bin is above all healthy pieces, in level and in prominence.

        Shape: ``(n_bins,)``. The smaller of both: a higher gain raises levels only, less noise
        raises prominences only. A line that healthy sound has must also have more power with its
        neighbourhood: a steadier speed makes it narrower and higher, with the same power. For the
        same reason, any line of sound whose speed was made steady must have more power.
        """
        level = sound.density_db - self._of(self._density, without)
        prominence = sound.prominence_db - self._of(self._prominence, without)
        smaller: FloatArray = np.minimum(level, prominence)
        power = self._around_db(sound) - self._of(self._power, without)
        is_known = self.is_known_line(without)
        smaller[is_known] = np.minimum(smaller, power)[is_known]
        if sound.raw_density_db is not None:
            of_line = self._line_power_db(sound) - self._of(self._line_power, without)
            smaller = np.minimum(smaller, of_line)
        return smaller

    def _of(self, ceiling: Ceiling, without: int | None) -> FloatArray:
        """A ceiling at the speed of what is compared with it."""
        speed = self.speed if without is None else float(self.speeds[without])
        return ceiling.without(without, speed)

    def _around_db(self, sound: Spectra) -> FloatArray:
        """The power of each bin together with those within reach. Shape: ``(n_bins,)``."""
        return self._summed_db(10.0 ** (sound.density_db.astype(np.float64) / 10.0))

    def _line_power_db(self, sound: Spectra) -> FloatArray:
        """The power of lines within reach, however wide they are. Shape: ``(n_bins,)``."""
        power = 10.0 ** (sound.power_db.astype(np.float64) / 10.0)
        noise = 10.0 ** ((sound.background_db + np.float32(_MEAN_OF_POWER_DB)) / 10.0)
        return self._summed_db(np.maximum(0.0, power - noise))

    def _summed_db(self, power: DoubleArray) -> FloatArray:
        total = np.concatenate([[0.0], np.cumsum(power)])
        places = np.arange(len(power))
        low = np.maximum(places - self.reach, 0)
        high = np.minimum(places + self.reach + 1, len(power))
        summed = np.maximum(total[high] - total[low], 0.0)
        return np.asarray(10.0 * np.log10(summed + 1e-30), dtype=np.float32)

    def is_known_line(self, without: int | None = None) -> npt.NDArray[np.bool_]:
        """Where healthy sound has a line. Shape: ``(n_bins,)``."""
        return np.asarray(self._of(self._prominence, without) >= KNOWN_LINE_DB)

    def comb_excess(self, sound: Spectra, without: int | None = None) -> FloatArray:
        """How far each rate of each band is above all healthy pieces.

        Shape: ``(n_bands, n_rates)``, in deviations.
        """
        ceiling = np.maximum(self._of(self._combs, without), 0.0)
        return np.asarray(sound.combs.values - ceiling, dtype=np.float32)

    def third_excess_db(self, sound: Spectra, without: int | None = None) -> DoubleArray:
        """How far each third octave of noise is above all healthy pieces, less a change of gain.

        Shape: ``(n_thirds,)``, 0 for bands that are too narrow.
        """
        others = self._thirds_db
        if without is not None:
            others = np.delete(others, without, axis=0)
        above = sound.noise_thirds_db - others.max(axis=0)
        gain = np.nanmedian(sound.noise_thirds_db - np.median(others, axis=0))
        return np.asarray(np.nan_to_num(above - max(0.0, float(gain)), nan=0.0))

    def line_level_db(self, sound: Spectra, peak: int) -> float:
        """The level of a line over the median of the healthy pieces there."""
        return float(sound.density_db[peak] - self.median_density_db[peak])

    def _limits(self) -> Limits:
        new, known, combs, thirds = [], [], [], []
        for number, one in enumerate(self.pieces if len(self.pieces) > 1 else ()):
            excess = self.line_excess_db(one, number)
            stands_out = one.prominence_db >= 5.0 * one.deviation_db
            is_known = self.is_known_line(number)
            new.append(float(excess.max(initial=0.0, where=stands_out & ~is_known)))
            known.append(float(excess.max(initial=0.0, where=stands_out & is_known)))
            combs.append(float(self.comb_excess(one, number).max(initial=0.0)))
            thirds.append(float(self.third_excess_db(one, number).max(initial=0.0)))
        missing = (_ENOUGH - len(self.pieces)) / (_ENOUGH - _TWO)
        scale = 1.0 + min(1.0, max(0.0, missing))
        return Limits(
            _limit(new, _LEAST_NEW_DB * scale),
            _limit(known, _LEAST_KNOWN_DB * scale),
            _limit(combs, _LEAST_COMB * scale),
            _limit(thirds, _LEAST_THIRD_DB * scale),
        )


def _limit(largest: list[float], least: float) -> float:
    """Above the largest excess among healthy pieces, and never below ``least``."""
    if len(largest) < 2:
        return least
    return max(least, max(largest) + _MARGIN * min(float(np.std(largest)), least))
