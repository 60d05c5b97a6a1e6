"""What the page says itself about the state of the daemon, of alerts and of learning."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from monitor.clock import rfc3339
from monitor.errors import UsageError
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.notify.incident import Incident
from monitor.text.wording import duration
from monitor.web.context import Context
from monitor.web.texts import Texts, as_sentence
from tests.browser import PHONE, Viewer
from tests.histories import tally
from tests.test_web_evidence import write_pictured_piece
from tests.web_app import ALERT_ID, Served, machine, served

LEARNED: dict[str, Any] = {
    "stage": "armed",
    "percent": 100,
    "pieces": 1,
    "bundle": "2026-11-22-2",
    "bundles": 2,
    "earlier_bundles": 1,
    "set_aside": 0,
    "text": "armed",
}
BEGAN_S = time.time() - 900.0
HELD_BACK_S, LASTED_S = 55.0, 96.0
"""The fault begins during a mute: its alert is raised when the mute has ended."""


def times(unix_s: float) -> dict[str, Any]:
    return {"at": rfc3339(unix_s), "at_unix_s": unix_s, "machine": "pump-7"}


def fill(context: Context) -> None:
    """An alert that has ended, with a peak that no minute has; and some other events."""
    about: dict[str, Any] = {
        "alert_id": ALERT_ID,
        "machine": "pump-7",
        "started_at": rfc3339(BEGAN_S),
    }
    messages: dict[str, tuple[float, dict[str, Any]]] = {
        "raised": (HELD_BACK_S, {"ratio": 6.56, "peak_score": 6.56, "threshold": 1.0}),
        "cleared": (LASTED_S, {"ratio": 0.4, "reason": "recovered"}),
    }
    events = [
        Event(
            **times(BEGAN_S + later_s),
            kind=kind,
            alert_id=ALERT_ID,
            event_id=kind,
            payload=about | {"kind": kind, "at": rfc3339(BEGAN_S + later_s)} | values,
        )
        for kind, (later_s, values) in messages.items()
    ]
    warning = {"is_on": True, "detail": "2 dB louder"}
    state = {"reason": "", "detail": "the score stays above it"}
    events += [
        Event(**times(BEGAN_S), kind="warning", value="level_shift", payload=warning),
        Event(**times(BEGAN_S), kind="bundle", value="0123456789abcdef" * 4),
        Event(**times(BEGAN_S), kind="state", value="warning", payload=state),
    ]
    minutes = {("pump-7", int(time.time() // 60) - ago): tally(0.4) for ago in range(1, 30)}
    store = HistoryStore(context.state_dir / "history.sqlite3")
    store.write(minutes, events, durable=False)
    store.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, prepare=fill) as running:
        running.daemon.machines = [machine(learning=LEARNED)]
        yield running


@pytest.fixture
def viewer(app: Served, browser: Browser) -> Iterator[Viewer]:
    one = Viewer(browser, app.url, PHONE)
    yield one
    one.close()
    assert one.troubles == []


def in_browser(test: Any) -> Any:
    return pytest.mark.slow(pytest.mark.xdist_group("browser")(test))


@in_browser
def test_an_alert_lasted_as_long_as_in_its_message(viewer: Viewer) -> None:
    """The page would say "lasted 41 s", and the message of the same alert "96 seconds"."""
    at = [rfc3339(BEGAN_S + later_s) for later_s in (0.0, LASTED_S)]
    incident = Incident(
        key=ALERT_ID, kind="alert", machine="pump-7", position=0, started_at=at[0], ended_at=at[1]
    )
    lasted = duration(incident.lasted_s()).replace(" seconds", " s")
    row = viewer.open("alerts").locator("#alerts .alert-row")
    expect(row.locator(".alert-lasted")).to_have_text(f"lasted {lasted}")
    expect(row.locator(".alert-ratio")).to_have_text("6.6 \u00d7 the threshold")
    facts = viewer.open(f"alert/{ALERT_ID}").locator("#facts")
    expect(facts).to_contain_text(f"lasted {lasted}")
    expect(facts).to_contain_text("Fault began")
    expect(facts).to_contain_text(ALERT_ID)


@in_browser
def test_an_open_alert_has_lasted_since_its_fault_began(viewer: Viewer, app: Served) -> None:
    """The page would count from the alert on, and messages and `auscult status` from the fault."""
    began, raised = (rfc3339(time.time() - ago_s) for ago_s in (7200.0, 3000.0))
    anomaly = machine(state="anomaly", since=raised, alert_id=ALERT_ID, learning=LEARNED)
    app.daemon.machines = [anomaly | {"alert": {"alert_id": ALERT_ID, "started_at": began}}]
    expect(viewer.open("").locator(".tile-since")).to_have_text("for 2 h")
    expect(viewer.open("machine/pump-7").locator("#since")).to_contain_text("(2 h)")


@in_browser
def test_the_summary_of_a_chart_has_the_peak_of_its_alert(viewer: Viewer) -> None:
    """Until the minute is written, the chart would deny the score of the alert that it shows."""
    page = viewer.open("machine/pump-7")
    summary = page.locator(".chart-summary")
    expect(summary).to_contain_text("highest score 6.6 \u00d7 the threshold")
    expect(page.locator(".legend .warning")).to_be_hidden()  # no such line is drawn
    page.get_by_role("button", name="1 year").click()
    this_year = str(time.localtime().tm_year)
    expect(summary).to_contain_text(re.compile(rf"^\w+ \d+, \d+, .* to \w+ \d+, {this_year}, "))


@in_browser
def test_events_say_as_much_as_the_history(viewer: Viewer) -> None:
    """A reader of the page would not learn how much louder a machine is, or which bundle it has."""
    events = viewer.open("machine/pump-7").locator("#events")
    expect(events).to_contain_text("Warning: level (2 dB louder)")
    expect(events).to_contain_text("Bundle in use: 0123456789ab")
    expect(events).to_contain_text("State: Warning (the score stays above the warning threshold")


@in_browser
def test_without_a_daemon_the_page_blames_neither_sound_nor_log(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody would look for a broken microphone, and press buttons that nothing answers."""
    monkeypatch.setattr("monitor.web.daemon_link.possible_paths", lambda *_, **__: [])
    page = viewer.open("")
    expect(page.locator(".banner.urgent")).to_have_text(re.compile("Monitoring has stopped"))
    expect(page.locator(".banner")).not_to_contain_text("`")
    expect(page.locator("#summary")).to_have_text("1 unknown")
    expect(page.locator('.tile use[href="#icon-unknown"]')).to_have_count(1)
    expect(viewer.open("machine/pump-7").locator("#state")).to_have_text("Unknown")
    expect(page.locator("#actions")).to_be_hidden()
    expect(viewer.open(f"alert/{ALERT_ID}").locator("#labelling")).to_be_hidden()
    expect(viewer.open("health").locator("#no-warnings")).to_contain_text("Not known")


