"""``auscult web``: the page of the running daemon."""

from __future__ import annotations

from pathlib import Path

from monitor.commands.extras import needs_extra
from monitor.commands.output import message
from monitor.config.settings import load_config, state_dir
from monitor.process.logs import set_up_logging


def web(config: Path) -> None:
    """Serve the page until stopped.

    Raises what reading the configuration raises, and ``ServiceUnavailableError`` if the extra
    ``web`` is not installed or the address cannot be used.
    """
    settings = load_config(config)
    set_up_logging(settings.service.log_level, settings.service.log_format)
    with needs_extra("auscult web", "web"):
        from monitor.web.app import make_app  # noqa: PLC0415 - needs the extra
        from monitor.web.context import Context  # noqa: PLC0415 - needs the extra
        from monitor.web.daemon_link import DaemonLink  # noqa: PLC0415 - needs the extra
        from monitor.web.pages import Pages  # noqa: PLC0415 - needs the extra
        from monitor.web.server import serve  # noqa: PLC0415 - needs the extra
        from monitor.web.static_files import StaticFiles  # noqa: PLC0415 - needs the extra
    folder = state_dir(settings, config)
    context = Context(settings.web, folder, DaemonLink(config, folder), Pages(), StaticFiles())
    serve(
        make_app(context),
        settings.web,
        ready=lambda address: message(f"the page is at {address}"),
    )
