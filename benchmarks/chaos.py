"""Is an alert ever lost? An hour of sound while everything is killed, cut and filled.

    python -m benchmarks.chaos [--seed N] [--minutes 60] [--kills 120] [--speed 40] [--json]

Six machines, whose faults come and go by a plan, are watched by the real daemon.
By the seed's plan the daemon and a real mosquitto are killed with SIGKILL, at any
moment and at moments aimed at: while starting, while connecting, inside the
outbox's transaction, with an alert on the wire. The broker is paused, connections
are reset, and, as root, the disk under the outbox is filled. A witness writes down
what the detectors decide and what the outbox takes, past both; a subscriber in a
process of its own writes down what it receives. Exit status 1 unless every alert
was received, in order and without gaps.

Sound stands still while the daemon is down, so that the hour is one of sound heard.
The connection to the daemon is only let through while the subscriber is subscribed:
mosquitto hands a message to a connected subscriber before it acknowledges it, but
forgets, when killed, what it kept for an absent one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._chaos.ledger import Ledger, read_lines, settle
from benchmarks._chaos.sound import plan_sounds
from benchmarks._chaos.troubles import plan_troubles
from benchmarks._chaos.world import World
from tests.bundles import make_bundle

MACHINES = 6
PATIENCE_S = 120.0
_INSIDE = "AUSCULT_CHAOS_INSIDE"


def run(
    folder: Path, *, seed: int, minutes: float, kills: int, speed: float
) -> tuple[Ledger, World]:
    """Let it all happen in ``folder`` and draw up the account."""
    seconds = 60.0 * minutes
    sounds = plan_sounds(folder / "sound", MACHINES, seconds, speed)
    troubles = plan_troubles(seed, seconds, kills)
    world = World(folder, make_bundle(folder / "bundle").path, sounds, random.Random(seed))  # noqa: S311  # a repeatable plan, not a secret
    with world:
        while (position_s := world.position_s()) < seconds:
            while troubles and troubles[0].at_s <= position_s:
                world.strike(troubles.pop(0))
            world.turn()
        world.calm_down(PATIENCE_S)
    tones = {sound.machine: sound.tones for sound in sounds}
    messages = [line for line in read_lines(world.received) if line["event"] == "message"]
    ledger = settle(read_lines(world.witness), messages, tones)
    ledger.problems += world.problems
    return ledger, world


def report(ledger: Ledger, world: World, minutes: float, wall_s: float) -> str:
    """The account for people."""
    done = world.done
    rows = [
        ("sound heard", f"{minutes:g} min of {MACHINES} machines, in {wall_s:.0f} s"),
        ("SIGKILL of the daemon", done["kill daemon"]),
        ("SIGKILL of the broker", done["kill broker"]),
        ("broker paused", done["pause broker"]),
        ("network cut", done["cut network"]),
        ("disk filled", done["fill disk"] or world.no_disk),
        ("daemon restarted in order", done["restart"]),
        ("faults in the sound", ledger.faults),
        ("  of them told to the subscriber", ledger.faults_told),
        ("alerts decided by the detectors", ledger.decided),
        ("  made durable", ledger.returned),
        ("  killed meanwhile, durable already", ledger.arrived_unreturned),
        ("  killed before, decided again", ledger.decided_again),
        ("  durable only in memory for a while", ledger.in_memory),
        ("received", ledger.received),
        ("  by kind", ", ".join(f"{n} {kind}" for kind, n in sorted(ledger.kinds.items()))),
        ("duplicated", ledger.duplicated),
        ("lost", ledger.lost),
    ]
    return "\n".join(f"{name:38} {value}" for name, value in rows)


def _enter_private_mounts() -> None:
    """As root: start anew where a small disk can be mounted that nobody else sees."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or _INSIDE in os.environ:
        return
    private = [unshare, "--mount", "--propagation", "private"]
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode == 0:
        again = [*private, sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]]
        os.execve(unshare, again, os.environ | {_INSIDE: "1"})  # noqa: S606  # this very program


def main() -> int:
    """Run with the given arguments; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="of sound")
    parser.add_argument("--kills", type=int, default=120, help="SIGKILLs, at least")
    parser.add_argument("--speed", type=float, default=40.0, help="at most so many times real time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="a new folder in which everything is left")
    arguments = parser.parse_args()
    _enter_private_mounts()
    os.nice(10)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="auscult-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun_s = time.monotonic()
    try:
        ledger, world = run(
            folder,
            seed=arguments.seed,
            minutes=arguments.minutes,
            kills=arguments.kills,
            speed=arguments.speed,
        )
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    wall_s = time.monotonic() - begun_s
    if arguments.json:
        print(json.dumps(dataclasses.asdict(ledger) | {"done": world.done, "wall_s": wall_s}))
    else:
        print(report(ledger, world, arguments.minutes, wall_s))
        for problem in ledger.problems:
            print(f"PROBLEM: {problem}")
    return 1 if ledger.problems or ledger.lost else 0


if __name__ == "__main__":
    sys.exit(main())
