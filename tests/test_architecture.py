"""The house stands as docs/architecture.md draws it: floors, and what no file may do."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DRAWING = ROOT / "docs" / "architecture.md"
PACKAGES = ("monitor", "training")

HEAVY = {
    "torch",
    "torchaudio",
    "librosa",
    "scipy",
    "sklearn",
    "skimage",
    "matplotlib",
    "safetensors",
    "onnx",
    "onnxscript",
    "tensorboard",
    "training",
}
# Files of the runtime that may load the trainer, and only inside a function.
LAZY_TRAINERS = {"monitor/cli.py", "monitor/demo.py"}
# Files whose own standard output or exit status is their interface.
SPEAKERS = {"monitor/cli.py", "monitor/__main__.py", "training/cli.py"}
# Programs of their own, started as children of the daemon: they end with an exit status.
CHILDREN = {"monitor/sources/microphone_child.py"}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# What training may use of the runtime besides the floors up to this one.
TRAINING_FLOOR = 3.99
TRAINING_EXTRA = {"pipeline", "replay"}


@dataclass(frozen=True)
class Import:
    """One imported module as written in `file`, and whether it happens when the file is loaded."""

    file: str
    line: int
    module: str
    at_load: bool


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources(*packages: str) -> list[Path]:
    return [path for name in packages for path in sorted((ROOT / name).rglob("*.py"))]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imported(node: ast.AST, file: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}:{node.lineno}: relative import; name the package"
        assert node.module is not None
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        as_files = [name for name in below if is_file(name)]
        return as_files or [node.module]
    return []


def is_file(module: str) -> bool:
    """Whether the dotted name is a module of this repository, as opposed to a name inside one."""
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports_of(path: Path) -> Iterator[Import]:
    """Every import in the file; those only for type checkers are not the program's."""

    def walk(node: ast.AST, at_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            for module in _imported(child, relative(path)):
                yield Import(relative(path), getattr(child, "lineno", 0), module, at_load)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_load and not inside)

    yield from walk(parsed(path), at_load=True)


def drawn_floors() -> dict[str, float]:
    """The table of docs/architecture.md: file under monitor/ to floor."""
    rows = re.findall(
        r"^\| *([0-9.]+) *\| *`([^`]+\.py)` *\|", DRAWING.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows, f"no floors found in {DRAWING}"
    assert len(rows) == len({file for _, file in rows}), f"a file stands twice in {DRAWING}"
    return {file: float(floor) for floor, file in rows}


def file_of(module: str) -> str | None:
    """The file under monitor/ that a dotted name stands for; None outside the runtime."""
    if module != "monitor" and not module.startswith("monitor."):
        return None
    parts = module.split(".")[1:]
    package = ROOT.joinpath("monitor", *parts)
    if package.is_dir():
        return "/".join([*parts, "__init__.py"])
    return "/".join(parts) + ".py"


def runtime_files() -> set[str]:
    return {path.relative_to(ROOT / "monitor").as_posix() for path in sources("monitor")}


def test_every_file_of_the_runtime_has_a_floor() -> None:
    """A file outside the drawing would be bound by no rule, and the drawing would lie."""
    unlisted = runtime_files() - drawn_floors().keys()
    assert not unlisted, (
        f"give each a row '| floor | `file` | its one responsibility |' in docs/architecture.md: "
        f"{sorted(unlisted)}"
    )


def test_the_drawing_shows_no_file_that_is_gone() -> None:
    """A reader would look for a room that does not exist."""
    gone = drawn_floors().keys() - runtime_files()
    assert not gone, f"remove from docs/architecture.md: {sorted(gone)}"


@pytest.mark.parametrize("path", sources("monitor"), ids=relative)
def test_a_file_imports_only_from_floors_below(path: Path) -> None:
    """Cycles and shortcuts between rooms would make the straight line of the data a tangle."""
    floors = drawn_floors()
    own = floors[path.relative_to(ROOT / "monitor").as_posix()]
    wrong = []
    for found in imports_of(path):
        file = file_of(found.module)
        if file is None:
            continue
        assert file in floors, f"{found.file}:{found.line} imports {found.module}, which is nowhere"
        if floors[file] >= own:
            wrong.append(
                f"{found.file}:{found.line} on floor {own:g} imports {file} on {floors[file]:g}"
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sources("monitor"), ids=relative)
def test_the_runtime_never_imports_what_training_needs(path: Path) -> None:
    """A node without torch could not start, or would spend 200 MB on a library it never uses."""
    lazy_allowed = relative(path) in LAZY_TRAINERS
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for found in imports_of(path)
        if found.module.partition(".")[0] in HEAVY
        and not (
            lazy_allowed and not found.at_load and found.module.partition(".")[0] == "training"
        )
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sources("training"), ids=relative)
def test_training_uses_only_the_lower_floors_of_the_runtime(path: Path) -> None:
    """Training that reaches into the daemon could not be used, or tested, without one."""
    floors = drawn_floors()
    wrong = []
    for found in imports_of(path):
        file = file_of(found.module)
        if file is None or file == "__init__.py":
            continue
        if floors[file] > TRAINING_FLOOR and file.removesuffix(".py") not in TRAINING_EXTRA:
            wrong.append(f"{found.file}:{found.line} imports {file} on floor {floors[file]:g}")
    assert not wrong, "\n".join(wrong)


