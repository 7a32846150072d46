"""The queue backend on the real producer in eager mode, delivering to the outbox: no broker is needed for that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from mailworker import mail, settings
from mailworker.errors import BadHeaderError, ConfigurationError, InvalidAddress
from mailworker.mail.backends import queue


@pytest.fixture
def eager(outbox):
    with settings.override(
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
        EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.locmem.EmailBackend",
        MAILWORKER_TASK_ALWAYS_EAGER=True,
        MAILERS={"other": {"BACKEND": "mailworker.mail.backends.dummy.EmailBackend"}},
    ):
        yield


def test_what_is_queued_is_counted_and_has_an_id(eager, outbox):
    one = mail.EmailMessage("s", "b", "f@x.example", ["a@x.example"])
    assert one.send() == 1
    assert one.mail_id
    rows: list[Any] = [("s", "b", None, ["a@x.example"]), ("s", "b", None, [])]
    assert mail.send_mass_mail(rows) == 1
    assert len(outbox) == 2


def test_the_mailer_that_the_worker_delivers_with_can_be_named(eager, outbox):
    connection = mail.get_connection(settings.QUEUE_BACKEND, mailer="other")
    assert mail.send_mail("s", "b", "f@x.example", ["a@x.example"], connection=connection) == 1
    assert outbox == []


@pytest.mark.parametrize("fail_silently", [True, False])
def test_what_is_wrong_with_a_message_is_raised_in_the_caller_silent_or_not(eager, outbox, fail_silently):
    with pytest.raises(BadHeaderError):
        mail.send_mail("s\n", "b", "f@x.example", ["a@x.example"], fail_silently=fail_silently)
    with pytest.raises(InvalidAddress):
        mail.send_mail("s", "b", "f@x.example", ["a@x> NOTIFY=NEVER"], fail_silently=fail_silently)
    assert outbox == []


def test_a_login_without_keys_is_refused_and_not_shown(eager):
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[]), pytest.raises(ConfigurationError) as caught:
        mail.send_mail("s", "b", "f@x.example", ["a@x.example"], auth_user="u", auth_password="geheim")
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(mail.get_connection(settings.QUEUE_BACKEND, password="geheim"))


def test_an_empty_login_is_none(eager, outbox):
    assert mail.send_mail("s", "b", None, ["a@b.example"], auth_user="", auth_password="") == 1
    assert len(outbox) == 1


class OnlyTesters(queue.EmailBackend):
    """Turns mail away from real people, as backends of test systems do."""

    def send_messages(self, email_messages, *, options=None):
        return super().send_messages([one for one in email_messages if one.to == ["tester@x.example"]], options=options)


class Awaited(OnlyTesters):
    async def asend_messages(self, email_messages, *, options=None):
        return 7


class Wrapper:
    accepts_options = True

    def __init__(self, wrapped):
        self._wrapped = wrapped

    def __getattr__(self, name):
        return getattr(self._wrapped, name)

    def send_messages(self, email_messages, *, options=None):
        return self._wrapped.send_messages(email_messages[:1], options=options)


def test_a_subclass_or_wrapper_that_sends_in_its_own_way_has_it_from_event_loops_too(eager, outbox):
    async def sent(connection, *, given=None):
        if given is not None:
            connection.send_messages = given
        rows = [("s", "b", "f@x.example", [to]) for to in ("tester@x.example", "ann@x.example")]
        return await mail.asend_mass_mail(rows, connection=connection, lane="bulk")

    assert asyncio.run(sent(queue.EmailBackend())) == 2
    assert asyncio.run(sent(OnlyTesters())) == 1
    assert asyncio.run(sent(Wrapper(queue.EmailBackend()))) == 1
    assert len(outbox) == 4
    assert asyncio.run(sent(queue.EmailBackend(), given=lambda messages, *, options: 5)) == 5
    assert asyncio.run(sent(Awaited())) == 7
    assert len(outbox) == 4


def test_opening_and_closing_does_nothing():
    with mail.get_connection(settings.QUEUE_BACKEND) as connection:
        assert connection.open() is None
    assert connection.send_messages([]) == 0


def test_composing_a_message_loads_no_celery_no_redis_and_no_delivery():
    code = (
        "import sys; from mailworker import mail; from mailworker.mail.backends import queue, locmem, console;"
        "mail.EmailMessage('s', 'b', 'f@x', ['t@x']).message();"
        "print([n for n in sys.modules if n.split('.')[0] in ('celery', 'kombu', 'redis', 'django')"
        " or n.startswith(('mailworker.delivery', 'mailworker.queue', 'mailworker.spool'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
