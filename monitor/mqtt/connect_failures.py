"""Why no connection to a broker was made: names, addresses, certificates and TLS."""

from __future__ import annotations

import re
import socket
import ssl

from monitor.mqtt.settings import MqttSettings

_TLS_PROBE_S = 2.0
_ALERT = re.compile(r"alert ([a-z ]+[a-z])")


def uses_tls(settings: MqttSettings) -> bool:
    """Whether the broker answers a TLS handshake; nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only finds the protocol; no data is sent
    timeout_s = min(_TLS_PROBE_S, settings.connect_timeout_s)
    try:
        with (
            socket.create_connection((settings.host, settings.port), timeout_s) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except ssl.SSLError as error:  # a broker may demand a certificate, with an alert of TLS
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def connect_failure(error: Exception, settings: MqttSettings) -> str:
    """Why no connection was made, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if settings.tls and _is_without_tls(error):
        return (
            "ends the TLS handshake: this port may be one without TLS; set mqtt.port to "
            "the port with TLS (often 8883), or mqtt.tls = false"
        )
    text = getattr(error, "strerror", None) or str(error)
    return refused_by_tls(text) or text


def refused_by_tls(text: str) -> str:
    """Why the broker refuses this client, from the text of an error of TLS; empty for others.

    With TLS 1.3 the broker looks at the certificate of the client after the handshake.
    """
    alert = _ALERT.search(text)
    if alert is None:
        return ""
    return (
        f"refuses the TLS connection: {alert[1]}; check mqtt.client_cert and mqtt.client_key "
        "if it demands a certificate"
    )


def _is_without_tls(error: Exception) -> bool:
    """Whether the handshake failed as with a server that does not expect TLS."""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, ssl.SSLEOFError) or error.reason in {
            "WRONG_VERSION_NUMBER",
            "RECORD_LAYER_FAILURE",
            "UNEXPECTED_EOF_WHILE_READING",
        }
    return isinstance(error, ConnectionResetError | BrokenPipeError)
