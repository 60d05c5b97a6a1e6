"""The service installed by deploy/install.sh on a real systemd.

All tests of deploy/ share the system. Its broker has the example settings (TLS, passwords, access
list). The service monitors a simulated pump with a bearing fault.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from monitor.evidence.folder import EvidenceFolder
from tests.bundles import make_bundle
from tests.installed_node import (
    CERTIFICATES,
    INSTALL,
    PASSWORD,
    Node,
    configuration,
    pump_sound,
)
from tests.mosquitto import Subscriber, free_port
from tests.notifications import Hook
from tests.nspawn import BootedSystem
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parent.parent
UNIT = "/usr/local/lib/systemd/system/auscult.service"

# Shorter times only: the rest of the unit is the installed one.
QUICKER = "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\nRestartSec=1\n"


@pytest.fixture(scope="module")
def installed(booted: BootedSystem, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A booted system after deploy/install.sh, with the broker, a bundle and the password."""
    if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("node")
    healthy = pump_sound(160.0)
    bundle = folder / "pump-7"
    make_bundle(bundle, np.array_split(healthy, 8))
    booted.run([INSTALL], timeout_s=300)
    shutil.copytree(bundle, booted.root / "etc" / "auscult" / "bundles" / "pump-7")
    node = Node(booted, free_port())
    node.set_up_broker()
    booted.write("/etc/auscult/mqtt_password", PASSWORD + "\n", mode=0o600)
    booted.write("/etc/systemd/system/auscult.service.d/quicker.conf", QUICKER)
    booted.run(["systemctl", "daemon-reload"])
    return node


@pytest.fixture
def node(installed: Node) -> Iterator[Node]:
    """The installed system with the service stopped and without state."""
    installed.stop()
    installed.configure(configuration(installed.port))
    yield installed
    print(installed.system.journal("auscult.service"))  # pytest shows it for a failed test
    installed.stop()


def alerts(subscriber: Subscriber, kind: str | None = None) -> list[dict[str, Any]]:
    """The received alerts in order, all of them or those of one kind."""
    found = [json.loads(payload) for payload in subscriber.payloads("/pump-7/alert")]
    return [alert for alert in found if kind in (None, alert["kind"])]


def test_systemd_accepts_every_line_of_the_units(installed: Node) -> None:
    """systemd ignores a misspelt line of a unit with a warning."""
    units = ["auscult.service", "auscult@pump-7.service", "auscult-replay.service"]
    units += ["auscult-train.service", "auscult-train.path"]
    units += ["auscult-train@pump-7.service", "auscult-train@pump-7.path"]
    units += ["auscult-notify.service", "auscult-notify@pump-7.service"]
    units += ["auscult-web.service", "auscult-web@pump-7.service"]
    done = installed.system.run(["systemd-analyze", "verify", *units], check=False)
    ours = [line for line in done.stderr.splitlines() if "auscult" in line]
    assert ours == []


def test_active_only_after_ready_and_the_fault_reaches_a_subscriber(node: Node) -> None:
    """The service would become active too early, or a fault would raise no alert."""
    node.systemctl("start", "--no-block", "auscult.service")
    wait_for(lambda: node.show("ActiveState") != "activating", 30, "the end of the start")
    assert "ready" in node.system.journal("auscult.service")
    assert node.show("ActiveState") == "active"
    line = wait_for(lambda: node.show("StatusText"), 10, "a status line")
    assert "1 machine" in line
    assert "outbox" in line
    with node.subscriber() as subscriber:
        raised = wait_for(lambda: alerts(subscriber, "raised"), 45, "a raised alert")[0]
        assert raised["machine"] == "pump-7"
        assert raised["score"] > raised["threshold"]
        assert b"online" in subscriber.payloads("/status")


def test_never_active_with_a_changed_bundle(node: Node) -> None:
    """A changed model would be used, or the service would restart without end."""
    model = node.system.root / "etc/auscult/bundles/pump-7/model.onnx"
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        assert node.systemctl("start", "auscult.service", check=False).returncode != 0
        assert node.show("ActiveState") == "failed"  # "activating" if a restart were to follow
        assert node.show("ExecMainStatus") == "78"
        assert node.show("NRestarts") == "0"
        assert "model.onnx" in node.system.journal("auscult.service")
    finally:
        model.write_bytes(original)


