"""A mail's life beside the workers: put, cancel, replay, purge, how long it is known, what people can ask."""

from __future__ import annotations

import pytest

from mailworker.lane import Lane
from mailworker.spool.record import Mail, State
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
    in_doubt,
    let_lapse,
    new_mail,
    put,
    record,
    rejected,
    state,
)


def in_state(harness: Harness, wanted: State) -> Mail:
    """Put a mail in and bring it into a state."""
    spool = harness.spool
    silent, expires = wanted is State.DROPPED, spool.now() if wanted is State.EXPIRED else None
    (mail,) = put(spool, fail_silently=silent, expires_at=expires)
    if wanted is State.CANCELLED:
        assert spool.cancel(mail.id)
    elif wanted is State.EXPIRED:
        assert claim(spool) == ()
    elif wanted is not State.DUE:
        leased = claim_one(spool)
        if wanted is State.SENT:
            assert spool.done(leased, accepted("a@a.org"))
        elif wanted is State.HELD:
            assert spool.hold(leased, {}, "in doubt")
        elif wanted in (State.DEAD, State.DROPPED):
            assert spool.bury(leased, {}, "given up")
    assert state(spool, mail) is wanted
    return mail


class LifeRules:
    def test_put_answers_for_each_mail_whether_it_is_new(self, harness: Harness):
        one, two = new_mail(harness.spool), new_mail(harness.spool)
        assert harness.spool.put([one]) == [True]
        assert harness.spool.put(iter([one, two, two])) == [False, True, False]
        assert harness.spool.put([]) == []

    @pytest.mark.parametrize("known", list(State))
    def test_a_known_id_is_not_taken_again_whatever_its_state(self, harness: Harness, known):
        mail = in_state(harness, known)
        before = harness.spool.get(mail.id)
        assert harness.spool.put([Mail(id=mail.id, payload=b"another", due_at=harness.spool.now())]) == [False]
        assert (state(harness.spool, mail), harness.spool.get(mail.id)) == (known, before)

    def test_an_unknown_id_has_no_record_and_no_status(self, harness: Harness):
        assert harness.spool.get("0" * 32) is None
        assert harness.spool.status("0" * 32) is None

    def test_status_tells_all_that_is_known(self, harness: Harness):
        now = harness.spool.now()
        (mail,) = put(harness.spool, lane=Lane.BULK, mailer="other", group="news", expires_at=now + 900, due_at=now + 5)
        status = harness.spool.status(mail.id)
        assert status is not None
        assert (status.id, status.state, status.mailer, status.lane) == (mail.id, State.DUE, "other", Lane.BULK)
        assert (status.group, status.attempts, status.in_doubt, status.reason) == ("news", 0, False, "")
        assert status.next_attempt_at == pytest.approx(now + 5)
        assert status.created_at == pytest.approx(now)
        assert status.expires_at == pytest.approx(now + 900)
        assert status.outcomes == {}

    @pytest.mark.parametrize("known", list(State))
    def test_what_is_due_or_held_can_be_cancelled_and_nothing_else(self, harness: Harness, known):
        mail = in_state(harness, known)
        can = known in (State.DUE, State.HELD)
        assert harness.spool.cancel(mail.id) is can
        assert state(harness.spool, mail) is (State.CANCELLED if can else known)
        if can:
            assert record(harness.spool, mail).payload == b""
            assert claim(harness.spool) == ()
            assert not harness.spool.cancel(mail.id)

    def test_an_unknown_mail_can_be_neither_cancelled_nor_replayed_nor_purged(self, harness: Harness):
        unknown = "f" * 32
        assert not harness.spool.cancel(unknown)
        assert not harness.spool.replay(unknown)
        assert not harness.spool.purge(unknown)

    def test_a_mail_that_is_not_due_yet_can_be_cancelled(self, harness: Harness):
        (mail,) = put(harness.spool, due_at=harness.spool.now() + 100)
        assert harness.spool.cancel(mail.id)
        harness.advance(100)
        assert claim(harness.spool) == ()

    def test_of_a_cancel_and_a_claim_the_first_wins(self, harness: Harness):
        first, second = put(harness.spool, 2)
        assert harness.spool.cancel(first.id)
        assert claimed_ids(harness.second_worker()) == [second.id]
        assert not harness.spool.cancel(second.id)
        assert state(harness.spool, second) is State.LEASED

    def test_a_mail_whose_lease_ran_out_can_be_cancelled_and_its_worker_may_not_begin(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness)
        assert harness.spool.cancel(mail.id)
        assert not harness.spool.mark(leased, LEASE)
        assert state(harness.spool, mail) is State.CANCELLED

    @pytest.mark.parametrize("known", list(State))
    def test_what_is_dead_or_held_can_be_replayed_and_nothing_else(self, harness: Harness, known):
        mail = in_state(harness, known)
        can = known in (State.DEAD, State.HELD)
        assert harness.spool.replay(mail.id) is can
        assert state(harness.spool, mail) is (State.DUE if can else known)
        if can:
            assert claimed_ids(harness.spool) == [mail.id]

    def test_a_replay_starts_afresh_and_remembers_only_who_was_accepted(self, harness: Harness):
        (mail,) = put(harness.spool)
        for _ in range(2):
            leased = claim_one(harness.spool)
            assert harness.spool.mark(leased, LEASE)
            outcomes = in_doubt("d@d.org") | deferred("c@c.org")
            assert harness.spool.defer(leased, harness.spool.now(), outcomes, resend=True)
            assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now() + 10)
            harness.advance(10)
        outcomes = accepted("a@a.org") | rejected("b@b.org")
        assert harness.spool.bury(claim_one(harness.spool), outcomes, "rejected")
        harness.advance(5)
        assert harness.spool.replay(mail.id)
        leased = claim_one(harness.spool)
        assert leased.mail.due_at == pytest.approx(harness.spool.now())
        ledger = leased.mail.ledger
        assert ledger.outcomes == accepted("a@a.org")
        assert (ledger.attempts, ledger.first_attempt_at, ledger.snoozed) == (0, None, 0)
        assert (ledger.lapses, ledger.in_doubt_resends, ledger.reason) == (0, 0, "")
        assert ledger.in_doubt
        assert not leased.in_doubt

    def test_a_mail_that_was_buried_by_its_lapses_can_be_replayed(self, harness: Harness):
        (mail,) = put(harness.spool)
        for _ in range(3):
            let_lapse(harness, marked=True)
        assert claim(harness.spool) == ()
        assert harness.spool.replay(mail.id)
        leased = claim_one(harness.spool)
        assert (leased.mail.ledger.lapses, leased.in_doubt, leased.mail.ledger.in_doubt) == (0, False, True)

    @pytest.mark.parametrize("known", list(State))
    def test_only_what_is_dead_can_be_purged(self, harness: Harness, known):
        mail = in_state(harness, known)
        can = known is State.DEAD
        assert harness.spool.purge(mail.id) is can
        assert state(harness.spool, mail) is (None if can else known)
        assert harness.spool.put([mail]) == [can]

    @pytest.mark.parametrize("known", [known for known in State if known.is_finished])
    def test_what_is_finished_is_known_for_the_retention_and_then_gone(self, open_harness: OpenHarness, known: State):
        harness = open_harness(retention=1000)
        mail = in_state(harness, known)
        harness.advance(999)
        assert state(harness.spool, mail) is known
        harness.advance(1)
        assert harness.spool.status(mail.id) is None
        assert harness.spool.get(mail.id) is None
        assert harness.spool.ids(known) == []
        assert harness.spool.stats().counts == {}
        assert harness.spool.put([mail]) == [True]

    @pytest.mark.parametrize("known", [State.DUE, State.HELD, State.DEAD])
    def test_what_is_not_finished_outlives_the_retention(self, open_harness: OpenHarness, known):
        harness = open_harness(retention=1000)
        mail = in_state(harness, known)
        harness.advance(100_000)
        assert state(harness.spool, mail) is known

    def test_a_cancelled_group_is_forgotten_with_its_mails_and_its_name_is_free(self, open_harness: OpenHarness):
        harness = open_harness(retention=1000)
        mails = put(harness.spool, 5, group="news")
        harness.spool.cancel_group("news")
        assert state(harness.spool, mails[0]) is State.CANCELLED
        claim(harness.spool)
        harness.advance(1000)
        assert harness.spool.status_of_group("news") == {}
        assert {state(harness.spool, mail) for mail in mails} == {None}
        (new,) = put(harness.spool, group="news")
        assert claimed_ids(harness.spool) == [new.id]

    def test_ids_are_the_oldest_first(self, harness: Harness):
        young, old, middle = (put(harness.spool, created_at=harness.spool.now() - age)[0] for age in (1, 9, 5))
        assert harness.spool.ids(State.DUE) == ids([old, middle, young])
        assert harness.spool.ids(State.SENT) == []

    def test_stats_count_by_mailer_lane_and_state(self, harness: Harness):
        put(harness.spool, 3, lane=Lane.HIGH)
        put(harness.spool, 2, mailer="other", lane=Lane.BULK)
        assert harness.spool.done(claim_one(harness.spool), accepted("a@a.org"))
        claim_one(harness.spool)
        harness.spool.pause("third", "not yet in use")
        stats = harness.spool.stats()
        assert stats.counts == {
            ("relay", Lane.HIGH, State.SENT): 1,
            ("relay", Lane.HIGH, State.LEASED): 1,
            ("relay", Lane.HIGH, State.DUE): 1,
            ("other", Lane.BULK, State.DUE): 2,
        }
        assert set(stats.mailers) == {"relay", "other", "third"}
        assert stats.mailers["third"].paused_by_person
        assert not stats.mailers["relay"].paused_by_person

    def test_a_lease_that_ran_out_is_counted_as_due(self, harness: Harness):
        put(harness.spool, group="news")
        let_lapse(harness)
        assert harness.spool.status_of_group("news") == {State.DUE: 1}
        assert set(harness.spool.stats().counts) == {("relay", Lane.NORMAL, State.DUE)}

    def test_stats_tell_how_many_of_those_that_are_due_are_not_ready_yet(self, harness: Harness):
        now = harness.spool.now()
        put(harness.spool, due_at=now + 50)
        put(harness.spool, due_at=now + 50, group="news")
        put(harness.spool, due_at=now - 20)
        put(harness.spool, due_at=now + 70, lane=Lane.HIGH)
        stats = harness.spool.stats()
        assert stats.later == {("relay", Lane.NORMAL): 2, ("relay", Lane.HIGH): 1}
        assert stats.counts == {("relay", Lane.NORMAL, State.DUE): 3, ("relay", Lane.HIGH, State.DUE): 1}
        harness.advance(60)
        assert harness.spool.stats().later == {("relay", Lane.HIGH): 1}

    def test_stats_tell_how_long_the_oldest_ready_mail_has_waited(self, harness: Harness):
        assert harness.spool.stats().oldest_due_age is None
        put(harness.spool, due_at=harness.spool.now() + 50)
        assert harness.spool.stats().oldest_due_age is None
        put(harness.spool, due_at=harness.spool.now() - 20, group="news")
        harness.spool.pause_group("news")
        claim(harness.spool)
        assert harness.spool.stats().oldest_due_age == pytest.approx(20)
        harness.advance(100)
        assert harness.spool.stats().oldest_due_age == pytest.approx(120)
