"""Faults of the relay with mail in the spool: what `status` shows while they last and in the end, and how many copies went.

To look at a mail between two attempts without a race, its mailer is paused while the relay makes the first one wait.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

import mailworker
from mailworker import EmailMessage, MailStatus, State, enqueue, settings
from mailworker.queue import app as apps
from mailworker.queue import spools
from mailworker.spool.base import MailerState
from mailworker.testing.script import DROP, OK, Drip, Hang, Script
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import status
from tests.processes import RedisServer, Worker, eventually

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("spool faults")]

A, B, C = "a@example.com", "b@example.com", "c@example.com"

#: Class and code of an outcome, and a part of its text.
Seen = tuple[str, int | None, str]

TAKEN: Seen = ("accepted", 250, "taken")


def all_of(seen: Seen) -> dict[str, Seen]:
    return {A: seen, B: seen, C: seen}


@dataclass(frozen=True)
class Path:
    """One worker between a spool and a relay, for all faults."""

    relay: ScriptedServer
    worker: Worker


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with RedisServer() as server, ScriptedServer() as relay:
        broker = Broker(server.url, f"t{uuid.uuid4().hex[:10]}", server.url)
        where = {"host": relay.host, "port": relay.port}
        mailers = {
            "relay": {"OPTIONS": {**where, "timeout": 30}},
            "hasty": {"OPTIONS": {**where, "timeout": 1.5, "transaction_timeout": 2, "final_reply_timeout": 2}},
            "login": {"OPTIONS": {**where, "timeout": 30, "username": "u", "password": "p"}},
        }
        env = {
            **broker.settings,
            "MAILERS": json.dumps(mailers),
            "MAILWORKER_RETRY_SCHEDULE": "0.2",
            "MAILWORKER_RETRY_JITTER": "0",
            "MAILWORKER_RELAY_BACKOFF": "0.3",
        }
        with Worker(env, "-c", "1", "-l", "INFO") as worker, producing(broker, MAILERS=mailers):
            # A Redis that has not seen the scripts yet gets the first mark again only when its answer is read, which is
            # behind the envelope: no test could look at it before.
            (first,) = enqueue(message())
            eventually(lambda: state(first) is State.SENT, "the first mail")
            yield Path(relay, worker)


def state(mail_id: str) -> State:
    return status(mail_id).state


def mailer_state(mailer: str) -> MailerState:
    spool = spools.for_producers(apps.current(), settings.current())
    assert spool is not None
    return spool.mailer_state(mailer)


def message(*recipients: str, body: str = "b") -> EmailMessage:
    return EmailMessage("s", body, "from@example.com", recipients or (A, B, C))


def assert_shows(found: MailStatus, *, attempts: int, in_doubt: bool, outcomes: Mapping[str, Seen]) -> None:
    assert found.attempts == attempts
    assert found.in_doubt is in_doubt
    seen = {recipient: (o.kind.value, o.reply.code if o.reply else None) for recipient, o in found.outcomes.items()}
    assert seen == {recipient: expected[:2] for recipient, expected in outcomes.items()}
    for recipient, (_, _, text) in outcomes.items():
        outcome = found.outcomes[recipient]
        assert text in (outcome.reply.text if outcome.reply else outcome.text)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault that costs an attempt.

    Attributes:
        script: what the relay does.
        between: recipient -> what is known of it after the first attempt.
        in_doubt: the mail is flagged.
        second: who is tried again.
        copies: recipient -> final dots that the relay has seen, where it is not one.
        using: the mailer.
        body: of the message.
        is_hanging: the relay waits in the middle of the fault, until it is told to go on.
    """

    script: Script
    between: Mapping[str, Seen]
    in_doubt: bool = False
    second: tuple[str, ...] = (A, B, C)
    copies: Mapping[str, int] = field(default_factory=dict)
    using: str = "relay"
    body: str = "b"
    is_hanging: bool = True


#: More than the buffers between two sockets hold: its end cannot leave before a server reads.
LARGE = f"{'x' * 70}\n" * 150_000

TWICE = {A: 2, B: 2, C: 2}

