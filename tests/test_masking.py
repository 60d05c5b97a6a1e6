"""Secrets do not appear in what is logged or published."""

from __future__ import annotations

import pytest

from monitor.text.masking import Masking, mask_user_info


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        ([], "rtsp://u:hunter2@cam/1: 401", "rtsp://***@cam/1: 401"),
        (["-i", "rtsp://u:p%40ss@cam"], "bad login p@ss or p%40ss", "bad login *** or ***"),
        (["http://cam/?token=abcdef"], "GET /?token=abcdef&x=1", "GET /?token=***&x=1"),
        ([], "Authorization: Basic dTpwCg==", "Authorization: ***"),
        ([], "password=hunter2, retry", "password=***, retry"),
        ([], "two\nlines\x1b[31m\tand colours", "two lines [31m and colours"),
        ([], "Connection to cam:554 refused", "Connection to cam:554 refused"),
    ],
)
def test_secrets_in_the_output_of_a_program_are_masked(
    arguments: list[str], text: str, expected: str
) -> None:
    """A camera's password is published to every subscriber."""
    assert Masking(arguments)(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://u:hunter2@cam/1", "rtsp://***@cam/1"),
        ("rtsp://u:p@ss@cam/1", "rtsp://***@cam/1"),
        ("['-i', 'rtsp://u:p@cam'] http://a@b", "['-i', 'rtsp://***@cam'] http://***@b"),
        ('{"url": "rtsp://cam", "mail": "a@b"}', '{"url": "rtsp://cam", "mail": "a@b"}'),
        ("http://cam/mail@site", "http://cam/mail@site"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, expected: str) -> None:
    """A password with an @ in it is written to the log."""
    assert mask_user_info(text) == expected
