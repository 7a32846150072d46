"""Handing mail over to the spool: what is accepted, what is unknown, what is kept once, and who is woken."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

import mailworker
from mailworker import EmailMessage, EnqueueError, State, settings
from mailworker.lane import LANES, Lane
from mailworker.mail.codec import Codec
from mailworker.queue import app as apps
from mailworker.queue import dispatch, spools
from mailworker.spool import intake
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.redis import RedisSpool
from tests.processes import RedisServer, free_port
from tests.queue.wakeups import woken

pytestmark = pytest.mark.integration

KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI="]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def app(server: RedisServer, client: redis.Redis) -> Iterator[Celery]:
    apps.uninstall()
    app = mailworker.install(Celery("proj", broker="memory://", set_as_current=False))
    woken()
    with settings.override(MAILWORKER_SPOOL_URL=server.url, MAILWORKER_ENQUEUE_TIMEOUT=1):
        yield app
        spools.close(app)
    woken()
    dispatch.close(app)
    apps.uninstall()


def spool(app: Celery) -> RedisSpool:
    found = spools.for_workers(app, settings.current())
    assert found is not None
    return found


def message(subject: str = "s", **more: Any) -> EmailMessage:
    return EmailMessage(subject, "b", "from@example.com", ["to@example.com"], **more)


def state(mail_id: str) -> State | None:
    status = mailworker.status(mail_id)
    return None if status is None else status.state


def test_a_mail_is_due_in_the_spool_and_one_wake_up_is_on_its_way_for_many(app: Celery):
    ids = mailworker.enqueue([message() for _ in range(250)])
    assert len(set(ids)) == 250
    assert {state(mail_id) for mail_id in ids} == {State.DUE}
    assert mailworker.send_mail("s", "b", None, ["to@example.com"], lane="high") == 1
    assert woken() == ["high", "normal"]


def test_nobody_is_woken_for_mail_that_is_due_later(app: Celery):
    (mail_id,) = mailworker.enqueue(message(), delay=60)
    status = mailworker.status(mail_id)
    assert status is not None
    assert status.next_attempt_at == pytest.approx(spool(app).now() + 60, abs=5)
    assert woken() == []


def test_a_mail_that_is_due_at_once_is_so_by_the_clock_of_the_spool(app: Celery, monkeypatch: pytest.MonkeyPatch):
    # A host whose clock is an hour ahead.
    ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)
    mailworker.enqueue(message())
    assert len(spool(app).claim(LANES, 10, 60).leased) == 1


def test_what_travels_is_the_message(app: Celery):
    message("Ein Brief").send()
    (leased,) = spool(app).claim(LANES, 10, 60).leased
    assert Codec().decode(leased.mail.payload).subject == "Ein Brief"


def test_a_large_attachment_is_kept_once_for_all_mails_that_carry_it(app: Celery, client: redis.Redis):
    content = os.urandom(200_000)
    ids = mailworker.enqueue([message(attachments=[("a.bin", content, "application/x-a")]) for _ in range(30)])
    ids += mailworker.enqueue(message(attachments=[("b.bin", content, "application/x-b")]))
    (key,) = client.keys("{mailworker}:content:*")
    assert client.hget(key, "mails") == b"31"
    assert client.hget(key, "bytes") == content
    for leased in spool(app).claim(LANES, 50, 60).leased:
        (kept,) = leased.mail.contents
        read = Codec().decode_parts(leased.mail.payload, [kept.stored or b""])
        assert read.attachments[0][1] == content
        assert spool(app).snooze(leased, 0)
    assert all(mailworker.cancel(mail_id) for mail_id in ids)
    assert client.keys("{mailworker}:content:*") == []


def test_a_key_makes_one_mail_of_any_number_of_calls(app: Celery):
    first = mailworker.enqueue(message(), key="order 7")
    assert mailworker.enqueue(message("another subject"), key="order 7") == first
    assert mailworker.enqueue(message(), key="order 8") != first
    assert len(spool(app).claim(LANES, 10, 60).leased) == 2


def test_with_encryption_a_key_tells_nothing_and_is_the_same_after_a_new_key_was_put_first(app: Celery):
    (plain,) = mailworker.enqueue(message(), key="order 7")
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS[:1]):
        (sealed,) = mailworker.enqueue(message(), key="order 7")
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS[::-1]):
        assert mailworker.enqueue(message(), key="order 7") == [sealed]
    assert sealed != plain


def test_content_that_is_queued_after_a_new_key_was_put_first_needs_the_old_one_no_longer(app: Celery):
    content = os.urandom(200_000)

    def queue() -> str:
        (mail_id,) = mailworker.enqueue(message(attachments=[("a.bin", content, "application/x-a")]))
        return mail_id

    with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS[:1]):
        queue()
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS[::-1]):
        new = queue()
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS[1:]):
        mail = spool(app).get(new)
        assert mail is not None
        (kept,) = mail.contents
        assert Codec(KEYS[1:]).decode_parts(mail.payload, [kept.stored or b""]).attachments[0][1] == content


def test_a_long_text_is_kept_once_for_all_mails_that_have_it(app: Celery, client: redis.Redis):
    long = "Terms and conditions. " * 5000
    mailworker.enqueue([EmailMessage(f"s{n}", long, "from@example.com", ["to@example.com"]) for n in range(20)])
    (key,) = client.keys("{mailworker}:content:*")
    assert client.hget(key, "mails") == b"20"
    leased = spool(app).claim(LANES, 1, 60).leased[0]
    assert Codec().decode_parts(leased.mail.payload, [leased.mail.contents[0].stored or b""]).body == long


def test_pausing_the_mailer_that_queues_pauses_the_one_that_it_delivers_with(app: Celery):
    mailworker.pause("default", "moving")
    assert spool(app).mailer_state("relay").paused_by_person
    mailworker.enqueue(message())
    assert spool(app).claim(LANES, 10, 60).leased == ()
    mailworker.resume("default")
    assert len(spool(app).claim(LANES, 10, 60).leased) == 1


def test_a_spool_that_refuses_connections_is_an_error_that_says_so_and_nothing_is_unknown(app: Celery):
    with (
        settings.override(MAILWORKER_SPOOL_URL=f"redis://:hidden@127.0.0.1:{free_port()}/0"),
        pytest.raises(EnqueueError, match=r"connection refused.*MAILWORKER_SPOOL_URL") as caught,
    ):
        message().send()
    assert (caught.value.accepted, caught.value.unknown) == ((), ())
    assert "hidden" not in str(caught.value)


def test_a_broken_spool_is_logged_and_nothing_raised_where_the_caller_asked_for_silence(
    app: Celery, caplog: pytest.LogCaptureFixture
):
    with settings.override(MAILWORKER_SPOOL_URL=f"redis://127.0.0.1:{free_port()}/0"):
        assert message().send(fail_silently=True) == 0
    assert "did not take the mail" in caplog.text


def test_a_mail_whose_answer_was_lost_is_unknown_and_the_same_object_sent_again_is_the_same_mail(app: Celery):
    one = message()
    with RedisServer() as other, settings.override(MAILWORKER_SPOOL_URL=other.url):
        mailworker.enqueue(message())
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(EnqueueError) as caught:
            one.send()
        os.kill(other.pid, signal.SIGCONT)
        (mail_id,) = caught.value.unknown
        assert caught.value.accepted == ()
        assert one.send() == 1
        assert one.mail_id == mail_id
        leased = spool(app).claim(LANES, 10, 60).leased
        assert [each.mail.id for each in leased].count(mail_id) == 1
        assert len(leased) == 2
        assert not any(each.mail.ledger.in_doubt for each in leased), "the spool knows ids: no second copy can be"
        spools.close(app)


def test_a_spool_without_room_refuses_and_nothing_is_unknown(app: Celery):
    with RedisServer("--maxmemory", "1", "--maxmemory-policy", "noeviction") as full:
        with (
            settings.override(MAILWORKER_SPOOL_URL=full.url),
            pytest.raises(EnqueueError, match="out of memory") as caught,
        ):
            message().send()
        spools.close(app)
    assert caught.value.unknown == ()


def test_a_wake_up_that_fails_is_logged_and_for_a_while_nobody_tries_another(
    server: RedisServer, client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    apps.uninstall()
    app = mailworker.install(Celery("proj", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False))
    with settings.override(MAILWORKER_SPOOL_URL=server.url):
        assert message().send() == 1
        client.delete("{mailworker}:wake:normal")
        assert message().send(lane="high") == 1
        spools.close(app)
    apps.uninstall()
    assert [record.message for record in caplog.records if "could be woken" in record.message] == [
        "the mail is in the spool, and no worker could be woken for it (connection refused): workers look each second"
    ]


def test_a_mail_counts_as_accepted_only_once_enough_replicas_have_it(app: Celery):
    with (
        RedisServer("--repl-diskless-sync-delay", "0") as primary,
        redis.Redis(port=primary.port) as first,
        settings.override(MAILWORKER_SPOOL_URL=primary.url, MAILWORKER_WAIT_REPLICAS=1),
    ):
        with pytest.raises(EnqueueError, match="0 replicas have the mail in time") as caught:
            message().send()
        assert len(caught.value.unknown) == 1
        with (
            RedisServer("--replicaof", "127.0.0.1", str(primary.port)) as replica,
            redis.Redis(port=replica.port) as second,
        ):
            replica.wait_for("(MASTER|PRIMARY) <-> REPLICA sync: Finished with success")
            first.set("written", 1)
            assert first.wait(1, 30_000) == 1
            (mail_id,) = mailworker.enqueue(message())
            assert second.exists(f"{{mailworker}}:m:{mail_id}") == 1
        spools.close(app)


def test_a_long_call_that_fails_in_the_middle_says_what_the_spool_has(app: Celery, client: redis.Redis):
    def messages() -> Iterator[EmailMessage]:
        for number in range(1500):
            if number == 1200:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", 1)
            yield message()

    with pytest.raises(EnqueueError) as caught:
        mailworker.enqueue(messages())
    client.config_set("maxmemory", 0)
    assert len(caught.value.accepted) == 1000
    assert len(spool(app).ids(State.DUE)) == 1000


def test_the_lanes_of_a_call_are_woken_although_it_failed_later(app: Celery, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "_MAX_PIPELINE", 1)

    def put_and_wake(mails: Any, *, at: list[int] = [0]) -> Any:  # noqa: B006 - counts the calls
        at[0] += 1
        if at[0] > 1:
            raise SpoolUnavailable("gone", maybe_done=False)
        return [True], {Lane.NORMAL}

    producers = spools.for_producers(app, settings.current())
    assert producers is not None
    monkeypatch.setattr(producers, "put_and_wake", put_and_wake)
    with pytest.raises(EnqueueError) as caught:
        mailworker.enqueue([message(), message()])
    assert len(caught.value.accepted) == 1
    assert woken() == ["normal"]
