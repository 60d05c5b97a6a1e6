"""The commands for viewers: the web page."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from monitor.cli.options import DEFAULT_CONFIG
from monitor.errors import UsageError
from monitor.text.arguments import CommandApp


def web(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file, by default config.toml in the current folder. With "
            "--set-password, that of the service if this folder has none.",
            metavar="FILE",
            readable=False,
        ),
    ] = None,
    set_password: Annotated[
        bool,
        typer.Option(
            "--set-password",
            help="Ask for the password of a user, store it and exit. From then on, the page needs "
            "a login.",
        ),
    ] = False,
    user: Annotated[
        str | None,
        typer.Option(help="The user, with --set-password. By default `operator`.", metavar="NAME"),
    ] = None,
    role: Annotated[
        Literal["viewer", "operator"] | None,
        typer.Option(
            help="With --set-password: a viewer may see everything and play sound, an operator may "
            "also mute, label and learn. By default `operator`."
        ),
    ] = None,
) -> None:
    """Serve a web page with the machines of the running daemon, and metrics."""
    from monitor.commands.web import set_password as set_password_command
    from monitor.commands.web import web as web_command

    if set_password:
        set_password_command(config, user or "operator", role or "operator")
    elif user is not None or role is not None:
        raise UsageError("--user and --role need --set-password")
    else:
        web_command(config or DEFAULT_CONFIG)


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    app.command()(web)
