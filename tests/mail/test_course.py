"""The order of a batch: what the journal is asked and told when, what goes ahead, and that each message is sent once."""

from __future__ import annotations

from collections import Counter
from email.message import Message
from typing import Any

import pytest

from mailworker.mail import seven_bit
from mailworker.mail.codec import Codec
from mailworker.mail.large_text import Utf8
from mailworker.mail.lent import LargeMessage, undecoded
from mailworker.mail.message import EmailMessage
from mailworker.testing import Script
from tests.mail.ledger import OPENING, REJECTED, Ledger, batch_of, message, send, subjects

# The order.


def test_whether_a_message_may_begin_is_asked_before_the_dot_of_the_one_before_it(bench):
    server = bench.serve()
    ledger = Ledger(server)
    assert send(server, batch_of(3), ledger) == 3
    assert ledger.heard == [
        ("may_begin", "1", 0),
        ("beginning", "1", 0),
        ("may_begin", "2", 0),
        ("committing", "1", 0),
        ("may_begin", "2", 1),
        ("settled", "1", 1),
        ("following", "2", 1),
        ("may_begin", "3", 1),
        ("committing", "2", 1),
        ("may_begin", "3", 2),
        ("settled", "2", 2),
        ("following", "3", 2),
        ("committing", "3", 2),
        ("settled", "3", 3),
    ]
    assert server.sessions[0].bursts[1:5] == [OPENING, [".", *OPENING], [".", *OPENING], ["."]]


def test_where_nothing_goes_ahead_the_two_notes_between_messages_still_go_together(bench):
    server = bench.serve(Script(pipelining=False))
    ledger = Ledger(server)
    assert send(server, batch_of(2), ledger) == 2
    assert ledger.heard == [
        ("may_begin", "1", 0),
        ("beginning", "1", 0),
        ("committing", "1", 0),
        ("may_begin", "2", 1),
        ("settled", "1", 1),
        ("following", "2", 1),
        ("committing", "2", 1),
        ("settled", "2", 2),
    ]
    assert all(len(burst) == 1 for burst in server.sessions[0].bursts)


def test_a_batch_without_a_journal_goes_out_in_as_few_round_trips(bench):
    server = bench.serve()
    assert send(server, batch_of(3), None) == 3
    server.wait_closed()
    assert server.sessions[0].bursts == [["EHLO"], OPENING, [".", *OPENING], [".", *OPENING], ["."], ["QUIT"]]


def test_a_session_takes_its_number_of_messages_and_nothing_ahead_of_the_next_one(bench):
    server = bench.serve()
    ledger = Ledger(server)
    assert send(server, batch_of(5), ledger, max_messages=2) == 5
    assert [session.bursts[1:4] for session in server.sessions] == [
        [OPENING, [".", *OPENING], ["."]],
        [OPENING, [".", *OPENING], ["."]],
        [OPENING, ["."], ["QUIT"]],
    ]
    assert set(ledger.charged.values()) == {1}


def test_a_message_with_too_many_recipients_to_go_ahead_is_noted_with_the_one_before_it(bench):
    server = bench.serve()
    ledger = Ledger(server)
    assert send(server, [message("1"), message("2", recipients=150), message("3")], ledger) == 3
    assert [len(burst) for burst in server.sessions[0].bursts[1:6]] == [3, 1, 100, 52, 4]
    assert [call for call in ledger.calls if call[1] == "2"] == [
        ("may_begin", "2"),
        ("may_begin", "2"),
        ("following", "2"),
        ("committing", "2"),
        ("settled", "2"),
    ]


def test_what_goes_ahead_is_made_for_the_server_too(bench):
    server = bench.serve(Script(eight_bit=False))
    batch = [message(str(n), body="gr\u00fc\u00dfe") for n in range(3)]
    assert send(server, batch, Ledger(server)) == 3
    assert [t.content.isascii() for t in server.accepted] == [True] * 3
    assert [t.parameters for t in server.accepted] == [(f"SIZE={len(t.content)}",) for t in server.accepted]


# Who may not.


def test_a_message_that_may_not_be_committed_behind_another_ends_the_session_and_the_next_goes_out(bench):
    server = bench.serve()
    ledger = Ledger(server, commit=lambda subject: subject != "2")
    batch = batch_of(4)
    assert send(server, batch, ledger) == 3
    first, second = server.sessions
    assert first.bursts[1:] == [OPENING, [".", *OPENING]], "the envelope of the second was on its way"
    server.wait_closed()
    assert first.ended_by == "client"
    assert second.bursts[1:4] == [OPENING, [".", *OPENING], ["."]]
    assert subjects(server) == ["1", "3", "4"]
    assert batch[1].outcomes == {}
    assert ledger.charged == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert "2" not in ledger.settled_


