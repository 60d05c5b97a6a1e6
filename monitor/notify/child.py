"""A process of its own that sends one message with apprise, and ends.

apprise can hang: its limits are for single steps, not for the whole. A process can be ended after
any time. It also takes its 60 MB with it, and the address of the target.

Input: one JSON object: ``url``, ``timeout_s``, and for a message ``title``, ``body``, ``mood`` and
``picture`` (PNG in base64, or null). Without a title, the address is only checked. Output: one JSON
object: ``ok``, ``is_usable`` (whether apprise accepts the address) and ``detail`` (one line for
people, without secrets).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import signal
import sys
from typing import Any, cast

from apprise import Apprise, AppriseAsset, NotifyType
from apprise.attachment.memory import AttachMemory
from apprise.common import NotifyFormat, OverflowMode, PersistentStoreMode
from apprise.manager_plugins import NotificationManager
from apprise.plugins.base import NotifyBase

from monitor.notify.connection_faults import connection_fault
from monitor.notify.mail_recipients import recipients, without_address
from monitor.notify.redirects import lossless_redirects
from monitor.notify.secret_words import masked, secret_words, shown_scheme
from monitor.text.escaping import one_line

_MOST_DETAIL = 300
_NO_CONNECTION = re.compile(r"(a )?connection error (occur|while)", re.IGNORECASE)
"""How apprise begins its report about a connection."""
_NO_MAIL = re.compile(r'Sending email to "[^"]*" failed')
"""How it reports a mail that was not sent."""
_REASON = "Socket Exception: "
"""How it then begins the reason, at the level of debugging."""
_picture: Any = AttachMemory  # apprise is typed in parts only
_plugins: Any = NotificationManager
_ANSWER_KEYS = ("ok", "is_usable", "detail")


class _Lines(logging.Handler):
    """Keeps what apprise reports, and the reasons of what failed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.reason = ""
        self.reasons: dict[str, str] = {}
        """Of the mails that were not sent, by their lines."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            if _NO_MAIL.match(text):
                if not self.reason:  # only some recipients were refused, and are reported
                    return
                self.reasons[text], self.reason = self.reason, ""
            self.lines.append(text)
        elif text.startswith(_REASON):
            self.reason = text.removeprefix(_REASON)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Send the message of a request, or only check its address. Raises nothing."""
    lines = _Lines()
    logging.getLogger().handlers = [lines]
    logging.getLogger("apprise").setLevel(logging.DEBUG)  # only there is the reason of a failure
    logging.captureWarnings(capture=True)
    url = str(request.get("url", ""))
    secrets = secret_words(url)
    is_usable, ok, where = True, False, ""
    try:
        target = _target(url)
        is_usable = target is not None
        if target is not None:
            secrets, where = secret_words(url, _host(target)), _where(target)
            lines.lines += without_address(url)
            with lossless_redirects(url) as refused, recipients() as mail:
                ok = "title" not in request or _send(target, request, lines.lines)
            ok = ok or mail.have_it
            if refused:  # apprise reports each as a connection that failed
                lines.lines = [one for one in lines.lines if not _NO_CONNECTION.match(one)]
                lines.lines += refused
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; its text may be secret
        lines.lines.append(f"{type(error).__name__}: {error}")
    said = (
        _plain(masked(line, secrets), where, lines.reason, lines.reasons.get(line))
        for line in lines.lines
    )
    detail = one_line("; ".join(dict.fromkeys(said)))
    if not is_usable:
        detail = f"apprise does not accept this address: {_why_refused(url)}"
    return dict(zip(_ANSWER_KEYS, (ok, is_usable, detail[:_MOST_DETAIL]), strict=True))


def _target(url: str) -> NotifyBase | None:
    asset = AppriseAsset(
        app_id="Auscult",
        app_desc="Auscult",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        image_path_mask="",
        async_mode=False,
        secure_logging=True,
        storage_mode=PersistentStoreMode.MEMORY,
    )
    target = Apprise.instantiate(url, asset=asset)
    if target is None:
        return None
    target.optional = False  # an address could say that a failure counts as success
    if "overflow=" not in url:
        target.overflow_mode = OverflowMode.TRUNCATE  # a message that is too long fails for ever
    return target


def _why_refused(url: str) -> str:
    """The address with its secrets masked, and what is wrong with it as far as that is known."""
    shown = shown_scheme(url)
    scheme = shown.partition("://")[0].lower()
    try:
        is_enabled = _plugins()[scheme].enabled
    except KeyError:
        return f"{shown} (it has no service for {scheme}://)"
    if not is_enabled:
        return f"{shown} (this computer lacks what {scheme}:// needs)"
    return f"{shown} (a part after {scheme}:// is missing or wrong)"


def _host(target: NotifyBase) -> str:
    """The host of the address, if it is no secret."""
    host = getattr(target, "host", None)
    shown = cast("Any", target).url(privacy=True)
    return host if isinstance(host, str) and host in shown else ""


def _where(target: NotifyBase) -> str:
    """The host and the port of the address for a sentence, as far as they are no secret."""
    port = getattr(target, "port", None)
    host = _host(target) or "the service"
    return f"{host}:{port}" if _host(target) and isinstance(port, int) else host


def _plain(line: str, where: str, reason: str, of_mail: str | None) -> str:
    """A report of apprise, which names neither the port nor what is wrong with a connection.

    ``of_mail``: the reason for a mail that was not sent.
    """
    if of_mail is not None:
        return f"{line.rstrip('.')}: {connection_fault(of_mail, where)}"
    if _NO_CONNECTION.match(line):
        return connection_fault(reason, where)
    return line


def _send(target: NotifyBase, request: dict[str, Any], lines: list[str]) -> bool:
    sender = Apprise()
    sender.add(target)
    message = {
        "title": request["title"],
        "body": request["body"],
        "body_format": NotifyFormat.TEXT,  # apprise then escapes it for the service
        "notify_type": NotifyType(request["mood"]),
        "interpret_escapes": False,
    }
    if request.get("picture") and target.attachment_support:
        content = base64.b64decode(request["picture"])
        picture = _picture(content=content, name="alert.png", mimetype="image/png")
        if sender.notify(**message, attach=picture):
            return True
        lines.append("without the picture")
    return bool(sender.notify(**message))


def main() -> None:
    """Read the request from standard input, and write the answer to standard output."""
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a plugin prints is no answer
    request = json.loads(sys.stdin.buffer.read())
    signal.alarm(int(request["timeout_s"]) + 1)  # also if the parent was killed
    os.write(out, json.dumps(answer(request)).encode())


if __name__ == "__main__":
    main()
