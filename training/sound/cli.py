"""``auscult train audio``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.errors import UsageError
from monitor.text.arguments import AsJson, number
from monitor.text.regular_files import real_path
from training.options import (
    BatchSize,
    Device,
    LearningRate,
    seed_option,
    tensorboard_option,
    whole_number_option,
)
from training.run_folder import log_to_standard_error, new_folder

if TYPE_CHECKING:
    from training.sound.train import AudioResult

ScoreOption = Literal["plain", "diagonal", "covariance"]
EncoderInputOption = Literal["log-mel", "samples"]
EvidenceOption = Literal["encoder", "both"]


def audio(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            help="Healthy recordings of one machine: files, or folders that are searched "
            "recursively. Formats: wav, flac, ogg, mp3, and .npy with log-mel.",
            metavar="RECORDING",
            readable=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="The bundle's folder.", metavar="BUNDLE")],
    false_alarms_per_week: Annotated[
        float,
        typer.Option(
            help="The accepted number of false alarms per week, for which the threshold is set.",
            metavar="NUMBER",
            parser=number(1e-6, 1e6),
        ),
    ] = 1.0,
    confirmed: Annotated[
        list[Path] | None,
        typer.Option(
            help="Further healthy recordings of the machine, a file or a folder. They are used "
            "although they do not fit the others, because a person has confirmed that the machine "
            "was healthy. Recordings of 5 seconds are best.",
            metavar="RECORDING",
            readable=False,
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder with healthy recordings of a reference machine (another machine "
            "of the same type). Give the option once for each machine.",
            metavar="RECORDING",
            readable=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the bundle at --out. The previous bundle is kept next to it.",
        ),
    ] = False,
    keep_outliers: Annotated[
        bool,
        typer.Option(
            "--keep-outliers", help="Also train on recordings that do not fit the others."
        ),
    ] = False,
    score: Annotated[
        ScoreOption | None,
        typer.Option(help="The score to use. By default it is chosen from the recordings."),
    ] = None,
    continued: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            help="Continue the training of this bundle's network, with its features and span.",
            metavar="BUNDLE",
            readable=False,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="A network to train instead of that of Auscult: a function of a Python module "
            "in the current directory or of an installed package. It is called with the number "
            "of bands and frames, and returns a torch module from windows to windows.",
            metavar="MODULE:FUNCTION",
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="An ONNX model that gives a vector for each window of log-mel or of samples. "
            "Its distance from healthy sound is then part of the score.",
            metavar="FILE",
            readable=False,
        ),
    ] = None,
    encoder_input: Annotated[
        EncoderInputOption | None,
        typer.Option(help="What the encoder receives. By default its shape decides."),
    ] = None,
    evidence: Annotated[
        EvidenceOption | None,
        typer.Option(
            help="With --encoder: what the score is made from, the encoder alone or both the "
            "encoder and the network.",
            show_default="both",
        ),
    ] = None,
    epochs: Annotated[int | None, whole_number_option("Number of training epochs.", 1)] = None,
    learning_rate: LearningRate = None,
    batch_size: BatchSize = None,
    seed: Annotated[int, seed_option("Seed for weights, batches and splits.")] = 0,
    device: Device = "auto",
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with [training], [features] and the [detector] of the daemon.",
            metavar="FILE",
            readable=False,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        tensorboard_option("Also write TensorBoard scalars to BUNDLE/tensorboard."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a bundle on healthy recordings.

    The command also sets the threshold and writes a report.
    """
    from monitor.model.bundle import MANIFEST  # noqa: PLC0415 - loads numpy
    from training.progress import training_progress  # noqa: PLC0415 - as above
    from training.sound.report import write_report  # noqa: PLC0415 - as above
    from training.sound.settings import settings_with  # noqa: PLC0415 - as above
    from training.sound.train import AudioRequest, train_audio  # noqa: PLC0415 - quick --help

    log_to_standard_error()
    if (out / MANIFEST).exists() and not overwrite:
        raise UsageError(f"--out {out}: is already a bundle; replace it with --overwrite")
    for one in (*recordings, *(confirmed or ()), *(reference or ())):
        if real_path(one).is_relative_to(real_path(out)):
            raise UsageError(f"--out {out}: contains the recordings {one}; name another folder")
    request = AudioRequest(
        recordings=tuple(recordings),
        out=out,
        confirmed=tuple(confirmed or ()),
        references=tuple(reference or ()),
        false_alarms_per_week=false_alarms_per_week,
        seed=seed,
        device=device,
        score=score,
        continued=continued,
        keep_previous=overwrite,
        keep_outliers=keep_outliers,
        settings=settings_with(
            config,
            network=network,
            encoder=encoder,
            encoder_input=encoder_input,
            evidence=evidence,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
        ),
    )
    board = out / "tensorboard" if tensorboard else None
    shown = training_progress("training", tensorboard_dir=board)
    with new_folder(out, curves=board), shown as progress:
        result = train_audio(request, progress)
        report = write_report(result)
    typer.echo(json.dumps(_document(result), indent=2) if as_json else _summary(result, report))


def register(app: typer.Typer) -> None:
    """Add the command to ``auscult train``."""
    app.command("audio")(audio)


def _document(result: AudioResult) -> dict[str, object]:
    bundle = result.bundle
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "score": bundle.manifest.score.model_dump(mode="json"),
        "calibration": bundle.calibration.model_dump(mode="json"),
        "regimes": result.n_regimes,
        "controls": {control.name: control.auc for control in result.controls},
        **result.recall.record(bundle.calibration),
        "day_variation": result.variation.record(),
        "verdict": result.network_benefit,
        "training_set": result.findings.to_dict(),
        "training_seconds": result.history.seconds,
        "previous": str(result.previous) if result.previous else None,
    }


def _summary(result: AudioResult, report: Path) -> str:
    from training.sound.headline import headline  # noqa: PLC0415 - loads torch

    lines = headline(result)
    next_step = lines.pop("Next step")
    lines["Scoring"] += ". Details in the report"
    lines |= {"Bundle": str(result.bundle.path), "Report": str(report), "Next step": next_step}
    width = max(map(len, lines))
    return "\n".join(f"{name.lower():<{width}}  {text}" for name, text in lines.items())
