"""Bundles: a folder that is a function from log-mel windows to scores.

``bundle.json`` describes the function and holds the SHA-256 of every other file: ``model.onnx``
(windows to loss, evidence, residual, level), ``head.npz`` (the statistics of healthy evidence),
``peaks.npz`` (those of healthy spectra, where the bundle has any), ``encoder.onnx`` (windows to
vectors, where it has one), ``selftest.npz`` (windows with
their scores), and the weights for further training. The size of each file is checked before it is
read, and its hash before it is used. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SpectraSpec
from monitor.model.arrays import SelfTest, pack_head, pack_selftest, parse_head, parse_selftest
from monitor.model.capture import Capture
from monitor.model.encoder_spec import EncoderSpec
from monitor.model.hash_check import check_folder, read_file, read_verified, sha256_of
from monitor.model.head import Head
from monitor.model.manifest import BundleManifest, Calibration, ScoreChoice, parse_manifest
from monitor.model.operation import Operation
from monitor.model.peak_evidence import PeakEvidence, pack_peaks, parse_peaks
from monitor.model.recording_score import RecordingScore
from monitor.model.replacement import replace_files

__all__ = ["Bundle", "Head", "SelfTest", "load_bundle", "save_bundle", "write_manifest"]

MANIFEST = "bundle.json"
MODEL = "model.onnx"
HEAD = "head.npz"
SELFTEST = "selftest.npz"
PEAKS = "peaks.npz"
ENCODER = "encoder.onnx"
_LARGEST_MANIFEST = 4 * 2**20
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files match its manifest.

    ``path``: its folder. ``sha256``: the hash of its manifest, which identifies it. ``spec``: the
    features (``spec.sample_rate_hz``, ``spec.n_mels`` ...). ``manifest``: all of ``bundle.json``.
    """

    path: Path
    manifest: BundleManifest
    spec: LogMelSpec
    head: Head
    selftest: SelfTest
    model: bytes = field(repr=False)
    sha256: str
    peaks: PeakEvidence | None = None
    encoder: bytes | None = field(default=None, repr=False)

    @property
    def needs_samples(self) -> bool:
        """Whether windows need their samples, for an encoder."""
        return self.manifest.encoder is not None and self.manifest.encoder.input == "samples"

    @property
    def span_s(self) -> float:
        """Nominal seconds of sound in one score."""
        return self.manifest.span_s

    @property
    def span_windows(self) -> int:
        """Windows in one score."""
        return self.spec.windows_in(self.manifest.span_s)

    @property
    def spectra(self) -> SpectraSpec | None:
        """How sound becomes the fine spectra of a window; None for a bundle without peaks."""
        return self.peaks.spec if self.peaks is not None else None

    @property
    def actual_span_s(self) -> float:
        """Seconds of sound that the windows of one score cover, near ``span_s``."""
        return self.spec.seconds_of(self.span_windows)

    def recording_score(self) -> RecordingScore:
        """An empty score of a whole recording, with this bundle's head and peaks."""
        return RecordingScore(self.spec, self.head, self.peaks)

    @property
    def reference_names(self) -> tuple[str, ...]:
        """The names of the reference machines of ``head``, empty where they are not known."""
        recorded = self.manifest.provenance.get("references")
        named = recorded if isinstance(recorded, list) else []
        names = [str(one.get("name", "")) if isinstance(one, dict) else "" for one in named]
        return tuple("".join(filter(str.isprintable, name))[-_LONGEST_NAME:] for name in names)

    @property
    def calibration(self) -> Calibration:
        """The threshold and the figures behind it. Raises ``BundleError`` where there is none."""
        if self.manifest.calibration is None:
            raise BundleError(
                f"{self.path}: has no threshold; run: auscult calibrate --in-place {self.path} "
                "RECORDING..."
            )
        return self.manifest.calibration


