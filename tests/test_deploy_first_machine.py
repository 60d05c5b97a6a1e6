"""The first steps of README.md on a fresh system.

The system is an overlay of this computer's root directory without Auscult. The test fills in the
repository's address and records for a shorter time. The microphone is PulseAudio's monitor of a
sink that plays a simulated pump.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.installed_node import pump_sound
from tests.nspawn import BootedSystem, skip_unless_possible
from tests.waiting import wait_for

pytestmark = [pytest.mark.systemd, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parent.parent
MOST_COMMANDS = 6
RECORDED_S = 60
SERVER = "PULSE_SERVER=unix:/run/vmic/native"


def first_steps() -> list[str]:
    """The commands of the README's first code block below "Watch your first machine"."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Watch your first")[2]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block, "README.md has no first steps"
    return [line for line in block[1].splitlines() if line.strip()]


def repository(folder: Path) -> Path:
    """This checkout as a repository with one commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[BootedSystem]:
    """A booted system with a microphone, the sound of a pump, and without Auscult."""
    skip_unless_possible()
    for program in ("pulseaudio", "ffmpeg"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    binds = {repository(tmp_path / "repository"): "/srv/repository"}
    with BootedSystem(tmp_path, binds) as system:
        for left in ("/opt/auscult", "/etc/auscult", "/usr/local/bin/auscult"):
            system.run(["rm", "-rf", left])
        soundfile.write(system.root / "srv" / "pump.flac", pump_sound(120.0), 16_000)
        system.run(["mkdir", "-p", "/run/vmic"])
        system.write("/etc/asound.conf", "pcm.!default { type pulse }\n")
        # In place of a sound card: the address of the sound server.
        drop_in = "/etc/systemd/system/auscult.service.d/vmic.conf"
        system.write(drop_in, f"[Service]\nEnvironment={SERVER}\n")
        as_unit = ["systemd-run", "--quiet", "--setenv=HOME=/run/vmic", f"--setenv={SERVER}"]
        socket = "module-native-protocol-unix auth-anonymous=1 socket=/run/vmic/native"
        sink = "module-null-sink sink_name=vmic rate=48000"
        sound_server = ["pulseaudio", "-n", "--exit-idle-time=-1", f"--load={socket}"]
        system.run([*as_unit, "--unit=vmic", *sound_server, f"--load={sink}"])
        info = ["env", SERVER, "pactl", "info"]
        wait_for(lambda: system.run(info, check=False).returncode == 0, 20, "the sound server")
        play = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"]
        play += ["-i", "/srv/pump.flac", "-f", "pulse", "-device", "vmic", "pump"]
        system.run([*as_unit, "--unit=vmic-sound", *play])
        yield system


def test_the_first_steps_of_the_readme_lead_to_a_monitored_machine(
    fresh: BootedSystem,
) -> None:
    """A new user could not set up a node."""
    steps = first_steps()
    assert len(steps) <= MOST_COMMANDS
    script = "\n".join(["set -eux", "cd /root", *steps])
    script = script.replace("REPOSITORY", "/srv/repository")
    script, shortened = re.subn(r"--seconds \d+", f"--seconds {RECORDED_S}", script)
    assert shortened == 1
    if fresh.run(["which", "sudo"], check=False).returncode != 0:
        script = script.replace("sudo ", "")
    done = fresh.run(
        ["env", SERVER, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory",
         "GIT_CONFIG_VALUE_0=*", "bash", "-c", script],
        timeout_s=1300,
    )  # fmt: skip
    print(done.stdout[-3000:], done.stderr[-3000:])  # pytest shows it for a failed test
    assert fresh.unit("auscult.service", "ActiveState") == "active"
    wait_for(
        lambda: "1 machine: 1 ok" in fresh.unit("auscult.service", "StatusText"),
        60,
        "the machine in the state ok",
    )
    assert (fresh.root / "etc/auscult/bundles/machine-1/report.html").is_file()
    release = fresh.run(["readlink", "/opt/auscult/venv"]).stdout
    again = fresh.run(["/root/auscult/deploy/install.sh"])
    assert "keeping the installed trainer" in again.stderr
    assert fresh.run(["readlink", "/opt/auscult/venv"]).stdout == release
