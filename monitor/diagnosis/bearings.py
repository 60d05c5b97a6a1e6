"""Rolling bearings: geometry, and how often a fault of each part is struck in a revolution.

Formulas: Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical
Systems and Signal Processing 25 (2011), equations 1 to 4, for a turning inner ring without slip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bearing:
    """A bearing of ``balls`` balls or rollers of ``ball_mm`` on a circle of ``pitch_mm``.

    ``name``: as in findings. ``source``: where the geometry is published, empty if the user gave
    it. Raises ``ValueError`` with the name of a value that is not possible.
    """

    name: str
    balls: int
    ball_mm: float
    pitch_mm: float
    angle_deg: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a bearing that cannot be built."""
        if not 3 <= self.balls <= 200:
            raise ValueError(f"balls must be from 3 to 200, not {self.balls}")
        if not 0.0 < self.ball_mm < self.pitch_mm:
            raise ValueError(
                f"ball_mm must be above 0 and below pitch_mm, not {self.ball_mm:g} with pitch_mm "
                f"{self.pitch_mm:g}"
            )
        if not 0.0 <= self.angle_deg < 90.0:
            raise ValueError(f"angle_deg must be from 0 to below 90, not {self.angle_deg:g}")

    @property
    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.angle_deg))

    @property
    def cage_order(self) -> float:
        """FTF: turns of the cage in a revolution of the shaft."""
        return 0.5 * (1.0 - self._ratio)

    @property
    def outer_order(self) -> float:
        """BPFO: balls that pass a place of the outer race in a revolution."""
        return self.balls * self.cage_order

    @property
    def inner_order(self) -> float:
        """BPFI: balls that pass a place of the inner race in a revolution."""
        return 0.5 * self.balls * (1.0 + self._ratio)

    @property
    def ball_order(self) -> float:
        """BSF: turns of a ball in a revolution. A place on it strikes a race twice in a turn."""
        return self.pitch_mm / (2.0 * self.ball_mm) * (1.0 - self._ratio**2)

    def parts(self) -> tuple[tuple[str, float], ...]:
        """Each part and how often a fault of it is struck in a revolution."""
        return (
            (f"outer race of {self.name}", self.outer_order),
            (f"inner race of {self.name}", self.inner_order),
            (f"ball of {self.name}", 2.0 * self.ball_order),
            (f"ball of {self.name}", self.ball_order),
            (f"cage of {self.name}", self.cage_order),
        )


_INCH_MM = 25.4
_CWRU = "SKF, as published by the Bearing Data Center of Case Western Reserve University"
_XJTU = "Wang et al., IEEE Transactions on Reliability 69 (2020): LDK UER204"
_IMS = "Qiu et al., Journal of Sound and Vibration 289 (2006): Rexnord ZA-2115"
_FEMTO = "Nectoux et al., PRONOSTIA, IEEE PHM (2012): NSK 6804"
KNOWN = {
    one.name: one
    for one in (
        Bearing("6203", 8, 0.2656 * _INCH_MM, 1.122 * _INCH_MM, 0.0, _CWRU),
        Bearing("6205", 9, 0.3126 * _INCH_MM, 1.537 * _INCH_MM, 0.0, _CWRU),
        Bearing("6804", 13, 3.5, 25.6, 0.0, _FEMTO),
        Bearing("UER204", 8, 7.92, 34.55, 0.0, _XJTU),
        Bearing("ZA-2115", 16, 0.331 * _INCH_MM, 2.815 * _INCH_MM, 15.17, _IMS),
    )
}
"""Bearings whose geometry somebody has published and others have used. Makers change the balls of
one designation, so a geometry from the data sheet is better."""


def known_bearing(name: str) -> Bearing:
    """The bearing of that name; seals and clearance behind it (``6205-2RS``) do not matter.

    Raises ``ValueError`` that names the known ones.
    """
    wanted = name.strip().upper()
    for known, bearing in KNOWN.items():
        rest = wanted.removeprefix(known.upper())
        if rest != wanted and not rest[:1].isalnum():
            return bearing
    raise ValueError(
        f"the geometry of bearing {name!r} is not in the table ({', '.join(KNOWN)}): give it as "
        '{ name = "...", balls = 9, ball_mm = 7.94, pitch_mm = 39.04, angle_deg = 0 }'
    )
