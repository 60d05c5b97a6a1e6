"""Files of the daemon that this user may not read: a trouble, and not files yet to come."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.errors import BadInputError, ServiceUnavailableError
from monitor.history.reader import HistoryReader
from monitor.history.store import HistoryStore
from monitor.outbox.queue import Outbox
from monitor.outbox.reader import read_outbox
from monitor.web.past import FILE_NAME, Past
from monitor.web.work import Workers

NOBODY = 65534
REASON = "only root and the user of the daemon may read it"


@contextmanager
def as_another_user() -> Iterator[None]:
    """Root may read every file, so that root becomes another user for this time."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture(params=["the folder", "the file"])
def state_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A state folder with a history, of which the folder or the file is closed to others."""
    with tempfile.TemporaryDirectory(prefix="auscult-") as name:
        folder = Path(name) / "state"
        folder.mkdir()
        HistoryStore(folder / FILE_NAME).close()
        Path(name).chmod(0o755)
        closed = folder if request.param == "the folder" else folder / FILE_NAME
        mode = closed.stat().st_mode
        closed.chmod(0)
        yield folder
        closed.chmod(mode)


def test_the_reason_is_the_permission(state_dir: Path) -> None:
    """SQLite only reports that it cannot open the file."""
    with as_another_user(), pytest.raises(BadInputError, match=REASON):
        HistoryReader(state_dir / FILE_NAME).machines()


def test_an_outbox_of_another_user_is_named_with_its_owner(state_dir: Path) -> None:
    """A service whose file was made by root would only report that it cannot be opened."""
    path = state_dir / "outbox.sqlite3"
    state_dir.chmod(0o755)
    Outbox(path).close()
    path.chmod(0)
    reason = f"no permission: it belongs to the user {path.owner()}"
    with as_another_user():
        with pytest.raises(BadInputError, match=reason):
            read_outbox(path)
        with Outbox(path) as outbox:
            assert reason in outbox.health().detail
    with Outbox(path), as_another_user(), pytest.raises(ServiceUnavailableError, match="another"):
        Outbox(path)  # the file of the lock cannot be opened


def test_the_page_shows_it(state_dir: Path) -> None:
    """A page that runs as another user would show machines without any history, and no reason."""
    past = Past(state_dir, Workers(1, "past"))
    with as_another_user():
        assert asyncio.run(past.machines()) == []
    assert REASON in past.trouble
