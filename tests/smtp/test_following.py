"""A message whose envelope went out behind the dot of the one before it: neither tells anything of the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.outcome import Reply
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import transact
from mailworker.testing import DROP, HANG, OK, RESET, Drip, Drop, Hang, Script
from tests.smtp.parts import (
    ACCEPTED,
    ALL,
    ANSWERS,
    CONTENT,
    DEFERRED,
    IN_DOUBT,
    REJECTED,
    A,
    B,
    C,
    announcing,
    kinds,
)
from tests.smtpd import Bench

FIRST = Envelope("first@example.com", ("x@example.org", "y@example.org"))
#: More than leaves in one write with its dot.
LARGE = CONTENT + b"hello, and so on\r\n" * 5000
OPENING = ["MAIL", "RCPT", "RCPT", "RCPT", "DATA"]


@pytest.fixture
def bench():
    bench = Bench(pipelining=True)
    yield bench
    bench.end()


def behind_the_first(script):
    """Return a script that has nothing against the first message of the first session."""

    def answer(command):
        is_first = command.session == 1 and command.transaction <= 1
        return OK if is_first else script.answer(command)

    phases = dict.fromkeys(("mail", "rcpt", "data", "content", "dot", "rset"), answer)
    return replace(script, **phases)


def send_first(session, content=CONTENT):
    """Send the first message with the envelope of the second behind its dot."""
    result = transact(session, FIRST, CONTENT, following=announcing(ALL, content))
    assert kinds(result) == (ACCEPTED, ACCEPTED)
    assert result.followed


def hurried(session, timeout=0.3):
    object.__setattr__(session.options, "timeout", timeout)


# Faults of the second.


@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize("row", [pytest.param((name, *row), id=name) for name, row in ANSWERS.items()])
def test_each_answer_to_the_second_gives_each_of_its_recipients_its_outcome(bench, row, joined):
    name, script, expected, usable = row
    server = bench.serve(behind_the_first(replace(script, joined=joined)))
    session = bench.session(server)
    send_first(session)
    result = transact(session, ALL, CONTENT)
    assert kinds(result) == expected
    assert session.is_closed is not usable
    # The session had been used, and at its next MAIL it was dead: nobody heard of the second.
    assert result.stale is (name in ("lost in MAIL", "reset in MAIL"))
    assert (result.go_away, result.withdrawn, result.locked_out, result.followed) == (False, False, None, False)
    assert [t.sender for t in server.accepted][:1] == [FIRST.sender]
    assert server.sessions[0].bursts[2] in ([".", *OPENING[:n]] for n in range(6))
    if IN_DOUBT not in expected:
        taken = [recipient for recipient, kind in zip(ALL.recipients, expected, strict=True) if kind is ACCEPTED]
        assert [t.recipients for t in server.accepted[1:]] == ([taken] if taken else [])


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items()])
def test_under_tls_too_each_answer_to_the_second_gives_each_of_its_recipients_its_outcome(bench, certificates, row):
    script, expected, usable = row
    server = bench.serve(behind_the_first(script), tls=certificates.server(), implicit_tls=True)
    session = bench.session(server, use_ssl=True, ssl_context=certificates.client(), host="localhost")
    send_first(session)
    assert kinds(transact(session, ALL, CONTENT)) == expected
    assert session.is_closed is not usable
    assert [t.sender for t in server.accepted][:1] == [FIRST.sender]
    if IN_DOUBT not in expected:
        taken = [recipient for recipient, kind in zip(ALL.recipients, expected, strict=True) if kind is ACCEPTED]
        assert [t.recipients for t in server.accepted[1:]] == ([taken] if taken else [])


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items() if row[2]])
def test_whatever_the_second_is_answered_the_third_goes_out_in_the_same_session(bench, row):
    server = bench.serve(behind_the_first(row[0]))
    session = bench.session(server)
    send_first(session)
    third = Envelope("third@example.com", (A,))
    is_followed = transact(session, ALL, CONTENT, following=announcing(third)).followed
    server.script()
    assert is_followed or session.make_ready()
    assert kinds(transact(session, third, CONTENT)) == (ACCEPTED,)
    assert server.connections_ever == 1
    assert [t.recipients for t in server.accepted if t.sender == third.sender] == [[A]]


@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize(
    "script",
    [
        Script(mail="421 4.3.2 bye"),
        Script(rcpt={A: "421 4.3.2 bye"}),
        Script(rcpt={C: "421 4.3.2 bye"}),
        Script(data="421 4.3.2 bye"),
        Script(content="421 4.3.2 bye"),
    ],
    ids=["MAIL", "first RCPT", "last RCPT", "DATA", "content"],
)
def test_421_to_the_second_is_flagged_and_closes_the_session(bench, script, joined):
    server = bench.serve(behind_the_first(replace(script, joined=joined)))
    session = bench.session(server)
    send_first(session, LARGE)
    result = transact(
        session, ALL, LARGE, lambda: server.wait_until(lambda: any(t.early for t in server.transactions)) is None
    )
    assert result.go_away
    assert kinds(result) == (DEFERRED,) * 3
    assert result.outcomes[C].reply == Reply(421, "bye", "4.3.2")
    assert session.is_closed
    assert [t.sender for t in server.complete] == [FIRST.sender]


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (Script(mail=HANG), "MAIL"),
        (Script(mail=Drip("250 " + "x" * 400, 0.02)), "MAIL"),
        (Script(rcpt={B: HANG}), "RCPT"),
        (Script(data=HANG), "DATA"),
        (Script(content=Hang(deaf=True)), "the content"),
    ],
    ids=["MAIL hangs", "MAIL drips", "RCPT hangs", "DATA hangs", "content is not read"],
)
def test_a_server_that_hangs_at_the_second_is_left_after_the_phase_s_time(bench, script, phase):
    server = bench.serve(behind_the_first(replace(script, size=None)))
    session = bench.session(server)
    # More than the buffers of both ends hold.
    large = b"x" * 16_000_000
    send_first(session, large)
    hurried(session)
    result = transact(session, ALL, large)
    assert kinds(result) == (DEFERRED,) * 3
    assert f"timed out in {phase}" in result.outcomes[A].text
    assert not result.stale
    assert session.is_closed
    assert [t.sender for t in server.complete] == [FIRST.sender]


def test_a_server_that_hangs_at_the_dot_of_the_second_leaves_it_in_doubt(bench):
    server = bench.serve(behind_the_first(Script(dot=HANG)))
    session = bench.session(server, final_reply_timeout=1.0)
    send_first(session)
    assert kinds(transact(session, ALL, CONTENT)) == (IN_DOUBT,) * 3


@pytest.mark.parametrize("answer", ["451 4.4.2 Timeout waiting for data from client.", DROP, RESET])
def test_a_session_that_is_dead_at_the_second_s_mail_is_stale(bench, answer):
    server = bench.serve(Script(mail=[OK, answer]))
    session = bench.session(server)
    send_first(session)
    result = transact(session, ALL, CONTENT)
    assert result.stale
    assert session.is_closed
    session = bench.session(server)
    assert kinds(transact(session, ALL, CONTENT)) == (ACCEPTED,) * 3
    assert [t.sender for t in server.complete] == [FIRST.sender, ALL.sender]


LOG_IN = "530 5.7.0 log in first"


@pytest.mark.parametrize(
    "script", [Script(mail=LOG_IN), Script(rcpt={B: LOG_IN}), Script(data=LOG_IN)], ids=["MAIL", "RCPT", "DATA"]
)
def test_530_to_the_second_locks_out_and_rejects_nobody(bench, script):
    server = bench.serve(behind_the_first(script))
    session = bench.session(server)
    send_first(session)
    result = transact(session, ALL, CONTENT)
    assert result.locked_out == Reply(530, "log in first", "5.7.0")
    assert kinds(result) == (DEFERRED,) * 3
    session.close()
    server.wait_closed()
    assert [t.sender for t in server.complete] == [FIRST.sender]


@pytest.mark.parametrize("data", [OK, "354 go ahead all the same"], ids=["refused", "asked for all the same"])
def test_the_content_of_a_second_that_nobody_gets_is_not_sent(bench, data):
    server = bench.serve(behind_the_first(Script(rcpt="550 5.1.1 no", data=data)))
    session = bench.session(server)
    send_first(session)
    assert kinds(transact(session, ALL, CONTENT)) == (REJECTED,) * 3
    # Where it is asked for, it is the dot alone (RFC 2920 §3.1).
    assert [(t.recipients, t.content) for t in server.complete[1:]] == ([] if data is OK else [([], b"")])
    assert session.make_ready()
    server.script()
    assert kinds(transact(session, ALL, CONTENT)) == (ACCEPTED,) * 3


def test_a_no_before_the_dot_of_the_second_closes_the_session_without_it(bench):
    server = bench.serve()
    session = bench.session(server)
    send_first(session)
    result = transact(session, ALL, CONTENT, lambda: False)
    assert (result.withdrawn, result.outcomes) == (True, {})
    assert session.is_closed
    server.wait_closed()
    assert [t.sender for t in server.complete] == [FIRST.sender]
    assert server.sessions[0].ended_by == "client"


# Faults of the first, with the envelope of the second on its way.

OF_THE_FIRST = {
    "2xx": ("250 2.0.0 taken", ACCEPTED, True),
    "4xx": ("451 4.3.0 later", DEFERRED, True),
    "5xx": ("554 5.7.1 spam", REJECTED, True),
    "a reply in many lines": ("554-5.7.1 spam\n554-5.7.1 spam\n554 5.7.1 spam", REJECTED, True),
    "421": ("421 4.3.2 bye", DEFERRED, False),
    "lost": (DROP, IN_DOUBT, False),
    "reset": (RESET, IN_DOUBT, False),
    "lost behind half a reply": (Drop(after="250-half"), IN_DOUBT, False),
    "junk": (b"taken, thanks\r\n", IN_DOUBT, False),
    "two codes": (b"250-taken\r\n451 or not\r\n", IN_DOUBT, False),
    "3xx": ("354 more", IN_DOUBT, False),
    "an endless line": (b"250 " + b"x" * 100_000 + b"\r\n", IN_DOUBT, False),
    "hangs": (HANG, IN_DOUBT, False),
    "drips": (Drip("250 " + "x" * 400, 0.05), IN_DOUBT, False),
}


@pytest.mark.parametrize("joined", [False, True], ids=["apart", "joined"])
@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in OF_THE_FIRST.items()])
def test_each_answer_to_the_first_leaves_the_second_to_be_sent_once(bench, row, joined):
    answer, expected, followed = row
    server = bench.serve(Script(dot={"x@example.org": answer}, joined=joined))
    session = bench.session(server, final_reply_timeout=1.0 if answer is HANG or isinstance(answer, Drip) else 30.0)
    result = transact(session, FIRST, CONTENT, following=announcing(ALL))
    assert kinds(result) == (expected,) * 2
    assert result.followed is followed
    assert session.is_closed is not followed
    assert (result.go_away, result.stale) == (False, False)
    if not followed:
        session = bench.session(server)
    assert kinds(transact(session, ALL, CONTENT)) == (ACCEPTED,) * 3
    assert server.connections_ever == (1 if followed else 2)
    contents = [t.sender for t in server.transactions if t.raw]
    assert contents == [FIRST.sender, ALL.sender], "no second copy of either"
    assert [t.recipients for t in server.accepted if t.sender == ALL.sender] == [[A, B, C]]


def test_a_first_that_is_answered_before_its_dot_leaves_nothing_on_its_way(bench):
    server = bench.serve(Script(content=["552 5.3.4 too big"]))
    session = bench.session(server)
    result = transact(
        session,
        FIRST,
        LARGE,
        lambda: server.wait_until(lambda: any(t.early for t in server.transactions)) is None,
        following=lambda: (ALL, CONTENT),
    )
    assert kinds(result) == (REJECTED,) * 2
    assert not result.followed
    assert session.is_closed
    assert len(server.transactions) == 1


def test_what_fails_between_the_dot_and_its_reply_leaves_the_message_in_doubt(bench):
    server = bench.serve()
    session = bench.session(server)

    allowed: list[bool] = []

    def allow():
        allowed.append(True)
        return True

    def fail():
        if allowed:
            raise RuntimeError

    result = transact(session, FIRST, CONTENT, allow, meanwhile=fail)
    assert kinds(result) == (IN_DOUBT,) * 2
    assert session.is_closed


def test_whatever_is_raised_while_it_is_asked_what_follows_leaves_no_dot(bench):
    class Stop(BaseException):
        pass

    def stop():
        raise Stop

    server = bench.serve()
    session = bench.session(server)
    with pytest.raises(Stop):
        transact(session, FIRST, CONTENT, following=stop)
    assert session.is_closed
    server.wait_closed()
    assert server.complete == []


def test_whatever_is_raised_while_the_server_works_leaves_the_second_without_a_dot(bench):
    class Stop(BaseException):
        pass

    heard = []

    def meanwhile():
        heard.append(len(server.sessions[0].bursts))
        if len(heard) == 2:
            raise Stop

    server = bench.serve()
    session = bench.session(server)
    with pytest.raises(Stop):
        transact(session, FIRST, CONTENT, following=announcing(ALL), meanwhile=meanwhile)
    assert session.is_closed
    server.wait_closed()
    assert [t.sender for t in server.complete] == [FIRST.sender]
