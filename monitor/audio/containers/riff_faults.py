"""Why a WAV file has no samples that can be found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.errors import BadInputError

_FORMAT_BYTES = 16


def without_samples(path: Path, names: Sequence[bytes], position: int, size: int) -> BadInputError:
    """No ``data`` chunk comes before the end of the file.

    ``names``: of the chunks. ``position``: where the last chunk ends by its own length.
    ``size``: of the file.
    """
    if position == size and names:
        return BadInputError(f"{path}: a WAV file without a data chunk; it contains {_list(names)}")
    where = f": its chunk {_list(names[-1:])} is incomplete" if position > size and names else ""
    return BadInputError(f"{path}: a WAV file without samples, cut off inside its header{where}")


def no_chunk(path: Path, position: int) -> BadInputError:
    """Bytes before the samples are not a chunk."""
    return BadInputError(f"{path}: a damaged WAV file: no chunk begins at byte {position}")


def without_format(path: Path, names: Sequence[bytes], n_bytes: int) -> BadInputError:
    """The ``data`` chunk comes and the format of the samples is not known.

    ``n_bytes``: of the ``fmt`` chunk.
    """
    if b"fmt " in names:
        return BadInputError(
            f"{path}: its fmt chunk has {n_bytes} bytes, at least {_FORMAT_BYTES} are needed"
        )
    return BadInputError(f"{path}: a WAV file without a fmt chunk before its samples")


def _list(names: Sequence[bytes]) -> str:
    return ", ".join(name.decode("ascii", "replace").strip() for name in names[:10])
