"""One round trip a message (RFC 2920): what goes out together, and what never does."""

from __future__ import annotations

import socket

import pytest

from mailworker.outcome import Reply
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import transact
from mailworker.testing import HANG, OK, Script
from tests.smtp.parts import ACCEPTED, CONTENT, DEFERRED, REJECTED, announcing, kinds
from tests.smtpd import Clock

OPENING = ["MAIL", "RCPT", "DATA"]


def envelopes(number, recipients=1):
    return [
        Envelope(f"s{n}@example.com", tuple(f"r{n}-{r}@example.org" for r in range(recipients))) for n in range(number)
    ]


def send(session, batch):
    """Send a batch as a course does; return the results."""
    results = []
    for envelope, following in zip(batch, [*batch[1:], None], strict=True):
        results.append(transact(session, envelope, CONTENT, following=announcing(following)))
    return results


# What goes out together.


@pytest.mark.parametrize("number", [1, 2, 5])
def test_so_many_messages_take_a_round_trip_each_and_one_for_the_first_envelope(bench, number):
    server = bench.serve()
    session = bench.session(server)
    results = send(session, envelopes(number))
    assert [kinds(result) for result in results] == [(ACCEPTED,)] * number
    hello, *bursts = server.sessions[0].bursts
    assert hello == ["EHLO"]
    assert bursts == [OPENING, *[[".", *OPENING]] * (number - 1), ["."]]
    assert len(bursts) == number + 1


def test_each_message_arrives_with_its_own_envelope_and_content(bench):
    server = bench.serve()
    session = bench.session(server)
    batch = envelopes(3, recipients=2)
    for place, envelope in enumerate(batch):
        following = batch[place + 1] if place < 2 else None
        transact(session, envelope, b"%d\r\n" % place, following=announcing(following, b"%d\r\n" % (place + 1)))
    assert [(t.sender, tuple(t.recipients), t.content) for t in server.accepted] == [
        (envelope.sender, envelope.recipients, b"%d\r\n" % place) for place, envelope in enumerate(batch)
    ]


def test_data_is_the_last_command_of_each_burst(bench):
    server = bench.serve(Script(rcpt={"r1-3@example.org": "550 no"}))
    send(bench.session(server), envelopes(4, recipients=120))
    for burst in server.sessions[0].bursts:
        assert "DATA" not in burst[:-1], burst


def test_a_content_that_fits_goes_out_with_its_dot_and_a_larger_one_before_it(bench):
    server = bench.serve()
    session = bench.session(server)
    second = Envelope("second@example.com", ("b@example.org",))
    transact(session, envelopes(1)[0], b"x" * 70_000 + b"\r\n", following=announcing(second))
    transact(session, second, CONTENT)
    assert server.sessions[0].bursts[1:] == [OPENING, [".", *OPENING], ["."]]
    assert [len(t.content) for t in server.accepted] == [70_002, len(CONTENT)]


def test_whoever_follows_is_asked_for_before_the_dot_is_so_that_nothing_stands_between_the_yes_and_the_dot(bench):
    server = bench.serve()
    asked = []

    def following():
        asked.append(("following", len(server.complete)))

    def before_dot():
        asked.append(("dot", len(server.complete)))
        return True

    transact(bench.session(server), envelopes(1)[0], CONTENT, before_dot, following=following)
    assert asked == [("following", 0), ("dot", 0)]


# What never goes out ahead.


def never():
    raise AssertionError("asked for what cannot go out")


def test_nothing_is_sent_ahead_where_pipelining_is_not_offered(bench):
    server = bench.serve(Script(pipelining=False))
    session = bench.session(server)
    result = transact(session, envelopes(1)[0], CONTENT, following=never)
    assert not result.followed
    assert server.sessions[0].bursts[1:] == [["MAIL"], ["RCPT"], ["DATA"], ["."]]


def test_nothing_is_sent_ahead_in_a_session_that_has_taken_its_number_of_messages(bench):
    server = bench.serve()
    session = bench.session(server, max_messages=2)
    first, second = envelopes(2)
    assert transact(session, first, CONTENT, following=announcing(second)).followed
    assert not transact(session, second, CONTENT, following=never).followed
    assert server.sessions[0].bursts[1:] == [OPENING, [".", *OPENING], ["."]]
    assert not session.is_usable()


def test_nothing_is_sent_ahead_in_a_session_that_has_become_too_old(bench):
    clock = Clock()
    server = bench.serve()
    session = bench.session(server, clock=clock, max_age=50.0)

    def slow():
        if not server.complete:
            clock.now += 51.0

    result = transact(session, envelopes(1)[0], CONTENT, following=never, meanwhile=slow)
    assert kinds(result) == (ACCEPTED,)
    assert not result.followed
    assert server.sessions[0].bursts[1:] == [OPENING, ["."]]


@pytest.mark.parametrize(
    "next_",
    [
        Envelope("s@example.com", tuple(f"r{n}@example.org" for n in range(100))),
        Envelope("s@example.com", tuple(f"{'x' * 200}{n}@example.org" for n in range(30))),
        Envelope("s@example.com", ("no address",)),
    ],
    ids=["too many recipients for a group", "too long for a group", "nobody who can be named"],
)
def test_an_envelope_that_is_no_single_group_waits_for_its_turn(bench, next_):
    server = bench.serve()
    session = bench.session(server)
    result = transact(session, envelopes(1)[0], CONTENT, following=announcing(next_))
    assert not result.followed
    assert server.sessions[0].bursts[1:] == [OPENING, ["."]]
    assert set(transact(session, next_, CONTENT).outcomes) == set(next_.recipients)


