"""Does an Ogg file hold all of its sound?

An Ogg file says nowhere how long it is, and libsndfile reads what is there; but its
last page bears a flag that it is the last (RFC 3533, section 6).
"""

from __future__ import annotations

import os
from pathlib import Path

from monitor.errors import BadInputError

_CAPTURE = b"OggS\0"
_HEADER_BYTES = 27
_LARGEST_PAGE_BYTES = _HEADER_BYTES + 255 + 255 * 255
_LAST_PAGE = 0x04


def check_ogg_is_whole(descriptor: int, path: Path) -> None:
    """Raise ``BadInputError`` for an Ogg file without its last page.

    ``descriptor`` is open for reading and is left where it was. Files of other
    formats pass.
    """
    if os.pread(descriptor, len(_CAPTURE), 0) != _CAPTURE:
        return
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, 2 * _LARGEST_PAGE_BYTES, max(0, size - 2 * _LARGEST_PAGE_BYTES))
    if not _is_last_page(end[end.rfind(_CAPTURE) :]):
        raise BadInputError(
            f"{path}: truncated: its last page is missing; copy it again, use a whole recording, "
            "or wait until it is written"
        )


def _is_last_page(page: bytes) -> bool:
    """Whether ``page`` is whole and says that it is the last of its stream."""
    if len(page) < _HEADER_BYTES or not page[5] & _LAST_PAGE:
        return False
    n_segments = page[_HEADER_BYTES - 1]
    segments = page[_HEADER_BYTES : _HEADER_BYTES + n_segments]
    return len(segments) == n_segments and len(page) >= _HEADER_BYTES + n_segments + sum(segments)
