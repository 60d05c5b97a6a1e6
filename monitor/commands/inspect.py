"""``auscult inspect``: what is in a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.commands.output import emit
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest


def inspect(path: Path, *, as_json: bool) -> None:
    """Print a bundle that has passed every check. Raises ``BundleError`` for any other."""
    bundle = load_bundle(path)
    run_selftest(bundle, Network(bundle))
    emit(description(bundle), lines(bundle), as_json=as_json)


def description(bundle: Bundle) -> dict[str, Any]:
    """Everything of the manifest, and what was found out by loading it."""
    spec = bundle.spec
    return {
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        **bundle.manifest.model_dump(mode="json"),
        "window_s": spec.window_s,
        "window_hop_s": spec.window_hop_s,
        "head": {
            "regimes": int(bundle.head.centres.shape[0]),
            "evidence": int(bundle.head.centres.shape[1]),
            "rank": int(bundle.head.whitener.shape[0]),
            "references": int(bundle.head.references.shape[0]),
        },
        "checks": {"files": "verified", "selftest": "passed"},
    }


def lines(bundle: Bundle) -> Iterator[str]:
    """The same for people."""
    manifest, spec = bundle.manifest, bundle.spec
    yield f"bundle       {bundle.path}"
    yield f"sha256       {bundle.sha256}"
    yield (
        f"features     {spec.sample_rate_hz} Hz, {spec.n_mels} bands "
        f"{spec.f_min_hz:g} to {spec.f_max_hz:g} Hz, n_fft {spec.n_fft}, hop {spec.hop_length}"
    )
    yield (
        f"windows      {spec.window_frames} frames ({spec.window_s:.2f} s), "
        f"one every {spec.window_hop_s:.2f} s; a score is made from {bundle.span_s:g} s"
    )
    yield f"network      {_brief(manifest.network)}"
    yield f"score        {manifest.score.kind}: {manifest.score.reason}"
    calibration = manifest.calibration
    if calibration is None:
        yield "threshold    none: run auscult calibrate"
    else:
        yield (
            f"threshold    {calibration.threshold:.4g} for {calibration.false_alarms_per_week:g} "
            f"false alarms a week ({calibration.method}, {calibration.healthy_s / 60:.1f} minutes "
            f"of healthy sound in {calibration.recordings} recordings)"
        )
        if calibration.note:
            yield f"             {calibration.note}"
    for key, value in manifest.provenance.items():
        yield f"{key:<12} {value if isinstance(value, str) else _brief(value)}"
    yield f"checks       {len(manifest.files)} files verified, self-test passed"


def _brief(value: Any) -> str:
    """One line for nested figures."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(item)}" for key, item in value.items())
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."
