"""No second message hides in a first one, and no second command in an address (SMTP smuggling): on the wire, in both modes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailworker.smtp import content as contents
from mailworker.smtp.dialogue import BLOCK
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import transact
from mailworker.testing import Script
from tests.smtp.parts import ACCEPTED, ALL, REJECTED, A, kinds
from tests.smtpd import Bench

#: What one server or another takes for the end of a message, and a message that hides behind it.
ENDS = [b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\n\n.\r\n"]
HIDDEN = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nevil\r\n.\r\n"
PIECES = [b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\x00", b"\xff", b"DATA", *ENDS]
TRICKY = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)
FIXTURES = [HealthCheck.function_scoped_fixture]


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def bench(request):
    bench = Bench(pipelining=request.param)
    yield bench
    bench.end()


@pytest.fixture
def relay(bench):
    """A session that takes any number of messages, and its server."""
    server = bench.serve(Script(size=None))
    return server, bench.session(server, max_messages=100_000, max_age=1000.0)


def check(relay, text):
    """Send a content, and check that it arrives as one message: this one, and nothing else."""
    server, session = relay
    before = len(server.transactions)
    assert kinds(transact(session, ALL, text)) == (ACCEPTED,) * 3
    (got,) = server.transactions[before:]
    assert got.content == contents.normalised(text)
    assert got.raw.count(b"\r") == got.raw.count(b"\n") == got.raw.count(b"\r\n")
    assert (got.sender, tuple(got.recipients)) == (ALL.sender, ALL.recipients)
    assert set(server.sessions[0].verbs) == {"EHLO", "MAIL", "RCPT", "DATA"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", [10, BLOCK - 40, BLOCK, 3 * BLOCK])
def test_whatever_another_server_takes_for_the_end_is_none(relay, end, size):
    check(relay, b"x" * size + end + HIDDEN)
    check(relay, end + b"x" * size + end + HIDDEN)


@settings(max_examples=200, deadline=None, suppress_health_check=FIXTURES)
@given(TRICKY)
@example(b"")
@example(b".")
@example(b"\r")
def test_a_small_content_is_one_message(relay, text):
    check(relay, text)


@settings(max_examples=100, deadline=None, suppress_health_check=FIXTURES)
@given(TRICKY, st.integers(0, 30))
def test_a_large_content_is_one_message_wherever_a_block_ends(relay, text, before):
    # What is tricky lies around the end of the first block, and begins the second or third.
    check(relay, b"x" * (BLOCK - before) + text + b"x" * BLOCK + text)


@pytest.mark.parametrize("text", [*ENDS, b"\r\n..\r\n", b"\r\n.a\r\n", b"\r\n\r\n", b".\r\n.\r\n."])
def test_a_block_may_end_at_each_octet_of_an_end(relay, text):
    for before in range(len(contents.normalised(text)) + 2):
        check(relay, b"x" * (BLOCK - before) + text + b"\r\nand so on\r\n")


#: Characters that an address would break out with.
ADDRESSES = st.lists(
    st.sampled_from(
        [
            *'a@.<>"\\ \r\n\t\0\x7f\u0085\u2028\ud800\u00fc',
            "x.org",
            "\r\nRCPT TO:<victim@example.org>",
            "> SIZE=1",
            "\r\n.\r\n",
        ]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=300, deadline=None, suppress_health_check=FIXTURES)
@given(ADDRESSES, st.lists(ADDRESSES, min_size=1, max_size=3), ADDRESSES)
@example("s@example.com", [f"{A}>\r\nRCPT TO:<victim@example.org"], "")
@example(f"s@example.com>\r\nRCPT TO:<{A}", [A], "")
@example("s@example.com", [A], f"1\r\nRCPT TO:<{A}>")
def test_an_address_is_one_argument_of_one_command_or_is_not_said(bench, sender, recipients, identifier):
    server = bench.serve(Script(size=None, dsn=True))
    session = bench.session(server)
    envelope = Envelope(sender, tuple(recipients), ("SUCCESS",), "HDRS", identifier)
    result = transact(session, envelope, b"x\r\n")
    assert set(result.outcomes) == set(recipients)
    assert {outcome.kind for outcome in result.outcomes.values()} <= {ACCEPTED, REJECTED}
    said = [command for command in server.sessions[0].commands if command.startswith(("MAIL", "RCPT"))]
    assert len(said) <= 1 + len(envelope.recipients)
    assert all(re.search(r">( [A-Z0-9]+(=[!-~]+)?)*\Z", command) for command in said)
    for transaction in server.transactions:
        assert transaction.sender == sender
        assert set(transaction.recipients) <= {
            recipient for recipient in recipients if not re.search(r"[\r\n]", recipient)
        }
        assert transaction.recipients == [r for r in envelope.recipients if result.outcomes[r].kind is ACCEPTED]
    assert set(server.sessions[0].verbs) <= {"EHLO", "MAIL", "RCPT", "DATA"}
    server.stop()
