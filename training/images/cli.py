"""``auscult train mnist``, ``train denoise`` and ``train oneclass``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from monitor.errors import MissingInputError, UsageError
from monitor.text.arguments import CommandApp, number, whole_number

if TYPE_CHECKING:
    from training.images.datasets import ImageData
    from training.images.defaults import Case
    from training.images.image_set import ImageSet
    from training.images.train import ImageSettings

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options that all image commands have."""

    out: Out
    dataset: Dataset = "mnist"
    data: Data = None
    architecture: Architecture = None
    cell: Cell = "gru"
    latent_dim: LatentDim = None
    epochs: Epochs = None
    seed: Seed = 0
    device: Device = "auto"
    density: Density = "none"
    tensorboard: Tensorboard = False
    as_json: AsJson = False

    def load(self) -> ImageData:
        """The images of ``--data`` or ``--dataset``."""
        from training.images.datasets import ImageData, has_idx_files, load_dataset  # noqa: PLC0415 - quick --help
        from training.images.folder import split_frames  # noqa: PLC0415 - quick --help

        if self.data is None:
            return load_dataset(self.dataset)
        if not self.data.is_dir():
            raise MissingInputError(f"--data {self.data}: no such folder")
        if has_idx_files(self.data):
            return load_dataset(self.dataset, self.data)
        train, test = split_frames(_read_folder(self.data), self.seed)
        return ImageData(self.data.name, train, test)

    def settings(self, case: Case, images: ImageSet, n_images: int, **own: Any) -> ImageSettings:
        """The settings of a network for ``n_images`` of ``images``. ``own``: of the command."""
        from training.images.defaults import default_settings  # noqa: PLC0415 - quick --help

        return default_settings(
            case,
            images.shape,
            n_images,
            architecture=self.architecture,
            cell=self.cell,
            latent_dim=self.latent_dim,
            epochs=self.epochs,
            seed=self.seed,
            device=self.device,
            **own,
        )

    @property
    def extras(self) -> dict[str, bool]:
        """What is made beside the network."""
        return {"with_density": self.density == "gmm", "tensorboard": self.tensorboard}


class _Report(Protocol):
    @property
    def metrics(self) -> Mapping[str, Any]: ...

    def table(self) -> str: ...


def mnist(
    options: RunOptions,
    *,
    loss: Annotated[
        Literal["bce", "mse"],
        typer.Option(
            help="bce: cross-entropy with a sigmoid. mse: squared error with a linear output."
        ),
    ] = "bce",
) -> _Report:
    """Reconstruct images, compared with PCA of the same bottleneck."""
    from training.images.reconstruction import reconstruct  # noqa: PLC0415 - quick --help

    images = options.load()
    settings = options.settings("reconstruction", images.train, len(images.train), loss=loss)
    return reconstruct(images, settings, options.out, **options.extras)


def denoise(
    options: RunOptions,
    *,
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
) -> _Report:
    """Remove noise, compared with PCA and classical denoisers."""
    from training.images import denoising  # noqa: PLC0415 - quick --help

    images = options.load()
    settings = options.settings(method, images.train, len(images.train))
    return denoising.denoise(images, sigma, method, settings, options.out, **options.extras)


def oneclass(
    options: RunOptions,
    *,
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
) -> _Report:
    """Detect images that differ from normal ones.

    The network is trained on the images of the --normal classes only. Without --normal, each class
    is the normal one in turn.

    With a folder of images and without --normal, all images of the folder count as ordinary. The
    anomalous ones are listed, with a map of the error of each.
    """
    from training.images.frames import find_anomalous_frames  # noqa: PLC0415 - quick --help
    from training.images.oneclass import one_class, present_classes  # noqa: PLC0415 - quick --help

    if more_normal and not normal:
        raise UsageError(f"unexpected argument {more_normal[0]!r}; classes must follow --normal")
    classes = [*(normal or []), *(more_normal or [])]
    images = options.load()
    ordinary = options.data if images.name != options.dataset and not classes else None
    if score is not None and ordinary is None:
        raise UsageError("--score needs --data DIR, a folder of ordinary frames, and no --normal")
    n_classes = 1 if ordinary is not None else len(present_classes(images))
    settings = options.settings("oneclass", images.train, len(images.train) // n_classes)
    if ordinary is None:
        return one_class(images, classes, settings, options.out, **options.extras)
    return find_anomalous_frames(
        _read_folder(ordinary),
        None if score is None else _read_folder(score),
        settings,
        options.out,
        false_alarm_rate=false_alarm_rate,
        **options.extras,
    )


def _read_folder(folder: Path) -> ImageSet:
    from training.images.folder import read_image_folder  # noqa: PLC0415 - quick --help

    return read_image_folder(folder)


def _command(run: Callable[..., _Report], **defaults: Any) -> Callable[..., None]:
    """``run`` as a command: its own options, and all ``RunOptions`` with these ``defaults``."""
    own = dict(inspect.signature(run, eval_str=True).parameters)
    del own["options"]
    out, *others = inspect.signature(RunOptions, eval_str=True).parameters.values()
    shared = [one.replace(default=defaults.get(one.name, one.default)) for one in (out, *others)]

    @wraps(run)
    def command(**values: Any) -> None:
        options = RunOptions(**{one.name: values.pop(one.name) for one in shared})
        report = run(options, **values)
        as_json = json.dumps(dict(report.metrics), indent=2)
        typer.echo(as_json if options.as_json else report.table())

    parameters = [shared[0], *own.values(), *shared[1:]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def register(train_app: CommandApp) -> None:
    """Add the image commands to ``train_app``."""
    train_app.command()(_command(mnist))
    train_app.command()(_command(denoise, dataset="fashion-mnist"))
    train_app.command()(_command(oneclass))
