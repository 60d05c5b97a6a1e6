"""`auscult notify` as a process, with real services on this computer."""

from __future__ import annotations

import base64
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from monitor.model.bundle import Bundle
from tests.command_line import auscult, process_without
from tests.daemons import daemon, healthy_then_faulty
from tests.notifications import (
    Hook,
    MailServer,
    Mode,
    Notify,
    WrittenAlert,
    WrittenHistory,
    notify_in,
)
from tests.waiting import wait_for

RAISED = re.compile(r"pump-7: alarm since (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[Notify]:
    with notify_in(tmp_path) as one:
        yield one


@pytest.fixture
def history(notify: Notify) -> Iterator[WrittenHistory]:
    one = WrittenHistory(notify.state)
    yield one
    one.close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()
    yield one
    one.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    one = MailServer()
    yield one
    one.close()


def test_a_service_that_fails_and_recovers_gets_every_alert(
    notify: Notify, history: WrittenHistory, hook: Hook
) -> None:
    """An alarm would be lost because a server was down for a minute."""
    notify.target("hook", hook.url, timeout_s=6.0)  # includes the start of a process
    notify.start()
    alert = history.raised("pump-7")
    wait_for(lambda: len(hook.received) == 1)
    assert hook.received[0]["type"] == "failure"
    assert RAISED.fullmatch(hook.titles[0])
    assert hook.received[0]["message"].splitlines() == [
        "Score 2.5 x the threshold, at most 3.0 x since it began",
        "Frequencies 1800 to 2100 Hz",
        f"Alert {alert.alert_id}",
    ]
    troubles: list[tuple[Mode, str]] = [
        ("fail", "503"),
        ("hang", "no result within 6 s"),
        ("drop", "onnection"),
    ]
    for mode, said in troubles:
        hook.mode = mode
        other = history.raised(f"{mode}-1")
        notify.wait_for_log(said)
        history.message("cleared", other)
        hook.mode = "ok"
        wait_for(lambda: any(title.startswith(other.machine) for title in hook.titles))  # noqa: B023 - used in this turn
    history.message("cleared", alert)
    wait_for(lambda: "pump-7: alarm ended" in "".join(hook.titles))
    assert notify.end() == 0


def test_a_service_that_hangs_does_not_delay_another_one(
    notify: Notify, history: WrittenHistory, hook: Hook
) -> None:
    """A wrong address of one person would keep alarms from all others."""
    stuck = Hook()
    stuck.mode = "hang"
    try:
        notify.target("stuck", stuck.url, timeout_s=60.0)
        notify.target("works", hook.url)
        notify.start()
        history.raised("pump-7")
        wait_for(lambda: hook.received and stuck.requests)
        history.raised("fan-2")
        wait_for(lambda: len(hook.received) == 2)
        began_s = time.monotonic()
        assert notify.end() == 0
        assert time.monotonic() - began_s < 8.0
    finally:
        stuck.close()


def test_a_mail_has_the_picture_and_no_markup_of_others(
    notify: Notify, history: WrittenHistory, mail: MailServer
) -> None:
    """A note of an operator could show something else in a mail, or the picture be missing."""
    notify.target("anna", mail.url)
    notify.other('[web]\nurl = "https://auscult.example"')
    notify.start()
    alert = WrittenAlert("pump-7")
    piece = notify.state / "evidence" / alert.alert_id
    evidence = {"evidence": {"id": f"{alert.alert_id}-0"}}
    history.message("raised", alert, **evidence)
    note = "</p><a href=x>click</a> & *so*\r\nBcc: all@example.org"
    history.write("acknowledge", "pump-7", alert_id=alert.alert_id, user="ben", note=note)
    notify.wait_for_log("for its picture")
    piece.mkdir(parents=True)
    (piece / "0-raised.png").write_bytes(PNG)
    metadata = '{"machine": "pump-7", "moment": "raised", "at": "a", "starts_at": "b"}'
    (piece / "0-raised.json").write_text(metadata)
    (received,) = wait_for(lambda: mail.received)
    assert RAISED.fullmatch(received["Subject"])
    assert received["To"] == "anna@example.org"
    assert received["Bcc"] is None
    (picture,) = [part for part in received.walk() if part.get_content_type() == "image/png"]
    assert picture.get_payload(decode=True) == PNG
    body = received.get_body()
    assert body is not None
    assert body.get_content_type() == "text/plain"
    lines = body.get_content().splitlines()
    assert f"https://auscult.example/alert/{alert.alert_id}" in lines
    (remark,) = [line for line in lines if line.startswith("Acknowledged by ben")]
    assert remark.endswith("click<\u2060/a> & *so* Bcc: all@\u2060example.org")


def test_no_secret_is_shown_anywhere(
    notify: Notify, history: WrittenHistory, hook: Hook, tmp_path: Path
) -> None:
    """A password of a mail account or a chat could be read by every user of the node."""
    hook.mode = "fail"
    secrets = ["open-sesame", "tok-en-1234", "path-secret", "head-secret"]
    notify.target(
        "hook", f"json://user:open-sesame@127.0.0.1:{hook.port}/path-secret?+X=head-secret"
    )
    notify.target("mail", "mailto://user:open-sesame@127.0.0.1:1?from=a@b.de&to=c@d.de")
    notify.target("chat", "tgram://tok-en-1234/path-secret")
    notify.other('[service]\nlog_level = "debug"')
    notify.start(wait=False)
    notify.process.wait(30)
    notify.forget_targets()
    notify.target(
        "hook", f"json://user:open-sesame@127.0.0.1:{hook.port}/path-secret?+X=head-secret"
    )
    notify.target("mail", "mailto://user:open-sesame@127.0.0.1:1?from=a@b.de&to=c@d.de")
    notify.start()
    history.raised("pump-7")
    shown: list[str] = []
    me = psutil.Process(notify.process.pid)
    deadline_s = time.monotonic() + 3.0
    while time.monotonic() < deadline_s or len(hook.requests) < 2:
        for one in [me, *me.children(recursive=True)]:
            try:
                shown += [*one.cmdline(), *one.environ().values()]
            except psutil.Error:
                continue
        time.sleep(0.02)  # a process that sends lives for some tenths of a second
    notify.wait_for_log("mail: not sent")
    assert notify.end() == 0
    assert any("monitor.notify.child" in text for text in shown)
    assert hook.requests[0][0].startswith("/path-secret")
    shown.append(notify.log.read_text())
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".url":
            shown.append(path.read_bytes().decode("latin-1"))
    assert [secret for secret in secrets for text in shown if secret in text] == []


@pytest.mark.slow
def test_kills_lose_nothing_and_keep_the_order(
    notify: Notify, history: WrittenHistory, hook: Hook
) -> None:
    """A power failure at the wrong moment would lose an alarm, or send its end before it."""
    numbers = random.Random(7)  # noqa: S311 - chooses test cases
    notify.target("hook", hook.url)
    notify.start()
    open_alerts: dict[str, WrittenAlert] = {}
    for _ in range(12):
        for _ in range(numbers.randrange(1, 5)):
            machine = numbers.choice(["pump-7", "fan-2", "press-1"])
            if alert := open_alerts.pop(machine, None):
                history.message(numbers.choice(["updated", "cleared"]), alert)
                if not alert.has_ended:
                    open_alerts[machine] = alert
            else:
                open_alerts[machine] = history.raised(machine)
        if numbers.random() < 0.5:
            time.sleep(numbers.uniform(0.0, 2.5))
        else:  # while a message is sent
            n_sent, until_s = len(hook.requests), time.monotonic() + 3.0
            while len(hook.requests) == n_sent and time.monotonic() < until_s:
                time.sleep(0.005)
            time.sleep(numbers.uniform(0.0, 0.1))
        notify.end(signal.SIGKILL)
        notify.start(wait=numbers.random() < 0.8)
    for alert in open_alerts.values():
        history.message("cleared", alert)
    ids = {alert.alert_id for alert in history.alerts}
    wait_for(lambda: _ended(history, hook) >= ids, 60)
    sent = _sent(history, hook)
    repeated = sum(number - 1 for number in Counter(sent).values())
    print(f"{len(ids)} alerts, {len(sent)} lines, {repeated} repeated, 12 kills")
    assert {alert_id for alert_id, _ in sent} == ids
    assert repeated_messages(history, hook) <= 12
    for machine in {alert.machine for alert in history.alerts}:
        order = [alert.alert_id for alert in history.alerts if alert.machine == machine]
        places = [order.index(one) for one, _ in dict.fromkeys(sent) if one in order]
        assert places == sorted(places)
    for alert_id in ids:
        said = [what for one, what in sent if one == alert_id]
        assert said == sorted(said, key=["since", "from", "ended"].index)


def repeated_messages(history: WrittenHistory, hook: Hook) -> int:
    """Messages with a line about something that was sent before."""
    parts = {"since": {"begin"}, "from": {"begin", "end"}, "ended": {"end"}}
    sent: set[tuple[str, str]] = set()
    number = 0
    for one in hook.received:
        lines = _lines(history, one)
        here = {(alert_id, part) for alert_id, what in lines for part in parts[what]}
        number += bool(here & sent)
        sent |= here
    return number


def _ended(history: WrittenHistory, hook: Hook) -> set[str]:
    return {alert_id for alert_id, what in _sent(history, hook) if what != "since"}


def _sent(history: WrittenHistory, hook: Hook) -> list[tuple[str, str]]:
    """Each line about an alert: which one, and ``since``, ``from`` or ``ended``."""
    return [line for one in hook.received for line in _lines(history, one)]


def _lines(history: WrittenHistory, one: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for line in [*one["message"].splitlines(), one["title"]]:
        if ": alarm" not in line:
            continue
        what = re.search(r"since|from|ended", line)
        at = re.search(r"\d\d:\d\d", line)
        assert what, line
        assert at, line
        found.append((history.at_minute[at[0]].alert_id, what[0]))
    return found


def test_a_fault_is_sent_and_one_of_a_muted_machine_is_not(
    notify: Notify, hook: Hook, bundle: Bundle, tmp_path: Path
) -> None:
    """Nobody would be notified of a fault, or somebody who works on the machine would be called."""
    with daemon(tmp_path / "daemon") as running:
        for name in ("pump-7", "fan-2"):
            running.feed(name, bundle.path, healthy_then_faulty(), speed=2.0)
        running.start()
        running.wait_for_log("ready")
        config = ("--config", running.config)
        assert auscult("mute", "fan-2", "--for", "1h", *config).status == 0
        notify.target("hook", hook.url)
        state = f'[service]\nstate_dir = "{running.folder / "state"}"\n'
        notify.other(f"{state}[evidence]\ndiagnose = false")  # a busy computer takes long for it
        notify.start()

        running.wait_for_log("alert raised during a mute")
        wait_for(lambda: hook.titles)
        assert [title.partition(":")[0] for title in hook.titles] == ["pump-7"]
        (picture,) = hook.received[0]["attachments"]
        assert picture["mimetype"] == "image/png"
        assert base64.b64decode(picture["base64"]).startswith(b"\x89PNG")
        assert auscult("unmute", "fan-2", *config).status == 0
        wait_for(lambda: len(hook.titles) == 2)
        assert hook.titles[1].startswith("fan-2: alarm since")


def test_the_test_reports_each_target(notify: Notify, hook: Hook) -> None:
    """A person would find out during an alarm that the address is wrong."""
    notify.target("works", hook.url)
    notify.write()
    done = auscult("notify", "--config", notify.config, "--test")
    assert (done.status, done.out) == (0, "ok  works  sent\n")
    assert hook.titles == ["Auscult: test"]
    notify.target("down", "json://user:open-sesame@127.0.0.1:1/")
    notify.write()
    done = auscult("notify", "--config", notify.config, "--test", "--json")
    assert done.status == 69
    works, down = done.json
    assert works == {"target": "works", "ok": True, "detail": "sent"}
    assert (down["target"], down["ok"]) == ("down", False)
    assert "127.0.0.1" in down["detail"]
    assert "sesame" not in done.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "nosuch://secret-word/x",
            "apprise does not accept this address: nosuch://*** (it has no service for nosuch://)",
        ),
        ("secret-word", "must contain an address such as mailto://"),
        ("json://a/secret-word\njson://b/secret-word", "must contain one address, on one line"),
        ("", "must contain one address"),
        (None, "No such file or directory"),
    ],
)
def test_a_wrong_address_is_one_line_without_the_address(
    content: str | None, says: str, notify: Notify
) -> None:
    """A person would not know what to correct, or the journal would show a password."""
    notify.target("phone", content or "")
    notify.target("other", "json://127.0.0.1:1")
    notify.write()
    if content is None:
        (notify.folder / "phone.url").unlink()
    for arguments in ((), ("--test",)):
        done = auscult("notify", "--config", notify.config, *arguments)
        assert done.status == 78
        text = done.out + done.err
        assert says in text
        assert "phone" in text
        assert "secret-word" not in text
        assert "Traceback" not in text


