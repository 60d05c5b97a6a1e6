"""The arrays of a bundle as bytes, and back with checks of their content.

``head.npz``: the statistics of healthy evidence. ``selftest.npz``: windows with their scores.
Nothing is unpickled, and the unpacked size is checked first.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import HEADS, Head, Sample
from monitor.model.manifest import ScoreKind

_LARGEST_ARRAYS = 256 * 2**20
_LARGEST_EVIDENCE = 16_384
_LARGEST_NUMBER = np.finfo(np.float32).max
_MOST_MACHINES = 65_536
_REFERENCES = ("references", "reference_machines", "reference_limits")
_HEALTHY = ("healthy_mean", "healthy_variance", "healthy_recordings")
_LOCAL = ("local_weight", "local_limit")

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The windows ``(n, n_mels, n_frames)`` of one span, with their results.

    ``samples``: of each window, ``(n, n_samples)``, for an encoder of samples; otherwise empty.
    """

    windows_db: FloatArray
    loss: FloatArray
    evidence: FloatArray
    score: float
    samples: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)


def pack_head(head: Head) -> bytes:
    """``head.npz``."""
    arrays: Arrays = {"centres": head.centres, "whitener": head.whitener}
    if len(head.references):
        known = (head.references, head.reference_machines, head.reference_limits)
        arrays |= dict(zip(_REFERENCES, known, strict=True))
    if (healthy := head.healthy) is not None:
        figures = (healthy.mean, healthy.variance, np.array(healthy.n))
        arrays |= dict(zip(_HEALTHY, figures, strict=True))
    if head.local_weight:
        arrays |= dict(
            zip(_LOCAL, map(np.array, (head.local_weight, head.local_limit)), strict=True)
        )
    return pack_arrays({name: np.float32(array) for name, array in arrays.items()})


def parse_head(path: Path, content: bytes, kind: ScoreKind) -> Head:
    """The head that ``pack_head`` wrote, for a score of this kind.

    The arrays of references, of healthy recordings and of the local distance may be missing.

    Raises ``BundleError``.
    """
    arrays = parse_arrays(
        path, content, ("centres", "whitener"), (*_REFERENCES, *_HEALTHY, *_LOCAL)
    )
    centres, whitener = arrays["centres"], arrays["whitener"]
    if centres.ndim != 2 or whitener.ndim != 2 or centres.shape[1] != whitener.shape[1]:
        raise BundleError(
            f"{path}: centres {centres.shape} and whitener {whitener.shape} do not fit together"
        )
    if centres.shape[1] > _LARGEST_EVIDENCE:
        raise BundleError(
            f"{path}: evidence of {centres.shape[1]} numbers, more than {_LARGEST_EVIDENCE}"
        )
    head = HEADS[kind](centres.astype(np.float64), whitener)
    if head.is_distance and not min(*centres.shape, len(whitener)):
        raise BundleError(f"{path}: holds no centre or no whitener to score with")
    head = _with_healthy(path, _with_references(path, head, arrays), arrays)
    return _with_local(path, head, arrays)


def _with_references(path: Path, head: Head, arrays: Arrays) -> Head:
    given = [arrays[name] for name in _REFERENCES if name in arrays]
    if not given:
        return head
    if len(given) < len(_REFERENCES):
        raise BundleError(
            f"{path}: holds only some of {', '.join(_REFERENCES)}; if the bundle was made by an "
            "earlier version, train it again"
        )
    n_numbers = head.centres.shape[1]
    n_references = len(given[0]) if given[0].ndim else 0
    wanted = [(n_references, n_numbers), (n_references,), (n_references,)]
    if n_numbers == 0 or [array.shape for array in given] != wanted:
        raise BundleError(
            f"{path}: {', '.join(_REFERENCES)} of shapes "
            f"{', '.join(str(array.shape) for array in given)} do not fit {n_numbers} numbers"
        )
    references, machines, limits = given
    if n_references and not 0 <= machines.min() <= machines.max() < _MOST_MACHINES:
        raise BundleError(f"{path}: reference_machines must be 0 to {_MOST_MACHINES - 1}")
    return replace(
        head,
        references=references.astype(np.float64),
        reference_machines=machines.astype(np.intp),
        reference_limits=limits.astype(np.float64),
    )


