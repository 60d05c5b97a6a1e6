"""`pipx install` of the wheel on a clean system, and the demo with what this brings."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nspawn import BootedSystem, skip_unless_possible
from tests.wheels import build_wheel, write_required_wheels

EXTRAS = ("train", "web", "notify", "fleet", "demo")
HERE = "/srv/wheels"
BIN = "/root/.local/bin"
QUICKER = {"AUSCULT_TRAINING__EPOCHS": "3", "AUSCULT_TRAINING__MOST_WINDOWS_PER_EPOCH": "256"}
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

pytestmark = [pytest.mark.systemd, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[BootedSystem]:
    """A booted system on which Auscult was never installed, with wheels in ``/srv/wheels``."""
    if shutil.which("pipx") is None:
        pytest.skip("pipx is not installed")
    skip_unless_possible()
    wheels = tmp_path / "wheels"
    installed = write_required_wheels(wheels, EXTRAS)
    shutil.copy(build_wheel(tmp_path / "build"), wheels)
    # The paths in the wheels are those of this computer, and the same inside.
    binds = {wheels: str(wheels)} | {site: str(site) for site in installed}
    with BootedSystem(tmp_path / "system", binds, "auscult-pipx") as booted:
        for left in ("/opt/auscult", "/etc/auscult", "/usr/local/bin/auscult", "/root/.local/pipx"):
            booted.run(["rm", "-rf", left])
        booted.run(["ln", "-s", str(wheels), HERE])
        yield booted


def test_the_demo_runs_with_what_pipx_installs(system: BootedSystem) -> None:
    """A user of the wheel would lack a package, a file or an entry, which the checkout has."""
    offline = {
        "HOME": "/root",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": HERE,
        "PIP_NO_COMPILE": "1",
    }
    install = f'cd /root && pipx install --python {PYTHON} "$(ls {HERE}/auscult-*.whl)[$1]"'
    system.run(["sh", "-c", install, "pipx", ",".join(EXTRAS)], timeout_s=200, environment=offline)
    python = "/root/.local/pipx/venvs/auscult/bin/python"
    where = ["sh", "-c", f"cd /root && {python} -c 'import auscult; print(auscult.__file__)'"]
    assert system.run(where).stdout.startswith("/root/.local/pipx/venvs/auscult/lib/")
    demo = ["sh", "-c", f"cd /root && {BIN}/auscult demo --json --out /root/demo"]
    done = system.run(demo, check=False, timeout_s=300, environment={"HOME": "/root", **QUICKER})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    kinds = [alert["kind"] for alert in result["alerts"]]
    assert [kind for kind in kinds if kind != "updated"] == ["raised", "cleared"]
    assert result["good"] is True
