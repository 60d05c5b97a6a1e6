"""Sound in the browser: live, and of alerts, played and shown."""

from __future__ import annotations

import re
import time
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Request, expect

from monitor.domain import FloatArray
from monitor.features.mel_filterbank import band_corners_hz
from monitor.history.store import HistoryStore
from monitor.live.feed import LiveFeed
from monitor.web.context import Context
from tests.browser import Viewer
from tests.browser_site import ENDED, FAULT_HZ, HEALTHY, LIVE
from tests.bundles import SPEC
from tests.histories import alert
from tests.test_live import play, tone
from tests.test_web_evidence import write_piece
from tests.waiting import wait_for
from tests.web_app import ALERT_ID, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

LIGHT_BYTES = 300_000
CENTRES_HZ = band_corners_hz(SPEC.f_min_hz, SPEC.f_max_hz, SPEC.n_mels)[1:-1]


def reddest_hz(picture: Locator, from_column: float = 0.0) -> float:
    """The frequency of the row that is most above the reconstruction, in a share of the columns."""
    redness: list[float] = picture.evaluate(
        """(canvas, share) => {
          const copy = new OffscreenCanvas(canvas.width, canvas.height);
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(canvas, 0, 0);
          const from = Math.floor(share * canvas.width);
          const width = canvas.width - from;
          return Array.from({ length: canvas.height }, (_, row) => {
            const data = context.getImageData(from, canvas.height - 1 - row, width, 1).data;
            let sum = 0;
            for (let at = 0; at < data.length; at += 4) sum += data[at] - data[at + 2];
            return sum / width;
          });
        }""",
        from_column,
    )
    if len(redness) != SPEC.n_mels:  # nothing is drawn yet
        return 0.0
    return float(CENTRES_HZ[int(np.argmax(redness))])


def samples_of(viewer: Viewer, path: str) -> tuple[FloatArray, float]:
    """A clip as the browser decodes it, with its sample rate."""
    content, sample_rate_hz = viewer.clip(path)
    return np.frombuffer(content, np.float32), sample_rate_hz


