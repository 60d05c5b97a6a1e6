"""The web page in a real browser, beside a real daemon with healthy and faulty machines."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from monitor.web.users import Role
from tests.browser import PHONE, Viewer
from tests.browser_fixtures import Kind
from tests.browser_site import ENDED, HEALTHY, OPEN, Site
from tests.command_line import auscult
from tests.daemons import documents
from tests.mosquitto import Subscriber, free_port
from tests.web_app import PASSWORD, served
from tests.web_server import web_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

ALONE = {
    "minutes": 1,
    "ratio_min": 0.8,
    "ratio_mean": 0.8,
    "ratio_max": 0.8,
    "level_dbfs": -25.0,
    "operation": None,
    "state": "ok",
    "scored_s": 9.0,
    "received_s": 9.0,
    "lost_s": 0.0,
    "running_s": 9.0,
    "n_scores": 9,
}
DRAWN_PIXELS = """() => {
  const canvas = document.querySelector("#history-chart canvas");
  const line = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  const wanted = [1, 3, 5].map((at) => parseInt(line.slice(at, at + 2), 16));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (wanted.every((value, channel) => Math.abs(data[at + channel] - value) < 8)) count += 1;
  return count;
}"""
PAGES = ["", f"machine/{OPEN}", f"machine/{HEALTHY}", "alerts", "health"]


def alert_of(viewer: Viewer, machine: str) -> str:
    """The id of the alert of a machine, from the list of alerts; its page is then open."""
    page = viewer.open("alerts")
    page.locator(".alert-row", has_text=machine).first.locator("a").click()
    expect(page.locator("h1")).to_have_text(machine)
    return page.url.rsplit("/", 1)[1]


def test_the_fault_appears_on_the_overview_before_the_healthy_machine(viewer: Viewer) -> None:
    """Who looks at the page would not see which machine needs somebody."""
    page = viewer.open("")
    expect(page.locator(f'#attention .tile[data-machine="{OPEN}"]')).to_contain_text(
        "Anomaly", timeout=30_000
    )
    expect(page.locator(f'#others .tile[data-machine="{HEALTHY}"]')).to_contain_text("OK")
    expect(page.locator("#summary")).to_contain_text(re.compile(r"\d anomal"))
    expect(page).to_have_title(re.compile(r"\(\d\) Machines · Auscult"))


def test_times_are_those_of_the_viewer(viewer: Viewer) -> None:
    """A reader would compare a time of the node's zone with a watch."""
    page = viewer.open("")
    expect(page.locator("#zone")).to_have_text(re.compile(r"Times: Europe/Berlin, UTC\+[12]"))


def test_a_lost_connection_is_shown_until_it_is_back(browser: Browser, site: Site) -> None:
    """Old values would look like those of now."""
    address = {"AUSCULT_WEB__LISTEN": f"127.0.0.1:{free_port()}"}
    environment = site.watched.environment | address
    with web_server(site.watched.config, environment, log="first.log") as server:
        viewer = Viewer(browser, server.url)
        page = viewer.open("")
        expect(page.locator("#connection")).to_have_text("live")
        server.end(signal.SIGKILL)
        expect(page.locator("#connection")).to_have_text("connection lost")
    with web_server(site.watched.config, environment, log="second.log"):
        expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    viewer.close()


def test_a_keyboard_reaches_every_machine(viewer: Viewer) -> None:
    """Somebody who cannot use a mouse could not open a machine."""
    page = viewer.open("")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".tile-name").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(re.compile(r"\w+-\d"))


@pytest.mark.parametrize("path", PAGES)
def test_every_page_fits_its_window_and_keeps_nobody_out(path: str, viewer: Viewer) -> None:
    """A phone would have to scroll sideways, or a screen reader could not read the page."""
    page = viewer.open(path)
    expect(page.locator("#zone")).not_to_be_empty()
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []


