"""A file as an answer, also a part of it (``Range``), so that a player can seek."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from monitor.errors import MissingInputError
from monitor.text.regular_files import open_regular
from monitor.web.answers import accepts_gzip
from monitor.web.texts import Sentence
from monitor.web.work import Workers

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII | re.IGNORECASE)


MOST_PACKED_BYTES = 4 * 1024 * 1024
"""A larger file is sent as it is: it would have to be in memory."""


@dataclass(slots=True)
class OpenFile:
    """An open file: it can be read to its end, also if the daemon deletes it meanwhile."""

    descriptor: int
    n_bytes: int
    tag: str

    PART_BYTES: ClassVar[int] = 128 * 1024

    def read(self, at: int, most: int) -> bytes:
        """At most ``most`` bytes from a position."""
        return os.pread(self.descriptor, min(most, self.PART_BYTES), at)

    def close(self) -> None:
        """Close it. A second call changes nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:  # for an answer that is never sent
        self.close()


def open_file(path: Path) -> OpenFile:
    """Raises ``MissingInputError`` if it is not there, or is not a regular file."""
    try:
        descriptor = open_regular(path, follow_links=False)
    except OSError:
        raise MissingInputError(Sentence("refusal.no_file")) from None
    about = os.fstat(descriptor)
    return OpenFile(descriptor, about.st_size, f'"{about.st_mtime_ns:x}-{about.st_size:x}"')


async def file_answer(
    request: Request, path: Path, media_type: str, workers: Workers, *, file_name: str
) -> Response:
    """The file, or the part that the request names. Raises ``MissingInputError``."""
    file = await workers.run(open_file, path)
    headers = {
        "ETag": file.tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f'inline; filename="{file_name}"',
    }
    known = request.headers.get("if-none-match", "")
    if file.tag in known or known.strip() == "*":
        file.close()
        return Response(status_code=304, headers=headers)
    if_range = request.headers.get("if-range")
    may_be_part = request.method == "GET" and if_range in {None, file.tag}
    wanted = request.headers.get("range", "") if may_be_part else ""
    part = range_of(wanted, file.n_bytes)
    if part is None:
        file.close()
        return Response(
            status_code=416, headers={**headers, "Content-Range": f"bytes */{file.n_bytes}"}
        )
    start, end, is_part = part
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.n_bytes}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        file.close()
        return Response(headers=headers, media_type=media_type)

    async def parts() -> AsyncIterator[bytes]:
        position = start
        try:
            while position < end:
                content = await workers.run(file.read, position, end - position)
                if not content:  # it has become shorter
                    return
                position += len(content)
                yield content
        finally:
            file.close()

    return StreamingResponse(parts(), 206 if is_part else 200, headers, media_type)


async def packed_answer(
    request: Request, path: Path, media_type: str, workers: Workers, levels: int = 256
) -> Response | None:
    """The whole file, compressed. None if the browser wants something else, or it is too large.

    ``levels``: how many values a byte may have, so that it becomes smaller; each is rounded down.
    """
    if not accepts_gzip(request) or "range" in request.headers or request.method != "GET":
        return None
    file = await workers.run(open_file, path)
    try:
        if file.n_bytes > MOST_PACKED_BYTES:
            return None
        tag = f'{file.tag[:-1]}-{levels}"'
        headers = {"ETag": f"W/{tag}", "Cache-Control": "private, max-age=3600"}
        headers["Vary"] = "Accept-Encoding"
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        content = await workers.run(_packed, file, levels)
    finally:
        file.close()
    return Response(content, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})


def _packed(file: OpenFile, levels: int) -> bytes:
    content = bytearray()
    while part := file.read(len(content), file.n_bytes):
        content += part
    step = 256 // levels
    rounded = bytes(value - value % step for value in range(256))
    return gzip.compress(content.translate(rounded), mtime=0)


def range_of(header: str, n_bytes: int) -> tuple[int, int, bool] | None:
    """Where the wanted part starts and ends (exclusive), and whether a part is wanted.

    None if the file has no such part. Without a range, with several of them and with one that is
    not understood, it is the whole file (RFC 9110).
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return 0, n_bytes, False
    if match[1] == "":
        length = min(int(match[2]), n_bytes)
        return (n_bytes - length, n_bytes, True) if length else None
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return 0, n_bytes, False
    end = min(int(match[2]) + 1, n_bytes) if match[2] else n_bytes
    return (start, end, True) if start < n_bytes else None