def level_at(samples: FloatArray, sample_rate_hz: float, hz: float) -> float:
    """The level of a tone above the neighbouring frequencies, in dB."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    at = round(hz * len(samples) / sample_rate_hz)
    tone = power[at - 3 : at + 4].max()
    return float(10 * np.log10(tone / np.median(power[at - 300 : at + 300])))


def open_alert(viewer: Viewer) -> str:
    """The id of the alert whose fault has ended; its page is open, with its pictures."""
    page = viewer.open("alerts")
    page.locator(".alert-row", has_text=ENDED).first.locator("a").click()
    expect(page.locator("#player audio")).to_be_visible()
    return page.url.rsplit("/", 1)[1]


def test_the_live_pictures_show_the_fault_at_its_frequency(viewer: Viewer) -> None:
    """Who places a microphone would see nothing, or a picture that means something else."""
    page = viewer.open(f"machine/{LIVE}")
    difference = page.locator("#live-pictures canvas").nth(2)
    wait_for(
        lambda: abs(reddest_hz(difference, 0.99) - FAULT_HZ) < 150.0, what="the tone in the picture"
    )
    expect(page.locator(".level-number")).to_contain_text("dBFS")
    expect(page.locator(".level-verdict")).to_have_text("good")
    expect(page.locator("#live-nothing")).to_be_hidden()
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []


def test_the_level_says_when_a_microphone_is_too_quiet_or_clips(
    browser: Browser, tmp_path: Path
) -> None:
    """Who places a microphone would not know how to set its gain."""
    feed = LiveFeed("pump-7", tmp_path / "live" / "pump-7.ring")
    n_blocks = count()
    with served(tmp_path) as app:
        app.daemon.watch, app.daemon.ring = feed.watch, feed.path
        viewer = Viewer(browser, app.url)
        page = viewer.open("machine/pump-7")

        def says(words: str, sound: FloatArray) -> bool:
            play(feed, sound, at=next(n_blocks) * len(sound))
            return page.locator(".level-verdict").text_content() == words

        for amplitude, words in (
            (0.0, "Too quiet: raise the gain"),
            (0.1, "good"),
            (3.0, "Clipping: lower the gain"),
            (0.1, "good"),
        ):
            sound = tone(1.0, amplitude=amplitude).clip(-1.0, 1.0)
            wait_for(partial(says, words, sound), what=words)
        viewer.close()
        assert viewer.troubles == []
    feed.end()


def test_a_machine_without_sound_says_so(viewer: Viewer) -> None:
    """An old picture would look like sound of now."""
    page = viewer.open(f"machine/{HEALTHY}")
    expect(page.locator("#live-nothing")).to_be_visible()


def test_the_clip_contains_the_fault_and_its_comparison_does_not(viewer: Viewer) -> None:
    """The technician would hear other sound than that of the alert."""
    alert_id = open_alert(viewer)
    fault = samples_of(viewer, f"evidence/{alert_id}-0/clip.flac")
    healthy = samples_of(viewer, f"healthy/{ENDED}/running/clip.flac")
    assert len(fault[0]) / fault[1] == pytest.approx(30.0, abs=1.0)
    assert level_at(*fault, FAULT_HZ) > 20.0
    assert level_at(*healthy, FAULT_HZ) < 15.0
    phone = samples_of(viewer, f"evidence/{alert_id}-0/clip.opus")
    assert level_at(*phone, FAULT_HZ) > 20.0


def test_the_page_of_an_alert_is_light_and_loads_its_sound_when_it_is_played(
    viewer: Viewer,
) -> None:
    """A phone in a hall would wait for sound that nobody plays."""
    finished: list[Request] = []
    viewer.page.on("requestfinished", lambda request: finished.append(request))  # noqa: PLW0108 - Playwright marks it
    open_alert(viewer)
    viewer.page.wait_for_load_state("networkidle")
    asked = [request.url.rsplit("/", 1)[1].partition("?")[0] for request in finished]
    assert "arrays.bin" in asked
    assert [name for name in asked if name.startswith("clip.")] == []
    n_bytes = sum(request.sizes()["responseBodySize"] for request in finished)
    assert n_bytes < LIGHT_BYTES, n_bytes  # with the page of alerts before it
    viewer.page.locator("#player .picture-frame").first.click()
    audio = viewer.page.locator("#player audio")
    wait_for(lambda: audio.evaluate("(audio) => audio.currentTime") > 1.0, what="the clip plays")


def test_the_clip_plays_and_a_click_on_the_picture_seeks(viewer: Viewer) -> None:
    """The technician could not listen to the moment that the picture shows."""
    open_alert(viewer)
    page = viewer.page
    audio = page.locator("#player audio")
    assert audio.evaluate("(audio) => audio.play().then(() => true)")
    wait_for(lambda: audio.evaluate("(audio) => audio.currentTime") > 0.2, what="the clip plays")
    picture = page.locator("#player .picture-frame").first
    picture.scroll_into_view_if_needed()
    width: float = picture.evaluate("(frame) => frame.clientWidth")
    picture.click(position={"x": 0.8 * width, "y": 20})
    at_s = audio.evaluate("(audio) => audio.currentTime")
    assert at_s == pytest.approx(0.8 * 30.0, abs=1.0)
    playhead = page.locator("#player .playhead").first
    wait_for(lambda: "translateX" in (playhead.get_attribute("style") or ""), what="the line moves")


def test_the_pictures_of_the_alert_show_the_fault_and_healthy_sound_does_not(
    viewer: Viewer,
) -> None:
    """The technician would look for the fault at another frequency."""
    open_alert(viewer)
    page = viewer.page
    difference = page.locator("#player canvas").nth(2)
    wait_for(lambda: abs(reddest_hz(difference, 0.6) - FAULT_HZ) < 150.0, what="the tone")
    expect(page.locator("#residual")).to_contain_text("3 kHz")
    page.get_by_role("radio", name="Healthy, to compare").check()
    expect(page.locator(".clip-note")).to_contain_text("running")
    wait_for(lambda: abs(reddest_hz(difference) - FAULT_HZ) > 150.0, what="the healthy picture")
    expect(page.locator("#player audio")).to_have_attribute("aria-label", "Healthy, to compare")
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []


def test_the_page_of_a_new_alert_counts_down_to_its_sound(browser: Browser, tmp_path: Path) -> None:
    """Who listens at once would read that no sound is kept, and leave."""

    def raise_alert(context: Context) -> None:
        store = HistoryStore(context.state_dir / "history.sqlite3")
        raised = alert("raised", time.time(), ALERT_ID, machine="pump-7")
        store.write({}, [raised], durable=True)
        store.close()

    with served(tmp_path, prepare=raise_alert, sound_after_s=3.0) as app:
        viewer = Viewer(browser, app.url)
        page = viewer.open(f"alert/{ALERT_ID}")
        text = page.locator("#no-evidence")
        expect(text).to_have_text(re.compile(r"still being recorded, ready in (\d+ s|a moment)"))
        expect(text).to_have_text(re.compile("ready in a moment"), timeout=10_000)
        write_piece(app.state_dir)
        expect(text).to_contain_text("No sound", timeout=10_000)  # the piece has no pictures
        assert viewer.troubles == []
        viewer.close()
