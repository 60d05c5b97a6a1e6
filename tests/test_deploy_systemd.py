"""The service installed by deploy/install.sh on a real systemd.

All tests of deploy/ share the system. Its broker has the example settings (TLS, passwords, access
list). The service monitors a simulated pump with a bearing fault.
"""

from __future__ import annotations

import json
import re
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from tests.installed_node import (
    CERTIFICATES,
    INSTALL,
    PASSWORD,
    Node,
    configuration,
    pump_alerts,
    pump_sound,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parent.parent
UNIT = "/usr/local/lib/systemd/system/auscult.service"


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
        node.systemctl("stop", "mosquitto.service")
        node.systemctl("start", "auscult.service")
        outbox = ["env", "STATE_DIRECTORY=/var/lib/private/auscult", "auscult", "outbox", "--json"]

        def waiting() -> bool:
            done = node.system.run([*outbox, "--config", "/etc/auscult/config.toml"], check=False)
            return '"raised"' in done.stdout

        journal = partial(node.system.journal, "auscult.service")
        wait_for(lambda: "alert raised" in journal(), 45, "an alert")
        wait_for(waiting, 30, "the alert in the outbox")
        killed = node.pid()
        node.signal("KILL")
        wait_for(lambda: node.pid() not in (0, killed), 15, "a new process")
        assert pump_alerts(subscriber) == []
        node.systemctl("start", "mosquitto.service")
        raised = wait_for(lambda: pump_alerts(subscriber, "raised"), 20, "the alert")
        assert len({alert["event_id"] for alert in raised}) == 1
        sequence = [alert["sequence"] for alert in pump_alerts(subscriber)]
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(sequence))


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
        status("  ok  ")  # not "7 days of sound": it may ask for the next training already
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


def commands_of(heading: str) -> list[list[str]]:
    """The commands below a heading of deploy/README.md, without sudo: those of each code block."""
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [
        block.replace("\\\n", " ").replace("sudo ", "").strip().splitlines() for block in blocks
    ]


def test_a_restored_backup_delivers_what_waited_and_keeps_the_configuration(node: Node) -> None:
    """After the disk of a node breaks, its bundles, its history and waiting alerts would be lost,
    or the service could not read what was restored."""

    def waiting() -> list[str]:
        environment = {"STATE_DIRECTORY": "/var/lib/auscult"}
        command = ["auscult", "outbox", "--json", "--config", "/etc/auscult/config.toml"]
        done = node.system.run(command, environment=environment, check=False)
        alerts = json.loads(done.stdout)["alerts"] if done.returncode == 0 else []
        return [alert["alert_id"] for alert in alerts]

    backup, restore = commands_of("Backup and restore")
    node.systemctl("stop", "mosquitto.service")
    node.systemctl("start", "auscult.service")
    wait_for(lambda: bool(waiting()), 60, "an alert that waits for the broker")
    (waits,) = waiting()[:1]
    for command in backup:
        node.system.run(["sh", "-c", f"cd /root && {command}"])
    node.stop()
    # As on a new computer, whose program is there already.
    node.system.run(["sh", "-c", "rm -rf /etc/auscult /var/lib/private/auscult*"])
    node.system.run([INSTALL], timeout_s=300)
    for command in restore:
        node.system.run(["sh", "-c", f"cd /root && {command}"])
    node.systemctl("start", "mosquitto.service")
    with node.subscriber() as subscriber:
        wait_for(
            lambda: waits in [one["alert_id"] for one in pump_alerts(subscriber, "raised")],
            60,
            "the alert from before",
        )
    assert (node.system.root / "etc/auscult/mqtt_password").read_text() == PASSWORD + "\n"


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
        for unit in ("auscult-notify.service", "auscult-web.service"):
            assert node.show("LoadState", unit) in {"not-found", "masked"}
        assert not (node.system.root / "opt/auscult").exists()
        assert not (node.system.root / "usr/local/bin/auscult").exists()
        assert (node.system.root / "etc/auscult/config.toml").exists()
    node.system.run([INSTALL, "--uninstall", "--purge"])
    assert not (node.system.root / "etc/auscult").exists()
    assert not (node.system.root / "var/lib/private/auscult").exists()