def calls_of(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=relative)
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    """A library call that prints would corrupt `--json`, and one that exits would kill a daemon."""
    file = relative(path)
    if file in SPEAKERS:
        return
    tree = parsed(path)
    wrong = [
        f"{file}:{call.lineno}: {ast.unparse(call.func)}"
        for call in calls_of(tree)
        if ast.unparse(call.func) in {"print", "sys.exit", "exit", "quit", "os._exit"}
        or (ast.unparse(call.func) == "SystemExit")
    ]
    if file in CHILDREN:
        wrong = [line for line in wrong if line.endswith(": print")]
    assert not wrong, "\n".join(wrong)


def _unsafe(call: ast.Call) -> str | None:
    """What is wrong with a call that could run what a file or a message says, if anything."""
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}:
        return f"{name} runs text as a program"
    if name in {"np.load", "numpy.load"} and options.get("allow_pickle") != "False":
        return "np.load without allow_pickle=False reads pickles"
    if name == "torch.load" and options.get("weights_only") != "True":
        return "torch.load without weights_only=True reads pickles"
    if name in {"np.save", "numpy.save"} and options.get("allow_pickle") != "False":
        return "np.save without allow_pickle=False may write a pickle"
    if options.get("shell") == "True":
        return "shell=True hands a command line to a shell"
    return None


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=relative)
def test_no_file_or_message_can_become_a_program(path: Path) -> None:
    """A bundle or a configuration from a stranger could run code on the node."""
    file = relative(path)
    wrong = [
        f"{file}:{found.line} imports {found.module}"
        for found in imports_of(path)
        if found.module.partition(".")[0] in UNSAFE_MODULES
    ]
    for call in calls_of(parsed(path)):
        trouble = _unsafe(call)
        if trouble is not None:
            wrong.append(f"{file}:{call.lineno}: {trouble}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=relative)
def test_every_test_says_what_would_be_broken(path: Path) -> None:
    """A red test without a sentence leaves the reader to guess what it protects."""
    silent = [
        f"{relative(path)}:{node.lineno}: {node.name}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test")
        and not (ast.get_docstring(node) or "").strip()
    ]
    assert not silent, "no docstring:\n" + "\n".join(silent)


@pytest.mark.parametrize(
    "path", sources(*PACKAGES, "tests", "benchmarks", "tools", "examples"), ids=relative
)
def test_every_suppression_is_narrow_and_says_why(path: Path) -> None:
    """A bare suppression hides the next mistake on its line as well."""
    wrong = []
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        comment = token.string
        where = f"{relative(path)}:{token.start[0]}: {comment}"
        if re.search(r"#\s*(ruff: )?noqa", comment) and not re.search(
            r"noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* +[-\N{EN DASH}#(] *\S", comment
        ):
            wrong.append(where)
        if re.search(r"#\s*type:\s*ignore", comment) and not re.search(
            r"type:\s*ignore\[[\w, -]+\] *[-#(].*\w", comment
        ):
            wrong.append(where)
    assert not wrong, "write the code and, behind ' - ', the reason:\n" + "\n".join(wrong)


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """`auscult --help` and `auscult check` would take seconds, and a node would need torch."""
    unwanted = sorted(HEAVY - {"training"} | {"onnxruntime", "sounddevice", "amqtt"})
    script = (
        "import sys, monitor.cli;"
        f"print(' '.join(name for name in {unwanted} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
