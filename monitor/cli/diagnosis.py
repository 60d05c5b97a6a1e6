"""``auscult diagnose``."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import file_option
from monitor.text.arguments import AsJson, CommandApp, number


def diagnose(
    recording: Annotated[
        Path,
        typer.Argument(help="Recording of the sound in question.", metavar="RECORDING"),
    ],
    *,
    healthy: Annotated[
        list[Path] | None,
        typer.Option(
            help="Healthy recording of the same machine, or a folder of them. Can be repeated.",
            metavar="RECORDING",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Bundle of the machine. Without --healthy, the recordings that it was trained on "
            "are used if they are still there.",
            metavar="BUNDLE",
        ),
    ] = None,
    config: Annotated[
        Path | None, file_option("Configuration file with [machine.shaft] and the bundle.")
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(help="Machine id in --config, if there are several.", metavar="MACHINE"),
    ] = None,
    shaft_hz: Annotated[
        float | None,
        typer.Option(
            help="Speed of the shaft in revolutions per second, within 3 %.",
            metavar="HZ",
            parser=number(0.1, 2_000.0),
        ),
    ] = None,
    bearing: Annotated[
        list[str] | None,
        typer.Option(help="Name of a bearing, for example 6205. Can be repeated.", metavar="NAME"),
    ] = None,
    start: Annotated[
        float,
        typer.Option(
            help="Second of the recording from which on it is used, for up to a minute.",
            metavar="SECONDS",
            parser=number(0.0),
        ),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Show what repeats in a recording and not in healthy sound, and which fault that fits."""
    from monitor.commands.diagnose import DiagnoseRequest
    from monitor.commands.diagnose import diagnose as diagnose_command

    diagnose_command(
        DiagnoseRequest(
            recording=recording,
            healthy=tuple(healthy or ()),
            bundle=bundle,
            config=config,
            machine=machine,
            shaft_hz=shaft_hz,
            bearings=tuple(bearing or ()),
            start_s=start,
            as_json=as_json,
        )
    )


def register(app: CommandApp) -> None:
    """Add the command to ``auscult``."""
    app.command()(diagnose)
