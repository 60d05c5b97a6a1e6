"""``auscult notify``: alerts as messages to people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from monitor.commands.extras import FOR_NOTIFICATIONS, needs_extra, require_installed
from monitor.commands.output import columns, emit, message
from monitor.config.notify import NotifySettings
from monitor.config.settings import load_config
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.notify.sending import Sending
from monitor.notify.service import no_history, no_target, run_notify, send
from monitor.notify.wording import Wording
from monitor.process.secret_files import readers_of


def notify(config: Path, *, log_format: Literal["text", "json"] | None) -> None:
    """Send messages until stopped. Raises as ``run_notify``."""
    _require_apprise()
    run_notify(config, log_format=log_format)


@dataclass(frozen=True, slots=True)
class _Result:
    target: str
    ok: bool
    detail: str
    exit_status: int = 0


def test(config: Path, *, as_json: bool) -> int:
    """Send a message to each target; the exit status of the first failure, or 0.

    Warnings are about what does not stop a test: addresses that others can read, no history.
    Raises what reading the configuration raises.
    """
    _require_apprise()
    settings = load_config(config)
    if not settings.notify:
        raise no_target(config)
    warnings = [readers_of(one.url_file) for one in settings.notify]
    if not settings.history.enabled:
        warnings.append(str(no_history(config)))
    for line in filter(None, warnings):
        message(f"warning: {line}")
    with ThreadPoolExecutor(max_workers=len(settings.notify)) as pool:
        results = list(pool.map(_try, settings.notify))
    rows = [("ok" if one.ok else "FAILED", one.target, one.detail) for one in results]
    document = [{"target": one.target, "ok": one.ok, "detail": one.detail} for one in results]
    emit(document, columns(rows), as_json=as_json)
    return next((one.exit_status for one in results if not one.ok), 0)


def _try(target: NotifySettings) -> _Result:
    test_message = Wording(datetime.now(UTC)).test(target.name)
    try:
        outcome = send(target, Sending(), test_message)
    except ConfigError as error:
        return _Result(target.name, False, str(error), error.exit_status)
    if outcome.ok:
        return _Result(target.name, True, outcome.detail or "sent")
    kind = ServiceUnavailableError if outcome.is_usable else ConfigError
    detail = outcome.detail or "not sent, and no reason was given"
    return _Result(target.name, False, detail, kind.exit_status)


def _require_apprise() -> None:
    with needs_extra("auscult notify", "notify"):
        require_installed(*FOR_NOTIFICATIONS)
