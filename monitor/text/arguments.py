"""Command lines with ``typer``: their help, their errors, and numbers as arguments."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from monitor.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


_MOST_COLUMNS = 120
"""Lines of the help are not longer, also in a wide terminal."""


class CommandApp(typer.Typer):
    """Commands whose help and errors are plain text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            cls=_Group,
            context_settings={"max_content_width": _MOST_COLUMNS},
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        """As in ``typer``, with the help of this class."""
        return super().command(name, **({"cls": _Command} | options))

    def run(self, name: str, arguments: Sequence[str]) -> int:
        """Run a command and return its exit status; ``name`` is what the user typed before it.

        Raises ``UsageError`` for arguments that are wrong.
        """
        command = typer.main.get_command(self)
        try:
            with command.make_context(name, list(arguments)) as context:
                result = command.invoke(context)
        except typer.Exit as done:
            return done.exit_code
        except typer.TyperException as error:
            where = getattr(getattr(error, "ctx", None), "command_path", name)
            text = error.format_message().rstrip(".").replace("Value error, ", "")
            raise UsageError(f"{text} (see {where} --help)") from None
        return result if isinstance(result, int) else 0


class _WholeSentence:
    """A list of commands shows the first sentence of each help; typer cuts it."""

    help: str | None

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - typer's signature
        paragraph = " ".join((self.help or "").strip().partition("\n\n")[0].split())
        return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]


class _Group(_WholeSentence, TyperGroup):
    """Commands that belong together."""


class _Command(_WholeSentence, TyperCommand):
    """A command whose help shows ``RECORDING...``; typer shows the type ``<list[Path]>`` too."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        names = ((_name_of(one), one.required) for one in self._arguments())
        pieces = [name if required else f"[{name}]" for name, required in names]
        return [self.options_metavar or "", *pieces]

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        given, _, _ = self.make_parser(ctx).parse_args(args=[*args])
        one: Any
        for one in self.params:
            values = given.get(one.name)
            if _is_path(one) and "" in (values if isinstance(values, (list, tuple)) else [values]):
                # Path("") is the current folder: a variable of a script that is not set.
                raise typer.BadParameter("must not be empty", ctx=ctx, param=one)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [(_name_of(one), one.help or "") for one in self._arguments()]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        options = [one for one in self.get_params(ctx) if not isinstance(one, TyperArgument)]
        with formatter.section("Options"):
            formatter.write_dl(filter(None, (option.get_help_record(ctx) for option in options)))

    def _arguments(self) -> list[TyperArgument]:
        arguments = (one for one in self.params if isinstance(one, TyperArgument))
        return [one for one in arguments if not one.hidden]


def with_lists(*options: str) -> type[TyperCommand]:
    """A command whose ``options`` take all values that follow: ``--normal a b`` is two of them.

    The values end at the next option. Arguments must therefore come before these options.
    """

    class Command(_Command):
        def parse_args(self, ctx: Any, args: list[str]) -> Any:
            return super().parse_args(ctx, _one_value_each(args, options))

    return Command


def _one_value_each(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """``--normal a b`` as ``--normal a --normal b``. An option without a value stays as it is."""
    result: list[str] = []
    option, has_value = "", False
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            option, has_value = (argument if argument in options else ""), False
        elif option:
            if has_value:
                result.append(option)
            has_value = True
        result.append(argument)
    return result


def _is_path(parameter: Any) -> bool:
    annotation = parameter.type_descriptor.annotation
    return Path in (annotation, *get_args(annotation))


def _name_of(argument: TyperArgument) -> str:
    return argument.display_name_raw + ("..." if argument.nargs != 1 else "")


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[str], float]:
    """A parser of a finite number from ``least`` to ``most``.

    It raises ``typer.BadParameter``.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise typer.BadParameter(f"must be a number, not {text}")
        return _within(value, least, most)

    return parse


def whole_number(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """A parser of a whole number from ``least`` to ``most``. It raises ``typer.BadParameter``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"must be a whole number, not {text}") from None
        _within(value, -math.inf if least is None else least, math.inf if most is None else most)
        return value

    return parse


def _within(value: float, least: float, most: float) -> float:
    if value < least:
        raise typer.BadParameter(f"must be at least {least:g}, not {value:g}")
    if value > most:
        raise typer.BadParameter(f"must be at most {most:.12g}, not {value:g}")
    return value


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LENGTH_OF_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")


def length_of_time(least: str, most: str) -> Callable[[str], float]:
    """A parser of ``30m``, ``2h`` or ``1d`` to seconds, from ``least`` to ``most``.

    It raises ``typer.BadParameter``.
    """

    def parse(text: str) -> float:
        seconds = _seconds(text)
        if not _seconds(least) <= seconds <= _seconds(most):
            raise typer.BadParameter(f"must be at least {least} and at most {most}, not {text}")
        return seconds

    return parse


def moment(text: str) -> float:
    """Parse a time, or a length of time before now: Unix time in seconds, at least 0.

    A time without a zone is in that of this computer. It raises ``typer.BadParameter``.
    """
    text = text.strip()
    if match := _LENGTH_OF_TIME.fullmatch(text):
        return max(0.0, time.time() - float(match[1]) * _SECONDS[match[2]])
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            "must be a time, for example 2026-11-30T10:00, or a length of time before now, for "
            f"example 2h or 7d, not {text}"
        ) from None


def _seconds(text: str) -> float:
    match = _LENGTH_OF_TIME.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"must be a number with s, m, h or d, for example 30m, 2h or 1d, not {text}"
        )
    return float(match[1]) * _SECONDS[match[2]]
