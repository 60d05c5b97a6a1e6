"""What is installed: declared packages, pinned versions, the wheel, the set-up tools."""

from __future__ import annotations

import fcntl
import http.server
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pin_constraints
import pytest
import setup_environment
import system_packages
import torchaudio_importable
from packaging.requirements import Requirement

from tests.declarations import PROJECT, ROOT, declared, imported
from tests.wheels import build_wheel

GROUPS = {
    "run": (["auscult", "monitor"], ["run"]),
    "train": (["training"], ["run", "train"]),
    "demo": (["monitor/demo"], ["run", "demo"]),
    "web": (["monitor/web"], ["run", "web"]),
    "notify": (["monitor/notify"], ["run", "notify"]),
    "fleet": (["training/fleet"], ["run", "train", "fleet"]),
    "dev": (
        ["tests", "benchmarks", "tools"],
        ["run", "train", "demo", "web", "notify", "fleet", "dev"],
    ),
}
"""Group of dependencies to the folders that it is for, and to all groups that these may use."""
OF_EXTRAS = ("monitor/demo", "monitor/web", "monitor/notify", "training/fleet")
"""Folders that need an extra beside that of their package."""
NOT_IMPORTED = {
    "pywavelets": "the wavelet denoiser of scikit-image imports it",
    "tensorboard": "torch.utils.tensorboard imports it",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "mypy": "a program",
    "ruff": "a program",
    "types-jsonschema": "read by mypy",
    "types-psutil": "read by mypy",
    "types-pyyaml": "read by mypy",
}
"""Declared packages that their part of the code does not import, with the reason to keep them."""


def requirements() -> list[Requirement]:
    """All requirements in pyproject.toml, including extras."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def pins() -> dict[str, str]:
    """constraints.txt: normalised name to version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "constraints.txt contains pins only"
    return {pin_constraints.normalised(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_has_a_reason_and_a_pin_in_its_range(requirement: Requirement) -> None:
    """A package would be installed without a reason or in an untested version."""
    reasons = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "decisions").glob("*.md")
    )
    assert f"`{requirement.name}`" in reasons
    version = pins()[pin_constraints.normalised(requirement.name)]
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_imported_is_declared(group: str) -> None:
    """A user who installs an extra would lack a package that its commands import."""
    folders, groups = GROUPS[group]
    allowed = set[str]().union(*map(declared, groups))
    found = imported(*folders, without=OF_EXTRAS if group in {"run", "train"} else ())
    assert not {name: file for name, file in found.items() if name not in allowed}


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_declared_is_imported(group: str) -> None:
    """Every node would install packages that only a test, or nothing at all, needs."""
    folders, _ = GROUPS[group]
    found = declared(group) & {*imported(*folders)}
    assert declared(group) == found | (declared(group) & {*NOT_IMPORTED})
    assert not found & {*NOT_IMPORTED}


def test_examples_need_the_trainer_at_most() -> None:
    """An example would fail for a user who installed what its page names."""
    assert {*imported("examples")} <= declared("run") | declared("train")


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests would run with other versions than users install."""
    extras = frozenset(PROJECT["optional-dependencies"])
    installed = pin_constraints.closure("auscult", extras)
    del installed["auscult"]
    pinned = pins()
    assert {name: pinned.get(name) for name in installed} == installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel."""
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel")))


def test_the_wheel_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """An installed Auscult would lack files that are in the checkout."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for name in setup_environment.SOURCES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_wheel_declares_command_licence_and_extras(wheel: zipfile.ZipFile) -> None:
    """The wheel would lack the command `auscult`, the licence or an extra."""
    names = wheel.namelist()
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"auscult = monitor.__main__:main" in wheel.read(entry_points)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    extras = {"train", "demo", "web", "notify", "fleet", "dev"}
    assert set(re.findall(r"Provides-Extra: (\S+)", metadata)) == extras


def pages() -> list[str]:
    """README.md, the changelog, docs/ and the notes on deployment."""
    names = ["README.md", "CHANGELOG.md", "deploy/README.md"]
    found = (path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".yaml"})
    return [*names, *sorted(path.relative_to(ROOT).as_posix() for path in found)]


@pytest.mark.parametrize("page", pages())
def test_no_page_has_a_placeholder(page: str) -> None:
    """A page would have a placeholder instead of a result."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r".*@@.*", text) == []
    assert re.findall(r"<!-- (\S+) -->\s*<!-- /\1 -->", text) == []


