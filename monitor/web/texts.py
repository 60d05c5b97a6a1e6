"""The texts of the page, from one file for each language.

``texts/en.json`` has all of them, in groups. A text with the forms ``one`` and ``other`` is chosen
by ``count``. A translation is a file with the same keys; its plural forms are those of the language
(CLDR). The browser has the same file, see ``static/texts.js``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"
DEFAULT_LANGUAGE = "en"
_MOST_RANGES = 20


class Texts:
    """The texts of one language. ``document``: all of them, as JSON.

    What a translation lacks is in English.
    """

    def __init__(self, language: str = DEFAULT_LANGUAGE) -> None:
        self.language = language
        self.document: dict[str, Any] = _read(DEFAULT_LANGUAGE)
        if language != DEFAULT_LANGUAGE:
            self.document = _merged(self.document, _read(language))

    def text(self, key: str, /, **values: object) -> str:
        """The text with this key, such as ``nav.alerts``. Raises ``KeyError`` without one."""
        found: Any = self.document
        for part in key.split("."):
            found = found[part]
        if isinstance(found, dict):
            found = found["one" if values.get("count") == 1 and "one" in found else "other"]
        return str(found).format_map(values)

    def of(self, sentence: str) -> str:
        """A ``Sentence`` in this language; any other text as it is."""
        if isinstance(sentence, Sentence):
            values = sentence.values.items()
            return self.text(
                sentence.key,
                **{name: self.of(one) if isinstance(one, str) else one for name, one in values},
            )
        return sentence


class Sentence(str):
    """A text that is made before it is known who reads it: the English one, and its key."""

    __slots__ = ("key", "values")
    key: str
    values: Mapping[str, Any]

    def __new__(cls, key: str, /, **values: Any) -> Sentence:
        """Raises ``KeyError`` for an unknown key."""
        self = super().__new__(cls, _ENGLISH.text(key, **values))
        self.key, self.values = key, values
        return self


def known_sentence(key: str, text: str, /, **values: Any) -> str:
    """The ``Sentence`` with this key. For an unknown key, the ``text`` of another program."""
    try:
        return Sentence(key, **values)
    except KeyError:
        return as_sentence(text)


def as_sentence(text: str) -> str:
    """The text of another program with a capital and a full stop; a ``Sentence`` as it is."""
    if isinstance(text, Sentence) or not text:
        return text
    first = text.split(maxsplit=1)[0]
    begun = text[0].upper() + text[1:] if first.rstrip(",:;").isalpha() else text
    return begun if begun[-1] in ".!?" else f"{begun}."


def sentence_document(sentence: str) -> dict[str, Any]:
    """A sentence as JSON. ``key`` is empty for the text of another program."""
    if isinstance(sentence, Sentence):
        return {"text": str(sentence), "key": sentence.key, "values": dict(sentence.values)}
    return {"text": sentence, "key": "", "values": {}}


class Languages:
    """All languages that have a file."""

    def __init__(self) -> None:
        names = sorted(path.stem for path in FOLDER.glob("*.json"))
        self._texts = {name.lower(): Texts(name) for name in names}

    def accepted(self, header: str) -> Texts:
        """The language that suits ``Accept-Language`` best (RFC 4647, lookup), or English."""
        for wanted in _ranges(header):
            if wanted == "*":
                break
            parts = wanted.split("-")
            for n_parts in range(len(parts), 0, -1):
                if (found := self._texts.get("-".join(parts[:n_parts]))) is not None:
                    return found
        return self._texts[DEFAULT_LANGUAGE]


def _ranges(header: str) -> list[str]:
    """What is accepted, the most wanted first."""
    found = []
    for one in header.lower().split(",")[:_MOST_RANGES]:
        name, *parameters = (part.strip() for part in one.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(value.strip())
        if name and quality > 0.0:
            found.append((quality, name))
    return [name for _, name in sorted(found, key=lambda one: -one[0])]


def _quality(text: str) -> float:
    """From 0 to 1; 0 for what is no quality."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def _read(language: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return document


def _merged(english: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(other)
    for key, value in english.items():
        if key not in other:
            found[key] = value
        elif isinstance(value, dict) and isinstance(other[key], dict) and "other" not in value:
            found[key] = _merged(value, other[key])
    return found


_ENGLISH = Texts()