def test_the_watchdog_restarts_a_hung_daemon(node: Node) -> None:
    """A daemon that hangs would stay active without monitoring."""
    node.configure(configuration(node.port, fault_s=None))
    node.systemctl("start", "auscult.service")
    hung = node.pid()
    node.signal("STOP")
    wait_for(lambda: node.pid() not in (0, hung), 25, "a new process")
    wait_for(lambda: node.show("ActiveState") == "active", 15, "active again")
    assert "Watchdog timeout" in node.system.journal("auscult.service")


# The daemon's interpreter loads this at its start: the pipeline hangs once.
HANG = """
import os, pathlib, time
from monitor.pipeline import Pipeline
push, calls = Pipeline.push, []
def hang(self, block):
    calls.append(1)
    mark = pathlib.Path(os.environ["STATE_DIRECTORY"]) / "hung"
    if len(calls) == 20 and not mark.exists():
        mark.touch()
        time.sleep(3600)
    return push(self, block)
Pipeline.push = hang
"""


def test_the_watchdog_restarts_a_daemon_with_a_hung_pipeline(node: Node) -> None:
    """The process would run and stay connected without scoring any sound."""
    node.system.write("/srv/hang/sitecustomize.py", HANG)
    drop_in = "/etc/systemd/system/auscult.service.d/hang.conf"
    node.system.write(drop_in, "[Service]\nEnvironment=PYTHONPATH=/srv/hang\n")
    node.configure(configuration(node.port, fault_s=None) + "\n[service]\nstall_limit_s = 5\n")
    node.systemctl("daemon-reload")
    try:
        node.systemctl("start", "auscult.service")
        hung = node.pid()
        wait_for(lambda: node.pid() not in (0, hung), 40, "a new process")
        with node.subscriber() as subscriber:
            wait_for(lambda: subscriber.payloads("/pump-7/score"), 25, "a score")
        journal = node.system.journal("auscult.service")
        assert "the watchdog is not notified: pump-7" in journal
        assert "Watchdog timeout" in journal
        assert 'File "/srv/hang/sitecustomize.py"' in journal  # the traceback of the hanging thread
        assert node.show("NRestarts") == "1"
    finally:
        node.system.run(["rm", drop_in])
        node.systemctl("daemon-reload")


def test_sigkill_during_an_alert_loses_nothing(node: Node) -> None:
    """An alert would be lost if the daemon is killed before it is delivered."""
    with node.subscriber() as subscriber:
        node.systemctl("start", "auscult.service")
        wait_for(lambda: subscriber.payloads("/pump-7/score"), 20, "a score")
        node.systemctl("stop", "mosquitto.service")
        outbox = ["env", "STATE_DIRECTORY=/var/lib/private/auscult", "auscult", "outbox", "--json"]

        def waiting() -> bool:
            done = node.system.run([*outbox, "--config", "/etc/auscult/config.toml"], check=False)
            return '"raised"' in done.stdout

        wait_for(waiting, 45, "an alert in the outbox")
        killed = node.pid()
        node.signal("KILL")
        wait_for(lambda: node.pid() not in (0, killed), 15, "a new process")
        assert alerts(subscriber) == []
        node.systemctl("start", "mosquitto.service")
        raised = wait_for(lambda: alerts(subscriber, "raised"), 20, "the alert")
        assert len({alert["event_id"] for alert in raised}) == 1
        sequence = [alert["sequence"] for alert in alerts(subscriber)]
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(sequence))


def test_evidence_is_kept_in_the_sandbox(node: Node) -> None:
    """The encoder needs memory that the sandbox forbids, or other users could listen."""
    node.configure(configuration(node.port) + "\n[evidence]\nbefore_s = 3.0\nafter_s = 2.0\n")
    with node.subscriber() as subscriber:
        node.systemctl("start", "auscult.service")
        raised = wait_for(lambda: alerts(subscriber, "raised"), 45, "a raised alert")[0]
    state = node.system.root / "var/lib/private/auscult"
    folder = EvidenceFolder(state / "evidence")
    piece = wait_for(lambda: folder.piece(raised["evidence"]["id"]), 30, "the evidence")
    assert piece is not None
    assert piece.metadata["incomplete"] is None
    assert set(piece.images()) == {"log_mel", "reconstruction", "residual"}
    assert piece.sound_path is not None
    assert soundfile.info(piece.sound_path).duration == 5.0
    (owner,) = {path.stat().st_uid for path in (state / "evidence").rglob("*")}
    status = node.system.run(["cat", f"/proc/{node.pid()}/status"]).stdout
    assert f"Uid:\t{owner}\t" in status
    assert piece.sound_path.stat().st_mode & 0o077 == 0


