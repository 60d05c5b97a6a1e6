"""Write docs/api.md, the reference of the library, from the docstrings of its public names.

    PYTHON tools/api_page.py

A test compares the page with the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
TYPES = {"File", "Samples", "Sound"}
"""The types of arguments, which the head describes."""
ONLY = {"Bundle": {"path", "sha256", "spec", "manifest", "span_s", "calibration"}}
"""Classes of which the page shows only a part: the rest is not for users of the library."""
HEAD = """# Library reference

`tools/api_page.py` writes this page from the docstrings of the package `auscult`, and a test runs \
its examples.

{about}

- `File`: a path, `str` or `os.PathLike[str]`.
- `Samples`: a numpy array of floats, shape `(n_samples,)`, one channel, full scale +-1.
- `Sound`: a `File` or `Samples`.

In the examples, `healthy_sound` and `faulty_sound` return some seconds of sound of a machine as \
float32, shape `(n_samples,)`, at 16 kHz. \
[examples/library](../examples/library) has programs that use the library.

"""


def page() -> str:
    """The page for the code as it is."""
    import auscult  # noqa: PLC0415 - from this checkout, which main puts on the path

    head = HEAD.format(about=_prose(inspect.getdoc(auscult) or ""))
    things = {name: getattr(auscult, name) for name in auscult.__all__}
    own = {name: one for name, one in things.items() if name not in TYPES}
    return head + "\n".join(_section(name, one) for name, one in own.items())


def _section(name: str, thing: object) -> str:
    """A heading, the declaration, and the docstring."""
    assert inspect.isclass(thing) or inspect.isfunction(thing)  # noqa: S101 - all names are
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    parts = [f"## {name}\n"]
    if isinstance(node, ast.ClassDef):
        is_error = issubclass(thing, Exception) if inspect.isclass(thing) else False
        if not is_error:
            parts.append(_code("\n".join(_members(node))))
        parts.append(_documented(inspect.getdoc(thing) or ""))
        members = (
            [] if is_error else [_member(one) for one in _public(node) if one.name != "__init__"]
        )
        parts += ["\n".join(members) + "\n"] if members else []
    else:
        parts.append(_code(_declaration(node)))
        parts.append(_documented(inspect.getdoc(thing) or ""))
    return "\n".join(parts)


def _members(node: ast.ClassDef) -> list[str]:
    """The class with its public fields, properties and methods, as a list of declarations."""
    lines = [f"class {node.name}:"]
    lines += [f"    {_spaced(ast.unparse(_bare(one)))}" for one in _fields(node)]
    for one in _public(node):
        is_property = any(ast.unparse(by) == "property" for by in one.decorator_list)
        shown = f"{one.name}: {ast.unparse(one.returns)}" if is_property and one.returns else ""
        lines.append(f"    {shown}  # property" if shown else f"    {_declaration(one)}")
    return lines


def _bare(one: ast.AnnAssign) -> ast.AnnAssign:
    """The field without ``field(...)``, which is not for the reader."""
    if isinstance(one.value, ast.Call):
        return ast.AnnAssign(one.target, one.annotation, None, one.simple)
    return one


def _fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    shown = ONLY.get(node.name)
    return [
        one
        for one in node.body
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and (one.target.id in shown if shown else not one.target.id.startswith("_"))
    ]


def _public(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """``__init__``, methods and properties."""
    shown = ONLY.get(node.name)
    return [
        one
        for one in node.body
        if isinstance(one, ast.FunctionDef)
        and (one.name in shown if shown else one.name == "__init__" or one.name[0] != "_")
    ]


def _member(one: ast.FunctionDef) -> str:
    return f"- `{one.name}`: {' '.join(_prose(ast.get_docstring(one) or '').split())}"


def _declaration(node: ast.stmt) -> str:
    """The signature on one line, or an argument a line if it is long."""
    assert isinstance(node, ast.FunctionDef)  # noqa: S101 - the callers choose them
    result = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    arguments = _spaced(ast.unparse(node.args))
    whole = f"def {node.name}({arguments}){result}"
    if len(whole) <= 96:
        return whole
    arguments = re.sub(r", (?=\w+: |\*)", ",\n    ", arguments)
    return f"def {node.name}(\n    {arguments},\n){result}"


def _spaced(code: str) -> str:
    """Defaults as the formatter writes them."""
    return re.sub(r"(: [^=,]+(?:\[[^=]*\])?)=(?=\S)", r"\1 = ", code).replace("'", '"')


def _documented(docstring: str) -> str:
    """A docstring as Markdown: prose, and examples as code."""
    parts = re.split(r"(?m)^(?=>>> )", docstring, maxsplit=1)
    text = _prose(parts[0]) + "\n"
    return f"{text}\n{_code(parts[1].strip())}" if len(parts) > 1 else text


def _prose(text: str) -> str:
    """Paragraphs on one line each, with the code marks of Markdown."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
    marked = [re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line) for line in lines]
    return "\n\n".join(line.replace("``", "`") for line in marked)


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def main() -> int:
    """Write the page."""
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
