"""Bundles: a folder that is a function from log-mel windows to scores.

``bundle.json`` says what the function is and holds the SHA-256 of every other
file: ``model.onnx`` (windows to loss, evidence, residual, level), ``head.npz``
(what the averaged evidence is compared with), ``selftest.npz`` (windows and the
scores they must give), and what training needs to go on. Nothing is trusted
before its hash was checked, nothing is unpickled, and sizes are checked before
anything is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from monitor.bundle_manifest import SCHEMA_VERSION, BundleManifest, ScoreChoice
from monitor.calibration_record import Calibration
from monitor.detector_settings import DetectorSettings
from monitor.distance import Head
from monitor.errors import BundleError
from monitor.log_mel_spec import LogMelSpec
from monitor.persistence import Persistence
from monitor.recording_score import RecordingScore

__all__ = ["Bundle", "Head", "SelfTest", "load_bundle", "save_bundle", "write_manifest"]

MANIFEST = "bundle.json"
MODEL = "model.onnx"
HEAD = "head.npz"
SELFTEST = "selftest.npz"
_LARGEST_MANIFEST = 4 * 2**20
_LARGEST_FILE = 256 * 2**20
_LARGEST_ARRAYS = 256 * 2**20
_LARGEST_EVIDENCE = 16_384

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Windows ``(n, n_mels, n_frames)`` that are one span, and what they must give."""

    windows_db: FloatArray
    loss: FloatArray
    evidence: FloatArray
    score: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are what its manifest says they are."""

    path: Path
    manifest: BundleManifest
    spec: LogMelSpec
    head: Head
    selftest: SelfTest
    model: bytes = field(repr=False)
    sha256: str

    @property
    def span_s(self) -> float:
        """Seconds of sound that one score is made from."""
        return self.manifest.span_s

    @property
    def span_windows(self) -> int:
        """Windows that one score is made from."""
        return self.spec.windows_in(self.manifest.span_s)

    @property
    def heard_span_s(self) -> float:
        """How much sound the windows of a span are made from, near ``span_s``."""
        return self.spec.seconds_of(self.span_windows)

    def persistence(self, detector: DetectorSettings) -> Persistence:
        """How many of how many of this bundle's scores must be over the threshold."""
        return detector.persistence(span_s=self.heard_span_s, hop_s=self.spec.window_hop_s)

    def recording_score(self) -> RecordingScore:
        """A new score for one whole recording, by this bundle's statistics."""
        return RecordingScore(self.spec, self.manifest.score.kind, self.head)

    @property
    def calibration(self) -> Calibration:
        """The threshold and what supports it. Raises ``BundleError`` where there is none."""
        if self.manifest.calibration is None:
            raise BundleError(
                f"{self.path}: has no threshold; run: auscult calibrate {self.path} RECORDING..."
            )
        return self.manifest.calibration


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and check every hash, shape and number in it.

    Raises ``BundleError`` naming the file and what is wrong with it.
    """
    _check_folder(path)
    raw = _read(path / MANIFEST, _LARGEST_MANIFEST)
    manifest = _parse_manifest(path / MANIFEST, raw)
    for name in (MODEL, HEAD, SELFTEST):
        if name not in manifest.files:
            raise BundleError(f"{path / MANIFEST}: files: {name} is missing from the list")
    contents = {name: _verified(path, name, manifest.files[name]) for name in manifest.files}
    spec = manifest.spec
    for name in ("features_sha256", "filterbank_sha256"):
        if getattr(spec, name) != getattr(manifest, name):
            raise BundleError(
                f"{path / MANIFEST}: {name} does not belong to these features; "
                "the bundle was made for another feature spec, train it again"
            )
    head = _parse_head(path / HEAD, contents[HEAD])
    selftest = _parse_selftest(path / SELFTEST, contents[SELFTEST], spec)
    return Bundle(
        path=path,
        manifest=manifest,
        spec=spec,
        head=head,
        selftest=selftest,
        model=contents[MODEL],
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def save_bundle(
    path: Path,
    *,
    spec: LogMelSpec,
    span_s: float,
    score: ScoreChoice,
    calibration: Calibration | None,
    model: bytes,
    head: Head,
    selftest: SelfTest,
    network: dict[str, Any],
    provenance: dict[str, Any],
    extra_files: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle and read it back. ``extra_files`` (weights) are hashed like the rest.

    ``bundle.json`` is written last and at once, so a bundle that was cut off while
    being written cannot be mistaken for a whole one.
    """
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).unlink(missing_ok=True)
    files = {
        MODEL: model,
        HEAD: _npz(centres=np.float32(head.centres), whitener=np.float32(head.whitener)),
        SELFTEST: _npz(
            windows_db=selftest.windows_db,
            loss=selftest.loss,
            evidence=selftest.evidence,
            score=np.float64(selftest.score),
        ),
        **(extra_files or {}),
    }
    for name, content in files.items():
        (path / name).write_bytes(content)
    manifest = BundleManifest(
        features=spec.to_dict(),
        features_sha256=spec.features_sha256,
        filterbank_sha256=spec.filterbank_sha256,
        span_s=span_s,
        score=score,
        calibration=calibration,
        network=network,
        provenance=provenance,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    write_manifest(path, manifest)
    return load_bundle(path)


def write_manifest(path: Path, manifest: BundleManifest) -> None:
    """Replace ``bundle.json`` at once: a reader sees the old one or the new one."""
    temporary = path / (MANIFEST + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(manifest.model_dump(mode="json"), file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path / MANIFEST)


def _check_folder(path: Path) -> None:
    try:
        is_there = path.is_dir()
    except OSError as error:
        raise BundleError(f"{path}: cannot be opened ({error.strerror})") from error
    if not is_there:
        raise BundleError(f"{path}: no such bundle; expected a folder with {MANIFEST} in it")


def _read(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise BundleError(f"{path}: {size} bytes, more than the {largest} that can be right")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{path}: missing from the bundle") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error


def _parse_manifest(path: Path, raw: bytes) -> BundleManifest:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON ({error})") from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path}: schema_version is {version!r}, this version of auscult reads "
            f"{SCHEMA_VERSION}; train the bundle again or use the version that made it"
        )
    try:
        return BundleManifest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        says = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            says = "missing; if the bundle was made by an earlier version, train it again"
        raise BundleError(f"{path}: {where}: {says}") from error


def _verified(path: Path, name: str, expected: str) -> bytes:
    content = _read(path / name, _LARGEST_FILE)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise BundleError(
            f"{path / name}: SHA-256 is {actual[:12]}..., {MANIFEST} says {expected[:12]}...; "
            "the file was changed or damaged, copy the bundle again"
        )
    return content


def _npz(**arrays: npt.ArrayLike) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # A fixed date keeps the hash of equal arrays equal.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _arrays(path: Path, content: bytes, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays, each finite. The unpacked size is checked before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_ARRAYS:
                raise BundleError(f"{path}: unpacks to more than {_LARGEST_ARRAYS} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in names}
    except BundleError:
        raise
    except Exception as error:  # what zipfile and numpy raise for damage shares no other base
        reason = " ".join((str(error) or repr(error)).split())[:200]
        raise BundleError(
            f"{path}: does not hold the arrays {', '.join(names)} ({reason})"
        ) from error
    for name, array in arrays.items():
        # numpy gives the bytes of a member that is no array.
        is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
        if not is_float or not np.isfinite(array).all():
            raise BundleError(f"{path}: {name} must be finite floating-point numbers")
    return arrays


def _parse_head(path: Path, content: bytes) -> Head:
    arrays = _arrays(path, content, ("centres", "whitener"))
    centres, whitener = arrays["centres"], arrays["whitener"]
    if centres.ndim != 2 or whitener.ndim != 2 or centres.shape[1] != whitener.shape[1]:
        raise BundleError(
            f"{path}: centres {centres.shape} and whitener {whitener.shape} do not fit together"
        )
    if centres.shape[1] > _LARGEST_EVIDENCE:
        raise BundleError(f"{path}: evidence of {centres.shape[1]} numbers is more than can be")
    return Head(centres.astype(np.float64), whitener.astype(np.float64))


def _parse_selftest(path: Path, content: bytes, spec: LogMelSpec) -> SelfTest:
    arrays = _arrays(path, content, ("windows_db", "loss", "evidence", "score"))
    windows = arrays["windows_db"]
    if windows.ndim != 3 or windows.shape[1:] != (spec.n_mels, spec.window_frames):
        raise BundleError(
            f"{path}: windows of shape {windows.shape[1:]}, the features make "
            f"{(spec.n_mels, spec.window_frames)}"
        )
    if not 1 <= len(windows) <= 4096 or arrays["score"].shape != ():
        raise BundleError(f"{path}: holds {len(windows)} windows and score {arrays['score'].shape}")
    return SelfTest(
        windows.astype(np.float32),
        arrays["loss"].astype(np.float32),
        arrays["evidence"].astype(np.float32),
        float(arrays["score"]),
    )