CASES = {
    "lost before the dot": Case(
        script=Script(content=[Hang(DROP, deaf=True)], size=None),
        between=all_of(("deferred", None, "lost in the content")),
        body=LARGE,
    ),
    "lost after the dot": Case(
        script=Script(dot=[Hang(DROP)]),
        between=all_of(("in-doubt", None, "lost after the final dot")),
        in_doubt=True,
        copies=TWICE,
    ),
    "450 for one of three": Case(
        script=Script(rcpt={B: [Hang("450 4.2.0 mailbox busy")]}),
        between={A: TAKEN, B: ("deferred", 450, "mailbox busy"), C: TAKEN},
        second=(B,),
    ),
    "552 at RCPT": Case(
        script=Script(rcpt={C: [Hang("552 too many recipients")]}),
        between={A: TAKEN, B: TAKEN, C: ("deferred", 552, "too many recipients")},
        second=(C,),
    ),
    "hang in DATA": Case(
        script=Script(data=[Hang()]),
        between=all_of(("deferred", None, "in DATA")),
        using="hasty",
    ),
    "reply to DATA byte by byte": Case(
        # Each byte is in time, the reply is not.
        script=Script(data=[Drip("354 go ahead, and take your time", 0.3)]),
        between=all_of(("deferred", None, "in DATA")),
        using="hasty",
        is_hanging=False,
    ),
    "reply to the dot byte by byte": Case(
        script=Script(dot=[Drip("250 2.0.0 taken, sooner or later", 0.3)]),
        between=all_of(("in-doubt", None, "after the final dot")),
        in_doubt=True,
        copies=TWICE,
        using="hasty",
        is_hanging=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_shows_while_it_lasts_and_only_those_who_need_it_are_tried_again(name: str, path: Path) -> None:
    case, relay = CASES[name], path.relay
    relay.hang_up()
    relay.behaviour = case.script
    before, complete = len(relay.transactions), len(relay.complete)
    (mail_id,) = enqueue(message(body=case.body), using=case.using)
    try:
        if case.is_hanging:
            relay.wait_hanging()
        relay.wait_until(lambda: len(relay.transactions) > before, "a transaction")
        # The envelope goes ahead of the mark; a pause between the two would give the mail back.
        eventually(lambda: status(mail_id).attempts == 1, "the mark of the first attempt")
        mailworker.pause(case.using)
        first = status(mail_id)
        assert first.state is State.LEASED
        assert_shows(first, attempts=1, in_doubt=False, outcomes={})
        if case.using == "relay":
            relay.release()
        eventually(lambda: state(mail_id) is State.DUE, "the end of the first attempt")
        between = status(mail_id)
        assert between.next_attempt_at is not None
        assert_shows(between, attempts=1, in_doubt=case.in_doubt, outcomes=case.between)
    finally:
        mailworker.resume(case.using)
    eventually(lambda: state(mail_id) is State.SENT, "the second attempt")
    assert_shows(status(mail_id), attempts=2, in_doubt=case.in_doubt, outcomes=all_of(TAKEN))
    assert tuple(relay.transactions[-1].recipients) == case.second
    copies = Counter(recipient for one in relay.complete[complete:] for recipient in one.recipients)
    assert copies == {A: 1, B: 1, C: 1, **case.copies}


def test_a_mail_that_is_lost_after_the_dot_each_time_is_dead_and_in_doubt_after_two_copies(path: Path) -> None:
    relay = path.relay
    relay.hang_up()
    relay.script(dot=DROP)
    complete = len(relay.complete)
    (mail_id,) = enqueue(message())
    eventually(lambda: state(mail_id) is State.DEAD, "the dead letter")
    found = status(mail_id)
    assert_shows(found, attempts=2, in_doubt=True, outcomes=all_of(("in-doubt", None, "lost after the final dot")))
    assert "in doubt" in found.reason
    assert len(relay.complete) - complete == 2


def test_a_mail_that_is_not_to_be_doubled_is_held_after_one_copy(path: Path) -> None:
    relay = path.relay
    relay.hang_up()
    relay.script(dot=[DROP])
    complete = len(relay.complete)
    (mail_id,) = enqueue(message(), on_in_doubt="hold")
    eventually(lambda: state(mail_id) is State.HELD, "a mail that waits for a person")
    assert_shows(
        status(mail_id), attempts=1, in_doubt=True, outcomes=all_of(("in-doubt", None, "lost after the final dot"))
    )
    assert len(relay.complete) - complete == 1


def test_a_421_in_mid_batch_costs_no_mail_an_attempt_and_one_new_session(path: Path) -> None:
    relay = path.relay
    relay.hang_up()
    relay.script(mail=[OK, OK, Hang("421 4.3.2 going down")])
    accepted, sessions = len(relay.accepted), relay.connections_ever
    ids = enqueue([message(f"to{n}@example.com") for n in range(5)])
    relay.wait_hanging()
    eventually(lambda: status(ids[2]).attempts == 1, "the mark of the third, with what became of the second")
    shown = [status(mail_id) for mail_id in ids]
    # The keeper may give back what waits for long; what was taken, and what is on the wire, stays as it is.
    assert [one.state for one in shown[:3]] == [State.SENT, State.SENT, State.LEASED]
    assert [one.attempts for one in shown] == [1, 1, 1, 0, 0]
    relay.release()
    eventually(lambda: {state(mail_id) for mail_id in ids} == {State.SENT}, "all five")
    assert [status(mail_id).attempts for mail_id in ids] == [1] * 5
    assert not any(status(mail_id).in_doubt for mail_id in ids)
    assert [one.recipients for one in relay.accepted[accepted:]] == [[f"to{n}@example.com"] for n in range(5)]
    assert relay.connections_ever - sessions == 2


def test_a_session_that_the_relay_closed_while_idle_costs_the_next_mail_nothing(path: Path) -> None:
    relay = path.relay
    relay.hang_up()
    relay.script()
    accepted, sessions = len(relay.accepted), relay.connections_ever
    for number in range(2):
        (mail_id,) = enqueue(message())
        eventually(lambda mail_id=mail_id: state(mail_id) is State.SENT, f"mail {number}")  # type: ignore[misc]
        assert_shows(status(mail_id), attempts=1, in_doubt=False, outcomes=all_of(TAKEN))
        relay.hang_up()
    assert len(relay.accepted) - accepted == 2
    assert relay.connections_ever - sessions == 2


def test_a_relay_that_refuses_connections_pauses_its_mailer_and_no_attempt_is_charged_until_it_is_back(
    path: Path,
) -> None:
    relay, said = path.relay, len(path.worker.output)
    relay.hang_up()
    relay.script()
    accepted = len(relay.accepted)
    relay.close_port()
    try:
        ids = enqueue([message(), message()])
        path.worker.wait_for("mailer relay pauses", 3, since=said)
        shown = mailer_state("relay")
        assert shown.failures >= 2
        assert shown.reason.startswith("connect: ")
        assert not shown.paused_by_person
        for mail_id in ids:
            assert_shows(status(mail_id), attempts=0, in_doubt=False, outcomes={})
            assert state(mail_id) in (State.DUE, State.LEASED)
    finally:
        relay.start()
    eventually(lambda: {state(mail_id) for mail_id in ids} == {State.SENT}, "both")
    for mail_id in ids:
        assert_shows(status(mail_id), attempts=1, in_doubt=False, outcomes=all_of(TAKEN))
    assert len(relay.accepted) - accepted == 2
    path.worker.wait_for("mailer relay works again", since=said)
    eventually(lambda: mailer_state("relay") == MailerState(), "a mailer without failures")


def test_a_login_that_is_refused_pauses_its_mailer_alone_and_no_mail_is_given_up_for_it(path: Path) -> None:
    relay, said = path.relay, len(path.worker.output)
    relay.hang_up()
    relay.script(users={"u": "p"}, auth="535 5.7.8 no such login", mechanisms=["PLAIN"])
    accepted = len(relay.accepted)
    (mail_id,) = enqueue(message(), using="login")
    path.worker.wait_for("ERROR.*mailer login pauses .*auth-refused", 2, since=said)
    shown = mailer_state("login")
    assert shown.failures >= 1
    assert shown.reason.startswith("auth-refused: ")
    assert_shows(status(mail_id), attempts=0, in_doubt=False, outcomes={})
    assert state(mail_id) in (State.DUE, State.LEASED)
    (beside,) = enqueue(message(), using="relay")
    eventually(lambda: state(beside) is State.SENT, "a mail of another mailer")
    assert_shows(status(mail_id), attempts=0, in_doubt=False, outcomes={})
    relay.script(users={"u": "p"}, mechanisms=["PLAIN"])
    eventually(lambda: state(mail_id) is State.SENT, "the mail, once the login is allowed")
    assert_shows(status(mail_id), attempts=1, in_doubt=False, outcomes=all_of(TAKEN))
    assert len(relay.accepted) - accepted == 2
    eventually(lambda: mailer_state("login") == MailerState(), "a mailer without failures")
