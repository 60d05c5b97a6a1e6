"""A diagnosis in a process of its own: it needs memory and time that the daemon must not lose.

Usage: python -m monitor.diagnosis.child < REQUEST. The request is JSON with ``sound`` (a path),
``start_s`` (where the diagnosis begins), ``gaps`` (pairs of position and length in which sound was
lost), ``healthy`` (paths), ``shaft`` (``[machine.shaft]``) and ``timeout_s``. The result is written
to standard output as JSON, see :func:`monitor.diagnosis.shown.shown`; or only ``failure``, a
sentence, if the sound cannot be read.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from monitor.diagnosis.healthy_files import FEW
from monitor.diagnosis.healthy_sound import LONGEST_S
from monitor.diagnosis.recordings import diagnosed_with, read_beginning
from monitor.diagnosis.settings import ShaftSettings
from monitor.diagnosis.shown import shown
from monitor.domain import FloatArray
from monitor.errors import AuscultError, BadInputError
from monitor.text.escaping import one_line

_ENOUGH_S = 8.0
"""If less sound is left after ``start_s``, the diagnosis begins at the beginning."""
_MOST_HEALTHY_S = 30.0
"""Of each healthy recording: a node may have little memory."""
_MOST_HZ = 48_000
"""A higher sample rate is lowered to this one, for the same reason."""
_GAPS = TypeAdapter(list[tuple[FiniteFloat, FiniteFloat]])
_TOO_LITTLE = f"fewer than {FEW} pieces of healthy sound are kept, which is too little to compare"


def diagnosis_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the sound shows. Nothing, and why, if there is too little healthy sound.

    Raises the errors of reading the sound, and ``BadInputError`` for gaps that are no pairs.
    """
    healthy = [Path(one) for one in request["healthy"]]
    try:
        gaps = _GAPS.validate_python(request["gaps"])
    except ValidationError:
        raise BadInputError(f"{request['sound']}: its description is damaged (gaps)") from None
    samples, rate_hz = read_beginning(Path(request["sound"]), 2.0 * LONGEST_S, _MOST_HZ)
    first, end = used_part(len(samples), rate_hz, request["start_s"], gaps)
    shaft = ShaftSettings.model_validate(request["shaft"])
    result = diagnosed_with(
        samples[first:end],
        rate_hz,
        healthy,
        shaft,
        most_healthy_s=_MOST_HEALTHY_S,
        most_hz=_MOST_HZ,
    )
    document = shown(result)
    if document["healthy_pieces"] < FEW and result.sound is not None:
        document |= {"findings": [], "spectra": [], "notes": [_TOO_LITTLE]}
    return {
        **document,
        "start_s": round(first / rate_hz, 3),
        "seconds": round((end - first) / rate_hz, 3),
    }


def used_part(
    n_samples: int, rate_hz: int, start_s: float, gaps: Sequence[Sequence[float]]
) -> tuple[int, int]:
    """The longest part without a gap after ``start_s``, or of all if that is too short."""
    starts_s = (start_s, 0.0) if start_s > 0.0 else (0.0,)
    best = (0, n_samples)
    for begin_s in starts_s:
        best = _longest(n_samples, rate_hz, begin_s, gaps)
        if best[1] - best[0] >= _ENOUGH_S * rate_hz:
            break
    return best


def _longest(
    n_samples: int, rate_hz: int, begin_s: float, gaps: Sequence[Sequence[float]]
) -> tuple[int, int]:
    lost: FloatArray = np.zeros(n_samples + 1, dtype=np.float32)
    lost[: round(begin_s * rate_hz)] = 1.0
    lost[-1] = 1.0
    for at_s, length_s in gaps:
        lost[max(0, round(at_s * rate_hz)) : round((at_s + length_s) * rate_hz) + 1] = 1.0
    ends = np.flatnonzero(lost)
    begins = np.concatenate([[0], ends[:-1] + 1])
    longest = int((ends - begins).argmax())
    return int(begins[longest]), int(ends[longest])


def main() -> None:
    """Read the request, and write the result."""
    request = json.load(sys.stdin)
    signal.alarm(int(request["timeout_s"]) + 1)  # also if the parent was killed
    try:
        document = diagnosis_of(request)
    except AuscultError as error:
        document = {"failure": one_line(str(error))}
    sys.stdout.write(json.dumps(document, allow_nan=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
