"""One run of all services that deploy/install.sh installs, on a real systemd.

The daemon monitors a simulated pump, which gets a bearing fault. `auscult notify` and the page run
beside it. Each test looks at the same run, in the order of this file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import soundfile

from monitor.evidence.folder import EvidenceFolder
from tests.installed_node import PASSWORD, Node, configuration, pump_alerts
from tests.mosquitto import Subscriber, free_port
from tests.notifications import Hook
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

SERVICE, NOTIFY, PAGE = "auscult.service", "auscult-notify.service", "auscult-web.service"
SETTING = "auscult web --set-password --config /etc/auscult/config.toml"
QUICKER_PAGE = "[Service]\nRestartSec=1\nWatchdogSec=4\nTimeoutAbortSec=1\n"
SETTINGS = """
[evidence]
before_s = 3.0
after_s = 2.0

[[notify]]
name = "hook"
attach_picture = false
retry_min_s = 0.2
"""


@dataclass(frozen=True)
class Run:
    """The node, and what receives its alerts."""

    node: Node
    subscriber: Subscriber
    hook: Hook
    page_url: str

    def status(self, unit: str) -> dict[str, str]:
        """The fields of the kernel's status of a service."""
        pid = self.node.show("MainPID", unit)
        text = self.node.system.run(["cat", f"/proc/{pid}/status"]).stdout
        return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.M))

    def inside(self, unit: str) -> list[str]:
        """How to run a command as a service sees the files."""
        user = self.status(unit)["Uid"].split()[0]
        pid = self.node.show("MainPID", unit)
        return ["nsenter", f"--target={pid}", "--mount", f"--setuid={user}", "--"]


@pytest.fixture(scope="module")
def services(installed: Node) -> Iterator[Run]:
    """The run. `auscult notify` and the page start first, when the daemon has no state yet."""
    installed.stop()
    hook, port = Hook(), free_port()
    listen = f'\n[web]\nlisten = "127.0.0.1:{port}"\n'
    installed.configure(listen + configuration(installed.port) + SETTINGS)
    address = hook.url + "?+X-Token=open-sesame"
    write = installed.system.write
    write("/etc/auscult/notify/hook", f"{address}\n", mode=0o600)
    write(f"/etc/systemd/system/{NOTIFY}.d/quicker.conf", "[Service]\nRestartSec=1\n")
    write(f"/etc/systemd/system/{PAGE}.d/quicker.conf", QUICKER_PAGE)
    installed.systemctl("daemon-reload")
    set_password(installed, "anna", "operator")  # before the first start of the page
    with installed.subscriber() as subscriber:
        for unit in (NOTIFY, PAGE, SERVICE):
            installed.systemctl("start", "--no-block", unit)
        yield Run(installed, subscriber, hook, f"http://127.0.0.1:{port}")
    installed.systemctl("stop", NOTIFY, PAGE, check=False)
    installed.system.run(
        ["rm", "-rf", f"/var/lib/private/{NOTIFY[:-8]}", f"/var/lib/private/{PAGE[:-8]}"]
    )
    installed.stop()
    hook.close()


@pytest.fixture(autouse=True)
def journal(services: Run) -> Iterator[None]:
    """pytest shows the log of a failed test."""
    yield
    print(services.node.system.journal("auscult*"))


def set_password(node: Node, user: str, role: str) -> None:
    """As docs/web.md describes it for a service."""
    command = f"echo {PASSWORD} | {SETTING}"
    node.system.run(["sh", "-c", f"{command} --user {user} --role {role}"])


def test_active_only_after_ready_and_the_fault_reaches_a_subscriber(services: Run) -> None:
    """The service would become active too early, or a fault would raise no alert."""
    node, subscriber = services.node, services.subscriber
    wait_for(lambda: node.show("ActiveState") != "activating", 30, "the end of the start")
    assert "ready" in node.system.journal(SERVICE)
    assert node.show("ActiveState") == "active"
    line = wait_for(lambda: node.show("StatusText"), 10, "a status line")
    assert "1 machine" in line
    assert "outbox" in line
    raised = wait_for(lambda: pump_alerts(subscriber, "raised"), 45, "a raised alert")[0]
    assert raised["machine"] == "pump-7"
    assert raised["score"] > raised["threshold"]
    assert b"online" in subscriber.payloads("/status")


