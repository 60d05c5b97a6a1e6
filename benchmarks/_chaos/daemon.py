"""The real daemon, with a clock that can be set and a witness.

python -m benchmarks._chaos.daemon FOLDER run --config config.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._chaos.clocks import use_clock


def main() -> None:
    """Run ``auscult`` with the clock and the witness of ``FOLDER``."""
    folder = Path(sys.argv.pop(1))
    use_clock(folder)
    # Imported after this, because functions of the program keep the clock they were made with.
    from benchmarks._chaos.witness import Witness, attend
    from monitor.cli import main as auscult

    attend(Witness(folder))
    auscult()


if __name__ == "__main__":
    main()
