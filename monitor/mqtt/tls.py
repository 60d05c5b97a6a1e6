"""The TLS settings as a context for sockets."""

from __future__ import annotations

import codecs
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError
from monitor.mqtt.settings import MqttSettings
from monitor.text.regular_files import read_regular

_MOST_BYTES = 16_000_000

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What editors of Windows write at the beginning of a text file."""


class _Context(ssl.SSLContext):
    """A context that compares certificates with the name alone.

    A trailing dot (the name is complete) and the scope of an IPv6 address (``%eth0``) are for
    the resolver. They are in no certificate.
    """

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """As in ``ssl.SSLContext``."""
        if host := options.get("server_hostname"):
            options["server_hostname"] = host.partition("%")[0].removesuffix(".")
        return super().wrap_socket(*args, **options)


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """The TLS settings as a context, ``None`` without ``tls``.

    Files may begin with a byte-order mark, which OpenSSL does not know: it would pass over the
    first certificate. Raises ``ConfigError`` that names the key whose file cannot be used.
    """
    if not settings.tls:
        return None
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key, path = "ca_file", settings.ca_file
    try:
        if path is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            with _pem_file(path) as plain:
                context.load_verify_locations(plain)
        if settings.client_cert is not None and settings.client_key is not None:
            key, path = "client_cert or client_key", settings.client_cert
            with _pem_file(settings.client_cert) as cert, _pem_file(settings.client_key) as secret:
                # Without a password here OpenSSL would ask for one on the terminal.
                context.load_cert_chain(cert, secret, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"mqtt.{key} ({path}): {reason}: must be a readable PEM file") from error
    return context


@contextmanager
def _pem_file(path: Path) -> Iterator[str]:
    """The name of a file with the text of ``path`` without a byte-order mark."""
    content = read_regular(path, _MOST_BYTES)
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None:
        yield str(path)
        return
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, content.decode(encoding).encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
