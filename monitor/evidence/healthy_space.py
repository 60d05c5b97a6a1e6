"""The space for healthy sound, shared fairly by all machines and operating states."""

from __future__ import annotations

from collections import defaultdict

from monitor.evidence.inventory import StoredPiece
from monitor.evidence.names import stays
from monitor.evidence.retention import is_healthy_sound
from monitor.evidence.store import EvidenceStore

Group = tuple[str, str]
"""A machine's folder and the operating state in the name of its pieces."""


def free_healthy_space(
    store: EvidenceStore, folder: str, stem: str, n_bytes: int, most_bytes: float
) -> bool:
    """Whether healthy sound of ``n_bytes`` may be written, in a share of ``most_bytes`` for all.

    The space of the piece that it replaces is free. If that is not enough, the groups with the most
    pieces that stay lose their newest ones, until they have as many as this group. Raises
    ``OSError``.
    """
    pieces = {
        key: piece
        for key, piece in store.retention.look().pieces.items()
        if is_healthy_sound(key[0]) and key != (folder, stem)
    }
    staying: dict[Group, list[StoredPiece]] = defaultdict(list)
    for key, piece in pieces.items():
        if stays(key[1]) and piece.is_whole:
            staying[_group(*key)].append(piece)
    own = len(staying[_group(folder, stem)]) + 1 if stays(stem) else 1
    used_bytes = sum(piece.n_bytes for piece in pieces.values()) + n_bytes
    removed = []
    while used_bytes > most_bytes:
        largest = max(staying.values(), key=len, default=[])
        if len(largest) <= own:
            return False
        newest = max(largest, key=lambda piece: piece.kept_s or 0.0)
        largest.remove(newest)
        removed.append(newest)
        used_bytes -= newest.n_bytes
    for piece in removed:
        store.retention.remove(piece)
    return True


def _group(folder: str, stem: str) -> Group:
    return folder, stem.partition("@")[0]
