"""The process that diagnoses the sound of an alert."""

from __future__ import annotations

import errno
import json
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.diagnosis.child import diagnosis_of, used_part
from monitor.diagnosis.healthy_files import recordings_of
from monitor.diagnosis.recordings import read_beginning
from monitor.diagnosis.settings import ShaftSettings
from monitor.errors import BadInputError
from monitor.evidence.clip import Judge, Request
from monitor.evidence.folder import EvidenceFolder
from monitor.evidence.piece_files import kept_request
from monitor.model.bundle import Bundle
from monitor.service.diagnosing import Diagnosing
from monitor.service.diagnosis_process import DiagnosisProcess
from monitor.uuid7 import uuid7
from tests.diagnosed_sounds import RATE_HZ, healthy_pieces, impacts, machine
from tests.kept_healthy import AT

OUTER_RACE_HZ = 86.0


def asked(folder: Path, *, n_healthy: int = 4, start_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """The request for 30 s of sound, the second half of it with impacts."""
    healthy = []
    for number, samples in enumerate(healthy_pieces(n_healthy, 10.0)):
        healthy.append(str(folder / f"{number}.flac"))
        soundfile.write(healthy[-1], samples, RATE_HZ)
    samples = machine(30.0, 7)
    samples[15 * RATE_HZ :] += impacts(15.0, OUTER_RACE_HZ, 3)
    soundfile.write(folder / "alert.flac", samples, RATE_HZ)
    sound = str(folder / "alert.flac")
    return {"sound": sound, "start_s": start_s, "gaps": [], "healthy": healthy, "shaft": {}} | more


def test_what_a_page_draws_belongs_to_its_finding(tmp_path: Path) -> None:
    """The marked lines would be beside the peaks."""
    result = diagnosis_of(asked(tmp_path, start_s=15.0))
    assert len(json.dumps(result)) < 60_000
    first = result["findings"][0]
    assert first["rate_hz"] == pytest.approx(OUTER_RACE_HZ, rel=0.005)
    spectrum = result["spectra"][first["spectrum"]]
    assert spectrum["of"] == "envelope"
    assert spectrum["band_hz"] == first["band_hz"]
    assert spectrum["comb_hz"][:2] == pytest.approx([OUTER_RACE_HZ, 2 * OUTER_RACE_HZ], rel=0.005)
    level_db, healthy_db = np.array(spectrum["level_db"]), np.array(spectrum["healthy_db"])
    at = round(spectrum["comb_hz"][0] / spectrum["step_hz"])
    near = slice(at - 2, at + 3)
    assert level_db[near].max() > healthy_db[near].max() + 6.0
    low_hz, high_hz = first["listen_hz"]
    assert low_hz < 3200.0 < high_hz  # where the impacts ring
    assert (result["start_s"], result["seconds"]) == (15.0, 15.0)


def test_with_too_little_healthy_sound_nothing_is_stated(tmp_path: Path) -> None:
    """What is normal for the machine would be named as a fault."""
    result = diagnosis_of(asked(tmp_path, n_healthy=2))
    assert result["findings"] == []
    assert result["spectra"] == []
    assert "too little" in result["notes"][0]


def test_a_recording_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """One training recording that was damaged since would take the diagnosis from every alert."""
    request = asked(tmp_path, start_s=15.0)
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"RIFF0000WAVE")
    request["healthy"] += [str(damaged), str(tmp_path / "moved.wav")]
    result = diagnosis_of(request)
    assert result["healthy_pieces"] == 4
    assert result["findings"][0]["rate_hz"] == pytest.approx(OUTER_RACE_HZ, rel=0.005)


