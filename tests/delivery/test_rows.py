"""Rows of bulks on their way through the pipeline: made into messages, or not, and what stops the whole bulk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailworker import EmailMessage
from mailworker.delivery.attempt import Unfit, Unwanted, Withheld
from mailworker.errors import CodecError
from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.bulk import Bulk, BulkGate, Plan, Row
from mailworker.spool.record import Mail, State
from tests.delivery.parts import Bench, accepted, times


class Rows:
    """Makes a message to the address that a row's payload is, once it has the letter; what a test has to say of it comes first."""

    def __init__(self, letter: Callable[[str], tuple[bytes, str] | None], before: Callable[[str], object]) -> None:
        self._letter = letter
        self._before = before

    def message(self, mail: Mail) -> EmailMessage:
        assert mail.group is not None
        found = self._letter(mail.group)
        assert found is not None
        self._before(mail.payload.decode())
        return EmailMessage(found[0].decode(), found[1], "news@example.com", [mail.payload.decode()])


class BulkBench(Bench):
    """A pipeline over a spool with one bulk."""

    def __init__(self, number: int = 5, before: Callable[[str], object] = lambda _: None, **more: Any) -> None:
        super().__init__(rows=lambda letter, now: Rows(letter, before), **more)
        self.memory.bulks.begin(Plan(name="news", letter=b"a letter", letter_digest="d", note="a note"))
        self.memory.bulks.put("news", [Row(f"{n:032x}", b"r%d@x.org" % n, "x.org") for n in range(100, 100 + number)])
        self.memory.bulks.end("news")
        self.clock.now += 1

    @property
    def bulk(self) -> Bulk:
        bulk = self.memory.bulks.get("news")
        assert bulk is not None
        return bulk


def rejected(code: int, text: str, enhanced: str) -> Callable[[Any], Outcome]:
    return lambda _: Outcome(OutcomeClass.REJECTED, Reply(code, text, enhanced))


def test_rows_become_messages_by_the_letter_of_their_bulk():
    bench = BulkBench()
    seen: list[Any] = []
    bench.relay.during = seen.append
    assert bench.pipeline.run() == 5
    assert bench.relay.taken == [f"r{n}@x.org" for n in range(100, 105)]
    assert {(message.subject, message.body) for message in seen} == {("a letter", "a note")}
    assert bench.bulk.states == {State.SENT: 5}


