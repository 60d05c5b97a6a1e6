"""The files of evidence: sound, images and pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from monitor.errors import MissingInputError
from monitor.evidence.folder import Piece
from monitor.web.alerts import piece_document
from monitor.web.answers import json_answer
from monitor.web.context import context_of
from monitor.web.file_answer import file_answer, packed_answer
from monitor.web.query import whole_number
from monitor.web.texts import Sentence
from monitor.web.transcoding import Band

FILES = ("clip.flac", "clip.opus", "arrays.bin", "picture.png", "metadata.json")
"""What each piece may have."""
BAND = "band.opus"
"""The sound in the frequencies of a finding; of alerts only."""
_TYPES = {
    "clip.flac": "audio/flac",
    "arrays.bin": "application/octet-stream",
    "picture.png": "image/png",
}
_MOST_FINDINGS = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def of_alerts(file: str) -> Callable[[Request], Awaitable[Response]]:
    """The route ``evidence/<evidence_id>/FILE``."""

    async def handle(request: Request) -> Response:
        context, evidence_id = context_of(request), request.path_params["evidence_id"]
        piece = await context.workers.run(context.evidence.piece, evidence_id)
        return await _answer(request, piece, file, evidence_id)

    return handle


def of_healthy(file: str) -> Callable[[Request], Awaitable[Response]]:
    """The route ``healthy/<machine>/<operation>/FILE``."""

    async def handle(request: Request) -> Response:
        context, names = context_of(request), request.path_params
        piece = await context.workers.run(
            context.evidence.healthy, names["machine"], names["operation"]
        )
        return await _answer(request, piece, file, f"{names['machine']}-healthy")

    return handle


async def _answer(request: Request, piece: Piece | None, file: str, name: str) -> Response:
    if piece is None:
        raise MissingInputError(Sentence("refusal.no_evidence"))
    if file == "metadata.json":
        return json_answer(piece_document(piece))
    context, path = context_of(request), _path(piece, file)
    band_hz = None
    if file == BAND:
        band_hz = finding_hz(piece, whole_number(request, "finding", 1, most=_MOST_FINDINGS))
    if path is None or (file == BAND and band_hz is None):
        raise MissingInputError(Sentence("refusal.no_evidence_file", file=file))
    if file in {"clip.opus", BAND}:
        content = await context.transcoder.opus(path, band_hz)
        return Response(
            content, media_type="audio/ogg", headers={"Cache-Control": "private, max-age=3600"}
        )
    if file == "arrays.bin":
        levels = whole_number(request, "levels", 256, most=256)
        packed = await packed_answer(request, path, _TYPES[file], context.workers, levels)
        if packed is not None:
            return packed
    file_name = _UNSAFE.sub("-", name) + path.suffix
    return await file_answer(request, path, _TYPES[file], context.workers, file_name=file_name)


def finding_hz(piece: Piece, number: int) -> Band | None:
    """The frequencies of a finding of the piece; None if it names none.

    ``number``: from 1.
    """
    try:
        low_hz, high_hz = map(
            float, piece.metadata["diagnosis"]["findings"][number - 1]["listen_hz"]
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return (low_hz, high_hz) if 0.0 <= low_hz < high_hz < math.inf else None


def _path(piece: Piece, file: str) -> Path | None:
    if file == "arrays.bin":
        return piece.arrays_path
    return piece.picture_path if file == "picture.png" else piece.sound_path
