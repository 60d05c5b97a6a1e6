"""A plan of kills, pauses, cut connections and full disks, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from benchmarks._chaos.witness import POINTS

Kind = Literal["kill daemon", "kill broker", "pause broker", "cut network", "fill disk", "restart"]


@dataclass(frozen=True)
class Trouble:
    """An event after ``at_s`` seconds of delivered sound.

    ``aim``: the moment for which it waits; empty: none. ``lasts_s``: real seconds until the
    broker, the network or the disk is available again. ``delay_us``: time after the point in
    the daemon that is the aim.
    """

    at_s: float
    kind: Kind
    aim: str = ""
    lasts_s: float = 0.0
    delay_us: float = 0.0


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
            at_s, kind, aim, rng.uniform(0, 1.5), rng.choice([0.0, rng.uniform(0, 3000)])
        )
    if kind == "kill broker":
        aim = rng.choice(["", "", "alert coming", "alert passed", "connecting"])
        return Trouble(at_s, kind, aim, rng.uniform(0, 2.5))
    longest_s = {"pause broker": 6.0, "cut network": 1.5, "fill disk": 4.0, "restart": 0.0}
    return Trouble(at_s, kind, lasts_s=rng.uniform(0.1, 1.0) * longest_s[kind])
