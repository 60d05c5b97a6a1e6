"""Something else in the place of a file: a FIFO, which never ends, or a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.config.notify import NotifySettings
from monitor.errors import BadInputError, ConfigError, ServiceUnavailableError
from monitor.history.reader import HistoryReader
from monitor.live.reader import RingReader
from monitor.notify.address import read_address
from monitor.web.users import FILE_NAME, Role, Users, read_users, set_password
from tests.web_app import PASSWORD, served

pytestmark = pytest.mark.timeout(30)  # an open that waits for ever


@pytest.fixture(params=["fifo", "folder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def put(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    return path


def test_the_file_of_users(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The page would not start, or be open to everybody."""
    path = put(tmp_path / FILE_NAME, kind)
    users = Users(path)
    assert users.are_required
    assert "nobody can log in" in caplog.text
    with pytest.raises(OSError, match=r"regular file|folder"):
        read_users(path)
    with pytest.raises(ServiceUnavailableError, match="cannot be written"):
        set_password(path, "anna", Role.OPERATOR, PASSWORD)


def test_the_file_of_users_while_the_page_is_served(tmp_path: Path, kind: str) -> None:
    """Every request would wait, also those of users who are logged in."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as running, running.logged_in() as client:
        path = running.context.password_check.users.path
        path.unlink()
        put(path, kind)
        assert client.get("/api/overview").status_code == 401


def test_the_history(tmp_path: Path, kind: str) -> None:
    """The threads of the page would wait for it one after the other."""
    path = put(tmp_path / "history.sqlite3", kind)
    with pytest.raises(BadInputError, match="not a regular file"):
        HistoryReader(path).machines()
    with served(tmp_path / "page") as running:
        put(running.state_dir / "history.sqlite3", kind)
        document = running.get("/api/overview").json()
        assert any("history" in line["text"] for line in document["banners"])
        assert [one["id"] for one in document["machines"]] == ["pump-7"]


def test_the_ring_of_live_sound(tmp_path: Path, kind: str) -> None:
    """A thread of the page would wait for ever."""
    with pytest.raises(OSError, match=r"regular file|folder"):
        RingReader(put(tmp_path / "pump-7.ring", kind))


def test_the_address_of_a_message(tmp_path: Path, kind: str) -> None:
    """No message would be sent any more."""
    path = put(tmp_path / "address", kind)
    settings = NotifySettings(name="mail", url_file=path)
    with pytest.raises(ConfigError, match=r"regular file|folder"):
        read_address(settings, {})
