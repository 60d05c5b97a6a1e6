"""What was found wrong with a set of healthy recordings: copies, repetitions, outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from monitor.calibration.outliers import RULE, find_outliers
from monitor.domain import DoubleArray
from monitor.text.escaping import one_line
from monitor.text.wording import counted

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class CopiedRecording:
    """A recording whose sound is in another one; ``share`` of it, 0.5 to 1."""

    name: str
    of: str
    share: float


@dataclass(frozen=True, slots=True)
class RepeatedRecording:
    """A recording that begins again after ``seconds``."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """A recording that does not fit: its score, and the median and highest of those that fit."""

    name: str
    score: float
    median: float
    highest: float


def outliers_among(
    names: Sequence[str], scores: Sequence[float], distances: DoubleArray | None = None
) -> tuple[Outlier, ...]:
    """The outliers with their figures. ``scores`` and ``distances`` as in ``find_outliers``."""
    found = find_outliers(scores, distances)
    fitting = np.delete(np.asarray(scores), found)
    median, highest = float(np.median(fitting)), float(fitting.max())
    return tuple(Outlier(names[i], scores[i], median, highest) for i in found)


@dataclass(frozen=True, slots=True)
class SetFindings:
    """The result for a set of ``n_recordings``.

    ``kept``: whether the outliers are used. ``groups``: recordings that are far from
    all others but near each other. ``trained_on``: recordings that seem to be those that the
    bundle was made from.
    """

    n_recordings: int
    copies: tuple[CopiedRecording, ...] = ()
    repeated: tuple[RepeatedRecording, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    kept: bool = False
    groups: tuple[tuple[str, ...], ...] = ()
    trained_on: tuple[str, ...] = ()

    @property
    def copies_text(self) -> str:
        """How many copies are not used, for a message about too little sound; empty for none."""
        if not self.copies:
            return ""
        are = "is" if len(self.copies) == 1 else "are"
        total = counted(self.n_recordings, "recording")
        return f"{len(self.copies)} of {total} {are} not used, as copies of another"

    def with_outliers(
        self, outliers: tuple[Outlier, ...], groups: tuple[tuple[str, ...], ...], *, kept: bool
    ) -> Self:
        """The same, with what the scores show."""
        return replace(self, outliers=outliers, groups=groups, kept=kept)

    def facts(self) -> dict[str, str]:
        """For people: what was found, what was done about it, and advice. Empty for nothing."""
        total = counted(self.n_recordings, "recording")
        facts = {}
        if self.outliers:
            one = len(self.outliers) == 1
            done = "used because of --keep-outliers" if self.kept else "left out"
            names = [
                f"{one_line(o.name)} (score {o.score:.3g}, typical {o.median:.3g})"
                for o in self.outliers
            ]
            facts["Outliers"] = (
                f"{len(self.outliers)} of {total} {'does' if one else 'do'} not fit the others and "
                f"{'is' if one else 'are'} {done}: {_listed(names)}. "
                "Listen to each one. If the machine was faulty, remove the recording. If it was "
                "healthy, record more of that state"
                + ("" if self.kept else " or use --keep-outliers")
            )
        if self.groups:
            groups = [", ".join(map(one_line, group)) for group in self.groups]
            facts["Check"] = (
                f"some of {total} are unlike the others but like each other: "
                + "; and ".join(groups)
                + ". They are used. If the machine was faulty, remove them. If it was healthy, "
                "record more of that state"
            )
        if self.trained_on:
            have = "has" if len(self.trained_on) == 1 else "have"
            names = [one_line(name) for name in self.trained_on]
            facts["Training"] = (
                f"{len(names)} of {total} {have} the name and length of a recording that the "
                f"bundle was trained on: {_listed(names)}. Such recordings get lower scores than "
                "new sound, so the threshold may be too low. Use new recordings"
            )
        if self.copies:
            one = len(self.copies) == 1
            facts["Copies"] = (
                f"{len(self.copies)} of {total} {'contains' if one else 'contain'} the sound of "
                f"another and {'is' if one else 'are'} not used: "
                + _listed([_copied(copy) for copy in self.copies])
            )
        if self.repeated:
            facts["Repeated"] = "only the first part is used of " + _listed(
                [
                    f"{one_line(one.name)} (starts again after {one.seconds:.1f} s)"
                    for one in self.repeated
                ]
            )
        return facts

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in a bundle and printed with ``--json``."""
        return {
            "copies": [
                {"name": copy.name, "of": copy.of, "share": round(copy.share, 2)}
                for copy in self.copies
            ],
            "repeated": [
                {"name": one.name, "seconds": round(one.seconds, 2)} for one in self.repeated
            ],
            "outliers": [
                {
                    "name": one.name,
                    "score": round(one.score, 4),
                    "median_score": round(one.median, 4),
                    "highest_score": round(one.highest, 4),
                }
                for one in self.outliers
            ],
            "outliers_kept": self.kept,
            "outlier_rule": RULE,
            "groups": [list(group) for group in self.groups],
            "trained_on": list(self.trained_on),
        }


def _copied(copy: CopiedRecording) -> str:
    share = "" if copy.share > 0.95 else f"{copy.share:.0%} "
    return f"{one_line(copy.name)} ({share}as in {one_line(copy.of)})"


def _listed(items: list[str] | tuple[str, ...]) -> str:
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
