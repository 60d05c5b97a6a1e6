"""The Debian package on a real systemd: installed, started, upgraded, removed and purged."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.installed_node import pump_sound
from tests.mosquitto import Mosquitto, Subscriber
from tests.nspawn import BootedSystem, skip_unless_possible
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "/srv/packages"
CONFIGURATION = """
[mqtt]
host = "localhost"
port = {port}
base_topic = "auscult/hall-2"

[[machine]]
id = "pump-7"
bundle = "bundles/pump-7"
[machine.source]
kind = "simulated"
faults = [{{ kind = "bearing", onset_s = 8.0 }}]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def built(out: Path) -> Path:
    """The package that the tool makes."""
    command = [sys.executable, ROOT / "tools/debian_package.py", "--out", out]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package, and one of a later version."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    folder = tmp_path_factory.mktemp("packages")
    first = built(folder)
    content, later = folder / "content", folder / "auscult_99.0_later.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", first, content], check=True)
    version = first.name.split("_")[1]
    for name in ("control", "postinst"):
        script = content / "DEBIAN" / name
        text = script.read_text(encoding="utf-8")
        assert version in text
        script.write_text(text.replace(version, "99.0", 1), encoding="utf-8")
    repack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build"]
    subprocess.run([*repack, content, later], check=True)
    return first, later


@pytest.fixture(scope="module")
def system(
    packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedSystem]:
    """A booted system on which Auscult was never installed."""
    skip_unless_possible()
    binds = {packages[0].parent: PACKAGES}
    folder = tmp_path_factory.mktemp("system")
    with BootedSystem(folder, binds, "auscult-package") as booted:
        for left in ("/opt/auscult", "/etc/auscult", "/usr/local/bin/auscult"):
            booted.run(["rm", "-rf", left])
        yield booted


def test_lintian_finds_no_error(packages: tuple[Path, Path]) -> None:
    """Tools that install packages would refuse it, or it would break a rule of Debian."""
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", packages[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_package_contains_every_unit_and_no_other_place(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    """A unit would start a program that is not there."""
    subprocess.run(["dpkg-deb", "--raw-extract", packages[0], tmp_path / "raw"], check=True)
    units = tmp_path / "raw/lib/systemd/system"
    expected = {
        one.name for one in (ROOT / "deploy").iterdir() if one.suffix in (".service", ".path")
    }
    assert {one.name for one in units.iterdir()} == expected
    assert all("/opt/auscult" not in one.read_text(encoding="utf-8") for one in units.iterdir())
    conffiles = (tmp_path / "raw/DEBIAN/conffiles").read_text(encoding="utf-8").split()
    assert conffiles == ["/etc/auscult/config.toml", "/etc/auscult/replay.env"]
    changelog = tmp_path / "raw/usr/share/doc/auscult/changelog.gz"
    assert gzip.decompress(changelog.read_bytes()).startswith(b"auscult (")


def test_a_package_is_refused_beside_the_version_of_the_installer(system: BootedSystem) -> None:
    """The units of the installer would replace those of the package, and start its program."""
    unit = "/usr/local/lib/systemd/system/auscult.service"
    system.write(unit, "[Service]\nExecStart=/bin/true\n")
    done = system.run(["sh", "-c", f"dpkg -i {PACKAGES}/auscult_0*.deb"], check=False)
    system.run(["rm", unit])
    assert done.returncode != 0
    assert "sudo deploy/install.sh --uninstall" in done.stderr


def test_installed_started_upgraded_and_purged(
    system: BootedSystem, packages: tuple[Path, Path], broker: Mosquitto, tmp_path: Path
) -> None:
    """A node would not monitor after an installation or an upgrade, or keep secrets after it."""

    def dpkg(*arguments: str) -> None:
        # Compiling takes half of the time of an installation.
        system.run(["dpkg", *arguments], timeout_s=300, environment={"PIP_NO_COMPILE": "1"})

    def alerts() -> list[str]:
        found = [json.loads(one) for one in subscriber.payloads("/pump-7/alert")]
        return [one["alert_id"] for one in found if one["kind"] == "raised"]

    make_bundle(tmp_path / "pump-7", np.array_split(pump_sound(160.0), 8))
    dpkg("-i", f"{PACKAGES}/{packages[0].name}")
    assert system.unit("auscult.service", "ActiveState") == "inactive"
    etc = system.root / "etc/auscult"
    assert (etc / "mqtt_password").stat().st_mode & 0o777 == 0o600
    shutil.copytree(tmp_path / "pump-7", etc / "bundles/pump-7")
    written = CONFIGURATION.format(port=broker.port)
    system.write("/etc/auscult/config.toml", written)
    with Subscriber(broker, "auscult/#") as subscriber:
        system.run(["systemctl", "enable", "--now", "auscult.service"])
        wait_for(lambda: len(alerts()) == 1, 60, "an alert")
        before = system.unit("auscult.service", "MainPID")
        dpkg("-i", "--force-confold", f"{PACKAGES}/{packages[1].name}")
        assert system.unit("auscult.service", "ActiveState") == "active"
        assert system.unit("auscult.service", "MainPID") != before
        release = system.run(["readlink", "/usr/lib/auscult/venv"]).stdout.strip()
        assert release == "/usr/lib/auscult/releases/99.0"
        assert (etc / "config.toml").read_text(encoding="utf-8") == written
        dpkg("--remove", "auscult")
    assert system.unit("auscult.service", "ActiveState") == "inactive"
    assert (etc / "config.toml").exists()
    assert (etc / "bundles/pump-7/bundle.json").exists()
    assert (system.root / "var/lib/private/auscult").exists()
    dpkg("--purge", "auscult")
    for left in ("etc/auscult", "var/lib/private/auscult", "usr/lib/auscult", "usr/bin/auscult"):
        assert not (system.root / left).exists()
    wanted = system.root / "etc/systemd/system/multi-user.target.wants/auscult.service"
    assert not wanted.is_symlink()
