"""A worker that is told to stop, or is killed: nothing is lost, and what is sent twice is flagged."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import psutil
import pytest
import redis
from kombu import Connection

import mailworker
from mailworker import EmailMessage, get_connection, send_mail
from mailworker.lane import Lane
from mailworker.queue import lanes
from mailworker.testing.script import Command, Drip, Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import PATIENCE, Worker
from tests.proxy import Proxy

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


def send(count: int) -> None:
    messages = [EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(count)]
    assert get_connection().send_messages(messages) == count


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a question to a broker is answered with yes."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "the broker never says so"


def copies(relay: ScriptedServer) -> Counter[str]:
    return Counter(recipient for one in relay.complete for recipient in one.recipients)


# Only with prefork are there others in its process group.
@pytest.mark.parametrize(
    ("pool", "group"),
    [
        pytest.param("prefork", False, id="prefork alone"),
        pytest.param("prefork", True, id="prefork with its process group"),
        pytest.param("threads", False, id="threads"),
        pytest.param("solo", False, id="solo"),
    ],
)
def test_sigterm_lets_the_message_on_the_wire_end_and_loses_nothing(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker, pool: str, *, group: bool
) -> None:
    relay.script(dot=["250 ok", "250 ok", "250 ok", Hang("250 ok")])
    worker = start_worker(producer, "-c", "1", "-P", pool)
    send(20)
    relay.wait_hanging()
    worker.signal(signal.SIGTERM, group=group)
    worker.wait_for("all others go back")
    relay.release()
    assert worker.wait() == 0
    first = len(relay.accepted)
    assert first == 4, "the message on the wire was ended, and none was begun after it"
    relay.script()
    start_worker(producer, "-c", "1")
    relay.wait_for(20)
    assert copies(relay) == Counter(f"to{n}@example.com" for n in range(20))


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_mail_that_waits_in_a_worker_that_stops_is_put_back_and_not_in_doubt(
    broker: Broker, relay: ScriptedServer, start_worker: StartWorker, pool: str
) -> None:
    with producing(broker):
        worker = start_worker(broker, "-c", "1", "-P", pool)
        message = EmailMessage("s", "b", "from@example.com", ["to@example.com"])
        mailworker.enqueue(message, delay=1.5, on_in_doubt="hold")
        worker.wait_for("received")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert "put back 1 tasks with mail" in worker.output
        # By the time that this one is ready the mail is due, or so nearly that clocks of two hosts might not agree on it.
        second = start_worker(broker, "-c", "1", "-P", pool)
        relay.wait_for(1)
        second.wait_for("mail accepted")
        assert "lost" not in second.output


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_workers_that_are_replaced_under_traffic_lose_nothing_double_nothing_and_doubt_nothing(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker, pool: str
) -> None:
    total, workers = 300, 3
    sent = threading.Semaphore(0)

    def traffic() -> None:
        for n in range(total):
            mailworker.enqueue(
                EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]),
                on_in_doubt="hold",
                delay=n % 3 * 0.2,
            )
            sent.release()

    web = threading.Thread(target=traffic)
    worker = start_worker(producer, "-c", "2", "-P", pool)
    stopped: list[Worker] = []
    web.start()
    for _ in range(workers):
        for _ in range(total // (workers + 1)):
            sent.acquire()
        worker.signal(signal.SIGTERM)
        stopped.append(worker)
        worker = start_worker(producer, "-c", "2", "-P", pool)
    web.join()
    relay.wait_for(total)
    assert [each.wait() for each in stopped] == [0] * workers
    assert copies(relay) == Counter(f"to{n}@example.com" for n in range(total))
    assert not any("lost" in each.output or "held" in each.output for each in (*stopped, worker))


def test_what_a_killed_worker_had_begun_stays_in_doubt_through_a_worker_that_stops(
    rabbitmq_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(dot=Hang("250 ok"))
    with producing(rabbitmq_broker):
        killed = start_worker(rabbitmq_broker, "-c", "1")
        send_mail("s", "b", "from@example.com", ["begun@example.com"])
        relay.wait_hanging()
        busy = start_worker(rabbitmq_broker, "-c", "1", "--prefetch-multiplier", "4")
        send_mail("s", "b", "from@example.com", ["other@example.com"])
        relay.wait_until(lambda: len(relay.transactions) == 2, "a second mail on the wire")
        killed.signal(signal.SIGKILL, group=True)
        busy.wait_for("received", 2)
        busy.signal(signal.SIGTERM)
        name = lanes.queue_name(rabbitmq_broker.namespace, Lane.NORMAL)
        with Connection(rabbitmq_broker.url) as connection:
            # Until then a slot that came free would still begin it.
            wait_until(lambda: connection.default_channel.queue_declare(name, passive=True).consumer_count == 0)
        relay.script()
        relay.release()
        assert busy.wait() == 0
        last = start_worker(rabbitmq_broker, "-c", "1")
        last.wait_for("a worker was lost with mail")
        last.wait_for("mail accepted")


def test_a_broker_that_does_not_take_back_what_waits_gives_it_out_again_by_itself(
    broker: Broker, through_proxy: Broker, proxy: Proxy, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    with producing(broker):
        worker = start_worker(through_proxy, "-c", "1", "-P", "solo")
        send_mail("s", "b", "from@example.com", ["to@example.com"], delay=15)
        worker.wait_for("received")
        proxy.freeze()
        worker.signal(signal.SIGTERM)
        worker.wait_for("mails that were not begun are left to the broker")
        proxy.thaw()
        assert worker.wait() == 0
        second = start_worker(broker, "-c", "1", "-P", "solo")
        relay.wait_for(1)
        second.wait_for("mail accepted")
        assert "lost" not in second.output, "it came back while it still had to wait"


def test_idle_children_of_a_group_that_gets_sigterm_end_in_order(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    worker = start_worker(producer, "-c", "2")
    worker.signal(signal.SIGTERM, group=True)
    assert worker.wait() == 0
    assert "exited prematurely" not in worker.output
    assert "Traceback" not in worker.output


def test_a_child_that_is_killed_costs_at_most_a_second_copy_and_nothing_is_lost(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(dot=["250 ok", "250 ok", Hang("250 ok")])
    worker = start_worker(producer, "-c", "1")
    send(5)
    relay.wait_hanging()
    # What became of the second is told while the relay has the third.
    worker.wait_for("mail accepted", 2)
    (child,) = psutil.Process(worker.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    relay.script()
    relay.wait_until(lambda: set(copies(relay)) == {f"to{n}@example.com" for n in range(5)}, "every mail")
    worker.wait_for("a worker was lost with mail", 5)
    worker.wait_for("mail accepted", 7)
    assert max(copies(relay).values()) == 2


def test_a_child_that_is_told_to_stop_alone_gives_its_chunk_back_and_goes_on(
    redis_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(dot=["250 ok", Hang("250 ok")])
    with producing(redis_broker):
        worker = start_worker(redis_broker, "-c", "1")
        send(5)
        relay.wait_hanging()
        (child,) = psutil.Process(worker.pid).children()
        os.kill(child.pid, signal.SIGTERM)
        relay.release()
        relay.wait_for(5)
        worker.wait_for(r"Task mailworker\.deliver\[.*\] succeeded", 2)
    assert copies(relay) == Counter(f"to{n}@example.com" for n in range(5))
    assert worker.output.count("received") == 2, "what it gave back went out with the next task"


def test_sigquit_lets_the_message_on_the_wire_end_and_loses_nothing(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    # Celery says nothing between the signal and its end, so that the relay has to be slow for long enough.
    relay.script(dot=lambda command: Drip("250 ok", 0.03))
    worker = start_worker(producer, "-c", "1")
    send(20)
    relay.wait_for(2)
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 0
    assert len(relay.complete) == len(relay.accepted) < 20, "the worker did not go on to the end of its chunk"
    relay.script()
    start_worker(producer, "-c", "1", "-P", "solo")
    relay.wait_for(20)
    assert copies(relay) == Counter(f"to{n}@example.com" for n in range(20))


def test_a_mail_that_kills_its_worker_each_time_is_buried_and_the_others_go_on(
    producer: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    begun: list[Command] = []

    def poison(command: Command) -> Hang:
        begun.append(command)
        return Hang("250 ok")

    relay.script(rcpt={"poison@example.com": poison})
    worker = start_worker(producer, "-c", "1")
    messages = [EmailMessage("s", "b", "from@example.com", [f"{name}@example.com"]) for name in ("a", "poison", "c")]
    get_connection().send_messages(messages)
    for number in range(3):
        relay.wait_until(partial(lambda seen: len(begun) > seen, number), "the poison")
        (child,) = psutil.Process(worker.pid).children()
        os.kill(child.pid, signal.SIGKILL)
    worker.wait_for("mail is dead: its worker was lost 3 times in a row")
    relay.wait_until(lambda: {"a@example.com", "c@example.com"} <= set(copies(relay)), "the mails beside it")
    send_mail("s", "b", "from@example.com", ["after@example.com"])
    relay.wait_until(lambda: "after@example.com" in copies(relay), "a mail after it")
    assert "poison@example.com" not in copies(relay)


def test_a_worker_that_is_killed_whole_loses_nothing(
    rabbitmq_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(dot=["250 ok", Hang("250 ok")])
    with producing(rabbitmq_broker):
        worker = start_worker(rabbitmq_broker, "-c", "1")
        send(5)
        relay.wait_hanging()
        worker.signal(signal.SIGKILL, group=True)
        worker.wait()
        relay.script()
        start_worker(rabbitmq_broker, "-c", "1")
        relay.wait_until(lambda: set(copies(relay)) == {f"to{n}@example.com" for n in range(5)}, "every mail")
    assert max(copies(relay).values()) == 2


def test_what_a_killed_worker_had_in_hand_on_redis_comes_back_after_the_visibility_timeout(
    redis_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    relay.script(dot=["250 ok", Hang("250 ok")])
    with producing(redis_broker), redis.Redis.from_url(redis_broker.url) as client:
        worker = start_worker(redis_broker, "-c", "1", "-P", "solo")
        send(5)
        relay.wait_hanging()
        worker.signal(signal.SIGKILL, group=True)
        worker.wait()
        relay.script()
        # Nobody waits for an hour here: the hour has passed as soon as the index says so.
        (tag,) = client.zrange("unacked_index", 0, -1)
        client.zincrby("unacked_index", -3601, tag)
        again = start_worker(redis_broker, "-c", "1", "-P", "solo")
        relay.wait_until(lambda: set(copies(relay)) == {f"to{n}@example.com" for n in range(5)}, "every mail")
        again.wait_for("a worker was lost with mail", 5)
        again.wait_for("mail accepted", 5)
    assert max(copies(relay).values()) == 2
