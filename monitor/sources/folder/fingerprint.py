"""Hashes of parts of a file, by which a recording is recognised."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

_EDGE_BYTES = 4096
_N_PIECES = 8
_PIECE_BYTES = 512


def hash_head(file: BinaryIO, size: int) -> str:
    """Hash of the first bytes of a file that has or had ``size`` of them.

    Lengths that a recorder renews while it writes are left out.
    """
    file.seek(0)
    head = bytearray(file.read(min(size, _EDGE_BYTES)))
    magic = bytes(head[:4])
    if magic in {b"RIFF", b"RF64", b"RIFX"}:
        data = head.find(b"data")
        head[4:8] = bytes(4)
        if data > 0:
            head[data + 4 : data + 8] = bytes(4)
        ds64 = head.find(b"ds64", 0, 64)
        if ds64 > 0:
            head[ds64 + 8 : ds64 + 32] = bytes(24)
    elif magic == b"fLaC":
        head[12:42] = bytes(30)
    elif head[:3] == b"ID3" or head[:1] == b"\xff":
        head[:2048] = bytes(min(2048, len(head)))
    return _sha256(head)


def hash_tail(file: BinaryIO, size: int) -> str:
    """Hash of the end of a file of ``size`` bytes, and of pieces between its beginning and end.

    The beginning and the end of different recordings can both be silence.
    """
    pieces = []
    for i in range(1, _N_PIECES + 1):
        file.seek(size * i // (_N_PIECES + 1))
        pieces.append(file.read(_PIECE_BYTES))
    file.seek(max(0, size - _EDGE_BYTES))
    return _sha256(b"".join([*pieces, file.read(_EDGE_BYTES)]))


def _sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(bytes(data)).hexdigest()[:32]
