"""Error messages name the right line."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.toml_lines import KeyPath, key_lines, line_of

AWKWARD = '''\
# [not.a.table]
top = "a # b = [" # = [
[mqtt]
"host" = 'x]'
list = [  # [[
  "a]", # key = 1
  "b",
]
text = """
[[machine]]
fake = 1 \\"""
"""
after.dotted = { a = 1, b = "}" }

 [[machine]]
id = 1
  [machine.source]
  kind = "file"
[[machine]]
id = 2
[[machine.source.faults]]
onset = 1
[[machine.source.faults]]
onset = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("mqtt",), 3),
        (("mqtt", "host"), 4),
        (("mqtt", "list"), 5),
        (("mqtt", "text"), 9),
        (("mqtt", "after", "dotted"), 13),
        (("machine", 0), 15),
        (("machine", 0, "source"), 17),
        (("machine", 0, "source", "kind"), 18),
        (("machine", 1, "id"), 20),
        (("machine", 1, "source", "faults", 1, "onset"), 24),
    ],
)
def test_keys_have_the_lines_of_an_editor(path: KeyPath, line: int) -> None:
    """Strings, comments and arrays that look like tables would give wrong line numbers."""
    tomllib.loads(AWKWARD)
    assert line == key_lines(AWKWARD)[path]


def test_a_key_inside_an_inline_table_has_the_line_of_the_table() -> None:
    """A mistake inside an inline table would be reported without a line."""
    assert line_of(key_lines(AWKWARD), ("mqtt", "after", "dotted", "a")) == 13


def test_no_line_is_invented() -> None:
    """A key that is not in the file would be reported with a line."""
    assert line_of(key_lines(AWKWARD), ("detector", "hysteresis")) is None


keys = st.text("abcXYZ09_-", min_size=1, max_size=5)
values = st.sampled_from(
    ['"#x"', "'[['", "1", "[\n1,\n# ]\n2]", '"""\n[a]\n"""', "{ a = 1 }", "true"]
)


@given(st.lists(st.tuples(keys, values, st.integers(0, 2)), unique_by=lambda item: item[0]))
def test_every_key_of_a_valid_document_is_found_on_its_line(
    items: list[tuple[str, str, int]],
) -> None:
    """Keys after some values would not be found."""
    text, expected = "", {}
    for key, value, blank in items:
        text += "\n" * blank
        expected[key] = text.count("\n") + 1
        text += f"{key} = {value} # note [\n"
    document: dict[str, Any] = tomllib.loads(text)
    assert set(expected) == set(document)
    assert {(key,): line for key, line in expected.items()} == key_lines(text)