@in_browser
def test_learning_and_relearning_are_described_by_the_page(viewer: Viewer, app: Served) -> None:
    """The page would show commands of a terminal, and offer what is refused afterwards."""
    text = "a new bundle is being trained: see auscult relearn"
    began = rfc3339(time.time() - 180.0)
    app.daemon.relearning = {"step": "training", "text": text, "trouble": "", "began_at": began}
    page = viewer.open("machine/pump-7")
    section = page.locator("#relearning")
    expect(section).to_contain_text("A new bundle is being trained beside the one in use.")
    expect(section).to_contain_text("(3 min ago)")
    expect(page.locator("main")).not_to_contain_text("auscult relearn")
    expect(page.locator("#learning")).not_to_contain_text("armed")  # only "Armed: ..."
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#announcement")).to_have_text("pump-7 uses the previous bundle.")
    app.daemon.machines = [machine(learning=LEARNED | {"earlier_bundles": 0})]
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0, timeout=15_000)
    expect(page.get_by_role("button", name="Learn again")).to_have_count(1)


@in_browser
def test_a_picture_of_sound_states_its_levels_and_its_moment(viewer: Viewer, app: Served) -> None:
    """Nobody could read a level from a colour, or see where in the clip the alert begins."""
    write_pictured_piece(app.state_dir)
    page = viewer.open(f"alert/{ALERT_ID}")
    scales = page.locator("#player .colour-scale")
    expect(scales.first).to_have_text("\u221292\u221221 dB")
    expect(scales.last).to_have_text("\u22122020 dB")
    expect(page.locator("#player .axis-time").first).to_contain_text("Alert raised")
    mark, frame = (page.locator(f"#player .{name}").first for name in ("moment-mark", "picture"))
    share = "one => one.getBoundingClientRect().{}"
    left, begin, width = (
        one.evaluate(share.format(name))
        for one, name in ((mark, "left"), (frame, "left"), (frame, "width"))
    )
    assert (left - begin) / width == pytest.approx(0.75, abs=0.01)  # at 15 of 20 s
    expect(page.locator("#residual .axis-frequency")).to_contain_text("dB")
    expect(page.locator("#no-healthy")).to_be_visible()
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []


