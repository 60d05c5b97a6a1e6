"""Keeping the bundle that is about to be replaced."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.errors import BadInputError
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.replacement import complete_folder, keep_previous, replace_files
from tests.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = make_bundle(tmp_path_factory.mktemp("kept") / "pump.bundle")
    (bundle.path / "tensorboard").mkdir()
    (bundle.path / "tensorboard" / "events").write_bytes(b"scalars")
    return bundle


def test_the_bundle_before_is_kept_whole_beside_it(bundle: Bundle) -> None:
    """A replaced bundle is lost, or its copy is refused."""
    first, second = keep_previous(bundle.path), keep_previous(bundle.path)
    assert [one.name for one in (first, second)] == [
        "pump.bundle.previous-1",
        "pump.bundle.previous-2",
    ]
    assert load_bundle(first).sha256 == load_bundle(bundle.path).sha256 == bundle.sha256
    assert (first / "tensorboard" / "events").read_bytes() == b"scalars"


def test_a_bundle_is_kept_by_a_relative_path(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path that a command prints does not exist."""
    monkeypatch.chdir(bundle.path.parent)
    assert load_bundle(keep_previous(Path("pump.bundle"))).sha256 == bundle.sha256
    monkeypatch.chdir(bundle.path)
    assert load_bundle(keep_previous(Path())).sha256 == bundle.sha256


def test_an_interrupted_copy_leaves_no_bundle_behind(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a copy is treated as the previous bundle."""
    before = sorted(bundle.path.parent.iterdir())

    def fail(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(OSError, match="No space left"):
        keep_previous(bundle.path)
    assert sorted(bundle.path.parent.iterdir()) == before
    monkeypatch.undo()
    (bundle.path.parent / "pump.bundle.previous-9.part").mkdir()
    assert load_bundle(keep_previous(bundle.path)).sha256 == bundle.sha256


def test_a_new_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    """A reader of the new bundle finds half of it."""
    target = tmp_path / "new.bundle"

    def fill(folder: Path, error: Exception | None = None) -> None:
        (folder / "bundle.json").write_text("{}")
        assert not target.exists()
        if error:
            raise error

    with pytest.raises(BadInputError), complete_folder(target) as folder:
        fill(folder, BadInputError("too little sound"))
    assert list(tmp_path.iterdir()) == []
    with complete_folder(target) as folder:
        fill(folder)
    assert (target / "bundle.json").read_text() == "{}"


def test_a_full_disk_leaves_the_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training that replaces a bundle on a full disk leaves a node without one."""
    before = {"a": b"old a", "last": b"old"}
    replace_files(tmp_path, before, last="last")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith("last"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            replace_files(tmp_path, {"a": b"new a", "last": b"new"}, last="last")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_a_command_that_was_killed_are_removed(tmp_path: Path) -> None:
    """They would stay in the bundle, and be copied with it each time it is replaced."""
    abandoned, in_use = tmp_path / "a.new-999999999", tmp_path / f"a.new-{os.getpid()}"
    for path in (abandoned, in_use, tmp_path / "a.new-name"):
        path.touch()
    replace_files(tmp_path, {"b": b"content"}, last="b")
    assert {path.name for path in tmp_path.iterdir()} == {in_use.name, "a.new-name", "b"}


def test_commands_at_the_same_time_keep_a_copy_each(bundle: Bundle) -> None:
    """One of two calibrations ends with a traceback, or with the copy of the other."""
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(keep_previous, [bundle.path] * 4))
    assert len(set(kept)) == 4
    for path in kept:
        assert load_bundle(path).sha256 == bundle.sha256
    assert not list(bundle.path.parent.glob("*.part-*"))