def test_a_message_that_may_not_follow_yet_is_asked_at_its_own_turn(bench):
    asked: Counter[str] = Counter()

    def follow(subject):
        asked[subject] += 1
        # Before the dot of the first, and when that has its answer.
        return subject != "2" or asked["2"] > 2

    server = bench.serve()
    ledger = Ledger(server, follow=follow)
    assert send(server, batch_of(3), ledger) == 3
    assert server.sessions[0].bursts[1:5] == [OPENING, ["."], OPENING, [".", *OPENING]]
    assert ("following", "2") not in ledger.calls
    assert [subject for call, subject in ledger.calls if call == "beginning"] == ["1", "2"]


def test_no_session_is_opened_for_messages_that_wait(bench):
    server = bench.serve()
    assert send(server, batch_of(3), Ledger(server, follow=lambda _: False)) == 0
    assert server.connections_ever == 0


def test_a_message_that_may_no_longer_follow_when_the_one_before_it_is_over_ends_the_session_unbegun(bench):
    asked: Counter[str] = Counter()

    def follow(subject):
        asked[subject] += 1
        return subject != "2" or asked["2"] < 2

    server = bench.serve()
    ledger = Ledger(server, begin=lambda subject: subject != "2", follow=follow)
    batch = batch_of(3)
    assert send(server, batch, ledger) == 2
    server.wait_closed()
    assert [session.ended_by for session in server.sessions] == ["client", "quit"]
    assert subjects(server) == ["1", "3"]
    assert ledger.charged == {"1": 1, "3": 1}
    assert batch[1].outcomes == {}


def test_a_message_that_was_made_ready_and_may_not_begin_is_left_untouched(bench):
    server = bench.serve()
    ledger = Ledger(server, begin=lambda subject: subject != "2")
    batch = batch_of(3)
    assert send(server, batch, ledger) == 2
    assert subjects(server) == ["1", "3"]
    assert batch[1].outcomes == {}
    assert server.connections_ever == 1
    assert "2-0@example.org" not in str(server.sessions[0].commands)


def test_a_message_that_is_sent_again_may_be_stopped_before_its_second_dot(bench):
    asked: Counter[str] = Counter()

    def commit(subject):
        asked[subject] += 1
        return subject != "2" or asked["2"] < 2

    # The content is large, so that the relay can send us away behind our first question.
    server = bench.serve(Script(content={"2-0@example.org": ["421 bye"]}))
    batch = [message("1"), message("2", body="text\n" * 30_000), message("3")]
    ledger = Ledger(server, commit=lambda subject: commit(subject) and wait_for_421(server, subject))
    assert send(server, batch, ledger) == 2
    assert subjects(server) == ["1", "3"]
    assert asked == {"1": 1, "2": 2, "3": 1}
    assert ledger.charged["2"] == 1


def wait_for_421(server, subject):
    if subject == "2":
        server.wait_until(lambda: any(t.early for t in server.transactions))
    return True


# What is wrong with one of them.


