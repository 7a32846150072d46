"""Seats: how many slots may have a session with one mailer's relay at one time, over all workers."""

from __future__ import annotations

import pytest

from mailworker.lane import LANES, Lane
from mailworker.spool.base import Limits
from tests.spool.harness import LEASE, Harness, OpenHarness, accepted, claim, deferred, put

LIMITS = {"relay": Limits(sessions=2)}


def taken(harness: Harness) -> int:
    """Return how many seats are taken."""
    return harness.spool.mailer_state("relay").sessions


class SessionRules:
    @pytest.fixture
    def seats(self, open_harness: OpenHarness) -> Harness:
        return open_harness(limits=LIMITS)

    def test_no_more_slots_get_mail_than_there_are_seats(self, seats: Harness):
        put(seats.spool, 9)
        for slot in ("a", "b"):
            (leased,) = claim(seats.second_worker(), 1, slot=slot)
            assert leased.slot == slot
        assert claim(seats.spool, slot="c") == ()
        assert taken(seats) == 2
        assert seats.spool.stats().mailers["relay"].sessions == 2

    def test_a_slot_that_has_a_seat_gets_mail_again_and_takes_no_second_one(self, seats: Harness):
        put(seats.spool, 9)
        for _ in range(3):
            assert len(claim(seats.spool, 2, slot="a")) == 2
        assert taken(seats) == 1
        assert len(claim(seats.spool, 1, slot="b")) == 1
        assert len(claim(seats.spool, 1, slot="a")) == 1

    def test_a_claim_without_a_slot_gets_none_of_such_mail_and_all_other(self, seats: Harness):
        put(seats.spool, 2)
        (other,) = put(seats.spool, mailer="other", lane=Lane.BULK)
        (leased,) = claim(seats.spool)
        assert (leased.mail.id, leased.slot) == (other.id, "")
        answer = seats.spool.claim(LANES, 50, LEASE, "relay")
        assert (answer.leased, answer.next_in) == ((), None)

    def test_a_slot_without_a_seat_is_given_the_mail_of_other_mailers(self, seats: Harness):
        put(seats.spool, 9, lane=Lane.HIGH)
        (other,) = put(seats.spool, mailer="other", lane=Lane.BULK)
        for slot in ("a", "b"):
            assert len(claim(seats.spool, 1, slot=slot)) == 1
        (leased,) = claim(seats.spool, slot="c")
        assert (leased.mail.id, leased.slot) == (other.id, "")
        assert seats.spool.mailer_state("other").sessions == 0

    def test_a_mailer_without_the_limit_takes_no_seats(self, seats: Harness):
        put(seats.spool, 3, mailer="other")
        assert len(claim(seats.spool, 3, slot="a")) == 3
        assert seats.spool.mailer_state("other").sessions == 0

    def test_a_seat_that_is_given_up_is_free_at_once(self, seats: Harness):
        put(seats.spool, 9)
        for slot in ("a", "b"):
            claim(seats.spool, 1, slot=slot)
        seats.second_worker().leave("relay", "a")
        assert taken(seats) == 1
        assert len(claim(seats.spool, 1, slot="c")) == 1
        assert claim(seats.spool, 1, slot="a") == ()

    def test_giving_up_what_one_does_not_have_changes_nothing(self, seats: Harness):
        seats.spool.leave("relay", "a")
        put(seats.spool, 9)
        claim(seats.spool, 1, slot="a")
        seats.spool.leave("relay", "b")
        seats.spool.leave("other", "a")
        assert taken(seats) == 1

    def test_a_claim_that_finds_nothing_takes_no_seat(self, seats: Harness):
        assert claim(seats.spool, slot="a") == ()
        put(seats.spool, due_at=seats.spool.now() + 5)
        assert claim(seats.spool, slot="a") == ()
        assert taken(seats) == 0

    def test_a_refused_slot_is_told_when_the_first_seat_ends(self, seats: Harness):
        put(seats.spool, 9)
        claim(seats.spool, 1, slot="a")
        seats.advance(10)
        claim(seats.spool, 1, slot="b")
        answer = seats.spool.claim(LANES, 50, LEASE, None, "c")
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(LEASE - 10)

    def test_that_one_slot_is_refused_hides_no_mail_from_those_that_have_a_seat(self, seats: Harness):
        put(seats.spool, 9)
        claim(seats.spool, 1, slot="a")
        claim(seats.spool, 1, slot="b")
        assert claim(seats.spool, slot="c") == ()
        assert len(claim(seats.second_worker(), 1, slot="a")) == 1

    def test_a_slot_that_is_lost_frees_its_seat_with_the_end_of_its_last_lease(self, seats: Harness):
        put(seats.spool, 9)
        for slot in ("a", "b"):
            claim(seats.spool, 1, slot=slot)
        seats.advance(LEASE - 1)
        assert claim(seats.spool, slot="c") == ()
        seats.advance(1)
        assert taken(seats) == 0
        assert claim(seats.spool, slot="c") != ()

    def test_a_seat_outlives_the_mail_it_was_taken_for(self, seats: Harness):
        put(seats.spool, 9)
        for slot in ("a", "b"):
            (leased,) = claim(seats.spool, 1, slot=slot)
            assert seats.spool.done(leased, accepted("a@a.org"))
        assert claim(seats.spool, slot="c") == ()
        assert taken(seats) == 2

    @pytest.mark.parametrize("word", ["mark", "renew", "step"])
    def test_whatever_makes_a_lease_longer_makes_its_seat_last_as_long(self, seats: Harness, word: str):
        put(seats.spool, 9)
        (leased,) = claim(seats.spool, 1, slot="a")
        (other,) = claim(seats.spool, 1, slot="b")
        seats.advance(LEASE - 1)
        assert seats.spool.renew(other, 5 * LEASE)
        if word == "step":
            assert seats.spool.step(None, leased, 3 * LEASE).answer() == (False, True)
        else:
            assert getattr(seats.spool, word)(leased, 3 * LEASE)
        seats.advance(3 * LEASE - 1)
        assert claim(seats.second_worker(), slot="c") == ()
        assert taken(seats) == 2
        seats.advance(1)
        assert taken(seats) == 1

    def test_a_lease_that_becomes_shorter_leaves_the_seat_as_it_is(self, seats: Harness):
        put(seats.spool, 9)
        (leased,) = claim(seats.spool, 1, slot="a")
        assert seats.spool.mark(leased, 1.0)
        assert seats.spool.renew(leased, 1.0)
        seats.advance(LEASE - 1)
        assert taken(seats) == 1

    def test_a_seat_that_ran_out_does_not_come_back_by_itself(self, seats: Harness):
        put(seats.spool, 9)
        (late,) = claim(seats.spool, 1, slot="a")
        seats.advance(LEASE)
        for slot in ("b", "c"):
            assert len(claim(seats.spool, 1, slot=slot)) == 1
        assert not seats.spool.renew(late, LEASE)
        assert not seats.spool.mark(late, LEASE)
        assert taken(seats) == 2
        assert claim(seats.spool, slot="a") == ()

    def test_words_and_gates_leave_the_seats_alone(self, seats: Harness):
        put(seats.spool, 9)
        (one, two) = claim(seats.spool, 2, slot="a")
        assert seats.spool.defer(one, seats.spool.now(), deferred("a@a.org"))
        assert seats.spool.snooze(two, seats.spool.now())
        seats.spool.trip("relay", (5.0,), "connect")
        seats.spool.pause("relay")
        seats.spool.resume("relay")
        seats.spool.recover("relay")
        assert taken(seats) == 1

    def test_seats_and_the_other_limits_hold_together(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(sessions=1, rate=1, domain_concurrency={"a.org": 1})})
        put(harness.spool, 3, domain="a.org")
        (leased,) = claim(harness.spool, slot="a")
        harness.advance(5)
        assert claim(harness.spool, slot="a") == ()
        assert harness.spool.done(leased, accepted("a@a.org"))
        assert claim(harness.spool, slot="b") == ()
        assert len(claim(harness.spool, slot="a")) == 1
        harness.spool.leave("relay", "a")
        answer = harness.spool.claim(LANES, 50, LEASE, None, "b")
        assert answer.leased == ()
        assert answer.next_in is not None

    def test_a_slot_asks_what_is_ready_for_it(self, seats: Harness):
        put(seats.spool, 9)
        assert seats.spool.has_ready(LANES)
        claim(seats.spool, 1, slot="a")
        assert seats.spool.has_ready(LANES)
        claim(seats.spool, 1, slot="b")
        assert not seats.spool.has_ready(LANES), "nobody has to be woken"
        assert not seats.spool.has_ready(LANES, "c")
        assert seats.spool.has_ready(LANES, "a")
        put(seats.spool, mailer="other")
        assert seats.spool.has_ready(LANES, "c")
        claim(seats.spool, slot="c")
        seats.spool.leave("relay", "a")
        assert seats.spool.has_ready(LANES)

    def test_what_waits_for_seats_of_lost_slots_is_ready_when_they_end(self, seats: Harness):
        put(seats.spool, 9)
        for slot in ("a", "b"):
            claim(seats.spool, 1, slot=slot)
        assert claim(seats.spool, slot="c") == ()
        seats.advance(LEASE)
        assert seats.spool.has_ready(LANES)
