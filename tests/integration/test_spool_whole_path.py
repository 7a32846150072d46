"""What users see of the spool, with real workers: keys, batches, times, taking back, dead letters, lost wake-ups, secrets."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

import mailworker
from mailworker import EmailMessage, MailStatus, State, enqueue, send_mail, settings
from mailworker.lane import Lane
from mailworker.queue import app as apps
from mailworker.queue import lanes, spools
from mailworker.testing.script import Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import all_sent, copies, everybody, message, messages, states, status
from tests.processes import (
    RABBITMQ_URL,
    RedisServer,
    Worker,
    delete_queues,
    eventually,
    missing,
    rabbitmq_is_there,
)

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


A, B, C = "a@example.com", "b@example.com", "c@example.com"


def _enqueue_with_key(values: Mapping[str, Any], times: int, together: Any, found: Any) -> None:
    """Enqueue in a process of its own."""
    mailworker.configure(**values)
    together.wait()
    for _ in range(times):
        found.put(enqueue(message("to@example.com"), key="invoice 17"))


def test_twenty_enqueues_with_one_key_from_four_processes_at_once_are_one_mail(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(spool)
    context = multiprocessing.get_context("spawn")
    together, found = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_enqueue_with_key, args=(spool.settings, 5, together, found)) for _ in range(4)]
    for each in processes:
        each.start()
    ids = {mail_id for _ in range(20) for mail_id in found.get()}
    for each in processes:
        each.join()
    assert len(ids) == 1
    all_sent(list(ids))
    # What would be a second mail was put in before this one.
    all_sent(enqueue(message("after@example.com")))
    assert copies(relay) == {"to@example.com": 1, "after@example.com": 1}


def test_single_mails_of_many_threads_travel_in_batches(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    worker = start_worker(spool_broker)

    def web(number: int) -> None:
        for n in range(25):
            send_mail("s", "b", "from@example.com", [f"to{25 * number + n}@example.com"])

    with producing(spool_broker, MAILWORKER_ENQUEUE_TIMEOUT=30), ThreadPoolExecutor(8) as threads:
        list(threads.map(web, range(8)))
    relay.wait_for(200)
    worker.wait_for("mail accepted", 200)
    assert copies(relay) == everybody(200)
    assert relay.connections_ever <= 4, "two slots, and a hundred mails a session"
    with redis.Redis.from_url(spool_broker.url) as client:
        waiting = client.llen(lanes.queue_name(spool_broker.namespace, Lane.NORMAL))
    assert isinstance(waiting, int)
    assert worker.output.count("received") + waiting < 100, "one wake-up for many mails"


def test_mails_go_in_the_order_of_their_times_and_not_after_their_end(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(spool, "-c", "1")
    keeper = spools.for_producers(apps.current(), settings.current())
    assert keeper is not None
    (later,) = enqueue(message("later@example.com"), delay=timedelta(seconds=4))
    created = status(later).created_at
    (sooner,) = enqueue(message("sooner@example.com"), at=datetime.fromtimestamp(created + 2, UTC))
    mailworker.pause_group("stopped")
    (never,) = enqueue(message("never@example.com"), expires=0.5, group="stopped")
    (now,) = enqueue(message("now@example.com"))
    assert states([later, sooner]) == [State.DUE, State.DUE]
    assert status(later).next_attempt_at == pytest.approx(created + 4, abs=0.01)
    assert status(sooner).next_attempt_at == pytest.approx(created + 2, abs=0.01)
    eventually(lambda: keeper.now() > status(never).created_at + 0.5, "its end")
    mailworker.resume_group("stopped")
    all_sent([now, sooner, later])
    assert [one.recipients for one in relay.accepted] == [
        [f"{when}@example.com"] for when in ("now", "sooner", "later")
    ]
    eventually(lambda: states([never]) == [State.EXPIRED], "the end of what nobody wants any more")
    assert "never@example.com" not in copies(relay)


def test_a_mail_can_be_taken_back_until_a_worker_has_it(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(spool, "-c", "1")
    relay.script(dot=Hang())
    (waiting,) = enqueue(message("waiting@example.com"), delay=3600)
    (sending,) = enqueue(message("sending@example.com"))
    relay.wait_hanging()
    assert mailworker.cancel(waiting)
    assert not mailworker.cancel(waiting)
    assert not mailworker.cancel(sending)
    assert states([waiting, sending]) == [State.CANCELLED, State.LEASED]
    relay.release()
    all_sent([sending])
    assert copies(relay) == {"sending@example.com": 1}


def test_a_replayed_dead_letter_goes_to_those_alone_who_did_not_get_it(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    start_worker(spool, "-c", "1")
    relay.script(rcpt={B: "550 5.1.1 unknown"})
    (mail_id,) = enqueue(message(A, B, C))
    eventually(lambda: states([mail_id]) == [State.DEAD], "a dead letter")
    dead = status(mail_id)
    assert {r: o.reply.code for r, o in dead.outcomes.items() if o.reply} == {A: 250, B: 550, C: 250}
    assert dead.reason == "rejected by the relay"
    relay.script()
    assert mailworker.replay(mail_id)
    all_sent([mail_id])
    assert [one.recipients for one in relay.accepted] == [[A, C], [B]]
    first, second = relay.accepted
    assert first.content == second.content
    assert not mailworker.replay(mail_id)


def test_a_mail_whose_wake_up_is_lost_is_found_by_the_look(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    ids = enqueue(messages(3))
    with redis.Redis.from_url(spool.url) as client:
        assert client.delete(lanes.queue_name(spool.namespace, Lane.NORMAL)) == 1
    start_worker(spool, "-c", "1")
    all_sent(ids)
    assert copies(relay) == everybody(3)


@pytest.mark.parametrize("is_encrypted", [True, False], ids=["with keys", "without, all of it is found"])
def test_who_looks_into_the_redis_reads_nothing_of_a_mail_if_there_are_keys(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker, *, is_encrypted: bool
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    # Rotated between producer and worker: the first key encrypts, all of them decrypt.
    at_first, later = (old, f"{new},{old}") if is_encrypted else ("", "")
    words = {"Plutonium", "Quicksilver", "zaphod", "Krakatoa.bin", "Fjord"}
    letter = EmailMessage("Plutonium", "Quicksilver " * 10, "from@example.com", ["zaphod@example.com"])
    letter.attach("Krakatoa.bin", b"Fjord " * 20_000)
    relay.script(rcpt={"zaphod@example.com": ["450 4.2.0 the mailbox of Zarniwoop is busy"]})

    def found(words: set[str]) -> set[str]:
        with redis.Redis.from_url(spool_broker.url) as client:
            dump = b"".join(key + repr(_value(client, key)).encode() for key in client.scan_iter())
        assert mail_id.encode() in dump
        return {word for word in words if word.lower().encode() in dump.lower()}

    with producing(spool_broker, MAILWORKER_ENCRYPTION_KEYS=at_first):
        (mail_id,) = enqueue(letter, key="Krakatoa.bin for zaphod", delay=1)
        assert found(words) == (set() if is_encrypted else words)
        start_worker(spool_broker, "-c", "1", MAILWORKER_ENCRYPTION_KEYS=later, MAILWORKER_RETRY_SCHEDULE="3600")
        words.add("Zarniwoop")
        eventually(lambda: status_with(later, mail_id).outcomes != {}, "the end of the first attempt")
        assert found(words) == (set() if is_encrypted else words)
        outcome = status_with(later, mail_id).outcomes["zaphod@example.com"]
        assert outcome.reply is not None
        assert outcome.reply.text == "the mailbox of Zarniwoop is busy"
        (second,) = enqueue(message("to@example.com"))
        eventually(lambda: status_with(later, second).state is State.SENT, "a mail with the old key")
    assert copies(relay) == {"to@example.com": 1}


def status_with(keys: str, mail_id: str) -> MailStatus:
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=keys):
        return status(mail_id)


def _value(client: Any, key: bytes) -> Any:
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
    }
    return read[client.type(key)](key)


def test_rabbitmq_wakes_the_workers_of_a_spool_in_redis(
    namespace: str, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    if not rabbitmq_is_there():
        missing("RabbitMQ on 127.0.0.1:5672")
    with RedisServer() as server:
        broker = Broker(RABBITMQ_URL, namespace, server.url)
        try:
            with producing(broker):
                worker = start_worker(broker)
                ids = enqueue(messages(20))
                (later,) = enqueue(message("later@example.com"), delay=1.5)
                all_sent([*ids, later])
            worker.wait_for(r"Task mailworker\.drain\[.*\] received")
            assert copies(relay) == everybody(20) + Counter(["later@example.com"])
            with redis.Redis.from_url(server.url) as client:
                assert not [key for key in client.scan_iter() if not key.startswith(b"{")], "nothing of Celery's"
        finally:
            delete_queues(broker.url, broker.queues)
