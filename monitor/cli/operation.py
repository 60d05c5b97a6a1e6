"""The commands of an operator for the running daemon, and its history."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from monitor.cli.options import output_option
from monitor.errors import UsageError
from monitor.text.arguments import AsJson, CommandApp, length_of_time, moment

DaemonConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file of the daemon. By default the daemon of config.toml in the "
        "current folder is used, or else that of the service.",
        metavar="FILE",
        readable=False,
    ),
]
DaemonSocket = Annotated[
    Path | None,
    typer.Option("--socket", help="Socket of the daemon.", metavar="PATH", readable=False),
]
MachineId = Annotated[str, typer.Argument(help="Machine id.", metavar="MACHINE")]
AlertId = Annotated[
    str,
    typer.Argument(
        help="The alert's alert_id, or at least 8 characters of it.", metavar="ALERT_ID"
    ),
]
Note = Annotated[
    str, typer.Option(help="A note that is stored with the time and the user.", metavar="TEXT")
]


def status(
    config: DaemonConfig = None, socket: DaemonSocket = None, as_json: AsJson = False
) -> None:
    """Show the machines of the running daemon."""
    from monitor.commands.operate import Target
    from monitor.commands.operate import status as status_command

    status_command(Target(socket, config), as_json=as_json)


def mute(
    machine: MachineId,
    *,
    for_s: Annotated[
        float,
        typer.Option(
            "--for",
            help="How long, from 1s to 30d, for example 30m, 2h or 1d.",
            metavar="TIME",
            parser=length_of_time("1s", "30d"),
        ),
    ],
    note: Note = "",
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Hold back the alerts of a machine for a time.

    Scores are still published. An alert that is still active when the mute ends is raised then.
    """
    from monitor.commands.operate import Target
    from monitor.commands.operate import mute as mute_command

    mute_command(Target(socket, config), machine, for_s, note, as_json=as_json)


def unmute(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """End the mute of a machine."""
    from monitor.commands.operate import Target
    from monitor.commands.operate import unmute as unmute_command

    unmute_command(Target(socket, config), machine, as_json=as_json)


def acknowledge(
    alert_id: AlertId,
    note: Note = "",
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Note that somebody takes care of an alert."""
    from monitor.commands.operate import Target
    from monitor.commands.operate import acknowledge as acknowledge_command

    acknowledge_command(Target(socket, config), alert_id, note, as_json=as_json)


def label(
    alert_id: AlertId,
    label: Annotated[
        Literal["fault", "false-alarm", "sensor", "ignore"],
        typer.Argument(help="What the alert was.", metavar="fault|false-alarm|sensor|ignore"),
    ],
    *,
    note: Note = "",
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Note what an alert was."""
    from monitor.commands.operate import Target
    from monitor.commands.operate import label as label_command

    label_command(Target(socket, config), alert_id, label, note, as_json=as_json)


def history(
    machine: Annotated[
        str | None,
        typer.Argument(help="Machine id. Without it, all machines are listed.", metavar="MACHINE"),
    ] = None,
    *,
    since_s: Annotated[
        float,
        typer.Option(
            "--since",
            help="Begin at this time: a time such as 2026-11-30T10:00, or a length of time before "
            "now such as 2h or 7d.",
            metavar="TIME",
            parser=moment,
        ),
    ] = "24h",  # type: ignore[assignment]  # typer parses the default as well
    until_s: Annotated[
        float | None,
        typer.Option(
            "--until", help="End at this time. By default now.", metavar="TIME", parser=moment
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        output_option("Write a table of MACHINE with a row for each minute instead."),
    ] = None,
    config: DaemonConfig = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a machine: scores, states, alerts, and what operators did.

    Where minutes are deleted already, a row of --csv is an hour or a day.
    """
    from monitor.commands.history import history as history_command

    until_s = time.time() if until_s is None else until_s
    history_command(config, machine, since_s, until_s, csv_path=csv, as_json=as_json)


def learn(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Begin to learn the healthy sound of a machine, also again.

    The machine must have [machine.learning]. It is not monitored until its first bundle is made.
    """
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "learn", machine, as_json=as_json)


def arm(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """End the learning of a machine, so that it raises alerts."""
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "arm", machine, as_json=as_json)


def rollback(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Use the previous bundle of a learned machine again."""
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "rollback", machine, as_json=as_json)


def relearn(
    machine: MachineId,
    *,
    collect: Annotated[
        float | None,
        typer.Option(
            help="Collect healthy sound beside the monitoring first, for example 12h or 7d (1m to "
            "365d). Needed if no sound was kept when the machine was armed.",
            metavar="TIME",
            parser=length_of_time("1m", "365d"),
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Use the new bundle from now on.")
    ] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Do not use the new bundle.")] = False,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Train a new bundle with the alerts that were labelled as false alarms.

    The bundle in use monitors the machine until you accept the new one. When the new bundle is
    ready, this command shows what it would change. It is used only after --accept.
    """
    from monitor.commands.operate import Target
    from monitor.commands.relearn import relearn as relearn_command

    if sum((accept, discard, collect is not None)) > 1:
        raise UsageError("use only one of --collect, --accept and --discard")
    relearn_command(
        Target(socket, config), machine, collect, accept=accept, discard=discard, as_json=as_json
    )


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    commands = (status, mute, unmute, acknowledge, label, history, learn, arm, rollback, relearn)
    for command in commands:
        app.command()(command)
