"""``python -m monitor`` runs ``auscult``."""

from monitor.cli import main

main()
