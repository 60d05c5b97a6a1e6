"""Packages import only what docs/architecture.md allows, and no file does what it must not."""

from __future__ import annotations

import ast
import graphlib
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import monitor

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGES = ("auscult", "monitor", "training")
_PUBLIC = vars(monitor)["_HOME"]
"""Public name to the module that has it."""

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
    "tensorboard",
    "training",
}
# Files of the runtime that may load the trainer, and only inside a function.
LAZY_TRAINERS = {
    "auscult/training.py",
    "monitor/cli/bundles.py",
    "monitor/cli/evaluation.py",
    "monitor/cli/training.py",
    "monitor/demo/run.py",
}
# Files whose own standard output or exit status is their interface.
PRINTING = {"monitor/cli/program.py"}
# Programs of their own, started as children of the daemon: they end with an exit status.
CHILDREN = {
    "monitor/sources/microphone/child.py",
    "monitor/offline/ahead_worker.py",
    "training/fleet/worker.py",
}
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}

SIDE_EFFECTS = {
    *("sources", "outbox", "mqtt", "history", "config", "control", "process", "service"),
    *("web", "notify"),
}
"""Packages with devices, network, clocks or threads."""
FORBIDDEN = {
    **dict.fromkeys(
        ["features", "model", "detection", "calibration", "diagnosis", "pipeline"], SIDE_EFFECTS
    ),
    "audio": {"sources", "service", "config", "mqtt", "outbox"},
    "sources": {"model", "mqtt", "config", "outbox", "service", "detection", "calibration"},
    "outbox": {"model", "mqtt", "domain", "config", "service", "sources", "control"},
    "mqtt": {"model", "sources", "config", "service", "control"},
    "config": {"model", "service", "outbox", "control"},
    "control": SIDE_EFFECTS - {"control"} | {"model", "domain"},
    "learning": SIDE_EFFECTS,
    "history": SIDE_EFFECTS - {"history"} | {"model", "domain", "learning", "evidence"},
    "evidence": SIDE_EFFECTS | {"learning"},
    "live": SIDE_EFFECTS | {"learning", "evidence", "detection", "pipeline"},
    "process": SIDE_EFFECTS - {"process"} | {"model", "learning", "commands"},
    "service": {"web", "notify", "commands", "demo", "offline"},
    "notify": {"service", "web", "control", "pipeline", "offline", "commands"},
    "web": {"sources", "outbox", "service", "model", "features", "audio", "pipeline", "detection"}
    | {"calibration", "learning", "offline", "commands", "cli", "demo", "domain"},
    "offline": {"service", "mqtt", "outbox", "config"},
}
"""Package or file at the top of ``monitor`` to what it must not reach, directly or by others."""
FORBIDDEN["model"] = FORBIDDEN["model"] | {"detection", "calibration"}
FORBIDDEN_TO_ALL = {
    "web": {"cli", "commands"},
    "notify": {"cli", "commands"},
    "control": {"service", "commands", "web"},
    "commands": {"cli"},
    "cli": {"__main__"},
}
"""Package to the only packages that may import it."""
TRAINING_FORBIDDEN = {"outbox", "mqtt", "control", "service", "web", "notify", "commands", "cli"}
ALLOWED_TO_THE_LIBRARY = {"monitor.commands.extras"}
"""It names the extra that is missing, in the words of the commands."""
MOST_FILES_AT_THE_TOP = 12


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


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imported(node: ast.AST, file: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}:{node.lineno}: relative import; name the package"
        assert node.module is not None
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        if node.module == "monitor":  # the public names are loaded from where they are
            below = [
                _PUBLIC.get(alias.name, name) for alias, name in zip(node.names, below, strict=True)
            ]
        as_files = [name for name in below if is_file(name)]
        return as_files or [node.module]
    if isinstance(node, ast.Call) and called(node).endswith("import_module"):
        return [ast.literal_eval(one) for one in node.args[:1] if isinstance(one, ast.Constant)]
    return []


