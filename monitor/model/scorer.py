"""Log-mel windows to scores.

The graph gives loss and evidence for each window. The scorer averages them over a sliding span,
and the head of the bundle gives the score of the average. The average makes the score sensitive:
random variation cancels over some seconds, and the shift of a fault remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from monitor.domain import DoubleArray, FloatArray, LogMelWindow, Score
from monitor.errors import AuscultError, BundleError
from monitor.model.bundle import Bundle
from monitor.model.channel_scores import ChannelScorer
from monitor.model.head import Head, whitened_one_by_one
from monitor.model.network import Network, NetworkOutput, RunsWindows
from monitor.model.recording_score import RecordingScore
from monitor.model.session import first_line

SELFTEST_TOLERANCE = 1e-3

_LOSS, _LEVEL, _BANDS = 0, 1, 2


class Scorer:
    """One machine's scores.

    State: the graph's output for the last windows of unbroken sound, fewer than a span
    (``_rows``: one row for each window, with loss, level, residual, evidence), the start of
    the last window, and whether there was a score since the last gap. The first score comes
    after a whole span; :meth:`flush` scores a shorter recording over its own length. ``whole``
    receives every window. ``min_fault_s``: no shorter sound can raise the scores of long spans.
    """

    def __init__(
        self,
        bundle: Bundle,
        network: RunsWindows | None = None,
        whole: RecordingScore | None = None,
        min_fault_s: float = 0.0,
    ) -> None:
        self._channels = ChannelScorer(bundle, min_fault_s)
        self._peaks = bundle.peaks.scores if bundle.peaks is not None else None
        self._network = network or Network(bundle)
        self._head = bundle.head
        self._needs_samples = bundle.needs_samples
        self._span = bundle.span_windows
        self._spec = bundle.spec
        self._whole = whole
        self.reset()

    def reset(self) -> None:
        """Sound was lost: the next score over the span needs a whole new one."""
        self._channels.reset()
        self._rows: DoubleArray | None = None
        self._last_first_sample: int | None = None
        self._scored = False

    def forget_long(self) -> None:
        """No later score over a long span may depend on the sound so far."""
        self._channels.forget()

    def allow_bounds(self, below: Mapping[int, float] | None) -> None:
        """As :meth:`ChannelScorer.allow_bounds`, and for the windows that follow."""
        self._channels.allow_bounds(below)

    def push(self, windows: Sequence[LogMelWindow]) -> list[Score]:
        """All scores of :meth:`scores`."""
        return list(self.scores(windows))

    def scores(self, windows: Sequence[LogMelWindow]) -> Iterator[Score]:
        """The scores of all channels, in the order of their end.

        Over the span of the bundle, there is one for every window that ends a whole span of
        unbroken sound. What is called between two scores applies to the windows that follow:
        :meth:`forget_long` must not depend on how many windows come at once. All scores must be
        taken.
        """
        if not windows:
            return
        output = self._network.run(
            [window.values_db for window in windows],
            [window.samples for window in windows] if self._needs_samples else (),
        )
        above = [self._above(window) for window in windows]
        if self._whole is not None:
            self._whole.extend(output.evidence, output.loss, above)
        rows = _rows(output, self._head)
        hop = self._spec.window_hop_samples
        firsts = [window.first_sample for window in windows]
        begins = [n for n in range(1, len(firsts)) if firsts[n] != firsts[n - 1] + hop]
        for begin, end in pairwise((0, *begins, len(firsts))):
            if self._last_first_sample != firsts[begin] - hop:
                self.reset()
            over_span = self._push_rows(rows[begin:end], firsts[end - 1])
            n_before = end - begin - len(over_span)
            for index in range(begin, end):
                number = index - begin - n_before
                score = over_span[number] if number >= 0 else None
                if score is not None:
                    yield score
                yield from self._channels.push(rows[index], above[index], windows[index], score)

    def flush(self) -> list[Score]:
        """End the recording: one score over its own length if it was shorter than a span."""
        scores: list[Score] = []
        if self._rows is not None and self._last_first_sample is not None and not self._scored:
            scores += self._scores(self._rows, len(self._rows), self._last_first_sample)
        self.reset()
        return scores

    def _above(self, window: LogMelWindow) -> FloatArray | None:
        """The row of its spectra for the peaks, None without any."""
        if self._peaks is None or not window.spectra:
            return None
        return self._peaks.above(window.spectra)

    def _push_rows(self, new: DoubleArray, last_first_sample: int) -> list[Score]:
        """Take windows that follow the last ones; the newest begins at ``last_first_sample``."""
        rows = new if self._rows is None else np.concatenate((self._rows, new))
        scores = self._scores(rows, self._span, last_first_sample)
        self._rows = rows[max(0, len(rows) - self._span + 1) :]
        self._last_first_sample = last_first_sample
        self._scored = self._scored or bool(scores)
        return scores

    def _scores(self, rows: DoubleArray, n_windows: int, last_first_sample: int) -> list[Score]:
        """The scores of each ``n_windows`` rows; the newest window begins at the sample."""
        n_scores = len(rows) - n_windows + 1
        if n_scores <= 0:
            return []
        means = rows[:n_scores].copy()
        for number in range(1, n_windows):
            np.add(means, rows[number : number + n_scores], means)
        np.divide(means, n_windows, means)
        n_before, hop = _BANDS + self._spec.n_mels, self._spec.window_hop_samples
        values = self._head.scores(means[:, n_before:], means[:, _LOSS]).tolist()
        losses = rows[n_windows - 1 :, _LOSS].tolist()
        levels_db = means[:, _LEVEL].tolist()
        band_errors = means[:, _BANDS:n_before].astype(np.float32)
        end_sample = last_first_sample + self._spec.window_samples - (n_scores - 1) * hop
        first_sample = last_first_sample - (n_scores + n_windows - 2) * hop
        return [
            Score(
                values[number],
                losses[number],
                first_sample + number * hop,
                end_sample + number * hop,
                band_errors[number],
                levels_db[number],
            )
            for number in range(n_scores)
        ]


def _rows(output: NetworkOutput, head: Head) -> DoubleArray:
    """One row for each window: loss, level, residual of each band, whitened evidence."""
    evidence = whitened_one_by_one(output.evidence, head)
    before = output.rows[:, : _BANDS + output.n_mels]
    return np.concatenate((before, evidence), axis=1, dtype=np.float64)


def run_selftest(bundle: Bundle, network: Network) -> None:
    """Score the windows of the bundle's self-test. Raises ``BundleError`` for other results."""
    test = bundle.selftest
    try:
        output = network.run(test.windows_db, test.samples)
    except AuscultError:  # of the encoder
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        raise BundleError(
            f"{bundle.path}/model.onnx: cannot be run ({first_line(error)})"
        ) from error
    evidence = np.asarray(output.evidence.mean(axis=0, dtype=np.float64))
    score = bundle.head.score(evidence, float(output.loss.mean()))
    pairs = (
        ("loss", output.loss, test.loss),
        ("evidence", output.evidence, test.evidence),
        ("score", np.float64(score), np.float64(test.score)),
    )
    for name, actual, expected in pairs:
        if actual.shape != expected.shape or not np.allclose(
            actual, expected, rtol=SELFTEST_TOLERANCE, atol=SELFTEST_TOLERANCE
        ):
            raise BundleError(
                f"{bundle.path}: the self-test gives another {name} than when the bundle was made; "
                "this build of ONNX Runtime computes this model wrongly: use another version"
            )
