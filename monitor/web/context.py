"""What the routes use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from monitor.config.web import WebSettings
from monitor.evidence.folder import EvidenceFolder
from monitor.web.channels import Channels
from monitor.web.daemon_link import DaemonLink
from monitor.web.others import Others
from monitor.web.pages import Pages
from monitor.web.password_check import PasswordCheck
from monitor.web.past import Past
from monitor.web.static_files import StaticFiles
from monitor.web.transcoding import Transcoder
from monitor.web.work import Workers


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one ``auscult web``.

    ``sound_after_s``: how long the sound of an alert goes on after it; None if none is kept.
    """

    settings: WebSettings
    state_dir: Path
    daemon: DaemonLink
    past: Past
    evidence: EvidenceFolder
    transcoder: Transcoder
    workers: Workers
    password_check: PasswordCheck
    pages: Pages
    static: StaticFiles
    channels: Channels
    others: Others
    sound_after_s: float | None


def context_of(request: Request) -> Context:
    """The parts that belong to the application of a request."""
    context: Context = request.app.state.context
    return context
