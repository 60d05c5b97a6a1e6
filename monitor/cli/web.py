"""The commands for viewers: the web page."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from monitor.cli.options import DEFAULT_CONFIG, Config
from monitor.text.arguments import CommandApp


def web(config: Config = DEFAULT_CONFIG) -> None:
    """Serve the web page of the running daemon, live data and metrics."""
    from monitor.commands.web import web as web_command

    web_command(config)


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    app.command()(web)