def test_the_documented_commands_work_beside_a_running_service(node: Node) -> None:
    """The commands in deploy/README.md would not find the password or the outbox."""
    node.configure(configuration(node.port, fault_s=None))
    node.systemctl("start", "auscult.service")
    commands = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    exported = re.search(
        r"^export (STATE_DIRECTORY=\S+) (CREDENTIALS_DIRECTORY=\S+)", commands, re.M
    )
    assert exported
    for command in re.findall(r"^sudo -E (auscult .*?) +#", commands, re.M):
        done = node.system.run(["env", exported[1], exported[2], *command.split()], check=False)
        expected = {"selftest": "acknowledged in", "outbox": "0 alerts not acknowledged"}
        said = expected.get(command.split()[1], "")
        assert said in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0 or "discovery" in command, done.stderr


def test_a_reload_with_a_bad_file_fails_and_changes_nothing(node: Node) -> None:
    """A reload with a mistake in the file would report success, or stop the monitoring."""
    node.systemctl("start", "auscult.service")
    before = node.pid()
    node.configure(configuration(node.port) + "\n[detektor]\n")
    assert node.systemctl("reload", "auscult.service", check=False).returncode != 0
    assert "detektor" in node.system.journal("auscult.service")
    assert node.show("ActiveState") == "active"
    assert node.pid() == before
    with node.subscriber() as subscriber:
        wait_for(lambda: subscriber.payloads("/pump-7/score"), 10, "scores as before")
    node.configure(configuration(node.port) + "\n[detector]\n")
    node.systemctl("reload", "auscult.service")
    wait_for(lambda: "reloaded: " in node.system.journal("auscult.service"), 10, "the reload")
    assert node.pid() == before


def test_a_reload_adds_a_machine(node: Node) -> None:
    """To add a machine, the monitoring of all others would have to restart."""
    node.systemctl("start", "auscult.service")
    before = node.pid()
    text = configuration(node.port, fault_s=None)
    second = text[text.index("[[machine]]") :].replace('"pump-7"\nbundle', '"pump-8"\nbundle')
    node.configure(text + second)
    node.systemctl("reload", "auscult.service")
    with node.subscriber() as subscriber:
        wait_for(lambda: subscriber.payloads("/pump-8/state"), 15, "the new machine's state")
    assert node.pid() == before


