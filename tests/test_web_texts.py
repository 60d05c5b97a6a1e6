"""The texts of the web page: every one that is used exists, and every one that exists is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.control.labels import LABELS
from monitor.notify.wording import PROVISIONAL
from monitor.web.texts import Texts

WEB = Path(__file__).resolve().parent.parent / "monitor" / "web"
USED = re.compile(
    r"""\b(?:t|text|word|Sentence|known_sentence)\(\s*f?["'`]([a-z_.\-{}$]+)["'`]""",
    re.IGNORECASE,
)
"""A call with a key; ``${name}`` or ``{name}`` in it stands for any part."""
PLURALS = {"one", "other"}


def keys(node: dict[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys of all texts; the forms of a plural are one text."""
    for name, value in node.items():
        if isinstance(value, str) or set(value) <= PLURALS:
            yield above + name
        else:
            yield from keys(value, f"{above}{name}.")


def used_keys() -> set[str]:
    """The keys in scripts, templates and modules, as regular expressions."""
    files = [*WEB.rglob("static/*.js"), *WEB.rglob("static/pages/*.js")]
    files += [*WEB.rglob("templates/*.html"), *WEB.glob("*.py")]
    found = {key for path in files for key in USED.findall(path.read_text(encoding="utf-8"))}
    assert "common.skip" in found
    return {_pattern(key) for key in found}


def _pattern(key: str) -> str:
    fixed = re.sub(r"([.\-])", r"\\\1", key)
    any_part = re.sub(r"\$?\{.*?\}", r"[^.]+", fixed)
    return any_part + "[^.]+" if key.endswith((".", "_")) else any_part


def test_every_key_has_a_text() -> None:
    """The page would show the name of a key instead of a sentence."""
    existing = list(keys(Texts().document))
    for key in used_keys():
        is_group = "." not in key.replace(r"\.", ".")
        pattern = rf"{key}\..+" if is_group else key
        assert any(re.fullmatch(pattern, one) for one in existing), key


def test_every_text_is_used() -> None:
    """Translators would translate texts that nobody reads."""
    patterns = used_keys()
    groups = {key for key in patterns if "." not in key.replace(r"\.", ".")}
    for one in keys(Texts().document):
        is_used = one.partition(".")[0] in groups or any(
            re.fullmatch(pattern, one) for pattern in patterns
        )
        assert is_used, one


def test_labels_have_the_words_of_the_commands() -> None:
    """The page would promise another effect of a label than the command and the manual."""
    for label, (meaning, effect) in LABELS.items():
        expected = f"{meaning[0].upper()}{meaning[1:]}. {effect}"
        assert Texts().text(f"labelling.{label}_effect") == expected


def test_a_threshold_that_is_not_tested_is_called_so_as_in_messages() -> None:
    """A person would read of a fault of the threshold in a message, and not on the page."""
    assert Texts().text("common.provisional") == PROVISIONAL


@pytest.mark.parametrize(("count", "expected"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_a_number_chooses_singular_or_plural(count: int, expected: str) -> None:
    """The page would say "1 days"."""
    assert Texts().text("length.days", count=count) == expected


def test_a_missing_value_is_an_error_on_the_server() -> None:
    """A page would show a name in braces."""
    with pytest.raises(KeyError):
        Texts().text("length.hours")
