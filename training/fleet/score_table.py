"""The tables of a fleet as Parquet. The same rows give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.text.escaping import encodable

_SCORES = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("anomalous", pa.bool_(), nullable=False),
    ]
)
MACHINES = pa.schema(
    [
        pa.field("machine", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        ("score", pa.string()),
        ("threshold", pa.float64()),
        ("recording_threshold", pa.float64()),
        ("false_alarms_per_week", pa.float64()),
        ("supported_false_alarms_per_week", pa.float64()),
        ("provisional", pa.bool_()),
        ("recordings", pa.int64()),
        ("seconds", pa.float64()),
        ("left_out", pa.int64()),
        ("network_auc", pa.float64()),
        ("control_auc", pa.float64()),
        ("bundle_sha256", pa.string()),
        pa.field("error", pa.string(), nullable=False),
    ]
)
RECORDINGS = pa.schema(
    [
        pa.field("machine", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("anomalous", pa.bool_()),
        ("alerts", pa.int64()),
        pa.field("error", pa.string(), nullable=False),
        ("operation", pa.string()),
        ("not_judged", pa.string()),
    ]
)
ALERTS = pa.schema(
    [
        pa.field("machine", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        ("kind", pa.string()),
        ("at_s", pa.float64()),
        ("at", pa.string()),
        ("score", pa.float64()),
        ("peak_score", pa.float64()),
        ("threshold", pa.float64()),
        ("bands_hz", pa.list_(pa.list_(pa.float64()))),
    ]
)


class ScoreRow(NamedTuple):
    """One scored span. ``at_unix_s``: when it ended, None if the recording has no start time."""

    file: str
    start_s: float
    end_s: float
    at_unix_s: float | None
    score: float
    loss: float
    threshold: float


def write_scores(path: Path, rows: Sequence[ScoreRow]) -> None:
    """Write the rows in their order. Raises ``OSError``."""
    columns = list(zip(*rows, strict=True))
    files, starts, ends, ats, scores, losses, thresholds = columns
    arrays = [
        [encodable(name) for name in files],
        starts,
        ends,
        [None if at is None else round(at * 1e6) for at in ats],
        scores,
        losses,
        thresholds,
        [score > threshold for score, threshold in zip(scores, thresholds, strict=True)],
    ]
    table = pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(arrays, _SCORES, strict=True)],
        schema=_SCORES,
    )
    pq.write_table(table, path, compression="zstd")


def write_table(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    """Replace a table. Keys that the schema lacks are left out. Raises ``OSError``."""
    partial = path.with_name(f".{path.name}.part")
    table = pa.Table.from_pylist([encodable(row) for row in rows], schema=schema)
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)
