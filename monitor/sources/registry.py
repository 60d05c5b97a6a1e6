"""Settings to a source."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from monitor.sources.command import CommandSource
from monitor.sources.file import FileSource
from monitor.sources.folder.source import FolderSource
from monitor.sources.log_mel import LogMelSource
from monitor.sources.microphone.source import MicrophoneSource
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
from monitor.sources.simulated.source import SimulatedSource


def open_source(settings: SourceSettings, ledger: Path | None = None) -> Source:
    """The source that ``settings`` describe. It opens nothing before ``blocks`` is called.

    ``ledger``: the file in which a folder source stores what it has read. None reads every
    recording after each start.
    """
    match settings:
        case FileSettings():
            return FileSource(settings)
        case FolderSettings():
            return FolderSource(settings, ledger)
        case CommandSettings():
            return CommandSource(settings)
        case MicrophoneSettings():
            return MicrophoneSource(settings)
        case SimulatedSettings():
            return SimulatedSource(settings)
        case LogMelSettings():
            return LogMelSource(settings)
        case _:
            assert_never(settings)
