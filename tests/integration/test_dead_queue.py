"""The queue of dead cargo: kept until a person acts, looked at without being taken, sent again on request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailworker import EmailMessage, get_connection, settings
from mailworker import replay as replay_mail
from mailworker.mail.sealing import Sealer
from mailworker.queue import app as apps
from mailworker.queue.dead import DeadQueue
from mailworker.queue.dispatch import Dispatch
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker
from tests.processes import Worker

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


def dead_queue(broker: Broker) -> DeadQueue:
    return DeadQueue(apps.current(), broker.namespace, Sealer())


def send(*to: str) -> str:
    message = EmailMessage("s", "b", "from@example.com", list(to))
    get_connection().send_messages([message])
    assert message.mail_id is not None
    return message.mail_id


def test_a_dead_mail_shows_its_outcomes_and_is_sent_again_only_to_those_not_accepted(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(rcpt={"gone@example.com": ["550 5.1.1 unknown", "250 ok"]})
    worker = start_worker(producer, "-c", "1")
    mail_id = send("ok@example.com", "gone@example.com")
    worker.wait_for("dead letter kept")
    queue = dead_queue(producer)
    for _ in range(2):
        (entry,) = queue.entries()
        assert (entry.id, entry.state, entry.reason) == (mail_id, "dead", "rejected by the relay")
    shown = entry.to_json()
    assert shown["outcomes"]["gone@example.com"]["code"] == 550
    assert shown["outcomes"]["ok@example.com"]["class"] == "accepted"
    assert "payload" not in shown
    assert replay_mail(mail_id)
    relay.wait_for(2)
    assert relay.accepted[1].recipients == ["gone@example.com"]
    assert queue.entries() == []
    assert not replay_mail(mail_id)


def test_purge_takes_what_it_is_told_and_leaves_the_rest(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(rcpt="550 no")
    worker = start_worker(producer, "-c", "1")
    ids = [send(f"to{n}@example.com") for n in range(3)]
    worker.wait_for("dead letter kept", 3)
    queue = dead_queue(producer)
    assert queue.purge({ids[1]}) == [ids[1]]
    assert {entry.id for entry in queue.entries()} == {ids[0], ids[2]}
    assert set(queue.purge(None)) == {ids[0], ids[2]}
    assert queue.entries() == []


def test_a_mail_that_was_to_fail_silently_leaves_no_dead_letter(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(rcpt="550 no")
    worker = start_worker(producer, "-c", "1")
    EmailMessage("s", "b", "from@example.com", ["to@example.com"]).send(fail_silently=True)
    worker.wait_for("mail dropped: rejected by the relay")
    worker.wait_for(r"Task mailworker\.deliver\[.*\] succeeded")
    assert dead_queue(producer).entries() == []


def test_cargo_that_is_none_is_kept_as_it_came_and_the_worker_goes_on(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    worker = start_worker(producer, "-c", "1")
    app = apps.current()
    dispatch = Dispatch(app, producer.namespace, Sealer(), settings.current().MAILWORKER_ENQUEUE_TIMEOUT)
    publisher = dispatch._publisher
    from mailworker.lane import Lane
    from mailworker.queue import lanes

    queue = lanes.lane_queue(app, producer.namespace, Lane.NORMAL)
    task = app.tasks[apps.DELIVER]
    strange = [None, "text", {"v": 99, "mails": []}, {"v": 1, "mails": [{"id": "x"}, 7]}]
    for cargo in strange:
        publisher.task(task, (cargo,), queue, argsrepr="(test)")
    worker.wait_for("dead letter kept", 5)
    for died_at in ("yesterday", float("inf"), [1]):
        dispatch.dead({"id": "strange", "state": "dead", "died_at": died_at})
    entries = dead_queue(producer).entries()
    assert [entry.state for entry in entries] == ["broken"] * 5 + ["dead"] * 3
    assert [entry.died_at for entry in entries[5:]] == [0.0] * 3
    assert len(dead_queue(producer).purge({"strange"})) == 3
    send("after@example.com")
    relay.wait_for(1)
