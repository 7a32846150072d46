"""What a worker does to the mail that it holds: mark, renew, and the five words that end a lease; and what a lapse does."""

from __future__ import annotations

import pytest

from mailworker.outcome import OutcomeClass
from mailworker.spool.base import MAX_LAPSES
from mailworker.spool.record import State
from tests.spool.harness import (
    LEASE,
    Harness,
    accepted,
    claim,
    claim_one,
    claimed_ids,
    deferred,
    in_doubt,
    let_lapse,
    put,
    record,
    rejected,
    state,
)


class LeaseRules:
    def test_a_mark_charges_the_attempt_and_a_claim_does_not(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert record(harness.spool, mail).ledger.attempts == 0
        harness.advance(5)
        assert harness.spool.mark(leased, LEASE)
        ledger = record(harness.spool, mail).ledger
        assert ledger.attempts == 1
        assert ledger.first_attempt_at == pytest.approx(harness.spool.now())

    def test_a_mark_that_is_said_twice_charges_once(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.mark(leased, LEASE)
        assert record(harness.spool, mail).ledger.attempts == 1

    def test_a_mark_makes_the_lease_last_from_now_on(self, harness: Harness):
        put(harness.spool)
        leased = claim_one(harness.spool)
        harness.advance(LEASE - 1)
        assert harness.spool.mark(leased, 900)
        harness.advance(899)
        assert claim(harness.second_worker()) == ()
        harness.advance(1)
        assert len(claim(harness.second_worker())) == 1

    def test_a_renewed_lease_lasts_from_now_on_and_charges_nothing(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        for _ in range(5):
            harness.advance(LEASE - 1)
            assert harness.spool.renew(leased, LEASE)
        assert claim(harness.second_worker()) == ()
        assert record(harness.spool, mail).ledger.attempts == 0

    def test_a_lease_that_has_run_out_can_be_neither_marked_nor_renewed(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness)
        assert not harness.spool.mark(leased, LEASE)
        assert not harness.spool.renew(leased, LEASE)
        assert state(harness.spool, mail) is State.DUE
        assert record(harness.spool, mail).ledger.attempts == 0

    def test_a_lease_that_was_taken_over_can_be_neither_marked_nor_renewed(self, harness: Harness):
        (mail,) = put(harness.spool)
        (old,) = let_lapse(harness)
        new = claim_one(harness.second_worker())
        assert not harness.spool.mark(old, LEASE)
        assert not harness.spool.renew(old, LEASE)
        assert harness.second_worker().mark(new, LEASE)
        assert record(harness.spool, mail).ledger.attempts == 1

    def test_a_lease_that_was_ended_can_be_neither_marked_nor_renewed(self, harness: Harness):
        put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.done(leased, accepted("a@a.org"))
        assert not harness.spool.mark(leased, LEASE)
        assert not harness.spool.renew(leased, LEASE)

    def test_done_makes_the_mail_sent_and_drops_its_payload(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.done(leased, accepted("a@a.org"))
        status = harness.spool.status(mail.id)
        assert status is not None
        assert (status.state, status.attempts, status.next_attempt_at) == (State.SENT, 1, None)
        assert status.outcomes == accepted("a@a.org")
        assert record(harness.spool, mail).payload == b""
        harness.advance(10 * LEASE)
        assert claim(harness.spool) == ()

    def test_defer_puts_the_mail_back_until_its_time_with_what_is_known(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        until = harness.spool.now() + 300
        assert harness.spool.defer(leased, until, accepted("a@a.org") | deferred("b@b.org"))
        status = harness.spool.status(mail.id)
        assert status is not None
        assert status.state is State.DUE
        assert status.next_attempt_at == pytest.approx(until)
        assert record(harness.spool, mail).due_at == pytest.approx(until)
        harness.advance(299)
        assert claim(harness.spool) == ()
        harness.advance(1)
        again = claim_one(harness.spool)
        assert again.mail.ledger.accepted == {"a@a.org"}
        assert again.mail.ledger.attempts == 1
        assert again.mail.payload == mail.payload
        assert not again.in_doubt

    def test_the_time_of_the_first_attempt_stays_through_the_later_ones(self, harness: Harness):
        (mail,) = put(harness.spool)
        first_at = harness.spool.now()
        for _ in range(3):
            leased = claim_one(harness.spool)
            assert harness.spool.mark(leased, LEASE)
            assert harness.spool.defer(leased, harness.spool.now() + 60, deferred("a@a.org"))
            harness.advance(60)
        ledger = record(harness.spool, mail).ledger
        assert ledger.attempts == 3
        assert ledger.first_attempt_at == pytest.approx(first_at)

    def test_an_accepted_recipient_stays_accepted_whatever_is_said_later(self, harness: Harness):
        (mail,) = put(harness.spool)
        harness.spool.defer(claim_one(harness.spool), harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        harness.spool.defer(claim_one(harness.spool), harness.spool.now(), deferred("a@a.org", "b@b.org"))
        harness.spool.bury(claim_one(harness.spool), rejected("a@a.org", "b@b.org"), "rejected")
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org") | rejected("b@b.org")

    def test_snooze_is_as_if_the_lease_had_never_been(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.snooze(leased, harness.spool.now() + 30)
        assert record(harness.spool, mail).ledger == mail.ledger
        assert claim(harness.spool) == ()
        harness.advance(30)
        again = claim_one(harness.spool)
        assert (again.mail.ledger, again.in_doubt) == (mail.ledger, False)

    def test_snooze_refunds_only_what_its_own_lease_has_charged(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.defer(leased, harness.spool.now(), deferred("a@a.org"))
        before = record(harness.spool, mail).ledger
        assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now())
        assert record(harness.spool, mail).ledger == before
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.snooze(leased, harness.spool.now())
        assert record(harness.spool, mail).ledger == before

    def test_snoozed_seconds_are_counted_from_the_first_charged_attempt_on(self, harness: Harness):
        (mail,) = put(harness.spool)
        assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now() + 40)
        harness.advance(40)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.defer(leased, harness.spool.now(), deferred("a@a.org"))
        assert record(harness.spool, mail).ledger.snoozed == 0
        assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now() + 25)
        harness.advance(25)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.snooze(leased, harness.spool.now() + 5)
        assert record(harness.spool, mail).ledger.snoozed == pytest.approx(30)

    def test_bury_makes_a_dead_letter_that_keeps_its_payload_and_its_reason(self, harness: Harness):
        (mail,) = put(harness.spool)
        assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "rejected by the relay")
        status = harness.spool.status(mail.id)
        assert status is not None
        assert (status.state, status.reason) == (State.DEAD, "rejected by the relay")
        assert record(harness.spool, mail).payload == mail.payload
        assert harness.spool.ids(State.DEAD) == [mail.id]

    def test_bury_drops_a_mail_that_is_to_fail_silently(self, harness: Harness):
        (mail,) = put(harness.spool, fail_silently=True)
        assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "rejected by the relay")
        assert state(harness.spool, mail) is State.DROPPED
        assert record(harness.spool, mail).payload == b""
        assert record(harness.spool, mail).ledger.outcomes == rejected("a@a.org")

    def test_bury_keeps_a_mail_that_is_to_fail_silently_if_its_worker_could_not_read_it(self, harness: Harness):
        (mail,) = put(harness.spool, fail_silently=True)
        leased = claim_one(harness.spool)
        assert harness.spool.bury(leased, {}, "no key opens it", keep=True)
        assert harness.spool.bury(leased, {}, "no key opens it", keep=True)
        status = harness.spool.status(mail.id)
        assert status is not None
        assert (status.state, status.reason) == (State.DEAD, "no key opens it")
        assert record(harness.spool, mail).payload == mail.payload
        assert harness.spool.replay(mail.id)
        assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "rejected by the relay")
        assert state(harness.spool, mail) is State.DROPPED

    def test_hold_puts_a_mail_aside_until_somebody_decides(self, harness: Harness):
        (mail,) = put(harness.spool)
        assert harness.spool.hold(claim_one(harness.spool), in_doubt("a@a.org"), "in doubt")
        harness.advance(10 * LEASE)
        assert claim(harness.spool) == ()
        status = harness.spool.status(mail.id)
        assert status is not None
        assert (status.state, status.reason, status.in_doubt) == (State.HELD, "in doubt", True)
        assert record(harness.spool, mail).payload == mail.payload

    @pytest.mark.parametrize("word", ["done", "defer", "snooze", "bury", "hold"])
    def test_a_word_that_is_said_again_after_a_lost_reply_counts_once_and_is_true(self, harness: Harness, word):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        until = harness.spool.now() + 100
        say = {
            "done": lambda: harness.spool.done(leased, accepted("a@a.org")),
            "defer": lambda: harness.spool.defer(leased, until, in_doubt("a@a.org"), resend=True),
            "snooze": lambda: harness.spool.snooze(leased, until),
            "bury": lambda: harness.spool.bury(leased, rejected("a@a.org"), "rejected"),
            "hold": lambda: harness.spool.hold(leased, deferred("a@a.org"), "held"),
        }[word]
        assert say()
        once = harness.spool.status(mail.id), harness.spool.get(mail.id)
        assert say()
        assert (harness.spool.status(mail.id), harness.spool.get(mail.id)) == once

    def test_a_mail_whose_lease_ran_out_comes_due_by_itself(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        harness.advance(LEASE - 1)
        assert claim(harness.second_worker()) == ()
        assert state(harness.spool, mail) is State.LEASED
        harness.advance(1)
        assert state(harness.spool, mail) is State.DUE
        again = claim_one(harness.second_worker())
        assert (again.mail.id, again.mail.ledger.lapses) == (mail.id, 1)
        assert again.token != leased.token

    def test_a_mark_of_a_lapsed_lease_puts_the_mail_in_doubt(self, harness: Harness):
        (mail,) = put(harness.spool)
        let_lapse(harness, marked=True)
        again = claim_one(harness.spool)
        assert again.in_doubt
        assert again.mail.ledger.in_doubt
        assert again.mail.ledger.attempts == 1
        status = harness.spool.status(mail.id)
        assert status is not None
        assert status.in_doubt

    def test_a_lapsed_lease_without_a_mark_leaves_no_doubt(self, harness: Harness):
        put(harness.spool)
        let_lapse(harness)
        again = claim_one(harness.spool)
        assert (again.in_doubt, again.mail.ledger.in_doubt, again.mail.ledger.attempts) == (False, False, 0)

    def test_a_doubt_outlives_a_snooze_and_an_unmarked_lapse(self, harness: Harness):
        put(harness.spool)
        let_lapse(harness, marked=True)
        assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now())
        (again,) = let_lapse(harness)
        assert again.in_doubt
        assert claim_one(harness.spool).in_doubt

    def test_a_doubt_that_a_worker_has_answered_is_not_raised_again_but_stays_flagged(self, harness: Harness):
        (mail,) = put(harness.spool)
        let_lapse(harness, marked=True)
        assert harness.spool.defer(claim_one(harness.spool), harness.spool.now(), {}, resend=True)
        again = claim_one(harness.spool)
        assert not again.in_doubt
        assert again.mail.ledger.in_doubt
        assert again.mail.ledger.in_doubt_resends == 1
        assert harness.spool.done(again, accepted("a@a.org"))
        assert record(harness.spool, mail).ledger.in_doubt

    def test_an_outcome_in_doubt_flags_the_mail(self, harness: Harness):
        (mail,) = put(harness.spool)
        assert harness.spool.bury(claim_one(harness.spool), in_doubt("a@a.org"), "in doubt")
        assert record(harness.spool, mail).ledger.in_doubt
        assert record(harness.spool, mail).ledger.outcomes["a@a.org"].kind is OutcomeClass.IN_DOUBT

    def test_a_mail_that_loses_its_worker_each_time_is_buried(self, harness: Harness):
        (killer,) = put(harness.spool)
        (other,) = put(harness.spool, due_at=harness.spool.now() + 10 * LEASE)
        for number in range(MAX_LAPSES):
            (leased,) = let_lapse(harness, marked=True, limit=50)
            assert (leased.mail.id, leased.mail.ledger.lapses) == (killer.id, number)
        assert claim(harness.spool) == ()
        status = harness.spool.status(killer.id)
        assert status is not None
        assert (status.state, status.attempts, status.in_doubt) == (State.DEAD, MAX_LAPSES, True)
        assert str(MAX_LAPSES) in status.reason
        assert record(harness.spool, killer).payload == killer.payload
        harness.advance(10 * LEASE)
        assert claimed_ids(harness.spool) == [other.id]

    def test_a_silent_mail_that_loses_its_worker_each_time_is_dropped(self, harness: Harness):
        (mail,) = put(harness.spool, fail_silently=True)
        for _ in range(MAX_LAPSES):
            let_lapse(harness)
        assert claim(harness.spool) == ()
        assert state(harness.spool, mail) is State.DROPPED

    def test_lapses_count_only_in_a_row(self, harness: Harness):
        (mail,) = put(harness.spool)
        for _ in range(MAX_LAPSES):
            for _ in range(MAX_LAPSES - 1):
                let_lapse(harness)
            leased = claim_one(harness.spool)
            assert harness.spool.mark(leased, LEASE)
            assert harness.spool.defer(leased, harness.spool.now(), deferred("a@a.org"))
        assert state(harness.spool, mail) is State.DUE

    def test_a_mail_that_was_put_with_a_ledger_goes_on_from_there(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.defer(leased, harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        ledger = record(harness.spool, mail).ledger
        (copy,) = put(harness.spool, ledger=ledger)
        assert record(harness.spool, copy).ledger == ledger
        second = next(one for one in claim(harness.spool) if one.mail.id == copy.id)
        assert harness.spool.mark(second, LEASE)
        assert harness.spool.snooze(second, harness.spool.now())
        assert record(harness.spool, copy).ledger == ledger
