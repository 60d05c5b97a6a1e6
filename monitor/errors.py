"""The exception hierarchy.

::

    Exception
    +-- AuscultError                  a fault of the program or its surroundings, exit 70
        +-- UsageError                the command line is not valid, exit 64
        +-- BadInputError             a recording or stream that is not usable, exit 65
        |   +-- SourceFault           a live source gave values that cannot be sound
        |       +-- FormatFault       a live source gives another form than the bundle needs
        +-- MissingInputError         a named file or folder does not exist, exit 66
        +-- ServiceUnavailableError   broker, device, program or package not available, exit 69
        +-- ConfigError               config.toml or its environment variables, exit 78
        +-- BundleError               a bundle that cannot be used, exit 78

Every message is one line: it names the file, the key or the value, and what would be
right. An error with several arguments has a line for each of several mistakes. The exit
statuses are those of BSD's ``sysexits.h``. Any other exception is a bug and is shown with its
traceback.
"""

from __future__ import annotations

from typing import ClassVar


class AuscultError(Exception):
    """Base of all errors that Auscult raises on purpose."""

    exit_status: ClassVar[int] = 70

    def __init__(self, *lines: object, kind: str = "") -> None:
        """``kind``: for programs that state the reason in their own words; usually empty."""
        super().__init__(*lines)
        self.kind = kind

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each mistake. Names in it may contain line breaks of their own."""
        return tuple(map(str, self.args))


class UsageError(AuscultError):
    """The command line, or an argument of the library, is not valid."""

    exit_status = 64


class BadInputError(AuscultError):
    """A recording, image or stream whose content cannot be used."""

    exit_status = 65


class SourceFault(BadInputError):  # noqa: N818  # "source fault" is the field's word for it
    """A live source gave values that cannot be sound (NaN, wrong sample rate).

    ``reason``: as in ``SourceState``.
    """

    reason: ClassVar[str] = "not_finite"


class FormatFault(SourceFault):
    """A live source gives sound in another form than the bundle needs."""

    reason = "wrong_format"


class TruncatedError(BadInputError):
    """A recording ends before its end; it may still be being written."""


class MissingInputError(AuscultError):
    """A named file or folder does not exist or cannot be opened."""

    exit_status = 66


class ServiceUnavailableError(AuscultError):
    """Something outside (broker, device, child program, package) is not available."""

    exit_status = 69


class ConfigError(AuscultError):
    """The configuration is not valid; the message names file, line and key."""

    exit_status = 78


class BundleError(AuscultError):
    """A bundle is missing, damaged or of another schema version."""

    exit_status = 78
