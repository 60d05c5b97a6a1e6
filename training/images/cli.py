"""``auscult train mnist``, ``train denoise`` and ``train oneclass``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from monitor.errors import MissingInputError, UsageError
from monitor.text.arguments import number, whole_number

if TYPE_CHECKING:
    from training.images.datasets import ImageData
    from training.images.image_set import ImageSet

DatasetOption = Literal["mnist", "fashion-mnist"]
ArchitectureOption = Literal["dense", "convolutional", "spatial", "recurrent", "variational"]

Out = Annotated[
    Path, typer.Option(help="Folder for the metrics, weights and figures.", metavar="FOLDER")
]
Dataset = Annotated[DatasetOption, typer.Option(help="Name of the data set.")]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the data set's IDX files, or with PNG or JPEG images of one size. "
        "By default the data set is downloaded.",
        metavar="FOLDER",
    ),
]
Architecture = Annotated[
    ArchitectureOption | None,
    typer.Option(help="Kind of network. By default the best one for this command."),
]
LatentDim = Annotated[
    int | None,
    typer.Option(
        help="How many numbers the bottleneck has. The default depends on the network.",
        metavar="NUMBER",
        parser=whole_number(),
    ),
]
Cell = Annotated[Literal["gru", "lstm"], typer.Option(help="Cell of a recurrent network.")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Passes over the training images. The default depends on the command.",
        metavar="NUMBER",
        parser=whole_number(),
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        help="Seed of weights, batches, noise and splits.",
        metavar="NUMBER",
        parser=whole_number(0),
    ),
]
Device = Annotated[
    str, typer.Option(help="Device to train on: auto, cpu, cuda or mps.", metavar="DEVICE")
]
Density = Annotated[
    Literal["none", "gmm"],
    typer.Option(
        help="gmm: also fit a mixture of Gaussians to the codes and draw samples from it."
    ),
]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard scalars.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print metrics.json instead of a table.")]


class _Report(Protocol):
    @property
    def metrics(self) -> Mapping[str, Any]: ...

    def table(self) -> str: ...


def mnist(
    *,
    out: Out,
    dataset: Dataset = "mnist",
    data: Data = None,
    architecture: Architecture = None,
    cell: Cell = "gru",
    latent_dim: LatentDim = None,
    loss: Annotated[
        Literal["bce", "mse"],
        typer.Option(
            help="bce: cross-entropy with a sigmoid. mse: squared error with a linear output."
        ),
    ] = "bce",
    epochs: Epochs = None,
    seed: Seed = 0,
    device: Device = "auto",
    density: Density = "none",
    tensorboard: Tensorboard = False,
    as_json: AsJson = False,
) -> None:
    """Reconstruct images, compared with PCA of the same bottleneck."""
    from training.images.defaults import default_settings  # noqa: PLC0415 - quick --help
    from training.images.reconstruction import reconstruct  # noqa: PLC0415 - quick --help

    images = _load(dataset, data, seed)
    settings = default_settings(
        "reconstruction",
        images.train.shape,
        len(images.train),
        architecture=architecture,
        cell=cell,
        latent_dim=latent_dim,
        loss=loss,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    report = reconstruct(
        images,
        settings,
        out,
        with_density=density == "gmm",
        tensorboard=tensorboard,
    )
    _print(report, as_json)


def denoise(
    *,
    out: Out,
    sigma: Annotated[
        float,
        typer.Option(
            help="Standard deviation of the noise. Pixels are in 0..1.",
            metavar="NUMBER",
            parser=number(),
        ),
    ],
    method: Annotated[
        Literal["supervised", "projection"],
        typer.Option(
            help="supervised: trained on pairs of noisy and clean images. projection: trained on "
            "clean images only."
        ),
    ] = "supervised",
    dataset: Dataset = "fashion-mnist",
    data: Data = None,
    architecture: Architecture = None,
    cell: Cell = "gru",
    latent_dim: LatentDim = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    device: Device = "auto",
    density: Density = "none",
    tensorboard: Tensorboard = False,
    as_json: AsJson = False,
) -> None:
    """Remove noise, compared with PCA and classical denoisers."""
    from training.images import denoising  # noqa: PLC0415 - quick --help
    from training.images.defaults import default_settings  # noqa: PLC0415 - quick --help

    images = _load(dataset, data, seed)
    settings = default_settings(
        method,
        images.train.shape,
        len(images.train),
        architecture=architecture,
        cell=cell,
        latent_dim=latent_dim,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    report = denoising.denoise(
        images,
        sigma,
        method,
        settings,
        out,
        with_density=density == "gmm",
        tensorboard=tensorboard,
    )
    _print(report, as_json)


def oneclass(
    *,
    out: Out,
    normal: Annotated[
        list[str] | None,
        typer.Option(
            help="Normal class, by name or number. More classes can follow: --normal 0 1.",
            metavar="CLASS",
        ),
    ] = None,
    more_normal: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="CLASS")] = None,
    score: Annotated[
        Path | None,
        typer.Option(
            help="Folder of frames to test. --data is then a folder of ordinary frames.",
            metavar="FOLDER",
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float,
        typer.Option(
            help="Fraction of ordinary frames that may be listed as anomalous.",
            metavar="NUMBER",
            parser=number(),
        ),
    ] = 0.01,
    dataset: Dataset = "mnist",
    data: Data = None,
    architecture: Architecture = None,
    cell: Cell = "gru",
    latent_dim: LatentDim = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    device: Device = "auto",
    density: Density = "none",
    tensorboard: Tensorboard = False,
    as_json: AsJson = False,
) -> None:
    """Detect images that differ from normal ones.

    The network is trained on the images of the --normal classes only. Without --normal, each class
    is the normal one in turn.

    With a folder of images and without --normal, all images of the folder count as ordinary. The
    anomalous ones are listed, with a map of the error of each.
    """
    from training.images.defaults import default_settings  # noqa: PLC0415 - quick --help
    from training.images.frames import find_anomalous_frames  # noqa: PLC0415 - quick --help
    from training.images.oneclass import one_class, present_classes  # noqa: PLC0415 - quick --help

    if more_normal and not normal:
        raise UsageError(f"unexpected argument {more_normal[0]!r}; classes must follow --normal")
    classes = [*(normal or []), *(more_normal or [])]
    images = _load(dataset, data, seed)
    options = {"with_density": density == "gmm", "tensorboard": tensorboard}
    is_folder = data is not None and images.name != dataset
    n_classes = len(present_classes(images))
    settings = default_settings(
        "oneclass",
        images.train.shape,
        len(images.train) if is_folder and not classes else len(images.train) // n_classes,
        architecture=architecture,
        cell=cell,
        latent_dim=latent_dim,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    report: _Report
    if data is not None and is_folder and not classes:
        report = find_anomalous_frames(
            _read_folder(data),
            None if score is None else _read_folder(score),
            settings,
            out,
            false_alarm_rate=false_alarm_rate,
            **options,
        )
    elif score is not None:
        raise UsageError("--score needs --data DIR, a folder of ordinary frames, and no --normal")
    else:
        report = one_class(images, classes, settings, out, **options)
    _print(report, as_json)


def _load(name: DatasetOption, folder: Path | None, seed: int) -> ImageData:
    from training.images.datasets import ImageData, has_idx_files, load_dataset  # noqa: PLC0415 - quick --help
    from training.images.folder import split_frames  # noqa: PLC0415 - quick --help

    if folder is None:
        return load_dataset(name)
    if not folder.is_dir():
        raise MissingInputError(f"--data {folder}: no such folder")
    if has_idx_files(folder):
        return load_dataset(name, folder)
    train, test = split_frames(_read_folder(folder), seed)
    return ImageData(folder.name, train, test)


def _read_folder(folder: Path) -> ImageSet:
    from training.images.folder import read_image_folder  # noqa: PLC0415 - quick --help

    return read_image_folder(folder)


def _print(report: _Report, as_json: bool) -> None:
    typer.echo(json.dumps(dict(report.metrics), indent=2) if as_json else report.table())


def register(train_app: typer.Typer) -> None:
    """Add the image commands to ``train_app``."""
    for command in (mnist, denoise, oneclass):
        train_app.command()(command)
