"""Eager mode: the caller's process delivers, and the caller is told."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mailworker
from mailworker import (
    BadHeaderError,
    DeliveryDeferred,
    DeliveryFailed,
    EmailMessage,
    OutcomeClass,
    State,
    send_mail,
    send_mass_mail,
    settings,
)
from mailworker.queue import app as apps
from mailworker.queue import eager
from mailworker.testing.script import Drop, Script
from mailworker.testing.smtpd import ScriptedServer
from tests.processes import PATIENCE, clean_environment, free_port


@pytest.fixture(autouse=True)
def eager_mode() -> Iterator[None]:
    apps.uninstall()
    eager.reset()
    # No broker is there, and none is needed.
    url = f"redis://127.0.0.1:{free_port()}/0"
    with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=True, MAILWORKER_BROKER_URL=url):
        yield
    eager.reset()
    apps.uninstall()


@pytest.fixture
def relay() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server, settings.override(EMAIL_HOST=server.host, EMAIL_PORT=server.port):
        yield server


def message(*to: str, **more: Any) -> EmailMessage:
    return EmailMessage("s", "b", "from@example.com", list(to) or ["to@example.com"], **more)


def test_mail_is_delivered_before_the_call_returns(relay: ScriptedServer) -> None:
    one = message()
    assert one.send() == 1
    assert len(relay.accepted) == 1
    assert one.outcomes["to@example.com"].kind is OutcomeClass.ACCEPTED
    assert one.mail_id is not None
    status = mailworker.status(one.mail_id)
    assert status is not None
    assert (status.state, status.attempts) == (State.SENT, 1)
    relay.wait_closed()


def test_a_batch_goes_over_one_connection(relay: ScriptedServer) -> None:
    assert send_mass_mail([("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(10)]) == 10
    assert relay.connections_ever == 1


def test_a_rejected_mail_raises_and_the_others_are_sent(relay: ScriptedServer) -> None:
    relay.script(rcpt={"bad@example.com": "550 5.1.1 unknown"})
    messages = [message("a@example.com"), message("bad@example.com"), message("c@example.com")]
    with pytest.raises(DeliveryFailed, match=r"the mail is dead: rejected by the relay \(550 5\.1\.1\)") as caught:
        mailworker.get_connection().send_messages(messages)
    assert not isinstance(caught.value, DeliveryDeferred)
    assert caught.value.outcomes["bad@example.com"].reply.code == 550  # type: ignore[union-attr]
    assert len(relay.accepted) == 2


def test_a_deferred_mail_raises_and_nothing_of_it_stays_behind(relay: ScriptedServer) -> None:
    relay.script(rcpt=["450 4.2.0 busy"])
    one = message()
    with pytest.raises(DeliveryDeferred):
        one.send()
    assert mailworker.run_due(datetime.now(UTC) + timedelta(days=2)) == 0
    assert one.send() == 1
    assert len(relay.accepted) == 1


@pytest.mark.parametrize("fault", [Script(rcpt="550 no"), Script(rcpt="450 later"), Script(greeting=Drop())])
def test_with_fail_silently_nothing_is_raised(relay: ScriptedServer, fault: Script) -> None:
    relay.behaviour = fault
    assert message().send(fail_silently=True) == 1


def test_a_relay_that_is_down_is_told_at_once_and_tried_anew_by_the_next_call() -> None:
    port = free_port()
    with settings.override(EMAIL_HOST="127.0.0.1", EMAIL_PORT=port):
        with pytest.raises(DeliveryDeferred, match="connect"):
            message().send()
        with ScriptedServer(port=port) as relay:
            assert message().send() == 1
            assert len(relay.accepted) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [("450 4.2.0 busy to@example.com", r"\(450 4\.2\.0\)"), (Drop(), r"\(connection lost in RCPT\)")],
)
def test_a_deferred_mail_says_why(relay: ScriptedServer, answer: Any, why: str) -> None:
    relay.script(rcpt={"to@example.com": answer})
    with pytest.raises(DeliveryDeferred, match=f"and eager mode has no later {why}$"):
        message("ok@example.com", "to@example.com").send()


def test_a_mail_for_later_waits_for_run_due(relay: ScriptedServer) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    send_mail("s", "b", "from@example.com", ["at@example.com"], at=soon)
    send_mail("s", "b", "from@example.com", ["delay@example.com"], delay=7200)
    assert relay.transactions == []
    assert mailworker.run_due() == 0
    assert mailworker.run_due(soon) == 1
    assert relay.accepted[0].recipients == ["at@example.com"]
    assert mailworker.run_due(soon + timedelta(hours=2)) == 1
    assert relay.accepted[1].recipients == ["delay@example.com"]


def test_run_due_is_told_that_a_queue_goes_by_the_clock() -> None:
    with (
        settings.override(MAILWORKER_TASK_ALWAYS_EAGER=False),
        pytest.raises(
            mailworker.ConfigurationError, match=r"^run_due\(\) moves the time of eager mode, and here mail goes to "
        ),
    ):
        mailworker.run_due(after=3600)
    assert mailworker.run_due() == 0


def test_run_due_wants_an_aware_time_that_does_not_go_backwards() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        mailworker.run_due(datetime(2030, 1, 1))  # noqa: DTZ001 - that is the point
    mailworker.run_due(datetime.now(UTC) + timedelta(hours=2))
    with pytest.raises(ValueError, match="before the time of the last"):
        mailworker.run_due(datetime.now(UTC) + timedelta(hours=1))


def test_a_mail_can_be_cancelled_before_it_goes(relay: ScriptedServer) -> None:
    (mail_id,) = mailworker.enqueue(message(), delay=60)
    assert mailworker.cancel(mail_id)
    assert not mailworker.cancel(mail_id)
    assert mailworker.run_due(datetime.now(UTC) + timedelta(hours=1)) == 0
    status = mailworker.status(mail_id)
    assert status is not None
    assert status.state is State.CANCELLED


def test_a_key_makes_two_sends_one_mail(relay: ScriptedServer) -> None:
    first = mailworker.enqueue(message(), key="order-7")
    assert mailworker.enqueue(message(), key="order-7") == first
    assert len(relay.accepted) == 1


def test_a_key_may_be_used_again_after_a_failure(relay: ScriptedServer) -> None:
    relay.script(rcpt=["450 4.2.0 busy"])
    with pytest.raises(DeliveryDeferred):
        message().send(key="order-1")
    assert message().send(key="order-1") == 1
    assert len(relay.accepted) == 1


def test_after_time_travel_a_new_mail_lives_in_the_new_present(relay: ScriptedServer) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    mailworker.run_due(tomorrow)
    assert message().send(expires=60) == 1
    assert len(relay.accepted) == 1
    assert message().send(delay=3600) == 1
    assert len(relay.accepted) == 1
    assert mailworker.run_due(tomorrow + timedelta(hours=2)) == 1
    with pytest.raises(ValueError, match="would never be sent"):
        message().send(expires=datetime.now(UTC) + timedelta(hours=1))


def test_a_finished_mail_is_known_for_the_retention(relay: ScriptedServer) -> None:
    with settings.override(MAILWORKER_RETENTION=60):
        eager.reset()
        one = message()
        one.send()
        assert one.mail_id is not None
        assert mailworker.status(one.mail_id) is not None
        mailworker.run_due(datetime.now(UTC) + timedelta(seconds=90))
        assert mailworker.status(one.mail_id) is None


def test_celerys_own_eager_setting_counts_as_well(relay: ScriptedServer) -> None:
    from celery import Celery

    with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=False):
        app = Celery("users", set_as_current=False)
        app.conf.task_always_eager = True
        mailworker.install(app)
        assert message().send() == 1
    assert len(relay.accepted) == 1


def test_a_bad_message_is_raised_before_anything_is_sent(relay: ScriptedServer) -> None:
    bad = message()
    bad.subject = "two\nlines"
    with pytest.raises(BadHeaderError):
        mailworker.enqueue([message(), bad])
    assert relay.sessions == []


def test_any_backend_delivers() -> None:
    with settings.override(EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.locmem.EmailBackend"):
        mailworker.outbox.clear()
        assert send_mail("s", "b", "from@example.com", ["to@example.com"]) == 1
        assert [one.subject for one in mailworker.outbox] == ["s"]


class Own(EmailMessage):
    """A message that knows better."""

    def recipients(self) -> list[str]:
        return ["other@example.com"]

    def message(self) -> Any:
        made = super().message()
        made["X-Own"] = "yes"
        return made


def test_a_subclass_is_honoured_on_every_backend_and_through_the_queue(relay: ScriptedServer, tmp_path: Any) -> None:
    own = Own("s", "b", "from@example.com", ["to@example.com"])
    for backend in ("smtp", "locmem", "filebased", "console", "dummy", "queue"):
        with settings.override(EMAIL_FILE_PATH=str(tmp_path)):
            connection = mailworker.get_connection(f"mailworker.mail.backends.{backend}.EmailBackend")
            assert connection.send_messages([own]) == 1
    assert [one.recipients for one in relay.accepted] == [["other@example.com"]] * 2
    assert all(b"\r\nX-Own: yes\r\n" in one.content for one in relay.accepted)
    assert b"X-Own: yes" in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_message_with_its_own_login_is_refused_without_keys_and_names_both_ways_out(relay: ScriptedServer) -> None:
    with pytest.raises(mailworker.ConfigurationError, match=r"MAILWORKER_ENCRYPTION_KEYS.*MAILERS"):
        send_mail("s", "b", "from@example.com", ["to@example.com"], auth_user="u", auth_password="p")


def test_messages_with_logins_of_their_own_are_sent_with_them(relay: ScriptedServer) -> None:
    from cryptography.fernet import Fernet

    relay.script(users={"ann": "a1", "bob": "b1"}, require_auth=True)
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        for user, password in (("ann", "a1"), ("bob", "b1")):
            send_mail("s", "b", "from@example.com", [f"{user}@example.com"], auth_user=user, auth_password=password)
        with pytest.raises(DeliveryDeferred):
            send_mail("s", "b", "from@example.com", ["to@example.com"], auth_user="ann", auth_password="wrong")
    assert [one.recipients[0] for one in relay.accepted] == ["ann@example.com", "bob@example.com"]


def test_threads_may_send_at_once(relay: ScriptedServer) -> None:
    threads = [threading.Thread(target=message(f"to{n}@example.com").send) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.recipients[0] for one in relay.accepted) == [f"to{n}@example.com" for n in range(8)]


_SENDS_MAIL_ITSELF = """
import mailworker
from mailworker import send_mail, settings
from mailworker.mail.backends.base import BaseEmailBackend

class Backend(BaseEmailBackend):
    def send_messages(self, email_messages):
        for one in email_messages:
            print(one.subject, flush=True)
            if one.subject == "outer":
                send_mail("inner", "b", "from@example.com", ["to@example.com"])
        return len(email_messages)

with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=True, EMAIL_DELIVERY_BACKEND="__main__.Backend"):
    print(send_mail("outer", "b", "from@example.com", ["to@example.com"]))
"""


def test_a_backend_may_send_mail_itself() -> None:
    # In a process of its own: a deadlock must fail this test, not stop all of them.
    run = subprocess.run(
        [sys.executable, "-c", _SENDS_MAIL_ITSELF],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=clean_environment(),
        check=False,
    )
    assert run.stdout.split() == ["outer", "inner", "1"], run.stderr