@cache
def is_file(module: str) -> bool:
    """Whether the dotted name is a module of this repository, as opposed to a name inside one."""
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import in the file; those only for type checkers are not the program's."""
    file = relative(path)

    def walk(node: ast.AST, at_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(ast.Module(child.orelse, []), at_load)
                continue
            for module in _imported(child, file):
                yield Import(file, getattr(child, "lineno", 0), module, at_load)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_load and not inside)

    return tuple(walk(parsed(path), at_load=True))


def module_of(path: Path) -> str:
    return relative(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def part_of(module: str) -> str:
    """The package below one of ``PACKAGES``, or the file at its top."""
    return module.split(".")[1] if "." in module else ""


@cache
def import_graph(*packages: str) -> dict[str, set[str]]:
    """Each module to the modules of ``packages`` that it imports, also inside functions."""
    modules = {module_of(path): path for path in sources(*packages)}
    return {
        name: {found.module for found in imports_of(path) if found.module in modules}
        for name, path in modules.items()
    }


def reached(graph: dict[str, set[str]], start: str) -> dict[str, list[str]]:
    """Everything that ``start`` imports, directly or through others, with one chain to each."""
    chains: dict[str, list[str]] = {}
    waiting = [[start]]
    while waiting:
        chain = waiting.pop(0)
        for module in sorted(graph.get(chain[-1], ())):
            if module not in chains:
                chains[module] = [*chain, module]
                waiting.append(chains[module])
    return chains


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A chain of imports that ends where it begins; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_an_import_in_a_cycle_is_found() -> None:
    """The two checks below would pass whatever the code imports."""
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_file_imports_itself_through_others() -> None:
    """Files in a cycle can only be understood, loaded and tested together."""
    for package in PACKAGES:
        assert not cycle(import_graph(package))


def test_no_package_imports_itself_through_others() -> None:
    """Packages in a cycle have no boundary between them."""
    for package in PACKAGES:
        graph: dict[str, set[str]] = {}
        for name, imported in import_graph(package).items():
            parts = {part_of(module) for module in imported if module != package}
            graph.setdefault(part_of(name), set()).update(parts - {part_of(name)})
        assert not cycle(graph)


def forbidden_chains(graph: dict[str, set[str]]) -> list[str]:
    """The chains of imports in ``monitor`` that ``FORBIDDEN`` rules out."""
    wrong = []
    for name in graph:
        for module, chain in reached(graph, name).items():
            if part_of(module) in FORBIDDEN.get(part_of(name), set()):
                wrong.append(" -> ".join(chain))
            allowed = FORBIDDEN_TO_ALL.get(part_of(module))
            importer = part_of(chain[-2])
            if allowed is not None and importer not in allowed | {part_of(module)}:
                wrong.append(" -> ".join(chain[-2:]))
    return sorted(set(wrong))


def test_packages_import_only_what_they_may() -> None:
    """The score could depend on a clock or a broker, or the outbox fail with a model."""
    assert not forbidden_chains(import_graph("monitor"))


def test_a_forbidden_import_is_found() -> None:
    """The check above would pass whatever the code imports."""
    graph = {
        "monitor.model.bundle": {"monitor.errors"},
        "monitor.errors": {"monitor.mqtt.topics"},
        "monitor.service.daemon": {"monitor.web.page"},
    }
    assert forbidden_chains(graph) == [
        "monitor.model.bundle -> monitor.errors -> monitor.mqtt.topics",
        "monitor.service.daemon -> monitor.web.page",
    ]


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from monitor import Pipeline", "monitor.pipeline"),
        ("def later():\n    from monitor import load_bundle", "monitor.model.bundle"),
        ("from monitor.mqtt import topics", "monitor.mqtt.topics"),
        ("import monitor.mqtt.topics", "monitor.mqtt.topics"),
        ("importlib.import_module('monitor.mqtt.topics')", "monitor.mqtt.topics"),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import monitor.cli", "monitor.cli"),
    ],
)
def test_every_kind_of_import_is_found(
    source: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forbidden import would pass when it is written in another way."""
    monkeypatch.setattr("tests.test_architecture.relative", str)
    path = tmp_path / "some.py"
    path.write_text(source)
    assert module in {found.module for found in imports_of(path)}


@pytest.mark.parametrize("package", ["training", "auscult"])
def test_training_and_the_library_reach_no_part_of_the_daemon(package: str) -> None:
    """They could not be used, or tested, without a broker or a service manager."""
    graph = import_graph(*PACKAGES)
    wrong = [
        " -> ".join(chain)
        for name in graph
        if name.startswith(package)
        for module, chain in reached(graph, name).items()
        if module.startswith("monitor.")
        and part_of(module) in TRAINING_FORBIDDEN
        and module not in ALLOWED_TO_THE_LIBRARY
    ]
    assert not wrong


def test_only_its_users_import_the_library() -> None:
    """The daemon would depend on the face that it has for others."""
    graph = import_graph(*PACKAGES)
    wrong = [
        f"{name} -> {module}"
        for name, imported in graph.items()
        for module in imported
        if module.startswith("auscult") and not name.startswith("auscult")
    ]
    assert not wrong


def test_sound_and_images_do_not_import_each_other() -> None:
    """A change of the image commands could break the training of monitoring models."""
    graph = import_graph("training")
    wrong = [
        f"{name} -> {module}"
        for name, imported in graph.items()
        for module in imported
        if {part_of(name), part_of(module)} == {"sound", "images"}
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["outbox", "mqtt", "control", "history", "config", "web"])
def test_delivery_needs_no_numpy(package: str) -> None:
    """An alert could be lost because a numerical library does not load."""
    modules = [module_of(path) for path in sources(f"monitor/{package}")]
    loads = "; ".join(f"import {module}" for module in modules)
    script = f"import sys; {loads}; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT)
    assert done.returncode == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_few_files_are_beside_the_packages(package: str) -> None:
    """A reader could no longer see the structure in the list of files."""
    files = [path.name for path in (ROOT / package).glob("*.py")]
    assert len(files) <= MOST_FILES_AT_THE_TOP, sorted(files)


def described_parts() -> set[str]:
    """The packages and files that the tables of docs/architecture.md describe."""
    return set(
        re.findall(
            r"^\| *`((?:monitor|training)/[a-z0-9_]+(?:/|\.py))`",
            ARCHITECTURE.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )


def test_the_architecture_page_describes_every_package() -> None:
    """A reader would miss a package, or look for one that is gone."""
    packages = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for name in PACKAGES
        for path in (ROOT / name).glob("*/__init__.py")
    }
    described = {part for part in described_parts() if part.endswith("/")}
    assert described == packages
    assert all((ROOT / part).exists() for part in described_parts())


def test_the_runtime_never_imports_what_training_needs() -> None:
    """A node without torch could not start, or would spend 200 MB on a library it never uses."""
    runtime = sources("auscult", "monitor")
    found_in_runtime = [found for path in runtime for found in imports_of(path)]
    assert any(is_lazy_training(found) for found in found_in_runtime)
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for found in found_in_runtime
        if found.module.partition(".")[0] in HEAVY and not is_lazy_training(found)
    ]
    assert not wrong, "\n".join(wrong)


def is_lazy_training(found: Import) -> bool:
    """Whether one of the few files loads the trainer inside a function."""
    is_training = found.module.partition(".")[0] == "training"
    return is_training and found.file in LAZY_TRAINERS and not found.at_load


def called(call: ast.Call) -> str:
    """The name of the called function, as written, or the end of a longer expression."""
    name: ast.expr = call.func
    parts: list[str] = []
    while isinstance(name, ast.Attribute):
        parts.append(name.attr)
        name = name.value
    return ".".join(reversed([*parts, name.id if isinstance(name, ast.Name) else ""]))


def calls_of(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_only_the_command_line_prints_and_exits() -> None:
    """A library call that prints would corrupt `--json`, and one that exits would kill a daemon."""
    exits = {"sys.exit", "exit", "quit", "os._exit", "SystemExit"}
    calls = [
        (relative(path), call.lineno, name)
        for path in sources(*PACKAGES)
        for call in calls_of(parsed(path))
        if (name := called(call)) in exits | {"print"}
    ]
    assert {file for file, _, _ in calls} > PRINTING
    wrong = [
        f"{file}:{line}: {name}"
        for file, line, name in calls
        if file not in PRINTING and not (file in CHILDREN and name in exits)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_loop_of_links_is_no_bug() -> None:
    """`Path.resolve` ends with a traceback, also in the daemon; `real_path` does not."""
    wrong = [
        f"{relative(path)}:{call.lineno}: {text}"
        for path in sources(*PACKAGES)
        for call in calls_of(parsed(path))
        if ast.unparse(call.func).endswith(".resolve")
        and "__file__" not in (text := ast.unparse(call))
    ]
    assert not wrong, "\n".join(wrong)


def _unsafe(call: ast.Call) -> str | None:
    """What is wrong with a call that could run text from a file or a message; empty if nothing."""
    name = called(call)
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


def test_no_file_or_message_can_become_a_program() -> None:
    """A bundle or a configuration from a stranger could run code on the node."""
    wrong = [
        f"{found.file}:{found.line} imports {found.module}"
        for path in sources(*PACKAGES)
        for found in imports_of(path)
        if found.module.partition(".")[0] in UNSAFE_MODULES
    ]
    wrong += [
        f"{relative(path)}:{call.lineno}: {trouble}"
        for path in sources(*PACKAGES)
        for call in calls_of(parsed(path))
        if (trouble := _unsafe(call)) is not None
    ]
    assert not wrong, "\n".join(wrong)


def test_every_test_says_what_would_be_broken() -> None:
    """A red test without a sentence leaves the reader to guess what it protects."""
    silent = [
        f"{relative(path)}:{node.lineno}: {node.name}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test")
        and not (ast.get_docstring(node) or "").strip()
    ]
    assert not silent, "no docstring:\n" + "\n".join(silent)


SUPPRESSIONS = {
    r"#\s*(ruff: )?noqa": r"noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* +[-\N{EN DASH}#(] *\S",
    r"#\s*type:\s*ignore": r"type:\s*ignore\[[\w, -]+\] *[-#(].*\w",
}
"""The beginning of a suppression to its whole form."""


def wide_suppressions(path: Path) -> list[str]:
    """The comments that suppress more than one kind of mistake, or do not say why."""
    text = path.read_text(encoding="utf-8")
    if not any(re.search(begins, text) for begins in SUPPRESSIONS):
        return []
    return [
        f"{relative(path)}:{token.start[0]}: {token.string}"
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
        for begins, whole in SUPPRESSIONS.items()
        if re.search(begins, token.string) and not re.search(whole, token.string)
    ]


def test_every_suppression_is_narrow_and_says_why() -> None:
    """A bare suppression also hides the next mistake on its line."""
    files = sources(*PACKAGES, "tests", "benchmarks", "tools", "examples")
    wrong = [line for path in files for line in wide_suppressions(path)]
    assert not wrong, "write the code and, behind ' - ', the reason:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "comment", ["# noqa", "# noqa: S603", "# type: ignore", "# type: ignore[x]"]
)
def test_a_wide_suppression_is_found(
    comment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above would pass whatever the comments say."""
    monkeypatch.setattr("tests.test_architecture.relative", str)
    path = tmp_path / "some.py"
    path.write_text(f"x = 1  {comment}\n")
    assert wide_suppressions(path)
    path.write_text("x = 1  # noqa: S603 - the reason\ny = 1  # type: ignore[x] - the reason\n")
    assert not wide_suppressions(path)


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """`auscult --help` and `auscult check` would take seconds, and a node would need torch."""
    unwanted = sorted(HEAVY - {"training"} | {"onnxruntime", "sounddevice", "amqtt", "apprise"})
    script = (
        "import sys, monitor.cli;"
        f"print(' '.join(name for name in {unwanted} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
