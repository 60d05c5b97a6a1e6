"""An MQTT topic that shows whether a machine runs: untrusted payloads, brokers and reloads."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.detection.settings import OperationSettings
from monitor.errors import BadInputError
from monitor.outbox.queue import Outbox
from monitor.service.delivery import Delivery
from monitor.service.running_signal import RunningSignal, running_of
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.waiting import wait_for

TOPIC = "zigbee2mqtt/pump"
POWER = OperationSettings(topic=TOPIC, field="power", running_above=30)
PLAIN = OperationSettings(topic=TOPIC, running_above=30)
NESTED = OperationSettings(topic=TOPIC, field="sensor.power.now", running_above=30)


@pytest.mark.parametrize(
    ("payload", "settings", "expected"),
    [
        (b'{"power": 31, "state": "OFF"}', POWER, True),
        (b'{"power": 30}', POWER, False),
        (b'{"power": -1e308}', POWER, False),
        (b'{"power": "45.5"}', POWER, True),
        (b'{"power": true}', POWER, True),
        (b'{"power": "OFF"}', POWER, False),
        (b'{"sensor": {"power": {"now": 31}}}', NESTED, True),
        (b"31.5", PLAIN, True),
        (b" 3 ", PLAIN, False),
        (b"ON", PLAIN, True),
        (b"off", PLAIN, False),
        (b'"On"', PLAIN, True),
        (b"true", PLAIN, True),
        (b"false", PLAIN, False),
    ],
)
def test_payloads_of_plugs_and_relays_are_understood(
    payload: bytes, settings: OperationSettings, expected: bool
) -> None:
    """The signal of a common device is not understood, or means the opposite."""
    assert running_of(payload, settings) is expected


@pytest.mark.parametrize(
    ("payload", "settings", "reason"),
    [
        (b"", PLAIN, "neither a number"),
        (b"", POWER, "not JSON"),
        (b"\xff", PLAIN, "not text"),
        (b"nan", PLAIN, "neither a number"),
        (b"Infinity", PLAIN, "neither a number"),
        (b"null", PLAIN, "neither a number"),
        (b"[31]", PLAIN, "neither a number"),
        (b"9" * 5000, PLAIN, "neither a number"),
        (b"9" * 400, PLAIN, "neither a number"),
        (b"[" * 16_000, PLAIN, "neither a number"),
        (b'{"power": NaN}', POWER, "neither a number"),
        (b'{"power": null}', POWER, "neither a number"),
        (b'{"power": {"now": 31}}', POWER, 'set field to one value in it, such as "now"'),
        (b'{"power": 31, "state": "ON"}', PLAIN, 'set field .* such as "power", "state"'),
        (b'{"voltage": 230}', POWER, 'no field "power"'),
        (b"[1]", POWER, 'no field "power"'),
        (b'{"sensor": 3}', NESTED, 'no field "sensor.power.now"'),
        (b'{"power": 31' + b" " * 20_000 + b"}", POWER, "at most 16384"),
    ],
)
def test_other_payloads_are_refused(
    payload: bytes, settings: OperationSettings, reason: str
) -> None:
    """A broken message switches the monitoring off, or stops the delivery."""
    with pytest.raises(BadInputError, match=reason):
        running_of(payload, settings)


PAYLOADS = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


@given(PAYLOADS, st.sampled_from([POWER, PLAIN]))
def test_any_payload_gives_a_verdict_or_is_refused(
    payload: bytes, settings: OperationSettings
) -> None:
    """A payload raises an error that nobody expects."""
    with suppress(BadInputError):
        assert running_of(payload, settings) in {True, False}


def test_without_messages_the_sound_decides() -> None:
    """A dead power meter keeps the machine off for ever."""
    now_s = [100.0]
    signal = RunningSignal("pump", PLAIN.model_copy(update={"stale_s": 60.0}), lambda: now_s[0])
    assert signal.is_running() is None
    signal.receive(b"OFF")
    assert signal.is_running() is False
    now_s[0] += 50
    signal.receive(b"nonsense")  # is no message
    signal.receive(b"OFF", retained=True)  # repeated because of a reconnection
    now_s[0] += 11
    assert signal.is_running() is None
    signal.receive(b"ON", retained=True)
    assert signal.is_running() is True


def test_an_absent_signal_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without the right to read the topic, it is unknown why the signal has no effect."""
    now_s = [0.0]
    signal = RunningSignal("pump", PLAIN.model_copy(update={"stale_s": 60.0}), lambda: now_s[0])
    for now_s[0] in (0.0, 61.0, 62.0):
        assert signal.is_running() is None
    signal.receive(b"ON")
    for now_s[0] in (63.0, 130.0, 131.0):
        signal.is_running()
    expected = "no message on zigbee2mqtt/pump for 60 s: the sound decides whether the machine runs"
    assert [one.getMessage() for one in caplog.records] == [expected] * 2


