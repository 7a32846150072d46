"""Logging in with an access token, and every way in which the relay does not take it."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import traceback

import pytest

from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.smtp import token_source
from mailworker.smtp.access_token import AccessToken
from mailworker.smtp.options import SessionOptions
from mailworker.testing import DROP, HANG, OK, Drop, Script
from tests.smtpd import Clock
from tests.tokens import Tokens

USER = "ann@example.com"
BOTH = ["OAUTHBEARER", "XOAUTH2"]
GOOD, STALE, BAD = "ya29.Good-token_9/x==", "ya29.Stale-token", "ya29.Bad-token"
#: As long as those of Microsoft 365.
LONG = "eyJ0eXAiOiJKV1Qi." + "aB3-_x" * 300
#: Relays that do not tell why.
SILENT = {"token_error": "535 5.7.8 no"}


def script(**changes):
    return Script(**{"tokens": {USER: GOOD}, "mechanisms": BOTH} | changes)


def shown_tokens(server):
    return [session.tokens for session in server.sessions]


def fails(bench, server, token, **changes):
    with pytest.raises(MailerUnavailable) as caught:
        bench.session(server, username=USER, token=token, **changes)
    server.wait_closed()
    error = caught.value
    everything = "".join(traceback.format_exception(error)) + repr(error) + repr(error.reply)
    for secret in (GOOD, STALE, BAD, LONG, USER):
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode().rstrip("=")[4:-4] not in everything
    assert "\n" not in str(error)
    return error


# What is said.


@pytest.mark.parametrize("token", [GOOD, LONG], ids=["in one line", "behind a challenge"])
@pytest.mark.parametrize("mechanism", BOTH)
def test_each_mechanism_logs_in(bench, mechanism, token):
    lines = []

    def note(command):
        lines.append(command.line)
        return OK

    server = bench.serve(script(tokens={USER: token}, mechanisms=[mechanism], auth=note))
    bench.session(server, username=USER, token=lambda: token)
    assert [session.user for session in server.sessions] == [USER]
    assert server.sessions[0].commands[1:] == [f"AUTH {mechanism}"]
    assert len(lines[0]) + len("\r\n") <= 512
    assert (len(lines[0].split()) == 3) is (token == GOOD)


def test_the_standard_goes_before_google_s_own_whatever_is_offered_first(bench):
    server = bench.serve(script(mechanisms=["XOAUTH2", "PLAIN", "OAUTHBEARER"]))
    bench.session(server, username=USER, token=lambda: GOOD)
    assert server.sessions[0].commands[1:] == ["AUTH OAUTHBEARER"]


def test_the_bytes_are_those_of_the_specifications(bench):
    said = {}

    def note(command):
        _, mechanism, response = command.line.split(" ")
        said[mechanism] = base64.b64decode(response)
        return "504 5.5.4 no"

    server = bench.serve(script(auth=note))
    fails(bench, server, lambda: GOOD)
    assert said == {
        "OAUTHBEARER": (
            f"n,a={USER},\1host=127.0.0.1\1port={server.port}\1auth=Bearer {GOOD}\1\1".encode()  # RFC 7628 §4.1
        ),
        "XOAUTH2": f"user={USER}\1auth=Bearer {GOOD}\1\1".encode(),
    }


@pytest.mark.parametrize("user", ["a,b=c@example.com", "=2C@example.com", "jörg@bücher.example"])
@pytest.mark.parametrize("mechanism", BOTH)
def test_a_user_with_signs_that_mean_something_is_that_user(bench, mechanism, user):
    server = bench.serve(script(tokens={user: GOOD}, mechanisms=[mechanism]))
    bench.session(server, username=user, token=lambda: GOOD)
    assert server.sessions[0].user == user


@pytest.mark.parametrize("kind", ["use_tls", "use_ssl"])
def test_over_tls_the_token_is_shown_when_all_is_encrypted(bench, certificates, kind):
    server = bench.serve(script(), tls=certificates.server(), implicit_tls=kind == "use_ssl")
    tls = {"ssl_context": certificates.client(), kind: True}
    bench.session(server, host="localhost", username=USER, token=lambda: GOOD, **tls)
    assert server.sessions[0].is_tls
    assert server.sessions[0].user == USER


# When it is asked for.


def test_sessions_share_a_token_until_it_ends(bench):
    clock, session_clock = Clock(), Clock()
    tokens = Tokens(AccessToken(GOOD, clock.now + 3600), AccessToken(LONG, clock.now + 7200))
    token_source.of(tokens, now=clock)
    server = bench.serve(script())
    first = bench.session(server, username=USER, token=tokens, clock=session_clock)
    session_clock.now += first.options.max_age + 1
    assert not first.make_ready()
    first.close()
    bench.session(server, username=USER, token=tokens)
    assert tokens.calls == 1
    clock.now += 3600
    server.behaviour.tokens = {USER: LONG}
    bench.session(server, username=USER, token=tokens)
    assert tokens.calls == 2
    assert shown_tokens(server) == [[GOOD], [GOOD], [LONG]]


def test_the_token_is_asked_for_before_the_relay_is(bench):
    server = bench.serve(script())
    fails(bench, server, Tokens(OSError("no way")))
    assert server.connections_ever == 0


def test_sixteen_threads_that_are_refused_at_once_ask_once(bench):
    tokens = Tokens(STALE, GOOD)
    server = bench.serve(script())
    token_source.of(tokens).token(10)
    together = threading.Barrier(16)
    failures = []

    def one():
        together.wait(30)
        try:
            bench.session(server, username=USER, token=tokens)
        except MailerUnavailable as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert tokens.calls == 2
    assert [session.user for session in server.sessions] == [USER] * 16


# When it is refused.


@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize(
    ("faults", "connections"),
    [
        ({}, 1),
        (SILENT, 1),
        ({"verdict": ["454 4.7.0 no token of mine"]}, 1),
        ({"verdict": [Drop(after="535 5.7.8 no")]}, 2),
        ({"verdict": [DROP]}, 2),
        ({"verdict": [Drop(after="421 4.7.0 bye")]}, 2),
        ({"token_error": [Drop(after="535 5.7.8 no")]}, 2),
        ({"token_error": [Drop(after="334 eyJzdGF0dXMiOiI0MDAifQ==")]}, 2),
        ({"token_error": "334 "}, 1),
        ({"token_error": "334 what?"}, 1),
        ({"token_error": "334 " + "A" * 2000}, 1),
        ({"token_error": "535 5.7.8 no", "auth": [OK, Drop(after="421 4.7.0 too many failures"), OK]}, 2),
        ({"token_error": "535 5.7.8 no", "auth": [OK, DROP, OK]}, 2),
    ],
)
def test_a_refused_token_is_asked_for_again_and_shown_once_more(bench, mechanism, faults, connections):
    tokens = Tokens(STALE, GOOD, BAD)
    server = bench.serve(script(mechanisms=[mechanism], **faults))
    session = bench.session(server, username=USER, token=tokens)
    assert not session.is_closed
    assert server.connections_ever == connections
    assert server.sessions[-1].user == USER
    assert [token for tokens in shown_tokens(server) for token in tokens] == [STALE, GOOD]
    assert tokens.calls == 2


@pytest.mark.parametrize("mechanism", BOTH)
@pytest.mark.parametrize(
    "faults",
    [
        {},
        SILENT,
        {"verdict": Drop(after="535 5.7.8 no")},
        {"verdict": DROP},
        {"token_error": Drop(after="535 5.7.8 no")},
        {"token_error": Drop(after="334 eyJzdGF0dXMiOiI0MDAifQ==")},
    ],
)
def test_a_token_that_is_refused_twice_is_trouble_with_the_login(bench, mechanism, faults):
    tokens = Tokens(STALE, BAD, GOOD)
    server = bench.serve(script(mechanisms=[mechanism], **faults))
    error = fails(bench, server, tokens)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert error.reply is not None
    assert error.reply.code == 535
    assert "535" in str(error)
    assert "check that the token function tests.tokens:Tokens gives tokens of this user" in str(error)
    assert [token for tokens in shown_tokens(server) for token in tokens] == [STALE, BAD]
    assert tokens.calls == 2
    # Neither of them is kept: the next session begins with another one.
    server.behaviour = script()
    bench.session(server, username=USER, token=tokens)
    assert server.sessions[-1].tokens == [GOOD]


def test_what_the_server_says_of_a_token_is_told(bench):
    error = fails(bench, bench.serve(script()), lambda: BAD)
    assert "the server says status invalid_token, scope https://mail.example.com/; " in str(error)


def test_a_function_that_has_no_other_token_is_not_shown_up_twice(bench):
    tokens = Tokens(BAD)
    server = bench.serve(script(mechanisms=["XOAUTH2"]))
    error = fails(bench, server, tokens)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert shown_tokens(server) == [[BAD]]
    assert tokens.calls == 2


def test_a_server_that_goes_after_the_last_refusal_has_refused(bench):
    server = bench.serve(script(token_error=Drop(after="535 5.7.8 no")))
    error = fails(bench, server, Tokens(BAD))
    assert error.trouble is Trouble.AUTH_REFUSED
    assert server.connections_ever == 1


def test_a_server_that_goes_after_the_second_token_is_not_connected_to_again(bench):
    tokens = Tokens(STALE, BAD)
    server = bench.serve(script(token_error=["535 5.7.8 no", Drop(after="535 5.7.8 no")]))
    error = fails(bench, server, tokens)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert shown_tokens(server) == [[STALE, BAD]]


def test_a_mechanism_that_the_server_only_offers_is_passed_over_with_the_same_token(bench):
    tokens = Tokens(GOOD)
    server = bench.serve(script(auth=["504 5.5.4 no such mechanism", OK]))
    bench.session(server, username=USER, token=tokens)
    assert server.sessions[0].commands[1:] == ["AUTH OAUTHBEARER", "AUTH XOAUTH2"]
    assert tokens.calls == 1


def test_a_mechanism_that_no_token_serves_is_passed_over_with_the_second_token(bench):
    tokens = Tokens(STALE, GOOD)
    server = bench.serve(script(auth=["535 5.7.8 no", "535 5.7.8 no", OK]))
    bench.session(server, username=USER, token=tokens)
    assert server.sessions[0].commands[1:] == ["AUTH OAUTHBEARER", "AUTH OAUTHBEARER", "AUTH XOAUTH2"]
    assert server.sessions[0].tokens == [GOOD]
    assert tokens.calls == 2


def test_the_time_that_the_function_takes_is_not_the_server_s(bench):
    clock, calls = Clock(), []

    def slow():
        calls.append(1)
        clock.now += 1000
        return STALE if len(calls) == 1 else GOOD

    server = bench.serve(script())
    bench.session(server, username=USER, token=slow, clock=clock, opening_timeout=2500)
    assert shown_tokens(server) == [[STALE, GOOD]]


def test_a_function_that_fails_when_it_is_asked_again_is_what_is_told(bench):
    error = fails(bench, bench.serve(script()), Tokens(STALE, TimeoutError(GOOD)))
    assert error.trouble is Trouble.AUTH_TEMPORARY
    assert str(error).endswith(":Tokens raised TimeoutError")


def test_a_temporary_refusal_asks_for_nothing_and_keeps_the_token(bench):
    tokens = Tokens(GOOD)
    server = bench.serve(script(auth=["454 4.7.0 not now", OK]))
    error = fails(bench, server, tokens)
    assert error.trouble is Trouble.AUTH_TEMPORARY
    bench.session(server, username=USER, token=tokens)
    assert tokens.calls == 1


@pytest.mark.parametrize("fault", [DROP, b"junk\r\n"])
def test_after_a_connection_that_was_lost_without_a_word_the_token_is_not_trusted(bench, fault):
    tokens = Tokens(STALE, GOOD)
    server = bench.serve(script(auth=[fault, OK]))
    error = fails(bench, server, tokens)
    assert error.trouble in (Trouble.CONNECT, Trouble.GREETING)
    assert server.connections_ever == 1
    bench.session(server, username=USER, token=tokens)
    assert shown_tokens(server) == [[], [GOOD]]


@pytest.mark.parametrize("phase", ["auth", "token_error", "verdict"])
def test_a_server_that_hangs_is_left_in_time(bench, phase):
    server = bench.serve(script(**{phase: HANG}))
    began = time.monotonic()
    error = fails(bench, server, lambda: BAD, timeout=0.3)
    assert error.trouble is Trouble.CONNECT
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("token", [GOOD, BAD])
def test_a_server_that_asks_without_end_is_refused_and_asked_nothing_more(bench, token):
    tokens = Tokens(token)
    server = bench.serve(script(verdict="334 eyJzdGF0dXMiOiI0MDAifQ=="))
    error = fails(bench, server, tokens)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert server.sessions[0].commands[1:] == ["AUTH OAUTHBEARER"]
    assert tokens.calls == 1


@pytest.mark.parametrize("offered", [[], ["PLAIN", "LOGIN", "CRAM-MD5"]])
def test_a_server_that_takes_no_tokens_gets_none(bench, offered):
    server = bench.serve(script(mechanisms=offered))
    error = fails(bench, server, lambda: GOOD)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert "expected one of OAUTHBEARER, XOAUTH2 to log in with" in str(error)
    assert shown_tokens(server) == [[]]


# No secret anywhere.


@pytest.mark.parametrize("token", [GOOD, LONG])
def test_no_log_text_or_reply_holds_the_token_whatever_the_server_repeats(bench, token, caplog):
    responses = {
        base64.b64encode(said.encode()).decode()
        for said in (token, f"user={USER}\1auth=Bearer {token}\1\1", f"Bearer {token}")
    }
    said = {"status": token, "scope": f"{token} of {USER}", "schemes": token}
    server = bench.serve(
        script(
            tokens={USER: "another"},
            token_error=f"334 {base64.b64encode(json.dumps(said).encode()).decode()}",
            verdict=lambda c: f"535-5.7.8 no: {token[:300]}\n535 5.7.8 {token[300:]} {c.line} {token}",
        )
    )
    with caplog.at_level(logging.DEBUG):
        error = fails(bench, server, lambda: token)
    shown = str(error) + repr(error.reply) + caplog.text
    for secret in (token, *responses):
        pieces = {secret[start : start + 16] for start in range(max(1, len(secret) - 15))}
        assert [piece for piece in pieces if piece in shown] == []


def test_the_repr_of_the_options_shows_no_function():
    assert "Tokens" not in repr(SessionOptions(username=USER, token=Tokens(GOOD)))


# Options that cannot be.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"password": "p"}, ["MAILWORKER_OAUTH_TOKEN", "EMAIL_HOST_PASSWORD", "both"]),
        ({"username": ""}, ["EMAIL_HOST_USER", "is not set"]),
        ({"username": "a\1auth=Bearer x"}, ["EMAIL_HOST_USER", "cannot be printed"]),
        ({"username": "a\r\nb"}, ["EMAIL_HOST_USER", "cannot be printed"]),
        ({"token": GOOD}, ["MAILWORKER_OAUTH_TOKEN", "type str", "a function"]),
        ({"host": "smtp.example.com"}, ["TLS is off", "smtp.example.com:25", "EMAIL_USE_TLS"]),
        ({"host": "127.0.0.1.example.com"}, ["TLS is off"]),
    ],
)
def test_a_wrong_combination_is_named(options, words):
    with pytest.raises(ConfigurationError) as caught:
        SessionOptions(**{"username": USER, "token": lambda: GOOD} | options)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)
    assert GOOD not in str(caught.value)


@pytest.mark.parametrize("options", [{"use_tls": True}, {"use_ssl": True}])
def test_over_tls_any_relay_may_see_the_token(options):
    assert SessionOptions(host="smtp.example.com", username=USER, token=lambda: GOOD, **options).token is not None
