"""Replies that come early, late, cut, joined, or one too many: each is the answer to what it answers, or to nothing."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.outcome import Reply
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from mailworker.smtp.transaction import transact
from mailworker.testing import Script
from tests.smtp.parts import (
    ACCEPTED,
    ALL,
    ANSWERS,
    CONTENT,
    DEFERRED,
    REJECTED,
    SENDER,
    A,
    B,
    C,
    announcing,
    kinds,
)
from tests.smtpd import Bench


@pytest.fixture(params=["pipelined", "one by one"])
def bench(request):
    bench = Bench(pipelining=request.param == "pipelined")
    yield bench
    bench.end()


@pytest.fixture
def pipelined():
    bench = Bench(pipelining=True)
    yield bench
    bench.end()


# Cut and joined.


class Cut:
    """Sends what leaves a server in pieces, each one once the client has read the one before.

    Args:
        ends: where the pieces end, given how much leaves.
    """

    def __init__(self, ends: Callable[[int], Any]) -> None:
        self.ends = ends
        self.session: Any = None

    def __call__(self, send: Callable[[bytes], object], data: bytes) -> None:
        at = 0
        if self.session is not None:
            for end in self.ends(len(data)):
                send(data[at:end])
                self._wait_until_read()
                at = end
        send(data[at:])

    def _wait_until_read(self) -> None:
        # As many octets as the client's end holds, asked of the kernel.
        for _ in range(1_000_000):
            sock = self.session._dialogue.sock
            if sock is None or not struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0\0\0\0"))[0]:
                return
            os.sched_yield()
        raise AssertionError("the client does not read")


MIXED = Script(rcpt={B: "550-5.1.1 no such\n550 5.1.1 user"}, joined=True)
#: What the mixed script answers at most in one piece: the final reply of one message and the beginning of the next.
LONGEST = len(
    b"250 2.0.0 message taken\r\n250 2.1.0 sender taken\r\n250 2.1.5 recipient taken\r\n"
    b"550-5.1.1 no such\r\n550 5.1.1 user\r\n250 2.1.5 recipient taken\r\n354 go ahead\r\n"
)


def send_chain(session, number):
    """Send messages one behind the other, and check each."""
    batch = [Envelope(SENDER, ALL.recipients) for _ in range(number)]
    for envelope, following in zip(batch, [*batch[1:], None], strict=True):
        result = transact(session, envelope, CONTENT, following=announcing(following))
        assert kinds(result) == (ACCEPTED, REJECTED, ACCEPTED)
        assert result.outcomes[B].reply == Reply(550, "no such user", "5.1.1")


def test_answers_that_are_cut_at_any_octet_are_the_same_answers(pipelined):
    cut = Cut(lambda length: [position] if position < length else [])
    position = 0
    server = pipelined.serve(MIXED)
    server.behaviour.leaving = cut
    cut.session = session = pipelined.session(server, max_messages=10_000, max_age=1000.0)
    for position in range(1, LONGEST):  # noqa: B007 - the cut reads it
        send_chain(session, 2)
    assert len(server.accepted) == 2 * (LONGEST - 1)
    assert server.connections_ever == 1


def test_answers_that_come_octet_by_octet_are_the_same_answers(bench):
    cut = Cut(lambda length: range(1, length))
    server = bench.serve(MIXED)
    server.behaviour.leaving = cut
    cut.session = session = bench.session(server)
    send_chain(session, 3)
    assert len(server.accepted) == 3


def test_answers_that_are_cut_under_tls_are_the_same_answers(pipelined, certificates):
    cut = Cut(lambda length: range(1, length, 7))
    server = pipelined.serve(MIXED, tls=certificates.server(), implicit_tls=True)
    server.behaviour.leaving = cut
    session = pipelined.session(server, use_ssl=True, ssl_context=certificates.client(), host="localhost")
    cut.session = session
    send_chain(session, 3)
    assert len(server.accepted) == 3


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items()])
def test_answers_that_come_joined_are_the_same_answers(pipelined, row):
    script, expected, usable = row
    server = pipelined.serve(script)
    server.behaviour.joined = True
    session = pipelined.session(server)
    assert kinds(transact(session, ALL, CONTENT)) == expected
    assert session.is_closed is not usable


# Early.


@pytest.mark.parametrize("said", ["250 ok", "421 4.4.2 bye", "354 go", "550 no", "what?"])
def test_a_session_that_speaks_unasked_is_not_used_again(bench, said):
    server = bench.serve()
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    assert session.is_usable()
    server.hang_up(said)
    assert not session.is_usable()
    assert not session.make_ready()


class Behind:
    """Says more behind a certain reply, in one piece with it.

    Args:
        reply: the end of it.
        extra: what more.
        times: how often.

    Attributes:
        said: how often it has.
    """

    def __init__(self, reply: bytes, extra: bytes, times: int = 1000) -> None:
        self._reply = reply
        self._extra = extra
        self._times = times
        self.said = 0

    def __call__(self, send: Callable[[bytes], object], data: bytes) -> None:
        left = self._times - self.said
        self.said += min(left, data.count(self._reply))
        send(data.replace(self._reply, self._reply + self._extra, left))


#: The end of a reply, and how often more is said behind it.
PLACES = {
    "MAIL": (b"sender taken\r\n", 1),
    "RCPT": (b"recipient taken\r\n", 1),
    "each RCPT": (b"recipient taken\r\n", 3),
    "a refused RCPT": (b"nobody\r\n", 1),
    "DATA": (b"go ahead\r\n", 1),
    "the dot": (b"message taken\r\n", 1),
    "RSET": (b"reset\r\n", 1),
}
EXTRAS = [b"250 more\r\n", b"354 more\r\n", b"450 more\r\n", b"550 more\r\n", b"421 bye\r\n"]
REFUSED = {"nobody": (), "the first": (A,), "the last": (C,), "two": (B, C), "all": (A, B, C)}


def check(server, result):
    """Check that nobody counts as accepted or refused who was not, and that nothing was sent twice."""
    taken = {recipient for transaction in server.accepted for recipient in transaction.recipients}
    refused = {recipient for transaction in server.transactions for recipient in transaction.refused}
    for recipient, outcome in result.outcomes.items():
        if outcome.kind is ACCEPTED:
            assert recipient in taken
        elif outcome.kind is REJECTED:
            assert recipient in refused
        elif outcome.kind is DEFERRED:
            assert recipient not in taken
        if outcome.reply is not None:
            assert outcome.reply.text.isprintable()
    assert len(server.complete) <= 1


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
def test_a_reply_too_many_is_nobody_s_answer(bench, place, extra, refused, joined):
    # Of several too many, those that come late cannot be told from answers.
    joined = joined or place == "each RCPT"
    server = bench.serve(Script(rcpt=dict.fromkeys(REFUSED[refused], "550 nobody"), joined=joined))
    session = bench.session(server)
    server.behaviour.leaving = more = Behind(PLACES[place][0], extra, PLACES[place][1])
    result = transact(session, ALL, CONTENT)
    check(server, result)
    if more.said:
        assert not session.make_ready(), "the session ends with it"


#: Pieces in which what makes or breaks a reply is as frequent as everything else together. Without 421: what was said before
#: a server sends us away is kept.
PIECES = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"250 ",
        b"250-",
        b"354 ",
        b"450 4.2.0 ",
        b"550 5.1.1 ",
        b"550-",
        b"2",
        b"x",
        b" ",
        b"\x00",
    ),
    *(b"\xff", b"\x1b[2J", "\u202e".encode(), b"WARNING mailworker: mail_id=0"),
]


def ended(junk):
    """Return lines of which the last one is the last one: a client would wait for more."""
    junk += b"\r\n"
    last = junk.split(b"\n")[-2]
    return junk + last[:3] + b" end\r\n" if last[3:4] == b"-" else junk


JUNK = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join).map(ended)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JUNK)
@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
def test_whatever_is_said_to_one_recipient_is_nobody_else_s_answer(bench, joined, junk):
    server = bench.serve(Script(rcpt={B: junk}, joined=joined))
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    check(server, result)
    if junk.count(b"\n") > 1 and not junk.startswith((b"550-", b"250-")):
        assert result.outcomes[A].kind is not REJECTED
        assert result.outcomes[C].kind is not REJECTED
    server.stop()


def test_what_a_reply_says_is_one_printable_line_wherever_it_is_shown(bench, caplog):
    server = bench.serve(Script(rcpt={B: b"550 5.1.1 no\rWARNING forged\x00\x1b[2J\xe2\x80\xa8line\xff\r\n"}))
    with caplog.at_level(logging.DEBUG):
        outcome = transact(bench.session(server), ALL, CONTENT).outcomes[B]
    assert str(outcome.reply) == "550 5.1.1 no WARNING forged [2J line\ufffd"
    assert "forged" not in caplog.text


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_reply_too_many_to_a_dot_leaves_the_message_accepted_and_the_next_one_unsent(pipelined, extra):
    server = pipelined.serve()
    session = pipelined.session(server)
    server.behaviour.leaving = Behind(b"message taken\r\n", extra, 1)
    second = Envelope(SENDER, ALL.recipients)
    assert kinds(transact(session, ALL, CONTENT, following=announcing(second))) == (ACCEPTED,) * 3
    result = transact(session, second, CONTENT)
    assert kinds(result) == (DEFERRED,) * 3
    assert result.go_away is extra.startswith(b"421")
    assert session.is_closed
    server.wait_closed()
    assert len(server.complete) == 1


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("place", ["ESMTP", "hello", "welcome"])
def test_a_server_that_says_more_than_it_is_asked_is_not_talked_to(bench, place, extra):
    more = Behind(place.encode() + b"\r\n", extra, 1)
    server = bench.serve(Script(ehlo="250-smtpd.test\n250-AUTH PLAIN\n250 hello", users={"u": "p"}, leaving=more))
    with pytest.raises(MailerUnavailable) as caught:
        bench.session(server, username="u", password="p")
    assert caught.value.trouble is Trouble.GREETING
    server.wait_closed()
    assert ("AUTH" in server.sessions[0].verbs) is (place == "welcome")


@pytest.mark.parametrize("stray", [b"500 5.5.2 what was that\r\n", b"450 later\r\n", b"250 fine\r\n", b"junk\r\n"])
def test_a_reply_that_comes_alone_before_any_of_a_small_content_has_left_refuses_nobody(stray):
    go = threading.Event()

    def serve(client):
        with client:
            client.sendall(b"220 hi\r\n")
            client.recv(999)
            client.sendall(b"250-x\r\n250 PIPELINING\r\n")
            client.recv(999)
            client.sendall(b"250 ok\r\n" * 4 + b"354 go\r\n")
            go.wait(30)
            client.sendall(stray)
            while client.recv(999):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: serve(listener.accept()[0]))
        thread.start()
        session = Session.open(SessionOptions(host="127.0.0.1", port=listener.getsockname()[1], timeout=30))

        def before_dot():
            go.set()
            assert session._dialogue.sock is not None
            assert select.select([session._dialogue.sock], [], [], 30)[0]
            return True

        result = transact(session, ALL, CONTENT, before_dot)
        thread.join(30)
    assert kinds(result) == (DEFERRED,) * 3
    assert session.is_closed
