"""Keeps the pieces of a machine usable: their space, lost and damaged ones, and their end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from monitor.learning.journal import NamedPiece
from monitor.learning.pieces import Piece
from monitor.learning.sorting import LEAST_PIECES, pieces_that_do_not_fit, rare_pieces
from monitor.learning.state import LearningState
from monitor.text.wording import counted

log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep for one machine. All functions need the lock of ``state`` and raise ``OSError``.

    State: what was found about the space when pieces were removed for the last time.
    """

    def __init__(self, state: LearningState) -> None:
        self._state = state
        self._space = ""

    def limit_space(self) -> str:
        """Keep the space of the pieces within its limit. Never during a training.

        Returns what is wrong if there is no space for a first bundle; empty if nothing is.
        """
        store = self._state.store
        left, bytes_left = store.pieces, store.n_bytes
        removed = []
        while bytes_left > self._state.settings.max_mb * 1e6 and left:
            piece = most_common(left)
            left.remove(piece)
            bytes_left -= piece.n_bytes
            removed.append(piece.name)
        if not removed:
            return self._space if len(left) < LEAST_PIECES else ""
        bytes_each = store.n_bytes / (len(left) + len(removed))
        store.remove(removed)
        self._space = (
            f"a larger max_mb: {LEAST_PIECES} pieces need {LEAST_PIECES * bytes_each / 1e6:.1f} MB"
        )
        return self._space if len(left) < LEAST_PIECES else ""

    def end_learning(self) -> None:
        """Delete the pieces of an armed machine, also if a kill or the disk prevented it before.

        Not while they are needed for a new bundle.
        """
        store = self._state.store
        is_needed = self._state.settings.keep or self._state.journal.relearning is not None
        if store.pieces and not is_needed:
            store.clear()

    def set_outliers_aside(self, reasons: Mapping[str, str] = MappingProxyType({})) -> None:
        """Set the pieces aside that do not fit the others, and those of ``reasons`` by their names.

        Call ``forget_lost`` before.
        """
        state = self._state
        pieces = state.store.pieces
        aside, rare = dict(reasons), rare_pieces(pieces)
        if not state.settings.keep_outliers:
            aside = pieces_that_do_not_fit(pieces) | aside
        known_rare = {piece.name for piece in state.journal.rare}
        state.journal.rare = [
            NamedPiece(piece.name, piece.recorded_at, rare[piece.name])
            for piece in pieces
            if piece.name in rare
        ]
        for name in sorted(rare.keys() - known_rare):
            log.warning("listen to piece %s: %s", name, rare[name], extra=state.log_extra)
        known = {piece.name for piece in pieces if piece.aside}
        state.store.set_aside(aside)
        for name in sorted(aside.keys() - known):
            log.warning("piece %s is not learned: %s", name, aside[name], extra=state.log_extra)

    def forget_lost(self) -> None:
        """Forget the pieces whose files are not there any more, and log it."""
        if lost := self._state.store.forget_lost():
            log.warning(
                "somebody has removed %s, such as %s",
                counted(len(lost), "piece"),
                lost[0],
                extra=self._state.log_extra,
            )

    def remove_unusable(self, reasons: dict[str, str]) -> bool:
        """Remove pieces that the training cannot use; whether there are any."""
        state = self._state
        names = [piece.name for piece in state.store.accepted if piece.name in reasons]
        for name in names:
            log.warning("piece %s is removed: %s", name, reasons[name], extra=state.log_extra)
        if names:
            state.store.remove(names)
        return bool(names)


def most_common(pieces: Iterable[Piece]) -> Piece:
    """The piece to remove first: many others have the same level, hour and day.

    Levels count in steps of 3 dB. Raises ``ValueError`` without pieces.
    """
    counts: dict[tuple[object, ...], int] = {}
    pieces = list(pieces)
    for piece in pieces:
        for cell in _cells(piece):
            counts[cell] = counts.get(cell, 0) + 1

    def frequency(piece: Piece) -> tuple[int, ...]:
        cells = _cells(piece)
        own = [counts[cell] for cell in cells]
        return own[0] * own[1] * own[2], -round(piece.heard_s)

    return max(pieces, key=frequency)


def _cells(piece: Piece) -> tuple[tuple[object, ...], ...]:
    level = round(piece.level_dbfs / 3.0)
    return ("level", piece.kind, level), ("hour", piece.hour), ("day", piece.day)
