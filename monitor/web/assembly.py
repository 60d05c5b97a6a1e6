"""Makes the parts of ``auscult web``, and checks that they may be used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from starlette.types import ASGIApp

from monitor.config.web import WebSettings, is_loopback
from monitor.errors import ConfigError
from monitor.evidence.folder import EvidenceFolder
from monitor.web.app import make_app
from monitor.web.channels import Channels
from monitor.web.context import Context
from monitor.web.daemon_link import DaemonLink
from monitor.web.others import Others
from monitor.web.pages import Pages
from monitor.web.password_check import PasswordCheck
from monitor.web.past import Past
from monitor.web.sessions import Sessions
from monitor.web.static_files import StaticFiles
from monitor.web.transcoding import Transcoder
from monitor.web.users import FILE_NAME, Users
from monitor.web.work import Workers

_READING_THREADS = 2


def assemble(
    settings: WebSettings,
    *,
    config: Path,
    state_dir: Path,
    own_dir: Path,
    others: Others | None = None,
    sound_after_s: float | None = None,
) -> tuple[ASGIApp, Context]:
    """The application and its parts.

    ``config`` and ``state_dir``: of the daemon. ``own_dir``: what this process may write.
    ``others``: the machines of other nodes. ``sound_after_s``: as in ``Context``. Raises
    ``ConfigError`` if other computers could use the page without a password, or read it on the way.
    """
    users = Users(own_dir / FILE_NAME)
    check_exposure(settings, has_password=users.are_required)
    workers = Workers(_READING_THREADS, "reader")
    context = Context(
        settings=settings,
        state_dir=state_dir,
        daemon=DaemonLink(config, state_dir),
        past=Past(state_dir, workers),
        evidence=EvidenceFolder(state_dir / "evidence"),
        transcoder=Transcoder(),
        workers=workers,
        password_check=PasswordCheck(
            users, Sessions(users, settings.session_hours, cookie=_cookie_name(own_dir))
        ),
        pages=Pages(),
        static=StaticFiles(),
        channels=Channels(),
        others=others or Others(),
        sound_after_s=sound_after_s,
    )
    return make_app(context), context


def check_exposure(settings: WebSettings, *, has_password: bool) -> None:
    """Raise ``ConfigError`` for a page that is open to the network."""
    if is_loopback(settings.address[0]) or settings.behind_proxy:
        return
    missing = [
        *(() if has_password else ("a password (auscult web --set-password)",)),
        *(() if settings.tls_cert else ("web.tls_cert and web.tls_key",)),
    ]
    if missing:
        raise ConfigError(
            f'web.listen = "{settings.listen}": other computers could use the page: set '
            f"{' and '.join(missing)}, or web.behind_proxy for a page behind a proxy, or listen on "
            '"127.0.0.1:8737"'
        )


def _cookie_name(own_dir: Path) -> str:
    """Browsers send a cookie to all ports of a host: each page has a name of its own."""
    return f"auscult_{hashlib.sha256(os.fsencode(own_dir.absolute())).hexdigest()[:12]}"
