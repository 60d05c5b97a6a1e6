"""deploy/ without starting it: hardening, scripts, the example broker, the container."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.installer import run_installer
from tests.mosquitto import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = ("auscult.service", "auscult@.service", "auscult-replay.service")
SCRIPTS = (DEPLOY / "install.sh", DEPLOY / "mosquitto" / "make-certificates.sh", ROOT / ".ci/run")


def directives(unit: str) -> list[tuple[str, str]]:
    """The `Key=value` lines of a unit, comments and sections left out."""
    text = (DEPLOY / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def exposure(unit: str, root: Path, drop_ins: tuple[str, ...] = ()) -> float:
    """What `systemd-analyze security` says of a unit, 0 (locked up) to 10 (exposed)."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = root / "etc" / "systemd" / "system"
    (units / f"{unit}.d").mkdir(parents=True)
    shutil.copy(DEPLOY / unit, units)
    for name in drop_ins:
        shutil.copy(DEPLOY / "drop-ins" / name, units / f"{unit}.d")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.parametrize(
    ("unit", "limit"),
    [("auscult.service", 1.5), ("auscult@.service", 1.5), ("auscult-replay.service", 0.6)],
)
def test_exposure_stays_low(unit: str, limit: float, tmp_path: Path) -> None:
    """A hole in a decoder would reach further into the node than it has to."""
    assert exposure(unit, tmp_path) <= limit


@pytest.mark.parametrize("drop_in", ["network-stream-only.conf", "only-the-site.conf"])
def test_a_drop_in_locks_up_further(drop_in: str, tmp_path: Path) -> None:
    """A drop-in with a misspelt line would promise what it does not do."""
    plain = exposure("auscult.service", tmp_path / "plain")
    assert exposure("auscult.service", tmp_path / "with", (drop_in,)) < plain


def test_the_template_is_the_service_but_for_its_name() -> None:
    """A line added to one of the two only would leave fifty machines without it."""

    def shared(unit: str) -> list[tuple[str, str]]:
        own = {"Description", "StateDirectory"}
        found = [pair for pair in directives(unit) if pair[0] not in own]
        return [(key, re.sub(r"(?<=--config )\S+", "FILE", value)) for key, value in found]

    service, template = shared("auscult.service"), shared("auscult@.service")
    added = [pair for pair in template if pair not in service]
    assert added == [("Environment", "AUSCULT_MQTT__BASE_TOPIC=auscult/%H/%i")]
    assert [pair for pair in template if pair not in added] == service


@pytest.mark.parametrize("unit", UNITS)
def test_no_memory_is_writable_and_executable(unit: str) -> None:
    """A mistake in a decoder could be made to run what it decodes."""
    assert ("MemoryDenyWriteExecute", "yes") in directives(unit)


