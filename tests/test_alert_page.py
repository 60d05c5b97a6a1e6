"""The page of an alert: recorded sound, its reconstruction and the difference."""

from __future__ import annotations

import html
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

from monitor.commands.diagnose import AlertDiagnosis
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.replay import RaisedAlert
from monitor.text.escaping import one_line
from tests.alert_drafts import identified
from tests.bundles import SPEC, machine_sound
from tests.diagnosed_sounds import healthy_pieces, impacts, machine
from training.sound.alert_page import page_writer, reconstruct_section, write_alert_page

RATE_HZ = SPEC.sample_rate_hz


def test_the_residual_is_where_and_when_the_fault_is(
    bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    """The picture shows the fault at another time or in another band."""
    sound = np.concatenate([machine_sound(10, seed=1), machine_sound(10, seed=2, fault=0.1)])
    soundfile.write(tmp_path / "day.wav", sound, RATE_HZ, subtype="FLOAT")
    section = reconstruct_section(tmp_path / "day.wav", bundle, network, 5.0, 18.0)
    assert 5.0 <= section.begin_s < 5.6
    assert section.recorded_db.shape == section.expected_db.shape
    per_frame = section.residual_db.max(axis=0)
    seconds = section.begin_s + np.arange(len(per_frame)) / SPEC.frame_rate_hz
    assert per_frame[seconds > 11].mean() > per_frame[seconds < 9].mean() + 10
    loudest = int(section.residual_db[:, seconds > 11].mean(axis=1).argmax())
    low_hz, high_hz = SPEC.band_edges_hz(loudest)
    assert low_hz - 50 <= 3000 <= high_hz + 50


@pytest.mark.parametrize("stem", [b"n" * 251, b"\xff" * 251, b"latin-\xe9", b"a\nb"])
def test_any_name_of_a_recording_gives_a_page(
    stem: bytes, bundle: Bundle, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report ends with an error, because its page cannot have the name of the recording."""
    monkeypatch.setattr("training.sound.alert_page.png", lambda _figure: b"")  # slow to draw
    recording = tmp_path / os.fsdecode(stem + b".wav")
    soundfile.write(tmp_path / "day.wav", machine_sound(8), RATE_HZ)
    (tmp_path / "day.wav").rename(recording)
    report = tmp_path / "report"
    page_writer(report)(bundle, network, [RaisedAlert(identified(), recording, 5.0)])
    (page,) = report.glob("001-*.html")
    assert quote(page.name) in (report / "index.html").read_text(encoding="utf-8")
    assert one_line(recording.name) in html.unescape(page.read_text(encoding="utf-8"))


def test_the_page_contains_its_picture_and_escapes_names(
    bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    """The name of a recording puts a script into the page, or the picture is missing."""
    soundfile.write(tmp_path / "day.wav", machine_sound(8), RATE_HZ)
    section = reconstruct_section(tmp_path / "day.wav", bundle, network, 0.0, 8.0)
    page = tmp_path / "alert.html"
    write_alert_page(page, section, SPEC, title="<script>x</script>", values={"score": "41 & up"})
    text = page.read_text()
    assert "<script>" not in text
    assert "41 &amp; up" in text
    assert "data:image/png;base64,iVBOR" in text


def test_the_page_names_what_the_alert_sounds_like(
    bundle: Bundle, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader would see that something is wrong, and not what."""
    monkeypatch.chdir(tmp_path)
    for number, samples in enumerate(healthy_pieces(3, 10.0)):
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE_HZ)
    struck = impacts(20.0, 31.0, 1, level=0.3)
    soundfile.write(tmp_path / "day.wav", machine(20.0, 1) + struck, RATE_HZ)
    provenance = {"recordings": [{"name": f"{number}.wav"} for number in range(3)]}
    manifest = bundle.manifest.model_copy(update={"provenance": provenance})
    alert = RaisedAlert(identified(), tmp_path / "day.wav", 12.0)
    write = page_writer(tmp_path / "report", AlertDiagnosis())
    write(replace(bundle, manifest=manifest), network, [alert])
    (page,) = (tmp_path / "report").glob("001-*.html")
    text = page.read_text(encoding="utf-8")
    assert "31.0 impacts per second" in text
    assert text.count("data:image/png;base64,") == 2
    write(bundle, network, [alert])
    assert "compared with healthy recordings" not in page.read_text(encoding="utf-8")
