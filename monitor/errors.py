"""The exception hierarchy.

::

    Exception
    +-- AuscultError                  a fault of ours or of the world, exit 70
        +-- UsageError                the command line makes no sense, exit 64
        +-- BadInputError             a recording or stream that is not usable, exit 65
        |   +-- SourceFault           a live source delivered what cannot be sound
        +-- MissingInputError         a named file or folder is not there, exit 66
        +-- ServiceUnavailableError   broker, device, program or package not available, exit 69
        +-- ConfigError               config.toml or its environment, exit 78
        +-- BundleError               a bundle that cannot be trusted or used, exit 78

Every message is one line for the person who has to act: it names the file, the
key or the value, and says what would be right. The exit statuses are those of
BSD's ``sysexits.h``. Anything that is not an ``AuscultError`` is a bug and keeps
its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class AuscultError(Exception):
    """Base of everything that Auscult raises on purpose."""

    exit_status: ClassVar[int] = 70


class UsageError(AuscultError):
    """The command line asks for something that makes no sense."""

    exit_status = 64


class BadInputError(AuscultError):
    """A recording, image or stream whose content cannot be used."""

    exit_status = 65


class SourceFault(BadInputError):  # noqa: N818  # "source fault" is the field's word for it
    """A live source delivered something that cannot be sound (NaN, wrong rate)."""


class MissingInputError(AuscultError):
    """A file or folder that was named does not exist or cannot be opened."""

    exit_status = 66


class ServiceUnavailableError(AuscultError):
    """Something outside (broker, device, child program, package) is not available."""

    exit_status = 69


class ConfigError(AuscultError):
    """The configuration is not valid; the message names file, line and key."""

    exit_status = 78


class BundleError(AuscultError):
    """A bundle is missing, damaged, of another schema, or not to be trusted."""

    exit_status = 78
