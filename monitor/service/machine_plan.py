"""Makes everything that is needed to monitor a machine from the settings."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config.settings import MachineSettings, Settings
from monitor.detection.detector import persistence_of
from monitor.detection.duty_cycle import duty_of
from monitor.detection.healthy_duty import healthy_duty
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import Thresholds, thresholds_of
from monitor.diagnosis.settings import ShaftSettings
from monitor.errors import BundleError
from monitor.evidence.clip import Judge
from monitor.learning.journal import InUse, Stage, in_use
from monitor.learning.settings import LearningSettings
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.model.operation import HealthyDuty
from monitor.model.scorer import run_selftest
from monitor.service.operation_check import check_operation

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """Everything that decides how a machine is monitored.

    ``network`` is shared between the machines with the same bundle. ``bundle`` is None while the
    machine is learned. ``learning`` is None for a machine that is never learned. ``learned_duty``:
    how often the healthy machine starts, from its learning. ``problem``: why a machine that was
    learned has no bundle that can be used; empty if it has one, or has none yet. ``thresholds``:
    where an alarm and a warning begin; None without a bundle.
    """

    settings: MachineSettings
    detector: DetectorSettings
    bundle: Bundle | None
    network: Network | None
    inference_threads: int
    score_interval_s: float
    stall_limit_s: float
    learning: LearningSettings | None = None
    stage: Stage = "armed"
    learned_duty: HealthyDuty | None = None
    problem: str = ""
    thresholds: Thresholds | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the thresholds once: they are used after every block."""
        thresholds = None
        if self.bundle is not None:
            thresholds = thresholds_of(self.bundle.calibration, self.detector)
        object.__setattr__(self, "thresholds", thresholds)

    @property
    def duty(self) -> HealthyDuty:
        """Outside this range, there is the warning ``duty_cycle``."""
        states = self.bundle.manifest.operation if self.bundle is not None else None
        of_bundle = states.duty if states is not None else None
        return duty_of(self.settings.operation, self.learned_duty, of_bundle)

    @property
    def judge(self) -> Judge | None:
        """What the evidence of alerts is made with; None without a bundle."""
        if self.bundle is None or self.network is None:
            return None
        return Judge.of(self.bundle, self.network)

    @property
    def is_provisional(self) -> bool:
        """Whether the threshold is not yet tested on enough sound."""
        if self.bundle is None:
            return True
        return self.stage == "provisional" or self.bundle.calibration.provisional

    @property
    def has_alerts(self) -> bool:
        """Whether alarms are published as alerts. If not, they are warnings."""
        if self.stage == "provisional" and self.learning is not None:
            return self.learning.alarm_while_provisional
        return self.bundle is not None

    @property
    def persistence_warning(self) -> str:
        """A warning if the threshold was set for another persistence; empty if not."""
        if self.bundle is None:
            return ""
        rule, calibration = persistence_of(self.bundle, self.detector), self.bundle.calibration
        required, out_of = calibration.persistence_required, calibration.persistence_out_of
        if (rule.required, rule.out_of) == (required, out_of):
            return ""
        table = "[detector]" if self.settings.detector is None else "[machine.detector]"
        return (
            f"{self.settings.id}: there may be more false alarms than budgeted: the threshold was "
            f"calibrated for {required} of {out_of} scores above it, but {table} requires "
            f"{rule.required} of {rule.out_of}; run auscult calibrate with --config"
        )

    def same_as(self, other: MachinePlan) -> bool:
        """Whether a machine that runs by the other plan needs no change."""
        return (
            (self._hash, self.stage, self.duty) == (other._hash, other.stage, other.duty)
        ) and self.continues(other)

    def continues(self, other: MachinePlan) -> bool:
        """Whether the plans differ at most in bundle, stage and shaft: the source continues.

        The shaft is only for diagnoses, which take it from the settings in force.
        """
        return (
            self._monitored == other._monitored
            and self.detector == other.detector
            and self.inference_threads == other.inference_threads
            and self.score_interval_s == other.score_interval_s
            and self.stall_limit_s == other.stall_limit_s
            and self.learning == other.learning
        )

    @property
    def _monitored(self) -> MachineSettings:
        return self.settings.model_copy(update={"shaft": ShaftSettings()})

    @property
    def _hash(self) -> str:
        return self.bundle.sha256 if self.bundle is not None else ""


