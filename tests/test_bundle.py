"""Bundles: the loaded content equals the saved content, and damaged content is refused."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SpectraSpec
from monitor.model.arrays import pack_head, parse_head
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.head import DistanceHead, sample_of
from monitor.model.network import Network
from monitor.model.peak_evidence import PeakEvidence, pack_peaks
from monitor.model.peaks import HealthyPeaks
from tests.bundles import make_bundle


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    return shutil.copytree(bundle.path, tmp_path / "pump.bundle")


def head_of(**arrays: npt.ArrayLike) -> bytes:
    """A ``head.npz`` of four numbers, with more or other arrays in it."""
    buffer = io.BytesIO()
    given: dict[str, npt.ArrayLike] = {"centres": np.zeros((1, 4)), "whitener": np.eye(4), **arrays}
    as_floats = {name: np.asarray(array, dtype=float) for name, array in given.items()}
    np.savez(buffer, allow_pickle=False, **as_floats)
    return buffer.getvalue()


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    values = json.loads((path / "bundle.json").read_text())
    change(values)
    (path / "bundle.json").write_text(json.dumps(values))


def test_loading_gives_what_was_saved(bundle: Bundle) -> None:
    """The daemon scores with another model than the trained one."""
    again = load_bundle(bundle.path)
    assert again.sha256 == bundle.sha256
    assert again.manifest == bundle.manifest
    assert np.array_equal(again.head.whitener, bundle.head.whitener)


def test_reference_machines_are_kept_and_named(bundle: Bundle) -> None:
    """A loaded bundle takes a reference machine for its own machine."""
    n_numbers = bundle.head.centres.shape[1]
    head = replace(
        bundle.head,
        references=np.ones((3, n_numbers)),
        reference_machines=np.array([0, 1, 1]),
        reference_limits=np.array([0.75, 2.0, 0.875]),
    )
    again = parse_head(Path("head.npz"), pack_head(head), "diagonal")
    assert np.array_equal(again.references, head.references)
    assert np.array_equal(again.reference_machines, head.reference_machines)
    assert np.array_equal(again.reference_limits, head.reference_limits)
    recorded = {"references": [{"name": "pump-1"}, {"nothing": 0}, "text", {"name": "a\nb\x1b[2J"}]}
    manifest = bundle.manifest.model_copy(update={"provenance": recorded})
    assert replace(bundle, manifest=manifest).reference_names == ("pump-1", "", "", "ab[2J")
    assert bundle.reference_names == ()


def test_the_mean_of_the_healthy_recordings_is_kept(bundle: Bundle) -> None:
    """A loaded bundle takes any machine of its type for its own."""
    rows = np.random.default_rng(0).normal(size=(7, bundle.head.centres.shape[1]))
    head = replace(bundle.head, healthy=sample_of(rows.astype(np.float32).astype(np.float64)))
    again = parse_head(Path("head.npz"), pack_head(head), "diagonal").healthy
    assert again is not None
    assert head.healthy is not None
    np.testing.assert_allclose(again.mean, head.healthy.mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(again.variance, head.healthy.variance, rtol=1e-6)
    assert again.n == 7


@pytest.mark.parametrize(
    "arrays",
    [
        {"healthy_mean": np.zeros(4)},
        {"healthy_mean": np.zeros(4), "healthy_variance": np.ones(4)},
        {"healthy_mean": np.zeros(3), "healthy_variance": np.ones(3), "healthy_recordings": 5.0},
        {"healthy_mean": np.zeros(4), "healthy_variance": -np.ones(4), "healthy_recordings": 5.0},
        {"healthy_mean": np.zeros(4), "healthy_variance": np.ones(4), "healthy_recordings": 1.0},
    ],
)
def test_impossible_healthy_recordings_are_refused(arrays: dict[str, npt.ArrayLike]) -> None:
    """A calibration with such a bundle ends in a traceback."""
    with pytest.raises(BundleError, match=r"head\.npz: .*healthy"):
        parse_head(Path("head.npz"), head_of(**arrays), "diagonal")


def test_the_weight_of_the_local_distance_is_kept(bundle: Bundle) -> None:
    """A loaded bundle gives other scores than the one that was saved."""
    head = replace(bundle.head, local_weight=2.5, local_limit=31.0)
    again = parse_head(Path("head.npz"), pack_head(head), "diagonal")
    assert (again.local_weight, again.local_limit) == (2.5, 31.0)


@pytest.mark.parametrize(
    "arrays",
    [
        {"local_weight": 1.0},
        {"local_weight": -1.0, "local_limit": 1.0},
        {"local_weight": np.ones(2), "local_limit": 1.0},
    ],
)
def test_impossible_local_weights_are_refused(arrays: dict[str, npt.ArrayLike]) -> None:
    """A bundle with half of the figures is scored by other rules than it was calibrated for."""
    with pytest.raises(BundleError, match=r"head\.npz: local_weight and local_limit"):
        parse_head(Path("head.npz"), head_of(**arrays), "diagonal")


def test_a_head_needs_no_references() -> None:
    """Bundles from other tools are refused because optional arrays are missing."""
    head = parse_head(Path("head.npz"), head_of(), "diagonal")
    assert not len(head.references)
    assert head.reference_limits.shape == (0,)
    assert head.healthy is None
    assert head.local_weight == 0.0


@pytest.mark.parametrize(
    ("references", "machines", "limits"),
    [
        ((2, 3), [0, 1], (2,)),
        ((2, 4), [0, 1], (1,)),
        ((2, 4), [0], (2,)),
        ((2, 4), [0, -1], (2,)),
        ((2, 4), [0, 1e9], (2,)),
        ((4,), [0] * 4, (4,)),
        ((2, 4, 1), [0, 1], (2,)),
        ((), 0.0, ()),
    ],
)
def test_references_that_do_not_fit_are_refused(
    references: tuple[int, ...], machines: npt.ArrayLike, limits: tuple[int, ...]
) -> None:
    """A self-test of such a bundle ends in a traceback."""
    content = head_of(
        references=np.ones(references),
        reference_machines=machines,
        reference_limits=np.ones(limits),
    )
    with pytest.raises(BundleError, match=r"head\.npz: .*reference_machines"):
        parse_head(Path("head.npz"), content, "diagonal")


def test_incomplete_arrays_of_references_are_refused() -> None:
    """The missing array is noticed only in the first self-test."""
    with pytest.raises(BundleError, match=r"head\.npz: holds only some of references"):
        parse_head(Path("head.npz"), head_of(references=np.ones((2, 4))), "diagonal")


@pytest.mark.parametrize("name", ["centres", "whitener", "healthy_mean"])
def test_numbers_beyond_single_precision_are_refused(name: str) -> None:
    """Their squares are infinite, and an infinite score is a permanent alarm."""
    arrays: dict[str, npt.ArrayLike] = {
        "centres": np.zeros((1, 4)),
        "whitener": np.eye(4),
        "healthy_mean": np.zeros(4),
        "healthy_variance": np.ones(4),
        "healthy_recordings": 5.0,
    }
    arrays[name] = np.full_like(arrays[name], 1e300)
    with pytest.raises(BundleError, match=f"{name} must be finite"):
        parse_head(Path("head.npz"), head_of(**arrays), "diagonal")


@pytest.mark.parametrize(("n_centres", "rank"), [(0, 4), (1, 0)])
def test_a_head_without_centre_or_whitener_is_refused(
    bundle: Bundle, copied: Path, n_centres: int, rank: int
) -> None:
    """The first window ends in a traceback."""
    n_numbers = bundle.head.centres.shape[1]
    content = pack_head(DistanceHead(np.zeros((n_centres, n_numbers)), np.ones((rank, n_numbers))))
    (copied / "head.npz").write_bytes(content)
    files = {**bundle.manifest.files, "head.npz": hashlib.sha256(content).hexdigest()}
    edit(copied, lambda v: v.update(files=files))
    with pytest.raises(BundleError, match=r"head\.npz: holds no centre"):
        load_bundle(copied)


@pytest.mark.parametrize("name", ["model.onnx", "head.npz", "selftest.npz"])
def test_a_changed_file_is_refused_by_name(copied: Path, name: str) -> None:
    """A damaged or replaced model is run."""
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name}: SHA-256 is"):
        load_bundle(copied)


@pytest.mark.parametrize("name", ["model.onnx", "head.npz", "selftest.npz", "bundle.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    """The operator must guess which file was not copied."""
    (copied / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        load_bundle(copied)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    """A typing error in the configuration ends in a traceback."""
    with pytest.raises(BundleError, match="nowhere: no such bundle"):
        load_bundle(tmp_path / "nowhere")


FALLING = {
    "evidence": "lines",
    "span_s": 15.0,
    "step_s": 2.0,
    "score_median": 1.0,
    "budgets": [
        {"false_alarms_per_week": 7.0, "threshold": 4.0},
        {"false_alarms_per_week": 1.0, "threshold": 5.0},
    ],
}
"""A channel that would have no threshold for most budgets, because they are not in order."""
RISING = {**FALLING, "budgets": [{"false_alarms_per_week": 1.0, "threshold": 5.0}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(schema_version=2), "schema_version is 2"),
        (lambda v: v.update(colour="red"), "colour"),
        (lambda v: v["features"].update(n_mels=10**9), "n_mels must be a whole number"),
        (lambda v: v["features"].update(n_mels=64), "another feature spec"),
        (lambda v: v["features"].update(f_min_hz=50.0), "another feature spec"),
        (lambda v: v["features"].update(hop_length=256), "another feature spec"),
        (lambda v: v["features"].update(window_hop_frames=8), "another feature spec"),
        (lambda v: v["features"].update(power_floor=1e-12), "another feature spec"),
        (lambda v: v["features"].update(n_mels=0), r"features: n_mels must be"),
        (lambda v: v["calibration"].update(threshold=float("nan")), "threshold"),
        (lambda v: v.update(span_s=-1), "span_s"),
        (lambda v: v.update(spectra={"envelope": None, "lines": {}}), "spectra: must be an object"),
        (lambda v: v["calibration"].update(channels=[FALLING]), "channels.0: .* rising order"),
        (lambda v: v["calibration"].update(channels=[RISING, RISING]), "the same evidence and"),
        (
            lambda v: v["calibration"].update(channels=[{**RISING, "step_s": 16.0}]),
            "channels.0: .* greater than span_s",
        ),
        (
            lambda v: v["calibration"].update(channels=[{**RISING, "span_s": 3600.0}]),
            "channels.0: span_s must be at most 64 times step_s",
        ),
        (lambda v: v["files"].pop("model.onnx"), "model.onnx is missing"),
        (lambda v: v["files"].update({"../../etc/passwd": "0" * 64}), "files"),
        (lambda v: v.update(features=[]), "features"),
        (lambda v: v.pop("features_sha256"), "features_sha256: missing.*earlier version, train it"),
        (lambda v: v.pop("filterbank_sha256"), "filterbank_sha256: missing.*train it again"),
    ],
)
def test_an_impossible_manifest_is_refused(
    copied: Path, change: Callable[[dict[str, object]], None], message: str
) -> None:
    """A hostile or edited bundle crashes the daemon or is accepted."""
    edit(copied, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(copied)


@pytest.mark.parametrize("n_levels", [200, 900])
def test_a_manifest_with_many_levels_is_refused(copied: Path, n_levels: int) -> None:
    """It would be read, and end `auscult inspect` and `calibrate --in-place` with a traceback."""
    nested: object = 1
    for _ in range(n_levels):
        nested = [nested]
    edit(copied, lambda v: v.update(provenance={"other tool": nested}))
    with pytest.raises(BundleError, match=r"bundle\.json: values are nested in more than 100 lev"):
        load_bundle(copied)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"null", b"\xff\xfe", b"[]"])
def test_a_manifest_that_is_not_json_is_refused(copied: Path, content: bytes) -> None:
    """An incomplete file crashes the daemon at its start."""
    (copied / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(copied)


def test_the_hashes_of_the_features_are_those_of_the_page() -> None:
    """A bundle made with other tools is refused, because the page describes another hash."""
    page = (Path(__file__).parent.parent / "docs" / "bundles.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    for spec in (LogMelSpec(), LogMelSpec(sample_rate_hz=48_000, n_mels=64, f_max_hz=20_000)):
        names = {"features": spec.to_dict(), "weights": spec.mel_filterbank}
        exec(code, names)  # noqa: S102  # the project's own page
        assert names["features_sha256"] == spec.features_sha256
        assert names["filterbank_sha256"] == spec.filterbank_sha256


@pytest.mark.parametrize("file", ["head.npz", "peaks.npz", "selftest.npz"])
def test_the_arrays_have_the_shapes_of_the_page(file: str, tmp_path: Path) -> None:
    """A bundle made with other tools is refused, because the page names other shapes."""
    page = (Path(__file__).parent.parent / "docs" / "bundles.md").read_text(encoding="utf-8")
    table = page.partition(f"`{file}`:\n")[2].strip().partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+?`) \| `(\(.*?\))`", table, flags=re.MULTILINE)
    documented = {name: shape for names, shape in rows for name in re.findall(r"`(\w+)`", names)}
    bundle = make_bundle(tmp_path)
    references = np.zeros((2, bundle.head.centres.shape[1]))
    head = replace(
        bundle.head,
        references=references,
        reference_machines=np.zeros(2, dtype=np.intp),
        reference_limits=np.ones(2),
        healthy=sample_of(references),
        local_weight=2.0,
        local_limit=30.0,
    )
    spectra = SpectraSpec.for_log_mel(bundle.spec)
    assert spectra is not None
    shapes = (
        (spectra.envelope.n_bands, len(spectra.envelope.rates_hz)),
        (1, len(spectra.lines.frequencies_hz)),
    )
    healthy = tuple(HealthyPeaks(np.zeros(shape), np.ones(shape), 30.0, 8) for shape in shapes)
    packed = {
        "head.npz": pack_head(head),
        "peaks.npz": pack_peaks(PeakEvidence(spectra, healthy, (1.0, 1.0))),
    }
    content = packed[file] if file in packed else (tmp_path / file).read_bytes()
    with np.load(io.BytesIO(content)) as arrays:
        stored = {name: arrays[name].shape for name in arrays.files}
    sizes = {
        "n": len(bundle.selftest.windows_db),
        "n_mels": bundle.spec.n_mels,
        "n_frames": bundle.spec.window_frames,
        "d": bundle.head.centres.shape[1],
        "k": bundle.head.whitener.shape[0],
        "n_regimes": bundle.head.centres.shape[0],
        "n_references": 2,
        "n_bands": shapes[0][0],
        "n_rates": shapes[0][1],
        "n_lines": shapes[1][1],
    }
    as_sizes = {
        name: tuple(
            int(size) if size.isdigit() else sizes[size] for size in re.findall(r"\w+", shape)
        )
        for name, shape in documented.items()
    }
    assert as_sizes == stored


def test_windows_of_another_shape_are_refused(copied: Path) -> None:
    """A graph for other features fails at the first window instead of at the start."""
    spec = replace(LogMelSpec(), window_frames=16)
    edit(copied, lambda v: v.update(features=spec.to_dict(), features_sha256=spec.features_sha256))
    with pytest.raises(BundleError, match=r"selftest.npz: windows of shape \(128, 32\)"):
        load_bundle(copied)


def test_a_bundle_without_threshold_names_the_command(bundle: Bundle) -> None:
    """A detector runs without a calibrated threshold."""
    bare = bundle.manifest.model_copy(update={"calibration": None})
    with pytest.raises(BundleError, match="auscult calibrate"):
        _ = Bundle(
            bundle.path, bare, bundle.spec, bundle.head, bundle.selftest, b"", ""
        ).calibration


def test_a_model_that_is_not_onnx_is_refused(bundle: Bundle) -> None:
    """The operator gets an exception of ONNX Runtime instead of the name of the file."""
    broken = Bundle(
        bundle.path,
        bundle.manifest,
        bundle.spec,
        bundle.head,
        bundle.selftest,
        b"not a model",
        "",
    )
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be loaded"):
        Network(broken)
