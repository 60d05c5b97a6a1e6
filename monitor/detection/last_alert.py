"""The alert before the next one: how long ago it was cleared, or whether a stop ended it."""

from __future__ import annotations


class LastAlert:
    """What the detectors of one machine share, because they raise at most one alert at a time.

    State: where the last alert was cleared; whether a stop of the machine ended it, and how many
    samples the machine has run since.
    """

    def __init__(self) -> None:
        self.cleared_sample: int | None = None
        self._stop_ended_it = False
        self._ran_samples = 0

    def cleared(self, at_sample: int) -> None:
        """The sound is healthy again."""
        self.cleared_sample = at_sample

    def stopped(self) -> None:
        """The machine is off: the fault may be back when it runs."""
        self.cleared_sample = None
        self._stop_ended_it, self._ran_samples = True, 0

    def raised(self) -> None:
        """The next alert is raised: what a stop ended is no longer waited for."""
        self._stop_ended_it = False

    def ran(self, samples: int) -> None:
        """The machine has run for so many samples more."""
        self._ran_samples += samples

    def ended_by_stop(self, within_samples: int) -> bool:
        """Whether a stop ended it and the machine has run for at most so many samples since."""
        return self._stop_ended_it and self._ran_samples <= within_samples
