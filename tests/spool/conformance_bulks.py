"""Bulks: filling, order, rate, windows, counts, stopping by themselves, what is kept for the report."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from mailworker.lane import LANES, Lane
from mailworker.outcome import OutcomeClass
from mailworker.spool.base import Leased, Limits, Spool
from mailworker.spool.bulk import Bulk, BulkClosed, BulkGate, Plan, Row, RowsTaken, Timetable
from mailworker.spool.record import State
from tests.spool.harness import (
    LEASE,
    Harness,
    OpenHarness,
    accepted,
    claim,
    claimed_ids,
    deferred,
    in_doubt,
    put,
    rejected,
)

_numbers = count(1)


def plan(name: str = "news", **fields: Any) -> Plan:
    return Plan(**{"name": name, "letter": b"a letter", "letter_digest": "d1", **fields})


def rows(number: int, domain: str = "a.org", **fields: Any) -> list[Row]:
    return [Row(f"{next(_numbers):032x}", b"a row", domain, **fields) for _ in range(number)]


def filled(harness: Harness, number: int, domain: str = "a.org", **fields: Any) -> list[Row]:
    """Begin a bulk, fill it, open its gate, and return its rows."""
    harness.spool.bulks.begin(plan(**fields))
    some = rows(number, domain)
    assert harness.spool.bulks.put("news", some).new == number
    end(harness, number)
    return some


def end(harness: Harness, read: int = 0, bad: int = 0) -> None:
    """Open the gate; rows are due a microsecond apart."""
    harness.spool.bulks.end("news", read, bad)
    harness.advance(0.001)


def ids(some: list[Row]) -> list[str]:
    return [row.id for row in some]


def standing(spool: Spool, name: str = "news") -> Bulk:
    bulk = spool.bulks.get(name)
    assert bulk is not None
    return bulk


def settle(spool: Spool, leased: Leased, what: str, *arguments: Any) -> None:
    assert spool.mark(leased, LEASE)
    assert getattr(spool, what)(leased, *arguments)


class BulkRules:
    def test_nothing_goes_before_the_last_row_has_come(self, harness: Harness):
        spool = harness.spool
        bulk = spool.bulks.begin(plan())
        assert (bulk.gate, bulk.rows) == (BulkGate.FILLING, 0)
        some = rows(5)
        assert spool.bulks.put("news", some) == RowsTaken(new=5)
        assert claim(harness.second_worker()) == ()
        assert spool.group_gate("news") == "filling"
        assert spool.stats().groups == {"news": "filling"}
        assert spool.claim(LANES, 10, LEASE).next_in is None
        end(harness, 6, 1)
        assert spool.stats().groups == {}
        leased = claim(harness.second_worker())
        assert [one.mail.id for one in leased] == ids(some)
        mail = leased[0].mail
        assert (mail.payload, mail.group, mail.lane, mail.is_row, mail.domain) == (
            b"a row",
            "news",
            Lane.BULK,
            True,
            "a.org",
        )
        bulk = standing(spool)
        assert (bulk.gate, bulk.rows, bulk.read, bulk.bad) == (BulkGate.OPEN, 5, 6, 1)
        assert bulk.states == {State.LEASED: 5}

    def test_one_that_opens_at_once_goes_while_rows_come(self, harness: Harness):
        harness.spool.bulks.begin(plan(opens_at_once=True))
        some = rows(2)
        harness.spool.bulks.put("news", some)
        harness.advance(0.001)
        assert claimed_ids(harness.spool) == ids(some)

    def test_what_a_person_closes_stays_closed_when_the_last_row_has_come(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(2))
        spool.pause_group("news", "the subject is wrong")
        end(harness)
        assert claim(spool) == ()
        bulk = standing(spool)
        assert (bulk.gate, bulk.reason) == (BulkGate.PAUSED, "the subject is wrong")
        assert not bulk.has_stopped_itself
        spool.resume_group("news")
        assert standing(spool).reason == ""
        assert len(claim(spool)) == 2

    def test_to_resume_one_that_is_being_filled_opens_nothing(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(2))
        spool.pause_group("news")
        spool.resume_group("news")
        assert claim(spool) == ()
        assert standing(spool).gate is BulkGate.FILLING
        end(harness)
        assert len(claim(spool)) == 2

    def test_rows_go_in_the_order_in_which_they_came(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        some = rows(7)[::-1]
        spool.bulks.put("news", some[:3])
        spool.bulks.put("news", some[3:])
        end(harness)
        assert [one for _ in range(3) for one in claimed_ids(spool, 3)] == ids(some)

    def test_a_row_twice_is_one_mail_and_a_second_fill_adds_what_is_missing(self, harness: Harness):
        spool = harness.spool
        some = rows(6)
        spool.bulks.begin(plan())
        assert spool.bulks.put("news", [*some[:2], some[0]]) == RowsTaken(new=2, repeated=1)
        assert spool.bulks.put("news", some[1:3]) == RowsTaken(new=1, repeated=1)
        harness.advance(100)
        # Its producer was lost: another one begins again.
        other = harness.second_worker()
        bulk = other.bulks.begin(plan())
        assert (bulk.gate, bulk.rows) == (BulkGate.FILLING, 3)
        assert other.bulks.put("news", [*some, some[5]]) == RowsTaken(new=3, repeated=1, known=3)
        other.bulks.end("news", 7)
        harness.advance(0.001)
        assert [one.mail.id for one in claim(spool)] == ids(some)
        assert standing(spool).rows == 6

    def test_a_further_fill_closes_the_gate_again_and_knows_what_is_sent(self, harness: Harness):
        spool = harness.spool
        some = filled(harness, 2)
        for one in claim(spool):
            settle(spool, one, "done", accepted("x@a.org"))
        harness.advance(10)
        spool.bulks.begin(plan())
        new = rows(1)
        assert spool.bulks.put("news", some + new) == RowsTaken(new=1, known=2)
        assert claim(spool) == ()
        end(harness)
        assert claimed_ids(spool) == ids(new)

    def test_one_with_another_letter_is_left_as_it_is(self, harness: Harness):
        spool = harness.spool
        filled(harness, 2)
        bulk = spool.bulks.begin(plan(letter=b"another", letter_digest="d2"))
        assert (bulk.plan.letter_digest, bulk.gate, bulk.plan.letter) == ("d1", BulkGate.OPEN, b"")
        assert spool.bulks.letter("news") == b"a letter"
        assert harness.second_worker().bulks.letter("nobody") is None

    def test_one_without_any_row_may_begin_anew_with_another_letter(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan(timetable=Timetable(rate=1.0)))
        end(harness, 3, 3)
        assert standing(spool).states == {}
        bulk = spool.bulks.begin(plan(letter=b"another", letter_digest="d2", timetable=Timetable(rate=9.0)))
        assert (bulk.plan.letter_digest, bulk.plan.timetable.rate, bulk.read) == ("d2", 9.0, 0)
        assert spool.bulks.letter("news") == b"another"
        spool.bulks.put("news", rows(3))
        end(harness)
        assert len(claim(spool)) == 1

    def test_one_whose_filling_was_cut_off_before_its_first_row_may_begin_anew_with_another_letter(
        self, harness: Harness
    ):
        spool = harness.spool
        spool.bulks.begin(plan())
        bulk = spool.bulks.begin(plan(letter=b"another", letter_digest="d2", opens_at_once=True))
        assert (bulk.plan.letter_digest, bulk.gate) == ("d2", BulkGate.OPEN)
        spool.bulks.put("news", rows(1))
        harness.advance(0.001)
        assert len(claim(spool)) == 1

    def test_one_whose_filling_was_cut_off_stays_closed_until_the_end_of_one_that_would_open_it(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(1))
        assert spool.bulks.begin(plan(opens_at_once=True)).gate is BulkGate.FILLING
        spool.bulks.put("news", rows(1))
        assert claim(spool) == ()
        end(harness)
        assert len(claim(spool, 5)) == 2

    def test_a_cancelled_one_takes_no_rows(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        some = rows(3)
        spool.bulks.put("news", some[:2])
        spool.cancel_group("news")
        with pytest.raises(BulkClosed, match="'news' is cancelled"):
            spool.bulks.put("news", some[2:])
        assert spool.bulks.begin(plan()).gate is BulkGate.CANCELLED
        bulk = standing(spool)
        assert bulk.states == {State.CANCELLED: 2}
        assert bulk.left == 0

    def test_what_nobody_knows_takes_no_rows_and_has_no_end(self, harness: Harness):
        spool = harness.spool
        with pytest.raises(BulkClosed, match="no bulk 'nobody'"):
            spool.bulks.end("nobody")
        assert spool.bulks.get("nobody") is None
        assert not spool.bulks.retime("nobody", Timetable())
        assert list(spool.bulks.mails("nobody")) == []
        assert spool.bulks.replay_failed("nobody") == 0

    def test_all_of_them_are_listed_the_last_one_first(self, harness: Harness):
        spool = harness.spool
        assert spool.bulks.all() == []
        spool.bulks.begin(plan("one"))
        harness.advance(1)
        spool.bulks.begin(plan("two"))
        assert [bulk.plan.name for bulk in harness.second_worker().bulks.all()] == ["two", "one"]

    def test_its_plan_is_what_was_asked_for(self, harness: Harness):
        made = plan(
            mailer="marketing",
            lane=Lane.NORMAL,
            due_at=harness.spool.now() + 50,
            expires_at=harness.spool.now() + 5000,
            on_in_doubt="hold",
            timetable=Timetable(rate=2.5, burst=3, windows=((1.0, 2.0), (3e9, 4e9))),
            max_bounces=7,
            bounce_window=70,
            note="anything",
        )
        harness.spool.bulks.begin(made)
        (row,) = rows(1)
        harness.spool.bulks.put("news", [row])
        found = standing(harness.second_worker()).plan
        assert found.created_at == pytest.approx(harness.spool.now())
        for name in ("mailer", "lane", "due_at", "expires_at", "on_in_doubt", "timetable", "max_bounces", "note"):
            assert getattr(found, name) == getattr(made, name), name
        mail = harness.spool.get(row.id)
        assert mail is not None
        assert (mail.mailer, mail.lane, mail.on_in_doubt) == ("marketing", Lane.NORMAL, "hold")
        assert mail.expires_at == pytest.approx(made.expires_at)
        assert mail.due_at == pytest.approx(made.due_at)

    def test_its_mails_go_at_their_time(self, harness: Harness):
        spool = harness.spool
        some = filled(harness, 3, due_at=spool.now() + 50)
        assert claim(spool) == ()
        assert spool.stats().later == {("relay", Lane.BULK): 3}
        assert spool.claim(LANES, 10, LEASE).next_in == pytest.approx(50, abs=0.01)
        harness.advance(51)
        assert claimed_ids(spool) == ids(some)

    def test_its_rate_is_for_all_workers_together(self, harness: Harness):
        spool = harness.spool
        some = filled(harness, 100, timetable=Timetable(rate=10.0, burst=2))
        workers = [spool, harness.second_worker()]
        gone: list[str] = []
        for step in range(50):
            gone += claimed_ids(workers[step % 2])
            harness.advance(0.125)
        # In 6.25 s, with what a pause before had saved.
        assert 62 <= len(gone) <= 64
        assert gone == ids(some[: len(gone)])

    def test_a_claim_says_when_the_rate_lets_the_next_one_go(self, harness: Harness):
        spool = harness.spool
        filled(harness, 5, timetable=Timetable(rate=0.5))
        taken = spool.claim(LANES, 10, LEASE)
        assert len(taken.leased) == 1
        assert taken.next_in == pytest.approx(2.0, abs=0.1)
        assert spool.claim(LANES, 10, LEASE).leased == ()
        harness.advance(2.0)
        assert len(claim(spool)) == 1

    def test_others_go_while_its_rate_holds_it_back(self, harness: Harness):
        spool = harness.spool
        filled(harness, 5, timetable=Timetable(rate=0.5))
        assert len(claim(spool)) == 1
        others = put(spool, 3, lane=Lane.BULK) + put(spool, 2, lane=Lane.BULK, group="other")
        assert len(claim(spool)) == len(others)

    def test_what_was_not_sent_is_given_back_to_the_rate(self, harness: Harness):
        spool = harness.spool
        filled(harness, 5, timetable=Timetable(rate=0.5))
        (leased,) = claim(spool)
        assert claim(spool) == ()
        assert spool.snooze(leased, leased.mail.due_at)
        assert claimed_ids(spool) == [leased.mail.id]

    def test_another_rate_counts_from_now_on(self, harness: Harness):
        spool = harness.spool
        filled(harness, 5, timetable=Timetable(rate=0.01))
        assert len(claim(spool)) == 1
        assert claim(spool) == ()
        assert spool.bulks.retime("news", Timetable())
        assert len(claim(harness.second_worker())) == 4
        assert standing(spool).plan.timetable == Timetable()

    def test_it_goes_within_its_windows_only(self, harness: Harness):
        spool = harness.spool
        now = spool.now()
        windows = ((now - 20, now - 10), (now + 100, now + 110), (now + 200, now + 210))
        filled(harness, 9, timetable=Timetable(windows=windows))
        assert claim(spool) == ()
        assert spool.claim(LANES, 10, LEASE).next_in == pytest.approx(100, abs=0.01)
        assert standing(spool).opens_at == pytest.approx(now + 100)
        harness.advance(99.5)
        assert claim(spool) == ()
        harness.advance(0.5)
        assert standing(spool).opens_at is None
        assert len(claim(spool, 3)) == 3
        harness.advance(10)
        assert claim(harness.second_worker(), 3) == ()
        assert standing(spool).opens_at == pytest.approx(now + 200)
        harness.advance(90)
        assert len(claim(spool, 3)) == 3
        harness.advance(10)
        assert standing(spool).opens_at == math.inf
        for one in claim(spool):
            spool.snooze(one, spool.now())
        assert spool.bulks.retime("news", Timetable())
        assert len(claim(spool)) >= 3

    def test_after_its_last_window_nothing_is_to_be_expected(self, harness: Harness):
        spool = harness.spool
        filled(harness, 2, timetable=Timetable(windows=((1.0, 2.0),)))
        taken = spool.claim(LANES, 10, LEASE)
        assert (taken.leased, taken.next_in) == ((), None)

    def test_limits_of_its_domains_hold(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_concurrency={"slow.org": 1})})
        spool = harness.spool
        spool.bulks.begin(plan())
        slow, fast = rows(3, "slow.org"), rows(3, "fast.org")
        spool.bulks.put("news", slow + fast)
        end(harness)
        leased = claim(spool)
        assert sorted(one.mail.id for one in leased) == sorted([slow[0].id, *ids(fast)])
        for one in leased:
            settle(spool, one, "done", accepted("x@slow.org"))
        assert claimed_ids(spool) == [slow[1].id]
        assert standing(spool).outcomes["slow.org"] == {OutcomeClass.ACCEPTED: 1}

    def test_outcomes_are_counted_by_domain_and_class(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(4, "a.org") + rows(3, "b.org"))
        end(harness)
        first, second, third, fourth, fifth, sixth, seventh = claim(spool)
        settle(spool, first, "done", accepted("x@a.org"))
        settle(spool, second, "defer", spool.now() + 5, deferred("x@a.org"))
        settle(spool, third, "bury", rejected("x@a.org"), "rejected")
        settle(spool, fourth, "hold", in_doubt("x@a.org"), "in doubt")
        assert spool.mark(fifth, LEASE)
        spool.step((fifth, accepted("x@b.org")), sixth, LEASE).answer()
        assert spool.done(sixth, accepted("x@b.org"))
        assert spool.snooze(seventh, spool.now())
        bulk = standing(harness.second_worker())
        assert bulk.outcomes == {
            "a.org": dict.fromkeys(OutcomeClass, 1),
            "b.org": {OutcomeClass.ACCEPTED: 2},
        }
        assert bulk.states == {State.SENT: 3, State.DUE: 2, State.DEAD: 1, State.HELD: 1}
        assert bulk.left == 3
        assert [error.outcome.kind.value[0] for error in bulk.errors] == ["i", "r", "d"]
        assert {error.domain for error in bulk.errors} == {"a.org"}
        assert bulk.began_at is not None
        assert bulk.ended_at is None

    def test_a_deferred_one_that_is_accepted_later_is_counted_once(self, harness: Harness):
        spool = harness.spool
        filled(harness, 1)
        (leased,) = claim(spool)
        settle(spool, leased, "defer", spool.now() + 5, deferred("x@a.org"))
        harness.advance(5)
        (leased,) = claim(spool)
        assert spool.step(None, leased, LEASE).answer() == (False, True)
        assert spool.step((leased, accepted("x@a.org")), None, LEASE).answer() == (True, False)
        bulk = standing(spool)
        assert bulk.outcomes == {"a.org": {OutcomeClass.ACCEPTED: 1}}
        assert bulk.ended_at == pytest.approx(spool.now())

    def test_a_late_acceptance_is_counted(self, harness: Harness):
        spool = harness.spool
        filled(harness, 1)
        (leased,) = claim(spool)
        assert spool.mark(leased, LEASE)
        harness.advance(LEASE)
        (_,) = claim(harness.second_worker())
        assert not spool.done(leased, accepted("x@a.org"))
        assert standing(spool).outcomes == {"a.org": {OutcomeClass.ACCEPTED: 1}}

    def test_a_cancelled_one_counts_no_deferrals(self, harness: Harness):
        spool = harness.spool
        filled(harness, 2)
        for one in claim(spool):
            settle(spool, one, "defer", spool.now() + 5, deferred("x@a.org"))
        spool.cancel_group("news")
        assert len(spool.ids(State.CANCELLED)) == 2
        bulk = standing(spool)
        assert sum(bulk.outcomes.get("a.org", {}).values()) == 0
        assert bulk.ended_at is not None

    def test_it_stops_when_too_many_of_its_last_mails_were_rejected(self, harness: Harness):
        spool = harness.spool
        filled(harness, 20, max_bounces=2, bounce_window=5)
        # Two of five, again and again.
        for number in range(10):
            (leased,) = claim(spool, 1)
            if number % 5 < 2:
                settle(spool, leased, "bury", rejected("x@a.org"), "rejected")
            else:
                settle(spool, leased, "done", accepted("x@a.org"))
        assert standing(spool).gate is BulkGate.OPEN
        leased, other, third = claim(spool, 3)
        for one in (leased, other, third):
            settle(spool, one, "bury", rejected("x@a.org"), "rejected")
        bulk = standing(harness.second_worker())
        assert (bulk.gate, bulk.has_stopped_itself) == (BulkGate.PAUSED, True)
        assert bulk.reason == "3 of its last 5 mails were rejected, more than 2"
        assert claim(spool) == ()
        spool.resume_group("news")
        bulk = standing(spool)
        assert (bulk.gate, bulk.has_stopped_itself, bulk.reason) == (BulkGate.OPEN, False, "")
        # It counts anew.
        (leased,) = claim(spool, 1)
        settle(spool, leased, "bury", rejected("x@a.org"), "rejected")
        assert standing(spool).gate is BulkGate.OPEN

    def test_a_mail_that_is_tried_again_and_rejected_again_counts_once(self, harness: Harness):
        spool = harness.spool
        filled(harness, 10, max_bounces=3, bounce_window=10)
        for number, one in enumerate(claim(spool, 10)):
            if number < 3:
                settle(spool, one, "bury", rejected("x@a.org"), "rejected")
            else:
                settle(spool, one, "done", accepted("x@a.org"))
        assert spool.bulks.replay_failed("news") == 3
        for one in claim(spool, 10):
            settle(spool, one, "bury", rejected("x@a.org"), "rejected")
        assert standing(spool).gate is BulkGate.OPEN

    def test_one_that_was_told_to_never_stops(self, harness: Harness):
        spool = harness.spool
        filled(harness, 4, max_bounces=None)
        for one in claim(spool):
            settle(spool, one, "bury", rejected("x@a.org"), "rejected")
        assert standing(spool).gate is BulkGate.OPEN

    def test_the_mails_of_other_groups_never_stop_anything(self, harness: Harness):
        spool = harness.spool
        put(spool, 60, group="news")
        for _ in range(2):
            for one in claim(spool):
                settle(spool, one, "bury", rejected("x@a.org"), "rejected")
        assert spool.group_gate("news") == "open"

    def test_a_suppressed_row_is_kept_for_the_report_and_never_sent(self, harness: Harness):
        spool = harness.spool
        spool.bulks.begin(plan())
        (suppressed,), (other,) = rows(1, is_suppressed=True), rows(1)
        assert spool.bulks.put("news", [suppressed, other, suppressed]) == RowsTaken(new=2, suppressed=1, repeated=1)
        end(harness)
        assert claimed_ids(spool) == [other.id]
        status = spool.status(suppressed.id)
        assert status is not None
        assert (status.state, status.reason) == (State.DROPPED, "suppressed")
        assert standing(spool).suppressed == 1
        assert [payload for _, payload in spool.bulks.mails("news")] == [b"a row", b"a row"]

    def test_a_row_that_is_suppressed_in_a_further_fill_is_not_sent(self, harness: Harness):
        spool = harness.spool
        due, held, sent, leased, other = filled(harness, 5)
        for one in claim(spool, 4):
            if one.mail.id == held.id:
                settle(spool, one, "hold", in_doubt("held@a.org"), "in doubt")
            elif one.mail.id == sent.id:
                settle(spool, one, "done", accepted("sent@a.org"))
            elif one.mail.id == due.id:
                settle(spool, one, "defer", spool.now() + 9, deferred("due@a.org"))
        harness.advance(1)
        spool.bulks.begin(plan())
        unwanted = [replace(row, is_suppressed=True) for row in (due, held, sent, leased)]
        assert spool.bulks.put("news", [*unwanted, other]) == RowsTaken(known=5)
        end(harness, 5)
        bulk = standing(spool)
        assert bulk.states == {State.DROPPED: 2, State.SENT: 1, State.LEASED: 1, State.DUE: 1}
        assert bulk.outcomes == {"a.org": {OutcomeClass.ACCEPTED: 1}}
        found = {status.id: (status.state, status.reason, payload) for status, payload in spool.bulks.mails("news")}
        assert found[due.id] == found[held.id] == (State.DROPPED, "suppressed", b"a row")
        harness.advance(20)
        assert claimed_ids(spool) == [other.id]

    def test_a_recipient_that_is_suppressed_at_the_send_is_dropped(self, harness: Harness):
        spool = harness.spool
        filled(harness, 1)
        (leased,) = claim(spool)
        settle(spool, leased, "drop", "suppressed")
        assert spool.drop(leased, "suppressed")
        status = spool.status(leased.mail.id)
        assert status is not None
        assert (status.state, status.reason) == (State.DROPPED, "suppressed")
        assert standing(spool).states == {State.DROPPED: 1}
        assert standing(spool).outcomes == {}

    def test_the_report_has_every_row_in_its_order(self, harness: Harness):
        spool = harness.spool
        some = filled(harness, 5)
        first, second, third, *_ = claim(spool, 4)
        settle(spool, first, "done", accepted("x@a.org"))
        settle(spool, second, "bury", rejected("x@a.org"), "rejected")
        settle(spool, third, "defer", spool.now() + 5, deferred("x@a.org"))
        spool.cancel_group("news")
        found = list(harness.second_worker().bulks.mails("news"))
        assert [status.id for status, _ in found] == ids(some)
        states = [status.state for status, _ in found]
        assert states == [State.SENT, State.DEAD, State.CANCELLED, State.LEASED, State.CANCELLED]
        assert [payload for _, payload in found] == [b"", *[b"a row"] * 4]

    def test_what_failed_is_tried_again(self, harness: Harness):
        spool = harness.spool
        filled(harness, 4)
        put(spool, 1, group="other")
        leased = {one.mail.group: one for one in claim(spool, 50, (Lane.NORMAL,))}
        settle(spool, leased["other"], "bury", rejected("x@a.org"), "rejected")
        first, second, third, fourth = claim(spool)
        settle(spool, first, "done", accepted("x@a.org"))
        settle(spool, second, "bury", rejected("x@a.org"), "rejected")
        settle(spool, third, "hold", in_doubt("x@a.org"), "in doubt")
        settle(spool, fourth, "drop", "suppressed")
        assert spool.bulks.replay_failed("news") == 2
        assert sorted(claimed_ids(spool)) == sorted([second.mail.id, third.mail.id])
        assert sum(standing(spool).outcomes["a.org"].values()) == 1
        assert spool.bulks.replay_failed("news") == 0

    def test_what_is_forgotten_stays_counted(self, open_harness: OpenHarness):
        harness = open_harness(retention=100.0)
        spool = harness.spool
        filled(harness, 2)
        for one in claim(spool):
            settle(spool, one, "done", accepted("x@a.org"))
        harness.advance(101)
        spool.stats()
        bulk = standing(spool)
        assert (bulk.rows, bulk.forgotten, bulk.states) == (2, 2, {})
        assert bulk.outcomes == {"a.org": {OutcomeClass.ACCEPTED: 2}}
        assert list(spool.bulks.mails("news")) == []
        assert spool.bulks.letter("news") is None
        # Whoever would send it again finds out.
        assert spool.bulks.begin(plan()).forgotten == 2
        assert spool.group_gate("news") == "open"

    def test_one_that_is_being_filled_is_not_forgotten(self, open_harness: OpenHarness):
        harness = open_harness(retention=100.0)
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(1, is_suppressed=True))
        harness.advance(101)
        spool.stats()
        assert standing(spool).gate is BulkGate.FILLING

    @pytest.mark.parametrize("before", ["filling", "paused"])
    def test_one_that_is_cancelled_is_forgotten_whatever_it_was_before(self, open_harness: OpenHarness, before: str):
        harness = open_harness(retention=100.0)
        spool = harness.spool
        spool.bulks.begin(plan())
        spool.bulks.put("news", rows(3))
        if before == "paused":
            end(harness)
            spool.pause_group("news")
        spool.cancel_group("news")
        # Called back one by one by later calls, and forgotten a while after that.
        assert claim(spool) == ()
        harness.advance(101)
        spool.stats()
        bulk = standing(spool)
        assert (bulk.forgotten, bulk.states, spool.bulks.letter("news")) == (3, {}, None)
        # Its name stays taken.
        assert spool.bulks.begin(plan()).forgotten == 3

    def test_a_row_that_kills_its_workers_is_buried_and_named(self, harness: Harness):
        spool = harness.spool
        filled(harness, 1)
        for _ in range(3):
            (leased,) = claim(spool)
            assert spool.mark(leased, LEASE)
            harness.advance(LEASE)
        assert claim(spool) == ()
        ((status, payload),) = spool.bulks.mails("news")
        assert (status.state, payload) == (State.DEAD, b"a row")
        assert standing(spool).ended_at is not None
