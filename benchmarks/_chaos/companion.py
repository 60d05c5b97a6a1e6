"""``auscult web`` or ``auscult notify``, with a clock that can be set.

python -m benchmarks._chaos.companion FOLDER notify --config config.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._chaos.clocks import use_clock


def main() -> None:
    """Run ``auscult`` with the clock of ``FOLDER``."""
    folder = Path(sys.argv.pop(1))
    use_clock(folder)
    # Imported after this, because functions of the program keep the clock they were made with.
    from monitor.cli import main as auscult

    if sys.argv[1] == "notify":
        from monitor.notify import schedule

        # Messages about many alerts do not name them: each alert is sent alone.
        schedule.MOST_SINGLE = 10_000
    auscult()


if __name__ == "__main__":
    main()
