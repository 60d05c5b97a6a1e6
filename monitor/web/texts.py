"""The texts of the page, from one file for each language.

``texts/en.json`` has all of them, in groups. A text with the forms ``one`` and ``other`` is chosen
by ``count``. A translation is a file with the same keys; its plural forms are those of the language
(CLDR). The browser has the same file, see ``static/texts.js``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "texts"
DEFAULT_LANGUAGE = "en"


class Texts:
    """The texts of one language. ``document``: all of them, as JSON."""

    def __init__(self, language: str = DEFAULT_LANGUAGE) -> None:
        self.language = language
        content = (_FOLDER / f"{language}.json").read_text(encoding="utf-8")
        self.document: dict[str, Any] = json.loads(content)

    def text(self, key: str, **values: object) -> str:
        """The text with this key, such as ``nav.alerts``. Raises ``KeyError`` without one."""
        found: Any = self.document
        for part in key.split("."):
            found = found[part]
        if isinstance(found, dict):
            found = found["one" if values.get("count") == 1 and "one" in found else "other"]
        return str(found).format_map(values)
