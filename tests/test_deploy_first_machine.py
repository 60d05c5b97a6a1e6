"""The first steps of README.md on a fresh system, until an alert.

The system is an overlay of this computer's root directory without Auscult. The test fills in the
repository's address, the port of its broker, and less sound for the first bundle. The microphone
is PulseAudio's monitor of a sink that plays a simulated pump.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.daemons import documents
from tests.installed_node import INSTALL, REPOSITORY, pump_sound
from tests.mosquitto import Mosquitto, Subscriber
from tests.nspawn import BootedSystem
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parent.parent
MOST_COMMANDS = 4
SERVER = "PULSE_SERVER=unix:/run/vmic/native"
AS_UNIT = ["systemd-run", "--quiet", "--setenv=HOME=/run/vmic", f"--setenv={SERVER}"]
SERVICE, TRAINING = "auscult.service", "auscult-train.service"
DROP_INS = [f"/etc/systemd/system/{unit}.d/quicker.conf" for unit in (SERVICE, TRAINING)]
LEARNED = "/var/lib/auscult/learning/machine-1"
# In place of a sound card: the address of the sound server. A first bundle from 36 s of sound,
# which is kept for the next one. Short clips of alerts.
QUICKER = f"""[Service]
Environment={SERVER} AUSCULT_MQTT__PORT={{port}} AUSCULT_MQTT__RECONNECT_MAX_S=1
Environment=AUSCULT_LEARNING__FIRST_AFTER_MIN=0.6 AUSCULT_LEARNING__PIECE_S=3
Environment=AUSCULT_LEARNING__EVERY_S=2 AUSCULT_LEARNING__KEEP=true
Environment=AUSCULT_EVIDENCE__BEFORE_S=5 AUSCULT_EVIDENCE__AFTER_S=2
"""
# Also for the tests that use this installation after this one: they start dozens of processes.
COMPILE = """
import compileall
import torch._dynamo, training.sound.train
import monitor.notify.child, monitor.service.daemon, monitor.web.server
compileall.compile_dir(monitor.__path__[0], quiet=1)
monitor.notify.child.Apprise.instantiate("json://localhost")  # loads every service
"""
QUICKER_TRAINING = """[Service]
Environment=AUSCULT_TRAINING__EPOCHS=3 AUSCULT_TRAINING__MOST_WINDOWS_PER_EPOCH=256
"""


def first_steps() -> list[str]:
    """The commands of the README's first code block below "Watch your first machine"."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Watch your first")[2]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block, "README.md has no first steps"
    return [line for line in block[1].splitlines() if line.strip()]


