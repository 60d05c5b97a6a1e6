"""Files with secrets: whether other users of the computer can read them."""

from __future__ import annotations

import contextlib
import logging
import stat
from pathlib import Path

log = logging.getLogger(__name__)


def warn_of_readers(path: Path) -> None:
    """Log a warning if every user of the computer can read the file. A missing file is no fault."""
    with contextlib.suppress(OSError):
        if path.stat().st_mode & stat.S_IROTH:
            log.warning("%s: every user of this computer can read it: chmod o= %s", path, path)