def test_evidence_is_kept_in_the_sandbox(services: Run) -> None:
    """The encoder needs memory that the sandbox forbids, or other users could listen."""
    node = services.node
    raised = wait_for(lambda: pump_alerts(services.subscriber, "raised"), 45, "an alert")[0]
    state = node.system.root / "var/lib/private/auscult"
    folder = EvidenceFolder(state / "evidence")
    piece = wait_for(lambda: folder.piece(raised["evidence"]["id"]), 30, "the evidence")
    assert piece is not None
    assert piece.metadata["incomplete"] is None
    assert set(piece.images()) == {"log_mel", "reconstruction", "residual"}
    assert piece.sound_path is not None
    assert soundfile.info(piece.sound_path).duration == 5.0
    (owner,) = {path.stat().st_uid for path in (state / "evidence").rglob("*")}
    assert services.status(SERVICE)["Uid"].split()[0] == str(owner)
    assert piece.sound_path.stat().st_mode & 0o077 == 0


def test_the_password_is_not_visible(services: Run) -> None:
    """Other users of the node, or readers of its logs, could see the password."""
    node = services.node
    wait_for(lambda: b"online" in services.subscriber.payloads("/status"), 15, "the daemon online")
    everything = node.systemctl("show", SERVICE).stdout
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


def test_the_daemon_runs_without_privileges(services: Run) -> None:
    """An attacker who takes over a decoder would have more rights than needed."""
    node, status = services.node, services.status(SERVICE)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split()
    # It can write its state and its own temporary files only.
    into = services.inside(SERVICE)
    for path in ("/etc/auscult", "/opt/auscult", "/usr", "/var/lib", "/home", "/root"):
        assert node.system.run([*into, "touch", f"{path}/x"], check=False).returncode != 0, path
    node.system.run([*into, "touch", "/var/lib/auscult/x"])


def test_the_daemon_listens_on_no_port(services: Run) -> None:
    """The daemon could be attacked over the network."""
    node = services.node
    if node.system.run(["which", "ss"], check=False).returncode != 0:
        pytest.skip("ss is not installed (iproute2)")
    wait_for(lambda: b"online" in services.subscriber.payloads("/status"), 15, "the daemon online")
    daemon = f"pid={node.pid()},"
    assert daemon in node.system.run(["ss", "-Htnp"]).stdout  # its connection to the broker
    assert daemon not in node.system.run(["ss", "-Hlntup"]).stdout


def test_alerts_are_sent_from_the_sandbox(services: Run) -> None:
    """An alarm would reach nobody, or an attacker who takes over a mail client would have more
    rights than needed."""
    node, hook = services.node, services.hook
    wait_for(lambda: node.show("ActiveState", NOTIFY) == "active", 60, "the messages active")
    assert "hook: ok" in wait_for(lambda: node.show("StatusText", NOTIFY), 10, "a status line")
    received = wait_for(lambda: hook.received, 60, "a message")
    assert received[0]["title"].startswith("pump-7: alarm since")
    assert dict(hook.requests[0][1])["X-Token"] == "open-sesame"
    status = services.status(NOTIFY)
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
    assert status["Seccomp"] == "2"
    into = services.inside(NOTIFY)
    for path in ("/etc/auscult", "/opt/auscult", "/var/lib", "/var/lib/auscult", "/root"):
        assert node.system.run([*into, "touch", f"{path}/x"], check=False).returncode != 0, path
    node.system.run([*into, "touch", "/var/lib/auscult-notify/x"])
    node.system.run([*into, "cat", "/var/lib/auscult/history.sqlite3"])
    credentials = node.system.run(["ls", f"/run/credentials/{NOTIFY}"]).stdout.split()
    assert credentials == ["notify_hook"]
    node.systemctl("reload", NOTIFY)
    wait_for(lambda: node.show("ActiveState", NOTIFY) == "active", 30, "the end of the reload")
    pid = node.show("MainPID", NOTIFY)
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


def test_the_page_works_in_the_sandbox(services: Run) -> None:
    """The page would show nothing, or an attacker who takes it over would have more rights than
    needed."""
    node, page_url = services.node, services.page_url
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
    status = services.status(PAGE)
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
    assert status["Seccomp"] == "2"
    into = services.inside(PAGE)
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


def test_a_hung_page_is_started_again_and_the_daemon_is_not_touched(services: Run) -> None:
    """A page that hangs would stay so, or take the monitoring with it."""
    node = services.node
    node.systemctl("start", PAGE)
    daemon, page = node.pid(), node.show("MainPID", PAGE)
    node.system.run(["kill", "-STOP", page])
    wait_for(
        # in this order: a new process is never active before it listens
        lambda: (
            node.show("MainPID", PAGE) not in (page, "0")
            and node.show("ActiveState", PAGE) == "active"
        ),
        60,
        "the page started again",
    )
    assert httpx.get(services.page_url + "/login").status_code == 200
    assert node.pid() == daemon
