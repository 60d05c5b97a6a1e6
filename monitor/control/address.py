"""Where the control socket is: for the daemon, and for its clients."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from monitor.errors import ServiceUnavailableError
from monitor.text.regular_files import real_path

NAME = "control.sock"
GROUP = "auscult"
"""The members of this group may use the socket."""
SERVICE_SOCKET = Path("/run/auscult") / NAME
"""The socket of the systemd unit ``auscult.service``."""
LONGEST_PATH_BYTES = 107
"""``sun_path`` has 108 bytes on Linux, one of them for the end (unix(7))."""


def socket_path(state_dir: Path, environ: Mapping[str, str] | None = None) -> Path:
    """The socket of the daemon with this state folder.

    It is in systemd's ``RuntimeDirectory=`` if there is one. Otherwise it is in the user's runtime
    folder, with a name made from the state folder, or in the state folder itself.
    """
    environ = os.environ if environ is None else environ
    if from_systemd := environ.get("RUNTIME_DIRECTORY"):
        return Path(from_systemd.split(":")[0]) / NAME
    return _in_user_folder(state_dir, environ) or state_dir.absolute() / NAME


def possible_paths(
    state_dir: Path | None, environ: Mapping[str, str] | None = None, *, instances: bool = False
) -> list[Path]:
    """The paths at which a client looks for the daemon, in this order.

    ``state_dir``: that of the configuration, ``None`` without one. The daemon may run in another
    environment, so its socket may be in the user's runtime folder or in the state folder. The
    last path is the socket of the service; with ``instances``, those of ``auscult@.service``
    follow. Paths that are too long for a socket are left out.
    """
    environ = os.environ if environ is None else environ
    found: list[Path | None] = []
    if "RUNTIME_DIRECTORY" in environ:
        found.append(socket_path(state_dir or Path(), environ))
    if state_dir is not None:
        found += [_in_user_folder(state_dir, environ), state_dir.absolute() / NAME]
    found.append(SERVICE_SOCKET)
    if instances:
        folder = SERVICE_SOCKET.parent
        found += [one / NAME for one in sorted(folder.parent.glob(f"{folder.name}-*"))]
    unique = dict.fromkeys(path for path in found if path is not None)
    return [path for path in unique if len(os.fsencode(path)) <= LONGEST_PATH_BYTES]


def check_length(path: Path) -> None:
    """Raise ``ServiceUnavailableError`` for a path that is too long for a socket."""
    length = len(os.fsencode(path))
    if length > LONGEST_PATH_BYTES:
        raise ServiceUnavailableError(
            f"{path}: the path of a socket has at most {LONGEST_PATH_BYTES} bytes, this one has "
            f"{length}: choose a shorter service.state_dir"
        )


def _in_user_folder(state_dir: Path, environ: Mapping[str, str]) -> Path | None:
    folder = Path(environ.get("XDG_RUNTIME_DIR", ""))
    if not folder.is_absolute() or not folder.is_dir():
        return None
    digest = hashlib.sha256(os.fsencode(real_path(state_dir))).hexdigest()[:16]
    return folder / "auscult" / f"{digest}.sock"
