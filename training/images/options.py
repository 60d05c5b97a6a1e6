"""The options that all image commands have, and the images and settings that they give."""

# ruff: noqa: PLC0415  # imports inside a function keep --help quick

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.errors import MissingInputError, UsageError
from monitor.text.regular_files import real_path
from training.options import (
    BatchSize,
    Device,
    LearningRate,
    seed_option,
    tensorboard_option,
    whole_number_option,
)

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
    whole_number_option("How many numbers the bottleneck has. The default depends on the network."),
]
Cell = Annotated[Literal["gru", "lstm"], typer.Option(help="Cell of a recurrent network.")]
Epochs = Annotated[
    int | None,
    whole_number_option("Passes over the training images. The default depends on the command."),
]
Seed = Annotated[int, seed_option("Seed of weights, batches, noise and splits.")]
Density = Annotated[
    Literal["none", "gmm"],
    typer.Option(
        help="gmm: also fit a mixture of Gaussians to the codes and draw samples from it."
    ),
]
Tensorboard = Annotated[bool, tensorboard_option("Also write TensorBoard scalars.")]
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
    learning_rate: LearningRate = None
    batch_size: BatchSize = None
    seed: Seed = 0
    device: Device = "auto"
    density: Density = "none"
    tensorboard: Tensorboard = False
    as_json: AsJson = False

    def load(self) -> ImageData:
        """The images of ``--data`` or ``--dataset``."""
        from training.images.datasets import ImageData, has_idx_files, load_dataset
        from training.images.folder import split_frames

        if self.data is None:
            return load_dataset(self.dataset)
        if not self.data.is_dir():
            raise MissingInputError(f"--data {self.data}: no such folder")
        if has_idx_files(self.data):
            return load_dataset(self.dataset, self.data)
        train, test = split_frames(self.frames("--data", self.data), self.seed)
        return ImageData(self.data.name, train, test)

    @property
    def has_frames(self) -> bool:
        """Whether ``--data`` is a folder of images, not a data set with classes."""
        from training.images.datasets import has_idx_files

        return self.data is not None and not has_idx_files(self.data)

    def frames(self, option: str, folder: Path) -> ImageSet:
        """The images of the folder that ``option`` names.

        Raises ``UsageError`` if ``--out`` is in it: the figures would be images of the next run,
        or replace some.
        """
        from training.images.folder import read_image_folder

        if real_path(self.out).is_relative_to(real_path(folder)):
            raise UsageError(f"--out {self.out} is in {option} {folder}: name another folder")
        return read_image_folder(folder)

    def settings(self, case: Case, images: ImageSet, n_images: int, **own: Any) -> ImageSettings:
        """The settings of a network for ``n_images`` of ``images``. ``own``: of the command.

        Raises ``BadInputError`` if these do not fit into memory.
        """
        from training.images.defaults import default_settings
        from training.images.memory import TRAINED_BYTES, check_memory

        name = self.dataset if self.data is None else self.data
        check_memory(name, n_images, images.pixels[0].size, TRAINED_BYTES)
        return default_settings(
            case,
            images.shape,
            n_images,
            architecture=self.architecture,
            cell=self.cell,
            latent_dim=self.latent_dim,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            seed=self.seed,
            device=self.device,
            **own,
        )

    @property
    def extras(self) -> dict[str, bool]:
        """What is made beside the network."""
        return {"with_density": self.density == "gmm", "tensorboard": self.tensorboard}
