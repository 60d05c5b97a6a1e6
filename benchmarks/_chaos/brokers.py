"""The broker, the network to it and the subscriber, with their failures."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks._chaos.network import Network
from benchmarks._chaos.troubles import Trouble
from tests.daemons import ROOT
from tests.mosquitto import Mosquitto

BASE = "auscult/chaos"
_AIM_LASTS_S = 10.0


class Brokers:
    """One broker after the other, each with its limits.

    ``after``: does something later. ``done``: how often each kind of failure happened.
    ``limits``: how many brokers had each limit. ``received``: the file of the subscriber.
    """

    def __init__(
        self,
        folder: Path,
        rng: random.Random,
        done: Counter[str],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.received = folder / "received"
        self.limits: Counter[str] = Counter()
        self._rng, self._done, self._after = rng, done, after
        self._broker = Mosquitto(folder / "broker")
        self._config = folder / "broker" / "mosquitto.conf"
        self._basis = self._config.read_text()
        self._next_limits: tuple[str, ...] = ()
        self._network = Network(self._broker.port)
        self._subscriber: subprocess.Popen[bytes] | None = None
        self._comes = False
        self._subscriptions_seen = 0
        self._cut_until_s = 0.0

    @property
    def port(self) -> int:
        """Where the daemon connects."""
        return self._network.port

    def start(self) -> None:
        """Start the broker and the subscriber."""
        self._start()
        module = [sys.executable, "-m", "benchmarks._chaos.subscriber"]
        subscription = [str(self._broker.port), f"{BASE}/+/alert", str(self.received)]
        self._subscriber = subprocess.Popen([*module, *subscription], cwd=ROOT)

    def close(self) -> None:
        """End both."""
        if self._subscriber is not None and self._subscriber.poll() is None:
            self._subscriber.kill()
            self._subscriber.wait()
        self._network.close()
        self._broker.resume()
        self._broker.kill()

    def look_after(self) -> None:
        """Start again what was killed, and open the network when it is time."""
        if not self._broker.running and not self._comes:  # killed at a chosen moment
            self._died(self._rng.uniform(0, 2.0))
        is_time = time.monotonic() >= self._cut_until_s
        if self._broker.running and is_time and self._subscribed():
            self._network.open()

    def calm_down(self) -> None:
        """Plan no kill any more."""
        self._network.forget_ambush()

    def strike(self, trouble: Trouble) -> None:
        """Kill the broker, now or at the moment that is the aim."""
        self._next_limits = trouble.limits
        if not self._broker.running:
            self._after(1.0, lambda: self.strike(trouble))
        elif trouble.aim:
            self._network.ambush(trouble.aim, self._broker.kill)
            if trouble.aim == "connecting":
                self._network.cut()
            self._after(_AIM_LASTS_S, self._kill_if_missed)
        else:
            self._broker.kill()

    def pause(self, trouble: Trouble) -> None:
        """Stop the broker for a while, without ending it."""
        if not self._network.is_open:
            self._after(1.0, lambda: self.pause(trouble))
            return
        self._broker.pause()
        self._done["pause broker"] += 1
        self._after(trouble.lasts_s, self._broker.resume)

    def cut(self, trouble: Trouble) -> None:
        """Reset the connections, and refuse others for a while."""
        self._network.close()
        self._cut_until_s = time.monotonic() + trouble.lasts_s
        self._done["cut network"] += 1

    def _start(self) -> None:
        self._subscriptions_seen = self._subscriptions()
        limits = self._next_limits
        if not any(limit.startswith("max_inflight_messages") for limit in limits):
            limits = (*limits, "max_inflight_messages 0")
        self._config.write_text(self._basis + "\n".join(limits) + "\n")
        self.limits.update(self._next_limits or ["none"])
        self._broker.start()
        self._comes = False

    def _died(self, away_s: float) -> None:
        self._done["kill broker"] += 1
        self._comes = True
        self._network.close()
        self._after(away_s, self._start)

    def _kill_if_missed(self) -> None:
        if self._network.forget_ambush():
            self._broker.kill()

    def _subscriptions(self) -> int:
        """How often the broker has confirmed the subscription; asked often."""
        found = self.received.read_bytes() if self.received.exists() else b""
        return found.count(b'{"event": "subscribed"}')

    def _subscribed(self) -> bool:
        return self._network.is_open or self._subscriptions() > self._subscriptions_seen