class Broken(EmailMessage):
    def message(self) -> Message:
        raise RuntimeError


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (lambda: message("bad", Broken), REJECTED),
        (lambda: message("bad\nBcc: x@example.org"), REJECTED),
        (lambda: EmailMessage("bad", "", "a@b@c", ["x@example.org"]), REJECTED),
        (lambda: EmailMessage("bad", "", "s@example.com", ["nobody at all"]), REJECTED),
        (lambda: EmailMessage("bad", "", "s@example.com", []), None),
    ],
    ids=["cannot be rendered", "bad header", "bad sender", "bad recipient", "no recipient"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_wrong_with_one_message_stops_none_of_the_others(bench, bad, kind, place):
    server = bench.serve()
    ledger = Ledger(server)
    batch = batch_of(4)
    batch.insert(place, bad())
    try:
        assert send(server, batch, ledger) == 4
    except ValueError:
        # A bad header is raised at the end, whatever is silent.
        assert "Bcc" in batch[place].subject
    assert subjects(server) == ["1", "2", "3", "4"]
    assert server.connections_ever == 1
    assert ledger.settled_.get(batch[place].subject) == ({kind} if kind else None)
    assert set(ledger.charged.values()) == {1}


# What is rendered ahead.


class Noted(EmailMessage):
    """Writes down when it is rendered, between the calls of a ledger."""

    ledger: Any = None
    failures = 0

    def message(self) -> Message:
        self.ledger.heard.append(("rendered", self.subject, -1))
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return super().message()


def noted(ledger, *messages):
    for one in messages:
        one.ledger = ledger
    return list(messages)


def test_a_small_message_is_rendered_while_the_relay_works_on_the_one_before_it(bench):
    server = bench.serve()
    ledger = Ledger(server)
    assert send(server, noted(ledger, *(message(str(n), Noted) for n in (1, 2, 3))), ledger) == 3
    calls = ledger.calls
    assert calls.index(("rendered", "2")) < calls.index(("committing", "1"))
    assert calls.index(("rendered", "3")) < calls.index(("settled", "1"))
    assert [call for call, _ in calls].count("rendered") == 3


def attached(content, mimetype="application/octet-stream"):
    made = message("2", Noted)
    made.attach("file", content, mimetype)
    return made


def inner():
    part = Message()
    part.set_payload("x\r\n" * 200_000)
    return part


@pytest.mark.parametrize(
    "make",
    [
        lambda: message("2", Noted, body="x" * 300_000),
        lambda: attached(b"x" * 300_000),
        lambda: attached(inner(), "message/rfc822"),
        lambda: attached(EmailMessage("s", "x" * 300_000), "message/rfc822"),
    ],
    ids=["body", "attachment", "message inside", "message of ours inside"],
)
def test_a_large_message_is_rendered_when_nothing_else_is_in_hand(bench, make):
    server = bench.serve()
    ledger = Ledger(server)
    assert send(server, noted(ledger, message("1", Noted), make(), message("3", Noted)), ledger) == 3
    assert ledger.calls.index(("settled", "1")) < ledger.calls.index(("rendered", "2"))
    assert subjects(server) == ["1", "2", "3"]


def test_a_large_text_out_of_the_queue_is_sent_and_never_decoded(bench):
    server = bench.serve()
    large = Codec().decode(Codec().encode(message("2", body="é\n" * 300_000)))
    assert isinstance(large, LargeMessage)
    assert send(server, [message("1"), large, message("3")], None) == 3
    assert subjects(server) == ["1", "2", "3"]
    assert type(undecoded(large).body) is Utf8


def test_memory_that_does_not_suffice_for_two_suffices_for_one_at_its_turn(bench):
    server = bench.serve()
    ledger = Ledger(server)
    batch = noted(ledger, *(message(str(n), Noted) for n in (1, 2, 3)))
    batch[1].failures = 2
    assert send(server, batch, ledger) == 3
    assert subjects(server) == ["1", "2", "3"]
    assert ledger.calls.index(("settled", "1")) < max(
        place for place, call in enumerate(ledger.calls) if call == ("rendered", "2")
    )


class _Raw(Message):
    """A message that somebody forwards as it came: the standard library cannot read its boundary."""

    def as_bytes(self, *_: Any, **__: Any) -> bytes:
        head = b"Subject: 2\r\nContent-Type: multipart/mixed; boundary*0*=x; boundary*=utf-8''ab\r\n\r\n"
        return head + b"--x\r\n\r\n\xc3\xa9\r\n--x--\r\n"


class Forwarded(EmailMessage):
    def message(self) -> Message:
        raw = _Raw()
        raw["Subject"] = "2"
        return raw


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_message_that_cannot_be_converted_for_the_server_stops_none_of_the_others(bench, pipelining):
    server = bench.serve(Script(eight_bit=False, pipelining=pipelining))
    ledger = Ledger(server)
    assert send(server, [message("1"), message("2", Forwarded), message("3")], ledger) == 3
    assert subjects(server) == ["1", "2", "3"]


def test_a_message_that_there_is_no_room_for_beside_another_waits_for_its_turn(bench, monkeypatch):
    server = bench.serve(Script(eight_bit=False))
    ledger = Ledger(server)
    failing = [True]
    convert = seven_bit.to_7bit

    def to_7bit(content: bytes) -> bytes:
        if content.startswith(b"Subject: 2\r\n") and failing:
            failing.pop()
            raise MemoryError
        return convert(content)

    monkeypatch.setattr(seven_bit, "to_7bit", to_7bit)
    assert send(server, [message("1"), message("2", Forwarded), message("3")], ledger) == 3
    assert not failing
    assert subjects(server) == ["1", "2", "3"]
    assert set(ledger.charged.values()) == {1}
