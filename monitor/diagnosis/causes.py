"""Rates to causes: what in the machine would repeat so often.

The orders of faults are those of Randall, *Vibration-based Condition Monitoring* (2011), chapter
2: imbalance at the speed of the shaft, looseness at its multiples and halves, vanes at their number
times the speed, gears at the number of teeth times it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from monitor.diagnosis.findings import Fit
from monitor.diagnosis.settings import ShaftSettings
from monitor.diagnosis.speed import ShaftSpeed

SLIP = 0.02
"""By how much the cage of a bearing is slower or faster than it would roll."""
_EXACT = 0.003
"""Of what is fixed to the shaft: only the error of measurement, in shares."""
_MAINS = 0.002
_BELT = 0.02
IMBALANCE = "imbalance"
MISALIGNMENT = "misalignment"
LOOSENESS = "looseness"
RUB = "rub or contact once a revolution"
CAVITATION = "cavitation, or flow noise at the blades or vanes"


@dataclass(frozen=True, slots=True)
class _Candidate:
    cause: str
    expected_hz: float
    tolerance: float
    condition: str


@dataclass(frozen=True, slots=True)
class Causes:
    """What is known of the machine. ``shaft``: ``[machine.shaft]``. ``speed``: of the alert."""

    shaft: ShaftSettings
    speed: ShaftSpeed | None

    def order_of(self, rate_hz: float) -> float | None:
        """The rate in revolutions; None if nobody has given the speed."""
        known = self.speed is not None and self.speed.is_given
        return rate_hz / self.speed.hz if self.speed is not None and known else None

    def of_impacts(self, rate_hz: float, uncertainty_hz: float) -> tuple[Fit, ...]:
        """What strikes so often."""
        return _matching(self._striking(), rate_hz, uncertainty_hz)

    def of_swelling_noise(self, rate_hz: float, uncertainty_hz: float) -> tuple[Fit, ...]:
        """What makes noise swell so often."""
        return _matching(self._swelling(rate_hz), rate_hz, uncertainty_hz)

    def of_lines(self, rate_hz: float, uncertainty_hz: float) -> tuple[Fit, ...]:
        """What makes a tone, or a comb of tones, of this frequency.

        No part of a bearing: a damaged one makes impacts, and a tone may be near its rate by
        chance, because it slips.
        """
        return _matching(self._fixed(), rate_hz, uncertainty_hz)

    def swelling_rates(self, fits: tuple[Fit, ...]) -> Iterator[tuple[float, float]]:
        """How often the impacts of these parts get stronger and weaker, and the tolerance.

        A damaged place of the inner race, or of a ball, turns through the load of the bearing.
        """
        named = {fit.cause for fit in fits}
        for part, order, _, tolerance in self._swelling_parts():
            if self.speed is not None and part in named:
                yield order * self.speed.hz, tolerance + 2.0 * self.speed.relative

    def hidden_parts(
        self, rate_hz: float, uncertainty_hz: float, highest_hz: float
    ) -> tuple[Fit, ...]:
        """The parts whose impacts get stronger and weaker so often, and may not be seen themselves.

        Their own rate is too wide if the speed varies in a way that could not be measured, or it
        is above ``highest_hz``.
        """
        candidates = (
            candidate
            for part, order, own_order, tolerance in self._swelling_parts()
            for candidate in self._at_speed(part, order, tolerance)
            if self.speed is not None
            and (not self.speed.is_measured or own_order * self.speed.hz > highest_hz)
        )
        return tuple(
            replace(fit, text=f"{fit.cause}, whose impacts are stronger and weaker so often")
            for fit in _matching(candidates, rate_hz, uncertainty_hz)
        )

    def _swelling_parts(self) -> Iterator[tuple[str, float, float, float]]:
        """Parts, how often they swell and are struck in a revolution, and the tolerance."""
        for one in self.shaft.known_bearings():
            yield f"inner race of {one.name}", 1.0, one.inner_order, _EXACT
            yield f"ball of {one.name}", one.cage_order, 2.0 * one.ball_order, SLIP

    def looseness(self) -> tuple[Fit, ...]:
        """The cause of halves of the speed."""
        return self._of_shaft(LOOSENESS, 0.5)

    def once_a_revolution(self, *, second_is_strong: bool) -> tuple[Fit, ...]:
        """The causes of a tone at the speed of the shaft."""
        fits = self._of_shaft(IMBALANCE, 1.0)
        return fits + self.misalignment() if second_is_strong else fits

    def misalignment(self) -> tuple[Fit, ...]:
        """The cause of a tone at twice the speed of the shaft, louder than at the speed itself."""
        return self._of_shaft(MISALIGNMENT, 1.0)

    def _of_shaft(self, cause: str, order: float) -> tuple[Fit, ...]:
        if self.speed is None:
            return ()
        text = f"{cause}, at {_speed_text(self.speed)}"
        return (Fit(cause, order * self.speed.hz, 0.0, text),)

    def _at_speed(self, cause: str, order: float, tolerance: float) -> Iterator[_Candidate]:
        if self.speed is not None:
            error = 2.0 * self.speed.relative
            condition = f"at {_speed_text(self.speed)}"
            yield _Candidate(cause, order * self.speed.hz, tolerance + error, condition)

    def _striking(self) -> Iterator[_Candidate]:
        for bearing in self.shaft.known_bearings():
            for part, order in bearing.parts():
                yield from self._at_speed(part, order, SLIP)
        yield from self._at_speed(RUB, 1.0, _EXACT)
        yield from self._fixed()

    def _swelling(self, rate_hz: float) -> Iterator[_Candidate]:
        yield from self._at_speed(RUB, 1.0, _EXACT)
        if self.shaft.blades is not None:
            yield from self._at_speed(CAVITATION, self.shaft.blades, _EXACT)
        elif self.speed is not None and 2.5 < rate_hz / self.speed.hz < 20.5:
            yield from self._at_speed(CAVITATION, round(rate_hz / self.speed.hz), _EXACT)

    def _fixed(self) -> Iterator[_Candidate]:
        shaft = self.shaft
        if shaft.blades is not None and shaft.blades > 1:
            yield from self._at_speed("blades or vanes", shaft.blades, _EXACT)
        if shaft.teeth is not None:
            yield from self._at_speed("gear mesh", shaft.teeth, _EXACT)
        for times, word in ((1, "belt"), (2, "belt, twice a turn")):
            if shaft.belt_hz is not None:
                yield _Candidate(word, times * shaft.belt_hz, _BELT, "at its given rate")
        if shaft.mains_hz is not None:
            yield _Candidate("twice the mains", 2 * shaft.mains_hz, _MAINS, "electrical")


def _matching(
    candidates: Iterator[_Candidate], rate_hz: float, uncertainty_hz: float
) -> tuple[Fit, ...]:
    """The candidates that the rate fits, the nearest in its own tolerance first, each once."""
    found: list[tuple[float, Fit]] = []
    for one in candidates:
        deviation = rate_hz / one.expected_hz - 1.0
        tolerance = one.tolerance + 2.0 * uncertainty_hz / one.expected_hz
        if abs(deviation) <= tolerance:
            text = f"{one.cause} {one.condition} within {max(0.1, abs(deviation) * 100):.1f} %"
            fit = Fit(one.cause, one.expected_hz, deviation, text)
            found.append((abs(deviation) / tolerance, fit))
    nearest = (fit for _, fit in sorted(found, key=lambda pair: pair[0]))
    by_cause: dict[str, Fit] = {}
    for fit in nearest:
        by_cause.setdefault(fit.cause, fit)
    return tuple(by_cause.values())


def _speed_text(speed: ShaftSpeed) -> str:
    where = ""
    if speed.is_measured and not speed.is_given:
        where = ", if that is the speed of the shaft"
    elif not speed.is_measured:
        where = ", as configured"
    return f"{speed.hz:.4g} rev/s{where}"
