"""A plan of kills, pauses, cut connections, and full or damaged disks, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from benchmarks._chaos.witness import POINTS

Kind = Literal[
    "kill daemon",
    "kill broker",
    "pause broker",
    "cut network",
    "fill disk",
    "restart",
    "set clock",
    "kill notify",
    "kill web",
    "break endpoint",
    "crowd endpoint",
    "damage history",
    "read-only disk",
]

CLOCK_SIZES_S = (0.4, 3.0, 50.0, 3600.0, 45 * 86_400.0)
_LIMITS = (
    ("retain_available false",),
    ("max_qos 0", "max_qos 1"),
    (
        "max_packet_size 300",
        "max_packet_size 600",
        "max_packet_size 2048",
        "message_size_limit 300",
        "message_size_limit 600",
    ),
    ("max_inflight_messages 1",),
    ("max_keepalive 10",),
)
"""Settings of mosquitto, with which every alert can still be delivered."""
_LONGEST_S: dict[Kind, float] = {
    "pause broker": 6.0,
    "cut network": 1.5,
    "fill disk": 4.0,
    "break endpoint": 10.0,
    "read-only disk": 6.0,
}


@dataclass(frozen=True)
class Trouble:
    """An event after ``at_s`` seconds of delivered sound.

    ``aim``: the moment for which it waits, or how the endpoint of notifications fails; empty:
    none. ``lasts_s``: real seconds until the broker, the network, the disk or the endpoint is
    available again. ``delay_us``: time after the point in
    the daemon that is the aim. ``clock_s``: how far the wall clock is ahead from then on, None
    to leave it; for a killed daemon it is set before the next one starts. ``reboot``: the
    computer is started again, not only the daemon. ``limits``: those of the next broker.
    """

    at_s: float
    kind: Kind
    aim: str = ""
    lasts_s: float = 0.0
    delay_us: float = 0.0
    clock_s: float | None = None
    reboot: bool = False
    limits: tuple[str, ...] = ()


def plan_troubles(seed: int, seconds: float, kills: int) -> list[Trouble]:
    """A plan for ``seconds`` of sound: ``kills`` SIGKILLs, 3 of 5 of the daemon, and others."""
    rng = random.Random(seed)  # noqa: S311  # a repeatable plan, not a secret
    numbers: dict[Kind, int] = {
        "kill daemon": round(kills * 0.6),
        "kill broker": kills - round(kills * 0.6),
        "pause broker": max(1, kills // 10),
        "cut network": max(1, kills // 10),
        "fill disk": max(1, kills // 15),
        "restart": max(1, kills // 20),
        "set clock": max(2, kills // 3),
        "kill notify": max(2, kills // 5),
        "kill web": max(2, kills // 5),
        "break endpoint": max(2, kills // 8),
        "crowd endpoint": max(1, kills // 20),
        "damage history": max(1, kills // 15),
        "read-only disk": max(1, kills // 15),
    }
    troubles = [
        _trouble(rng, kind, seconds) for kind, number in numbers.items() for _ in range(number)
    ]
    return sorted(troubles, key=lambda trouble: trouble.at_s)


def _trouble(rng: random.Random, kind: Kind, seconds: float) -> Trouble:
    at_s = rng.uniform(5.0, max(6.0, seconds - 40.0))
    if kind == "kill daemon":
        aims = ["", "", "starting", *POINTS]
        aim = rng.choice(aims)
        return Trouble(
            at_s,
            kind,
            aim,
            rng.uniform(0, 1.5),
            rng.choice([0.0, rng.uniform(0, 3000)]),
            clock_s=_clock_s(rng) if rng.random() < 0.4 else None,
            reboot=rng.random() < 0.3,
        )
    if kind == "kill broker":
        aim = rng.choice(["", "", "alert coming", "alert passed", "connecting"])
        return Trouble(at_s, kind, aim, rng.uniform(0, 2.5), limits=_limits(rng))
    if kind == "kill notify":
        aim = rng.choice(["", "while it sends"])
        return Trouble(at_s, kind, aim, delay_us=rng.choice([0.0, rng.uniform(0, 100_000)]))
    if kind == "set clock":
        return Trouble(at_s, kind, clock_s=_clock_s(rng))
    aim = rng.choice(["fail", "hang", "drop"]) if kind == "break endpoint" else ""
    aim = "fail until many wait" if kind == "crowd endpoint" else aim
    return Trouble(at_s, kind, aim, lasts_s=rng.uniform(0.1, 1.0) * _LONGEST_S.get(kind, 0.0))


def _clock_s(rng: random.Random) -> float:
    """How far the clock is ahead: not at all, or by one of the sizes to either side."""
    return rng.choice([0.0, *CLOCK_SIZES_S, *(-size_s for size_s in CLOCK_SIZES_S)])


def _limits(rng: random.Random) -> tuple[str, ...]:
    """The limits of a broker; one of four has none."""
    if rng.random() < 1 / 4:
        return ()
    return tuple(rng.choice(kind) for kind in _LIMITS if rng.random() < 0.5)
