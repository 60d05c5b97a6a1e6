"""``auscult inspect``: the content of a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.commands.output import emit
from monitor.commands.recall_lines import (
    BY_BUDGET,
    GROWTH,
    RECALL,
    recall_by_budget,
    recall_by_level,
    recall_with_more,
)
from monitor.detection.duty_cycle import duty_text
from monitor.detection.settings import OperationSettings
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.channel_calibration import ChannelCalibration
from monitor.model.long_spans import nominal_s
from monitor.model.manifest import Calibration
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from monitor.text.wording import counted, duration, rounded

_LABEL_WIDTH = 19
_LONGEST_VALUE = 200
_WORDS = {
    "n_mels": "mel bands",
    "n_frames": "frames",
    "most_windows_per_epoch": "most windows in an epoch",
    "machine_weight": "weight of recognising the machine",
    "auc": "ROC AUC:",
    "lr": "learning rate",
}
_METHODS = {"conformal": "by counting", "generalised_pareto": "an estimate from the tail"}


def inspect(path: Path, *, as_json: bool) -> None:
    """Print a bundle that has passed every check. Raises ``BundleError`` for any other."""
    bundle = load_bundle(path)
    run_selftest(bundle, Network(bundle))
    emit(description(bundle), lines(bundle), as_json=as_json)


def description(bundle: Bundle) -> dict[str, Any]:
    """The manifest, and what loading the bundle showed."""
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
    yield _line("bundle", str(bundle.path))
    yield _line("SHA-256", bundle.sha256)
    yield _line(
        "features",
        f"{spec.sample_rate_hz} Hz, {spec.n_mels} mel bands from {spec.f_min_hz:g} to "
        f"{spec.f_max_hz:g} Hz, FFT of {spec.n_fft} samples every {spec.hop_length} samples",
    )
    yield _line(
        "windows",
        f"{spec.window_frames} frames ({spec.window_s:.2f} s), a new one every "
        f"{spec.window_hop_s:.2f} s; a score is made from {bundle.span_s:g} s",
    )
    yield _line("network", _brief(manifest.network))
    if (encoder := manifest.encoder) is not None:
        beside = "alone" if encoder.evidence == "encoder" else "beside the network's evidence"
        yield _line(
            "encoder",
            f"{_brief(encoder.source)}: {encoder.input} to {encoder.n_numbers} numbers, {beside}",
        )
    yield _line("scoring", f"{manifest.score.kind} ({manifest.score.reason})")
    if manifest.calibration is None:
        yield _line(
            "threshold", f"none: run auscult calibrate --in-place {bundle.path} RECORDING..."
        )
    else:
        yield from _calibration_lines(manifest.calibration)
    yield from _state_lines(bundle)
    yield from _provenance_lines(manifest.provenance)
    yield _line("checks", f"{counted(len(manifest.files), 'file')} verified, self-test passed")


def operating_states(
    bundle: Bundle, settings: OperationSettings | None = None
) -> list[dict[str, Any]]:
    """Name, share, level and ``is_off`` of each operating state; empty without any.

    ``settings``: ``[machine.operation]``, which can change which states are off.
    """
    operation = bundle.manifest.operation
    off_states = settings.off_states if settings is not None else None
    return [
        {
            "name": state.name,
            "is_off": state.is_off if off_states is None else state.name in off_states,
            "share": state.share,
            "level_db": state.level_db,
        }
        for state in (operation.states if operation is not None else ())
    ]


def _state_lines(bundle: Bundle) -> Iterator[str]:
    label = "operating states"
    for state in operating_states(bundle):
        what = "the machine is off" if state["is_off"] else "the machine runs"
        share, level_db = state["share"], state["level_db"]
        text = f"{state['name']}: {share:.0%} of the sound, level {level_db:.1f} dB, {what}"
        yield _line(label, text)
        label = ""
    operation = bundle.manifest.operation
    if operation is not None and operation.duty is not None:
        yield _line("healthy duty", duty_text(operation.duty) or "no limits")


def channel_name(channel: ChannelCalibration) -> str:
    """Evidence and span, for people."""
    span_s = nominal_s(channel.span_s)
    span = duration(span_s) if span_s >= 60 else f"{span_s:.0f} s"
    again = " again and again" if channel.is_recurring else ""
    return f"{channel.single_evidence}{again} over {span}"


def _calibration_lines(calibration: Calibration) -> Iterator[str]:
    budget = counted(calibration.false_alarms_per_week, "false alarm")
    method = _METHODS[calibration.method]
    yield _line("threshold", f"{rounded(calibration.threshold)} for {budget} a week, {method}")
    yield _line("recording threshold", rounded(calibration.recording_threshold))
    label = "other channels"
    for channel in calibration.channels:
        limit = channel.threshold_for(calibration.false_alarms_per_week)
        yield _line(label, f"{channel_name(channel)}: threshold {rounded(limit or 0.0)}")
        label = ""
    yield _line(
        "data",
        f"{counted(calibration.recordings, 'recording')}. "
        + (calibration.note or f"{duration(calibration.healthy_s)} recorded"),
    )


def _provenance_lines(provenance: dict[str, Any]) -> Iterator[str]:
    """How the bundle was made. Other tools may record anything here."""
    labels = {
        "recordings": "trained on",
        "references": "reference machines",
        "continued": "continued from",
        "training": "training settings",
        "references_used": "references used",
        "regimes": "centres",
        "verdict": "comparison",
        "controls": "",
        "versions": "versions",
        "score_details": "score chosen",
        BY_BUDGET: "recall by budget",
        GROWTH: "more recordings",
        "day_variation": "between days",
        "training_set": "training set",
        "calibration_set": "calibration set",
    }
    for key, value in provenance.items():
        if value is None or value == []:
            continue
        label = labels.get(key, key)
        if key in ("recordings", "references", "controls") and isinstance(value, list):
            yield from _list_lines(label, value)
        elif key == BY_BUDGET and isinstance(value, dict):
            yield _line(label, recall_by_budget(value))
        elif key in (RECALL, GROWTH) and isinstance(value, dict):
            recall = provenance.get(RECALL)
            now = recall if isinstance(recall, dict) else {}
            texts = recall_by_level(value) if key == RECALL else recall_with_more(value, now)
            for text in texts:
                yield _line(label, text)
                label = ""
        else:
            yield _line(label, _brief(value))


def _list_lines(label: str, items: list[Any], most: int = 3) -> Iterator[str]:
    """The first of the items, a line each."""
    for index, item in enumerate(items[:most]):
        yield _line("" if index else label, _item(item))
    if len(items) > most:
        yield _line("", f"and {len(items) - most} more")


def _item(item: Any) -> str:
    """``name: the other values`` where the item has a name."""
    if not isinstance(item, dict) or "name" not in item:
        return _brief(item)
    rest = {key: value for key, value in item.items() if key != "name"}
    return f"{_brief(item['name'])}: {_brief(rest)}"


def _line(label: str, value: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {value}"


def _named(key: str, value: Any) -> str:
    """A key of the manifest and its value, in words."""
    if key in ("seconds", "span_s") and isinstance(value, int | float):
        length = f"{value:.0f} s" if value >= 10 else f"{value:g} s"
        return length if key == "seconds" else f"span {length}"
    return f"{_WORDS.get(key, key.replace('_', ' '))} {_brief(value)}"


def _brief(value: Any) -> str:
    """One line for nested values."""
    if isinstance(value, dict):
        text = ", ".join(_named(key, item) for key, item in value.items())
    elif isinstance(value, list):
        is_numbers = all(isinstance(item, float | int) for item in value)
        is_tables = any(isinstance(item, dict) for item in value)
        separator = " " if is_numbers else "; " if is_tables else ", "
        text = separator.join(map(_brief, value)) or "none"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = rounded(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