def test_an_address_that_others_can_read_is_reported(notify: Notify) -> None:
    """Other users of the computer could send messages in the name of Auscult."""
    for name, mode in (("phone", 0o604), ("other", 0o640), ("private", 0o600)):
        notify.target(name, "json://127.0.0.1:1")
        (notify.folder / f"{name}.url").chmod(mode)
    notify.start()
    reports = notify.events("contains a secret, and other users of this computer can read it")
    assert sorted(one.rpartition("/")[2].partition(":")[0] for one in reports) == [
        "other.url",
        "phone.url",
    ]
    assert all("but must be 0600" in one for one in reports)
    tested = auscult("notify", "--config", notify.config, "--test")
    assert tested.err.count("but must be 0600") == 2
    assert "private" not in tested.err


def test_an_address_comes_from_systemd_first(
    notify: Notify, hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The service could not read the address, because only root can read the file."""
    notify.target("phone", "json://127.0.0.1:1")
    notify.write()
    (tmp_path / "notify_phone").write_text(f"# the phone\n\n{hook.url}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert auscult("notify", "--config", notify.config, "--test").status == 0


def test_without_targets_or_a_history_there_is_nothing_to_do(notify: Notify) -> None:
    """A person would wait for messages that never come."""
    notify.write()
    for arguments in ((), ("--test",)):
        done = auscult("notify", "--config", notify.config, *arguments)
        assert done.status == 78
        assert "has no [[notify]] table" in done.err
    notify.target("phone", "json://127.0.0.1:1")
    notify.other("[history]\nenabled = false")
    notify.write()
    done = auscult("notify", "--config", notify.config)
    assert done.status == 78
    assert "history.enabled = true" in done.err
    done = auscult("notify", "--config", notify.config, "--test")
    assert "warning: " in done.err
    assert "history.enabled = true" in done.err


def test_the_extra_is_named_where_it_is_missing(notify: Notify) -> None:
    """A person would see a traceback."""
    notify.target("phone", "json://127.0.0.1:1")
    notify.write()
    done = process_without("apprise", "notify", "--config", notify.config)
    assert done.returncode == 69
    assert "needs the extra 'notify'" in done.stderr


def test_two_processes_do_not_send_the_same(notify: Notify, hook: Hook) -> None:
    """Every message would arrive twice."""
    notify.target("phone", hook.url)
    notify.start()
    (lock,) = notify.folder.rglob("lock")
    for _ in ("the lock is there", "somebody has deleted it", "and its folder"):
        done = subprocess.run(notify.command(), capture_output=True, text=True, check=False)
        assert done.returncode == 69
        assert "another auscult notify uses this folder" in done.stderr
        if lock.exists():
            lock.unlink()
        else:
            shutil.rmtree(lock.parent)
            wait_for(lock.exists)


def test_a_reload_changes_the_targets_or_nothing(
    notify: Notify, history: WrittenHistory, hook: Hook
) -> None:
    """A mistake in the file would end the messages, or a new person get none."""
    notify.target("phone", hook.url, machines=["fan-2"])
    notify.start()
    history.raised("pump-7")
    notify.config.write_text("no toml [")
    notify.process.send_signal(signal.SIGHUP)
    notify.wait_for_log("reload refused")
    history.raised("fan-2")
    wait_for(lambda: hook.received)
    notify.target("chat", hook.url, machines=["press-1"])
    notify.write()
    notify.process.send_signal(signal.SIGHUP)
    notify.wait_for_log("ready: 2 targets")
    history.raised("press-1")
    wait_for(lambda: len(hook.received) == 2)
    assert [title.partition(":")[0] for title in hook.titles] == ["fan-2", "press-1"]
