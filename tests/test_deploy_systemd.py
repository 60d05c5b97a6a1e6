"""The service as an operator runs it: installed by deploy/install.sh under a real systemd.

One system is booted for the whole file, with the example broker (TLS, passwords, access list) set
up as deploy/README.md says; a simulated pump runs on it whose bearing fails after a while.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.domain import AudioBlock, FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.source import SimulatedSource
from tests.bundles import make_bundle
from tests.mosquitto import Subscriber, free_port
from tests.nspawn import BootedSystem, skip_unless_possible

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "/srv/checkout/deploy/install.sh"
UNIT = "/usr/local/lib/systemd/system/auscult.service"
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - of a broker that lives for a minute
OPERATOR = "hears-everything"
CERTIFICATES = "/etc/mosquitto/auscult"
FAULT_ONSET_S = 12.0

# Only how long things take: the unit under test is the one that is installed.
QUICKER = "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\nRestartSec=1\n"


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """The first true value of the condition; fails the test when there is none in time."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)
    return found


def pump_sound(seconds: float, *, fault: bool = False) -> FloatArray:
    """What the simulated pump of the test sounds like, healthy or with a failed bearing."""
    faults = (SimulatedFault(kind="bearing"),) if fault else ()
    settings = SimulatedSettings(realtime=False, duration_s=seconds, faults=faults)
    blocks = SimulatedSource(settings).blocks(threading.Event())
    return np.concatenate([block.samples for block in blocks if isinstance(block, AudioBlock)])


def configuration(port: int, *, fault_s: float | None = FAULT_ONSET_S) -> str:
    """The node's config.toml: one simulated pump, whose bearing fails after ``fault_s``."""
    faults = "" if fault_s is None else f'faults = [{{ kind = "bearing", onset_s = {fault_s} }}]'
    return f"""
[mqtt]
host = "localhost"
port = {port}
tls = true
ca_file = "{CERTIFICATES}/ca.crt"
username = "hall-2"
base_topic = "auscult/hall-2"
reconnect_max_s = 2.0

[[machine]]
id = "pump-7"
bundle = "bundles/pump-7"
[machine.source]
kind = "simulated"
{faults}
"""


def snapshot(folder: Path) -> Path:
    """A copy of what the installation reads, so that nobody's editing can change it meanwhile."""
    names = ["pyproject.toml", "LICENSE", "README.md", "constraints.txt", "config.toml"]
    folder.mkdir()
    for name in [*names, "monitor", "training", "tools", "deploy"]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


