"""A table or a key that is in a configuration twice: the message says where, and what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.document import read_document
from monitor.config.toml_repetition import repetition
from monitor.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
MACHINE = '[[machine]]\nid = "a"\n[machine.source]\nkind = "file"\n'


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (
            '[evidence]\nkeep = "on"\n[web]\n[evidence]\n',
            4,
            "the table [evidence] is there twice: put the keys into the first one, in line 1",
        ),
        (
            f"{MACHINE}{MACHINE}[machine.source]\n",
            9,
            "the table [machine.source] is there twice: put the keys into the first one, in line 7",
        ),
        (
            '[mqtt]\nhost = "a"\nport = 1\nhost = "b"\n',
            4,
            "mqtt.host is there twice, also in line 2: remove one of them",
        ),
        (
            f'{MACHINE}kind = "folder"\n',
            5,
            "machine.source.kind is there twice, also in line 4: remove one of them",
        ),
        (
            "[detector]\nhold = { a = 1 }\nhold.b = 2\n",
            3,
            "detector.hold is there twice, also in line 2: remove one of them",
        ),
        ("mqtt = {}\n[mqtt]\n", 2, "mqtt is there twice, also in line 1: remove one of them"),
        (
            "[notify]\n[[notify]]\n",
            2,
            "[[notify]] repeats [notify] of line 1: write [[notify]] in both",
        ),
        (
            "[[notify]]\n[notify]\n",
            2,
            "[notify] repeats [[notify]] of line 1: write [[notify]] in both",
        ),
    ],
)
def test_a_repetition_is_named_with_its_place(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    """A user reads `Cannot declare ('evidence',) twice`, and does not know what to do."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    assert str(caught.value) == f"{path}:{line}: {sentence}"


@pytest.mark.parametrize(
    "mistake", ["port = ", '"\\x" = 1', "host = [", "a = {b = 1, b = 2}", 'x = """', "[a.", "= 1"]
)
def test_an_earlier_mistake_is_reported_itself(tmp_path: Path, mistake: str) -> None:
    """The message would name a line that is correct."""
    path = tmp_path / "config.toml"
    path.write_text(f"{mistake}\n[mqtt]\n[mqtt]\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_document(path)


names = st.sampled_from(["a", "b", "a.b", '"a"', "b.a.c"])
lines = st.one_of(
    names.map("[{}]".format), names.map("[[{}]]".format), names.map("{} = 1".format), st.just("?")
)


@given(st.lists(lines, max_size=8))
def test_only_text_that_is_refused_has_a_repetition(document: list[str]) -> None:
    """A valid file would be refused, or the wrong line would be named."""
    text = "\n".join(document)
    found = repetition(text)
    if found is not None:
        tomllib.loads("\n".join(document[: found[0] - 1]))
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads("\n".join(document[: found[0]]))
