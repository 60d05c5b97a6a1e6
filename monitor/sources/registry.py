"""Settings to a source."""

# ruff: noqa: PLC0415  # a daemon loads only the kinds of sources that it reads

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from monitor.sources.protocol import Source
from monitor.sources.settings import (
    CommandSettings,
    FileSettings,
    FolderSettings,
    LogMelSettings,
    MicrophoneSettings,
    SimulatedSettings,
    SourceSettings,
)


def open_source(settings: SourceSettings, ledger: Path | None = None) -> Source:
    """The source that ``settings`` describe. It opens nothing before ``blocks`` is called.

    ``ledger``: the file in which a folder source stores what it has read. None reads every
    recording after each start.
    """
    match settings:
        case FileSettings():
            from monitor.sources.file import FileSource

            return FileSource(settings)
        case FolderSettings():
            from monitor.sources.folder.source import FolderSource

            return FolderSource(settings, ledger)
        case CommandSettings():
            from monitor.sources.command import CommandSource

            return CommandSource(settings)
        case MicrophoneSettings():
            from monitor.sources.microphone.source import MicrophoneSource

            return MicrophoneSource(settings)
        case SimulatedSettings():
            from monitor.sources.simulated.source import SimulatedSource

            return SimulatedSource(settings)
        case LogMelSettings():
            from monitor.sources.log_mel import LogMelSource

            return LogMelSource(settings)
        case _:
            assert_never(settings)
