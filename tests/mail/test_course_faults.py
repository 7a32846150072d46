"""Whatever the relay does to one message of a batch: each is charged once, settled once, and sent once."""

from __future__ import annotations

from collections import Counter

import pytest

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.testing import DROP, OK, RESET, Script
from tests.mail.ledger import ACCEPTED, DEFERRED, IN_DOUBT, OPENING, REJECTED, Ledger, batch_of, message, send, subjects

# Faults of the relay.

FAULTS = {
    "MAIL 4xx": ({"mail": [OK, "451 later"]}, DEFERRED),
    "MAIL 5xx": ({"mail": [OK, "550 no"]}, REJECTED),
    "RCPT 4xx": ({"rcpt": [OK, "450 later"]}, DEFERRED),
    "RCPT 5xx": ({"rcpt": [OK, "550 no"]}, REJECTED),
    "RCPT 5xx, and 354": ({"rcpt": [OK, "550 no"], "data": [OK, "354 go"]}, REJECTED),
    "DATA 4xx": ({"data": [OK, "451 later"]}, DEFERRED),
    "DATA 5xx": ({"data": [OK, "554 no"]}, REJECTED),
    "dot 4xx": ({"dot": [OK, "451 later"]}, DEFERRED),
    "dot 5xx": ({"dot": [OK, "554 no"]}, REJECTED),
    "dot 421": ({"dot": [OK, "421 bye"]}, DEFERRED),
    "dot lost": ({"dot": [OK, DROP]}, IN_DOUBT),
    "dot reset": ({"dot": [OK, RESET]}, IN_DOUBT),
    "dot junk": ({"dot": [OK, b"taken\r\n"]}, IN_DOUBT),
    "MAIL lost": ({"mail": [OK, DROP]}, ACCEPTED),
    "MAIL reset": ({"mail": [OK, RESET]}, ACCEPTED),
    "MAIL 4.4.2": ({"mail": [OK, "451 4.4.2 idle"]}, ACCEPTED),
    "MAIL junk": ({"mail": [OK, b"what\r\n"]}, DEFERRED),
    "RCPT lost": ({"rcpt": [OK, DROP]}, DEFERRED),
    "DATA lost": ({"data": [OK, DROP]}, DEFERRED),
    "MAIL 421": ({"mail": [OK, "421 bye"]}, ACCEPTED),
    "RCPT 421": ({"rcpt": [OK, "421 bye"]}, ACCEPTED),
    "DATA 421": ({"data": [OK, "421 bye"]}, ACCEPTED),
    "MAIL lost, then 421": ({"mail": [OK, DROP, "421 bye"]}, ACCEPTED),
    "MAIL 421 twice": ({"mail": [OK, "421 bye", "421 bye"]}, DEFERRED),
    "MAIL lost twice": ({"mail": [OK, DROP, DROP]}, DEFERRED),
}


