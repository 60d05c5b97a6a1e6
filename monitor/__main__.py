"""``python -m monitor`` is ``auscult``."""

from monitor.cli import main

main()
