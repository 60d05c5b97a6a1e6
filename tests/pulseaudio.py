"""A microphone without hardware: the monitor of a null sink of a private PulseAudio server.

What is played into the sink is what the microphone receives; unloading the sink is
unplugging the microphone. Nothing of the user's sound configuration is read, and
nobody else's PulseAudio is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from ctypes.util import find_library
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from monitor.domain import FloatArray

_SINK = ["module-null-sink", "sink_name=vmic"]
# No hooks: those of the system's file would load the user's configuration over this.
_ALSA = """
pcm.pulse { type pulse }
ctl.pulse { type pulse }
pcm.default { type pulse }
ctl.default { type pulse }
"""


class PulseAudio:
    """A running server, a context manager. ``environment`` connects a program to it."""

    def __init__(self, folder: Path, rate_hz: int = 48_000) -> None:
        self._folder = folder
        self._rate_hz = rate_hz
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        run, home = folder / "run", folder / "home"
        self.environment = {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(run),
            "XDG_CONFIG_HOME": str(home),
            "PULSE_RUNTIME_PATH": str(run),
            "PULSE_STATE_PATH": str(home),
            "PULSE_COOKIE": str(run / "cookie"),
            "PULSE_CLIENTCONFIG": str(folder / "client.conf"),
            "PULSE_SERVER": f"unix:{run}/native",
            "ALSA_CONFIG_PATH": str(folder / "alsa.conf"),
        }

    def __enter__(self) -> Self:
        """Start the server with its sink; skips the test where the programs are missing."""
        for program in ("pulseaudio", "pactl", "pacat"):
            if shutil.which(program) is None:
                pytest.skip(f"no {program} on this machine")
        if find_library("portaudio") is None:
            pytest.skip("no PortAudio (libportaudio2) on this machine")
        for name in ("run", "home"):
            (self._folder / name).mkdir(mode=0o700)
        (self._folder / "client.conf").write_text("autospawn = no\n")
        (self._folder / "alsa.conf").write_text(_ALSA)
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    *("pulseaudio", "-n", "-F", "/dev/null", "--daemonize=no", "--use-pid-file=no"),
                    *("--exit-idle-time=-1", "--disable-shm=yes", "--log-target=stderr"),
                    f"--load=module-native-protocol-unix socket={self._folder}/run/native",
                ],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        self._until(lambda: self._pactl("info").returncode == 0, "PulseAudio did not start")
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the players and the server."""
        for process in [*self._players, *([self._server] if self._server else [])]:
            process.kill()
            process.wait()

    def plug_in(self) -> None:
        """Load the sink: the microphone is connected."""
        self._pactl("load-module", *_SINK, f"rate={self._rate_hz}", check=True)

    def unplug(self) -> None:
        """Unload the sink: the microphone is unplugged."""
        self._pactl("unload-module", "module-null-sink", check=True)

    def play(self, samples: FloatArray, rate_hz: int) -> subprocess.Popen[bytes]:
        """Play into the sink; returns at once. Shape: ``samples`` is ``(n_samples,)``."""
        sound = self._folder / f"sound-{len(self._players)}.raw"
        sound.write_bytes(np.asarray(samples, dtype="<f4").tobytes())
        with sound.open("rb") as file:
            player = subprocess.Popen(
                ["pacat", "--playback", "--raw", "--device=vmic", "--format=float32le",
                 f"--rate={rate_hz}", "--channels=1", "--latency-msec=100"],
                stdin=file,
                env=self._environment(),
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._players.append(player)
        return player

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _pactl(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["pactl", *arguments],
            env=self._environment(),
            capture_output=True,
            timeout=10,
            check=check,
        )

    def _until(self, condition: object, failure: str, timeout_s: float = 10.0) -> None:
        assert callable(condition)
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                pytest.fail(f"{failure}: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)
