"""Any backend, any failure: after the handover every mail is accounted for (DESIGN §9, last row)."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from mailworker import EmailMessage
from mailworker.delivery.connections import Connections
from mailworker.delivery.pipeline import Pace, Pipeline
from mailworker.delivery.policy import RetryPolicy
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.codec import Codec
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, MailStatus, State
from tests.delivery.foreign import ForeignBackend


class Bench:
    """A pipeline over a spool and a backend, with a clock of its own."""

    def __init__(self, backend: Any, stop: Callable[[], bool] = lambda: False) -> None:
        self.now = 1000.0
        self.spool = MemorySpool(lambda: self.now)
        self.connections = Connections(lambda _mailer, _login: backend)
        self.pipeline = Pipeline(
            self.spool,
            Codec(),
            self.connections,
            retry=RetryPolicy(schedule=(60.0,), jitter=0.0),
            pace=Pace(relay_backoff=(5.0, 15.0)),
            random=lambda: 0.5,
            should_stop=stop,
        )
        self._numbers = count()

    def put(self, *to: str, **more: Any) -> str:
        message = EmailMessage("s", "b", "from@example.com", list(to))
        mail_id = f"{next(self._numbers):032x}"
        self.spool.put([Mail(id=mail_id, payload=Codec().encode(message), **more)])
        return mail_id

    def status(self, mail_id: str) -> MailStatus:
        status = self.spool.status(mail_id)
        assert status is not None
        return status


def failing(*errors: BaseException | int | None) -> Callable[[Any], int | None]:
    """Return a `send` that fails in these ways, one after another, and then works."""
    rest: Iterator[BaseException | int | None] = iter(errors)

    def send(_message: Any) -> int | None:
        answer = next(rest, 1)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return send


REFUSED = smtplib.SMTPRecipientsRefused({"a@x.org": (550, b"no"), "b@x.org": (450, b"later")})


@pytest.mark.parametrize(
    ("answer", "state", "kind"),
    [
        (1, State.SENT, OutcomeClass.ACCEPTED),
        (None, State.SENT, OutcomeClass.ACCEPTED),
        (0, State.DUE, OutcomeClass.DEFERRED),
        (ValueError("bad"), State.DEAD, OutcomeClass.REJECTED),
        (smtplib.SMTPDataError(554, b"no"), State.DEAD, OutcomeClass.REJECTED),
        (smtplib.SMTPDataError(452, b"full"), State.DUE, OutcomeClass.DEFERRED),
        (smtplib.SMTPSenderRefused(550, b"no", "from@example.com"), State.DEAD, OutcomeClass.REJECTED),
        (smtplib.SMTPServerDisconnected("gone"), State.DUE, OutcomeClass.DEFERRED),
        (ConnectionResetError(), State.DUE, OutcomeClass.DEFERRED),
        (KeyError("bug"), State.DUE, OutcomeClass.DEFERRED),
        (RuntimeError("bug"), State.DUE, OutcomeClass.DEFERRED),
        (asyncio.CancelledError(), State.DUE, OutcomeClass.DEFERRED),
        (smtplib.SMTPDataError(552, b"too big"), State.DEAD, OutcomeClass.REJECTED),
        (smtplib.SMTPRecipientsRefused({"a@x.org": (552, b"too many")}), State.DUE, OutcomeClass.DEFERRED),
    ],
)
def test_what_a_foreign_backend_does_decides_about_its_message_alone(
    answer: BaseException | int | None, state: State, kind: OutcomeClass
) -> None:
    bench = Bench(ForeignBackend(failing(answer)))
    first, second = bench.put("a@x.org"), bench.put("b@x.org")
    bench.pipeline.run()
    assert bench.status(first).state is state
    assert bench.status(first).outcomes["a@x.org"].kind is kind
    assert bench.status(second).state is State.SENT


@pytest.mark.parametrize("signalled", [KeyboardInterrupt(), SystemExit()])
def test_what_a_signal_asked_for_goes_on_upwards(signalled: BaseException) -> None:
    bench = Bench(ForeignBackend(failing(signalled)))
    bench.put("a@x.org")
    with pytest.raises(type(signalled)):
        bench.pipeline.run()


def test_a_backend_that_wants_to_exit_in_a_pools_thread_fails_its_message_alone() -> None:
    bench = Bench(ForeignBackend(failing(SystemExit())))
    first, second = bench.put("a@x.org"), bench.put("b@x.org")
    thread = threading.Thread(target=bench.pipeline.run)
    thread.start()
    thread.join()
    assert (bench.status(first).state, bench.status(second).state) == (State.DUE, State.SENT)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (smtplib.SMTPAuthenticationError(535, b"no"), Trouble.AUTH_REFUSED),
        (smtplib.SMTPAuthenticationError(454, b"later"), Trouble.AUTH_TEMPORARY),
        (smtplib.SMTPConnectError(421, b"busy"), Trouble.GREETING),
        (smtplib.SMTPHeloError(550, b"who"), Trouble.GREETING),
    ],
)
def test_a_backend_that_connects_while_it_sends_pauses_the_mailer_and_charges_nobody(
    error: BaseException, trouble: Trouble
) -> None:
    bench = Bench(ForeignBackend(failing(error)))
    first, second = bench.put("a@x.org"), bench.put("b@x.org")
    bench.pipeline.run()
    assert [(bench.status(each).state, bench.status(each).attempts) for each in (first, second)] == [(State.DUE, 0)] * 2
    assert bench.spool.mailer_state("relay").reason.startswith(trouble.value)
    bench.now += 10
    bench.pipeline.run()
    assert [bench.status(each).state for each in (first, second)] == [State.SENT] * 2


def test_a_mailer_whose_backend_tells_no_replies_works_again_too() -> None:
    down = iter([ConnectionRefusedError()])

    def on_open() -> None:
        for error in down:
            raise error

    bench = Bench(ForeignBackend(on_open=on_open))
    bench.put("a@x.org")
    bench.pipeline.run()
    assert bench.spool.mailer_state("relay").failures == 1
    bench.now += 10
    bench.pipeline.run()
    assert bench.spool.mailer_state("relay").failures == 0


def test_a_foreign_backend_gets_one_message_a_call_on_one_open_connection() -> None:
    backend = ForeignBackend()
    bench = Bench(backend)
    for number in range(5):
        bench.put(f"to{number}@x.org")
    bench.pipeline.run()
    assert backend.sizes == [1] * 5
    assert (backend.opened, backend.closed) == (1, 0)


def test_after_a_failure_a_foreign_connection_is_opened_anew() -> None:
    backend = ForeignBackend(failing(ConnectionResetError()))
    bench = Bench(backend)
    bench.put("a@x.org")
    bench.put("b@x.org")
    bench.pipeline.run()
    assert (backend.opened, backend.closed) == (2, 1)


def test_recipients_that_a_foreign_backend_names_have_their_own_outcomes() -> None:
    backend = ForeignBackend(failing(REFUSED))
    bench = Bench(backend)
    one = bench.put("a@x.org", "b@x.org")
    bench.pipeline.run()
    kinds = {r: o.kind for r, o in bench.status(one).outcomes.items()}
    assert kinds == {"a@x.org": OutcomeClass.REJECTED, "b@x.org": OutcomeClass.DEFERRED}
    bench.now += 61
    bench.pipeline.run()
    assert backend.sent[-1].recipients() == ["b@x.org"]
    assert bench.status(one).state is State.DEAD
    assert bench.status(one).outcomes["b@x.org"].kind is OutcomeClass.ACCEPTED


def test_a_foreign_relay_that_does_not_come_back_gives_the_rest_back_uncharged() -> None:
    opens = iter([None, ConnectionRefusedError()])

    def on_open() -> None:
        if (error := next(opens, ConnectionRefusedError())) is not None:
            raise error

    bench = Bench(ForeignBackend(failing(ConnectionResetError()), on_open))
    first, second = bench.put("a@x.org"), bench.put("b@x.org")
    bench.pipeline.run()
    assert (bench.status(first).attempts, bench.status(second).attempts) == (1, 0)
    assert bench.status(second).next_attempt_at == 1005.0
    assert bench.spool.mailer_state("relay").failures == 1


class Reporting(BaseEmailBackend):
    """A backend of our kind that does as it is told with each message."""

    reports_outcomes = True

    def __init__(self, behave: Callable[[Any, Any], None], after: Exception | None = None) -> None:
        super().__init__()
        self._behave = behave
        self._after = after

    def send_messages(self, email_messages: Any, journal: Any = None) -> int:
        for message in email_messages:
            self._behave(message, journal)
        if self._after is not None:
            raise self._after
        return len(email_messages)


def accept(message: Any) -> None:
    message.outcomes = {r: Outcome(OutcomeClass.ACCEPTED, None, "ok") for r in message.recipients()}


def test_a_backend_that_keeps_the_journal_gets_the_batch_whole() -> None:
    def behave(message: Any, journal: Any) -> None:
        assert journal.beginning(message)
        assert journal.committing(message)
        accept(message)
        journal.settled(message)

    bench = Bench(Reporting(behave))
    ids = [bench.put(f"to{n}@x.org") for n in range(3)]
    bench.pipeline.run()
    assert [bench.status(one).state for one in ids] == [State.SENT] * 3


@pytest.mark.parametrize("after", [None, RuntimeError("at the end")])
def test_outcomes_count_although_the_backend_forgot_to_tell_the_journal(after: Exception | None) -> None:
    bench = Bench(Reporting(lambda message, _journal: accept(message), after))
    one = bench.put("a@x.org")
    bench.pipeline.run()
    assert bench.status(one).state is State.SENT


def test_a_message_that_a_backend_lets_fall_is_a_charged_attempt_and_no_endless_loop() -> None:
    bench = Bench(Reporting(lambda _message, _journal: None))
    one = bench.put("a@x.org")
    bench.pipeline.run()
    assert (bench.status(one).state, bench.status(one).attempts) == (State.DUE, 1)
    assert bench.status(one).next_attempt_at == 1060.0


def test_what_was_begun_when_the_relay_was_lost_for_good_is_not_charged() -> None:
    def behave(message: Any, journal: Any) -> None:
        journal.beginning(message)
        raise MailerUnavailable("gone", Trouble.CONNECT)

    bench = Bench(Reporting(behave))
    one = bench.put("a@x.org")
    bench.pipeline.run()
    assert (bench.status(one).state, bench.status(one).attempts) == (State.DUE, 0)
    bench.now += 5
    bench.pipeline.run()
    assert bench.spool.mailer_state("relay").failures == 2
    assert bench.status(one).next_attempt_at == 1020.0


def test_a_mailer_that_works_again_is_forgiven() -> None:
    troubles: list[Exception] = [ConnectionRefusedError()]

    def on_open() -> None:
        if troubles:
            raise troubles.pop()

    def send(_message: Any) -> int:
        raise smtplib.SMTPDataError(450, b"an answer is an answer")

    bench = Bench(ForeignBackend(send, on_open))
    bench.put("a@x.org")
    bench.pipeline.run()
    assert bench.spool.mailer_state("relay").failures == 1
    bench.now += 5
    bench.pipeline.run()
    assert bench.spool.mailer_state("relay").failures == 0


def test_a_worker_that_is_to_stop_ends_after_the_message_on_the_wire() -> None:
    sent: list[Any] = []

    def send(message: Any) -> int:
        sent.append(message)
        return 1

    backend = ForeignBackend(send)
    bench = Bench(backend, stop=lambda: bool(sent))
    ids = [bench.put(f"to{n}@x.org", due_at=900.0 + n) for n in range(3)]
    bench.pipeline.run()
    assert [bench.status(one).state for one in ids] == [State.SENT, State.DUE, State.DUE]
    assert [bench.status(one).attempts for one in ids] == [1, 0, 0]
    assert [bench.status(one).next_attempt_at for one in ids[1:]] == [901.0, 902.0], "each keeps its place in the queue"


def test_a_payload_that_is_no_message_is_buried_with_its_reason() -> None:
    bench = Bench(ForeignBackend())
    bench.spool.put([Mail(id="f" * 32, payload=b"junk")])
    one = bench.put("a@x.org")
    bench.pipeline.run()
    assert bench.status("f" * 32).state is State.DEAD
    assert bench.status("f" * 32).reason
    assert bench.status(one).state is State.SENT


def test_a_mailer_that_no_setting_names_pauses_and_nothing_is_lost() -> None:
    from mailworker.errors import ConfigurationError

    def build(mailer: str, _login: Any) -> Any:
        raise ConfigurationError(f"no mailer {mailer!r}")

    bench = Bench(None)
    bench.connections._build = build
    one = bench.put("a@x.org", mailer="nowhere")
    bench.pipeline.run()
    assert (bench.status(one).state, bench.status(one).attempts) == (State.DUE, 0)
    assert "no mailer 'nowhere'" in bench.spool.mailer_state("nowhere").reason


def test_an_exit_from_inside_a_backend_is_not_swallowed() -> None:
    bench = Bench(ForeignBackend(failing(SystemExit(1))))
    bench.put("a@x.org")
    with pytest.raises(SystemExit):
        bench.pipeline.run()


def test_a_mail_whose_worker_was_lost_while_it_sent_is_sent_again_once_and_flagged() -> None:
    bench = Bench(ForeignBackend())
    one = bench.put("a@x.org")
    for _ in range(1):
        (leased,) = bench.spool.claim(list(_lanes()), 1, 60).leased
        assert bench.spool.mark(leased, 60)
        bench.now += 200
    bench.pipeline.run()
    status = bench.status(one)
    assert (status.state, status.in_doubt) == (State.SENT, True)


def test_a_mail_that_must_not_be_sent_twice_is_held_when_its_worker_was_lost() -> None:
    bench = Bench(ForeignBackend())
    one = bench.put("a@x.org", on_in_doubt="hold")
    (leased,) = bench.spool.claim(list(_lanes()), 1, 60).leased
    assert bench.spool.mark(leased, 60)
    bench.now += 200
    bench.pipeline.run()
    assert bench.status(one).state is State.HELD


def _lanes() -> Any:
    from mailworker.lane import LANES

    return LANES


def test_a_bug_in_a_foreign_backend_can_be_found_by_the_log_and_shows_no_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(ForeignBackend(failing(ValueError("to a@x.org"))))
    one = bench.put("a@x.org")
    with caplog.at_level(logging.DEBUG, "mailworker"):
        bench.pipeline.run()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "tests.delivery.foreign.ForeignBackend raised ValueError at test_handover.py:" in record.getMessage()
    assert f"mail_id={one}" in record.getMessage()
    assert "a@x.org" not in caplog.text
    assert "before the relay saw it" in bench.status(one).reason


def test_recipients_with_names_are_the_ones_that_the_ledger_knows() -> None:
    bench = Bench(ForeignBackend())
    mail_id = bench.put("Ann <ann@example.com>", "bob@example.com")
    bench.pipeline.run()
    status = bench.status(mail_id)
    assert (status.state, sorted(status.outcomes)) == (State.SENT, ["ann@example.com", "bob@example.com"])


def test_a_refusal_of_a_recipient_with_a_name_is_that_recipients() -> None:
    refused = smtplib.SMTPRecipientsRefused({"Ann <ann@example.com>": (550, b"no")})
    bench = Bench(ForeignBackend(failing(refused)))
    mail_id = bench.put("Ann <ann@example.com>")
    bench.pipeline.run()
    assert bench.status(mail_id).state is State.DEAD


class ServiceError(Exception):
    """What the backend of a sending service raises: the status of its HTTP API is in it."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("status_code", "state"),
    [(400, State.DEAD), (422, State.DEAD), (403, State.DUE), (404, State.DUE), (429, State.DUE), (503, State.DUE)],
)
def test_a_services_http_status_tells_whether_the_message_is_refused(status_code: int, state: State) -> None:
    bench = Bench(ForeignBackend(failing(ServiceError(status_code))))
    mail_id = bench.put("ann@example.com")
    bench.pipeline.run()
    status = bench.status(mail_id)
    assert (status.state, status.attempts) == (state, 1)
    assert f"HTTP {status_code}: tests.delivery.foreign" in status.outcomes["ann@example.com"].text


def test_a_service_that_does_not_know_us_pauses_the_mailer_and_charges_nothing() -> None:
    bench = Bench(ForeignBackend(failing(ServiceError(401))))
    mail_id = bench.put("ann@example.com")
    bench.pipeline.run()
    assert (bench.status(mail_id).state, bench.status(mail_id).attempts) == (State.DUE, 0)
    assert "auth-refused" in bench.spool.mailer_state("relay").reason