def load_bundle(path: Path, loaded: Mapping[str, Bundle] | None = None) -> Bundle:
    """Read a bundle and check every hash, shape and number in it.

    ``loaded``: bundles by their hash. If the folder is a copy of one of them, only the hashes of
    its files are checked, and that one is returned. Raises ``BundleError`` with the file and its
    fault.
    """
    check_folder(path, MANIFEST)
    raw = read_file(path / MANIFEST, _LARGEST_MANIFEST)
    same = loaded.get(sha256_of(raw)) if loaded else None
    if same is not None:
        for name, expected in same.manifest.files.items():
            read_verified(path / name, expected, MANIFEST)
        return same
    manifest = parse_manifest(path / MANIFEST, raw)
    for name in (MODEL, HEAD, SELFTEST):
        if name not in manifest.files:
            raise BundleError(f"{path / MANIFEST}: files: {name} is missing from the list")
    contents = {
        name: read_verified(path / name, expected, MANIFEST)
        for name, expected in manifest.files.items()
    }
    spec = manifest.spec
    for name in ("features_sha256", "filterbank_sha256"):
        if getattr(spec, name) != getattr(manifest, name):
            raise BundleError(
                f"{path / MANIFEST}: {name} does not belong to these features; "
                "the bundle was made for another feature spec, train it again"
            )
    head = parse_head(path / HEAD, contents[HEAD], manifest.score.kind)
    selftest = parse_selftest(path / SELFTEST, contents[SELFTEST], spec)
    return Bundle(
        path=path,
        manifest=manifest,
        spec=spec,
        head=head,
        selftest=selftest,
        model=contents[MODEL],
        sha256=sha256_of(raw),
        peaks=_peaks(path, manifest, contents),
        encoder=_encoder(path, manifest, contents),
    )


def _encoder(path: Path, manifest: BundleManifest, contents: Mapping[str, bytes]) -> bytes | None:
    if (manifest.encoder is None) != (ENCODER not in contents):
        raise BundleError(
            f"{path / MANIFEST}: encoder and {ENCODER} belong together: one is missing"
        )
    return contents.get(ENCODER)


def _peaks(
    path: Path, manifest: BundleManifest, contents: Mapping[str, bytes]
) -> PeakEvidence | None:
    if manifest.spectra is None and PEAKS not in contents:
        return None
    if manifest.spectra is None or PEAKS not in contents:
        raise BundleError(f"{path / MANIFEST}: spectra and {PEAKS} belong together: one is missing")
    spec = SpectraSpec.from_dict(manifest.spectra)
    if spec != SpectraSpec.for_log_mel(manifest.spec):
        raise BundleError(
            f"{path / MANIFEST}: spectra do not belong to these features: use the version of "
            "auscult that made the bundle, or train it again"
        )
    return parse_peaks(path / PEAKS, contents[PEAKS], spec)


def save_bundle(
    path: Path,
    *,
    spec: LogMelSpec,
    span_s: float,
    score: ScoreChoice,
    calibration: Calibration | None,
    capture: Capture | None = None,
    operation: Operation | None = None,
    model: bytes,
    head: Head,
    peaks: PeakEvidence | None = None,
    encoder: tuple[EncoderSpec, bytes] | None = None,
    selftest: SelfTest,
    network: dict[str, Any],
    provenance: dict[str, Any],
    extra_files: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle and read it back. ``extra_files`` (weights) are hashed like the rest.

    Files are replaced when all new ones are on the disk, ``bundle.json`` last. A full disk leaves
    the bundle that was there.
    """
    path.mkdir(parents=True, exist_ok=True)
    files = {
        MODEL: model,
        HEAD: pack_head(head),
        SELFTEST: pack_selftest(selftest),
        **({PEAKS: pack_peaks(peaks)} if peaks is not None else {}),
        **({ENCODER: encoder[1]} if encoder is not None else {}),
        **(extra_files or {}),
    }
    manifest = BundleManifest(
        features=spec.to_dict(),
        features_sha256=spec.features_sha256,
        filterbank_sha256=spec.filterbank_sha256,
        span_s=span_s,
        score=score,
        calibration=calibration,
        capture=capture,
        operation=operation,
        spectra=peaks.spec.to_dict() if peaks is not None else None,
        encoder=encoder[0] if encoder is not None else None,
        network=network,
        provenance=provenance,
        files={name: sha256_of(content) for name, content in files.items()},
    )
    replace_files(path, {**files, MANIFEST: _manifest_bytes(manifest)}, last=MANIFEST)
    return load_bundle(path)


def write_manifest(path: Path, manifest: BundleManifest) -> None:
    """Replace ``bundle.json`` in one step: a reader gets the old one or the new one."""
    replace_files(path, {MANIFEST: _manifest_bytes(manifest)}, last=MANIFEST)


def _manifest_bytes(manifest: BundleManifest) -> bytes:
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False)
    return text.encode() + b"\n"