def test_a_recipient_who_wants_no_mail_any_more_gets_none(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")

    def unwanted(address: str) -> None:
        if address == "r102@x.org":
            raise Unwanted

    bench = BulkBench(before=unwanted)
    bench.pipeline.run()
    assert bench.relay.taken == ["r100@x.org", "r101@x.org", "r103@x.org", "r104@x.org"]
    status = bench.status(f"{102:032x}")
    assert (status.state, status.reason, status.attempts) == (State.DROPPED, "suppressed", 0)
    assert "mail dropped: suppressed" in caplog.text
    assert {getattr(event, "kind", "") for event in bench.told} == {"sent", "dropped"}


def test_a_row_that_makes_no_message_is_a_dead_letter_and_counts_as_rejected():
    def unfit(address: str) -> None:
        raise Unfit(address, "a variable is missing")

    bench = BulkBench(2, before=unfit)
    bench.pipeline.run()
    assert bench.relay.taken == []
    assert bench.bulk.outcomes == {"x.org": {OutcomeClass.REJECTED: 2}}
    status = bench.status(f"{100:032x}")
    assert status.state is State.DEAD
    assert status.reason == "rejected before the relay saw it: a variable is missing"


def test_a_row_that_cannot_be_read_is_a_dead_letter_and_those_beside_it_go():
    def broken(address: str) -> None:
        if address == "r101@x.org":
            raise CodecError("it is damaged")

    bench = BulkBench(3, before=broken)
    bench.pipeline.run()
    assert bench.relay.taken == ["r100@x.org", "r102@x.org"]
    assert bench.status(f"{101:032x}").state is State.DEAD


def test_where_nothing_reads_rows_they_are_kept_as_dead_letters():
    bench = Bench()
    bench.memory.bulks.begin(Plan(name="news", letter=b"", letter_digest="d", opens_at_once=True))
    bench.memory.bulks.put("news", [Row("a" * 32, b"row", "x.org")])
    bench.clock.now += 1
    bench.pipeline.run()
    status = bench.status("a" * 32)
    assert (status.state, status.reason) == (State.DEAD, "it is a row of a bulk, and nothing here reads rows")


def test_what_no_row_of_a_bulk_can_do_without_pauses_it_and_charges_nothing(caplog: pytest.LogCaptureFixture):
    def withheld(_: str) -> None:
        raise Withheld("the list of those who want no mail cannot be read")

    bench = BulkBench(3, before=withheld)
    other = bench.put(lane=Lane.BULK, due_at=900.0)
    bench.pipeline.run()
    assert bench.status(other).state is State.SENT
    assert bench.bulk.states == {State.DUE: 3}
    assert (bench.bulk.gate, bench.bulk.reason) == (
        BulkGate.PAUSED,
        "the list of those who want no mail cannot be read",
    )
    assert {bench.status(f"{n:032x}").attempts for n in range(100, 103)} == {0}
    paused = [record for record in caplog.records if getattr(record, "event", "") == "bulk_paused"]
    assert len(paused) == 1
    # Nothing is lost of it.
    bench.memory.resume_group("news")
    assert [one.mail.payload for one in bench.memory.claim([Lane.BULK], 9, 60.0).leased] == [
        b"r100@x.org",
        b"r101@x.org",
        b"r102@x.org",
    ]


def test_a_relay_that_refuses_us_gets_no_further_mail_of_the_bulk(caplog: pytest.LogCaptureFixture):
    bench = BulkBench(30)
    bench.relay.answer = rejected(554, "Client host [203.0.113.7] blocked using zen.spamhaus.org", "5.7.1")
    bench.pipeline.run()
    assert len(bench.relay.taken) == 1
    assert bench.bulk.gate is BulkGate.PAUSED
    assert bench.bulk.reason.startswith("the relay refuses us: 554 5.7.1 Client host")
    assert bench.bulk.states == {State.DEAD: 1, State.DUE: 29}
    assert {bench.status(f"{n:032x}").attempts for n in range(101, 130)} == {0}
    assert "bulk news is paused: the relay refuses us" in caplog.text
    bench.relay.answer = lambda _: accepted()
    assert bench.memory.bulks.replay_failed("news") == 1
    bench.memory.resume_group("news")
    bench.pipeline.run()
    assert bench.bulk.states == {State.SENT: 30}


def test_the_same_answer_to_an_ordinary_mail_of_a_group_stops_nothing():
    bench = Bench()
    bench.put_several(3, group="news")
    bench.relay.answer = rejected(554, "blocked using zen.spamhaus.org", "5.7.1")
    bench.pipeline.run()
    assert len(bench.relay.taken) == 3


def test_too_many_bounces_stop_the_bulk(caplog: pytest.LogCaptureFixture):
    bench = BulkBench(200, batch_size=10)
    bench.relay.answer = rejected(550, "no such user", "5.1.1")
    bench.pipeline.run()
    # The batch in hand is sent to its end.
    assert 51 <= len(bench.relay.taken) <= 60
    assert bench.bulk.has_stopped_itself
    assert "bulk news has paused itself" in caplog.text


def test_a_spool_that_is_away_when_the_letter_is_wanted_costs_no_mail_an_attempt():
    bench = BulkBench(3)
    bench.spool.before = times(3, "letter")
    bench.pipeline.run()
    assert len(bench.relay.taken) == 3
    assert {bench.status(f"{n:032x}").attempts for n in range(100, 103)} == {1}


def test_who_is_killed_while_the_letter_cannot_be_had_says_so():
    bench = BulkBench(3, should_give_up=lambda: True)
    bench.spool.before = times(99, "letter")
    with pytest.raises(SpoolUnavailable):
        bench.pipeline.run()
    assert bench.relay.taken == []
