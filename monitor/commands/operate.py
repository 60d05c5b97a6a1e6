"""``auscult status``, ``mute``, ``acknowledge``, ``label`` and others: clients of the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitor.commands.history_text import local, zone
from monitor.commands.output import columns, emit, message
from monitor.config.settings import load_config
from monitor.config.state_folder import daemon_state_dir
from monitor.control.address import possible_paths
from monitor.control.client import ask
from monitor.errors import AuscultError
from monitor.text.wording import counted, duration, rounded

_DEFAULT_CONFIG = Path("config.toml")
_JUDGED = frozenset({"ok", "warning", "anomaly", "muted"})
_NEW_SCORE_S = 120.0
_STATED_ELSEWHERE = frozenset(
    {"no_broker", "broker_refuses", "outbox_in_memory", "history_not_written"}
)
"""Troubles that the line has in the words of the delivery and of the history."""
_HEADER = ("MACHINE", "STATE", "SINCE", "SCORE", "REMARKS")


@dataclass(frozen=True, slots=True)
class Target:
    """The daemon to use: that of a socket, that of a configuration, or the first one found."""

    socket: Path | None
    config: Path | None

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The result of a command. Raises as ``monitor.control.client.ask``."""
        if self.socket is not None:
            return ask([self.socket], command, arguments, config=self.config)
        paths = possible_paths(self._state_dir(), instances=self.config is not None)
        return ask(paths, command, arguments, config=self.config)

    def _state_dir(self) -> Path | None:
        if self.config is not None:
            return daemon_state_dir(load_config(self.config), self.config)
        try:
            return daemon_state_dir(load_config(_DEFAULT_CONFIG), _DEFAULT_CONFIG)
        except AuscultError:  # no configuration here: the service of this computer is asked
            return None


def status(target: Target, *, as_json: bool) -> None:
    """Print a line for each machine, and one for outbox and broker."""
    result = target.ask("status")
    now = result["now"]
    rows = [_HEADER, *(_row(machine, now) for machine in result["machines"])]
    daemon = result["daemon"]
    since = duration(_seconds_between(daemon["started_at"], now))
    running = f"auscult {daemon['version']} with {daemon['config']}, running for {since}"
    emit(
        {**result, "machines": [_with_ratio(machine) for machine in result["machines"]]},
        [*columns(rows), f"{running}; {daemon['delivery']}{_troubles(daemon)}"],
        as_json=as_json,
    )


def mute(target: Target, machine: str, for_s: float, note: str, *, as_json: bool) -> None:
    """Hold back the alerts of a machine for a time."""
    result = target.ask("mute", machine=machine, for_s=for_s, note=note)
    _report(result, f"{machine}: muted until {_local(result['muted_until'])}", as_json=as_json)


def unmute(target: Target, machine: str, *, as_json: bool) -> None:
    """End the mute of a machine."""
    result = target.ask("unmute", machine=machine)
    if result["suppressed"] is None:
        text = f"{machine}: was not muted"
    else:
        text = f"{machine}: no longer muted, {counted(result['suppressed'], 'alert')} held back"
    _report(result, text, as_json=as_json)


def acknowledge(target: Target, alert_id: str, note: str, *, as_json: bool) -> None:
    """Note that somebody takes care of an alert."""
    result = target.ask("acknowledge", alert_id=alert_id.lower(), note=note)
    text = f"{result['machine']}: alert {result['alert_id']} acknowledged"
    _report(result, text, as_json=as_json)


def label(target: Target, alert_id: str, label: str, note: str, *, as_json: bool) -> None:
    """Note what an alert was."""
    result = target.ask("label", alert_id=alert_id.lower(), label=label, note=note)
    text = f"{result['machine']}: alert {result['alert_id']} labelled {result['label']}"
    if (replaced := result.get("replaced")) and replaced != result["label"]:
        text += f" (replaces the label {replaced})"
    if effect := result.get("effect"):
        text += f". {effect}"
    if remark := result.get("remark"):
        text += f" {remark}"
    _report(result, text, as_json=as_json)


def commission(target: Target, command: str, machine: str, *, as_json: bool) -> None:
    """``learn``, ``arm`` or ``rollback`` a machine."""
    result = target.ask(command, machine=machine)
    text = f"{machine}: {result.get('message') or command}"
    _report(result, text, as_json=as_json)


