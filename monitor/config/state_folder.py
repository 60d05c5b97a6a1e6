"""Where the daemon of a configuration keeps its state."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.config.settings import Settings

SERVICE_CONFIGS = Path("/etc/auscult")
"""``config.toml`` of the systemd unit ``auscult.service``, ``machines/NAME.toml`` of
``auscult@NAME.service``."""
SERVICE_STATES = Path("/var/lib")
"""``auscult`` of ``auscult.service``, ``auscult-NAME`` of ``auscult@NAME.service``."""


def state_dir(settings: Settings, config_path: Path) -> Path:
    """The folder of the outbox: configured, systemd's, or ``state`` beside the file."""
    if settings.service.state_dir is not None:
        return settings.service.state_dir
    if from_systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(from_systemd.split(":")[0])
    return config_path.absolute().parent / "state"


def state_dir_fault(folder: Path) -> str:
    """Why nothing can be kept in a state folder, in one line; empty if it may be usable."""
    if os.path.isdir(folder) or not os.path.lexists(folder):  # noqa: PTH112 - no errors
        return ""
    return f"the state folder {folder} is not a folder: nothing is kept after a restart"


def daemon_state_dir(settings: Settings, config_path: Path) -> Path:
    """As ``state_dir``, for a command that is run by hand beside the daemon.

    systemd gives the service its folder in the environment, which the command does not have.
    """
    if settings.service.state_dir is None and "STATE_DIRECTORY" not in os.environ:
        instance = service_instance(config_path)
        if instance is not None:
            return SERVICE_STATES / f"auscult{instance}"
    return state_dir(settings, config_path)


def companion_dir(settings: Settings, config_path: Path, name: str) -> Path:
    """The folder that ``auscult NAME``, beside the daemon, may write, also if it is run by hand.

    ``name`` in systemd's ``StateDirectory=`` of this process, or of the unit of the configuration,
    or else in the state folder.
    """
    if from_systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(from_systemd.split(":")[0]) / name
    return service_companion_dir(config_path, name) or state_dir(settings, config_path) / name


def service_companion_dir(config_path: Path, name: str) -> Path | None:
    """The ``companion_dir`` of ``auscult-NAME.service``; None if it reads another configuration."""
    instance = service_instance(config_path)
    return None if instance is None else SERVICE_STATES / f"auscult-{name}{instance}" / name


def service_instance(config_path: Path) -> str | None:
    """What a service of this configuration adds to its name: nothing, or ``-NAME``.

    None if no unit reads this file.
    """
    path = config_path.absolute()
    if path == SERVICE_CONFIGS / "config.toml":
        return ""
    if path.parent == SERVICE_CONFIGS / "machines" and path.suffix == ".toml":
        return f"-{path.stem}"
    return None


def outbox_path(state_dir: Path) -> Path:
    """The database file of the outbox."""
    return state_dir / "outbox.sqlite3"


def history_path(state_dir: Path) -> Path:
    """The database file of the history."""
    return state_dir / "history.sqlite3"
