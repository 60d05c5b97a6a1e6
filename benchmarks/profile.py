"""Where the processor time of one second of sound goes, part by part.

    python -m benchmarks.profile [--minutes M]

The same sound is replayed from a file, and pushed as live sound in blocks of 0.1 s and 0.5 s.
Beside each part is its floor: the transforms, products and sums of the part, in a few calls of
numpy on arrays that exist already. All times are processor time of one thread, so that other
programs have little influence. Each is the shortest of five runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._floors import floors_s
from benchmarks._machine import one_thread, trained_bundle
from benchmarks._stopwatch import Stopwatch
from benchmarks.throughput import ours, write_recording

PARTS = {
    "decode": ("monitor.audio.decoders:BySndfile.blocks", "monitor.audio.files:one_channel"),
    "signal check": ("monitor.audio.scorable_parts:scorable_parts",),
    "capture check": (
        "monitor.detection.capture_check:CaptureCheck.declare",
        "monitor.detection.capture_check:CaptureCheck.receive",
        "monitor.detection.capture_check:CaptureCheck.measure",
        "monitor.detection.capture_check:CaptureCheck.scorable",
    ),
    "resample": ("monitor.audio.resampling:StreamResampler.push",),
    "log-mel": ("monitor.features.log_mel:LogMelStream.of",),
    "envelope": ("monitor.features.envelope:EnvelopeStream.of",),
    "lines": ("monitor.features.line_spectrum:LineStream.of",),
    "graph": ("monitor.model.network:Network.run",),
    "evidence and distances": (
        "monitor.model.scorer:Scorer.scores",
        "monitor.model.recording_score:RecordingScore.extend",
    ),
    "peaks": (
        "monitor.model.peak_scores:PeakScores.above",
        "monitor.model.peak_scores:PeakScores.of_rows",
        "monitor.model.channel_scores:ChannelScorer.push",
    ),
    "long spans": (
        "monitor.model.long_spans:SpanMean.push",
        "monitor.model.channel_scores:ChannelScorer._over_long_span",
        "monitor.model.long_spans:SpanMean.peaks",
    ),
    "operation": ("monitor.detection.operation:OperationFollower.follow",),
    "detection": ("monitor.detection.score_watch:ScoreWatch.push",),
}
REST = "rest"
LIVE_BLOCKS_S = (0.1, 0.5)
RUNS = 5


def live(recording: Path, bundle_path: Path, block_s: float) -> Callable[[], None]:
    """The sound of a recording through the pipeline, in blocks as they come from a microphone."""
    import soundfile

    from monitor.domain import AudioBlock
    from monitor.model.bundle import load_bundle
    from monitor.model.network import Network
    from monitor.pipeline import Pipeline

    bundle = load_bundle(bundle_path)
    network = Network(bundle)
    samples, rate_hz = soundfile.read(recording, dtype="float32")
    n_block = round(block_s * rate_hz)

    def run() -> None:
        pipeline = Pipeline(bundle, network=network, decides_only=True)
        for first in range(0, len(samples), n_block):
            pipeline.push(AudioBlock(samples[first : first + n_block], rate_hz, first))

    return run


def shortest_s(run: Callable[[], None]) -> float:
    """The shortest processor time of some runs."""
    times_s = []
    for _ in range(RUNS):
        started = time.thread_time()
        run()
        times_s.append(time.thread_time() - started)
    return min(times_s)


def parts_of(
    run: Callable[[], None], whole_s: float, seconds: float, stopwatch: Stopwatch
) -> dict[str, float]:
    """The processor time of each part for one second of sound.

    ``whole_s``: of a run that is not measured part by part; what the parts do not have of it is the
    rest.
    """
    best: dict[str, float] = {}
    for _ in range(RUNS):
        stopwatch.restart()
        run()
        own_s = {name: stopwatch.own_s[name] for name in PARTS}
        if not best or sum(own_s.values()) < sum(best.values()):
            best = own_s
    best[REST] = max(0.0, whole_s - sum(best.values()))
    return {name: part_s / seconds for name, part_s in best.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the recording")
    options = parser.parse_args()
    seconds = options.minutes * 60
    bundle_path = trained_bundle()
    with tempfile.TemporaryDirectory() as folder:
        recording = write_recording(Path(folder) / "sound.wav", seconds)
        runs = {"replay": ours(recording, bundle_path)}
        for block_s in LIVE_BLOCKS_S:
            runs[f"live {block_s:g} s"] = live(recording, bundle_path, block_s)
        for run in runs.values():
            run()
        whole_s = {name: shortest_s(run) for name, run in runs.items()}
        floor_s = _floors_of_a_second(bundle_path, recording)
        stopwatch = Stopwatch()
        for name, places in PARTS.items():
            for place in places:
                stopwatch.measure(place, name)
        parts = {
            name: parts_of(run, whole_s[name], seconds, stopwatch) for name, run in runs.items()
        }
    print(
        f"{'microseconds for a second of sound':36}"
        + "".join(f"{n:>12}" for n in (*parts, "floor"))
    )
    for name in (*PARTS, REST):
        figures = "".join(f"{one[name] * 1e6:12.0f}" for one in parts.values())
        floor = f"{floor_s[name] * 1e6:12.0f}" if name in floor_s else f"{'-':>12}"
        print(f"{name:36}{figures}{floor}")
    wholes = "".join(f"{whole_s[name] / seconds * 1e6:12.0f}" for name in parts)
    print(f"{'together':36}{wholes}{sum(floor_s.values()) * 1e6:12.0f}")


def _floors_of_a_second(bundle_path: Path, recording: Path) -> dict[str, float]:
    from monitor.model.bundle import load_bundle
    from monitor.model.network import Network

    bundle = load_bundle(bundle_path)
    floors = floors_s(bundle, Network(bundle), recording)
    return {name: window_s / bundle.spec.window_hop_s for name, window_s in floors}


if __name__ == "__main__":
    one_thread()
    main()
