"""The command for messages to people."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from typing import Annotated, Literal

import typer

from monitor.cli.options import DEFAULT_CONFIG, Config
from monitor.errors import UsageError
from monitor.text.arguments import AsJson, CommandApp


def notify(
    config: Config = DEFAULT_CONFIG,
    test: Annotated[
        bool, typer.Option("--test", help="Send one message to each target, and exit.")
    ] = False,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="Format of the log. By default log_format of the configuration."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Send alerts by mail, to a chat or to a phone, until stopped."""
    from monitor.commands import notify as command

    if test:
        return command.test(config, as_json=as_json)
    if as_json:
        raise UsageError("--json needs --test")
    command.notify(config, log_format=log_format)
    return 0


def register(app: CommandApp) -> None:
    """Add the command to ``auscult``."""
    app.command()(notify)
