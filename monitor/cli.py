"""The ``auscult`` command: arguments, messages and exit statuses.

Large packages are imported inside the commands, so that ``--help`` and ``check``
are quick. The exit statuses are those of ``monitor.errors``, 0 for success and
1 for ``replay --fail-on-alert`` with an alert.
"""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from monitor import __version__
from monitor.errors import AuscultError, ServiceUnavailableError, UsageError
from monitor.text.arguments import length_of_time, number, whole_number
from monitor.text.escaping import one_line

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})

app = typer.Typer(
    name="auscult",
    help="Listens to machines and reports when one sounds wrong.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# The code that reads a file checks it, with the exit status of that case.
Config = Annotated[
    Path, typer.Option("--config", help="Configuration file.", metavar="FILE", readable=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BundlePath = Annotated[
    Path, typer.Argument(help="Folder of the bundle.", metavar="BUNDLE", readable=False)
]
Recordings = Annotated[
    list[Path],
    typer.Argument(
        help="Recordings, or folders with recordings.",
        metavar="RECORDING",
        readable=False,
    ),
]
DEFAULT_CONFIG = Path("config.toml")
DaemonConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file of the daemon. By default config.toml here, or the service.",
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
Note = Annotated[str, typer.Option(help="The reason, for the records.", metavar="TEXT")]


_THREADING = {
    # Products of a few hundred numbers are slower on two threads than on one, and machines run
    # in parallel.
    "OPENBLAS_NUM_THREADS": "1",
    # Threads that wait must not occupy cores that other programs need.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Numeric libraries read these variables when they are loaded, after ``main`` has started."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for name, value in _THREADING.items():
        os.environ.setdefault(name, value)
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run a command, print its messages and return its exit status."""
    try:
        return invoke(app, "auscult", arguments)
    except AuscultError as error:
        _complain(str(error))
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe: the interpreter's last flush must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # a bug still gets its exit status
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Report a disk error in one line, or a bug with its traceback; return the exit status."""
    if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
        # This can be an error of reading or of writing, and the file is not always known.
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"disk error: {where}{error.strerror}")
        return ServiceUnavailableError.exit_status
    traceback.print_exception(error)
    return EXIT_BUG


def invoke(typer_app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run a typer application; its errors about arguments become a ``UsageError``."""
    command = typer.main.get_command(typer_app)
    try:
        with command.make_context(name, list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", name)
        text = error.format_message().rstrip(".").replace("Value error, ", "")
        raise UsageError(f"{text} (see {where} --help)") from None
    return result if isinstance(result, int) else 0


def _complain(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"auscult: {one_line(line)}", err=True)


def _version(wanted: bool) -> None:  # typer calls it with the value
    if wanted:
        typer.echo(f"auscult {__version__}")
        raise typer.Exit


@app.callback()
def _auscult(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Listens to machines and reports when one sounds wrong."""


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="Format of the log. By default that of the configuration."),
    ] = None,
    until_ended: Annotated[bool, typer.Option(help="Stop when all sources have ended.")] = False,
) -> None:
    """Monitor the configured machines until stopped.

    The command stays in the foreground. As a service it is started by systemd.
    """
    from monitor.service.daemon import run_daemon

    run_daemon(config, log_format=log_format, until_ended=until_ended)


@app.command()
def check(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Do not read the broker's password.")
    ] = False,
) -> None:
    """Check the configuration and all its bundles.

    Nothing is started.
    """
    from monitor.commands.check import check as check_command

    check_command(config, as_json=as_json, with_password=not no_password)


