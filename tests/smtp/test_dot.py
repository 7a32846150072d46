"""A write that fails at the end of a content: up to the dot nobody can have the message, from its first octet on somebody may."""

from __future__ import annotations

import socket

import pytest

from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import transact
from mailworker.testing import Hang, Script
from tests.smtp.parts import ALL, CONTENT, DEFERRED, IN_DOUBT, A, announcing, kinds

#: With a full group behind the dot: more than the smallest buffers of both ends hold.
FOLLOWING = Envelope("s@example.com", tuple(f"{'x' * 200}{n}@example.org" for n in range(17)))
SIZES = [1000, 5000, 10_000, 20_000, 30_000]


def narrow(server, session_of):
    """Return a session over a connection that holds as little as the kernel lets it."""
    assert server._listener is not None
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        server._listener.setsockopt(socket.SOL_SOCKET, option, 1)
    session = session_of(server, final_reply_timeout=0.5)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        session._dialogue.sock.setsockopt(socket.SOL_SOCKET, option, 1)
    object.__setattr__(session.options, "timeout", 0.5)
    return session


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_stops_reading_at_the_dot_may_have_the_message(bench, size):
    server = bench.serve(Script(dot=Hang(deaf=True)))
    result = transact(narrow(server, bench.session), ALL, b"x" * size, following=announcing(FOLLOWING))
    assert kinds(result) == (IN_DOUBT,) * 3
    assert result.outcomes[A].text == "timed out after the final dot"
    assert not result.followed


@pytest.mark.parametrize("size", [20_000, 60_000])
def test_a_server_that_stops_reading_before_the_dot_cannot_have_the_message(bench, size):
    server = bench.serve(Script(content=Hang(deaf=True)))
    result = transact(narrow(server, bench.session), ALL, b"x" * size, following=announcing(FOLLOWING))
    assert kinds(result) == (DEFERRED,) * 3
    assert result.outcomes[A].text == "timed out in the content, before its end"
    assert not result.followed
    assert server.complete == []


def test_a_server_that_closes_before_it_has_read_the_dot_cannot_have_the_message(bench):
    server = bench.serve()
    session = narrow(server, bench.session)

    def gone():
        server.stop()
        return True

    result = transact(session, ALL, CONTENT, gone)
    assert kinds(result) == (DEFERRED,) * 3
    assert server.complete == []