class FirstMachine:
    """The fresh system, the sound at its microphone, and what a technician does there."""

    def __init__(self, system: BootedSystem) -> None:
        self.system = system
        self.run = system.run
        for name, fault in (("healthy", False), ("broken", True)):
            sound = pump_sound(60.0, fault=fault)
            soundfile.write(system.root / "srv" / f"{name}.flac", sound, 16_000)

    def install_microphone(self) -> None:
        """A default microphone without hardware."""
        self.run(["mkdir", "-p", "/run/vmic"])
        self.system.write("/etc/asound.conf", "pcm.!default { type pulse }\n")
        socket = "module-native-protocol-unix auth-anonymous=1 socket=/run/vmic/native"
        sink = "--load=module-null-sink sink_name=vmic rate=48000"
        server = ["pulseaudio", "-n", "--exit-idle-time=-1", f"--load={socket}", sink]
        self.run([*AS_UNIT, "--unit=vmic", *server])
        info = ["env", SERVER, "pactl", "info"]
        wait_for(lambda: self.run(info, check=False).returncode == 0, 20, "the sound server")

    def play(self, name: str) -> None:
        """The microphone receives this sound from now on."""
        self.run(["systemctl", "stop", "vmic-sound.service"], check=False)
        play = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"]
        play += ["-i", f"/srv/{name}.flac", "-f", "pulse", "-device", "vmic", "pump"]
        self.run([*AS_UNIT, "--unit=vmic-sound", "--collect", *play])

    def follow(self, steps: list[str]) -> None:
        """Type the commands of the README as root."""
        script = "\n".join(["set -eux", "cd /root", *steps]).replace("REPOSITORY", REPOSITORY)
        if self.run(["which", "sudo"], check=False).returncode != 0:
            script = script.replace("sudo ", "")
        done = self.run(
            ["bash", "-c", script],
            timeout_s=1300,
            environment={
                "PIP_NO_COMPILE": "1",  # compiling takes half of the time: see below
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            },
        )
        print(done.stdout[-3000:], done.stderr[-3000:])  # pytest shows it for a failed test
        # The services must not write compiled modules, so compile now what they import.
        compiles = {"PYTHONDONTWRITEBYTECODE": ""}
        self.run(["/opt/auscult/venv/bin/python", "-c", COMPILE], environment=compiles)

    def status(self) -> str:
        """The line of the machine in ``auscult status``."""
        lines = self.run(["auscult", "status"], check=False).stdout.splitlines()
        return next((line for line in lines if line.startswith("machine-1 ")), "")

    def wait_for_status(self, words: str, timeout_s: float) -> None:
        wait_for(lambda: words in self.status(), timeout_s, f'"{words}" in auscult status')

    def wait_for_training(self) -> None:
        """Wait until the unit trains; before that, a kill would leave the request as it was."""
        begun = ["test", "-e", f"{LEARNED}/work/begun"]

        def is_training() -> bool:
            is_active = self.system.unit(TRAINING, "ActiveState") == "activating"
            return is_active and self.run(begun, check=False).returncode == 0

        wait_for(is_training, 120, "a training")

    def wait_for_end_of_training(self) -> None:
        """Ask systemd: a command of Auscult, asked again and again, would slow the training."""
        active = partial(self.system.unit, TRAINING, "ActiveState")
        wait_for(lambda: active() in {"inactive", "failed"}, 180, "the end of the training")


@pytest.fixture
def fresh(booted: BootedSystem) -> Iterator[FirstMachine]:
    """A booted system with a microphone, the sound of a pump, and without Auscult."""
    for program in ("pulseaudio", "ffmpeg"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if (booted.root / "etc/auscult").exists():  # other tests came first
        booted.run([INSTALL, "--uninstall", "--purge"], timeout_s=300)
    machine = FirstMachine(booted)
    machine.install_microphone()
    machine.play("healthy")
    yield machine
    print(booted.journal("auscult*"))  # pytest shows it for a failed test
    booted.run(["systemctl", "disable", "--now", SERVICE], check=False)
    booted.run(["systemctl", "stop", TRAINING, "vmic.service", "vmic-sound.service"], check=False)
    booted.run(["rm", "-rf", *DROP_INS, "/etc/auscult/config.toml", "/var/lib/private/auscult"])
    booted.run(["systemctl", "daemon-reload"])


@pytest.fixture
def subscriber(fresh: FirstMachine, tmp_path: Path) -> Iterator[Subscriber]:
    """A subscriber to the broker that the service uses."""
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker) as listening:
        fresh.system.write(DROP_INS[0], QUICKER.format(port=broker.port))
        fresh.system.write(DROP_INS[1], QUICKER_TRAINING)
        yield listening


