"""What handing over does to the caller's message, and what it makes of odd calls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

import mailworker
from mailworker import BadHeaderError, EmailMessage, settings
from mailworker.lane import Lane
from mailworker.mail.codec import Codec
from mailworker.mail.options import QueueOptions
from mailworker.mail.sealing import Sealer
from mailworker.queue import app as apps
from mailworker.queue import cargo, compose, dispatch, lanes
from mailworker.queue.compose import Composer
from mailworker.settings import current
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