def test_the_machine_shows_its_state_and_its_history(viewer: Viewer) -> None:
    """A technician could not see since when and how badly the machine is faulty."""
    page = viewer.open(f"machine/{OPEN}")
    expect(page.locator("#state")).to_have_text("Anomaly")
    expect(page.locator("#since")).to_have_text(re.compile(r"since \d\d:\d\d \(.+\)"))
    expect(page.locator("#ratio")).to_have_text(re.compile(r"[\d.,]+ \u00d7"))
    expect(page.locator("#events")).to_contain_text("Alert raised")
    page.get_by_role("button", name="1 h").click()
    expect(page.locator(".chart-summary")).to_contain_text("1 alert", timeout=90_000)
    page.locator(".alert-flag").first.click()
    expect(page.locator("#status")).to_have_text("Alert, still open")


def test_a_minute_without_neighbours_is_drawn(viewer: Viewer) -> None:
    """The score of a machine that runs for a moment now and then would not be in its history."""

    def alone(route: Route) -> None:
        answer = route.fetch().json()
        row = dict(ALONE, minute=int(answer["until"] // 60) - 30)
        route.fulfill(json=answer | {"minutes": [row], "alerts": []})

    viewer.page.route("**/history?*", alone)
    page = viewer.open(f"machine/{OPEN}")
    page.get_by_role("button", name="1 h").click()
    expect(page.locator(".chart-summary")).to_contain_text("highest score 0.8")
    assert page.evaluate(DRAWN_PIXELS) > 5
    page.unroute_all(behavior="wait")  # no answer is under way when the window closes


def test_a_muted_machine_sends_no_alert(viewer: Viewer, kind: Kind, site: Site) -> None:
    """Somebody who works on a machine would wake up others."""
    with Subscriber(site.broker, client_id=f"listener-{kind.waiting}") as subscriber:
        page = viewer.open(f"machine/{kind.waiting}")
        page.get_by_role("button", name="Mute").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("No new alert of this machine is sent")
        assert viewer.barriers() == []
        dialog.get_by_label("Note").fill("oil change")
        dialog.get_by_role("button", name="Mute").click()
        expect(dialog).to_have_count(0)
        expect(page.locator("#state")).to_have_text("Muted")
        site.break_machine(kind.waiting)
        expect(page.locator("#explanation")).to_contain_text(
            "without the mute: Anomaly", timeout=20_000
        )
        expect(page.locator("#events")).to_contain_text("oil change", timeout=40_000)
        assert documents(subscriber, f"/{kind.waiting}/alert") == []
        page.get_by_role("button", name="End the mute").click()
        page.get_by_role("dialog").get_by_role("button", name="End the mute").click()
        expect(page.locator("#state")).to_have_text("Anomaly", timeout=20_000)


def test_a_label_is_stored_and_shown_by_the_history(viewer: Viewer, kind: Kind, site: Site) -> None:
    """The label of an alert would be lost."""
    alert_id = alert_of(viewer, ENDED)
    page = viewer.page
    note = f"bearing replaced ({kind.name})"
    page.get_by_label("Note").fill(note)
    expect(page.locator("#labels")).to_contain_text("The machine was healthy")
    held: list[Route] = []
    refresh = re.compile(r"/api/alert/[^/]+$")
    page.route(refresh, lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    label = "Sensor problem" if kind.is_below_path else "Fault"
    page.get_by_role("button", name=label).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You can choose another label later")
    assert viewer.barriers() == []
    dialog.get_by_role("button", name=label).click()
    expect(page.locator(".stored")).to_have_text(re.compile("Stored: (Fault|Sensor problem)."))
    event = page.locator("#events .event", has_text=note)
    expect(event).to_have_count(1)  # at once: the page has not asked the history, or has no answer
    page.unroute_all()
    for route in held:
        route.continue_()
    expect(event.locator(".event-by")).to_have_count(1)  # as the history has it
    expect(event).to_have_count(1)
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []
    page.reload()
    expect(page.locator("#verdict")).to_contain_text(note)
    done = auscult("history", ENDED, "--config", site.watched.config, "--json")
    assert done.status == 0, done.err
    alert = next(one for one in json.loads(done.out)["alerts"] if one["alert_id"] == alert_id)
    assert alert["note"] == note
    assert alert["label"] == ("sensor" if kind.is_below_path else "fault")


def test_an_alert_is_acknowledged(viewer: Viewer, kind: Kind, site: Site) -> None:
    """Two technicians would drive to the same machine."""
    site.break_machine(kind.waiting)  # if no other test has done it
    page = viewer.open(f"machine/{kind.waiting}")
    page.get_by_role("link", name="Listen to the alert").click()
    page.get_by_role("button", name="Acknowledge").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Everybody sees")
    dialog.get_by_role("button", name="Cancel").click()  # a wrong tap changes nothing
    expect(page.locator("#verdict")).to_contain_text("Not acknowledged")
    page.get_by_role("button", name="Acknowledge").click()
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#verdict")).to_have_text("Acknowledged")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.get_by_role("link", name="Machines").click()
    tile = page.locator(f'.tile[data-machine="{kind.waiting}"]')
    expect(tile).to_contain_text("acknowledged")


def test_a_wrong_tap_on_a_label_changes_nothing(viewer: Viewer, site: Site) -> None:
    """A finger that slips would label an alert, and its sound would be relearned as healthy."""
    alert_id = alert_of(viewer, OPEN)
    page = viewer.page
    for label in ("Fault", "False alarm", "Sensor problem", "Ignore"):
        page.get_by_role("button", name=label).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    found = httpx.get(f"{site.plain.url}/api/alert/{alert_id}", timeout=20).json()
    assert found["alert"]["label"] == ""


def test_a_cleared_alert_says_that_it_has_ended(viewer: Viewer) -> None:
    """The page would say that a healthy machine still has an open alert."""
    alert_of(viewer, ENDED)
    area = viewer.page.locator("#acknowledge")
    expect(area).to_contain_text("The alert has already ended.")
    expect(area).not_to_contain_text("stays open")


def test_the_health_shows_what_is_not_about_sound(viewer: Viewer) -> None:
    """A full disk or a lost broker would not be seen."""
    page = viewer.open("health")
    expect(page.locator("#processes")).to_contain_text("has been running for")
    expect(page.locator("#delivery")).to_contain_text("MQTT 5")
    expect(page.locator("#disk")).to_contain_text("GB")
    expect(page.locator("#coverage")).to_contain_text(OPEN)
    expect(page.locator("#connection")).to_have_text("live", timeout=15_000)


@pytest.mark.parametrize(("user", "may_change"), [("anna", True), ("board", False)])
def test_a_login_leads_back_and_only_an_operator_sees_buttons(
    user: str, may_change: bool, browser: Browser, tmp_path: Path
) -> None:
    """Somebody who follows a link in an alert would not arrive, or be offered what is refused."""
    users = {"anna": Role.OPERATOR, "board": Role.VIEWER}
    with served(tmp_path, users=users) as page_only:
        viewer = Viewer(browser, page_only.url, PHONE)
        page = viewer.open("machine/pump-7")
        expect(page.locator("h1")).to_have_text("Log in")
        assert viewer.overflow_px() <= 0
        assert viewer.barriers() == []
        page.get_by_label("User").fill(user)
        page.get_by_label("Password").fill("wrong horse")
        page.keyboard.press("Enter")
        expect(page.locator(".form-error")).to_contain_text("wrong")
        viewer.troubles.clear()  # the browser reports the status 401
        page.get_by_label("User").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_have_text("pump-7")
        expect(page.get_by_role("button", name="Mute")).to_have_count(int(may_change))
        page.get_by_role("button", name=f"Log out {user}").click()
        expect(page.locator("h1")).to_have_text("Log in")
        viewer.close()
        assert viewer.troubles == []
