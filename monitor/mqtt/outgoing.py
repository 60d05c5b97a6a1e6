"""What a publisher keeps between its connections."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.mqtt.alert_sender import AlertSender
from monitor.mqtt.incoming import MessageHandler, SignalHandler
from monitor.mqtt.latest import NewestPictures, NewestScores, RetainedTopics
from monitor.mqtt.limits import LearnedPacketLimit
from monitor.mqtt.retries import Refusals
from monitor.mqtt.score_doubts import ScoreDoubts
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a publisher sends and receives; it is kept between connections."""

    outbox: Outbox
    topics: Topics
    alerts: AlertSender
    retained: RetainedTopics
    scores: NewestScores
    pictures: NewestPictures = field(default_factory=NewestPictures)
    refusals: Refusals = field(default_factory=Refusals)
    learned: LearnedPacketLimit = field(default_factory=LearnedPacketLimit)
    doubts: ScoreDoubts = field(default_factory=ScoreDoubts)
    handlers: dict[str, MessageHandler] = field(default_factory=dict)
    signals: dict[str, SignalHandler] = field(default_factory=dict)
    """Topics that other threads add and remove while there is a connection."""
