"""A clip as the files of a piece, with its metadata (``docs/evidence.md``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from monitor.clock import moved_rfc3339
from monitor.evidence.clip import Clip, Judge, Request
from monitor.evidence.flac import NoFlacError, flac_bytes, read_flac
from monitor.evidence.images import band_residual_db, frames_of_clip, image_bytes
from monitor.evidence.names import (
    ARRAYS,
    METADATA,
    PICTURE,
    SOUND,
    Moment,
    is_alert_id,
    split_id,
)
from monitor.evidence.operating_state import operating_state
from monitor.evidence.picture import picture_bytes
from monitor.features.log_mel_spec import LogMelSpec
from monitor.text.escaping import json_text


@dataclass(slots=True)
class PieceFiles:
    """The files by their ending, and the metadata."""

    files: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def files_of(request: Request, clip: Clip, *, is_alert: bool = True) -> PieceFiles:
    """Make the files of a piece. ``is_alert``: also make a picture.

    What is missing is in ``incomplete``. Without sound and without images, there is no file.
    """
    made = PieceFiles()
    missing = [clip.incomplete] if clip.incomplete else []
    judge = request.judge
    if clip.is_sound and len(clip.rows):
        try:
            made.files[SOUND] = flac_bytes(clip.rows, round(clip.rate_hz))
        except NoFlacError as error:
            missing.append(str(error))
    frames = frames_of_clip(clip, judge.spec, judge.network)
    log_mel, residual_db, operation = None, list[float](), request.operation
    at_s = request.at_s - clip.first_s
    if frames is None:
        missing.append("it is too short for an image")
    else:
        made.files[ARRAYS], log_mel = image_bytes(frames)
        residual_db = band_residual_db(frames, request.began_s - clip.first_s)
        if is_alert:
            made.files[PICTURE] = picture_bytes(frames, at_s)
        if judge.bundle is not None:
            operation = operating_state(frames.log_mel_db, judge.bundle, operation)
        if frames.reconstruction_db is None:
            missing.append("the bundle that raised the alert is no longer there")
    made.metadata = {
        **_identity(request),
        "starts_at": moved_rfc3339(request.at, -at_s),
        "at_s": round(at_s, 3),
        "began_s": round(request.began_s - clip.first_s, 3),
        "sample_rate_hz": round(clip.rate_hz) if clip.is_sound else None,
        "seconds": round(clip.seconds, 3),
        "operation": operation,
        "scores": [[round(value, 3) for value in score] for score in clip.scores],
        "gaps": [[round(value, 3) for value in gap] for gap in clip.gaps],
        "log_mel": log_mel,
        "band_residual_db": residual_db,
        "bytes": sum(map(len, made.files.values())),
        "incomplete": "; ".join(missing) or None,
        "lost": None,
    }
    return made


def lost_metadata(request: Request, reason: str) -> dict[str, Any]:
    """The metadata of a piece of which nothing is kept."""
    return {
        **_identity(request),
        "starts_at": request.at,
        "at_s": 0.0,
        "began_s": 0.0,
        "sample_rate_hz": None,
        "seconds": 0.0,
        "operation": request.operation,
        "scores": [],
        "gaps": [],
        "log_mel": None,
        "band_residual_db": [],
        "bytes": 0,
        "incomplete": None,
        "lost": reason,
    }


def _identity(request: Request) -> dict[str, Any]:
    return {
        "format": 1,
        "evidence_id": request.evidence_id,
        "alert_id": request.alert_id,
        "machine": request.machine,
        "moment": request.moment,
        "at": request.at,
        "ratio": round(request.ratio, 4) if math.isfinite(request.ratio) else None,
        "bundle_sha256": request.judge.sha256,
    }


def kept_request(described: Mapping[str, Any], judge: Judge) -> Request:
    """The request of a piece that was kept, from its metadata. Positions are in its sound.

    Raises ``ValueError`` if the metadata are damaged.
    """
    try:
        alert_id, number = split_id(described["evidence_id"]) or ("", 0)
        moment, at_s = described["moment"], float(described["at_s"])
        if moment not in get_args(Moment) or not alert_id:
            raise ValueError(f"{moment!r} is no moment of an alert")
        return Request(
            machine=str(described["machine"]),
            alert_id=alert_id,
            number=number,
            moment=moment,
            at=str(described["at"]),
            at_s=at_s,
            began_s=float(described.get("began_s", at_s)),
            ratio=float(described["ratio"] or 0.0),
            judge=judge,
            operation=described["operation"],
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"damaged metadata: {error!r}") from error


# A piece that has begun: its sound so far, in case that the process is killed.


def begun_files(request: Request, clip: Clip) -> dict[str, bytes]:
    """The files of a piece that has begun. Raises ``NoFlacError``."""
    described = {
        **_identity(request),
        "number": request.number,
        "at_s": request.at_s,
        "began_s": request.began_s,
        "operation": request.operation,
        "rate_hz": clip.rate_hz,
        "first_s": clip.first_s,
        "scores": clip.scores,
        "gaps": clip.gaps,
        "features": request.judge.spec.to_dict(),
    }
    files = {METADATA: json_text(described).encode()}
    if clip.is_sound and len(clip.rows):
        files[SOUND] = flac_bytes(clip.rows, round(clip.rate_hz))
    return files


def begun_request(described: Mapping[str, Any], judges: Mapping[str, Judge]) -> Request:
    """The request of a piece that has begun, from its metadata.

    ``judges``: by machine. Raises ``ValueError`` if the metadata are damaged.
    """
    try:
        judge = Judge(LogMelSpec.from_dict(described["features"]), str(described["bundle_sha256"]))
        known = judges.get(str(described["machine"]))
        moment = described["moment"]
        if moment not in get_args(Moment) or not is_alert_id(described["alert_id"]):
            raise ValueError(f"{moment!r} is no moment of an alert")
        return Request(
            machine=str(described["machine"]),
            alert_id=described["alert_id"],
            number=int(described["number"]),
            moment=moment,
            at=str(described["at"]),
            at_s=float(described["at_s"]),
            began_s=float(described["began_s"]),
            ratio=float(described["ratio"] or 0.0),
            judge=known if known is not None and known.sha256 == judge.sha256 else judge,
            operation=described["operation"],
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"damaged metadata: {error!r}") from error


def begun_clip(described: Mapping[str, Any], sound: Path, incomplete: str) -> Clip:
    """The sound of a piece that has begun. Raises ``NoFlacError`` and ``ValueError``."""
    rows, rate_hz = read_flac(sound)
    try:
        scores = [(float(a), float(b), float(c)) for a, b, c in described["scores"]]
        gaps = [(float(a), float(b)) for a, b in described["gaps"]]
        return Clip(rows, rate_hz, float(described["first_s"]), scores, gaps, incomplete)
    except (KeyError, TypeError) as error:
        raise ValueError(f"damaged metadata: {error!r}") from error
