"""What a target wants, and when, from its ``[[notify]]`` table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from monitor.config.notify import DAYS, NotifySettings, QuietHours
from monitor.config.settings import Settings
from monitor.notify.folding import Interest
from monitor.notify.quiet_hours import QuietTime
from monitor.notify.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a target wants, and when.

    ``attach_picture``: send the picture of an alert with it. ``waits_for_findings``: after the
    picture, also wait for what a diagnosis finds. ``web_url``: of the web page, empty
    without one. ``zone``: of the times in messages; None is that of the computer.
    """

    name: str
    interest: Interest
    schedule: Schedule
    attach_picture: bool = True
    waits_for_findings: bool = False
    web_url: str = ""
    zone: tzinfo | None = None
    retry_min_s: float = 5.0
    retry_max_s: float = 600.0


def plan_of(target: NotifySettings, settings: Settings) -> Plan:
    """The plan of one target."""
    return Plan(
        name=target.name,
        interest=Interest(
            machines=frozenset(target.machines),
            kinds=frozenset(target.kinds),
            ended=target.ended,
            least_s=target.source_after_s,
        ),
        schedule=Schedule(
            quiet=None if target.quiet_hours is None else _quiet(target.quiet_hours),
            min_interval_s=target.min_interval_s,
        ),
        attach_picture=target.attach_picture,
        waits_for_findings=settings.evidence.diagnose,
        web_url=(settings.web.url or "").rstrip("/"),
        retry_min_s=target.retry_min_s,
        retry_max_s=target.retry_max_s,
    )


def _quiet(hours: QuietHours) -> QuietTime:
    return QuietTime(
        start=hours.begin,
        end=hours.end,
        days=frozenset(map(DAYS.index, hours.days)),
        zone=None if hours.time_zone is None else ZoneInfo(hours.time_zone),
        alarms=hours.alarms,
    )
