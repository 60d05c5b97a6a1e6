"""Errors of pydantic as messages that name file, line and key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.toml_lines import KeyPath

_PLAIN = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "finite_number": "must be a finite number",
}
_CONTAINERS = {
    "list_type": "must be a list in square brackets",
    "tuple_type": "must be a list in square brackets",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
}
_NAME_KEYS = {"machine": "id", "notify": "name"}
"""The tables of which there are several, and the key by which messages call them."""
_MOST_SHOWN_CHARS = 80
_COMMAND = 'must be a list of texts, for example ["ffmpeg", "-i", ...]'
_CONTAINER_TEXTS = frozenset((*_CONTAINERS.values(), _COMMAND))
_LIMITS = {
    "greater_than_equal": ("must be at least {:g}", "ge"),
    "greater_than": ("must be greater than {:g}", "gt"),
    "less_than_equal": ("must be at most {:g}", "le"),
    "less_than": ("must be less than {:g}", "lt"),
    "string_too_short": ("must have at least {} characters", "min_length"),
    "string_too_long": ("must have at most {} characters", "max_length"),
}
_WITHOUT_INPUT = {"missing", "string_too_short", "string_too_long"}
"""The input is long, may be secret, or does not help."""


def explain(
    error: ValidationError,
    root: type[BaseModel],
    document: dict[str, Any],
    where: Callable[[KeyPath], str],
    not_json: Mapping[KeyPath, str],
) -> list[str]:
    """One line for each mistake: the position, the key, and what would be right.

    ``where`` names the file and line, or the environment variable, of a path. ``not_json``
    has the reason for a text that should be a list or a table.
    """
    problems: dict[KeyPath, list[str]] = {}
    details = error.errors(include_url=False)
    for detail in details:
        loc = detail["loc"]
        if detail["type"] == "too_short" and any(_is_below(other["loc"], loc) for other in details):
            continue  # the elements exist, and their own mistakes are reported
        if detail["type"] == "default_factory_not_called":
            continue  # it follows from another mistake, which is reported
        if detail["type"] == "union_tag_invalid":
            loc = (*loc, _discriminator(detail))
        path = _path_in(document, loc, is_missing=detail["type"] == "missing")
        texts = problems.setdefault(path, [])
        if (text := _text_of(detail, path, root)) not in texts:
            texts.append(text)
    reasons = {
        path: f"{not_json[path]}; "
        for path, texts in problems.items()
        if path in not_json and not _CONTAINER_TEXTS.isdisjoint(texts)
    }
    return [
        f"{where(path)}: {reasons.get(path, '')}{_name(path, document)}{' or '.join(texts)}"
        for path, texts in problems.items()
    ]


def _is_below(loc: tuple[str | int, ...], above: tuple[str | int, ...]) -> bool:
    return len(loc) > len(above) and loc[: len(above)] == above


def _path_in(document: Any, loc: tuple[str | int, ...], *, is_missing: bool) -> KeyPath:
    """``loc`` without the union tags and type names that pydantic inserts."""
    path: KeyPath = ()
    here = document
    tagged = None  # a table whose tag was left out: "command" is a kind of source and a key of it
    for index, element in enumerate(loc):
        is_missing_here = is_missing and index == len(loc) - 1 and isinstance(here, dict)
        if isinstance(here, dict) and here is not tagged and here.get("kind") == element:
            tagged = here
            continue
        if _has(here, element):
            here = here[element]
        elif not is_missing_here:
            continue
        path = (*path, element)
    return path


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("discriminator", "")).strip("'")


def _has(here: Any, element: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(element, int) and element < len(here)
    return isinstance(here, dict) and element in here


def _name(path: KeyPath, document: dict[str, Any]) -> str:
    """``machine "pump-7": source.path`` rather than ``machine.0.source.path``."""
    if not path:
        return ""
    table = str(path[0])
    if table in _NAME_KEYS and len(path) > 1 and isinstance(path[1], int):
        element = document[table][path[1]]
        called = element.get(_NAME_KEYS[table]) if isinstance(element, dict) else None
        label = f'{table} "{called}"' if isinstance(called, str) else f"{table} {path[1] + 1}"
        rest = ".".join(map(str, path[2:]))
        return f"{label}: {rest} " if rest else f"{label} "
    return ".".join(map(str, path)) + " "


def _text_of(detail: ErrorDetails, path: KeyPath, root: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a known key" + _suggestion(str(path[-1]), root, detail["loc"][:-1])
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind == "union_tag_invalid":
        known = [tag.strip("' ") for tag in str(context["expected_tags"]).split(",")]
        near = _near(str(context["tag"]), known)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        return f'"{context["tag"]}" is not one of {", ".join(known)}{hint}'
    if kind == "union_tag_not_found":
        models = _models_at(root, detail["loc"])
        known = [f'"{tag}"' for model in models for tag in _tags(model)]
        return f"needs a {_discriminator(detail)}: one of {', '.join(known)}"
    if kind == "too_short":
        return f"is empty, at least {context['min_length']} is required"
    return _text_of_value(detail, path)


def _text_of_value(detail: ErrorDetails, path: KeyPath) -> str:
    """What a value must be, and what it is."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "tuple_type" and path and path[-1] == "command":
        return _COMMAND
    if kind in _LIMITS:
        template, name = _LIMITS[kind]
        text = template.format(context[name]).replace(" 1 characters", " 1 character")
    elif kind == "literal_error":
        text = f"must be {context['expected']}".replace("'", '"')
    else:
        text = (
            _CONTAINERS.get(kind)
            or _PLAIN.get(kind)
            or detail["msg"].replace("Input should be", "must be")
        )
    # Without the value of a list: a command may contain a password.
    is_shown = kind not in _WITHOUT_INPUT and kind not in _CONTAINERS
    if is_shown and isinstance(detail["input"], str | int | float):
        text += f", not {_shown(detail['input'])}"
    return text


def _shown(value: str | float) -> str:
    """A value as it is written in TOML, a plain word without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    is_word = isinstance(value, str) and value.isalnum() and not value.isdecimal()
    shown = f'"{value}"' if isinstance(value, str) and not is_word else str(value)
    return shown if len(shown) <= _MOST_SHOWN_CHARS else shown[:60] + "..."


def _suggestion(key: str, root: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    known = _known_keys(root, loc)
    near = _near(key, known)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known keys: {', '.join(known)}" if known else ""


def _near(word: str, known: list[str]) -> list[str]:
    """The known word that was probably meant, if there is one."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    return difflib.get_close_matches(word, known, n=1)


def _known_keys(root: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys of the table at ``loc``."""
    fields = [item for model in _models_at(root, loc) for item in model.model_fields.items()]
    return [field.alias or name for name, field in fields]


def _models_at(root: type[BaseModel], loc: tuple[str | int, ...]) -> list[type[BaseModel]]:
    """The models that the table at ``loc`` may have."""
    models = [root]
    for element in loc:
        of_kind = [model for model in models if element in _tags(model)]
        if len(models) > 1 and of_kind:
            models = of_kind
            continue
        fields = [
            field
            for model in models
            for name, field in model.model_fields.items()
            if element in (name, field.alias)
        ]
        if fields:
            models = [model for field in fields for model in models_in(field.annotation)]
    return models


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every pydantic model inside a type such as ``list[A | B] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()