@pytest.mark.parametrize("unit", UNITS)
def test_every_hardening_line_is_explained(unit: str) -> None:
    """A line nobody can explain is the first one that is commented out in anger."""
    explained = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    hardening = text[text.index("DynamicUser") :].partition("[Install]")[0]
    keys = set(re.findall(r"^([A-Z]\w+)=", hardening, re.MULTILINE))
    assert [key for key in sorted(keys) if f"`{key}=" not in explained] == []


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_every_claim_is_held_by_a_test_that_exists(page: str) -> None:
    """A claim whose test was renamed or removed would go on reassuring people."""
    claims = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|benchmarks)/\w+\.py)(?:::(\w+))?`", claims)
    assert len(named) > 20
    for file, test in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, f"{file}::{test}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_plain_sh(script: Path) -> None:
    """Debian's /bin/sh is no bash: an installation would stop half-way."""
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def test_install_refuses_what_it_does_not_know() -> None:
    """`--unistall` would install."""
    done = subprocess.run(
        [DEPLOY / "install.sh", "--unistall"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert "--uninstall" in done.stderr


def test_the_container_is_built_from_what_is_there() -> None:
    """`docker build` would fail on a file that was renamed, or miss the pins."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        for name in line.split():
            assert f"!{name}" in allowed
            assert (ROOT / name).exists() or name == "README.md"
    assert "--constraint /src/constraints.txt" in dockerfile
    assert re.search(r"^USER auscult$", dockerfile, re.MULTILINE)


def test_the_compose_file_names_files_that_exist_or_are_made() -> None:
    """`docker compose up` would make an empty folder where a configuration should be."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"auscult", "mosquitto"}
    for service in services.values():
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("./") and not source.startswith(("./secrets", "./etc")):
                assert (DEPLOY / source).exists()


@dataclass(frozen=True)
class Broker:
    """The example broker, on a port of its own."""

    port: int
    ca: Path


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """mosquitto with deploy/mosquitto as it is, but for the folder and the port."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("broker")
    script = DEPLOY / "mosquitto" / "make-certificates.sh"
    subprocess.run([script, folder, "localhost"], check=True, capture_output=True)
    shutil.copy(DEPLOY / "mosquitto" / "acl", folder)
    (folder / "acl").chmod(0o600)
    passwords = folder / "passwords"
    passwords.write_text("hall-2:node\noperator:person\n", encoding="utf-8")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    port = free_port()
    text = (DEPLOY / "mosquitto" / "auscult.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/mosquitto/auscult", str(folder))
    text = text.replace("listener 8883", f"listener {port} localhost")
    (folder / "mosquitto.conf").write_text(text + "user root\n", encoding="utf-8")
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [program, "-c", folder / "mosquitto.conf"], stdout=out, stderr=out
        ) as process,
    ):
        try:
            wait_for(lambda: b"running" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield Broker(port, folder / "ca.crt")
        finally:
            process.terminate()


class Client:
    """A client of the example broker that remembers what it was told."""

    def __init__(self, broker: Broker, username: str | None, password: str | None) -> None:
        self.refused = False
        self.connected = False
        self.received: list[tuple[str, bytes]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.tls_set(str(broker.ca))
        if username:
            self.client.username_pw_set(username, password)
        self.client.on_connect = self._on_connect
        self.client.on_message = lambda _c, _u, m: self.received.append((m.topic, bytes(m.payload)))
        self.client.connect("localhost", broker.port)
        self.client.loop_start()
        wait_for(lambda: self.connected or self.refused)

    def _on_connect(self, *arguments: object) -> None:
        reason = arguments[3]
        assert hasattr(reason, "is_failure")
        self.refused = bool(reason.is_failure)
        self.connected = not self.refused

    def publish(self, topic: str) -> None:
        self.client.publish(topic, b"said", qos=1).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_the_example_broker_lets_nobody_in_without_a_password(broker: Broker) -> None:
    """Anybody on the network could listen to alerts, or make them up."""
    for username, password in ((None, None), ("hall-2", "wrong"), ("stranger", "node")):
        client = Client(broker, username, password)
        client.close()
        assert client.refused


def test_the_example_access_list_keeps_nodes_to_their_own_topics(broker: Broker) -> None:
    """A stolen password of one node could raise or clear alerts of all the others."""
    operator = Client(broker, "operator", "person")
    operator.client.subscribe("#", qos=1)
    node = Client(broker, "hall-2", "node")
    time.sleep(0.2)
    for topic in ("auscult/hall-3/pump-7/alert", "auscult/hall-2/pump-7/alert", "other/hall-2"):
        node.publish(topic)
    operator.publish("auscult/hall-2/pump-7/alert-by-operator")
    node.publish("auscult/hall-2/end")
    wait_for(lambda: ("auscult/hall-2/end", b"said") in operator.received)
    assert [topic for topic, _ in operator.received] == [
        "auscult/hall-2/pump-7/alert",
        "auscult/hall-2/end",
    ]
    for client in (node, operator):
        client.close()


def test_a_node_hears_nothing_from_the_example_broker(broker: Broker) -> None:
    """A stolen password of a node would let its thief listen to the whole plant."""
    node = Client(broker, "hall-2", "node")
    operator = Client(broker, "operator", "person")
    node.client.subscribe("#", qos=1)
    operator.client.subscribe("auscult/#", qos=1)
    time.sleep(0.2)
    node.publish("auscult/hall-2/status")
    wait_for(lambda: bool(operator.received))
    time.sleep(0.2)
    assert node.received == []
    for client in (node, operator):
        client.close()


def test_a_later_run_keeps_the_trainer(tmp_path: Path) -> None:
    """An upgrade without `--train` would remove the trainer from a node that trains."""
    first, second = run_installer(tmp_path, "--train", "")
    assert (first.status, second.status) == (0, 0)
    assert first.has_trainer
    assert second.has_trainer
    assert second.release != first.release
    assert "keeping the installed trainer (--no-train removes it)" in second.output.splitlines()


def test_the_trainer_is_removed_when_asked_for(tmp_path: Path) -> None:
    """`--no-train` would leave gigabytes on the node, or a later run would install them again."""
    runs = run_installer(tmp_path, "--train", "--no-train", "")
    assert [run.status for run in runs] == [0, 0, 0]
    assert [run.has_trainer for run in runs] == [True, False, False]
    assert "removing the trainer" in runs[1].output.splitlines()
    assert "trainer" not in runs[2].output


def test_the_trainer_is_not_installed_by_default(tmp_path: Path) -> None:
    """Every node would download gigabytes that it does not use."""
    (run,) = run_installer(tmp_path, "")
    assert run.status == 0
    assert not run.has_trainer
    assert "trainer" not in run.output
