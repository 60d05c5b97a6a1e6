"""The ``auscult`` command: arguments, messages and exit statuses.

``monitor.commands`` has what the commands do.
"""

from monitor.cli.program import main, run_command

__all__ = ["main", "run_command"]
