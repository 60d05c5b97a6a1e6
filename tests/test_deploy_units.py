"""deploy/ without a booted system: hardening, scripts, the example broker, the container."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

from monitor.config.settings import load_config
from monitor.config.state_folder import companion_dir, state_dir
from tests.example_broker import PASSWORDS, Client, ExampleBroker, example_broker
from tests.installer import run_installer
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = ("auscult.service", "auscult@.service", "auscult-replay.service")
MESSAGES = ("auscult-notify.service", "auscult-notify@.service")
PAGES = ("auscult-web.service", "auscult-web@.service")
TRAINERS = ("auscult-train.service", "auscult-train@.service")
SCRIPTS = (DEPLOY / "install.sh", DEPLOY / "mosquitto" / "make-certificates.sh", ROOT / ".ci/run")


def directives(unit: str) -> list[tuple[str, str]]:
    """The `Key=value` lines of a unit, comments and sections left out."""
    text = (DEPLOY / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def exposure(unit: str, root: Path, drop_ins: tuple[str, ...] = ()) -> float:
    """The exposure of a unit by `systemd-analyze security`: 0 (none) to 10."""
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
    [
        ("auscult.service", 1.5),
        ("auscult@.service", 1.5),
        ("auscult-replay.service", 0.6),
        ("auscult-train.service", 0.9),
        ("auscult-train@.service", 0.9),
        *((unit, 1.1) for unit in MESSAGES),
        *((unit, 1.1) for unit in PAGES),
    ],
)
def test_exposure_stays_low(unit: str, limit: float, tmp_path: Path) -> None:
    """An attacker who takes over a decoder would have more rights than needed."""
    assert exposure(unit, tmp_path) <= limit


@pytest.mark.parametrize("drop_in", ["network-stream-only.conf", "only-the-site.conf"])
def test_a_drop_in_lowers_the_exposure(drop_in: str, tmp_path: Path) -> None:
    """A drop-in with a misspelt line would have no effect."""
    plain = exposure("auscult.service", tmp_path / "plain")
    assert exposure("auscult.service", tmp_path / "with", (drop_in,)) < plain


def test_the_template_differs_from_the_service_in_names_only() -> None:
    """A hardening line would be missing in one of the two units."""

    def shared(unit: str) -> list[tuple[str, str]]:
        own = {"Description", "StateDirectory", "RuntimeDirectory", "Wants"}
        found = [pair for pair in directives(unit) if pair[0] not in own]
        return [(key, re.sub(r"(?<=--config )\S+", "FILE", value)) for key, value in found]

    service, template = shared("auscult.service"), shared("auscult@.service")
    added = [pair for pair in template if pair not in service]
    assert added == [("Environment", "AUSCULT_MQTT__BASE_TOPIC=auscult/%H/%i")]
    assert [pair for pair in template if pair not in added] == service


def test_the_units_that_train_fit_those_that_monitor() -> None:
    """A request would not be seen, or its result not be readable for the daemon."""
    for daemon, trainer in zip(UNITS[:2], TRAINERS, strict=True):
        path = trainer.replace(".service", ".path")
        monitors, trains, watches = map(dict, map(directives, (daemon, trainer, path)))
        instance = "@%i" if "@" in daemon else ""
        assert monitors["Wants"] == path.replace("@", instance)
        assert ("Environment", "AUSCULT_LEARNING__TRAINER=request") in directives(daemon)
        assert watches["Unit"] == trainer.replace("@", instance)
        folder = f"%S/{monitors['StateDirectory']}/training"
        assert watches["DirectoryNotEmpty"] == folder
        assert trains["ExecStart"].split()[1:] == ["train-requests", folder]
        shared = ("DynamicUser", "User", "Group", "StateDirectory", "StateDirectoryMode", "UMask")
        assert [trains[key] for key in shared] == [monitors[key] for key in shared]
        assert ("PrivateNetwork", "yes") in directives(trainer)


def test_the_units_of_the_messages_read_what_the_daemons_write() -> None:
    """Messages would be made from another folder, or from none, or could change the history."""
    for monitors, sends in zip(UNITS[:2], MESSAGES, strict=True):
        daemon, notify = map(dict, map(directives, (monitors, sends)))
        state = f"%S/{daemon['StateDirectory']}"
        assert notify["BindReadOnlyPaths"] == f"%S/private/{daemon['StateDirectory']}:{state}"
        assert ("Environment", f"AUSCULT_SERVICE__STATE_DIR={state}") in directives(sends)
        assert notify["StateDirectory"] != daemon["StateDirectory"]
        assert notify["ExecStart"].split()[-1] == daemon["ExecStart"].split()[-1]
        shared = ("DynamicUser", "User", "Group", "UMask", "ProtectSystem")
        assert [notify[key] for key in shared] == [daemon[key] for key in shared]
        assert notify["LoadCredential"] == "notify:/etc/auscult/notify"


@pytest.mark.parametrize("units", [MESSAGES, PAGES], ids=["messages", "page"])
def test_the_templates_differ_in_names_only(units: tuple[str, str]) -> None:
    """A hardening line would be missing in one of the two units."""
    own = {"Description", "After", "ExecStart", "StateDirectory", "BindReadOnlyPaths"}

    def shared(unit: str) -> list[tuple[str, str]]:
        found = [pair for pair in directives(unit) if pair[0] not in own]
        return [(key, value.replace("-%i", "")) for key, value in found]

    assert shared(units[0]) == shared(units[1])


def test_the_units_of_the_page_read_what_the_daemons_write() -> None:
    """The page would show another daemon, or could change the state of this one."""
    for monitors, shows in zip(UNITS[:2], PAGES, strict=True):
        daemon, page = map(dict, map(directives, (monitors, shows)))
        state = f"%S/{daemon['StateDirectory']}"
        assert page["BindReadOnlyPaths"] == f"%S/private/{daemon['StateDirectory']}:{state}"
        assert ("Environment", f"AUSCULT_SERVICE__STATE_DIR={state}") in directives(shows)
        assert page["StateDirectory"] == daemon["StateDirectory"].replace("auscult", "auscult-web")
        file = daemon["ExecStart"].rpartition(" ")[2]
        assert page["ExecStart"].split()[1:] == ["web", "--config", file]
        shared = ("DynamicUser", "User", "Group", "UMask", "ProtectSystem")
        assert [page[key] for key in shared] == [daemon[key] for key in shared]
    own = {"Description", "After", "ExecStart", "StateDirectory", "BindReadOnlyPaths"}
    plain, template = (
        [pair for pair in directives(unit) if pair[0] not in own and "STATE_DIR" not in pair[1]]
        for unit in PAGES
    )
    assert plain == template


@pytest.mark.parametrize("unit", [*UNITS, *MESSAGES, *PAGES])
def test_no_memory_is_writable_and_executable(unit: str) -> None:
    """An attacker could execute the data that a decoder reads."""
    assert ("MemoryDenyWriteExecute", "yes") in directives(unit)


@pytest.mark.parametrize("unit", [*UNITS, *TRAINERS, *MESSAGES, *PAGES])
def test_every_hardening_line_is_explained(unit: str) -> None:
    """docs/security.md would not explain every hardening line."""
    explained = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    hardening = text[text.index("DynamicUser") :].partition("[Install]")[0]
    keys = set(re.findall(r"^([A-Z]\w+)=", hardening, re.MULTILINE))
    assert [key for key in sorted(keys) if f"`{key}=" not in explained] == []


@cache
def functions_in(file: str) -> frozenset[str]:
    """The names of the functions of a file and of its classes."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = chain(tree.body, *(node.body for node in classes))
    return frozenset(node.name for node in bodies if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("page", ["security.md", "reliability.md", "privacy.md"])
def test_every_claim_names_a_test_that_exists(page: str) -> None:
    """The page would name a test that was renamed or removed."""
    claims = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|benchmarks)/\w+\.py)(?:::(\w+))?`", claims)
    assert len(named) > 10
    for file, test in named:
        collected = functions_in(file)  # also without a test: the file exists
        assert not test or test in collected, f"{file}::{test}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_plain_sh(script: Path) -> None:
    """A script with syntax of bash would stop half-way on Debian."""
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def test_install_refuses_an_unknown_option() -> None:
    """A misspelt `--unistall` would install."""
    done = subprocess.run(
        [DEPLOY / "install.sh", "--unistall"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert "--uninstall" in done.stderr


def test_the_container_is_built_from_existing_files() -> None:
    """`docker build` would fail on a renamed file, or install versions that were not tested."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        for name in line.split():
            assert f"!{name}" in allowed
            assert (ROOT / name).exists() or name == "README.md"
    assert "--constraint /src/constraints.txt" in dockerfile
    assert re.search(r"^USER auscult$", dockerfile, re.MULTILINE)


def test_the_compose_file_mounts_existing_files() -> None:
    """`docker compose up` would create an empty folder in place of a missing file."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"auscult", "mosquitto", "web", "notify"}
    for service in services.values():
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("./") and not source.startswith(("./secrets", "./etc")):
                assert (DEPLOY / source).exists()


@pytest.mark.parametrize("name", ["web", "notify"])
def test_a_companion_in_a_container_reads_the_state_and_writes_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would show nothing, start without being wanted, or change the alerts of the daemon."""
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    service = document["services"][name]
    assert service["profiles"] == [name]
    assert service["command"] == [name, "--config", "/etc/auscult/config.toml"]
    volumes = dict(volume.split(":", 1) for volume in service["volumes"])
    assert volumes == {
        "./etc": "/etc/auscult:ro",
        "state": "/var/lib/auscult:ro",
        name: f"/var/lib/auscult-{name}",
    }
    assert set(volumes) - {"./etc"} <= set(document["volumes"])
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value)
    config = tmp_path / "config.toml"
    config.write_text('[[machine]]\nid = "m"\nbundle = "b"\n[machine.source]\nkind = "simulated"\n')
    settings = load_config(config)
    assert state_dir(settings, config) == Path("/var/lib/auscult")
    assert companion_dir(settings, config, name).is_relative_to(f"/var/lib/auscult-{name}")
    assert f"/var/lib/auscult-{name}" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleBroker]:
    with example_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.mark.parametrize(
    ("username", "password"), [(None, None), ("hall-2", "wrong"), ("stranger", "node")]
)
def test_the_example_broker_refuses_clients_without_a_password(
    broker: ExampleBroker, username: str | None, password: str | None
) -> None:
    """Anybody on the network could read alerts or publish false ones."""
    with Client(broker, username, password) as client:
        assert not client.connected


def test_the_example_access_list_keeps_nodes_to_their_own_topics(broker: ExampleBroker) -> None:
    """With a stolen password of one node, an attacker could raise or clear alerts of others."""
    with (
        Client(broker, "operator", PASSWORDS["operator"]) as operator,
        Client(broker, "hall-2", PASSWORDS["hall-2"]) as node,
    ):
        operator.subscribe("#")
        for topic in ("auscult/hall-3/pump-7/alert", "auscult/hall-2/pump-7/alert", "other/hall-2"):
            node.publish(topic)
        operator.publish("auscult/hall-2/pump-7/alert-by-operator")
        node.publish("auscult/hall-2/end")
        wait_for(lambda: "auscult/hall-2/end" in [topic for topic, _ in operator.received])
        assert [topic for topic, _ in operator.received] == [
            "auscult/hall-2/pump-7/alert",
            "auscult/hall-2/end",
        ]


def test_a_node_receives_nothing_from_the_example_broker(broker: ExampleBroker) -> None:
    """With a stolen password of one node, an attacker could read the alerts of all nodes."""
    with (
        Client(broker, "hall-2", PASSWORDS["hall-2"]) as node,
        Client(broker, "operator", PASSWORDS["operator"]) as operator,
    ):
        node.subscribe("#")
        operator.subscribe("auscult/#")
        node.publish("auscult/hall-2/status")
        wait_for(lambda: bool(operator.received))
        node.subscribe("auscult/end")
        assert node.received == []


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


def test_rollback_uses_the_release_before_with_its_units(tmp_path: Path) -> None:
    """After a bad upgrade, a node would stay without monitoring until somebody mends it."""
    runs = run_installer(tmp_path, "", "", "--rollback", "--rollback", "", "--rollback")
    assert [run.status for run in runs] == [0] * 6
    first, second, back, forward, third, back_again = runs
    assert (back.release, forward.release) == (first.release, second.release)
    assert (back.unit, forward.unit) == ("# unit of run 1", "# unit of run 2")
    assert f"using {first.release} again" in back.output
    assert back_again.release == second.release
    expected = {Path(one.release).name for one in (second, third)}
    assert set(third.kept) == set(back_again.kept) == expected


@pytest.mark.parametrize("before", [[], [""]])
def test_rollback_without_an_earlier_release_changes_nothing(
    tmp_path: Path, before: list[str]
) -> None:
    """A node would be left without a program."""
    runs = run_installer(tmp_path, *before, "--rollback")
    assert runs[-1].status == 69
    assert "no earlier release" in runs[-1].output
    assert runs[-1].release == (runs[0].release if before else "")


def test_rollback_takes_no_other_option() -> None:
    """A removal or an installation would be done in addition, or not at all."""
    done = subprocess.run(
        ["sh", DEPLOY / "install.sh", "--rollback", "--train"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 64
    assert "--rollback takes no other option" in done.stderr