def test_the_first_steps_of_the_readme_lead_to_a_monitored_machine(
    fresh: FirstMachine, subscriber: Subscriber
) -> None:
    """A new user could not set up a node, or would have to record sound by hand."""
    steps = first_steps()
    assert len(steps) <= MOST_COMMANDS
    fresh.follow(steps)
    system = fresh.system
    assert system.unit(SERVICE, "ActiveState") == "active"
    fresh.wait_for_status("  learning  ", 60)
    assert re.search(r" learning \d+ %, day 1 of 7, \d+ pieces?, ", fresh.status())

    stop_and_kill_during_a_training(fresh)
    system.run(["systemctl", "restart", SERVICE])  # otherwise it tries again after a minute
    daemon = system.unit(SERVICE, "MainPID")
    fresh.wait_for_training()
    system.run(["systemctl", "reload", SERVICE])
    fresh.wait_for_end_of_training()
    fresh.wait_for_status("still needed: 7 days of sound", 30)
    assert system.unit(SERVICE, "MainPID") == daemon
    wait_for(lambda: newest(subscriber)["state"] == "ok", 30, "the machine in the state ok")
    assert newest(subscriber)["provisional"] is True
    assert system.run(["sh", "-c", f"ls {LEARNED}/bundles/*/report.html"]).stdout.count("\n") == 1
    refused = system.run(["auscult", "rollback", "machine-1"], check=False)
    assert (refused.returncode, "has no earlier bundle" in refused.stderr) == (64, True)

    assert "armed" in system.run(["auscult", "arm", "machine-1"]).stdout
    wait_for(lambda: newest(subscriber)["learning"]["stage"] == "armed", 10, "the armed machine")
    fresh.play("broken")
    raised = wait_for(lambda: documents(subscriber, "/machine-1/alert"), 60, "an alert")[0]
    assert (raised["kind"], raised["ratio"] > 1.0) == ("raised", True)
    fresh.wait_for_status(raised["alert_id"], 10)
    relearns_the_alert(fresh, subscriber, raised["alert_id"])
    for message in subscriber.messages():
        check_message(message.topic, message.payload)

    release = system.run(["readlink", "/opt/auscult/venv"]).stdout
    again = system.run(["/root/auscult/deploy/install.sh"])
    assert "keeping the installed trainer" in again.stderr
    assert system.run(["readlink", "/opt/auscult/venv"]).stdout == release
    assert system.unit(SERVICE, "MainPID") == daemon


def newest(subscriber: Subscriber) -> dict[str, Any]:
    """The newest state of the machine."""
    payloads = subscriber.payloads("/machine-1/state")
    return dict(json.loads(payloads[-1]))


def relearns_the_alert(fresh: FirstMachine, subscriber: Subscriber, alert_id: str) -> None:
    """The alert is a false alarm: the unit trains a new bundle, and the service compares it with
    the one in use and uses it."""
    run = fresh.run
    before = newest(subscriber)["learning"]["bundle"]
    run(["auscult", "label", alert_id, "false-alarm"])
    clip = ["sh", "-c", f"ls {LEARNED}/relearn/{alert_id}-0/*"]
    wait_for(lambda: run(clip, check=False).returncode == 0, 60, "the sound of the alert")
    assert "a new bundle is being trained" in run(["auscult", "relearn", "machine-1"]).stdout
    fresh.wait_for_training()

    def comparison() -> dict[str, Any]:
        shown = json.loads(run(["auscult", "relearn", "machine-1", "--json"]).stdout)["relearning"]
        assert shown["step"] != "failed", shown["trouble"]
        return dict(shown["comparison"] or {})

    fresh.wait_for_end_of_training()
    compared = wait_for(comparison, 60, "the comparison")
    (alert,) = compared["alerts"]
    assert (alert["alert_id"], alert["alarm_before"], alert["learned"]) == (alert_id, True, True)
    accepted = run(["auscult", "relearn", "machine-1", "--accept"]).stdout
    assert "uses the new bundle" in accepted
    wait_for(lambda: newest(subscriber)["learning"]["bundle"] != before, 20, "the new bundle")
    new = compared["thresholds"]["after"]
    scores = partial(documents, subscriber, "/machine-1/score")
    wait_for(lambda: scores()[-1]["threshold"] == new, 30, "a score of the new bundle")


def stop_and_kill_during_a_training(fresh: FirstMachine) -> None:
    """The request is there after the next start, and is reported, not trained again at once."""
    run = fresh.run
    fresh.wait_for_training()
    run(["systemctl", "stop", SERVICE])
    assert fresh.system.unit(TRAINING, "ActiveState") == "activating"
    run(["systemctl", "kill", "--signal=KILL", TRAINING])
    wait_for(lambda: fresh.system.unit(TRAINING, "ActiveState") == "failed", 20, "the end")
    run(["systemctl", "start", SERVICE])  # systemd starts the requested training again
    fresh.wait_for_status("the training failed: it was ended early", 30)
    assert run(["ls", "/var/lib/auscult/training"]).stdout == ""
    assert fresh.system.unit("auscult-train.path", "ActiveState") == "active"
