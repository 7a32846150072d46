"""Workers that stop or die and a Redis that is away, with mail in the spool: nothing lost, nothing doubled, nothing charged."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from mailworker import State, enqueue
from mailworker.testing.script import OK, Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import all_sent, copies, everybody, message, messages, states, status, with_mailer
from tests.processes import (
    DurableRedis,
    Worker,
    eventually,
)

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


@pytest.mark.parametrize(("resends", "deaths"), [(1, 2), (10, 3)], ids=["by its doubts", "by its lapses"])
def test_a_mail_that_kills_its_worker_each_time_is_given_up_and_the_others_go_on(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker, resends: int, deaths: int
) -> None:
    mailers = with_mailer(relay)
    mailers["relay"]["BACKEND"] = "tests.integration.killing.EmailBackend"
    with producing(spool_broker, MAILERS=mailers):
        names = ("a", "b", "poison", "c", "d")
        ids = enqueue([message(f"{name}@example.com") for name in names])
        env = {
            "MAILERS": json.dumps(mailers),
            "MAILWORKER_LEASE": "1",
            "MAILWORKER_IN_DOUBT_RESENDS": str(resends),
            "MAILWORKER_RETRY_SCHEDULE": "0.1",
        }
        # Celery takes up to five seconds to replace a child: one for each death, and one that lives.
        worker = start_worker(spool_broker, "-c", str(deaths + 1), **env)
        poison = ids.pop(2)
        eventually(lambda: states([poison]) == [State.DEAD], "a dead letter")
        all_sent([*ids, *enqueue(message("after@example.com"))])
        dead = status(poison)
    assert dead.in_doubt
    assert dead.attempts == deaths
    assert ("lost" if deaths == 3 else "in doubt") in dead.reason
    worker.wait_for(r"exited with 'signal 9 \(SIGKILL\)'", deaths)
    assert worker.output.count("exited with 'signal 9 (SIGKILL)'") == deaths
    assert copies(relay) == Counter(f"{name}@example.com" for name in ("a", "b", "c", "d", "after"))


@pytest.mark.parametrize("group", [False, True], ids=["alone", "with its process group"])
def test_a_worker_that_is_told_to_stop_ends_the_mail_on_the_wire_and_gives_back_the_others_as_they_were(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker, *, group: bool
) -> None:
    relay.script(dot=[OK, OK, Hang()])
    ids = enqueue(messages(5))
    worker = start_worker(spool, "-c", "1")
    relay.wait_hanging()
    worker.signal(signal.SIGTERM, group=group)
    worker.wait_for("all others go back")
    relay.release()
    assert worker.wait() == 0
    assert states(ids) == [State.SENT] * 3 + [State.DUE] * 2
    assert [status(mail_id).attempts for mail_id in ids] == [1, 1, 1, 0, 0]
    start_worker(spool, "-c", "1")
    all_sent(ids)
    assert [status(mail_id).attempts for mail_id in ids] == [1] * 5
    assert not any(status(mail_id).in_doubt for mail_id in ids)
    assert copies(relay) == everybody(5)


@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_while_the_spools_redis_is_away_nothing_is_sent_and_when_it_is_back_nothing_is_doubled(
    durable: tuple[DurableRedis, Broker], relay: ScriptedServer, start_worker: StartWorker, fault: str
) -> None:
    server, broker = durable
    relay.script(dot=[OK, Hang()])
    ids = enqueue(messages(5))
    worker = start_worker(broker, "-c", "1")
    relay.wait_hanging()
    if fault == "frozen":
        server.freeze()
    else:
        server.kill()
    relay.release()
    worker.wait_for("nothing is sent until the spool answers")
    assert len(relay.complete) == 2, "it has not gone on without having recorded"
    # The next one's envelope went out behind the dot; nothing of itself may.
    assert all(not transaction.raw for transaction in relay.transactions[2:])
    if fault == "frozen":
        server.thaw()
    else:
        server.start_again()
    all_sent(ids)
    worker.wait_for("the spool answers again")
    assert [status(mail_id).attempts for mail_id in ids] == [1] * 5
    assert not any(status(mail_id).in_doubt for mail_id in ids)
    assert copies(relay) == everybody(5)


def test_a_worker_that_has_a_wake_up_in_hand_lives_through_a_restart_of_redis(
    durable: tuple[DurableRedis, Broker], relay: ScriptedServer, start_worker: StartWorker
) -> None:
    server, broker = durable
    relay.script(dot=[Hang(), Hang()])
    worker = start_worker(broker, "-c", "2")
    for number in range(2):
        enqueue(message(f"to{number}@example.com"))
        relay.wait_hanging(number + 1)
    said = len(worker.output)
    enqueue(message("to2@example.com"))
    # It depends on which of its connections it finds broken first.
    for _ in range(4):
        # Both children are busy: a third wake-up is fetched, and not acknowledged, and there is room for a fourth.
        worker.wait_for(r"Task mailworker\.drain\[.*\] received", since=said)
        said = len(worker.output)
        server.kill()
        worker.wait_for("Connection to broker lost|Cannot connect to", since=said)
        server.start_again()
        worker.wait_for("Connected to|Unrecoverable error", since=said)
        assert "Unrecoverable error" not in worker.output
    relay.release()
    relay.wait_for(3)
    assert copies(relay) == everybody(3)
