"""The examples of the Python interface run without changes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.tiny_images import write_idx_folder

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("reconstruct_digits.py", "figures are in"),
        ("denoise_fashion.py", "projection"),
        ("one_class_digits.py", "ROC AUC by the full score"),
    ],
)
def test_an_example_runs(
    name: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reader would copy a script that does not work."""
    monkeypatch.setitem(sys.modules, "bm3d", None)  # slow, if it is installed
    data = write_idx_folder(tmp_path / "data", classes=(2, 7))
    monkeypatch.setattr(sys, "argv", [name, str(data), str(tmp_path / "out"), "1"])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert says in capsys.readouterr().out
