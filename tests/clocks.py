"""Clocks that tests set."""

from __future__ import annotations

from monitor.clock import Clock

START_UNIX_S = 1_800_000_000.0


class FakeClock(Clock):
    """A clock that shows the same time until a test changes it.

    ``now_s`` is the steady time, ``set_by_s`` how far the system clock is set from the truth.
    """

    def __init__(self, boot_id: str = "boot-1", now_s: float = 1000.0) -> None:
        super().__init__(
            steady_s=lambda: self.now_s,
            unix_s=lambda: self.true_start_unix_s + self.now_s + self.set_by_s,
            boot_id=boot_id,
        )
        self.now_s = now_s
        self.set_by_s = 0.0
        self.true_start_unix_s = START_UNIX_S - now_s

    def reboot(self, boot_id: str, *, off_s: float = 60.0) -> None:
        """Start the computer again: steady time begins anew, and the truth has gone on."""
        self.true_start_unix_s += self.now_s + off_s
        self.now_s = 5.0
        self.true_start_unix_s -= self.now_s
        self.boot_id = boot_id
