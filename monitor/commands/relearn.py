"""``auscult relearn``: has a new bundle made, shows what it would change, and decides about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.commands.operate import Target
from monitor.commands.output import columns, emit, message
from monitor.text.wording import counted, rounded

_HEADER = ("ALERT", "LABEL", "IN USE", "NEW")


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
    faults = comparison["injected_faults"]
    if None not in faults.values():
        yield (
            f"injected faults that raise an alert: {faults['before']:.0%} with the bundle in use, "
            f"{faults['after']:.0%} with the new one"
        )
    for warning in comparison["warnings"]:
        yield f"WARNING: {warning}"


def _row(alert: Mapping[str, Any]) -> tuple[str, ...]:
    ratios = (_share(alert[f"ratio_{when}"], alert[f"alarm_{when}"]) for when in _WHEN)
    return (str(alert["alert_id"]), str(alert["label"] or ""), *ratios)


_WHEN = ("before", "after")


def _share(ratio: float | None, is_alarm: bool) -> str:
    if ratio is None:
        return "not scored"
    return f"{rounded(ratio, 2)}, alert" if is_alarm else f"{rounded(ratio, 2)}, no alert"
