"""Recordings that hold the same sound: identical files, cuttings, other formats, rates or gains.

Copies make little sound look like much, and a recording that is scored by statistics from its
own copy scores far too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.calibration.same_sound import find_pieces
from monitor.domain import FloatArray

_LEAST_SHARE = 0.5
_WHOLE = 0.9
_ABOUT_AS_LONG = 0.02
_CUT_OFF_DB = 20.0


@dataclass(frozen=True, slots=True)
class Copy:
    """Recording ``index`` holds the sound of recording ``of``; ``share`` of it, 0.5 to 1."""

    index: int
    of: int
    share: float


def find_copies(recordings: Sequence[FloatArray], n_originals: int = 0) -> list[Copy]:
    """The recordings whose sound is in another one, in rising order of ``index``.

    ``recordings``: log-mel frames ``(n_frames, n_mels)`` in dB each, or what
    ``fine_structure.thinned`` keeps of them. A recording is a copy where at least half of it is
    found in others. The longest recording with a sound is no copy; of equally long ones the first
    is none whose top bands are not cut off. A recording without noise (pure tones) cannot be
    compared and is no copy. The first ``n_originals`` are of another machine and are never copies.
    """
    if len(recordings) < 2:
        return []
    found = find_pieces(recordings, n_originals)
    # A whole copy is treated as its original: a copy of it may contain little of the original.
    stands_for: dict[int, int] = {}
    copies: list[Copy] = []
    originals = list(range(n_originals))
    for index in [*originals, *(i for i in _best_first(recordings) if i >= n_originals)]:
        known = list(stands_for)
        hits = found[index][:, known]
        share = float(hits.any(axis=1).mean()) if hits.size else 0.0
        if share < _LEAST_SHARE or index < n_originals:
            stands_for[index] = index
            continue
        original = stands_for[known[int(hits.sum(axis=0).argmax())]]
        copies.append(Copy(index, original, share))
        if share > _WHOLE:
            stands_for[index] = original
    return sorted(copies, key=lambda copy: copy.index)


def _best_first(recordings: Sequence[FloatArray]) -> list[int]:
    """Longest first; of about equally long ones those whose top bands are not cut off."""
    longest_first = sorted(range(len(recordings)), key=lambda i: -len(recordings[i]))
    order: list[int] = []
    while longest_first:
        least = (1.0 - _ABOUT_AS_LONG) * len(recordings[longest_first[0]])
        alike = [i for i in longest_first if len(recordings[i]) >= least]
        top_db = {i: _top_bands_db(recordings[i]) for i in alike}
        cut_off_db = max(top_db.values()) - _CUT_OFF_DB
        order += sorted(alike, key=lambda i: (top_db[i] < cut_off_db, i))
        longest_first = longest_first[len(alike) :]
    return order


def _top_bands_db(frames_db: FloatArray) -> float:
    """The level of the top eighth of the bands below the loudest; codecs cut them off."""
    spectrum = np.median(frames_db, axis=0)
    return float(spectrum[-max(1, len(spectrum) // 8) :].mean() - spectrum.max())
