"""Style sheets, scripts and pictures of the page: the files of one folder, read at the start."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from monitor.web.answers import accepts_gzip

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes
    media_type: str
    tag: str


class StaticFiles:
    """Only names in the folder at the start exist, so that a name can never leave it."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in {".py", ".pyc"}
        }

    @property
    def names(self) -> list[str]:
        """The files, relative to the folder."""
        return list(self._files)

    def response(self, request: Request, name: str) -> Response:
        """The file ``name``, ``304`` if the browser has it, ``404`` if there is none."""
        file = self._files.get(name)
        if file is None:
            return PlainTextResponse("not found", 404)
        # "no-cache" lets the browser keep the file, and ask whether it has changed.
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if not accepts_gzip(request):
            return Response(file.content, media_type=file.media_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, media_type=file.media_type, headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    # A weak tag: it is the same for both forms of the content.
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    return _File(
        content, gzip.compress(content, mtime=0), guessed or "application/octet-stream", tag
    )