class Node:
    """The booted system with the service and the broker on it."""

    def __init__(self, system: BootedSystem, port: int) -> None:
        self.system = system
        self.port = port
        self._subscribers = 0

    def set_up_broker(self) -> None:
        """The steps of deploy/README.md, on a port that is free here."""
        run = self.system.run
        shutil.copytree(ROOT / "deploy" / "mosquitto", self.system.root / "root" / "mosquitto")
        listener = (ROOT / "deploy" / "mosquitto" / "auscult.conf").read_text(encoding="utf-8")
        listener = listener.replace("listener 8883", f"listener {self.port} localhost")
        self.system.write("/etc/mosquitto/conf.d/auscult.conf", listener)
        run(["/root/mosquitto/make-certificates.sh", CERTIFICATES, "localhost"])
        run(["cp", "/root/mosquitto/acl", CERTIFICATES])
        passwords = f"{CERTIFICATES}/passwords"
        run(["mosquitto_passwd", "-c", "-b", passwords, "hall-2", PASSWORD])
        run(["mosquitto_passwd", "-b", passwords, "operator", OPERATOR])
        run(["sh", "-c", f"rm {CERTIFICATES}/ca.key; chmod 0755 {CERTIFICATES}"])
        run(["sh", "-c", f"chown -R mosquitto: {CERTIFICATES}; chmod 0600 {CERTIFICATES}/acl"])
        run(["systemctl", "start", "mosquitto.service"])

    def configure(self, text: str) -> None:
        self.system.write("/etc/auscult/config.toml", text)

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.system.run(["systemctl", *arguments], check=check)

    def show(self, field: str, unit: str = "auscult.service") -> str:
        return self.system.unit(unit, field)

    def pid(self) -> int:
        """The daemon's process id inside the system; 0 while it does not run."""
        return int(self.show("MainPID"))

    def signal(self, name: str) -> None:
        self.system.run(["kill", f"-{name}", str(self.pid())])

    def subscriber(self) -> Subscriber:
        """An operator who hears everything, over TLS."""
        self._subscribers += 1
        return Subscriber(
            SimpleNamespace(host="localhost", port=self.port),  # type: ignore[arg-type]  # all it uses
            "auscult/#",
            username="operator",
            password=OPERATOR,
            ca=self.system.root / CERTIFICATES.lstrip("/") / "ca.crt",
            client_id=f"operator-{self._subscribers}",
        )

    def stop(self) -> None:
        """Stop the service and forget its state: the next test begins anew."""
        self.systemctl("stop", "auscult.service", check=False)
        self.systemctl("reset-failed", check=False)
        self.system.run(["rm", "-rf", "/var/lib/private/auscult"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A booted system after deploy/install.sh, with the broker, a bundle and the password."""
    skip_unless_possible()
    if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("node")
    checkout = snapshot(folder / "checkout")
    healthy = pump_sound(160.0)
    bundle = folder / "pump-7"
    make_bundle(bundle, np.array_split(healthy, 8))
    with BootedSystem(folder, {checkout: "/srv/checkout"}) as system:
        system.run([INSTALL], timeout_s=300)
        shutil.copytree(bundle, system.root / "etc" / "auscult" / "bundles" / "pump-7")
        node = Node(system, free_port())
        node.set_up_broker()
        system.write("/etc/auscult/mqtt_password", PASSWORD + "\n", mode=0o600)
        system.write("/etc/systemd/system/auscult.service.d/quicker.conf", QUICKER)
        system.run(["systemctl", "daemon-reload"])
        yield node


@pytest.fixture
def node(installed: Node) -> Iterator[Node]:
    """The installed system with the service not running and nothing remembered."""
    installed.stop()
    installed.configure(configuration(installed.port))
    yield installed
    print(installed.system.journal("auscult.service"))  # shown beside a failure only
    installed.stop()


def alerts(subscriber: Subscriber, kind: str | None = None) -> list[dict[str, Any]]:
    """The alerts that arrived so far, in order."""
    found = [json.loads(payload) for payload in subscriber.payloads("/pump-7/alert")]
    return [alert for alert in found if kind in (None, alert["kind"])]


def test_units_are_understood_by_this_systemd(installed: Node) -> None:
    """A misspelt hardening line is ignored with a warning, and protects nothing."""
    units = ["auscult.service", "auscult@pump-7.service", "auscult-replay.service"]
    done = installed.system.run(["systemd-analyze", "verify", *units], check=False)
    ours = [line for line in done.stderr.splitlines() if "auscult" in line]
    assert ours == []


def test_active_only_after_ready_and_the_fault_reaches_a_subscriber(node: Node) -> None:
    """Units ordered after it would start too early, or a broken machine would go unheard."""
    node.systemctl("start", "--no-block", "auscult.service")
    wait_until(lambda: node.show("ActiveState") != "activating", 30, "an end of the start")
    assert "ready" in node.system.journal("auscult.service")
    assert node.show("ActiveState") == "active"
    assert "1 machine" in node.show("StatusText")
    assert "outbox" in node.show("StatusText")
    with node.subscriber() as subscriber:
        raised = wait_until(lambda: alerts(subscriber, "raised"), 45, "a raised alert")[0]
        assert raised["machine"] == "pump-7"
        assert raised["score"] > raised["threshold"]
        assert b"online" in subscriber.payloads("/status")


def test_never_active_with_a_bundle_that_was_tampered_with(node: Node) -> None:
    """A model that nobody vouches for would decide, or the service would restart for ever."""
    model = node.system.root / "etc/auscult/bundles/pump-7/model.onnx"
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        assert node.systemctl("start", "auscult.service", check=False).returncode != 0
        time.sleep(2.0)
        assert node.show("ActiveState") == "failed"
        assert node.show("ExecMainStatus") == "78"
        assert node.show("NRestarts") == "0"
        assert "model.onnx" in node.system.journal("auscult.service")
    finally:
        model.write_bytes(original)


def test_a_hung_daemon_is_ended_by_the_watchdog_and_comes_back(node: Node) -> None:
    """A daemon that hangs would look healthy for ever and hear nothing."""
    node.configure(configuration(node.port, fault_s=None))
    node.systemctl("start", "auscult.service")
    hung = node.pid()
    node.signal("STOP")
    wait_until(lambda: node.pid() not in (0, hung), 25, "a new process")
    wait_until(lambda: node.show("ActiveState") == "active", 15, "active again")
    assert "Watchdog timeout" in node.system.journal("auscult.service")


# Loaded by the daemon's interpreter before anything else: the pipeline hangs once, and never again.
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


def test_a_hung_pipeline_is_ended_by_the_watchdog_and_comes_back(node: Node) -> None:
    """The process would live, answer signals and the broker, and never hear the machine again."""
    node.system.write("/srv/hang/sitecustomize.py", HANG)
    drop_in = "/etc/systemd/system/auscult.service.d/hang.conf"
    node.system.write(drop_in, "[Service]\nEnvironment=PYTHONPATH=/srv/hang\n")
    node.configure(configuration(node.port, fault_s=None) + "\n[service]\nstall_limit_s = 5\n")
    node.systemctl("daemon-reload")
    try:
        node.systemctl("start", "auscult.service")
        hung = node.pid()
        wait_until(lambda: node.pid() not in (0, hung), 40, "a new process")
        with node.subscriber() as subscriber:
            wait_until(lambda: subscriber.payloads("/pump-7/score"), 25, "a score")
        journal = node.system.journal("auscult.service")
        assert "the watchdog is not fed: pump-7" in journal
        assert "Watchdog timeout" in journal
        assert 'File "/srv/hang/sitecustomize.py"' in journal  # where it hung
        assert node.show("NRestarts") == "1"
    finally:
        node.system.run(["rm", drop_in])
        node.systemctl("daemon-reload")


def test_sigkill_during_an_alert_loses_nothing(node: Node) -> None:
    """The one alert that mattered would be lost to a power cut."""
    with node.subscriber() as subscriber:
        node.systemctl("start", "auscult.service")
        wait_until(lambda: subscriber.payloads("/pump-7/score"), 20, "a score")
        node.systemctl("stop", "mosquitto.service")
        outbox = ["env", "STATE_DIRECTORY=/var/lib/private/auscult", "auscult", "outbox", "--json"]

        def waiting() -> bool:
            done = node.system.run([*outbox, "--config", "/etc/auscult/config.toml"], check=False)
            return '"raised"' in done.stdout

        wait_until(waiting, 45, "an alert in the outbox")
        killed = node.pid()
        node.signal("KILL")
        wait_until(lambda: node.pid() not in (0, killed), 15, "a new process")
        assert alerts(subscriber) == []
        node.systemctl("start", "mosquitto.service")
        raised = wait_until(lambda: alerts(subscriber, "raised"), 20, "the alert")
        assert len({alert["event_id"] for alert in raised}) == 1
        sequence = [alert["sequence"] for alert in alerts(subscriber)]
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(sequence))


def test_an_operator_looks_into_a_running_service(node: Node) -> None:
    """The commands of deploy/README.md would say that the password is wrong and nothing waits."""
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


def test_a_reload_with_a_bad_file_leaves_it_running(node: Node) -> None:
    """A reload with a mistake in the file would report success, or stop the monitoring."""
    node.systemctl("start", "auscult.service")
    before = node.pid()
    node.configure(configuration(node.port) + "\n[detektor]\n")
    assert node.systemctl("reload", "auscult.service", check=False).returncode != 0
    assert "detektor" in node.systemctl("status", "auscult.service").stdout
    assert node.show("ActiveState") == "active"
    assert node.pid() == before
    with node.subscriber() as subscriber:
        wait_until(lambda: subscriber.payloads("/pump-7/score"), 10, "scores as before")
    node.configure(configuration(node.port) + "\n[detector]\n")
    node.systemctl("reload", "auscult.service")
    wait_until(lambda: "reloaded: " in node.system.journal("auscult.service"), 10, "the reload")
    assert node.pid() == before


def test_a_reload_with_another_machine_takes_it_in(node: Node) -> None:
    """A machine could be added only by restarting the watch over all the others."""
    node.systemctl("start", "auscult.service")
    before = node.pid()
    text = configuration(node.port, fault_s=None)
    second = text[text.index("[[machine]]") :].replace('"pump-7"\nbundle', '"pump-8"\nbundle')
    node.configure(text + second)
    node.systemctl("reload", "auscult.service")
    with node.subscriber() as subscriber:
        wait_until(lambda: subscriber.payloads("/pump-8/state"), 15, "the new machine's state")
    assert node.pid() == before


def test_the_password_is_nowhere_to_be_seen(node: Node) -> None:
    """Anybody on the node, or whoever is sent its logs, could speak for it."""
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_until(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    everything = node.systemctl("show", "auscult.service").stdout
    everything += node.system.run(["journalctl", "--no-pager", "--output=verbose"]).stdout
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"
    everything += node.system.run(["sh", "-c", look], check=False).stdout
    assert "MainPID" in everything
    assert "auscult run" in everything.replace("\n", " ")
    assert PASSWORD not in everything
    state = node.system.root / "var/lib/private/auscult"
    assert any(state.iterdir())
    assert not [path for path in state.rglob("*") if PASSWORD.encode() in path.read_bytes()]


def test_stop_is_quick_and_leaves_stopped_retained(node: Node) -> None:
    """Subscribers could not tell a stopped watch from a crashed one; shutdowns would hang."""
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_until(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    began_s = time.monotonic()
    node.systemctl("stop", "auscult.service")
    assert time.monotonic() - began_s < 5.0
    assert node.show("Result") == "success"
    with node.subscriber() as newcomer:
        wait_until(lambda: newcomer.messages("/status"), 5, "a retained status")
        assert [(m.payload, m.retain) for m in newcomer.messages("/status")] == [(b"stopped", True)]


def test_the_daemon_runs_without_privileges(node: Node) -> None:
    """A mistake in a decoder would be root on the node."""
    node.systemctl("start", "auscult.service")
    pid = node.pid()
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", node.system.run(["cat", f"/proc/{pid}/status"]).stdout, re.M)
    )
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split()
    # What it sees of the file system: nothing to write but its state and its own temporary files.
    into = ["nsenter", f"--target={pid}", "--mount", f"--setuid={status['Uid'].split()[0]}"]
    for path in ("/etc/auscult", "/opt/auscult", "/usr", "/var/lib", "/home", "/root"):
        done = node.system.run([*into, "--", "touch", f"{path}/x"], check=False)
        assert done.returncode != 0, path
    node.system.run([*into, "--", "touch", "/var/lib/auscult/x"])


def test_the_daemon_listens_on_no_port(node: Node) -> None:
    """Whoever reaches the node over the network could knock."""
    if node.system.run(["which", "ss"], check=False).returncode != 0:
        pytest.skip("ss is not installed (iproute2)")
    node.systemctl("start", "auscult.service")
    with node.subscriber() as subscriber:
        wait_until(lambda: b"online" in subscriber.payloads("/status"), 15, "the daemon online")
    daemon = f"pid={node.pid()},"
    assert daemon in node.system.run(["ss", "-Htnp"]).stdout  # its connection to the broker
    assert daemon not in node.system.run(["ss", "-Hlntup"]).stdout


def test_a_stream_through_ffmpeg_is_heard_within_the_sandbox(node: Node) -> None:
    """The hardening would forbid what a network-stream node is for."""
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
            wait_until(lambda: subscriber.payloads("/pump-7/score"), 25, "scores of the stream")
    finally:
        node.system.run(["rm", inside])
        node.systemctl("daemon-reload")


def test_a_microphone_is_heard_within_the_sandbox(node: Node) -> None:
    """Forbidding writable and executable memory would silence the microphone's driver."""
    for program in ("pulseaudio", "paplay"):
        if node.system.run(["which", program], check=False).returncode != 0:
            pytest.skip(f"{program} is not installed")
    # PulseAudio's monitor of a null sink is the microphone: what is played there is heard.
    server = "PULSE_SERVER=unix:/run/vmic/native"
    socket = "module-native-protocol-unix auth-anonymous=1 socket=/run/vmic/native"
    sink = "module-null-sink sink_name=vmic rate=48000"
    sound_server = ["pulseaudio", "-n", "--exit-idle-time=-1", f"--load={socket}", f"--load={sink}"]
    node.system.run(["mkdir", "-p", "/run/vmic"])
    as_unit = ["systemd-run", "--quiet", "--unit=vmic", "--setenv=HOME=/run/vmic"]
    node.system.run([*as_unit, *sound_server])
    soundfile.write(node.system.root / "srv" / "pump.wav", pump_sound(30.0), 16_000)
    play = ["env", server, "paplay", "/srv/pump.wav"]
    wait_until(
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
            wait_until(lambda: subscriber.payloads("/pump-7/score"), 25, "scores of what it hears")
    finally:
        node.system.run(["rm", drop_in])
        node.systemctl("daemon-reload")
        node.systemctl("stop", "vmic.service", "vmic-sound.service", check=False)


def test_the_template_runs_one_process_per_machine(node: Node) -> None:
    """Two processes on one host would take each other's topics, or share one state folder."""
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
                wait_until(partial(subscriber.payloads, topic), 20, topic)
        node.system.write("/etc/auscult/machines/a.toml", text + "\n[detektor]\n")
        assert node.systemctl("reload", "auscult@a.service", check=False).returncode != 0
        assert node.show("ActiveState", "auscult@a.service") == "active"
        node.systemctl("reload", "auscult@b.service")
    finally:
        node.systemctl("stop", *units)


# Runs where the replay runs, and writes down what it could reach.
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


def test_replay_is_a_service_without_network(node: Node) -> None:
    """Recordings of unknown origin would be decoded in reach of the network and of secrets."""
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
    verdicts = {row.split(",")[0].rpartition("/")[2]: row.split(",")[4] for row in rows[1:]}
    assert verdicts == {"healthy.wav": "0", "broken.wav": "1"}
    assert "broken" in (out / "scores.csv").read_text(encoding="utf-8")
    reached = json.loads((out / "reach.json").read_text(encoding="utf-8"))
    assert {what for what, how in reached.items() if how == "reached"} == {"recordings"}


def test_install_again_changes_nothing_and_uninstall_takes_it_away(node: Node) -> None:
    """An upgrade would overwrite the configuration, a second run interrupt the watch, or a
    removal leave units behind."""
    node.systemctl("start", "auscult.service")
    program = node.system.run(["readlink", "/opt/auscult/venv"]).stdout
    process = node.pid()
    before = (node.system.root / "etc/auscult/config.toml").read_text(encoding="utf-8")
    node.system.run([INSTALL], timeout_s=300)
    assert node.system.run(["readlink", "/opt/auscult/venv"]).stdout == program
    assert (node.system.root / "etc/auscult/config.toml").read_text(encoding="utf-8") == before
    assert node.show("ActiveState") == "active"
    assert node.pid() == process
    node.system.run(["sh", "-c", f"echo '# changed' >> {UNIT}"])  # as an older version's would be
    node.system.run([INSTALL], timeout_s=300)
    assert node.show("ActiveState") == "active"
    assert node.pid() != process
    for _ in range(2):
        node.system.run([INSTALL, "--uninstall"])
        assert node.show("LoadState") in {"not-found", "masked"}
        assert not (node.system.root / "opt/auscult").exists()
        assert not (node.system.root / "usr/local/bin/auscult").exists()
        assert (node.system.root / "etc/auscult/config.toml").exists()
    node.system.run([INSTALL, "--uninstall", "--purge"])
    assert not (node.system.root / "etc/auscult").exists()
    assert not (node.system.root / "var/lib/private/auscult").exists()
