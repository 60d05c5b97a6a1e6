"""The trust and the identity that ``[mqtt]`` describes."""

from __future__ import annotations

import ssl

from monitor.errors import ConfigError
from monitor.mqtt_settings import MqttSettings


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """The trust that ``[mqtt]`` describes, ``None`` without ``tls``.

    Raises ``ConfigError`` naming the key whose file cannot be used.
    """
    if not settings.tls:
        return None
    key, path = "ca_file", settings.ca_file
    try:
        context = ssl.create_default_context(cafile=None if path is None else str(path))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.client_cert is not None:
            key, path = "client_cert or client_key", settings.client_cert
            # An empty password, or OpenSSL would ask for one on the terminal.
            context.load_cert_chain(settings.client_cert, settings.client_key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if error.strerror else str(error)
        raise ConfigError(f"mqtt.{key} ({path}): {reason}: must be a readable PEM file") from error
    return context
