"""``auscult web``: the page of the running daemon, and its users."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from monitor.commands.extras import needs_extra
from monitor.commands.output import message
from monitor.config.settings import Settings, load_config
from monitor.config.state_folder import (
    SERVICE_CONFIGS,
    companion_dir,
    daemon_state_dir,
    service_companion_dir,
    service_instance,
    state_dir,
)
from monitor.config.web import WebSettings
from monitor.errors import MissingInputError, UsageError
from monitor.process.logs import set_up_logging, trace_crashes
from monitor.process.secret_files import warn_of_broker_secrets, warn_of_readers
from monitor.process.systemd import Notifier


def web(config: Path) -> None:
    """Serve the page until stopped.

    Raises what reading the configuration raises, ``ConfigError`` if others could use the page,
    and ``ServiceUnavailableError`` if the extra ``web`` is not installed or the address cannot be
    used.
    """
    trace_crashes()
    settings = load_config(config)
    set_up_logging(settings.service.log_level, settings.service.log_format)
    with needs_extra("auscult web", "web"):
        from monitor.web.assembly import assemble  # noqa: PLC0415 - needs the extra
        from monitor.web.follower import Follower  # noqa: PLC0415 - needs the extra
        from monitor.web.others import Others  # noqa: PLC0415 - needs the extra
        from monitor.web.server import serve  # noqa: PLC0415 - needs the extra
    web_settings = with_credentials(settings.web)
    if web_settings.follow:
        warn_of_broker_secrets(settings.mqtt.used_password_file, settings.mqtt.client_key)
    others = Others(settings.mqtt.base_topic)
    follower = Follower(settings.mqtt, web_settings.follow, others)
    app, context = assemble(
        web_settings,
        config=config,
        state_dir=daemon_state_dir(settings, config),
        own_dir=companion_dir(settings, config, "web"),
        others=others,
        sound_after_s=settings.evidence.after_s if settings.evidence.is_on else None,
    )
    follower.start()
    with Notifier() as manager, contextlib.closing(follower):
        serve(
            app,
            web_settings,
            manager=manager,
            ready=lambda address: message(f"the page is at {address}"),
            stopping=context.channels.stop,
        )


def with_credentials(settings: WebSettings) -> WebSettings:
    """The settings with the certificate and its key as this process can read them.

    A file ``web_NAME`` in systemd's ``$CREDENTIALS_DIRECTORY`` is used in place of a file of the
    name NAME. Raises ``MissingInputError`` for a file that is not there.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    update = {}
    for key in ("tls_cert", "tls_key"):
        path: Path | None = getattr(settings, key)
        if path is None:
            continue
        credential = Path(folder) / f"web_{path.name}" if folder else path
        update[key] = credential if credential.is_file() else path
        if not update[key].is_file():
            raise MissingInputError(
                f"web.{key}: {path}: no such file, or not a regular file, or it cannot be read"
            )
        if key == "tls_key" and update[key] == path:
            warn_of_readers(path, group_may_read=True)
    return settings.model_copy(update=update)


def set_password(config: Path | None, user: str, role: Literal["viewer", "operator"]) -> None:
    """Ask for a password, store it where the page of ``config`` reads it, and name that page.

    Without ``config``: that of config.toml in this folder, or else that of the service. Raises
    ``MissingInputError`` if there is neither, ``UsageError`` for a name or a password that cannot
    be used, and what reading the configuration and writing the file raise.
    """
    config = config or _found_config()
    settings = load_config(config)
    with needs_extra("auscult web", "web"):
        from monitor.web import users  # noqa: PLC0415 - needs the extra
    path = companion_dir(settings, config, "web") / users.FILE_NAME
    users.check_name(user)
    password = _read_password(user, users.check_password)
    users.set_password(path, user, users.Role(role), password)
    message(f"{user} may now log in as {role} ({path}, read by {_reader_of(path, config)})")
    for line in _other_places(path, settings, config):
        message(f"warning: {line}")


def _found_config() -> Path:
    """config.toml in this folder, or else that of the service. Raises ``MissingInputError``."""
    here, service = Path("config.toml"), SERVICE_CONFIGS / "config.toml"
    for path in (here, service):
        if _may_exist(path):
            return path
    raise MissingInputError(
        f"this folder has no {here}, and {service}, of the service, does not exist. Name the "
        "configuration of the daemon with --config FILE"
    )


def _may_exist(path: Path) -> bool:
    """Whether there is a file; also if only others may know. Reading it then gives the reason."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _reader_of(path: Path, config: Path) -> str:
    """The process that lets in the users of this file."""
    folder = service_companion_dir(config, "web")
    if folder is None or path.parent != folder:
        return f"auscult web --config {config}, started by hand or with the same STATE_DIRECTORY"
    return _service_of(config)


def _service_of(config: Path) -> str:
    instance = service_instance(config)
    return f"auscult-web@{instance[1:]}.service" if instance else "auscult-web.service"


def _other_places(path: Path, settings: Settings, config: Path) -> Iterator[str]:
    """Sentences on the other places in which a page could look for its users."""
    own = service_companion_dir(config, "web")
    if own is not None and own != path.parent:
        yield (
            f"{_service_of(config)} reads {own / path.name}, which was not changed: "
            "run this command without STATE_DIRECTORY to set its passwords"
        )
    main = SERVICE_CONFIGS / "config.toml"
    service = service_companion_dir(main, "web")
    if own is None and service is not None and os.path.lexists(service.parent):
        yield (
            f"auscult-web.service reads {service / path.name}, which was not changed: "
            f"use --config {main} to set its passwords"
        )
    places = {config.absolute().parent / "state" / "web", state_dir(settings, config) / "web"}
    for place in sorted(places - {path.parent, own}):
        with contextlib.suppress(OSError):  # only another user may know what is there
            if (other := place / path.name).exists():
                yield f"{other} also has passwords, which are not used here: delete it"


def _read_password(user: str, check: Callable[[str], None]) -> str:
    """Typed twice at a terminal, or one line of standard input.

    ``check`` raises for a password that cannot be used, before it is typed again.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"New password for {user}: ")
    check(password)
    if getpass.getpass("Again: ") != password:
        raise UsageError("the two passwords are not equal")
    return password
