"""Groups: pausing, resuming, cancelling, counting."""

from __future__ import annotations

from mailworker.lane import LANES, Lane
from mailworker.spool.record import State
from tests.spool.harness import (
    LEASE,
    Harness,
    OpenHarness,
    accepted,
    claim,
    claim_one,
    claimed_ids,
    deferred,
    ids,
    let_lapse,
    put,
    record,
    rejected,
    state,
)


class GroupRules:
    def test_a_groups_gate_says_who_may_go(self, harness: Harness):
        assert harness.spool.group_gate("news") == "open"
        harness.spool.pause_group("news")
        assert harness.second_worker().group_gate("news") == "paused"
        put(harness.spool, group="news")
        harness.spool.resume_group("news")
        assert harness.spool.group_gate("news") == "open"
        harness.spool.pause_group("news")
        harness.spool.cancel_group("news")
        assert harness.second_worker().group_gate("news") == "cancelled"
        harness.spool.pause_group("later")
        assert harness.second_worker().stats().groups == {"later": "paused", "news": "cancelled"}
        harness.spool.resume_group("later")
        assert harness.spool.stats().groups == {"news": "cancelled"}
        harness.spool.resume_group("news")
        assert harness.spool.group_gate("news") == "open"

    def test_a_paused_group_waits_and_the_others_go_on(self, harness: Harness):
        mails = put(harness.spool, 5, group="news") + put(
            harness.spool, 2, group="news", lane=Lane.HIGH, mailer="other"
        )
        others = put(harness.spool, 2, group="receipts") + put(harness.spool, 2)
        harness.spool.pause_group("news")
        assert sorted(claimed_ids(harness.spool)) == sorted(ids(others))
        assert claim(harness.second_worker()) == ()
        assert {state(harness.spool, mail) for mail in mails} == {State.DUE}

    def test_nothing_is_to_be_expected_of_a_group_that_a_person_paused(self, harness: Harness):
        put(harness.spool, 5, group="news")
        harness.spool.pause_group("news")
        claim(harness.spool)
        assert harness.spool.claim(LANES, 10, LEASE).next_in is None

    def test_a_resumed_group_goes_on(self, harness: Harness):
        mails = put(harness.spool, 5, group="news")
        harness.spool.pause_group("news")
        assert claim(harness.spool) == ()
        harness.spool.resume_group("news")
        assert sorted(claimed_ids(harness.spool)) == sorted(ids(mails))

    def test_a_group_can_be_paused_before_its_first_mail(self, harness: Harness):
        harness.spool.pause_group("news")
        put(harness.spool, 2, group="news")
        assert claim(harness.spool) == ()
        harness.spool.resume_group("news")
        assert len(claim(harness.spool)) == 2

    def test_what_is_put_into_or_back_into_a_paused_group_waits_too(self, harness: Harness):
        put(harness.spool, 1, group="news")
        leased = claim_one(harness.spool)
        harness.spool.pause_group("news")
        put(harness.spool, 1, group="news")
        assert harness.spool.snooze(leased, harness.spool.now())
        assert claim(harness.spool) == ()
        harness.spool.resume_group("news")
        assert len(claim(harness.spool)) == 2

    def test_resuming_a_group_that_nobody_knows_does_nothing(self, harness: Harness):
        harness.spool.resume_group("nobody")
        assert harness.spool.status_of_group("nobody") == {}
        assert len(put(harness.spool, 1, group="nobody")) == len(claim(harness.spool)) == 1

    def test_a_cancelled_group_is_taken_back_at_once(self, harness: Harness):
        mails = put(harness.spool, 5, group="news") + put(
            harness.spool, 5, group="news", due_at=harness.spool.now() + 100
        )
        (other,) = put(harness.spool, group="receipts")
        harness.spool.cancel_group("news")
        assert {state(harness.spool, mail) for mail in mails} == {State.CANCELLED}
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 10}
        assert sorted(harness.spool.ids(State.CANCELLED)) == sorted(ids(mails))
        harness.advance(100)
        assert claimed_ids(harness.spool) == [other.id]
        assert all(record(harness.spool, mail).payload == b"" for mail in mails)

    def test_the_mails_of_a_cancelled_group_are_listed_before_anybody_has_asked_for_one_of_them(self, harness: Harness):
        mails = put(harness.spool, 3, group="news")
        harness.spool.cancel_group("news")
        assert sorted(harness.spool.ids(State.CANCELLED)) == sorted(ids(mails))

    def test_cancelling_a_paused_group_leaves_nothing_behind(self, harness: Harness):
        put(harness.spool, 5, group="news")
        harness.spool.pause_group("news")
        assert claim(harness.spool) == ()
        harness.spool.cancel_group("news")
        harness.spool.resume_group("news")
        assert claim(harness.spool) == ()
        (mail,) = put(harness.spool, group="news")
        assert claimed_ids(harness.spool) == [mail.id]

    def test_what_is_held_is_cancelled_with_its_group(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        assert harness.spool.hold(claim_one(harness.spool), {}, "in doubt")
        harness.spool.cancel_group("news")
        assert state(harness.spool, mail) is State.CANCELLED
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 1}
        assert not harness.spool.replay(mail.id)

    def test_what_is_finished_or_dead_stays_as_it_is_when_its_group_is_cancelled(self, harness: Harness):
        sent, dead = put(harness.spool, 2, group="news")
        leased = {one.mail.id: one for one in claim(harness.spool)}
        assert harness.spool.done(leased[sent.id], accepted("a@a.org"))
        assert harness.spool.bury(leased[dead.id], rejected("a@a.org"), "rejected")
        harness.spool.cancel_group("news")
        assert harness.spool.status_of_group("news") == {State.SENT: 1, State.DEAD: 1}
        assert (state(harness.spool, sent), state(harness.spool, dead)) == (State.SENT, State.DEAD)

    def test_a_claimed_mail_of_a_cancelled_group_may_not_be_begun(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        leased = claim_one(harness.spool)
        harness.spool.cancel_group("news")
        assert state(harness.spool, mail) is State.LEASED
        assert not harness.second_worker().mark(leased, LEASE)
        assert state(harness.spool, mail) is State.CANCELLED
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 1}

    def test_a_mail_that_was_begun_before_its_group_was_cancelled_ends_as_it_ends(self, harness: Harness):
        sent, back = put(harness.spool, 2, group="news")
        leased = {one.mail.id: one for one in claim(harness.spool)}
        assert all(harness.spool.mark(one, LEASE) for one in leased.values())
        harness.spool.cancel_group("news")
        assert harness.spool.mark(leased[sent.id], LEASE)
        assert harness.spool.done(leased[sent.id], accepted("a@a.org"))
        assert harness.spool.defer(leased[back.id], harness.spool.now(), deferred("a@a.org"))
        assert (state(harness.spool, sent), state(harness.spool, back)) == (State.SENT, State.CANCELLED)
        assert claim(harness.spool) == ()

    def test_a_lease_of_a_cancelled_group_that_runs_out_ends_cancelled_and_in_doubt(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        harness.spool.cancel_group("news")
        harness.advance(LEASE)
        assert claim(harness.spool) == ()
        assert state(harness.spool, mail) is State.CANCELLED
        assert record(harness.spool, mail).ledger.in_doubt
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 1}

    def test_a_producer_in_the_middle_of_a_cancelled_group_cannot_go_on(self, harness: Harness):
        put(harness.spool, 2, group="news")
        harness.spool.cancel_group("news")
        (late,) = put(harness.spool, group="news")
        assert state(harness.spool, late) is State.CANCELLED
        assert claim(harness.spool) == ()

    def test_a_group_can_be_cancelled_before_its_first_mail(self, harness: Harness):
        harness.spool.cancel_group("news")
        assert harness.spool.status_of_group("news") == {}
        late = put(harness.second_worker(), 2, group="news")
        (other,) = put(harness.spool, group="receipts")
        assert {state(harness.spool, mail) for mail in late} == {State.CANCELLED}
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 2}
        assert claimed_ids(harness.spool) == [other.id]

    def test_a_group_that_was_cancelled_before_its_first_mail_waits_for_it_however_long_it_takes(
        self, open_harness: OpenHarness
    ):
        harness = open_harness(retention=100.0)
        harness.spool.cancel_group("news")
        harness.advance(1_000_000)
        harness.spool.stats()
        (late,) = put(harness.spool, group="news")
        assert state(harness.spool, late) is State.CANCELLED

    def test_resuming_a_group_without_mails_makes_it_as_if_nobody_had_cancelled_it(self, harness: Harness):
        harness.spool.cancel_group("news")
        harness.spool.resume_group("news")
        (mail,) = put(harness.spool, group="news")
        assert claimed_ids(harness.spool) == [mail.id]
        harness.spool.cancel_group("empty")
        harness.spool.pause_group("empty")
        harness.spool.resume_group("empty")
        (mail,) = put(harness.spool, group="empty")
        assert claimed_ids(harness.spool) == [mail.id]

    def test_a_cancelled_group_opens_again_when_the_last_of_its_mails_is_forgotten(self, open_harness: OpenHarness):
        harness = open_harness(retention=100.0)
        put(harness.spool, 2, group="news")
        harness.spool.cancel_group("news")
        assert len(harness.spool.ids(State.CANCELLED)) == 2
        harness.advance(100)
        harness.spool.stats()
        (mail,) = put(harness.spool, group="news")
        assert claimed_ids(harness.spool) == [mail.id]

    def test_a_group_that_is_resumed_after_its_cancellation_takes_new_mails_and_keeps_the_old_ones_back(
        self, harness: Harness
    ):
        old = put(harness.spool, 3, group="news")
        harness.spool.cancel_group("news")
        harness.spool.resume_group("news")
        (new,) = put(harness.spool, group="news")
        assert claimed_ids(harness.spool) == [new.id]
        assert {state(harness.spool, mail) for mail in old} == {State.CANCELLED}
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 3, State.LEASED: 1}

    def test_a_dead_mail_of_a_cancelled_group_can_be_replayed(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "rejected")
        harness.spool.cancel_group("news")
        assert harness.spool.replay(mail.id)
        assert claimed_ids(harness.spool) == [mail.id]

    def test_a_late_done_of_a_cancelled_group_shows_the_mail_sent(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        (leased,) = let_lapse(harness, marked=True)
        harness.spool.cancel_group("news")
        assert not harness.spool.done(leased, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert harness.spool.status_of_group("news") == {State.SENT: 1}

    def test_a_group_is_counted_by_state(self, harness: Harness):
        put(harness.spool, 6, group="news")
        put(harness.spool, 6, group="receipts")
        harness.spool.pause_group("receipts")
        done, dead, held, *_ = claim(harness.spool, 4)
        assert harness.spool.done(done, accepted("a@a.org"))
        assert harness.spool.bury(dead, rejected("a@a.org"), "rejected")
        assert harness.spool.hold(held, {}, "in doubt")
        (cancelled,) = put(harness.spool, group="news")
        assert harness.spool.cancel(cancelled.id)
        counts = {State.SENT: 1, State.DEAD: 1, State.HELD: 1, State.LEASED: 1, State.DUE: 2, State.CANCELLED: 1}
        assert harness.spool.status_of_group("news") == counts

    def test_a_worker_whose_mark_was_refused_with_its_group_has_no_more_to_say(self, harness: Harness):
        (mail,) = put(harness.spool, group="news")
        leased = claim_one(harness.spool)
        harness.spool.cancel_group("news")
        assert not harness.spool.mark(leased, LEASE)
        assert not harness.spool.bury(leased, rejected(), "rejected by the relay")
        assert not harness.spool.defer(leased, harness.spool.now() + 60, deferred())
        assert not harness.spool.snooze(leased, harness.spool.now())
        assert state(harness.spool, mail) is State.CANCELLED
        assert harness.spool.status_of_group("news") == {State.CANCELLED: 1}