def test_messages_that_cannot_be_read_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong field is never reported, or fills the log."""
    signal = RunningSignal("pump", POWER)
    for _ in range(100):
        signal.receive(b'{"watts": 3}')
    assert [one.getMessage() for one in caplog.records] == [
        'message ignored: zigbee2mqtt/pump: no field "power"'
    ]
    signal.receive(b'{"power": 3}')
    signal.receive(b"{")
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"topic": "zigbee2mqtt/#"}, "wildcards"),
        ({"topic": "+/pump"}, "wildcards"),
        ({"field": "power"}, "field needs topic"),
        ({"topic": "x", "running_above": float("nan")}, "finite"),
        ({"topic": "x", "stale_s": 0}, "greater than or equal to 1"),
        ({"least_running_share": 0.9, "most_running_share": 0.2}, "exchange"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], reason: str) -> None:
    """A mistake in the configuration is found out months later."""
    with pytest.raises(ValidationError, match=reason):
        OperationSettings.model_validate(wrong)


def test_a_reload_keeps_the_newest_message() -> None:
    """After a reload, the signal is unknown until the machine starts or stops."""
    now_s = [100.0]

    def signal(settings: OperationSettings) -> RunningSignal:
        return RunningSignal("pump", settings, lambda: now_s[0])

    wrong = signal(POWER.model_copy(update={"field": "watts"}))
    wrong.receive(b'{"power": 45}')
    corrected = signal(POWER)
    corrected.take_over(wrong)
    assert corrected.is_running() is True
    now_s[0] += 500
    corrected.receive(b'{"power": 45}', retained=True)
    other = signal(POWER.model_copy(update={"running_above": 50}))
    other.take_over(corrected)
    assert other.is_running() is False
    now_s[0] += 101  # the age of the message goes on
    assert other.is_running() is None


def test_topics_change_while_connected_and_survive_reconnections(tmp_path: Path) -> None:
    """After a reload, a restart of the broker or another broker, the signal is lost."""
    pump, fan = RunningSignal("pump", POWER), RunningSignal("fan", POWER)
    other = RunningSignal("other", OperationSettings(topic="relay/other"))
    with (
        Mosquitto(tmp_path / "one") as broker,
        Mosquitto(tmp_path / "two") as second,
        Subscriber(broker) as meter,
        Subscriber(second) as second_meter,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        delivery = Delivery(broker.settings(), outbox)
        delivery.start()
        wait_for(lambda: "broker connected" in delivery.summary())
        delivery.listen([pump, fan])

        def send(to: Subscriber, topic: str, payload: object, signal: RunningSignal) -> bool | None:
            with suppress(RuntimeError):  # not connected yet
                to.publish(topic, json.dumps(payload).encode())
            return signal.is_running()

        wait_for(lambda: send(meter, TOPIC, {"power": 31}, pump))
        assert fan.is_running()

        broker.stop()
        broker.start()
        wait_for(lambda: send(meter, TOPIC, {"power": 1}, pump) is False)

        again = RunningSignal("pump", POWER)
        delivery.listen([again])
        assert again.is_running() is False  # known without another message

        delivery.listen([other])
        wait_for(lambda: send(meter, "relay/other", "ON", other))
        meter.publish(TOPIC, b'{"power": 31}')
        assert send(meter, "relay/other", "OFF", other) is not None
        wait_for(lambda: send(meter, "relay/other", "OFF", other) is False)
        assert pump.is_running() is False

        delivery.switch(second.settings())
        wait_for(lambda: send(second_meter, "relay/other", "ON", other))
        delivery.stop()
        with retained(broker) as left:
            assert not [topic for topic in left if not topic.startswith("auscult/")]
