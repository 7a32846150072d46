"""How long a session may be used, and how it ends."""

from __future__ import annotations

import os
import signal

import pytest

from mailworker.outcome import OutcomeClass
from mailworker.smtp.dialogue import ConnectionLost
from mailworker.smtp.transaction import Envelope, transact
from mailworker.testing import DROP, HANG, OK, RESET, Script
from tests.smtpd import Clock

ENVELOPE = Envelope("s@example.com", ("a@example.org",))


def send(session):
    return transact(session, ENVELOPE, b"Subject: x\r\n\r\n").outcomes["a@example.org"].kind


@pytest.fixture
def clock():
    return Clock()


def test_a_fresh_session_is_ready_without_a_word(bench, clock):
    server = bench.serve()
    session = bench.session(server, clock=clock)
    assert session.make_ready()
    assert server.sessions[0].verbs == ["EHLO"]


def test_a_session_used_a_moment_ago_is_ready_without_a_word(bench, clock):
    server = bench.serve()
    session = bench.session(server, clock=clock)
    send(session)
    clock.now += 5.0
    assert session.make_ready()
    assert "RSET" not in server.sessions[0].verbs


def test_a_session_idle_for_more_than_five_seconds_is_probed_with_rset(bench, clock):
    server = bench.serve()
    session = bench.session(server, clock=clock)
    clock.now += 5.5
    assert session.make_ready()
    assert server.sessions[0].verbs == ["EHLO", "RSET"]
    assert session.idle == 0


@pytest.mark.parametrize("rset", ["421 bye", "500 what", "354 go", DROP, RESET, b"junk\r\n", b"250 ok\r\n250 ok\r\n"])
def test_a_session_that_fails_the_probe_is_not_ready(bench, clock, rset):
    server = bench.serve(Script(rset=rset))
    session = bench.session(server, clock=clock)
    clock.now += 5.5
    assert not session.make_ready()
    session.close()
    server.wait_closed()


def test_a_session_idle_for_nine_seconds_is_used_no_more(bench, clock):
    session = bench.session(bench.serve(), clock=clock)
    clock.now += 9.0
    assert not session.make_ready()


def test_a_session_takes_so_many_messages_and_no_more(bench, clock):
    session = bench.session(bench.serve(), clock=clock, max_messages=3)
    for _ in range(3):
        assert session.make_ready()
        send(session)
    assert not session.make_ready()


def test_a_session_lasts_for_its_age_and_no_longer(bench, clock):
    session = bench.session(bench.serve(), clock=clock, max_age=20.0)
    for _ in range(4):
        clock.now += 4.9
        assert session.make_ready()
        send(session)
    clock.now += 0.5
    assert not session.is_usable()


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle for too long", ""])
def test_a_session_that_the_server_ended_is_not_usable(bench, farewell):
    server = bench.serve()
    session = bench.session(server)
    send(session)
    assert session.is_usable()
    server.hang_up(farewell)
    assert not session.is_usable()


def test_a_session_over_tls_is_usable_until_the_server_ends_it(bench, certificates):
    server = bench.serve(tls=certificates.server(), implicit_tls=True)
    session = bench.session(server, host="localhost", use_ssl=True, ssl_context=certificates.client())
    # Behind the handshake TLS 1.3 sends session tickets: bytes to read that are no farewell.
    assert session.is_usable()
    assert send(session) is OutcomeClass.ACCEPTED
    assert session.is_usable()
    server.hang_up("")
    assert not session.is_usable()


def test_a_closed_session_said_quit_and_is_not_usable(bench):
    server = bench.serve()
    session = bench.session(server)
    session.close()
    session.close()
    assert not session.is_usable()
    server.wait_closed()
    assert server.sessions[0].ended_by == "quit"
    assert server.sessions[0].verbs.count("QUIT") == 1


@pytest.mark.parametrize("quit_", ["421 bye", "500 what", DROP, RESET, b"junk\r\n", b"", HANG])
def test_close_never_raises_whatever_the_server_says_to_quit(bench, quit_):
    server = bench.serve(Script(quit=quit_))
    session = bench.session(server, timeout=0.2)
    session.close()
    assert session.is_closed
    server.wait_closed()


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle", ""])
def test_close_never_raises_because_the_server_was_gone_first(bench, farewell):
    server = bench.serve()
    session = bench.session(server)
    server.hang_up(farewell)
    session.close()
    assert "QUIT" not in server.sessions[0].verbs


def test_close_never_raises_after_the_server_was_stopped(bench, certificates):
    server = bench.serve(tls=certificates.server())
    session = bench.session(server, host="localhost", use_tls=True, ssl_context=certificates.client())
    server.stop()
    session.close()
    assert session.is_closed


def test_after_an_abort_the_server_has_heard_no_quit(bench):
    server = bench.serve()
    bench.session(server).abort()
    server.wait_closed()
    assert server.sessions[0].ended_by == "client"


def test_a_command_that_is_interrupted_closes_the_session(bench):
    class Stop(BaseException):
        pass

    def stop(*args):
        raise Stop

    server = bench.serve(Script(noop=HANG))
    session = bench.session(server)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Stop):
            session.command(b"NOOP")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert session.is_closed
    server.wait_closed()


def test_nothing_is_said_on_a_session_that_is_closed(bench):
    session = bench.session(bench.serve())
    session.close()
    with pytest.raises(ConnectionLost):
        session.command(b"NOOP")


def test_the_copy_that_a_fork_made_is_not_usable_and_ends_nothing(bench):
    server = bench.serve()
    session = bench.session(server)
    child = os.fork()
    if child == 0:
        # Any assertion here would end in the parent's test run: the exit status is all that is told.
        status = 1
        try:
            if not session.is_usable():
                session.close()
                status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert send(session) is OutcomeClass.ACCEPTED
    assert server.sessions[0].verbs[-1] == "DATA"


def test_a_server_with_a_limit_of_messages_sends_us_away_in_its_words(bench):
    server = bench.serve(Script(max_messages=1, mail=[OK]))
    session = bench.session(server)
    send(session)
    result = transact(session, ENVELOPE, b"x")
    assert result.go_away
