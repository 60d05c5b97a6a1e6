"""Log-mel, reconstruction and residual of a clip, and the picture of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monitor.domain import FloatArray
from monitor.evidence.clip import Clip, Judge
from monitor.evidence.images import band_residual_db, frames_of_clip, image_bytes
from monitor.evidence.operating_state import operating_state
from monitor.evidence.picture import MOST_BYTES, picture_bytes
from monitor.evidence.piece_files import begun_clip, begun_files, begun_request, files_of
from monitor.evidence.sound_memory import SoundMemory
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.model.operation import OperatingState, Operation
from tests.bundles import SPEC, machine_sound
from tests.test_evidence_sound import REQUEST

FAULT_HZ = 3000.0


def clip_of(samples: FloatArray, rate_hz: float = 16_000.0) -> Clip:
    return Clip(SoundMemory(len(samples), rate_hz).push(samples), rate_hz, 100.0)


def faulty_after(healthy_s: float, seconds: float = 30.0) -> FloatArray:
    fault = machine_sound(seconds - healthy_s, seed=9, fault=0.1)
    return np.concatenate((machine_sound(healthy_s, seed=8), fault))


def band_of(frequency_hz: float, spec: LogMelSpec = SPEC) -> int:
    return int(np.argmin(np.abs(spec.band_corners_hz[1:-1] - frequency_hz)))


def test_the_log_mel_is_that_of_the_score(network: Network) -> None:
    """The picture would show other values than those that raised the alert."""
    samples = (np.rint(machine_sound(10.0, seed=8) * 2**23) / 2**23).astype(np.float32)
    frames = frames_of_clip(clip_of(samples), SPEC, network)
    assert frames is not None
    expected = log_mel_frames(samples, SPEC).T
    assert np.array_equal(frames.log_mel_db, expected)
    assert frames.reconstruction_db is not None
    assert np.isfinite(frames.reconstruction_db).all()
    first = network.reconstruct(np.ascontiguousarray(expected[:, : SPEC.window_frames]))
    assert np.array_equal(frames.reconstruction_db[:, : SPEC.window_frames], first)


def test_the_residual_shows_the_frequency_and_the_begin_of_a_fault(network: Network) -> None:
    """Somebody would look for the fault at another frequency, or before it began."""
    frames = frames_of_clip(clip_of(faulty_after(12.0)), SPEC, network)
    assert frames is not None
    content, about = image_bytes(frames)
    size = about["n_mels"] * about["n_frames"]
    assert about["images"] == ["log_mel", "reconstruction", "residual"]
    assert len(content) == 3 * size
    image = np.frombuffer(content[2 * size :], np.uint8).reshape(about["n_mels"], -1)
    residual_db = (image.astype(float) - 128.0) / 127.0 * about["residual_db"]
    assert int(residual_db.mean(axis=1).argmax()) == band_of(FAULT_HZ)
    assert about["mel_hz"][band_of(FAULT_HZ)] == pytest.approx(FAULT_HZ, rel=0.03)
    loud = np.flatnonzero(residual_db[band_of(FAULT_HZ)] > about["residual_db"] / 2)
    assert loud[0] * about["hop_s"] == pytest.approx(12.0, abs=0.2)
    profile = band_residual_db(frames, from_s=12.0)
    assert int(np.argmax(profile)) == band_of(FAULT_HZ)
    assert max(profile) > max(band_residual_db(frames, from_s=0.0)) > 3.0


def test_bytes_are_the_decibels_that_the_scale_states(network: Network) -> None:
    """The page would draw colours beside the wrong numbers."""
    frames = frames_of_clip(clip_of(machine_sound(10.0)), SPEC, network)
    assert frames is not None
    content, about = image_bytes(frames)
    size, span_db = about["n_mels"] * about["n_frames"], about["high_db"] - about["low_db"]
    image = np.frombuffer(content[:size], np.uint8).reshape(frames.log_mel_db.shape)
    shown_db = about["low_db"] + image / 255.0 * span_db
    inside = (image > 0) & (image < 255)
    assert inside.mean() > 0.98
    assert np.abs(shown_db - frames.log_mel_db)[inside].max() <= span_db / 255.0 / 2.0 + 1e-4


def test_sound_at_another_rate_is_resampled(network: Network) -> None:
    """The picture of a microphone with 48 kHz would have wrong frequencies."""
    rate_hz = 48_000
    t_s = np.arange(10 * rate_hz) / rate_hz
    tone = (0.1 * np.sin(2 * np.pi * FAULT_HZ * t_s)).astype(np.float32)
    frames = frames_of_clip(clip_of(tone, rate_hz), SPEC, network)
    assert frames is not None
    assert int(frames.log_mel_db.mean(axis=1).argmax()) == band_of(FAULT_HZ)
    assert frames.log_mel_db.shape[1] == pytest.approx(10 * SPEC.frame_rate_hz, abs=2)


def test_no_value_is_computed_across_a_gap(network: Network) -> None:
    """A gap would look like a loud fault at all frequencies."""
    samples = machine_sound(20.0, seed=8)
    samples[8 * 16_000 : 11 * 16_000] = 0.0
    clip = clip_of(samples)
    clip.gaps = [(8.0, 3.0)]
    frames = frames_of_clip(clip, SPEC, network)
    assert frames is not None
    known = np.isfinite(frames.log_mel_db[0])
    edges = np.flatnonzero(np.diff(known.astype(int)))
    assert edges * SPEC.hop_length / 16_000 == pytest.approx([8.0, 11.0], abs=0.1)
    assert frames.residual_db is not None
    assert np.nanmax(np.abs(frames.residual_db)) < 40.0
    _, about = image_bytes(frames)
    assert about["n_frames"] == pytest.approx(20 * SPEC.frame_rate_hz, abs=2)
    assert len(picture_bytes(frames, 10.0)) <= MOST_BYTES


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1, 0.9, 1.1])
def test_short_sound_gives_what_it_can(seconds: float, network: Network) -> None:
    """A restart just after an alert would end the writing thread."""
    request = replace(REQUEST, at_s=100.0, judge=Judge(SPEC, "0" * 64, None, network))
    made = files_of(request, clip_of(machine_sound(2.0)[: round(seconds * 16_000)]))
    assert ("flac" in made.files) == (seconds > 0)
    assert ("bin" in made.files) == (seconds >= 0.1)
    assert made.metadata["seconds"] == seconds
    assert (made.metadata["incomplete"] is None) == (seconds >= 0.1)


def test_without_its_bundle_a_piece_has_no_reconstruction(bundle: Bundle) -> None:
    """A piece would show a reconstruction by another network as that of the alert."""
    request = replace(REQUEST, judge=Judge(bundle.spec, bundle.sha256))
    made = files_of(request, clip_of(machine_sound(5.0)))
    assert made.metadata["log_mel"]["images"] == ["log_mel"]
    assert made.metadata["band_residual_db"] == []
    assert "no longer there" in made.metadata["incomplete"]
    assert "png" in made.files


def test_the_picture_shows_the_fault(network: Network) -> None:
    """A person with a phone would see no difference between before and after."""
    frames = frames_of_clip(clip_of(faulty_after(15.0)), SPEC, network)
    assert frames is not None
    content = picture_bytes(frames, 15.0)
    assert len(content) <= MOST_BYTES
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    assert width <= 640
    difference = pixels[height // 2 :]
    red = (difference[..., 0] > 150) & (difference[..., 1] < 90) & (difference[..., 2] < 90)
    row = int(red.sum(axis=1).argmax())
    columns = np.flatnonzero(red[row])
    assert columns[0] == pytest.approx(46 + 576 / 2, abs=8)
    assert len(columns) > 250


@pytest.mark.parametrize("n_mels", [1, 24, 64, 128, 200, 512])
@pytest.mark.parametrize("seconds", [1.1, 30.0])
def test_no_picture_is_larger_than_its_limit(n_mels: int, seconds: float) -> None:
    """A broker would refuse it and close the connection on which alerts are sent."""
    spec = LogMelSpec(n_mels=n_mels, n_fft=2048)
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    frames = frames_of_clip(clip_of(noise), spec, None)
    assert frames is not None
    rng = np.random.default_rng(1)
    wild = rng.normal(0, 20, frames.log_mel_db.shape).astype(np.float32)
    for values in (frames.log_mel_db, wild):
        content = picture_bytes(replace(frames, reconstruction_db=values), seconds / 2)
        assert len(content) <= MOST_BYTES
        with Image.open(io.BytesIO(content)) as image:
            image.verify()


def test_the_operating_state_is_the_nearest_one(bundle: Bundle) -> None:
    """A healthy clip for comparison would be one of another speed."""
    quiet = log_mel_frames(machine_sound(5.0), SPEC)
    levels = [float(v) for v in np.percentile(quiet, 10, axis=0)]
    louder = [v + 20.0 for v in levels]
    states = [
        OperatingState(name=name, is_off=off, share=0.3, level_db=0.0, low_level_db=tuple(values))
        for name, off, values in (
            ("running", False, louder),
            ("running 2", False, levels),
            ("off", True, levels),
        )
    ]
    operation = Operation(quiet_db=tuple(levels), states=tuple(states))
    manifest = bundle.manifest.model_copy(update={"operation": operation})
    known = replace(bundle, manifest=manifest)
    assert operating_state(quiet.T, known, "running") == "running 2"
    assert operating_state(quiet.T + 20.0, known, None) == "running"
    assert operating_state(quiet.T, known, "off") == "off"
    assert operating_state(quiet[:10].T, known, "running") == "running"
    assert operating_state(quiet.T, bundle, None) is None


def test_what_was_begun_can_be_completed(bundle: Bundle, network: Network, tmp_path: Path) -> None:
    """The sound before a power cut could not be read again."""
    judge = Judge.of(bundle, network)
    request = replace(REQUEST, judge=judge, at_s=115.0, began_s=110.0, operation="running")
    clip = clip_of(machine_sound(15.0))
    clip.scores, clip.gaps = [(1.0, 2.0, 3.0)], [(4.0, 0.5)]
    files = begun_files(request, clip)
    described = json.loads(files["json"])
    (tmp_path / "x.flac.part").write_bytes(files["flac"])
    again = begun_request(described, {"m": judge})
    assert again == request
    read = begun_clip(described, tmp_path / "x.flac.part", "killed")
    assert np.array_equal(read.rows, clip.rows)
    assert (read.first_s, read.scores, read.gaps) == (100.0, clip.scores, clip.gaps)
    other = begun_request(described, {"m": replace(judge, sha256="1" * 64)})
    assert other.judge.network is None
    damages: list[dict[str, object]] = [
        {"moment": "x"},
        {"alert_id": "../x"},
        {"features": None},
        {"at_s": []},
    ]
    for damage in damages:
        with pytest.raises(ValueError, match=r"."):
            begun_request(described | damage, {})
