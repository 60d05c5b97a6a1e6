"""The engine ``ray``: workers of a Ray cluster, or of one that is started on this computer."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from monitor.errors import ServiceUnavailableError
from training.fleet.engine import ATTEMPTS, THREADS
from training.fleet.tasks import Result, Task

# Ray reports its use to its makers unless this is set before it is loaded
# (docs/decisions/0009-nothing-leaves-the-node.md).
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

_SERVICE_LOST = 69
_REACHABLE_S = 10.0


class RayEngine:
    """One task for each processor core of the cluster at a time.

    ``address``: of a running cluster; None starts one here with ``workers`` workers, which ends
    with the engine. Raises ``ServiceUnavailableError`` if there is no cluster at the address.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        import ray  # noqa: PLC0415 - the variable above comes first

        if address is not None:
            _check_reachable(address)
        self._ray: Any = ray
        self._most_at_once = workers
        try:
            ray.init(
                # Without an address, Ray would join a cluster that it finds on this computer.
                address=address or "local",
                num_cpus=workers if address is None else None,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": THREADS},
            )
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds, also Exception itself
            ray.shutdown()
            text = str(error).strip() or repr(error)
            where = f"--address {address}" if address else "--engine ray"
            raise ServiceUnavailableError(
                f"{where}: Ray cannot be used: {text.splitlines()[0]}"
            ) from None

    def results(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """See ``Engine``. Ray begins a task again itself if its worker or its node ends."""
        ray = self._ray
        from training.fleet.perform import perform  # noqa: PLC0415 - loads torch

        remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(perform)
        waiting = list(reversed(tasks))
        at_once = self._most_at_once or 10_000
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                task = waiting.pop()
                running[remote.remote(task.to_json())] = task
            (done,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(done)
            try:
                yield Result.from_json(ray.get(done))
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                yield Result.failed(task, f"the worker ended: {reason}", _SERVICE_LOST)

    def close(self) -> None:
        """See ``Engine``. A cluster that was running before goes on."""
        self._ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise ``ServiceUnavailableError`` if nothing listens there: Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # such as auto, which Ray looks up
    try:
        socket.create_connection((host, int(port)), _REACHABLE_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ServiceUnavailableError(
            f"--address {address}: Ray cannot be used: {reason}"
        ) from None
