"""The recipients of a mail: who has it, and whom the server refuses for good.

A message is sent again until it is sent. With one mailbox that no longer exists, all other
recipients of the address would get it again and again.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PERMANENT = range(500, 600)
"""Replies that the same message gets again (RFC 5321, 4.2.1). With 400 to 499 it may succeed."""
_RECIPIENT_KEYS = ("to", "cc", "bcc")


@dataclass(slots=True)
class Recipients:
    """What became of one message. ``unknown``: it may succeed later."""

    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    @property
    def have_it(self) -> bool:
        """Whether another attempt would only repeat the message for those who have it."""
        return bool(self.accepted) and bool(self.refused) and not self.unknown

    def _failed(self, code: int, *names: str) -> None:
        (self.refused if code in _PERMANENT else self.unknown).update(names)

    def _begin(self, names: list[str]) -> list[str]:
        self.refused.difference_update(names)
        self.unknown.difference_update(names)
        return [name for name in names if name not in self.accepted]


@contextmanager
def recipients() -> Iterator[Recipients]:
    """Watch what ``smtplib`` sends. Those who have the message do not get it a second time.

    For the attempts of one message. Not for several threads.
    """
    found = Recipients()
    original = smtplib.SMTP.sendmail

    def sendmail(
        self: smtplib.SMTP, sender: str, to: str | list[str], *rest: Any, **options: Any
    ) -> Any:
        names = found._begin([to] if isinstance(to, str) else list(to))
        if not names:
            return {}
        try:
            refused = original(self, sender, names, *rest, **options)
        except smtplib.SMTPRecipientsRefused as error:
            for name, (code, _) in error.recipients.items():
                found._failed(code, name)
            raise
        except smtplib.SMTPResponseException as error:
            found._failed(error.smtp_code, *names)
            raise
        except (smtplib.SMTPException, OSError):
            found.unknown.update(names)
            raise
        for name, (code, _) in refused.items():
            found._failed(code, name)
        found.accepted.update(name for name in names if name not in refused)
        return refused

    smtplib.SMTP.sendmail = sendmail  # type: ignore[method-assign,assignment] # apprise makes the connection
    try:
        yield found
    finally:
        smtplib.SMTP.sendmail = original  # type: ignore[method-assign] # as above


def without_address(url: str) -> list[str]:
    """A line for each key of a mail address with a part that has no ``@``: apprise ignores it."""
    parts = urlsplit(url)
    if not parts.scheme.lower().startswith("mailto"):
        return []
    given = parse_qs(parts.query)
    return [
        f"{key}= of the address has a part that is no mail address: nobody gets a message there"
        for key in _RECIPIENT_KEYS
        if any(
            text.strip() and "@" not in text
            for value in given.get(key, [])
            for text in re.split(r"[,;]", value)
        )
    ]
