"""Bundles with one wrong file, loaded like in the daemon."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from benchmarks.fuzz.edits import edited, edited_json
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.errors import BundleError
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound, make_bundle


@cache
def original() -> dict[str, bytes]:
    """The files of a sound bundle."""
    with tempfile.TemporaryDirectory() as name:
        path = make_bundle(Path(name) / "bundle", span_s=2.0).path
        return {file.name: file.read_bytes() for file in path.iterdir()}


@cache
def _sound() -> AudioBlock:
    return AudioBlock(machine_sound(3.0), SPEC.sample_rate_hz, 0)


def manifests() -> st.SearchStrategy[bytes]:
    """``bundle.json`` with other values, or other bytes."""
    raw = original()["bundle.json"]
    return st.one_of(edited_json(json.loads(raw)), edited([raw]))


def files(name: str) -> st.SearchStrategy[bytes]:
    """One of the other files, edited."""
    return edited([original()[name]], most=4)


def try_manifest(content: bytes, folder: Path) -> None:
    """``bundle.json`` without changes to its hashes."""
    _use(_written(folder, original() | {"bundle.json": content}))


def try_changed_model(content: bytes, folder: Path) -> None:
    """``model.onnx`` with a wrong hash, which must always be refused."""
    path = _written(folder, original() | {"model.onnx": content})
    if content == original()["model.onnx"]:
        return
    try:
        load_bundle(path)
    except BundleError as error:
        if "SHA-256" in str(error):
            raise
        raise ValueError("refused for another reason than its hash") from error
    raise ValueError("a changed file was accepted")


def try_model(content: bytes, folder: Path) -> None:
    """``model.onnx`` in a bundle with correct hashes."""
    _use(_written(folder, _rehashed("model.onnx", content)))


def try_head(content: bytes, folder: Path) -> None:
    """``head.npz`` in a bundle with correct hashes."""
    _use(_written(folder, _rehashed("head.npz", content)))


def try_selftest(content: bytes, folder: Path) -> None:
    """``selftest.npz`` in a bundle with correct hashes."""
    _use(_written(folder, _rehashed("selftest.npz", content)))


def _rehashed(name: str, content: bytes) -> dict[str, bytes]:
    manifest = json.loads(original()["bundle.json"])
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    return original() | {name: content, "bundle.json": json.dumps(manifest).encode()}


def _written(folder: Path, contents: dict[str, bytes]) -> Path:
    path = folder / "bundle"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def _use(path: Path) -> None:
    """Load the bundle like the daemon, and score three seconds of sound."""
    bundle = load_bundle(path)
    _ = bundle.calibration
    network = Network(bundle)
    run_selftest(bundle, network)
    for score in Pipeline(bundle, DetectorSettings(), network).push(_sound()).scores:
        if not (np.isfinite(score.value) and np.isfinite(score.loss) and score.value >= 0):
            raise ValueError(f"not a score: {score}")
