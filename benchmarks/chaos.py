"""Whether alerts, notifications or evidence are lost while everything fails, for an hour of sound.

    python -m benchmarks.chaos [--seed N] [--minutes 60] [--kills 120] [--speed 40] [--json]

The real daemon monitors six machines, whose faults start and end by a plan. Beside it run
`auscult notify`, which sends to an HTTP endpoint, and `auscult web`, which a viewer asks for every
page. Also by a plan, which depends on the seed, the daemon and a real mosquitto are killed with
SIGKILL: at random moments and at chosen ones (during the start, while connecting,
inside the transaction of the outbox, while an alert is sent). `auscult notify` and `auscult web`
are killed too, the first also while it sends a message. The endpoint fails, hangs or hangs up for a
while, sometimes until so many messages wait that they are sent as one. The broker is paused and
connections are reset. Each new broker has other limits: no retained messages, QoS 0, small
packets. The clock of the computer is set forward and back, by up to 45 days, also while the
daemon does not run. The history is damaged while the daemon does not run and after
`auscult notify` has read it: what is destroyed before that cannot be sent. If the benchmark
runs as root, the disk of the state folder is filled, the history and the evidence are read-only for
a while, and the computer is started again: with another boot id and a new time since boot. Four
machines have a command as their source, and two have a folder into which recordings are put.

A witness records every decision of the detectors and every alert that the outbox
accepts. A subscriber in a separate process records what it receives. The history has a limit of
10 MB and is full at the beginning, and so has the evidence; both are looked at all the time.
The exit status is 1 unless

- every alert was received, in order, without gaps and without a date in the future,
- every fault raised one alert,
- the endpoint received the beginning and the end of every alert, in order, alone or in a message
  about several alerts, unless no disk accepted the alert before the daemon was killed,
- the evidence that alerts name is there, or the log, the history or its metadata report that it is
  lost or was deleted because of a limit,
- `auscult notify` repeated at most one message for each kill, and the page answers at the end,
- history and evidence were never larger than their limits, and
- the page gave no answer with status 500.

The sound waits while the daemon does not run, so an hour of sound is monitored. The
daemon can connect only while the subscriber is subscribed: mosquitto gives a message to
a connected subscriber before it acknowledges it, but when it is killed it loses messages
that it stored for an absent subscriber.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._chaos.disk import INSIDE
from benchmarks._chaos.ledger import Fault
from benchmarks._chaos.outcome import Outcome, judge
from benchmarks._chaos.recordings import RecordingPlan, plan_recordings
from benchmarks._chaos.sound import SoundPlan, plan_sounds
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
) -> tuple[Outcome, World]:
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
        return judge(world, _faults(sounds, recordings)), world


def _faults(
    sounds: Sequence[SoundPlan], recordings: Sequence[RecordingPlan]
) -> dict[str, list[Fault]]:
    """The faults of each machine. Call it after the sound was delivered."""
    faults = {
        sound.machine: [
            Fault(tone_hz, is_broken=unbroken_s < LONG_ENOUGH_S)
            for tone_hz, unbroken_s in zip(sound.tones, sound.unbroken_s(), strict=True)
        ]
        for sound in sounds
    }
    return faults | {plan.machine: list(map(Fault, plan.tones)) for plan in recordings}


def report(outcome: Outcome, world: World, minutes: float, wall_s: float) -> str:
    """The result as text."""
    done, clock = world.done, world.clock
    ledger, dates = outcome.ledger, outcome.dates
    endpoint = ", ".join(f"{n} {key[10:]}" for key, n in sorted(done.items()) if "endpoint" in key)
    damaged = ", ".join(f"{n} {key[9:]}" for key, n in sorted(done.items()) if "history" in key)
    limits = ", ".join(f"{n} {limit}" for limit, n in sorted(world.brokers.limits.items()))
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
        ("SIGKILL of auscult notify, of auscult web", f"{done['kill notify']}, {done['kill web']}"),
        ("endpoint of the notifications broken", endpoint),
        ("history damaged", damaged),
        ("history and evidence read-only", done["read-only disk"] or world.read_only.missing),
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
        *_rows_of_companions(outcome, world),
    ]
    return "\n".join(f"{name:42} {value}" for name, value in rows)


def _rows_of_companions(outcome: Outcome, world: World) -> list[tuple[str, object]]:
    """Notifications, evidence, space and the page."""
    notices, evidence, space = outcome.notices, outcome.evidence, world.space
    answers = sorted(world.companions.viewer.answers.items())
    exceeded = space.history.exceeded + space.evidence.exceeded
    return [
        ("alerts to send as notifications", notices.alerts),
        ("  messages at the endpoint", notices.received),
        ("    of them with a picture, repeated", f"{notices.pictures}, {notices.duplicated}"),
        ("    about several alerts, their lines", f"{notices.joined}, {notices.lines}"),
        ("  on no disk when the daemon was killed", notices.on_no_disk),
        ("  lost", notices.lost),
        ("pieces of evidence that alerts name", evidence.named),
        ("  there at the end: whole, incomplete", f"{evidence.whole}, {evidence.partial}"),
        ("    with the tone of the fault in their sound", evidence.checked),
        ("  deleted because of evidence.max_mb", evidence.deleted),
        ("  lost and reported", evidence.noted + evidence.lost),
        ("  forgotten together with the history", evidence.forgotten),
        ("alerts without evidence", evidence.unnamed),
        ("most bytes: history, evidence", f"{space.history.most}, {space.evidence.most}"),
        ("  above the limit, of so many looks", f"{exceeded}, {space.n_looks}"),
        ("answers of the page", ", ".join(f"{n} {status}" for status, n in answers)),
        ("most memory in MB", world.companions.most_mb),
    ]


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
        outcome, world = run(
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
        without = {"reboot": world.clock.no_reboot, "read-only disk": world.read_only.missing}
        more = {"limits": world.brokers.limits, "wall_s": wall_s, "without": without}
        print(json.dumps(outcome.as_json() | more))
    else:
        print(report(outcome, world, arguments.minutes, wall_s))
        for problem in outcome.problems:
            print(f"PROBLEM: {problem}")
    return 1 if outcome.problems or outcome.ledger.lost or outcome.notices.lost else 0


if __name__ == "__main__":
    sys.exit(main())
