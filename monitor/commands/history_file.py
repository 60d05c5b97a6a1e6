"""Which history a command reads."""

from __future__ import annotations

from pathlib import Path

from monitor.config.settings import load_config
from monitor.config.state_folder import SERVICE_CONFIGS, SERVICE_STATES, daemon_state_dir
from monitor.config.state_folder import history_path as history_in
from monitor.errors import AuscultError, MissingInputError

_DEFAULT_CONFIG = Path("config.toml")


def history_file(config: Path | None) -> Path:
    """The history of the daemon of ``config``.

    Without ``config``: that of config.toml in this folder, or else that of the service. Raises what
    reading ``config`` raises, and ``MissingInputError`` with all places if none of them has a
    history, or with the key that switches the history off.
    """
    if config is not None:
        return _of(config)
    looked: list[str] = []
    try:
        here = _of(_DEFAULT_CONFIG)
        if _may_exist(here):
            return here
        looked.append(f"{here}, of {_DEFAULT_CONFIG} in this folder, does not exist")
    except _DisabledError as error:
        looked.append(str(error))
    except MissingInputError:
        looked.append(f"this folder has no {_DEFAULT_CONFIG}")
    except AuscultError as error:
        looked.append(f"{_DEFAULT_CONFIG} in this folder cannot be used ({error.lines[0]})")
    try:
        service = _of_service()
    except _DisabledError as error:
        raise MissingInputError(f"no history: {looked[0]}, and {error}") from None
    if _may_exist(service):
        return service
    raise MissingInputError(
        f"no history: {looked[0]}, and {service}, of the service, does not exist. "
        "Name the configuration of the daemon with --config FILE"
    )


class _DisabledError(MissingInputError):
    """There is no history, because it is switched off."""


def _of(config: Path) -> Path:
    settings = load_config(config)
    path = history_in(daemon_state_dir(settings, config))
    if not settings.history.enabled and not _may_exist(path):
        raise _DisabledError(
            f"{config}: history.enabled = false: the daemon keeps no history (true keeps it)"
        )
    return path


def _of_service() -> Path:
    try:
        return _of(SERVICE_CONFIGS / "config.toml")
    except _DisabledError:
        raise
    except AuscultError:  # there is no service, or only root may read its configuration
        return history_in(SERVICE_STATES / "auscult")


def _may_exist(path: Path) -> bool:
    """Whether there is a file; also if only others may know. Reading it then gives the reason."""
    try:
        return path.exists()
    except PermissionError:
        return True