class _Bundles:
    """Bundles that are loaded, each once. Machines with the same bundle share it."""

    def __init__(self, threads: int, running: Iterable[MachinePlan]) -> None:
        self._threads = threads
        self._by_path: dict[Path, Bundle] = {}
        self._bundles: dict[str, Bundle] = {}
        self._networks: dict[str, Network] = {}
        for plan in running:
            if plan.bundle and plan.network and plan.inference_threads == threads:
                self._bundles[plan.bundle.sha256] = plan.bundle
                self._networks[plan.bundle.sha256] = plan.network

    def load(
        self, path: Path, machine: MachineSettings, detector: DetectorSettings
    ) -> tuple[Bundle, Network]:
        """A bundle that can be used. Raises ``BundleError``."""
        bundle = self._by_path.get(path) or load_bundle(path, self._bundles)
        thresholds_of(bundle.calibration, detector)
        check_operation(machine.operation, bundle)
        if bundle.sha256 not in self._networks:
            network = Network(bundle, self._threads)
            run_selftest(bundle, network)
            self._networks[bundle.sha256] = network
        self._by_path[path] = self._bundles[bundle.sha256] = bundle
        return bundle, self._networks[bundle.sha256]

    def first_of(
        self, paths: Sequence[Path], machine: MachineSettings, detector: DetectorSettings
    ) -> tuple[Bundle, Network] | None:
        """The first bundle that can be used, None without paths.

        Raises ``BundleError`` if no bundle can be used.
        """
        for path in paths:
            try:
                return self.load(path, machine, detector)
            except BundleError as error:
                if path == paths[-1]:
                    raise
                log.error("%s: the previous bundle is used instead", error)
        return None


def make_plans(
    settings: Settings,
    running: Iterable[MachinePlan] = (),
    state_dir: Path | None = None,
    *,
    at_start: bool = False,
) -> list[MachinePlan]:
    """The plan of every machine. Each bundle is loaded once, and its self-test is run.

    Unchanged bundles of ``running`` machines are not loaded again. ``state_dir``: where learned
    bundles are. ``at_start``: if the learned bundles of a machine are damaged or deleted, it is not
    monitored, but all others are. Raises ``BundleError`` with a line for each other machine whose
    bundle is not usable.
    """
    threads = settings.service.inference_threads
    bundles = _Bundles(threads, running)
    plans, problems = [], []
    for machine in settings.machines:
        detector, learning = settings.detector_of(machine), settings.learning_of(machine)
        configured = () if machine.bundle is None else (machine.bundle,)
        use = InUse("armed", configured)
        if learning is not None:
            use = in_use(state_dir, machine.id, machine.bundle)
        problem = ""
        try:
            usable = bundles.first_of(use.bundles, machine, detector)
        except BundleError as error:
            if not (at_start and use.bundles != configured):
                problems.append(f'machine "{machine.id}": {error}')
                continue
            usable, problem = None, str(error)
            log.error('machine "%s" is not monitored: %s', machine.id, error)
        bundle, network = usable or (None, None)
        plans.append(
            MachinePlan(
                settings=machine,
                detector=detector,
                bundle=bundle,
                network=network,
                inference_threads=threads,
                score_interval_s=settings.mqtt.score_interval_s,
                stall_limit_s=settings.service.stall_limit_s,
                learning=learning,
                stage=use.stage,
                learned_duty=_learned_duty(use, machine),
                problem=problem,
            )
        )
    if problems:
        raise BundleError(*problems)
    return plans


def _learned_duty(use: InUse, machine: MachineSettings) -> HealthyDuty | None:
    """How often the healthy machine starts; None while it is learned, and without a learning."""
    if use.stage != "armed" or not use.duty:
        return None
    return healthy_duty(use.duty, machine.operation.duty_cycle_s)


def replanned(
    settings: Settings,
    running: Mapping[str, MachinePlan],
    changed: Collection[str],
    state_dir: Path,
) -> list[MachinePlan]:
    """The running plans, with those of the ``changed`` machines made again.

    A machine whose bundle cannot be used keeps its plan.
    """
    plans = []
    for machine in settings.machines:
        plan = running[machine.id]
        if machine.id in changed:
            only = settings.model_copy(update={"machines": (machine,)})
            try:
                plan = make_plans(only, running.values(), state_dir)[0]
            except BundleError as error:
                log.error("%s", error)
        plans.append(plan)
    return plans
