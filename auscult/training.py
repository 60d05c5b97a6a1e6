"""Healthy sound to a bundle. It needs the extra ``train``, which is loaded when it is used."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from auscult.sound import (
    File,
    Samples,
    Sound,
    as_path,
    checked_rate_hz,
    given_sound,
    recording_samples,
)
from monitor.commands.extras import FOR_TRAINING, needs_extra, require_installed
from monitor.errors import UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import MANIFEST, Bundle

if TYPE_CHECKING:
    from training.sound.recordings import Recording


def train(
    recordings: Iterable[Sound],
    out: File,
    sample_rate_hz: int | None = None,
    *,
    references: Iterable[Sound | Sequence[Sound]] = (),
    false_alarms_per_week: float = 1.0,
    network: str | None = None,
    encoder: File | None = None,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    config: File | None = None,
    overwrite: bool = False,
    report: bool = False,
) -> Bundle:
    """Make a bundle from healthy sound of one machine, as ``auscult train audio`` does.

    It needs the extra ``train``. ``recordings``: each a file, a folder of files, or an array of
    samples, float, shape ``(n_samples,)``, full scale +-1. ``out``: the folder of the bundle.
    ``sample_rate_hz``: of the arrays. ``references``: for each reference machine (another machine
    of the same type) its healthy recordings: a file, a folder, an array, or a list of these.
    ``false_alarms_per_week``: for which the thresholds are set. ``network``: of your own, as
    ``module:function``. ``encoder``: an ONNX model (docs/networks.md describes both). ``epochs``:
    of the training. ``seed``: of weights, batches and splits. ``device``: ``auto``, ``cpu`` or
    ``cuda``. ``config``: a TOML file with ``[training]`` and ``[features]``, for what is not given.
    ``overwrite``: replace the bundle at ``out``, and keep a copy of it. ``report``: also write the
    report into the bundle.

    Arrays are written to a temporary folder during the training. The same sound, options and
    versions give the same bundle. Progress is logged by the logger ``training``.

    Raises ``BadInputError`` with a line for each sound that cannot be used, ``MissingInputError``
    for a path that does not exist, ``UsageError`` for arguments that cannot be used,
    ``ConfigError`` for a mistake in ``config``, and ``ServiceUnavailableError`` where the extra is
    not installed.

    >>> healthy = [healthy_sound(seed) for seed in range(4)]  # float32, shape (n_samples,)
    >>> bundle = auscult.train(healthy, "pump.bundle", sample_rate_hz=16_000, epochs=1)
    >>> bundle.path.name, bundle.calibration.false_alarms_per_week
    ('pump.bundle', 1.0)
    """
    folder = as_path(out)
    _check(folder, epochs, overwrite=overwrite)
    with needs_extra("auscult.train", "train"):
        require_installed(*FOR_TRAINING)
        from training.run_folder import new_folder  # noqa: PLC0415 - the trainer is an extra
        from training.sound.report import write_report  # noqa: PLC0415 - as above
        from training.sound.request import ReferenceMachine  # noqa: PLC0415 - as above
        from training.sound.settings import settings_with  # noqa: PLC0415 - as above
        from training.sound.train import AudioRequest, train_audio  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="auscult-") as temporary:
        arrays = _Arrays(Path(temporary), sample_rate_hz)
        request = AudioRequest(
            recordings=arrays.paths(recordings, "recording"),
            out=folder,
            references=tuple(
                ReferenceMachine(name, arrays.paths(machine, f"{name}, recording"))
                for name, machine in _machines(references)
            ),
            false_alarms_per_week=false_alarms_per_week,
            seed=seed,
            device=device,
            keep_previous=overwrite,
            settings=settings_with(
                None if config is None else as_path(config),
                network=network,
                encoder=None if encoder is None else as_path(encoder),
                epochs=epochs,
            ),
            read=arrays.read,
        )
        with new_folder(folder):
            result = train_audio(request)
        if report:
            write_report(result)
    return result.bundle


class _Arrays:
    """Arrays as files in ``folder``, with the names that messages and the bundle give them.

    The training reads sound several times, so that it need not be in memory.
    """

    def __init__(self, folder: Path, sample_rate_hz: int | None) -> None:
        self._folder = folder
        self._rate_hz = sample_rate_hz
        self._names: dict[Path, str] = {}

    def paths(self, sound: Iterable[Sound], kind: str) -> tuple[Path, ...]:
        """The paths, with a new file for each array."""
        return tuple(
            path if samples is None else self._written(samples, str(path))
            for path, samples in given_sound(sound, kind)
        )

    def read(self, path: Path, spec: LogMelSpec) -> Recording:
        """As ``read_recording``."""
        from training.sound.recordings import read_recording  # noqa: PLC0415 - as above

        return read_recording(path, spec, self._names.get(path, ""))

    def _written(self, samples: Samples, name: str) -> Path:
        rate_hz = checked_rate_hz(self._rate_hz)
        sound = recording_samples(samples, name)
        path = self._folder / f"{len(self._names)}.wav"
        self._names[path] = name
        soundfile.write(path, sound, rate_hz, subtype="FLOAT")
        return path


def _machines(
    references: Iterable[Sound | Sequence[Sound]],
) -> Iterator[tuple[str, Sequence[Sound]]]:
    """Each reference machine with a name: that of its file or folder, or a number."""
    for number, one in enumerate(references, 1):
        if isinstance(one, str | os.PathLike):
            yield str(as_path(one)), [one]
        else:
            yield f"reference {number}", [one] if isinstance(one, np.ndarray) else one


def _check(out: Path, epochs: int | None, *, overwrite: bool) -> None:
    if (out / MANIFEST).exists() and not overwrite:
        raise UsageError(f"{out}: is already a bundle; replace it with overwrite=True")
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs: expected at least 1, not {epochs}")
