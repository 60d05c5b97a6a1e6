"""From settings to everything that is needed to monitor a machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.config.settings import MachineSettings, Settings
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import Thresholds, thresholds_of
from monitor.errors import BundleError
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """Everything that decides how a machine is monitored.

    ``network`` is shared between the machines of one bundle.
    """

    settings: MachineSettings
    detector: DetectorSettings
    bundle: Bundle
    network: Network
    inference_threads: int
    score_interval_s: float
    stall_limit_s: float

    @property
    def thresholds(self) -> Thresholds:
        """Where an alarm and a warning begin."""
        return thresholds_of(self.bundle.calibration, self.detector)

    @property
    def persistence_warning(self) -> str:
        """A warning if the threshold was set for another persistence; empty if not."""
        rule, calibration = persistence_of(self.bundle, self.detector), self.bundle.calibration
        required, out_of = calibration.persistence_required, calibration.persistence_out_of
        if (rule.required, rule.out_of) == (required, out_of):
            return ""
        table = "[detector]" if self.settings.detector is None else "[machine.detector]"
        return (
            f"{self.settings.id}: the threshold was calibrated for {required} of {out_of} scores "
            f"above it, {table} requires {rule.required} of {rule.out_of}: there may be more "
            "false alarms than budgeted; run auscult calibrate with --config"
        )

    def same_as(self, other: MachinePlan) -> bool:
        """Whether a machine that runs by the other plan needs no change."""
        return (
            self.settings == other.settings
            and self.detector == other.detector
            and self.bundle.sha256 == other.bundle.sha256
            and self.inference_threads == other.inference_threads
            and self.score_interval_s == other.score_interval_s
            and self.stall_limit_s == other.stall_limit_s
        )


def make_plans(settings: Settings, running: Iterable[MachinePlan] = ()) -> list[MachinePlan]:
    """The plan of every machine. Each bundle is loaded once, and its self-test is run.

    Unchanged bundles of ``running`` machines are not loaded again. Raises
    ``BundleError`` with a line for each machine whose bundle is not usable.
    """
    threads = settings.service.inference_threads
    loaded = {
        plan.bundle.sha256: (plan.bundle, plan.network)
        for plan in running
        if plan.inference_threads == threads
    }
    plans, problems = [], []
    for machine in settings.machines:
        try:
            bundle = load_bundle(machine.bundle)
            thresholds_of(bundle.calibration, settings.detector_of(machine))
            _check_off_states(machine.operation.off_states, bundle)
            if bundle.sha256 not in loaded:
                network = Network(bundle, threads)
                run_selftest(bundle, network)
                loaded[bundle.sha256] = (bundle, network)
        except BundleError as error:
            problems.append(f'machine "{machine.id}": {error}')
            continue
        bundle, network = loaded[bundle.sha256]
        plans.append(
            MachinePlan(
                settings=machine,
                detector=settings.detector_of(machine),
                bundle=bundle,
                network=network,
                inference_threads=threads,
                score_interval_s=settings.mqtt.score_interval_s,
                stall_limit_s=settings.service.stall_limit_s,
            )
        )
    if problems:
        raise BundleError(*problems)
    return plans


def _check_off_states(off_states: tuple[str, ...] | None, bundle: Bundle) -> None:
    """Raises ``BundleError`` if ``[machine.operation] off_states`` does not fit the bundle."""
    if off_states is None:
        return
    operation = bundle.manifest.operation
    if operation is None:
        raise BundleError(
            "[machine.operation] off_states: the bundle has no operating states: train it again"
        )
    known = [state.name for state in operation.states]
    listed = ", ".join(known)
    for name in off_states:
        if name not in known:
            raise BundleError(
                f'[machine.operation] off_states: the bundle has no state "{name}"; it has {listed}'
            )
    if set(known) <= set(off_states):
        raise BundleError(
            f"[machine.operation] off_states: in no state does the machine run; leave out one of "
            f"{listed}"
        )
