"""A broker that refuses, hangs or goes away: the caller waits no longer than it said, and is told what it has."""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import signal
import smtplib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from celery import Celery
from kombu import Connection

import mailworker
from mailworker import EmailMessage, EnqueueError, get_connection, send_mail
from mailworker.lane import Lane
from mailworker.queue import app as apps
from mailworker.queue import dispatch, lanes
from mailworker.testing.script import Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import Worker, free_port
from tests.proxy import Proxy

pytestmark = pytest.mark.integration

#: Seconds; what MAILWORKER_ENQUEUE_TIMEOUT says, here and by default.
BOUND = 2.0

#: Seconds on top of the bound that a machine with two busy cores may take for 50 threads to get their turn. Not a judgement
#: of speed: without the bound these calls take 6 s, 19 s, or for ever.
SLACK = 2.0


def send() -> int:
    return send_mail("s", "b", "from@example.com", ["to@example.com"])


def waits(calls: int) -> tuple[list[float], list[BaseException | int]]:
    """Send from that many threads at once; return how long each waited, and what came of it."""
    together = threading.Barrier(calls)
    spent: list[float] = []
    results: list[BaseException | int] = []

    def call() -> None:
        together.wait()
        started = time.monotonic()
        try:
            result: BaseException | int = send()
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            result = error
        spent.append(time.monotonic() - started)
        results.append(result)

    threads = [threading.Thread(target=call) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spent, results


@pytest.mark.parametrize("calls", [1, 50], ids=["one thread", "50 threads"])
@pytest.mark.parametrize("known", [True, False], ids=["connected before", "first connection"])
def test_a_frozen_broker_holds_no_caller_longer_than_the_bound(
    through_proxy: Broker, proxy: Proxy, calls: int, *, known: bool
) -> None:
    with producing(through_proxy, MAILWORKER_ENQUEUE_TIMEOUT=BOUND):
        if known:
            # A hundred threads of this process pass the bytes on; on two busy cores some calls come too late at first.
            assert any(waits(calls)[1] == [1] * calls for _ in range(10))
        proxy.freeze()
        spent, results = waits(calls)
        # Shown by `pytest -s -k frozen`.
        sys.stdout.write(
            f"\n{through_proxy.url.partition(':')[0]} frozen, {calls} threads, connected before={known}: {max(spent):.2f} s"
        )
        assert {type(result) for result in results} == {EnqueueError}
        assert "it does not answer" in str(results[0])
        assert max(spent) < BOUND + SLACK
        proxy.thaw()


@pytest.mark.parametrize("messages", [1, 1000], ids=["one mail", "1000 mails"])
def test_a_broker_that_answers_each_time_just_in_time_holds_no_caller_longer_than_the_bound(
    through_proxy: Broker, proxy: Proxy, messages: int
) -> None:
    mails = [EmailMessage("s", "b", "from@example.com", ["to@example.com"]) for _ in range(messages)]
    with producing(through_proxy, MAILWORKER_ENQUEUE_TIMEOUT=BOUND):
        if messages > 1:
            send()
        # Below a quarter of the bound, which is what one answer may take: twenty answers come before the first mail is taken.
        proxy.lag(BOUND / 5)
        started = time.monotonic()
        with pytest.raises(EnqueueError, match="it does not answer") as caught:
            mailworker.enqueue(mails)
        assert time.monotonic() - started < BOUND + SLACK
        assert len(caught.value.accepted) < messages
        assert len(caught.value.accepted) % 50 == 0


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_many_brokers_that_take_no_connection_hold_a_caller_no_longer_than_one(scheme: str, namespace: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        where = full.getsockname()
        # Nobody accepts: once these wait, the next connection waits for a place, and its packets are dropped.
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(where)
        urls = ";".join([f"{scheme}://127.0.0.1:{where[1]}//"] * 8)
        with producing(Broker(urls, namespace), MAILWORKER_ENQUEUE_TIMEOUT=BOUND):
            started = time.monotonic()
            with pytest.raises(EnqueueError, match="it does not answer"):
                send()
            assert time.monotonic() - started < BOUND + SLACK / 2


def test_of_several_brokers_the_first_that_answers_takes_the_mail(through_proxy: Broker, proxy: Proxy) -> None:
    port = through_proxy.url.rpartition(":")[2].split("/")[0]
    refuses = through_proxy.url.replace(f":{port}/", f":{free_port()}/")
    with Proxy(proxy.target) as hangs:
        hangs.freeze()
        silent = through_proxy.url.replace(f":{port}/", f":{hangs.port}/")
        several = Broker(f"{refuses};{silent};{through_proxy.url}", through_proxy.namespace)
        with producing(several, MAILWORKER_ENQUEUE_TIMEOUT=5 * BOUND):
            assert send() == 1


def test_what_the_broker_refused_is_not_unknown(redis_broker: Broker) -> None:
    with producing(redis_broker), Connection(redis_broker.url) as connection:
        assert send() == 1
        redis = connection.default_channel.client
        redis.config_set("maxmemory", "1")
        with pytest.raises(EnqueueError, match="out of memory") as caught:
            send()
        redis.config_set("maxmemory", "0")
        assert caught.value.unknown == ()
        assert send() == 1


def test_a_lost_answer_is_unknown_and_a_second_try_of_the_same_object_has_the_same_id(
    through_proxy: Broker, proxy: Proxy
) -> None:
    message = EmailMessage("s", "b", "from@example.com", ["to@example.com"])
    with producing(through_proxy):
        send()
        proxy.freeze()
        with pytest.raises(EnqueueError) as caught:
            message.send()
        assert len(caught.value.unknown) == 1
        assert caught.value.accepted == ()
        proxy.thaw()
        proxy.cut()
        assert message.send() == 1
        assert message.mail_id == caught.value.unknown[0]
        assert message.send() == 1, "a send after a successful one is a new mail"
        assert message.mail_id != caught.value.unknown[0]


def test_what_never_left_is_not_unknown(through_proxy: Broker, proxy: Proxy) -> None:
    proxy.close()
    with producing(through_proxy), pytest.raises(EnqueueError) as caught:
        send()
    assert (caught.value.accepted, caught.value.unknown) == ((), ())


def test_a_connection_that_the_broker_closed_while_idle_is_replaced_unseen(through_proxy: Broker, proxy: Proxy) -> None:
    with producing(through_proxy):
        assert send() == 1
        proxy.cut()
        assert send() == 1


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_refuses_is_one_clear_error_that_old_code_catches(scheme: str, namespace: str) -> None:
    url = f"{scheme}://user:hidden@127.0.0.1:{free_port()}/0"
    with producing(Broker(url, namespace)):
        with pytest.raises(
            smtplib.SMTPException,
            match=r"did not take the mail \(connection refused; MAILWORKER_ENQUEUE_TIMEOUT is 2 s\)",
        ) as caught:
            send()
        assert isinstance(caught.value, EnqueueError)
        assert "hidden" not in str(caught.value)
        assert "MAILWORKER_BROKER_URL" in str(caught.value)


def test_fail_silently_logs_a_broken_queue_and_returns_zero(namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        producing(Broker(f"redis://127.0.0.1:{free_port()}/0", namespace)),
        caplog.at_level(logging.DEBUG, "mailworker"),
    ):
        assert send_mail("hush", "secret body", "from@example.com", ["to@example.com"], fail_silently=True) == 0
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "hush" not in caplog.text
    assert "secret body" not in caplog.text
    assert "to@example.com" not in caplog.text


def test_a_forked_child_enqueues_on_a_connection_of_its_own(producer: Broker) -> None:
    assert send() == 1
    kept = dispatch.publisher(apps.current(), BOUND)._kept
    assert len(kept) == 1
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        sent = send()
        mine = dispatch.publisher(apps.current(), BOUND)._kept
        os.write(write, b"%d%d" % (sent, mine[0].connection is not kept[0].connection))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"11"
    assert send() == 1, "the parent's connection still works"


def test_a_handler_that_mails_our_own_log_records_makes_no_mail_of_them(namespace: str) -> None:
    sends: list[int] = []

    class MailAdmins(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sends.append(send_mail("an error", "b", "from@example.com", ["admin@example.com"], fail_silently=True))

    root, handler = logging.getLogger(), MailAdmins(logging.ERROR)
    root.addHandler(handler)
    try:
        with producing(Broker(f"redis://127.0.0.1:{free_port()}/0", namespace)):
            assert send_mail("s", "b", "from@example.com", ["to@example.com"], fail_silently=True) == 0
    finally:
        root.removeHandler(handler)
    assert sends == [0], "one record, and no mail about it"


def test_a_handler_in_a_thread_of_its_own_makes_no_mail_of_our_records_either(namespace: str) -> None:
    handled = threading.Semaphore(0)
    sends: list[int] = []

    class MailAdmins(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sends.append(send_mail("an error", "b", "from@example.com", ["admin@example.com"], fail_silently=True))
            handled.release()

    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    root, handler = logging.getLogger(), logging.handlers.QueueHandler(waiting)
    listener = logging.handlers.QueueListener(waiting, MailAdmins(logging.ERROR), respect_handler_level=True)
    root.addHandler(handler)
    listener.start()
    try:
        with producing(Broker(f"redis://127.0.0.1:{free_port()}/0", namespace)):
            assert send_mail("s", "b", "from@example.com", ["to@example.com"], fail_silently=True) == 0
            assert handled.acquire(timeout=30)
            # A record of a mail about the first record would be in the queue before this one.
            logging.getLogger("somebody").error("another error, of which a mail is made")
            assert handled.acquire(timeout=30)
    finally:
        root.removeHandler(handler)
        listener.stop()
    assert len(sends) == 2 + 1, "one each, and one about the error that the second mail met"


def test_a_queue_that_was_deleted_meanwhile_is_made_again_and_the_mail_is_in_it(rabbitmq_broker: Broker) -> None:
    name = lanes.queue_name(rabbitmq_broker.namespace, Lane.NORMAL)
    with producing(rabbitmq_broker), Connection(rabbitmq_broker.url) as connection:
        assert send() == 1
        connection.default_channel.queue_delete(name)
        # RabbitMQ confirms what no queue takes, unless it is told that this matters.
        assert send() == 1
        assert connection.default_channel.queue_declare(name, passive=True).message_count == 1


@pytest.mark.parametrize(
    "route", [{"exchange": "elsewhere", "routing_key": "elsewhere"}, {"queue": "elsewhere"}, {"delivery_mode": 1}]
)
def test_a_route_of_the_users_app_does_not_lead_mail_astray(rabbitmq_broker: Broker, route: dict[str, object]) -> None:
    app = Celery("proj", broker=rabbitmq_broker.url, set_as_current=False)
    app.conf.task_routes = {"*": route}
    lane = lanes.declared(lanes.queue_name(rabbitmq_broker.namespace, Lane.NORMAL))
    with producing(rabbitmq_broker), Connection(rabbitmq_broker.url) as connection:
        mailworker.install(app)
        assert send() == 1
        task = lane(connection.default_channel).get(no_ack=True)
    assert task is not None
    assert task.properties["delivery_mode"] == 2
    assert task.headers["task"] == apps.DELIVER


def test_a_broker_that_takes_no_mails_back_is_asked_until_the_worker_stops_and_nothing_is_lost(
    broker: Broker, through_proxy: Broker, proxy: Proxy, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    relay.script(rcpt={"to1@example.com": [Hang("450 busy")]})
    with producing(broker):
        worker = start_worker(through_proxy, "-c", "1", "-P", "threads")
        messages = [EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(3)]
        assert get_connection().send_messages(messages) == 3
        relay.wait_hanging()
        proxy.freeze()
        relay.release()
        worker.wait_for("the broker does not take mails back", 2)
        worker.signal(signal.SIGTERM)
        worker.wait_for("reject requeue=True")
        proxy.thaw()
        assert worker.wait() == 0
        start_worker(broker, "-c", "1", "-P", "solo")
        relay.wait_until(lambda: "to1@example.com" in {r for one in relay.accepted for r in one.recipients}, "the rest")
    copies = Counter(recipient for one in relay.accepted for recipient in one.recipients)
    assert set(copies) == {"to0@example.com", "to1@example.com", "to2@example.com"}
    assert max(copies.values()) <= 2, "the chunk is repeated at most, as the README says"


def test_enqueue_takes_a_generator_and_passes_over_messages_without_recipients(producer: Broker) -> None:
    messages = (EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"] if n % 2 else []) for n in range(200))
    ids = mailworker.enqueue(messages)
    assert len(set(ids)) == 100
