"""Any request, and any damaged file, gives an answer that is no internal error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz.web_requests import ALERT_ID, Fuzzer
from benchmarks.web_fuzzing import fuzz
from tests.web_app import Served, served


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as one:
        yield one


@pytest.mark.parametrize("with_users", [False, True])
def test_random_requests_give_no_internal_error(tmp_path: Path, with_users: bool) -> None:
    """Anybody who reaches the page could fill its log, or stop it."""
    fuzzer, errors = fuzz(tmp_path, 3.0, seed=7, with_users=with_users)
    assert fuzzer.failures == []
    assert errors == []
    assert sum(fuzzer.statuses.values()) > 30  # a clip that is converted takes a second
    assert len(fuzzer.statuses) >= 6  # many different answers


def test_the_fuzzer_finds_an_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above would pass whatever the page answers."""

    def broken(*_: object) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr("monitor.web.machines.unix_time", broken)
    fuzzer, errors = fuzz(tmp_path, 3.0, seed=7, with_users=False)
    assert 500 in {status for status, _ in fuzzer.failures}
    assert errors
    assert Fuzzer.TIMEOUT_S > 0


PATHS = (
    "/",
    "/machine/pump-7",
    "/alerts",
    f"/alert/{ALERT_ID}",
    "/health",
    "/api/overview",
    "/api/machine/pump-7/history",
    "/api/machine/pump-7/events",
    "/api/alerts",
    "/api/health",
    "/metrics",
)


@pytest.mark.parametrize(
    "content",
    [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4000],
    ids=["empty", "text", "torn"],
)
def test_a_damaged_history_is_said_and_the_rest_is_shown(running: Served, content: bytes) -> None:
    """A disk fault of the history would hide the machines too."""
    (running.state_dir / "history.sqlite3").write_bytes(content)
    for path in PATHS:
        answer = running.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in {200, 404}, path
    document = running.get("/api/overview").json()
    assert [one["id"] for one in document["machines"]] == ["pump-7"]
    assert any("history" in line["text"] for line in document["banners"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine": 5}', '{"machine": "x", "at": "y"}'])
def test_damaged_evidence_is_no_evidence(running: Served, text: str) -> None:
    """One torn file would make the page of its alert useless."""
    folder = running.state_dir / "evidence" / ALERT_ID
    folder.mkdir(parents=True)
    (folder / "0-raised.json").write_text(text)
    (folder / "0-raised.flac").write_bytes(b"x")
    assert running.get(f"/api/alert/{ALERT_ID}").status_code == 404
    assert running.get(f"/evidence/{ALERT_ID}-0/clip.flac").status_code == 404


def test_a_missing_state_folder_is_no_error(running: Served) -> None:
    """The page of a node that was just installed would fail."""
    for path in PATHS:
        assert running.get(path).status_code in {200, 404}, path
    assert running.get("/api/overview").json()["banners"] == []
