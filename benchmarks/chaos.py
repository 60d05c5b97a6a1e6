"""Whether alerts are lost: an hour of sound with kills, a full disk, clocks that are set, limits.

    python -m benchmarks.chaos [--seed N] [--minutes 60] [--kills 120] [--speed 40] [--json]

The real daemon monitors six machines, whose faults start and end by a plan. Also by
a plan, which depends on the seed, the daemon and a real mosquitto are killed with
SIGKILL: at random moments and at chosen ones (during the start, while connecting,
inside the transaction of the outbox, while an alert is sent). The broker is paused and
connections are reset. Each new broker has other limits: no retained messages, QoS 0, small
packets. The clock of the daemon is set forward and back, by up to 45 days, also while the
daemon does not run. If the benchmark runs as root, the disk of the
outbox is filled, and the computer of the daemon is started again: with another boot id and a
new time since boot. Four machines have a command as their source, and two have a folder into
which recordings are put.

A witness records every decision of the detectors and every alert that the outbox
accepts. A subscriber in a separate process records what it receives. The exit status is
1 unless every alert was received, in order, without gaps and without a date in the future,
and every fault raised one alert.

The sound waits while the daemon does not run, so an hour of sound is monitored. The
daemon can connect only while the subscriber is subscribed: mosquitto gives a message to
a connected subscriber before it acknowledges it, but when it is killed it loses messages
that it stored for an absent subscriber.
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

from benchmarks._chaos.dates import Dates, check_dates
from benchmarks._chaos.disk import INSIDE
from benchmarks._chaos.ledger import Fault, Ledger, read_lines, settle
from benchmarks._chaos.recordings import plan_recordings
from benchmarks._chaos.sound import plan_sounds
from benchmarks._chaos.troubles import plan_troubles
from benchmarks._chaos.world import World
from tests.bundles import make_bundle

COMMANDS = ("m0", "m1", "m2", "m3")
FOLDERS = ("m4", "m5")
MACHINES = len(COMMANDS) + len(FOLDERS)
PATIENCE_S = 120.0
LONG_ENOUGH_S = 16.0
"""So much of a fault gives an alert: 11.7 s, and what is in pipes when a daemon is killed."""


def run(
    folder: Path, *, seed: int, minutes: float, kills: int, speed: float
) -> tuple[Ledger, Dates, World]:
    """Run the benchmark in ``folder`` and count what happened."""
    seconds = 60.0 * minutes
    sounds = plan_sounds(folder / "sound", COMMANDS, seconds, speed)
    recordings = plan_recordings(folder / "recordings", FOLDERS, seconds)
    troubles = plan_troubles(seed, seconds, kills)
    bundle = make_bundle(folder / "bundle")
    world = World(folder, bundle.path, sounds, recordings, random.Random(seed))  # noqa: S311  # a repeatable plan, not a secret
    with world:
        while (position_s := world.position_s()) < seconds:
            while troubles and troubles[0].at_s <= position_s:
                world.strike(troubles.pop(0))
            world.turn()
        world.calm_down(PATIENCE_S)
    faults = {
        sound.machine: [
            Fault(tone_hz, is_broken=unbroken_s < LONG_ENOUGH_S)
            for tone_hz, unbroken_s in zip(sound.tones, sound.unbroken_s(), strict=True)
        ]
        for sound in sounds
    }
    faults |= {plan.machine: list(map(Fault, plan.tones)) for plan in recordings}
    witness = read_lines(world.witness)
    messages = [line for line in read_lines(world.received) if line["event"] == "message"]
    ledger = settle([line for line in witness if line["event"] != "sent"], messages, faults)
    dates = check_dates(witness, messages, world.clock)
    ledger.problems += dates.problems + world.problems
    return ledger, dates, world


def report(ledger: Ledger, dates: Dates, world: World, minutes: float, wall_s: float) -> str:
    """The result as text."""
    done, clock = world.done, world.clock
    limits = ", ".join(f"{n} {limit}" for limit, n in sorted(world.limits.items()))
    growing = sum(recorder.n_growing for recorder in world.recorders)
    moved = sum(recorder.n_moved for recorder in world.recorders)
    n_recordings = sum(len(recorder.plan.recordings) for recorder in world.recorders)
    rows = [
        ("monitored sound", f"{minutes:g} min of {MACHINES} machines, in {wall_s:.0f} s"),
        ("SIGKILL of the daemon", done["kill daemon"]),
        ("SIGKILL of the broker", done["kill broker"]),
        ("broker paused", done["pause broker"]),
        ("network cut", done["cut network"]),
        ("disk filled", done["fill disk"] or world.no_disk),
        ("daemon restarted normally", done["restart"]),
        ("computer of the daemon started again", done["reboot"] or clock.no_reboot),
        ("clock set while the daemon runs", done["set clock"]),
        ("clock set while it does not run", done["set clock while stopped"]),
        ("limits of the brokers", limits),
        ("recordings put into folders", n_recordings),
        ("  of them growing, moved or touched later", f"{growing}, {moved}"),
        ("faults in the sound", ledger.faults),
        ("  of them interrupted too often to be found", ledger.broken),
        ("    decided, but killed before the write", ledger.broken_off),
        ("  of them received by the subscriber", ledger.faults_received),
        ("alerts decided by the detectors", ledger.decided),
        ("  made durable", ledger.returned),
        ("  killed during the write, already durable", ledger.arrived_unreturned),
        ("  killed before the write, decided again", ledger.decided_again),
        ("  durable only in memory for a while", ledger.in_memory),
        ("received", ledger.received),
        ("  by kind", ", ".join(f"{n} {kind}" for kind, n in sorted(ledger.kinds.items()))),
        ("  in the short form", ledger.short),
        ("  sent in a later boot", dates.across_boots),
        ("  clock set while they waited", dates.redated),
        ("duplicated", ledger.duplicated),
        ("dated in the future", dates.future),
        ("lost", ledger.lost),
    ]
    return "\n".join(f"{name:42} {value}" for name, value in rows)


def _enter_private_mounts() -> None:
    """As root: start again with private mounts, so that a small disk can be mounted."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or INSIDE in os.environ:
        return
    private = [unshare, "--mount", "--propagation", "private"]
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode == 0:
        again = [*private, sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]]
        os.execve(unshare, again, os.environ | {INSIDE: "1"})  # noqa: S606  # this very program


def main() -> int:
    """Run with the given arguments; return the exit status."""
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
        ledger, dates, world = run(
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
        counts = {"done": world.done, "limits": world.limits, "wall_s": wall_s}
        without = {"reboot": world.clock.no_reboot}
        results = {"dates": dataclasses.asdict(dates), "without": without}
        print(json.dumps(dataclasses.asdict(ledger) | counts | results))
    else:
        print(report(ledger, dates, world, arguments.minutes, wall_s))
        for problem in ledger.problems:
            print(f"PROBLEM: {problem}")
    return 1 if ledger.problems or ledger.lost else 0


if __name__ == "__main__":
    sys.exit(main())