def test_a_recording_in_a_folder_that_may_not_be_read_is_not_there(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings in a home folder, which the service may not see, would end every diagnosis."""

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setitem(bundle.manifest.provenance, "recordings", [{"name": "/home/anna/1.wav"}])
    monkeypatch.setattr(Path, "stat", refuse)
    assert recordings_of(bundle) == []


def test_a_high_sample_rate_needs_no_more_memory(tmp_path: Path) -> None:
    """Sound of 192 kHz would need 1 GB, and with it the limit of the whole service."""
    path, high_hz = tmp_path / "high.wav", 192_000
    times_s = np.arange(12 * high_hz) / high_hz
    tone = 0.5 * np.sin(2 * np.pi * 1000.0 * times_s)
    soundfile.write(path, tone, high_hz)
    samples, rate_hz = read_beginning(path, 10.0, 48_000)
    assert (rate_hz, len(samples)) == (48_000, 480_000)
    np.testing.assert_allclose(samples[1000:-1000], tone[::4][1000:479_000], atol=1e-3)


class HungryProcess(DiagnosisProcess):
    """Its child needs a gigabyte."""

    COMMAND = (sys.executable, "-c", "import sys; sys.stdin.read(); bytes(10**9)")
    MOST_MEMORY_MB = 100


def kept(folder: Path, bundle: Bundle) -> Request:
    """The request of a piece of 1 s that is in ``folder``."""
    alert_id = str(uuid7())
    piece = folder / alert_id / "0-raised.json"
    piece.parent.mkdir()
    about = {"alert_id": alert_id, "evidence_id": f"{alert_id}-0", "moment": "raised"}
    times = {"at": AT, "starts_at": AT, "at_s": 15.0, "began_s": 10.0, "operation": "running"}
    piece.write_text(json.dumps({"machine": "m", "ratio": 2.0, **about, **times}))
    soundfile.write(piece.with_suffix(".flac"), machine(1.0, 7), RATE_HZ)
    return kept_request(json.loads(piece.read_text()), Judge(bundle.spec, bundle.sha256, bundle))


def diagnosing_in(
    folder: Path, results: queue.Queue[dict[str, Any]], process: DiagnosisProcess
) -> Diagnosing:
    """Diagnoses the pieces in ``folder`` into ``results``."""
    return Diagnosing(
        EvidenceFolder(folder),
        lambda _: ShaftSettings(),
        lambda _, result: results.put(result),
        process,
    )


def test_a_diagnosis_that_needs_too_much_memory_is_ended(tmp_path: Path, bundle: Bundle) -> None:
    """The system would end the daemon, which is in the same unit."""
    request = kept(tmp_path, bundle)
    results: queue.Queue[dict[str, Any]] = queue.Queue()
    diagnosing = diagnosing_in(tmp_path, results, HungryProcess())
    diagnosing.start()
    diagnosing.submit(request)
    (note,) = results.get(timeout=20)["notes"]
    diagnosing.stop()
    assert "more memory than 100 MB" in note


def test_an_alert_that_is_not_diagnosed_says_so(tmp_path: Path, bundle: Bundle) -> None:
    """After a power failure, thirty machines raise alerts: the page of the last ones has no
    reason."""
    request = kept(tmp_path, bundle)
    results: queue.Queue[dict[str, Any]] = queue.Queue()
    diagnosing = diagnosing_in(tmp_path, results, DiagnosisProcess())  # its thread is not started
    for _ in range(Diagnosing.MOST_WAITING + 1):
        diagnosing.submit(request)
    assert results.get_nowait()["notes"] == ["no diagnosis: 20 others wait"]


class SleepingProcess(DiagnosisProcess):
    """Its child does nothing until it is ended."""

    COMMAND = (sys.executable, "-c", "import time; time.sleep(600)")


def test_a_process_that_starts_during_the_stop_is_ended(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run on after the daemon, which then waits for its service to end."""
    begun: queue.Queue[subprocess.Popen[str]] = queue.Queue()
    starts, stopped = threading.Event(), threading.Event()
    popen = subprocess.Popen

    def slow(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        starts.set()
        stopped.wait(20)
        begun.put(process := popen(*arguments, **options))
        return process

    monkeypatch.setattr(Diagnosing, "_STOP_S", 0.0)
    monkeypatch.setattr(subprocess, "Popen", slow)
    diagnosing = diagnosing_in(tmp_path, queue.Queue(), SleepingProcess())
    diagnosing.start()
    diagnosing.submit(kept(tmp_path, bundle))
    assert starts.wait(20)
    diagnosing.stop()
    stopped.set()
    assert begun.get(timeout=20).wait(20) == -signal.SIGKILL


def test_why_sound_cannot_be_read_is_a_sentence(tmp_path: Path, bundle: Bundle) -> None:
    """The note on the page of the alert would begin with the name of a Python class."""
    request = kept(tmp_path, bundle)
    sound = tmp_path / request.alert_id / "0-raised.flac"
    sound.write_bytes(b"no sound")
    results: queue.Queue[dict[str, Any]] = queue.Queue()
    diagnosing = diagnosing_in(tmp_path, results, DiagnosisProcess())
    diagnosing.start()
    diagnosing.submit(request)
    (note,) = results.get(timeout=30)["notes"]
    diagnosing.stop()
    assert note.startswith(f"no diagnosis: {sound}: not an audio file")


def test_sound_that_is_a_gap_is_too_short(tmp_path: Path) -> None:
    """The diagnosis would end with a fault of the program, and without a reason."""
    result = diagnosis_of(asked(tmp_path, n_healthy=0, gaps=[[0.0, 31.0]]))
    assert (result["findings"], result["seconds"]) == ([], 0.0)
    assert "too short" in result["notes"][0]


@pytest.mark.parametrize("gaps", [{"a": 1}, [1.0], [["x", 1.0]], [[0.0, 1.0, 2.0]], 7])
def test_gaps_that_are_damaged_are_named(tmp_path: Path, gaps: object) -> None:
    """The diagnosis of a piece with a damaged description ends with a traceback."""
    with pytest.raises(BadInputError, match=r"description is damaged \(gaps\)"):
        diagnosis_of(asked(tmp_path, n_healthy=0, gaps=gaps))


def test_a_diagnosis_ends_also_if_the_daemon_was_killed() -> None:
    """One that hangs would use its memory until the computer is started again."""
    hangs = (
        "import time; from monitor.diagnosis import child; "
        "child.diagnosis_of = lambda _: time.sleep(600); child.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hangs], input='{"timeout_s": 0}', text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGALRM


def test_a_gap_is_not_compared() -> None:
    """The edges of lost sound would be impacts."""
    second = 10
    assert used_part(300, second, 0.0, []) == (0, 300)
    assert used_part(300, second, 9.0, []) == (90, 300)
    assert used_part(300, second, 25.0, []) == (0, 300)  # 5 s are too little
    assert used_part(300, second, 5.0, [[10.0, 1.0]]) == (111, 300)
    assert used_part(300, second, 5.0, [[18.0, 1.0], [28.0, 2.0]]) == (50, 180)
    assert used_part(300, second, 0.0, [[0.0, 2.0], [15.0, 0.5]]) == (156, 300)
    assert used_part(0, second, 0.0, []) == (0, 0)
