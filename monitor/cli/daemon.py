"""The commands of a configuration: the daemon, its sources, its broker and its outbox."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from monitor.cli.options import DEFAULT_CONFIG, Config
from monitor.errors import UsageError
from monitor.text.arguments import AsJson, CommandApp, number


def run(
    config: Config = DEFAULT_CONFIG,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="Format of the log. By default log_format of the configuration."),
    ] = None,
    until_ended: Annotated[bool, typer.Option(help="Stop when all sources have ended.")] = False,
) -> None:
    """Monitor the configured machines until stopped.

    The command runs in the foreground. For the service, systemd starts it.
    """
    from monitor.service.daemon import run_daemon

    run_daemon(config, log_format=log_format, until_ended=until_ended)


def check(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Do not read the broker's password.")
    ] = False,
) -> None:
    """Check the configuration and all its bundles, without starting anything."""
    from monitor.commands.check import check as check_command

    check_command(config, as_json=as_json, with_password=not no_password)


def devices(as_json: AsJson = False) -> None:
    """List the microphones that PortAudio finds."""
    from monitor.commands.record import devices as devices_command

    devices_command(as_json=as_json)


def record(
    machine: Annotated[
        str, typer.Argument(help="Machine id in the configuration.", metavar="MACHINE")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the FLAC files.", metavar="FOLDER")],
    seconds: Annotated[
        float,
        typer.Option(help="Seconds of sound to record.", metavar="NUMBER", parser=number(0.1, 1e7)),
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Record from a machine's source, for `auscult train audio`."""
    from monitor.commands.record import record as record_command

    return record_command(config, machine, out, seconds, as_json=as_json)


def selftest(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> int:
    """Test bundles, sources and broker. One test message is published."""
    from monitor.commands.selftest import selftest as selftest_command

    return selftest_command(config, as_json=as_json)


def outbox(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the alerts that the broker has not acknowledged."""
    from monitor.commands.outbox import outbox as outbox_command

    outbox_command(config, as_json=as_json)


def discovery(
    remove: Annotated[bool, typer.Option(help="Remove the machines from Home Assistant.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Remove the machines from Home Assistant."""
    from monitor.commands.outbox import remove_discovery

    if not remove:
        raise UsageError("discovery needs --remove, which removes the machines from Home Assistant")
    remove_discovery(config, as_json=as_json)


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    for command in (run, check, devices, record, selftest, outbox, discovery):
        app.command()(command)