def test_the_password_is_not_visible(node: Node) -> None:
    """Other users of the node, or readers of its logs, could see the password."""
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_for(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    everything = node.systemctl("show", "auscult.service").stdout
    everything += node.system.run(["journalctl", "--no-pager", "--output=verbose"]).stdout
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"
    everything += node.system.run(["sh", "-c", look], check=False).stdout
    assert "MainPID" in everything
    assert "auscult run" in everything.replace("\n", " ")
    assert PASSWORD not in everything
    state = node.system.root / "var/lib/private/auscult"
    files = [path for path in state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_stop_is_quick_and_leaves_stopped_retained(node: Node) -> None:
    """Subscribers would take a stopped daemon for a crashed one, or a shutdown would hang."""
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_for(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    began_s = time.monotonic()
    node.systemctl("stop", "auscult.service")
    assert time.monotonic() - began_s < 5.0
    assert node.show("Result") == "success"
    with node.subscriber() as newcomer:
        wait_for(lambda: newcomer.messages("/status"), 5, "a retained status")
        assert [(m.payload, m.retain) for m in newcomer.messages("/status")] == [(b"stopped", True)]


def test_the_daemon_runs_without_privileges(node: Node) -> None:
    """An attacker who takes over a decoder would have more rights than needed."""
    node.systemctl("start", "auscult.service")
    pid = node.pid()
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", node.system.run(["cat", f"/proc/{pid}/status"]).stdout, re.M)
    )
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split()
    # It can write its state and its own temporary files only.
    into = ["nsenter", f"--target={pid}", "--mount", f"--setuid={status['Uid'].split()[0]}"]
    for path in ("/etc/auscult", "/opt/auscult", "/usr", "/var/lib", "/home", "/root"):
        done = node.system.run([*into, "--", "touch", f"{path}/x"], check=False)
        assert done.returncode != 0, path
    node.system.run([*into, "--", "touch", "/var/lib/auscult/x"])


def test_the_daemon_listens_on_no_port(node: Node) -> None:
    """The daemon could be attacked over the network."""
    if node.system.run(["which", "ss"], check=False).returncode != 0:
        pytest.skip("ss is not installed (iproute2)")
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_for(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    daemon = f"pid={node.pid()},"
    assert daemon in node.system.run(["ss", "-Htnp"]).stdout  # its connection to the broker
    assert daemon not in node.system.run(["ss", "-Hlntup"]).stdout


def test_operators_use_the_control_socket(node: Node) -> None:
    """Operators could not mute a machine, or every user of the node could."""
    run = node.system.run
    run(["useradd", "--groups", "auscult", "anna"])
    run(["useradd", "eve"])
    node.configure(configuration(node.port, fault_s=None))
    try:
        node.systemctl("start", "auscult.service")
        assert run(["stat", "-c", "%a %G", "/run/auscult"]).stdout == "750 auscult\n"
        assert run(["stat", "-c", "%a %G", "/run/auscult/control.sock"]).stdout == "660 auscult\n"
        assert "pump-7" in run(["auscult", "status"]).stdout
        by = {name: ["runuser", "-u", name, "--", "auscult"] for name in ("anna", "eve")}
        mute = ["mute", "pump-7", "--for", "1h", "--note", "oil change"]
        assert "muted until" in run([*by["anna"], *mute]).stdout
        for command in (mute, ["status"]):
            refused = run([*by["eve"], *command], check=False)
            assert refused.returncode == 69
            assert "members of the group auscult" in refused.stderr
        node.systemctl("restart", "auscult.service")
        for config in ([], ["--config", "/etc/auscult/config.toml"]):
            table = run([*by["anna"], "status", *config]).stdout
            assert "by anna; " in table
            assert "oil change" in table
        node.systemctl("stop", "auscult.service")
        stopped = run(["auscult", "status"], check=False)
        assert (stopped.returncode, stopped.stdout) == (69, "")
        assert "no daemon is running" in stopped.stderr
    finally:
        run(["userdel", "anna"], check=False)
        run(["userdel", "eve"], check=False)


def test_a_stream_through_ffmpeg_works_in_the_sandbox(node: Node) -> None:
    """The hardening would block the stream of a node without a microphone."""
    if node.system.run(["which", "ffmpeg"], check=False).returncode != 0:
        pytest.skip("ffmpeg is not installed")
    recording = node.system.root / "srv" / "pump.flac"
    soundfile.write(recording, pump_sound(30.0), 16_000)
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"]
    command += ["-i", "/srv/pump.flac", "-f", "s16le", "-ar", "16000", "-ac", "1", "-"]
    text = configuration(node.port, fault_s=None).replace(
        'kind = "simulated"', f'kind = "command"\ncommand = {json.dumps(command)}'
    )
    node.configure(text)
    drop_in = ROOT / "deploy" / "drop-ins" / "network-stream-only.conf"
    inside = "/etc/systemd/system/auscult.service.d/network-stream-only.conf"
    node.system.write(inside, drop_in.read_text(encoding="utf-8"))
    node.systemctl("daemon-reload")
    try:
        node.systemctl("start", "auscult.service")
        with node.subscriber() as subscriber:
            wait_for(lambda: subscriber.payloads("/pump-7/score"), 25, "scores of the stream")
    finally:
        node.system.run(["rm", inside])
        node.systemctl("daemon-reload")


def test_a_microphone_works_in_the_sandbox(node: Node) -> None:
    """The hardening would block the microphone's driver."""
    for program in ("pulseaudio", "paplay"):
        if node.system.run(["which", program], check=False).returncode != 0:
            pytest.skip(f"{program} is not installed")
    # The microphone is PulseAudio's monitor of a null sink: it records what is played there.
    server = "PULSE_SERVER=unix:/run/vmic/native"
    socket = "module-native-protocol-unix auth-anonymous=1 socket=/run/vmic/native"
    sink = "module-null-sink sink_name=vmic rate=48000"
    sound_server = ["pulseaudio", "-n", "--exit-idle-time=-1", f"--load={socket}", f"--load={sink}"]
    node.system.run(["mkdir", "-p", "/run/vmic"])
    as_unit = ["systemd-run", "--quiet", "--unit=vmic", "--setenv=HOME=/run/vmic"]
    node.system.run([*as_unit, *sound_server])
    soundfile.write(node.system.root / "srv" / "pump.wav", pump_sound(30.0), 16_000)
    play = ["env", server, "paplay", "/srv/pump.wav"]
    wait_for(
        lambda: node.system.run(["env", server, "pactl", "info"], check=False).returncode == 0,
        10,
        "the sound server",
    )
    node.system.run(["systemd-run", "--quiet", "--unit=vmic-sound", *play])
    node.system.write("/etc/asound.conf", "pcm.!default { type pulse }\n")
    drop_in = "/etc/systemd/system/auscult.service.d/vmic.conf"
    node.system.write(drop_in, f"[Service]\nEnvironment={server}\n")
    text = configuration(node.port, fault_s=None)
    node.configure(text.replace('kind = "simulated"', 'kind = "microphone"'))
    node.systemctl("daemon-reload")
    try:
        node.systemctl("start", "auscult.service")
        with node.subscriber() as subscriber:
            wait_for(lambda: subscriber.payloads("/pump-7/score"), 25, "scores of the microphone")
    finally:
        node.system.run(["rm", drop_in])
        node.systemctl("daemon-reload")
        node.systemctl("stop", "vmic.service", "vmic-sound.service", check=False)


# Plays a file again and again, ten times as fast.
PLAYER = """
import sys, time
data, begun, played = open(sys.argv[1], "rb").read(), time.monotonic(), 0
while True:
    at = played % len(data)
    played += sys.stdout.buffer.write(data[at : at + 12800])
    sys.stdout.buffer.flush()
    time.sleep(max(0.0, begun + played / 4 / 16000 / 10 - time.monotonic()))
"""
LEARNS = """[Service]
Environment=AUSCULT_LEARNING__TRAINER=elsewhere AUSCULT_LEARNING__FIRST_AFTER_MIN=0.5
Environment=AUSCULT_LEARNING__PIECE_S=3 AUSCULT_LEARNING__EVERY_S=2
"""


def test_a_bundle_from_another_computer_is_used_and_can_be_taken_back(node: Node) -> None:
    """A node without the trainer could not be commissioned, or root's files would block it."""
    run = node.system.run
    sound = node.system.root / "srv" / "pump.f32"
    sound.write_bytes(pump_sound(60.0).astype("<f4").tobytes())
    source = f"""kind = "command"
command = {json.dumps(["/usr/bin/python3", "-S", "-c", PLAYER, "/srv/pump.f32"])}
sample_format = "f32le"
sample_rate_hz = 16000
realtime = false
"""
    text = configuration(node.port, fault_s=None).replace('kind = "simulated"', source)
    node.configure(text.replace('bundle = "bundles/pump-7"\n', "[machine.learning]\n"))
    drop_in = "/etc/systemd/system/auscult.service.d/learns.conf"
    node.system.write(drop_in, LEARNS)
    node.systemctl("daemon-reload")

    def status(*words: str) -> str:
        """The table of ``auscult status``, once it contains all ``words``."""

        def table() -> str:
            shown = run(["auscult", "status"], check=False).stdout
            return shown if all(one in shown for one in words) else ""

        return wait_for(table, 90, " and ".join(words))  # other tests may use all processors

    try:
        node.systemctl("start", "auscult.service")
        advice = status("training needs another computer: copy /var/lib/")
        found = re.search(r"copy new\.bundle to (/var/lib/auscult/\S+)", advice)
        assert found
        new = f"{found[1]}/new.bundle"
        run(["cp", "-r", "/etc/auscult/bundles/pump-7", new])
        run(["chmod", "600", f"{new}/model.onnx"])
        status(f"sudo chmod -R a+rX {new}")
        run(["chmod", "-R", "a+rX", new])
        status("7 days of sound", "  ok  ")
        run(["auscult", "learn", "pump-7"])
        node.systemctl("restart", "auscult.service")
        status("training needs another computer", "  learning  ")  # not the bundle before
        assert "uses the bundle 20" in run(["auscult", "rollback", "pump-7"]).stdout
        assert "  learning  " not in status("  ok  ")
    finally:
        run(["rm", drop_in])
        node.systemctl("daemon-reload")


def test_the_template_runs_one_process_per_machine(node: Node) -> None:
    """Two processes on one node would share topics or the state folder."""
    text = configuration(node.port, fault_s=None).replace('base_topic = "auscult/hall-2"\n', "")
    text = text.replace('"bundles/', '"../bundles/')
    host = node.system.run(["hostname"]).stdout.strip()
    passwords = f"{CERTIFICATES}/passwords"
    node.system.run(["mosquitto_passwd", "-b", passwords, host, PASSWORD])
    node.systemctl("reload", "mosquitto.service")
    text = text.replace('username = "hall-2"', f'username = "{host}"')
    units = ["auscult@a.service", "auscult@b.service"]
    for name in "ab":
        node.system.write(f"/etc/auscult/machines/{name}.toml", text)
    try:
        node.systemctl("start", *units)
        assert [node.show("ActiveState", unit) for unit in units] == ["active", "active"]
        with node.subscriber() as subscriber:
            for name in "ab":
                topic = f"{host}/{name}/pump-7/score"
                wait_for(partial(subscriber.payloads, topic), 20, topic)
        node.system.write("/etc/auscult/machines/a.toml", text + "\n[detektor]\n")
        assert node.systemctl("reload", "auscult@a.service", check=False).returncode != 0
        assert node.show("ActiveState", "auscult@a.service") == "active"
        node.systemctl("reload", "auscult@b.service")
    finally:
        node.systemctl("stop", *units)


# Runs in the sandbox of the replay and records what it can reach.
REACH = """
import json, pathlib, socket, sys
def reach(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "reached"
found = {path: reach(lambda: list(pathlib.Path(path).iterdir()))
         for path in ("/root", "/home", "/var/log", "/etc/mosquitto", "/etc/ssl", "/srv/auscult")}
found["password"] = reach(lambda: open("/etc/auscult/mqtt_password").close())
found["shadow"] = reach(lambda: open("/etc/shadow").close())
found["broker"] = reach(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
found["recordings"] = reach(lambda: list(pathlib.Path("/recordings").iterdir()))
pathlib.Path("reach.json").write_text(json.dumps(found))
"""


def test_replay_reaches_its_recordings_only(node: Node) -> None:
    """An attacker who takes over the decoder would reach the network or secrets."""
    node.system.write("/opt/auscult/share/reach.py", REACH)
    look = f"/usr/bin/python3 /opt/auscult/share/reach.py {node.port}"
    drop_in = "/etc/systemd/system/auscult-replay.service.d/reach.conf"
    node.system.write(drop_in, f"[Service]\nExecStartPre={look}\n")
    node.systemctl("daemon-reload")
    folder = node.system.root / "srv" / "auscult" / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "healthy.wav", pump_sound(30.0), 16_000)
    soundfile.write(folder / "broken.wav", pump_sound(30.0, fault=True), 16_000)
    node.system.write("/etc/auscult/replay.env", "BUNDLE=/etc/auscult/bundles/pump-7\n")
    node.systemctl("start", "auscult-replay.service")
    out = node.system.root / "var/lib/private/auscult-replay"
    rows = (out / "files.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("file,seconds,score,threshold,anomalous,alerts")
    anomalous = {row.split(",")[0].rpartition("/")[2]: row.split(",")[4] for row in rows[1:]}
    assert anomalous == {"healthy.wav": "0", "broken.wav": "1"}
    assert "broken" in (out / "scores.csv").read_text(encoding="utf-8")
    reached = json.loads((out / "reach.json").read_text(encoding="utf-8"))
    assert {what for what, how in reached.items() if how == "reached"} == {"recordings"}


NOTIFY = "auscult-notify.service"


@pytest.fixture
def messages(node: Node) -> Iterator[Hook]:
    """A target of the messages to people. Their service is stopped at the end."""
    hook = Hook()
    target = '\n[[notify]]\nname = "hook"\nattach_picture = false\nretry_min_s = 0.2\n'
    node.configure(configuration(node.port) + target)
    address = hook.url + "?+X-Token=open-sesame"
    node.system.write("/etc/auscult/notify/hook", f"{address}\n", mode=0o600)
    node.system.write(f"/etc/systemd/system/{NOTIFY}.d/quicker.conf", "[Service]\nRestartSec=1\n")
    node.systemctl("daemon-reload")
    yield hook
    print(node.system.journal(NOTIFY))
    node.systemctl("stop", NOTIFY)
    node.system.run(["rm", "-rf", "/var/lib/private/auscult-notify"])
    hook.close()


def test_alerts_are_sent_from_the_sandbox(node: Node, messages: Hook) -> None:
    """An alarm would reach nobody, or an attacker who takes over a mail client would have more
    rights than needed."""
    node.systemctl("start", "--no-block", NOTIFY)  # the daemon has no state yet
    node.systemctl("start", "auscult.service")
    wait_for(lambda: node.show("ActiveState", NOTIFY) == "active", 60, "the messages active")
    assert "hook: ok" in wait_for(lambda: node.show("StatusText", NOTIFY), 10, "a status line")
    received = wait_for(lambda: messages.received, 60, "a message")
    assert received[0]["title"].startswith("pump-7: alarm since")
    assert dict(messages.requests[0][1])["X-Token"] == "open-sesame"
    pid = node.show("MainPID", NOTIFY)
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", node.system.run(["cat", f"/proc/{pid}/status"]).stdout, re.M)
    )
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
    assert status["Seccomp"] == "2"
    into = ["nsenter", f"--target={pid}", "--mount", f"--setuid={status['Uid'].split()[0]}", "--"]
    for path in ("/etc/auscult", "/opt/auscult", "/var/lib", "/var/lib/auscult", "/root"):
        assert node.system.run([*into, "touch", f"{path}/x"], check=False).returncode != 0, path
    node.system.run([*into, "touch", "/var/lib/auscult-notify/x"])
    node.system.run([*into, "cat", "/var/lib/auscult/history.sqlite3"])
    credentials = node.system.run(["ls", f"/run/credentials/{NOTIFY}"]).stdout.split()
    assert credentials == ["notify_hook"]
    node.systemctl("reload", NOTIFY)
    assert node.show("ActiveState", NOTIFY) == "active"
    shown = [
        node.system.run(["cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline"]).stdout,
        node.system.journal(NOTIFY),
        node.show("StatusText", NOTIFY),
    ]
    assert not any("open-sesame" in text for text in shown)
    state = node.system.root / "var/lib/private/auscult-notify"
    files = [path.read_bytes() for path in state.rglob("*.json")]
    assert files
    assert not any(b"open-sesame" in content for content in files)


PAGE = "auscult-web.service"
SETTING = "auscult web --set-password --config /etc/auscult/config.toml"


@pytest.fixture
def page_url(node: Node) -> Iterator[str]:
    """The address of the page. Its service is stopped at the end."""
    port = free_port()
    listen = f'\n[web]\nlisten = "127.0.0.1:{port}"\n'
    node.configure(listen + configuration(node.port))
    quicker = "[Service]\nRestartSec=1\nWatchdogSec=4\nTimeoutAbortSec=1\n"
    node.system.write(f"/etc/systemd/system/{PAGE}.d/quicker.conf", quicker)
    node.systemctl("daemon-reload")
    yield f"http://127.0.0.1:{port}"
    print(node.system.journal(PAGE))
    node.systemctl("stop", PAGE, check=False)
    node.system.run(["rm", "-rf", "/var/lib/private/auscult-web"])


def set_password(node: Node, user: str, role: str) -> None:
    """As docs/web.md describes it for a service."""
    command = f"echo {PASSWORD} | {SETTING}"
    node.system.run(["sh", "-c", f"{command} --user {user} --role {role}"])


def test_the_page_works_in_the_sandbox(node: Node, page_url: str) -> None:
    """The page would show nothing, or an attacker who takes it over would have more rights than
    needed."""
    set_password(node, "anna", "operator")  # before the first start of the page
    node.systemctl("start", "--no-block", PAGE)  # the daemon has no state yet
    node.systemctl("start", "auscult.service")
    wait_for(lambda: node.show("ActiveState", PAGE) == "active", 60, "the page active")
    assert page_url in node.show("StatusText", PAGE)
    set_password(node, "ben", "viewer")  # while it is served
    with httpx.Client(base_url=page_url, timeout=20) as client:
        assert client.get("/api/overview").status_code == 401
        for user in ("ben", "anna"):
            form = {"user": user, "password": PASSWORD}
            answer = client.post("/login", data=form, headers={"Origin": page_url})
            assert answer.status_code == 303
        (machine,) = client.get("/api/overview").json()["machines"]
        assert machine["id"] == "pump-7"
        with client.stream("GET", "/api/live/machine/pump-7") as live:
            assert any(line == "event: columns" for line in live.iter_lines())
        wait_for(lambda: client.get("/api/alerts").json()["alerts"], 60, "an alert")
        (alert,) = client.get("/api/alerts").json()["alerts"]
        change = {"Origin": page_url, "X-Auscult": "1"}
        path = f"/api/alert/{alert['alert_id']}/acknowledge"
        assert client.post(path, json={}, headers=change).status_code == 200
        events = "/api/machine/pump-7/events"
        wait_for(lambda: "anna (auscult-daemon)" in client.get(events).text, 20, "the event")
        assert "auscult_up 1.0" in client.get("/metrics").text

        def pieces() -> list[dict[str, Any]]:
            found: dict[str, Any] = client.get(f"/api/alert/{alert['alert_id']}").json()
            return list(found["pieces"])

        evidence_id = wait_for(pieces, 60, "evidence")[0]["evidence_id"]
        for name in ("clip.flac", "clip.opus", "arrays.bin", "picture.png"):
            assert client.get(f"/evidence/{evidence_id}/{name}").status_code == 200, name
    pid = node.show("MainPID", PAGE)
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", node.system.run(["cat", f"/proc/{pid}/status"]).stdout, re.M)
    )
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
    assert status["Seccomp"] == "2"
    into = ["nsenter", f"--target={pid}", "--mount", f"--setuid={status['Uid'].split()[0]}", "--"]
    for folder in ("/etc/auscult", "/opt/auscult", "/var/lib", "/var/lib/auscult", "/run/auscult"):
        assert node.system.run([*into, "touch", f"{folder}/x"], check=False).returncode != 0, folder
    node.system.run([*into, "touch", "/var/lib/auscult-web/x"])
    users = node.system.run(["stat", "-c", "%a", "/var/lib/auscult-web/web/users.json"]).stdout
    assert users.strip() == "600"
    begun_s = time.monotonic()
    node.systemctl("stop", PAGE)
    assert time.monotonic() - begun_s < 3.0
    assert node.show("Result", PAGE) == "success"
    assert node.show("ActiveState") == "active"


def test_a_hung_page_is_started_again_and_the_daemon_is_not_touched(
    node: Node, page_url: str
) -> None:
    """A page that hangs would stay so, or take the monitoring with it."""
    node.systemctl("start", "auscult.service")
    node.systemctl("start", PAGE)
    daemon, page = node.pid(), node.show("MainPID", PAGE)
    node.system.run(["kill", "-STOP", page])
    wait_for(
        lambda: node.show("ActiveState", PAGE) == "active" and node.show("MainPID", PAGE) != page,
        60,
        "the page started again",
    )
    assert httpx.get(page_url + "/api/overview").status_code == 200
    assert node.pid() == daemon


def test_install_again_changes_nothing_and_uninstall_removes_it(node: Node) -> None:
    """A second run would restart the service or overwrite the configuration, or a removal would
    leave units."""
    node.systemctl("start", "auscult.service")
    program = node.system.run(["readlink", "/opt/auscult/venv"]).stdout
    process = node.pid()
    before = (node.system.root / "etc/auscult/config.toml").read_text(encoding="utf-8")
    node.system.run([INSTALL], timeout_s=300)
    assert node.system.run(["readlink", "/opt/auscult/venv"]).stdout == program
    assert (node.system.root / "etc/auscult/config.toml").read_text(encoding="utf-8") == before
    assert node.show("ActiveState") == "active"
    assert node.pid() == process
    node.system.run(["sh", "-c", f"echo '# changed' >> {UNIT}"])  # like an older version's unit
    node.system.run([INSTALL], timeout_s=300)
    assert node.show("ActiveState") == "active"
    assert node.pid() != process
    for _ in range(2):
        node.system.run([INSTALL, "--uninstall"], timeout_s=300)
        assert node.show("LoadState") in {"not-found", "masked"}
        for unit in (NOTIFY, PAGE):
            assert node.show("LoadState", unit) in {"not-found", "masked"}
        assert not (node.system.root / "opt/auscult").exists()
        assert not (node.system.root / "usr/local/bin/auscult").exists()
        assert (node.system.root / "etc/auscult/config.toml").exists()
    node.system.run([INSTALL, "--uninstall", "--purge"])
    assert not (node.system.root / "etc/auscult").exists()
    assert not (node.system.root / "var/lib/private/auscult").exists()
