"""``auscult train mnist``, ``train denoise`` and ``train oneclass``."""

# ruff: noqa: PLC0415  # imports inside a command keep --help quick

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer

from monitor.errors import UsageError
from monitor.process.memory import is_lack_of_memory
from monitor.text.arguments import CommandApp, number
from training.images.options import RunOptions
from training.run_folder import log_to_standard_error, new_folder


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
    """Reconstruct images, and compare with PCA of the same bottleneck."""
    from training.images.reconstruction import reconstruct

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
    """Remove noise, and compare with PCA and classical denoisers."""
    from training.images import denoising

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
            help="Folder of frames to test. --data is then a folder of normal frames.",
            metavar="FOLDER",
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float,
        typer.Option(
            help="Share of normal frames that may be listed as anomalous.",
            metavar="NUMBER",
            parser=number(),
        ),
    ] = 0.01,
) -> _Report:
    """Detect images that differ from normal ones.

    The network is trained on the images of the --normal classes only. Without --normal, each class
    is the normal one in turn.

    With a folder of images and without --normal, all images of the folder count as normal. The
    anomalous ones are listed, with a map of the error of each.
    """
    from training.images.frames import find_anomalous_frames
    from training.images.oneclass import one_class, present_classes

    if more_normal and not normal:
        raise UsageError(f"unexpected argument {more_normal[0]!r}; classes must follow --normal")
    classes = [*(normal or []), *(more_normal or [])]
    images = options.load()
    normal_folder = options.data if options.has_frames and not classes else None
    if score is not None and normal_folder is None:
        raise UsageError("--score needs --data DIR, a folder of normal frames, and no --normal")
    n_classes = 1 if normal_folder is not None else len(present_classes(images))
    settings = options.settings("oneclass", images.train, len(images.train) // n_classes)
    if normal_folder is None:
        return one_class(images, classes, settings, options.out, **options.extras)
    return find_anomalous_frames(
        options.frames("--data", normal_folder),
        None if score is None else options.frames("--score", score),
        settings,
        options.out,
        false_alarm_rate=false_alarm_rate,
        **options.extras,
    )


def _command(run: Callable[..., _Report], **defaults: Any) -> Callable[..., None]:
    """``run`` as a command: its own options, and all ``RunOptions`` with these ``defaults``."""
    own = dict(inspect.signature(run, eval_str=True).parameters)
    del own["options"]
    out, *others = inspect.signature(RunOptions, eval_str=True).parameters.values()
    shared = [one.replace(default=defaults.get(one.name, one.default)) for one in (out, *others)]

    @wraps(run)
    def command(**values: Any) -> None:
        options = RunOptions(**{one.name: values.pop(one.name) for one in shared})
        log_to_standard_error()
        try:
            with new_folder(options.out, resumes=True):
                report = run(options, **values)
        except (MemoryError, RuntimeError) as error:
            if not is_lack_of_memory(error):
                raise
            raise MemoryError(f"{options.data or options.dataset}: {error}") from None
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
