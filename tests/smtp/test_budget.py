"""Opening a session has an end, however the steps to it are drawn out."""

from __future__ import annotations

import threading

import pytest

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.testing import HANG, OK, Drip, Drop, Script
from tests.smtpd import Clock
from tests.tokens import Tokens

USER, GOOD, STALE = "ann@example.com", "ya29.Good-token", "ya29.Stale-token"
OVER = "the session was not open within {} s (opening_timeout)"


def fails(bench, server, **changes):
    with pytest.raises(MailerUnavailable) as caught:
        bench.session(server, **changes)
    server.wait_closed()
    assert "\n" not in str(caught.value)
    return caught.value


def after(clock, seconds, answer=OK):
    """Answer in the time of a step, by that clock."""

    def answered(command):
        clock.now += seconds
        return answer

    return answered


def test_steps_that_each_take_their_time_end_with_the_whole_s(bench, certificates):
    clock = Clock()
    slow = after(clock, 8)
    # By then it is the second EHLO, and the login is to come.
    server = bench.serve(
        Script(ehlo=slow, starttls=slow, greeting=slow, users={"u": "p"}), tls=certificates.server("localhost")
    )
    login = {"username": "u", "password": "p", "host": "localhost", "ssl_context": certificates.client()}
    error = fails(bench, server, clock=clock, use_tls=True, **login)
    assert error.trouble is Trouble.CONNECT
    assert OVER.format(30) in str(error)
    assert server.sessions[0].verbs == ["EHLO", "STARTTLS", "EHLO"]


def test_as_much_time_as_is_asked_for_is_given(bench, certificates):
    clock = Clock()
    slow = after(clock, 8)
    server = bench.serve(Script(ehlo=slow, starttls=slow, greeting=slow), tls=certificates.server("localhost"))
    context = certificates.client()
    bench.session(server, clock=clock, use_tls=True, host="localhost", ssl_context=context, opening_timeout=33)
    assert server.sessions[0].verbs == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "helo", "starttls", "auth"])
@pytest.mark.parametrize("answer", [HANG, Drip("250-" + "x" * 4000)], ids=["hangs", "drips"])
def test_a_step_has_no_more_than_what_is_left_of_the_whole(bench, certificates, phase, answer):
    refused = {"ehlo": "500 what"} if phase == "helo" else {}
    server = bench.serve(Script(users={"u": "p"}, **refused | {phase: answer}), tls=certificates.server("localhost"))
    secure = {"use_tls": True, "host": "localhost", "ssl_context": certificates.client()} if phase == "starttls" else {}
    error = fails(bench, server, username="u", password="p", timeout=600.0, opening_timeout=0.5, **secure)
    assert error.trouble is Trouble.CONNECT
    assert f"timed out, in {phase.upper() if phase != 'greeting' else 'the greeting'}: {OVER.format(0.5)}" in str(error)


def test_a_tls_handshake_has_no_more_than_what_is_left_of_the_whole(bench, certificates):
    server = bench.serve(Script(greeting=HANG))
    context = certificates.client()
    error = fails(bench, server, use_ssl=True, ssl_context=context, timeout=600.0, opening_timeout=0.3)
    assert error.trouble is Trouble.TLS
    assert f"timed out, in the TLS handshake: {OVER.format(0.3)}" in str(error)


def test_a_step_that_has_all_of_its_own_time_says_nothing_of_the_whole(bench):
    error = fails(bench, bench.serve(Script(greeting=HANG)), timeout=0.3)
    assert str(error).endswith("timed out, in the greeting: it was not over within 0.3 s (timeout)")


def test_a_server_that_is_gone_says_nothing_of_the_whole(bench):
    error = fails(bench, bench.serve(Script(greeting=Drop())), opening_timeout=5.0)
    assert str(error).endswith("connection lost, in the greeting")


def test_a_token_function_that_takes_all_of_the_time_leaves_the_relay_alone(bench):
    clock = Clock()

    def slow():
        clock.now += 30
        return GOOD

    server = bench.serve(Script(tokens={USER: GOOD}, mechanisms=["XOAUTH2"]))
    error = fails(bench, server, clock=clock, username=USER, token=slow)
    assert error.trouble is Trouble.CONNECT
    assert str(error).endswith(f": {OVER.format(30)}")
    assert server.connections_ever == 0


def test_a_token_is_waited_for_no_longer_than_the_whole(bench):
    go_on = threading.Event()
    hangs = lambda: go_on.wait(30) and GOOD  # noqa: E731 - no more than a token that comes late
    try:
        with pytest.raises(MailerUnavailable) as caught:
            bench.session(bench.serve(), username=USER, token=hangs, timeout=600.0, opening_timeout=0.05)
    finally:
        go_on.set()
    assert caught.value.trouble is Trouble.AUTH_TEMPORARY
    assert str(caught.value).endswith("has not returned within 0.05 s")


def test_a_token_that_nobody_has_time_to_show_is_not_taken_for_a_bad_one(bench):
    clock = Clock()
    tokens = [STALE, GOOD]

    def second_is_slow():
        clock.now += 30 * (len(tokens) == 1)
        return tokens.pop(0)

    server = bench.serve(Script(tokens={USER: GOOD}, mechanisms=["XOAUTH2"]))
    error = fails(bench, server, clock=clock, username=USER, token=second_is_slow)
    assert str(error).endswith(f": {OVER.format(30)}")
    assert server.sessions[0].tokens == [STALE]
    bench.session(server, username=USER, token=second_is_slow)
    assert server.sessions[1].tokens == [GOOD]


def test_a_second_connection_has_no_time_of_its_own(bench):
    clock = Clock()

    def slow(command):
        clock.now += 8 * command.session
        return OK

    # It hangs up on a token that is bad: 16 s of 45 are over then.
    refusal = Drop(after="535 5.7.8 no")
    server = bench.serve(
        Script(tokens={USER: GOOD}, mechanisms=["XOAUTH2"], token_error=refusal, greeting=slow, ehlo=slow)
    )
    error = fails(
        bench, server, clock=clock, timeout=20.0, opening_timeout=45, username=USER, token=Tokens(STALE, GOOD)
    )
    assert OVER.format(45) in str(error)
    assert [session.tokens for session in server.sessions] == [[STALE], []]