def _with_healthy(path: Path, head: Head, arrays: Arrays) -> Head:
    given = [arrays[name] for name in _HEALTHY if name in arrays]
    if not given:
        return head
    n_numbers = head.centres.shape[1]
    if n_numbers == 0 or [array.shape for array in given] != [(n_numbers,), (n_numbers,), ()]:
        raise BundleError(
            f"{path}: {', '.join(_HEALTHY)} must be {n_numbers}, {n_numbers} numbers and one"
        )
    mean, variance, count = (array.astype(np.float64) for array in given)
    if count < 2 or (variance < 0).any():
        raise BundleError(
            f"{path}: healthy_variance must be >= 0 and healthy_recordings at least 2"
        )
    return replace(head, healthy=Sample(mean, variance, int(count)))


def _with_local(path: Path, head: Head, arrays: Arrays) -> Head:
    given = [arrays[name] for name in _LOCAL if name in arrays]
    if not given:
        return head
    if [array.shape for array in given] != [(), ()] or min(given) < 0:
        raise BundleError(f"{path}: {' and '.join(_LOCAL)} must be two numbers >= 0")
    return replace(head, local_weight=float(given[0]), local_limit=float(given[1]))


def pack_selftest(selftest: SelfTest) -> bytes:
    """``selftest.npz``."""
    return pack_arrays(
        {
            "windows_db": selftest.windows_db,
            "loss": selftest.loss,
            "evidence": selftest.evidence,
            "score": np.float64(selftest.score),
            **({"samples": selftest.samples} if len(selftest.samples) else {}),
        }
    )


def parse_selftest(path: Path, content: bytes, spec: LogMelSpec) -> SelfTest:
    """The self-test that ``pack_selftest`` wrote, for these features. Raises ``BundleError``."""
    names = ("windows_db", "loss", "evidence", "score")
    arrays = parse_arrays(path, content, names, ("samples",))
    windows = arrays["windows_db"]
    if windows.ndim != 3 or windows.shape[1:] != (spec.n_mels, spec.window_frames):
        raise BundleError(
            f"{path}: windows of shape {windows.shape[1:]}, the features make "
            f"{(spec.n_mels, spec.window_frames)}"
        )
    if not 1 <= len(windows) <= 4096 or arrays["score"].shape != ():
        raise BundleError(f"{path}: holds {len(windows)} windows and score {arrays['score'].shape}")
    samples = arrays.get("samples", np.empty((0, 0))).astype(np.float32)
    if len(samples) and samples.shape != (len(windows), spec.window_samples):
        raise BundleError(
            f"{path}: samples of shape {samples.shape}, expected "
            f"{(len(windows), spec.window_samples)}"
        )
    return SelfTest(
        windows.astype(np.float32),
        arrays["loss"].astype(np.float32),
        arrays["evidence"].astype(np.float32),
        float(arrays["score"]),
        samples,
    )


def pack_arrays(arrays: Mapping[str, npt.ArrayLike]) -> bytes:
    """An ``.npz`` that is the same for equal arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # With a fixed date, equal arrays have equal hashes.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()


def parse_arrays(
    path: Path, content: bytes, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Arrays:
    """The named arrays and those of the optional ones that exist, all finite.

    The unpacked size is checked before anything is unpacked. Raises ``BundleError``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_ARRAYS:
                raise BundleError(f"{path}: unpacks to more than {_LARGEST_ARRAYS} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            wanted = (*names, *(name for name in optional if name in stored))
            arrays = {name: stored[name] for name in wanted}
    except BundleError:
        raise
    except Exception as error:  # what zipfile and numpy raise for damage shares no other base
        reason = " ".join((str(error) or repr(error)).split())[:200]
        raise BundleError(
            f"{path}: does not hold the arrays {', '.join(names)} ({reason})"
        ) from error
    for name, array in arrays.items():
        # numpy returns bytes for a member that is not an array.
        is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
        if not is_float or not (np.abs(array) <= _LARGEST_NUMBER).all():
            raise BundleError(f"{path}: {name} must be finite floating-point numbers")
    return arrays
