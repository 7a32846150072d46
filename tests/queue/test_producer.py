"""What handing over does to the caller's message, and what it makes of odd calls."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

import mailworker
from mailworker import BadHeaderError, ConfigurationError, EmailMessage, EnqueueError, log, settings
from mailworker.lane import Lane
from mailworker.mail.codec import Codec
from mailworker.mail.options import QueueOptions
from mailworker.mail.sealing import Sealer
from mailworker.queue import app as apps
from mailworker.queue import cargo, compose, dispatch, lanes, producer
from mailworker.queue.compose import Composer
from mailworker.settings import current
from mailworker.spool.record import Mail
from tests.processes import RedisServer


@pytest.fixture(autouse=True)
def app() -> Iterator[Celery]:
    apps.uninstall()
    app = mailworker.install(Celery("proj", broker="memory://", set_as_current=False))
    queued()
    yield app
    queued()
    dispatch.close(app)
    apps.uninstall()


def queued() -> list[Any]:
    """Take what is in the queue; return the messages as a worker would read them."""
    found: list[Any] = []
    with Connection("memory://") as connection:
        queue = lanes.declared(lanes.queue_name(current().MAILWORKER_NAMESPACE, Lane.NORMAL))
        bound = queue(connection.default_channel)
        bound.declare()
        while (task := bound.get(no_ack=True)) is not None:
            mails, broken = cargo.unpack(task.payload[0][0], Sealer())
            assert broken == []
            found += [Codec().decode(mail.payload).message() for mail in mails]
    return found


def message(subject: str = "s") -> EmailMessage:
    return EmailMessage(subject, "b", "from@example.com", ["to@example.com"], headers={"X-Own": "yes"})


def test_the_callers_message_keeps_its_headers_and_only_learns_its_id() -> None:
    one = message()
    (mail_id,) = mailworker.enqueue(one)
    assert one.extra_headers == {"X-Own": "yes"}
    assert one.mail_id == mail_id


def test_one_object_twice_in_a_call_is_two_mails_with_message_ids_of_their_own() -> None:
    one = message()
    ids = mailworker.enqueue([one, one])
    assert len(set(ids)) == 2
    assert one.extra_headers == {"X-Own": "yes"}
    mailworker.enqueue(one)
    assert len({found["Message-ID"] for found in queued()}) == 3


def test_a_call_that_is_refused_leaves_no_trace_on_the_messages_beside_the_bad_one() -> None:
    good = message()
    with pytest.raises(BadHeaderError):
        mailworker.enqueue([good, message("two\nlines")])
    assert good.extra_headers == {"X-Own": "yes"}
    assert good.mail_id is None
    assert queued() == []


def test_an_object_in_doubt_that_is_sent_twice_in_one_call_is_that_mail_and_another() -> None:
    one = message()
    composer = Composer(current(), QueueOptions(), "relay", fail_silently=False, login=None, clock=time.time)
    first = composer.compose(one)
    assert first is not None
    first.lost_from_sight()
    second = composer.compose(one)
    assert second is not None
    assert (second.mail.id, second.mail.ledger.in_doubt) == (first.mail.id, True), "a second task may carry it"
    ids = mailworker.enqueue([one, one])
    assert ids[0] == first.mail.id
    assert ids[1] != ids[0]
    again, another = queued()
    assert again["Message-ID"] == Codec().decode(first.mail.payload).message()["Message-ID"]
    assert another["Message-ID"] != again["Message-ID"]
    mailworker.enqueue(one)
    assert queued()[0]["Message-ID"] not in {again["Message-ID"], another["Message-ID"]}


def test_a_generator_of_large_messages_is_queued_before_all_of_them_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compose, "_WINDOW_BYTES", 10_000)
    seen: list[int] = []

    def made() -> Iterator[EmailMessage]:
        for number in range(10):
            seen.append(len(queued()))
            # Payloads are compressed: letters by chance stay long.
            yield EmailMessage(str(number), os.urandom(4_000).hex(), "from@example.com", ["to@example.com"])

    assert len(mailworker.enqueue(made())) == 10
    assert sum(seen) + len(queued()) == 10
    assert any(seen), "some were in the queue while others were not made yet"


@pytest.mark.parametrize("strange", ["text", 7, [None], {"subject": "s"}])
def test_what_is_no_message_is_one_clear_sentence(strange: Any) -> None:
    with pytest.raises((mailworker.UnserializableMessage, TypeError), match=r"expected an EmailMessage|not iterable"):
        mailworker.enqueue(strange)


@pytest.mark.integration
def test_a_generator_that_fails_after_mails_have_gone_says_how_many() -> None:
    def messages() -> Iterator[EmailMessage]:
        for number in range(1500):
            if number == 1200:
                raise RuntimeError("the caller's own")
            yield EmailMessage("s", "b", "from@example.com", [f"to{number}@example.com"])

    with RedisServer() as broker, settings.override(MAILWORKER_BROKER_URL=broker.url, MAILWORKER_SPOOL_URL=""):
        apps.uninstall()
        with pytest.raises(RuntimeError, match="the caller's own") as caught:
            mailworker.enqueue(messages())
        dispatch.close(apps.current())
    apps.uninstall()
    assert caught.value.__notes__ == [
        "1000 mails of this call were queued before; a second call would queue them again"
    ]


def mails() -> list[Mail]:
    """Take what is in the queue, as mails."""
    found: list[Mail] = []
    with Connection("memory://") as connection:
        queue = lanes.declared(lanes.queue_name(current().MAILWORKER_NAMESPACE, Lane.NORMAL))
        bound = queue(connection.default_channel)
        bound.declare()
        while (task := bound.get(no_ack=True)) is not None:
            found += cargo.unpack(task.payload[0][0], Sealer())[0]
    return found


def test_what_is_prepared_is_queued_when_it_is_handed_over_and_only_then() -> None:
    one = message()
    prepared = producer.prepare([one, message()])
    assert [each.message.mail_id for each in prepared.composed] == [each.mail.id for each in prepared.composed]
    assert queued() == []
    one.subject = "changed"
    assert prepared.hand_over() == [each.mail.id for each in prepared.composed]
    assert [each["Subject"] for each in queued()] == ["s", "s"]


def test_a_bad_message_is_refused_when_it_is_prepared() -> None:
    with pytest.raises(BadHeaderError):
        producer.prepare([message(), message("two\nlines")])
    with pytest.raises(ConfigurationError, match="key= needs the spool"):
        producer.prepare([message()], options=QueueOptions(key="k"))


def test_times_count_from_when_a_mail_was_prepared_and_a_moment_stays_one() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for options, due, expires in (
        (QueueOptions(delay=100, expires=1000), 60, 960),
        (QueueOptions(at=tomorrow, expires=tomorrow + timedelta(hours=1)), 86_400, 90_000),
        (QueueOptions(), -40, None),
    ):
        prepared = producer.prepare([message()], options=options)
        # As if a transaction had lasted so long.
        prepared._began -= 40
        now = time.time()
        prepared.hand_over()
        (mail,) = mails()
        assert mail.created_at == pytest.approx(now - 40, abs=5)
        assert mail.due_at == pytest.approx(now + due, abs=5)
        assert mail.expires_at == (None if expires is None else pytest.approx(now + expires, abs=5))


def test_a_mail_whose_time_is_over_when_it_is_handed_over_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    prepared = producer.prepare([message()], options=QueueOptions(expires=soon))
    monkeypatch.setattr(prepared._way.__class__, "clock", lambda self: lambda: time.time() + 60)
    assert len(prepared.hand_over()) == 1
    (mail,) = mails()
    assert mail.expires_at == pytest.approx(soon.timestamp())
    assert mail.due_at > soon.timestamp()


def test_nothing_is_prepared_for_a_log_record_of_our_own() -> None:
    found: list[int] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(len(producer.prepare([message()]).composed))

    handler = Handler()
    logging.getLogger("mailworker").addHandler(handler)
    try:
        log.get("mailworker.queue.test").error("broken")
    finally:
        logging.getLogger("mailworker").removeHandler(handler)
    assert found == [0]


def test_what_was_prepared_is_handed_over_to_where_it_was_prepared_for() -> None:
    one = message()
    prepared = producer.prepare([one])
    with pytest.raises(EnqueueError), settings.override(MAILWORKER_SPOOL_URL="redis://127.0.0.1:1/0"):
        producer.prepare([message()]).hand_over()
    prepared.hand_over()
    (mail,) = mails()
    assert mail.id == one.mail_id
