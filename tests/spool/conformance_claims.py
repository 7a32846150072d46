"""Which mails a claim gives out: order, lanes, turns, what it leaves out, and when to come again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mailworker.lane import LANES, Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import STARVATION_GUARD, Ended
from mailworker.spool.record import State
from tests.spool.harness import (
    LEASE,
    Harness,
    accepted,
    claim,
    claim_one,
    claimed_ids,
    ids,
    let_lapse,
    new_mail,
    put,
    record,
    state,
)


class ClaimRules:
    def test_an_empty_spool_gives_nothing_and_knows_of_nothing_to_come(self, harness: Harness):
        answer = harness.spool.claim(LANES, 10, LEASE)
        assert (answer.leased, answer.next_in) == ((), None)

    def test_a_mail_is_given_out_as_it_was_put(self, harness: Harness):
        now = harness.spool.now()
        (mail,) = put(
            harness.spool, expires_at=now + 500, lane=Lane.HIGH, mailer="other", on_in_doubt="hold", domain="a.org"
        )
        leased = claim_one(harness.spool)
        assert leased.mail == mail == harness.spool.get(mail.id)
        assert leased.expires_at == pytest.approx(now + LEASE)
        assert not leased.in_doubt

    def test_a_claimed_mail_is_not_given_out_again(self, harness: Harness):
        (mail,) = put(harness.spool)
        claim_one(harness.spool)
        assert claim(harness.second_worker()) == ()
        assert state(harness.spool, mail) is State.LEASED

    def test_every_lease_has_a_token_of_its_own(self, harness: Harness):
        put(harness.spool, 5)
        tokens = {leased.token for leased in claim(harness.spool)}
        harness.advance(LEASE)
        while leased := claim(harness.spool):
            tokens |= {one.token for one in leased}
        assert len(tokens) == 10

    def test_a_claim_takes_no_more_than_its_limit_and_the_oldest_due_first(self, harness: Harness):
        late, early, middle = (put(harness.spool, due_at=harness.spool.now() - age)[0] for age in (1, 9, 5))
        assert claimed_ids(harness.spool, 2) == ids([early, middle])
        assert claimed_ids(harness.spool, 2) == ids([late])

    def test_mails_of_one_time_go_in_the_order_in_which_they_came(self, harness: Harness):
        mails = put(harness.spool, 20)
        assert claimed_ids(harness.spool) == ids(mails)

    def test_a_mail_waits_until_it_is_due_and_the_claim_says_how_long(self, harness: Harness):
        (mail,) = put(harness.spool, due_at=harness.spool.now() + 100)
        answer = harness.spool.claim(LANES, 10, LEASE)
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(100)
        harness.advance(100)
        assert claimed_ids(harness.spool) == [mail.id]

    def test_the_claim_says_when_the_next_mail_of_the_lanes_asked_for_is_due(self, harness: Harness):
        put(harness.spool, lane=Lane.HIGH, due_at=harness.spool.now() + 10)
        put(harness.spool, lane=Lane.BULK, due_at=harness.spool.now() + 30)
        put(harness.spool, lane=Lane.BULK, due_at=harness.spool.now() + 20)
        assert harness.spool.claim([Lane.BULK], 10, LEASE).next_in == pytest.approx(20)
        assert harness.spool.claim(LANES, 10, LEASE).next_in == pytest.approx(10)

    def test_the_claim_says_when_a_lease_may_run_out(self, harness: Harness):
        put(harness.spool)
        assert harness.spool.claim(LANES, 10, LEASE).next_in == pytest.approx(LEASE)

    def test_a_full_claim_says_that_more_is_ready(self, harness: Harness):
        put(harness.spool, 3)
        assert harness.spool.claim(LANES, 2, LEASE).next_in == 0

    def test_a_claim_that_leaves_only_later_mails_of_a_stream_says_when_they_are_due(self, harness: Harness):
        put(harness.spool)
        put(harness.spool, due_at=harness.spool.now() + 20)
        assert harness.spool.claim(LANES, 1, LEASE).next_in == pytest.approx(20)

    def test_an_earlier_mail_is_not_hidden_by_a_later_one(self, harness: Harness):
        put(harness.spool, due_at=harness.spool.now() + 100)
        assert harness.spool.claim(LANES, 10, LEASE).next_in == pytest.approx(100)
        (mail,) = put(harness.spool, due_at=harness.spool.now() + 10)
        harness.advance(10)
        assert claimed_ids(harness.spool) == [mail.id]

    @pytest.mark.parametrize(("limit", "lease"), [(0, 60.0), (-1, 60.0), (1, 0.0), (1, -5.0)])
    def test_a_claim_for_nothing_or_for_no_time_is_a_mistake(self, harness: Harness, limit, lease):
        with pytest.raises(ValueError, match=rf"limit {limit} and lease {lease}"):
            harness.spool.claim(LANES, limit, lease)

    def test_a_lower_lane_is_served_only_when_the_higher_ones_are_empty(self, harness: Harness):
        of = {lane: put(harness.spool, 2, lane=lane) for lane in reversed(LANES)}
        order = [claimed_ids(harness.spool, 50) for _ in range(4)]
        assert order == [ids(of[Lane.HIGH]), ids(of[Lane.NORMAL]), ids(of[Lane.BULK]), []]

    def test_only_the_lanes_asked_for_are_served(self, harness: Harness):
        put(harness.spool, lane=Lane.HIGH)
        (mail,) = put(harness.spool, lane=Lane.BULK)
        assert [one.mail.id for one in claim(harness.spool, lanes=[Lane.BULK])] == [mail.id]

    def test_every_eighth_claim_that_has_a_choice_starts_from_the_lowest_lane(self, harness: Harness):
        put(harness.spool, 40, lane=Lane.HIGH)
        put(harness.spool, 40, lane=Lane.BULK)
        served = [claim_one(harness.spool).mail.lane for _ in range(3 * STARVATION_GUARD)]
        assert served == ([Lane.HIGH] * (STARVATION_GUARD - 1) + [Lane.BULK]) * 3

    def test_a_claim_without_a_choice_does_not_count_for_the_starvation_guard(self, harness: Harness):
        put(harness.spool, 40, lane=Lane.HIGH)
        for _ in range(STARVATION_GUARD):
            claim_one(harness.spool)
        put(harness.spool, 40, lane=Lane.BULK)
        served = [claim_one(harness.spool).mail.lane for _ in range(STARVATION_GUARD)]
        assert served == [Lane.HIGH] * (STARVATION_GUARD - 1) + [Lane.BULK]

    def test_a_lane_that_was_served_meanwhile_is_not_starving(self, harness: Harness):
        # A high mail now and then beside a full bulk lane must not wait behind a bulk mail each eighth time.
        put(harness.spool, 40, lane=Lane.BULK)
        served = []
        for _ in range(2 * STARVATION_GUARD):
            put(harness.spool, lane=Lane.HIGH)
            served += [claim_one(harness.spool).mail.lane for _ in range(2)]
        assert served == [Lane.HIGH, Lane.BULK] * 2 * STARVATION_GUARD

    def test_a_claim_is_of_one_mailer_and_the_mailers_take_turns(self, harness: Harness):
        put(harness.spool, 6, mailer="one")
        put(harness.spool, 6, mailer="two")
        claims = [claim(harness.spool, 2) for _ in range(6)]
        assert all(len({leased.mail.mailer for leased in leased}) == 1 for leased in claims)
        served = [leased[0].mail.mailer for leased in claims]
        assert sorted(served[:2]) == sorted(served[2:4]) == sorted(served[4:]) == ["one", "two"]

    def test_a_claim_can_ask_for_one_mailer(self, harness: Harness):
        put(harness.spool, 2, mailer="one")
        (mail,) = put(harness.spool, mailer="two")
        assert [one.mail.id for one in claim(harness.spool, mailer="two")] == [mail.id]
        assert claim(harness.spool, mailer="two") == ()
        assert claim(harness.spool, mailer="nobody") == ()

    def test_streams_of_one_lane_take_turns_mail_by_mail(self, harness: Harness):
        put(harness.spool, 100, group="newsletter")
        put(harness.spool, 2, group="receipts")
        put(harness.spool, 2)
        groups = [leased.mail.group for leased in claim(harness.spool, 6)]
        assert sorted(groups, key=str) == [None, None, "newsletter", "newsletter", "receipts", "receipts"]

    def test_turns_go_on_from_claim_to_claim(self, harness: Harness):
        for group in ("a", "b", "c"):
            put(harness.spool, 4, group=group)
        served = [claim_one(harness.spool).mail.group for _ in range(12)]
        assert all(sorted(map(str, served[i : i + 3])) == ["a", "b", "c"] for i in range(0, 12, 3))

    def test_a_mail_whose_time_has_passed_is_expired_by_the_claim(self, harness: Harness):
        (old,) = put(harness.spool, expires_at=harness.spool.now() + 10)
        (good,) = put(harness.spool, expires_at=harness.spool.now() + 11)
        harness.advance(10)
        answer = harness.spool.claim(LANES, 50, LEASE)
        assert [leased.mail.id for leased in answer.leased] == [good.id]
        assert answer.ended == (Ended(old.id, "relay", Lane.NORMAL, None, State.EXPIRED, 0, ""),)
        assert state(harness.spool, old) is State.EXPIRED
        assert record(harness.spool, old).payload == b""

    @pytest.mark.parametrize("silent", [False, True])
    def test_a_mail_whose_time_has_passed_after_an_attempt_is_given_up_and_keeps_its_outcomes(
        self, harness: Harness, *, silent: bool
    ):
        now = harness.spool.now()
        (mail,) = put(harness.spool, expires_at=now + 10, fail_silently=silent)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        outcomes = {"a@x.org": Outcome(OutcomeClass.ACCEPTED), "b@x.org": Outcome(OutcomeClass.DEFERRED)}
        assert harness.spool.defer(leased, now + 10, outcomes)
        harness.advance(10)
        answer = harness.spool.claim(LANES, 50, LEASE)
        assert answer.leased == ()
        wanted = State.DROPPED if silent else State.DEAD
        (ended,) = answer.ended
        assert (ended.mail_id, ended.state, ended.attempts) == (mail.id, wanted, 1)
        assert "time was over" in ended.reason
        assert state(harness.spool, mail) is wanted
        kept = harness.spool.status(mail.id)
        assert kept is not None
        assert kept.outcomes == outcomes
        assert "time was over" in kept.reason

    def test_a_mail_that_expires_before_it_is_due_is_never_given_out(self, harness: Harness):
        now = harness.spool.now()
        (mail,) = put(harness.spool, due_at=now + 20, expires_at=now + 10)
        harness.advance(20)
        assert claim(harness.spool) == ()
        assert state(harness.spool, mail) is State.EXPIRED

    def test_a_crowd_of_expired_mails_does_not_hide_the_good_one_behind_it(self, harness: Harness):
        # More than one claim brings to their end.
        put(harness.spool, 1_200, expires_at=harness.spool.now())
        (good,) = put(harness.spool)
        found: list[str] = []
        answer = harness.spool.claim(LANES, 10, LEASE)
        for _ in range(10):
            found += [leased.mail.id for leased in answer.leased]
            if answer.next_in != 0:
                break
            answer = harness.spool.claim(LANES, 10, LEASE)
        assert found == [good.id]
        assert len(harness.spool.ids(State.EXPIRED)) == 1_200

    def test_a_mail_whose_lease_lapsed_is_claimed_alone_and_the_others_go_on(self, harness: Harness):
        put(harness.spool, 3)
        let_lapse(harness, limit=3)
        put(harness.spool, 5)
        sizes = [len(claim(harness.spool)) for _ in range(5)]
        assert sorted(sizes) == [0, 1, 1, 1, 5]

    def test_a_mail_that_was_tried_after_its_lapse_is_claimed_with_others_again(self, harness: Harness):
        (mail,) = put(harness.spool)
        let_lapse(harness)
        leased = claim_one(harness.spool)
        assert harness.spool.mark(leased, LEASE)
        assert harness.spool.defer(leased, harness.spool.now(), {})
        assert record(harness.spool, mail).ledger.lapses == 0
        put(harness.spool, 3)
        assert len(claim(harness.spool)) == 4

    def test_a_mail_that_was_put_back_untried_after_its_lapse_is_still_claimed_alone(self, harness: Harness):
        (mail,) = put(harness.spool)
        let_lapse(harness)
        assert harness.spool.snooze(claim_one(harness.spool), harness.spool.now())
        put(harness.spool, 3)
        assert sorted(len(claim(harness.spool)) for _ in range(2)) == [1, 3]
        assert record(harness.spool, mail).ledger.lapses == 1

    def test_two_workers_at_one_time_never_get_the_same_mail(self, harness: Harness):
        mails = put(harness.spool, 300)
        workers = [harness.spool, *(harness.second_worker() for _ in range(3))]

        def work(spool) -> list[str]:
            done = []
            while leased := claim(spool, 7):
                for one in leased:
                    assert spool.mark(one, LEASE)
                    assert spool.done(one, accepted("a@a.org"))
                    done.append(one.mail.id)
            return done

        with ThreadPoolExecutor(len(workers)) as threads:
            done = [mail_id for result in threads.map(work, workers) for mail_id in result]
        assert sorted(done) == sorted(ids(mails))

    def test_a_mail_is_new_once_however_many_put_it_at_one_time(self, harness: Harness):
        mails = [new_mail(harness.spool) for _ in range(50)]
        workers = [harness.spool, *(harness.second_worker() for _ in range(3))]
        with ThreadPoolExecutor(len(workers)) as threads:
            answers = list(threads.map(lambda spool: spool.put(mails), workers))
        assert [sum(column) for column in zip(*answers, strict=True)] == [1] * 50

    def test_a_lane_has_something_ready_once_a_mail_is_due(self, harness: Harness):
        assert not harness.spool.has_ready([Lane.HIGH])
        put(harness.spool, lane=Lane.NORMAL)
        put(harness.spool, lane=Lane.HIGH, due_at=harness.spool.now() + 10)
        assert not harness.spool.has_ready([Lane.HIGH])
        assert harness.spool.has_ready([Lane.HIGH, Lane.NORMAL])
        harness.advance(10)
        assert harness.second_worker().has_ready([Lane.HIGH])

    def test_a_lane_that_is_claimed_empty_has_nothing_ready(self, harness: Harness):
        put(harness.spool, 2)
        assert len(claim(harness.spool)) == 2
        assert not harness.spool.has_ready(LANES)
        harness.advance(LEASE)
        assert harness.spool.has_ready(LANES)