@app.command()
def inspect(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show what is in a bundle and whether it is intact."""
    from monitor.commands.inspect import inspect as inspect_command

    inspect_command(bundle, as_json=as_json)


@app.command()
def replay(
    bundle: BundlePath,
    recordings: Recordings,
    *,
    scores: Annotated[
        Path | None, typer.Option(help="CSV file with a row for each score.", metavar="FILE")
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="CSV file with a row for each recording.", metavar="FILE")
    ] = None,
    alerts: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines file with the alerts. Their times come from --start, or from the "
            "name or the Broadcast Wave metadata of the recording (UTC without a time zone). "
            "Otherwise they count from 1970-01-01T00:00:00Z.",
            metavar="FILE",
        ),
    ] = None,
    publish: Annotated[
        bool, typer.Option(help="Publish the alerts by MQTT, marked as replayed.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file for [detector], and for [mqtt] with --publish.",
            metavar="FILE",
            readable=False,
        ),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            help="Machine id in the alerts. By default that of the machine in --config with this "
            "bundle, otherwise the name of the bundle.",
            metavar="MACHINE",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="When the recording began, for example 2026-11-23T10:15:30Z. Only with one "
            "recording.",
            metavar="TIME",
        ),
    ] = None,
    fail_on_alert: Annotated[
        bool, typer.Option(help="Exit with status 1 if an alert was raised.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for an HTML page with spectrograms for each raised alert, and an index.",
            metavar="FOLDER",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Score recordings with the same results as the daemon."""
    from monitor.commands.replay import ReplayRequest
    from monitor.commands.replay import replay as replay_command

    draw_alerts = None
    if report is not None:
        from monitor.commands.extras import needs_extra

        with needs_extra("auscult replay --report", "train"):
            from training.sound.alert_page import page_writer

            draw_alerts = page_writer(report)

    return replay_command(
        ReplayRequest(
            bundle=bundle,
            recordings=tuple(recordings),
            scores=scores,
            files=files,
            alerts=alerts,
            publish=publish,
            config=config,
            machine=machine,
            start=start,
            fail_on_alert=fail_on_alert,
            as_json=as_json,
            draw_alerts=draw_alerts,
        )
    )


@app.command()
def calibrate(
    bundle: BundlePath,
    recordings: Recordings,
    *,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Replace the threshold of BUNDLE. The previous bundle is kept next to it.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for the bundle with the new threshold.", metavar="BUNDLE"),
    ] = None,
    false_alarms_per_week: Annotated[
        float | None,
        typer.Option(
            help="Accepted false alarms per week. By default that of the bundle.",
            metavar="NUMBER",
            parser=number(1e-6, 1e6),
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Also use recordings that do not match the machine of the bundle.")
    ] = False,
    keep_outliers: Annotated[
        bool,
        typer.Option("--keep-outliers", help="Also use recordings that do not fit the others."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file with the [detector] that the threshold is for.",
            metavar="FILE",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a new threshold from new healthy recordings. The model stays as it is."""
    from monitor.commands.calibrate import CalibrateRequest
    from monitor.commands.calibrate import calibrate as calibrate_command

    calibrate_command(
        CalibrateRequest(
            bundle=bundle,
            recordings=recordings,
            out=out,
            in_place=in_place,
            false_alarms_per_week=false_alarms_per_week,
            config=config,
            force=force,
            keep_outliers=keep_outliers,
            as_json=as_json,
        )
    )


@app.command()
def devices(as_json: AsJson = False) -> None:
    """List the microphones that PortAudio finds."""
    from monitor.commands.record import devices as devices_command

    devices_command(as_json=as_json)


@app.command()
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


@app.command()
def selftest(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> int:
    """Test bundles, sources and broker, and send one test message."""
    from monitor.commands.selftest import selftest as selftest_command

    return selftest_command(config, as_json=as_json)


@app.command()
def outbox(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the alerts that the broker has not acknowledged."""
    from monitor.commands.outbox import outbox as outbox_command

    outbox_command(config, as_json=as_json)


@app.command()
def status(
    config: DaemonConfig = None, socket: DaemonSocket = None, as_json: AsJson = False
) -> None:
    """Show the machines of the running daemon."""
    from monitor.commands.operate import Target
    from monitor.commands.operate import status as status_command

    status_command(Target(socket, config), as_json=as_json)


@app.command()
def mute(
    machine: MachineId,
    *,
    for_s: Annotated[
        float,
        typer.Option(
            "--for",
            help="How long, for example 30m, 2h or 1d.",
            metavar="TIME",
            parser=length_of_time("1s", "30d"),
        ),
    ],
    note: Note = "",
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Publish no alerts of a machine for a time.

    Scores go on. An alert that is still there at the end is raised then.
    """
    from monitor.commands.operate import Target
    from monitor.commands.operate import mute as mute_command

    mute_command(Target(socket, config), machine, for_s, note, as_json=as_json)


@app.command()
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


@app.command()
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


@app.command()
def label(
    alert_id: AlertId,
    label: Annotated[
        Literal["fault", "false-alarm", "sensor", "ignore"],
        typer.Argument(help="What it was.", metavar="fault|false-alarm|sensor|ignore"),
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


@app.command()
def learn(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Begin to learn the healthy sound of a machine."""
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "learn", machine, as_json=as_json)


@app.command()
def arm(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """End the learning of a machine: alerts from now on."""
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "arm", machine, as_json=as_json)


@app.command()
def rollback(
    machine: MachineId,
    config: DaemonConfig = None,
    socket: DaemonSocket = None,
    as_json: AsJson = False,
) -> None:
    """Return to the previous bundle of a machine."""
    from monitor.commands.operate import Target, commission

    commission(Target(socket, config), "rollback", machine, as_json=as_json)


@app.command()
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


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the recordings, the bundle and the picture.", metavar="FOLDER"
        ),
    ] = Path("demo"),
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the simulated machine. Each seed gives another machine.",
            metavar="NUMBER",
            parser=whole_number(0),
        ),
    ] = 0,
    as_json: AsJson = False,
) -> int:
    """Show an alert for a fault of a simulated machine.

    Trains on simulated healthy sound and monitors the machine with the real daemon and a broker of
    its own. It takes about a minute.
    """
    from monitor.commands.extras import (
        FOR_DEMO,
        FOR_TRAINING,
        needs_extra,
        require_installed,
    )

    with needs_extra("auscult demo", "demo", "train"):
        require_installed(*FOR_DEMO, *FOR_TRAINING)
        from monitor.commands.demo import demo as demo_command

        return demo_command(out, seed, as_json=as_json)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def train(context: typer.Context) -> int:
    """Train bundles on recordings, or networks on images."""
    from monitor.commands.extras import FOR_TRAINING, needs_extra, require_installed

    with needs_extra("auscult train", "train"):
        if context.args[:1] == ["audio"] and "--help" not in context.args:
            require_installed(*FOR_TRAINING)  # the report needs some of them after an hour
        from training.cli import app as training_app

        return invoke(training_app, "auscult train", context.args)