def test_no_more_than_a_few_kilobytes_stand_behind_a_dot(bench):
    # While a server filters the message before, it need not read: what it was sent has to fit on the way.
    server = bench.serve()
    session = bench.session(server)
    for length in range(10, 90, 7):
        first = envelopes(1)[0]
        next_ = Envelope("s@example.com", tuple(f"{'x' * length}{n}@example.org" for n in range(60)))
        result = transact(session, first, CONTENT, following=announcing(next_))
        size = sum(len(f"RCPT TO:<{recipient}>\r\n") for recipient in next_.recipients)
        assert result.followed == (size + len("MAIL FROM:<s@example.com> SIZE=25\r\nDATA\r\n") <= 4096)
        transact(session, next_, CONTENT)


# The session in between.


@pytest.fixture
def underway(bench):
    """A session in which the second of two envelopes is on its way, and not answered yet."""
    server = bench.serve(Script(mail=[OK, HANG]))
    session = bench.session(server)
    first, second = envelopes(2)
    assert transact(session, first, CONTENT, following=announcing(second)).followed
    server.wait_hanging()
    return server, session, second


def test_a_session_with_an_envelope_on_its_way_takes_nothing_but_its_message(underway):
    server, session, _ = underway
    assert not session.is_usable()
    assert not session.make_ready()
    with pytest.raises(ValueError, match="another message is on its way"):
        transact(session, envelopes(1)[0], CONTENT)
    assert session.is_closed
    server.wait_closed()
    assert len(server.complete) == 1


def test_a_session_with_an_envelope_on_its_way_is_closed_without_quit_and_without_a_dot(underway):
    server, session, _ = underway
    session.close()
    server.wait_closed()
    assert server.sessions[0].ended_by == "client"
    assert "QUIT" not in server.sessions[0].verbs
    assert len(server.complete) == 1


def test_the_same_addresses_in_another_envelope_are_another_message(underway):
    _, session, second = underway
    with pytest.raises(ValueError, match="another message is on its way"):
        transact(session, Envelope(second.sender, second.recipients), CONTENT)


def test_the_content_that_counts_is_the_one_that_was_announced(underway):
    server, session, second = underway
    server.release()
    transact(session, second, b"something else\r\n")
    assert server.accepted[-1].content == CONTENT


# Many recipients.


def test_two_hundred_and_fifty_recipients_are_named_in_three_round_trips(bench):
    server = bench.serve()
    result = transact(bench.session(server), envelopes(1, recipients=250)[0], CONTENT)
    assert kinds(result) == (ACCEPTED,) * 250
    assert [len(burst) for burst in server.sessions[0].bursts[1:]] == [100, 100, 52, 1]


def test_of_a_thousand_recipients_each_gets_its_own_answer(bench):
    (envelope,) = envelopes(1, recipients=1000)
    refused = set(envelope.recipients[::2])
    later = set(envelope.recipients[1::10])

    def answer(command):
        (recipient,) = command.recipients
        return f"550 5.1.1 no {recipient}" if recipient in refused else f"450 4.2.0 {recipient}"

    server = bench.serve(Script(rcpt=dict.fromkeys(refused | later, answer)))
    result = transact(bench.session(server), envelope, CONTENT)
    for recipient, outcome in result.outcomes.items():
        if recipient in refused:
            assert (outcome.kind, outcome.reply) == (REJECTED, Reply(550, f"no {recipient}", "5.1.1"))
        elif recipient in later:
            assert (outcome.kind, outcome.reply) == (DEFERRED, Reply(450, recipient, "4.2.0"))
        else:
            assert (outcome.kind, outcome.reply) == (ACCEPTED, Reply(250, "message taken", "2.0.0"))
    (taken,) = server.accepted
    assert taken.recipients == [r for r in envelope.recipients if r not in refused | later]


def test_a_thousand_recipients_that_are_all_refused_get_no_content(bench):
    server = bench.serve(Script(rcpt="550 5.1.1 no"))
    session = bench.session(server)
    (envelope,) = envelopes(1, recipients=1000)
    assert kinds(transact(session, envelope, CONTENT)) == (REJECTED,) * 1000
    assert not session.is_closed
    assert server.complete == []


def test_421_in_a_later_group_ends_it_there(bench):
    (envelope,) = envelopes(1, recipients=250)
    server = bench.serve(Script(rcpt={envelope.recipients[150]: "421 4.3.2 bye", envelope.recipients[0]: "550 no"}))
    result = transact(bench.session(server), envelope, CONTENT)
    assert result.go_away
    assert kinds(result) == (REJECTED, *[DEFERRED] * 249)
    server.wait_closed()
    assert len(server.sessions[0].bursts) == 3, "the third group was not sent"


def small_buffers(sock, size):
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, size)


@pytest.mark.parametrize("joined", [False, True], ids=["each answer by itself", "answers joined"])
def test_long_answers_and_small_buffers_lock_nobody_up(bench, joined):
    # Each end would wait for the other to read, if more went out than fits on the way.
    server = bench.serve(Script(rcpt="250 2.1.5 " + "taken " * 80, joined=joined))
    assert server._listener is not None
    small_buffers(server._listener, 16384)
    session = bench.session(server, timeout=10.0)
    small_buffers(session._dialogue.sock, 16384)
    batch = [Envelope("s@example.com", tuple(f"{'x' * 60}{n}-{r}@example.org" for r in range(900))) for n in range(2)]
    results = send(session, batch)
    assert [set(kinds(result)) for result in results] == [{ACCEPTED}] * 2
