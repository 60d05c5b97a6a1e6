"""Compares a published message with its JSON Schema."""

from __future__ import annotations

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from monitor.mqtt.payloads import SCHEMAS, schema

MOST_PICTURE_BYTES = 60_000


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def check_payload(name: str, payload: Any) -> None:
    """Fail unless the parsed payload fits its schema."""
    errors = [
        f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(payload)
    ]
    assert errors == [], f"{name}: {errors}"


def check_message(topic: str, payload: bytes) -> None:
    """Fail unless the message, as received, fits the schema of its topic."""
    name = topic.rpartition("/")[2]
    if name == "picture":
        assert payload[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(payload) <= MOST_PICTURE_BYTES
        return
    assert name in SCHEMAS, f"no schema for {topic}"
    check_payload(name, payload.decode() if name == "status" else json.loads(payload))
