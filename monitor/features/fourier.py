"""The Fourier transform of real rows in single precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray

ROWS = 4
"""numpy transforms so many rows together. The rounding of a row alone may be another one."""


def transform(rows: FloatArray, out: npt.NDArray[np.complex64]) -> None:
    """Fill ``out`` with ``rfft(rows) / n``. Shape: ``(..., n)`` to ``(..., n // 2 + 1)``.

    A window in ``rows`` should contain the factor ``n``. Without a factor of its own, numpy
    transforms single precision in double precision, which takes twice the time.
    """
    result: Any = out  # numpy's types have complex128 only
    np.fft.rfft(rows, norm="forward", out=result)
