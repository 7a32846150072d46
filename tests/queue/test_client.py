"""What a program may ask of the queue, and how it is told that nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery

import mailworker
from mailworker import ConfigurationError, EmailMessage, EnqueueError, settings
from mailworker.queue import app as apps
from mailworker.queue import dispatch
from tests.processes import free_port

MAIL_ID = "0" * 32


@pytest.fixture(autouse=True)
def app() -> Iterator[Celery]:
    """An app whose broker is in memory: what is refused here is refused before it is asked."""
    apps.uninstall()
    app = mailworker.install(Celery("proj", broker="memory://", set_as_current=False))
    yield app
    dispatch.close(app)
    apps.uninstall()


def message(to: str = "to@example.com") -> EmailMessage:
    return EmailMessage("s", "b", "from@example.com", [to])


def test_status_and_cancel_say_that_they_need_the_spool_and_where_to_look_instead() -> None:
    for ask in (mailworker.status, mailworker.cancel):
        with pytest.raises(ConfigurationError, match=rf"{ask.__name__}\(\) needs the spool.*`mailworker dead list`"):
            ask(MAIL_ID)


@pytest.mark.parametrize("option", ["key", "group"])
def test_an_option_that_needs_the_spool_is_refused_by_name(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}= needs the spool"):
        mailworker.enqueue(message(), **{option: "x"})  # type: ignore[arg-type]


def test_replay_knows_no_mail_that_is_not_dead() -> None:
    assert not mailworker.replay(MAIL_ID)


def test_one_key_for_several_messages_is_refused() -> None:
    with pytest.raises(ValueError, match="one key is one mail"):
        mailworker.enqueue([message(), message()], key="x")


def test_an_unknown_mailer_is_refused_in_the_caller() -> None:
    with pytest.raises(ConfigurationError, match="no mailer 'nobody'"):
        mailworker.enqueue(message(), using="nobody")


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@settings.override(MAILWORKER_SPOOL_URL="")
def test_replay_with_a_broker_that_refuses_is_an_enqueue_error(scheme: str) -> None:
    apps.uninstall()
    mailworker.install(Celery("proj", broker=f"{scheme}://user:hidden@127.0.0.1:{free_port()}/0", set_as_current=False))
    with pytest.raises(EnqueueError, match="the broker cannot be reached") as caught:
        mailworker.replay(MAIL_ID)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["smoke://user:hidden@somewhere/0", "sentinel://user:hidden@127.0.0.1:1/0"])
def test_a_broker_url_that_celery_cannot_use_is_one_clear_sentence(url: str) -> None:
    apps.uninstall()
    mailworker.install(Celery("proj", broker=url, set_as_current=False))
    for call in (message().send, lambda: mailworker.replay(MAIL_ID)):
        with pytest.raises(
            ConfigurationError, match=f"broker URL, of scheme '{url.partition(':')[0]}', cannot"
        ) as caught:
            call()
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("ask", [mailworker.status, mailworker.cancel, mailworker.replay])
def test_what_is_no_id_is_one_clear_sentence(ask: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=rf"{ask.__name__}\(\) got None: expected a mail's id"):
        ask(None)


def test_an_option_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(TypeError, match="got dealy, which is no option: expected some of at, delay, "):
        mailworker.enqueue(message(), dealy=5)  # type: ignore[call-arg]
