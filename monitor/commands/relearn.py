"""``auscult relearn``: has a new bundle made, shows what it would change, and decides about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitor.commands.history_text import local
from monitor.commands.operate import Target
from monitor.commands.output import columns, emit, message
from monitor.text.wording import counted, rounded

_HEADER = ("ALERT", "LABEL", "IN USE", "NEW")
_PIECE_HEADER = ("HEALTHY SOUND OF", "LENGTH", "IN USE", "NEW")
_LEAST_PIECES = 3


def relearn(
    target: Target,
    machine: str,
    collect_s: float | None,
    *,
    accept: bool,
    discard: bool,
    as_json: bool,
) -> None:
    """Begin, show the progress or the comparison, or decide."""
    if accept or discard:
        command = "relearn_accept" if accept else "relearn_discard"
        result = target.ask(command, machine=machine)
    elif collect_s is not None:
        result = target.ask("relearn", machine=machine, collect_s=collect_s)
    else:
        result = target.ask("relearn", machine=machine)
    if warning := result.get("warning"):
        message(str(warning))
    comparison = (result["relearning"] or {}).get("comparison")
    lines = [f"{machine}: {result['message']}"]
    if comparison is not None:
        lines = [f"{machine}: a new bundle is ready. Nothing has changed yet"]
        lines += _comparison(comparison)
        lines.append(f"use it: auscult relearn {machine} --accept")
        lines.append(f"keep the bundle in use: auscult relearn {machine} --discard")
    emit(result, lines, as_json=as_json)


def _comparison(comparison: Mapping[str, Any]) -> Iterator[str]:
    """What the new bundle changes. Scores are shares of the threshold of their bundle."""
    alerts = comparison["alerts"]
    if alerts:
        yield "highest score of the stored sound of each alert, divided by the threshold:"
        yield from columns([_HEADER, *map(_row, alerts)])
    healthy = comparison["healthy"]
    minutes, before, after = (healthy[key] for key in ("minutes", "above_before", "above_after"))
    yield (
        f"healthy sound above the threshold: {before:g} of {counted(minutes, 'minute')} with the "
        f"bundle in use, {after:g} with the new one"
    )
    if shown := _shown(healthy.get("worst", [])):
        yield "healthy sound with the highest scores, divided by the threshold:"
        yield from columns([_PIECE_HEADER, *map(_piece_row, shown)])
    faults = comparison["injected_faults"]
    if None not in faults.values():
        yield (
            f"injected faults that raise an alert: {faults['before']:.0%} with the bundle in use, "
            f"{faults['after']:.0%} with the new one"
        )
    for warning in comparison["warnings"]:
        yield f"WARNING: {warning}"


def _shown(worst: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pieces that one of the bundles puts above its threshold, and always some of the worst."""
    return [
        one
        for number, one in enumerate(worst)
        if number < _LEAST_PIECES or one["above_before"] or one["above_after"]
    ]


def _piece_row(piece: Mapping[str, Any]) -> tuple[str, ...]:
    at = str(piece["recorded_at"])
    try:
        at = local(datetime.fromisoformat(at).timestamp())
    except ValueError:  # it is not known any more
        at = str(piece["name"])
    ratios = (
        f"{rounded(piece[f'ratio_{when}'], 2)}, " + ("above" if piece[f"above_{when}"] else "below")
        for when in _WHEN
    )
    return (at, f"{piece['seconds']:g} s", *ratios)


def _row(alert: Mapping[str, Any]) -> tuple[str, ...]:
    ratios = (_share(alert[f"ratio_{when}"], alert[f"alarm_{when}"]) for when in _WHEN)
    return (str(alert["alert_id"]), str(alert["label"] or ""), *ratios)


_WHEN = ("before", "after")


def _share(ratio: float | None, is_alarm: bool) -> str:
    if ratio is None:
        return "not scored"
    return f"{rounded(ratio, 2)}, alert" if is_alarm else f"{rounded(ratio, 2)}, no alert"