def test_continuous_integration_runs_make_test(tmp_path: Path) -> None:
    """Continuous integration would check less than `make test`, or ignore that it fails."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$PWD" "$@"\nexit 3\n', encoding="utf-8")
    make.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
    )
    assert done.stdout.split() == [str(ROOT), "--no-print-directory", "test"]
    assert done.returncode == 3


@pytest.mark.slow
def test_torchaudio_works_beside_the_installed_torch() -> None:
    """torchaudio could not be imported with the installed build of torch."""
    assert torchaudio_importable.import_error(sys.executable) is None


def test_a_disabled_extension_is_not_found_and_can_be_enabled_again(tmp_path: Path) -> None:
    """torchaudio's extension would be missing after a change to torch for CUDA."""
    extension = tmp_path / "_torchaudio.abi3.so"
    extension.write_bytes(b"compiled")
    torchaudio_importable.disable(tmp_path)
    assert torchaudio_importable.extensions(tmp_path) == []
    torchaudio_importable.enable(tmp_path)
    assert extension.read_bytes() == b"compiled"
    torchaudio_importable.disable(tmp_path)
    extension.write_bytes(b"newer")
    torchaudio_importable.enable(tmp_path)
    assert extension.read_bytes() == b"newer"
    assert torchaudio_importable.extensions(tmp_path) == [extension]


class _Index(http.server.BaseHTTPRequestHandler):
    """A package index that answers, except below /forbidden."""

    def do_GET(self) -> None:
        self.send_response(403 if self.path.startswith("/forbidden") else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index_url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_torch_index_is_used_only_where_it_answers(index_url: str) -> None:
    """Behind a firewall, the set-up would fail although the default index has torch."""
    assert setup_environment.index_answers(index_url)
    assert not setup_environment.index_answers(index_url + "/forbidden")
    assert not setup_environment.index_answers("http://127.0.0.1:1")
    assert not setup_environment.index_answers("no address")


def test_an_unreachable_torch_index_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user would not know why the installation downloads gigabytes."""
    installed: list[tuple[str, ...]] = []
    monkeypatch.setattr(setup_environment, "installed_version", lambda *_: None)
    monkeypatch.setattr(
        setup_environment, "pip_install", lambda _, *arguments: installed.append(arguments)
    )
    setup_environment.install_torch(Path("python"), "http://127.0.0.1:1")
    assert capsys.readouterr().err == (
        "CPU index http://127.0.0.1:1 not reachable: "
        "using the default index (possibly the larger CUDA build)\n"
    )
    ((*options, torch, torchaudio),) = installed
    assert options == ["--no-deps"]
    assert torch.startswith("torch==")
    assert torchaudio.startswith("torchaudio==")


def test_a_missing_venv_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python would leave an incomplete virtual environment and a page of text."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(system_packages, "apt_install", lambda _: False)
    with pytest.raises(setup_environment.SetupError, match=r"install python3\.\d+-venv"):
        setup_environment.make_venv(tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_missing_system_packages_are_named_exactly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A developer who may not install packages would only see failing tests."""
    absent = system_packages.Need("a-package", lambda: False)
    present = system_packages.Need("another", lambda: True)
    monkeypatch.setitem(system_packages.NEEDS, "test", (absent, present))
    monkeypatch.setattr(system_packages, "apt_install", lambda _: False)
    assert system_packages.main(["test"]) == 0
    said = capsys.readouterr().err
    assert "sudo apt-get install a-package\n" in said
    assert "another" not in said


@pytest.fixture
def locked_apt(tmp_path: Path) -> Iterator[tuple[list[str], Callable[[], None]]]:
    """An update of the real apt in a folder of its own whose lock is held, and its release."""
    if not system_packages.has_program("apt-get"):
        pytest.skip("apt-get is not installed")
    for folder in ("lists/partial", "archives/partial", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    folders = {"State::lists": "lists", "State::status": "status", "Cache": "", "Etc": "etc"}
    options = [
        part
        for name, below in folders.items()
        for part in ("-o", f"Dir::{name}={tmp_path / below}")
    ]
    with (tmp_path / "lists" / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        command = ["env", "LC_ALL=C", "apt-get", "-qq", *options, "update"]
        yield command, lambda: fcntl.lockf(lock, fcntl.LOCK_UN)


def test_the_installation_waits_while_another_program_uses_apt(
    locked_apt: tuple[list[str], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a new Ubuntu, which installs its own updates first, packages would stay missing."""
    command, release = locked_apt
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            release()

    monkeypatch.setattr("time.sleep", wait)
    assert system_packages.apt_succeeds(command)
    assert len(waits) == 2
    assert capsys.readouterr().err.count("another program uses apt: waiting") == 1


def test_the_installation_does_not_wait_for_apt_without_end(
    locked_apt: tuple[list[str], Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that never finishes with apt would stop the installation."""
    monkeypatch.setattr(system_packages, "WAIT_FOR_APT_S", 0.0)
    assert not system_packages.apt_succeeds(locked_apt[0])
