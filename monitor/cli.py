"""The ``auscult`` command: arguments, messages and exit statuses.

Everything heavy is imported inside the commands, so that ``--help`` and ``check``
are quick. The exit statuses are those of ``monitor.errors``, with 0 for done and
1 for ``replay --fail-on-alert`` when there was an alert.
"""

# ruff: noqa: PLC0415  # imports inside the commands are what keeps the other commands quick

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

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})

app = typer.Typer(
    name="auscult",
    help="Listens to machines and says when one sounds wrong.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Whether a file can be read is found out where it is read, with the exit status that belongs to it.
Config = Annotated[Path, typer.Option("--config", help="The configuration file.", readable=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BundlePath = Annotated[
    Path, typer.Argument(help="A bundle's folder.", metavar="BUNDLE", readable=False)
]
Recordings = Annotated[
    list[Path],
    typer.Argument(
        help="Recordings, or folders that are searched for them.",
        metavar="RECORDING",
        readable=False,
    ),
]
DEFAULT_CONFIG = Path("config.toml")


_THREADING = {
    # Products of a few hundred numbers are slower on two threads than on one, and machines run
    # in parallel.
    "OPENBLAS_NUM_THREADS": "1",
    # Threads that wait for work must not burn the cores that other programs need.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Read by the numeric libraries when they are loaded, which is after ``main`` began."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status."""
    for name, value in _THREADING.items():
        os.environ.setdefault(name, value)
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """The exit status of a command; its messages are printed."""
    try:
        return invoke(app, "auscult", arguments)
    except AuscultError as error:
        _complain(str(error))
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more: not even the interpreter's last flush may fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # a bug still gets its exit status
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """The exit status of what nobody handled: the disk's trouble, or a bug with its traceback."""
    if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
        # Reading can fail in this way as well, and not every error knows its file.
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"trouble with the disk: {where}{error.strerror}")
        return ServiceUnavailableError.exit_status
    traceback.print_exception(error)
    return EXIT_BUG


def invoke(typer_app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run a typer application; what it says about its arguments becomes a ``UsageError``."""
    command = typer.main.get_command(typer_app)
    try:
        with command.make_context(name, list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", name)
        raise UsageError(f"{error.format_message().rstrip('.')} (see {where} --help)") from None
    return result if isinstance(result, int) else 0


def _complain(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"auscult: {line}", err=True)


def _version(wanted: bool) -> None:  # the shape of a typer callback
    if wanted:
        typer.echo(f"auscult {__version__}")
        raise typer.Exit


@app.callback()
def _auscult(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Listens to machines and says when one sounds wrong."""


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    log_format: Annotated[
        Literal["text", "json"] | None, typer.Option(help="Over the configuration's.")
    ] = None,
    until_ended: Annotated[
        bool, typer.Option(help="Stop when every source has come to its end.")
    ] = False,
) -> None:
    """Watch the configured machines, in the foreground, until stopped."""
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
    """Validate the configuration and every bundle it names, without starting anything."""
    from monitor.commands.check import check as check_command

    check_command(config, as_json=as_json, with_password=not no_password)


@app.command()
def inspect(bundle: BundlePath, as_json: AsJson = False) -> None:
    """What is in a bundle: features, network, calibration, provenance, checks."""
    from monitor.commands.inspect import inspect as inspect_command

    inspect_command(bundle, as_json=as_json)


@app.command()
def replay(
    bundle: BundlePath,
    recordings: Recordings,
    *,
    scores: Annotated[Path | None, typer.Option(help="A row for each scored span, CSV.")] = None,
    files: Annotated[Path | None, typer.Option(help="A row for each file, CSV.")] = None,
    alerts: Annotated[Path | None, typer.Option(help="One alert a line, JSON lines.")] = None,
    publish: Annotated[bool, typer.Option(help="Publish the alerts, marked as replayed.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration: [detector], and [mqtt] to publish.", readable=False),
    ] = None,
    machine: Annotated[str | None, typer.Option(help="The machine's id in the alerts.")] = None,
    fail_on_alert: Annotated[bool, typer.Option(help="Exit 1 if an alert was raised.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="A folder for a page with pictures for each alert that is raised."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Score recordings offline, exactly as the daemon would."""
    from monitor.commands.replay import ReplayRequest
    from monitor.commands.replay import replay as replay_command

    draw_alert = None
    if report is not None:
        from monitor.commands.extras import needs_extra

        with needs_extra("auscult replay --report", "train"):
            from training.sound.alert_page import page_writer

            draw_alert = page_writer(report)

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
            fail_on_alert=fail_on_alert,
            as_json=as_json,
            draw_alert=draw_alert,
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
            help="Replace the threshold of BUNDLE. The bundle before is kept beside it.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for the bundle with the new threshold.", metavar="BUNDLE"),
    ] = None,
    false_alarms_per_week: Annotated[
        float | None,
        typer.Option(help="The budget. Without it, the bundle keeps its own.", min=1e-6, max=1e6),
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Also with recordings that seem to be of another machine.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration with the [detector] that the threshold is set for."),
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
            as_json=as_json,
        )
    )


@app.command()
def devices(as_json: AsJson = False) -> None:
    """The microphones that PortAudio sees."""
    from monitor.commands.record import devices as devices_command

    devices_command(as_json=as_json)


@app.command()
def record(
    machine: Annotated[str, typer.Argument(help="The machine's id.", metavar="MACHINE")],
    out: Annotated[Path, typer.Option(help="The folder for the FLAC files.")],
    seconds: Annotated[float, typer.Option(help="How much to record.", min=0.1, max=1e7)],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Capture from a configured source into FLAC files, ready for `train audio`."""
    from monitor.commands.record import record as record_command

    record_command(config, machine, out, seconds, as_json=as_json)


@app.command()
def selftest(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> int:
    """Try everything once: broker, alert and acknowledgement, sources, bundles."""
    from monitor.commands.selftest import selftest as selftest_command

    return selftest_command(config, as_json=as_json)


@app.command()
def outbox(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """The alerts that no broker has acknowledged yet."""
    from monitor.commands.outbox import outbox as outbox_command

    outbox_command(config, as_json=as_json)


@app.command()
def discovery(
    remove: Annotated[bool, typer.Option(help="Take the machines out of Home Assistant.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Home Assistant's view of the machines: remove it."""
    from monitor.commands.outbox import remove_discovery

    if not remove:
        raise UsageError("discovery: say what to do: --remove takes the machines out")
    remove_discovery(config, as_json=as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where bundle, picture and table go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed is another machine.", min=0)] = 0,
    as_json: AsJson = False,
) -> int:
    """A machine is simulated, learned, watched and broken: see the alert arrive."""
    from monitor.commands.extras import needs_extra, require_installed

    with needs_extra("auscult demo", "demo", "train"):
        require_installed("amqtt", "torch")
        from monitor.commands.demo import demo as demo_command

        return demo_command(out, seed, as_json=as_json)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def train(context: typer.Context) -> int:
    """Make a bundle from healthy recordings, or run the companion cases (see train --help)."""
    from monitor.commands.extras import needs_extra

    with needs_extra("auscult train", "train"):
        from training.cli import app as training_app

        return invoke(training_app, "auscult train", context.args)
