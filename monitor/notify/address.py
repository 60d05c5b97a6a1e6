"""The address of a target, which contains its password and is read from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monitor.config.notify import CREDENTIAL_PREFIX, NotifySettings
from monitor.errors import ConfigError
from monitor.text.regular_files import open_regular

_MOST_BYTES = 65_536


def read_address(target: NotifySettings, environ: Mapping[str, str] | None = None) -> str:
    """The address as it is now in ``$CREDENTIALS_DIRECTORY/notify_<name>``, or in ``url_file``.

    Raises ``ConfigError`` that names the file, and never shows its content.
    """
    environ = os.environ if environ is None else environ
    label = f'notify "{target.name}"'
    path = target.url_file
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / f"{CREDENTIAL_PREFIX}{target.name}"
        path = credential if credential.exists() else path
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            content = file.read(_MOST_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{label}: address file {path}: {error.strerror}: it must contain the address in one "
            "line (docs/notifications.md)"
        ) from None
    except UnicodeDecodeError:  # whose message would show the content
        raise ConfigError(f"{label}: address file {path}: must be UTF-8 text") from None
    lines = [line.strip() for line in content.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if len(found) != 1 or len(content) > _MOST_BYTES:
        raise ConfigError(
            f"{label}: address file {path}: must contain one address, on one line (more targets "
            "need more [[notify]] tables)"
        )
    if "://" not in found[0]:
        raise ConfigError(
            f"{label}: address file {path}: must contain an address such as mailto://... or "
            "tgram://... (docs/notifications.md)"
        )
    return found[0]