@pytest.mark.parametrize("row", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("script", [{}, {"joined": True}, {"pipelining": False}], ids=["apart", "joined", "one by one"])
def test_each_message_is_charged_once_settled_once_and_sent_once_whatever_happens_to_the_second(bench, row, script):
    answers, expected = row
    server = bench.serve(Script(**answers, **script))
    ledger = Ledger(server)
    batch = batch_of(4)
    assert send(server, batch, ledger) == 3 + (expected is ACCEPTED)
    assert ledger.settled_ == {"1": {ACCEPTED}, "2": {expected}, "3": {ACCEPTED}, "4": {ACCEPTED}}
    assert ledger.charged == {"1": 1, "2": 1, "3": 1, "4": 1}
    copies = Counter(t.sender.partition("@")[0] for t in server.complete if t.recipients)
    assert {subject: copies[subject] for subject in "134"} == {"1": 1, "3": 1, "4": 1}
    assert copies["2"] <= 1
    server.wait_closed()


# Sessions that die between two batches.


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle for too long", "", "250 what", "junk"])
def test_a_session_that_died_while_it_was_idle_is_replaced_before_anything_is_charged(bench, farewell):
    server = bench.serve()
    backend = EmailBackend(server.host, server.port)
    backend.open()
    backend.send_messages([message("0")])
    server.hang_up(farewell)
    opened: list[int] = []

    def begin(_):
        opened.append(server.connections_ever)
        return True

    ledger = Ledger(server, begin=begin, follow=lambda _: True)
    assert backend.send_messages(batch_of(2), journal=ledger) == 2
    backend.close()
    assert opened[0] == 2, "the new session is there before the first attempt is charged"
    assert ledger.charged == {"1": 1, "2": 1}
    assert subjects(server) == ["0", "1", "2"]


@pytest.mark.parametrize("death", [DROP, RESET, "421 4.3.2 bye", "451 4.4.2 idle"])
def test_a_session_that_dies_as_the_next_envelope_is_written_costs_no_attempt_and_no_message(bench, death):
    server = bench.serve(Script(mail=[OK, death]))
    backend = EmailBackend(server.host, server.port)
    backend.open()
    backend.send_messages([message("0")])
    ledger = Ledger(server)
    assert backend.send_messages(batch_of(2), journal=ledger) == 2
    backend.close()
    assert ledger.charged == {"1": 1, "2": 1}
    assert subjects(server) == ["0", "1", "2"]
    assert server.connections_ever == 2


def test_a_relay_that_is_gone_with_an_envelope_on_its_way_leaves_the_rest_unsent(bench):
    server = bench.serve(Script(greeting=[OK, "554 no"], mail=[OK, "421 bye"]))
    ledger = Ledger(server)
    batch = batch_of(3)
    with pytest.raises(MailerUnavailable):
        EmailBackend(server.host, server.port).send_messages(batch, journal=ledger)
    assert [set(ledger.settled_.get(one.subject, ())) for one in batch] == [{ACCEPTED}, set(), set()]
    assert [one.outcomes for one in batch[1:]] == [{}, {}]
    assert subjects(server) == ["1"]


@pytest.mark.parametrize("dot", [DROP, "421 bye"])
def test_a_relay_that_is_gone_after_a_message_costs_the_next_one_no_attempt(bench, dot):
    server = bench.serve(Script(greeting=[OK, "554 no"], dot=[dot]))
    ledger = Ledger(server)
    with pytest.raises(MailerUnavailable):
        EmailBackend(server.host, server.port).send_messages(batch_of(2), journal=ledger)
    assert ledger.charged == {"1": 1}
    assert set(ledger.settled_) == {"1"}


def test_what_is_raised_between_two_messages_leaves_the_second_without_a_dot_and_the_next_batch_whole(bench):
    class Stop(BaseException):
        pass

    class Stopping(Ledger):
        def settled(self, message, following=None):
            super().settled(message, following)
            raise Stop

    server = bench.serve()
    backend = EmailBackend(server.host, server.port)
    backend.open()
    with pytest.raises(Stop):
        backend.send_messages(batch_of(2), journal=Stopping(server))
    server.wait_until(lambda: server.sessions[0].bursts[1:] == [OPENING, [".", *OPENING]], "the second envelope")
    assert backend.send_messages([message("3")], journal=Ledger(server)) == 1
    backend.close()
    assert subjects(server) == ["1", "3"]


def test_an_open_of_one_s_own_is_asked_for_each_session_and_not_for_each_message(bench):
    opened: list[str] = []

    class Own(EmailBackend):
        def open(self) -> bool | None:
            opened.append("open")
            return super().open()

    server = bench.serve(Script(mail=[OK, OK, "421 bye"]))
    ledger = Ledger(server)
    assert send(server, batch_of(4), ledger, cls=Own) == 4
    assert len(opened) == 2
    assert ledger.charged == {"1": 1, "2": 1, "3": 1, "4": 1}


AWAY = "421 4.7.0 too many"


@pytest.mark.parametrize(
    "script",
    [Script(mail=AWAY), Script(rcpt={f"{n}-0@example.org": AWAY for n in range(1, 9)}), Script(data=AWAY)],
    ids=["mail", "rcpt", "data"],
)
def test_a_relay_that_sends_one_message_after_the_other_away_takes_none(bench, script):
    server = bench.serve(script)
    ledger = Ledger(server)
    batch = batch_of(8)
    with pytest.raises(MailerUnavailable, match=r"one message after the other away \(421 4.7.0\)") as raised:
        EmailBackend(server.host, server.port).send_messages(batch, journal=ledger)
    assert raised.value.trouble is Trouble.GREETING
    # Two sessions for each of the first two, and none for the others.
    assert server.connections_ever == 4
    assert [bool(one.outcomes) for one in batch] == [True] + [False] * 7
    assert ledger.settled_ == {"1": {DEFERRED}}


def test_a_message_that_goes_in_between_shows_that_the_relay_takes_some(bench):
    away = {f"{n}-0@example.org": "421 4.7.0 not you" for n in (1, 3, 5)}
    server = bench.serve(Script(rcpt=away))
    ledger = Ledger(server)
    assert send(server, batch_of(6), ledger) == 3
    assert subjects(server) == ["2", "4", "6"]
    assert [ledger.settled_[str(n)] for n in (1, 3, 5)] == [{DEFERRED}] * 3
