"""Find the programs and libraries that Python's package index does not have.

Installs what is missing where that needs no question (apt, as root or with a password-less sudo);
elsewhere names exactly what is missing and leaves the decision to the person at the machine: the
tests that need a missing one skip, and say which.

Usage: PYTHON tools/system_packages.py PURPOSE, where PURPOSE is one of the keys of `NEEDS`.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def has_program(name: str) -> bool:
    """Whether `name` can be started; Debian keeps daemons where a user's PATH does not look."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def has_alsa_pulse_plugin() -> bool:
    """Whether ALSA can reach PulseAudio, which is how PortAudio reaches it in the tests."""
    name = "libasound_module_pcm_pulse.so"
    patterns = (f"lib/*/alsa-lib/{name}", f"lib/alsa-lib/{name}", f"lib64/alsa-lib/{name}")
    return any(found for pattern in patterns for found in Path("/usr").glob(pattern))


@dataclass(frozen=True, slots=True)
class Need:
    """One thing a machine must have: the Debian package and how to see whether it is there."""

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
        Need("systemd-container", lambda: has_program("systemd-nspawn")),
    ),
}


def missing(purpose: str) -> list[str]:
    """The Debian packages of `purpose` that this machine does not have."""
    return [need.package for need in NEEDS[purpose] if not need.present()]


def privileged(command: list[str]) -> list[str] | None:
    """`command` as root without asking anything, or None where that is not possible."""
    if os.geteuid() == 0:
        return command
    if has_program("sudo"):
        asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)  # noqa: S607 - sudo from PATH
        if asked.returncode == 0:
            return ["sudo", "-n", *command]
    return None


def apt_install(packages: list[str]) -> bool:
    """Whether apt was allowed to install `packages` and did."""
    if not has_program("apt-get"):
        return False
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    install = privileged([*quiet, "install", "--yes", "--no-install-recommends", *packages])
    update = privileged([*quiet, "update"])
    if install is None or update is None:
        return False
    if _succeeds(install):
        return True
    return _succeeds(update) and _succeeds(install)


def _succeeds(command: list[str]) -> bool:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - built above from constants
    return done.returncode == 0


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
            f"missing system packages: {' '.join(still)} (Debian and Ubuntu names). "
            "What needs them will be skipped. Install them with:\n"
            f"    sudo apt-get install {' '.join(still)}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
