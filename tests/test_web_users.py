"""The file of the users of the page, with the hashes that the product makes."""

from __future__ import annotations

from pathlib import Path

import argon2

from monitor.web.users import _NOBODY, FILE_NAME, Role, Users, read_users, set_password
from tests.web_app import PASSWORD


def stored(folder: Path) -> Path:
    path = folder / FILE_NAME
    set_password(path, "anna", Role.OPERATOR, PASSWORD)
    set_password(path, "victor", Role.VIEWER, PASSWORD)
    return path


def test_the_file_of_users_is_private_and_has_no_password(tmp_path: Path) -> None:
    """Other users of the computer could read or guess the passwords."""
    path = stored(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_text()
    assert PASSWORD not in content
    assert content.count("$argon2id$v=19$m=19456,t=2,p=1$") == 2


def test_a_user_who_does_not_exist_is_checked_with_the_same_work(tmp_path: Path) -> None:
    """The time of the answer would show an attacker which names exist."""
    path = stored(tmp_path)
    real = argon2.extract_parameters(read_users(path)["anna"].password_hash)
    assert argon2.extract_parameters(_NOBODY) == real
    users = Users(path)
    assert users.check("anna", PASSWORD) == users.get("anna")
    assert users.check("anna", "wrong horse") is None
    assert users.check("nobody", PASSWORD) is None
