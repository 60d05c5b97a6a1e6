"""Install the programs and libraries that are not on the Python package index.

Missing packages are installed with apt, as root or with sudo if sudo needs no password. Otherwise
the script lists them and ends normally: tests that need a missing package are skipped. While
another program uses apt, as a new Ubuntu does for its own updates, the script waits for it.

Usage: PYTHON tools/system_packages.py node|test
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def has_program(name: str) -> bool:
    """Whether the program `name` is installed, also in the sbin folders outside a user's PATH."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def has_alsa_pulse_plugin() -> bool:
    """Whether ALSA's plugin for PulseAudio is installed; the tests' virtual microphone needs it."""
    name = "libasound_module_pcm_pulse.so"
    patterns = (f"lib/*/alsa-lib/{name}", f"lib/alsa-lib/{name}", f"lib64/alsa-lib/{name}")
    return any(found for pattern in patterns for found in Path("/usr").glob(pattern))


@dataclass(frozen=True, slots=True)
class Need:
    """A required Debian package, and a check whether it is installed."""

    package: str
    present: Callable[[], bool]


PORTAUDIO = Need("libportaudio2", lambda: ctypes.util.find_library("portaudio") is not None)
NEEDS: dict[str, tuple[Need, ...]] = {
    "node": (PORTAUDIO,),
    "test": (
        PORTAUDIO,
        Need("mosquitto", lambda: has_program("mosquitto")),
        Need("mosquitto-clients", lambda: has_program("mosquitto_sub")),
        Need("pulseaudio", lambda: has_program("pulseaudio")),
        Need("pulseaudio-utils", lambda: has_program("pactl")),
        Need("libasound2-plugins", has_alsa_pulse_plugin),
        Need("ffmpeg", lambda: has_program("ffmpeg")),
        Need("openssl", lambda: has_program("openssl")),
        Need("chromium", lambda: has_program("chromium")),
        Need("systemd-container", lambda: has_program("systemd-nspawn")),
        Need("lintian", lambda: has_program("lintian")),
        Need("pipx", lambda: has_program("pipx")),
    ),
}
WITHOUT = {
    "node": "Without them, microphones do not work.",
    "test": "Tests that need them are skipped.",
}


WAIT_FOR_APT_S = 300.0


def missing(purpose: str) -> list[str]:
    """The Debian packages for `purpose` that are not installed."""
    return [need.package for need in NEEDS[purpose] if not need.present()]


def privileged(command: list[str]) -> list[str] | None:
    """`command` to run as root without a password prompt, or None if that is not possible."""
    if os.geteuid() == 0:
        return command
    if has_program("sudo"):
        asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)  # noqa: S607 - sudo from PATH
        if asked.returncode == 0:
            return ["sudo", "-n", *command]
    return None


def apt_install(packages: list[str]) -> bool:
    """Install `packages` with apt; False if that is not allowed or fails."""
    if not has_program("apt-get"):
        return False
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"]
    quiet += ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    install = privileged([*quiet, "install", "--yes", "--no-install-recommends", *packages])
    update = privileged([*quiet, "update"])
    if install is None or update is None:
        return False
    if apt_succeeds(install):
        return True
    return apt_succeeds(update) and apt_succeeds(install)


def apt_succeeds(command: list[str]) -> bool:
    """Whether apt does this, if need be after another program has finished with apt.

    apt's own option ``DPkg::Lock::Timeout`` waits for one of its three locks only.
    """
    until_s = time.monotonic() + WAIT_FOR_APT_S
    is_reported = False
    while True:
        done = subprocess.run(  # noqa: S603 - built above from constants
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return True
        if "Could not get lock" not in done.stderr or time.monotonic() >= until_s:
            return False
        if not is_reported:
            minutes = round(WAIT_FOR_APT_S / 60)
            print(
                f"another program uses apt: waiting for it, {minutes} minutes at most",
                file=sys.stderr,
            )
            is_reported = True
        time.sleep(2.0)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in NEEDS:
        print(f"usage: system_packages.py {{{','.join(NEEDS)}}}", file=sys.stderr)
        return 64
    purpose = arguments[0]
    wanted = missing(purpose)
    if wanted:
        print(f"installing system packages: {' '.join(wanted)}", file=sys.stderr)
        apt_install(wanted)
    still = missing(purpose)
    if still:
        print(
            f"missing system packages: {' '.join(still)}. {WITHOUT[purpose]} "
            "On Debian and Ubuntu, install them with:\n"
            f"    sudo apt-get install {' '.join(still)}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