@in_browser
def test_the_events_are_below_the_learning_beside_a_tall_relearning(
    app: Served, browser: Browser
) -> None:
    """Half of the page would be empty."""
    app.daemon.relearning = {"step": "training", "text": "", "trouble": "x " * 2000}
    viewer = Viewer(browser, app.url)
    page = viewer.open("machine/pump-7")
    expect(page.locator("#relearning .form-error")).to_contain_text("x x")
    boxes = [page.locator(f"section:has(> #{name}-title)") for name in ("learning", "events")]
    learning, events = (one.bounding_box() for one in boxes)
    viewer.close()
    assert learning is not None
    assert events is not None
    assert learning["x"] == events["x"]
    assert 0 < events["y"] - learning["y"] - learning["height"] < 40


@in_browser
def test_a_mute_shows_who_and_why(viewer: Viewer, app: Served) -> None:
    """Nobody would know whom to ask when the machine is monitored again."""
    until = rfc3339(time.time() + 3600.0)
    muted = machine(state="muted", state_without_mute="ok", muted_until=until)
    app.daemon.machines = [muted | {"mute": {"by": "anna", "note": "oil change"}}]
    expect(viewer.open("").locator(".tile-reason")).to_contain_text("by anna “oil change”")
    explanation = viewer.open("machine/pump-7").locator("#explanation")
    expect(explanation).to_contain_text("by anna “oil change”")


def test_a_refusal_of_the_daemon_is_in_the_words_of_the_page(
    app: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person at the page would read a command, or half a sentence of another program."""

    def refuse(kind: str) -> str:
        def ask(*_: Any, **__: Any) -> dict[str, Any]:
            raise UsageError("machine has nothing new: run auscult label", kind=kind)

        monkeypatch.setattr("monitor.web.daemon_link.ask", ask)
        answer = app.change("/api/machine/pump-7/relearn")
        assert answer.status_code == 400
        return str(answer.json()["error"]["message"])

    assert refuse("nothing_new") == Texts().text("refused.nothing_new")
    assert refuse("of_a_later_release") == "Machine has nothing new: run auscult label."
    assert refuse("") == "Machine has nothing new: run auscult label."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no space left", "No space left."),
        ("/var/x: no permission", "/var/x: no permission."),
        ("mqtt.port is wrong.", "mqtt.port is wrong."),
        ("", ""),
    ],
)
def test_the_text_of_another_program_becomes_a_sentence(text: str, expected: str) -> None:
    """Half a sentence would be among the sentences of the page, or a name would be changed."""
    assert as_sentence(text) == expected


def test_every_kind_of_the_daemon_has_a_text() -> None:
    """The page would show the sentence of the daemon, with its commands."""
    monitor = Path(__file__).resolve().parent.parent / "monitor"
    refusing = ("learning/operators", "learning/relearning/actions", "service/learning_commands")
    sources = "".join((monitor / f"{name}.py").read_text(encoding="utf-8") for name in refusing)
    refused = re.findall(r'kind="(\w+)"', sources) + re.findall(r'else "(no_\w+)"', sources)
    health = (monitor / "service" / "daemon_health.py").read_text(encoding="utf-8")
    document = Texts().document
    assert set(refused) == set(document["refused"])
    assert set(re.findall(r'\badd\("(\w+)"', health)) == set(document["trouble"])