def _troubles(daemon: Mapping[str, Any]) -> str:
    """What does not work, other than the delivery, which states its troubles itself."""
    health = daemon.get("history") or {}
    lost = health.get("n_lost")
    parts = (
        f"history in memory ({health['trouble']})" if health.get("trouble") else "",
        f"{counted(lost, 'value')} of the history lost" if lost else "",
        "history was damaged and replaced" if health.get("n_replaced") else "",
        *(
            str(trouble["text"])
            for trouble in daemon.get("trouble_kinds", ())
            if trouble["kind"] not in _STATED_ELSEWHERE
        ),
    )
    return "".join(f"; {part}" for part in parts if part)


def _report(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    if warning := result.get("warning"):
        message(str(warning))
    emit(result, [text], as_json=as_json)


def _with_ratio(machine: dict[str, Any]) -> dict[str, Any]:
    return {**machine, "ratio": _ratio(machine)}


def _ratio(machine: Mapping[str, Any]) -> float | None:
    """The newest score divided by the threshold; ``None`` while the machine is not judged."""
    score, state = machine["score"], machine["state"]
    if score is None or state is None or state["state"] not in _JUDGED:
        return None
    return float(score["ratio"])


def _age(machine: Mapping[str, Any], now: str) -> str:
    """The time of a score that is not new, for example of a folder that was read to its end."""
    at = str(machine["score"].get("at") or now)
    try:
        return "" if _seconds_between(at, now) < _NEW_SCORE_S else f" at {_local(at)}"
    except (ValueError, OverflowError):
        return ""


def _row(machine: Mapping[str, Any], now: str) -> tuple[str, ...]:
    state, ratio = machine["state"] or {}, _ratio(machine)
    since = _began_at(machine) or state.get("since")
    return (
        str(machine["id"]),
        str(state.get("state", "warming")),
        duration(_seconds_between(since, now)) if since else "",
        "" if ratio is None else f"{rounded(ratio, 2)} x threshold{_age(machine, now)}",
        "; ".join(_remarks(machine, now)),
    )


def _began_at(machine: Mapping[str, Any]) -> str | None:
    """When the fault of the open alert began, if that is the state: some seconds before it."""
    state, alert = machine["state"] or {}, machine["alert"]
    return str(alert["started_at"]) if alert and state.get("state") == "anomaly" else None


def _remarks(machine: Mapping[str, Any], now: str) -> Iterable[str]:
    """The alert, the mute, the warnings and the reason of the state."""
    state = machine["state"] or {}
    if alert := machine["alert"]:
        acknowledged = ", acknowledged" if state.get("acknowledged") else ""
        lasts = "" if _began_at(machine) else f" for {_lasted(alert, now)}"
        yield f"alert {alert['alert_id']}{lasts}{acknowledged}"
    if (learning := state.get("learning")) and learning["stage"] != "armed":
        yield str(learning["text"])
    elif learning and learning.get("relearning"):
        yield str(learning["relearning"]["text"])
    if label := state.get("label"):
        yield f"labelled {label}"
    if until := state.get("muted_until"):
        muted = machine["mute"] or {}
        yield f"muted until {_local(until)}" + (f" by {muted['by']}" if muted.get("by") else "")
        if without := state.get("state_without_mute"):
            yield f"without the mute: {without}"
        if number := state.get("muted_alerts"):
            yield f"{counted(number, 'alert')} held back"
        if note := muted.get("note"):
            yield str(note)
    details = state.get("warning_details", {})
    yield from (str(details.get(name) or name) for name in state.get("warnings", ()))
    if reason := state.get("reason"):
        yield str(state.get("detail") or reason)


def _lasted(alert: Mapping[str, Any], now: str) -> str:
    """From the beginning of the fault on, as in messages."""
    return duration(_seconds_between(alert["started_at"], now))


def _seconds_between(earlier: str, later: str) -> float:
    """Seconds from one time in RFC 3339 to another, at least 0."""
    both = datetime.fromisoformat(earlier), datetime.fromisoformat(later)
    return max(0.0, (both[1] - both[0]).total_seconds())


def _local(time: str) -> str:
    """A time in RFC 3339 in the time zone of this computer: ``2026-11-23 12:15 UTC+01:00``."""
    unix_s = datetime.fromisoformat(time).timestamp()
    return f"{local(unix_s)} {zone(unix_s)}"
