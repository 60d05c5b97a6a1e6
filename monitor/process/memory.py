"""Memory of the process: what would stay although nothing uses it, and errors if it lacks."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""
_MADV_DONTNEED = 4
"""From the system's mman.h."""
_PROGRAM_FILE = re.compile(
    r"""^(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+)[ ]
    (?:r-xp|r--p)[ ][0-9a-f]+[ ]\S+[ ]\d+[ ]+/.*\n  # private, not writable, of a file
    (?:(?!Anonymous:)[A-Z].*\n)*
    Anonymous:[ ]+0[ ]kB$  # no page differs from the file""",
    re.MULTILINE | re.VERBOSE,
)
"""In ``/proc/self/smaps``."""


def share_one_heap() -> None:
    """Let all threads take memory from one heap: each own one keeps what its thread has freed.

    Call it before threads start. Another C library has no such function; then nothing happens.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return free memory to the system. Another C library has no such function."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def unmap_start_code() -> None:
    """Give up the pages of program files, so that what only the start needed does not stay mapped.

    What is needed again comes back from the system's cache of files, or from the disk. Call it
    before threads start: another thread could be loading a library, whose pages still change.
    Nothing happens on a system without ``/proc/self/smaps``.
    """
    with suppress(AttributeError, OSError):
        madvise = ctypes.CDLL(None).madvise
        for begin, end in _unchanged_program_files():
            madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def _unchanged_program_files() -> Iterator[tuple[int, int]]:
    """The addresses of code and constants that are mapped from files, each with its end."""
    mappings = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    for found in _PROGRAM_FILE.finditer(mappings):
        yield int(found["begin"], 16), int(found["end"], 16)


def is_lack_of_memory(error: Exception) -> bool:
    """Whether an error says that there is no more memory; torch has one of its own for it."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in str(error) or "out of memory" in str(error))
    )
