"""From `send_mail()` through a broker and a real worker over SMTP."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest

import mailworker
from mailworker import EmailMessage, EmailMultiAlternatives, send_mail, send_mass_mail
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import Worker

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_mail_of_every_kind_arrives_once(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker, pool: str
) -> None:
    start_worker(producer, "-c", "2", "-P", pool)
    assert send_mail("plain", "body", "from@example.com", ["plain@example.com"]) == 1
    assert send_mail("html", "body", "from@example.com", ["html@example.com"], html_message="<b>body</b>") == 1
    assert (
        send_mass_mail([(f"mass {n}", "body", "from@example.com", [f"mass{n}@example.com"]) for n in range(120)]) == 120
    )
    letter = EmailMultiAlternatives("Grüße", "Zeile\n.\nmit Punkt", "Jürgen <from@example.com>", ["file@example.com"])
    letter.attach("räksmörgås.bin", bytes(range(256)) * 300, "application/octet-stream")
    letter.bcc = ["hidden@example.com"]
    assert letter.send() == 1

    relay.wait_for(123)
    got = Counter(recipient for one in relay.accepted for recipient in one.recipients)
    expected = {"plain@example.com", "html@example.com", "file@example.com", "hidden@example.com"}
    assert got == Counter(expected | {f"mass{n}@example.com" for n in range(120)})
    one = next(one for one in relay.accepted if "file@example.com" in one.recipients)
    parsed = message_from_bytes(one.content, policy=policy.default)
    assert parsed["Subject"] == "Grüße"
    assert parsed["Bcc"] is None
    attached = next(parsed.iter_attachments())
    assert attached.get_filename() == "räksmörgås.bin"
    assert attached.get_content() == bytes(range(256)) * 300


def test_a_worker_keeps_its_connection_from_task_to_task(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(producer, "-c", "1", MAILWORKER_IDLE_TIMEOUT="60")
    for number in range(20):
        send_mail("s", "b", "from@example.com", [f"to{number}@example.com"])
        relay.wait_for(number + 1)
    assert relay.connections_ever == 1


def test_an_idle_connection_is_closed_by_itself(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(producer, "-c", "1", MAILWORKER_IDLE_TIMEOUT="1")
    send_mail("s", "b", "from@example.com", ["to@example.com"])
    relay.wait_for(1)
    relay.wait_closed()
    assert relay.sessions[0].verbs[-1] == "QUIT"


def test_a_connection_that_the_relay_closed_while_idle_costs_nothing(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    worker = start_worker(producer, "-c", "1", MAILWORKER_IDLE_TIMEOUT="60")
    send_mail("s", "b", "from@example.com", ["to@example.com"])
    relay.wait_for(1)
    relay.hang_up()
    send_mail("s", "b", "from@example.com", ["to@example.com"])
    relay.wait_for(2)
    assert relay.connections_ever == 2
    assert "deferred" not in worker.output


def test_a_deferred_recipient_alone_gets_a_second_try(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(rcpt={"busy@example.com": ["450 4.2.0 busy", "250 ok"], "gone@example.com": "550 5.1.1 unknown"})
    worker = start_worker(producer, "-c", "1")
    EmailMessage("s", "b", "from@example.com", ["ok@example.com", "busy@example.com", "gone@example.com"]).send()
    relay.wait_for(2)
    assert [one.recipients for one in relay.accepted] == [["ok@example.com"], ["busy@example.com"]]
    worker.wait_for("mail is dead: rejected by the relay")
    first, second = (message_from_bytes(one.content) for one in relay.accepted)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]


def test_one_bad_message_never_stops_the_ones_beside_it(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(rcpt={"bad3@example.com": "550 no", "bad5@example.com": "553 no"}, dot={})
    worker = start_worker(producer, "-c", "1")
    messages = [EmailMessage("s", "b", "from@example.com", [f"bad{n}@example.com"]) for n in range(10)]
    assert mailworker.get_connection().send_messages(messages) == 10
    relay.wait_for(8)
    worker.wait_for("mail is dead", 2)
    assert len(relay.accepted) == 8


def test_a_mail_for_later_waits_and_an_expired_one_never_goes(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    # No worker yet: one takes longer to start than this mail is worth sending.
    send_mail("never", "b", "from@example.com", ["to@example.com"], expires=0.1)
    worker = start_worker(producer, "-c", "1")
    worker.wait_for("mail expired")
    send_mail("later", "b", "from@example.com", ["to@example.com"], delay=timedelta(seconds=2))
    send_mail("at", "b", "from@example.com", ["to@example.com"], at=datetime.now(UTC) + timedelta(seconds=2))
    send_mail("now", "b", "from@example.com", ["to@example.com"])
    relay.wait_for(3)
    subjects = [message_from_bytes(one.content)["Subject"] for one in relay.accepted]
    assert subjects[0] == "now"
    assert sorted(subjects) == ["at", "later", "now"]


def test_a_relay_that_is_down_pauses_the_mailer_and_charges_no_mail(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.close_port()
    worker = start_worker(producer, "-c", "1", MAILWORKER_MAX_ATTEMPTS="1")
    send_mail("s", "b", "from@example.com", ["to@example.com"])
    worker.wait_for("mailer relay pauses", 2)
    with ScriptedServer(port=relay.port) as again:
        again.wait_for(1)
        worker.wait_for("mail accepted: .*attempt=1")


def test_lanes_can_have_workers_of_their_own(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(producer, "-c", "1", "--lanes", "high")
    send_mail("bulk", "b", "from@example.com", ["bulk@example.com"], lane="bulk")
    send_mail("high", "b", "from@example.com", ["high@example.com"], lane="high")
    relay.wait_for(1)
    assert relay.accepted[0].recipients == ["high@example.com"]
    start_worker(producer, "-c", "1", "--lanes", "normal,bulk")
    relay.wait_for(2)
    assert relay.accepted[1].recipients == ["bulk@example.com"]


def test_celerys_own_command_starts_a_worker_of_our_app(
    redis_broker: Broker, relay: ScriptedServer, relay_settings: dict[str, Any]
) -> None:
    command = (sys.executable, "-m", "celery", "-A", "mailworker", "worker")
    with (
        producing(redis_broker),
        Worker({**relay_settings, **redis_broker.settings}, "-c", "1", "-l", "INFO", command=command),
    ):
        send_mail("s", "b", "from@example.com", ["to@example.com"])
        relay.wait_for(1)
