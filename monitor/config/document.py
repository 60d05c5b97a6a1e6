"""A TOML file and ``AUSCULT_`` variables to a validated model; mistakes have a position."""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from monitor.config.environment import overlay
from monitor.config.messages import explain
from monitor.config.toml_hints import hint
from monitor.config.toml_lines import KeyPath, key_lines, line_of
from monitor.config.toml_repetition import repetition
from monitor.errors import ConfigError, MissingInputError
from monitor.text.regular_files import read_regular

Model = TypeVar("Model", bound=BaseModel)

_MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConfigDocument:
    """The values of a configuration, and where each of them is set.

    ``path``: the file, None for a configuration from the environment alone.
    """

    path: Path | None
    values: dict[str, Any] = field(repr=False)
    lines: dict[KeyPath, int] = field(repr=False)
    origin: dict[KeyPath, str] = field(repr=False)
    not_json: dict[KeyPath, str] = field(default_factory=dict, repr=False)
    """Why a value from the environment is text and not a list or table."""

    def where(self, key: KeyPath) -> str:
        """The environment variable that sets a key, or the file and the line."""
        for depth in range(len(key), 0, -1):
            if variable := self.origin.get(key[:depth]):
                return variable
        line = line_of(self.lines, key)
        return f"{self.path}:{line}" if line else str(self.path or "environment")

    def put_environment(
        self,
        environ: Mapping[str, str],
        tables: Iterable[str],
        verbatim: Container[KeyPath] = (),
    ) -> None:
        """Replace values by the variables for one of ``tables``. Raises as ``overlay``."""
        self.origin.update(overlay(self.values, environ, tables, verbatim, self.not_json))

    def validated(self, model: type[Model]) -> Model:
        """The values as ``model``. Raises ``ConfigError`` with a line for each mistake."""
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            lines = explain(error, model, self.values, self.where, self.not_json)
            raise ConfigError(*lines) from None


def read_document(path: Path | None, ignored_tables: Iterable[str] = ()) -> ConfigDocument:
    """The file without ``ignored_tables``; empty if ``path`` is None.

    Raises ``MissingInputError`` when the file does not exist and ``ConfigError`` when it is
    not TOML.
    """
    if path is None:
        return ConfigDocument(None, {}, {}, {})
    text = _read(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for too many digits or brackets
        if (repeated := repetition(text)) is not None:
            line, sentence = repeated
            raise ConfigError(f"{path}:{line}: {sentence}") from None
        raise ConfigError(f"{path}: not valid TOML: {error}{hint(text, str(error))}") from None
    for table in ignored_tables:
        values.pop(table, None)
    return ConfigDocument(path, values, key_lines(text), {})


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise MissingInputError(f"{path}: is a folder; name the configuration file in it")
        if not path.exists():
            raise MissingInputError(f"{path}: no such configuration file")
        return read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text (at byte {error.start}): save it as UTF-8"
        ) from None
    except ValueError:
        raise ConfigError(
            f"{path}: larger than {_MAX_FILE_BYTES} bytes, not a configuration"
        ) from None
    except OSError as error:
        raise MissingInputError(f"{path}: {error.strerror}") from error
