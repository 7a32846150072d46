"""A mailer's gates: a person's pause, the breaker and its probe, rates, and the limits of domains."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mailworker.lane import LANES, Lane
from mailworker.spool.base import Limits, Spool
from tests.spool.harness import (
    LEASE,
    Harness,
    OpenHarness,
    accepted,
    claim,
    claim_one,
    claimed_ids,
    deferred,
    new_mail,
    put,
)

BACKOFF = (5.0, 15.0, 60.0)


def sent_within(harness: Harness, seconds: float, *, late: float = 0.0, limit: int = 50) -> list[float]:
    """Work off what is let go for some seconds, coming again when the claim says so, or `late`; return the times."""
    times: list[float] = []
    start = harness.spool.now()
    while True:
        answer = harness.spool.claim(LANES, limit, LEASE)
        for leased in answer.leased:
            times.append(harness.spool.now() - start)
            assert harness.spool.done(leased, accepted("a@a.org"))
        assert answer.next_in is not None
        harness.advance(answer.next_in + late)
        if harness.spool.now() - start >= seconds:
            return times


def tripped(harness: Harness, reason: str = "connect") -> Spool:
    """Let the mailer have a failure on record and its pause be over."""
    until = harness.spool.trip("relay", BACKOFF, reason)
    harness.advance(until - harness.spool.now())
    return harness.spool


class GateRules:
    def test_a_mailer_paused_by_a_person_gives_nothing_until_it_is_resumed(self, harness: Harness):
        put(harness.spool, 3)
        harness.spool.pause("relay", "the relay is being moved")
        harness.advance(10 * 86_400)
        answer = harness.spool.claim(LANES, 10, LEASE)
        assert (answer.leased, answer.next_in) == ((), None)
        found = harness.spool.mailer_state("relay")
        assert (found.paused_by_person, found.reason) == (True, "the relay is being moved")
        harness.spool.resume("relay")
        assert len(claim(harness.second_worker())) == 3
        assert not harness.spool.mailer_state("relay").paused_by_person

    def test_the_only_mail_of_a_paused_mailer_is_not_forgotten_when_its_worker_dies(self, harness: Harness):
        (mail,) = put(harness.spool)
        claim_one(harness.spool)
        harness.spool.pause("relay")
        harness.advance(LEASE)
        assert harness.spool.claim(LANES, 10, LEASE).leased == ()
        harness.spool.resume("relay")
        assert claimed_ids(harness.second_worker()) == [mail.id]

    def test_a_mailer_resumed_before_its_worker_dies_gets_its_only_mail_again(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        harness.spool.pause("relay")
        harness.advance(LEASE / 2)
        assert harness.spool.renew(leased, LEASE)
        harness.advance(LEASE / 2)
        assert harness.spool.claim(LANES, 10, LEASE).next_in is None
        harness.spool.resume("relay")
        answer = harness.spool.claim(LANES, 10, LEASE)
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(LEASE / 2)
        harness.advance(LEASE / 2)
        assert claimed_ids(harness.second_worker()) == [mail.id]

    def test_a_paused_mailer_does_not_hold_up_the_others(self, harness: Harness):
        put(harness.spool, 3, lane=Lane.HIGH)
        (other,) = put(harness.spool, mailer="other", lane=Lane.BULK)
        harness.spool.pause("relay")
        assert claimed_ids(harness.spool) == [other.id]

    def test_a_trouble_pauses_the_mailer_and_the_claim_says_how_long(self, harness: Harness):
        put(harness.spool)
        now = harness.spool.now()
        assert harness.spool.trip("relay", BACKOFF, "connect: refused") == pytest.approx(now + 5)
        answer = harness.spool.claim(LANES, 10, LEASE)
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(5)
        found = harness.second_worker().mailer_state("relay")
        assert found.paused_until == pytest.approx(now + 5)
        assert (found.failures, found.reason, found.paused_by_person) == (1, "connect: refused", False)

    def test_each_further_trouble_pauses_for_longer_and_the_last_wait_repeats(self, harness: Harness):
        waits = []
        for _ in range(5):
            until = harness.spool.trip("relay", BACKOFF, "connect")
            waits.append(until - harness.spool.now())
            harness.advance(waits[-1])
        assert waits == pytest.approx([5, 15, 60, 60, 60])
        assert harness.spool.mailer_state("relay").failures == 5

    def test_one_trouble_that_several_workers_meet_counts_once(self, harness: Harness):
        until = harness.spool.trip("relay", BACKOFF, "connect")
        harness.advance(1)
        assert harness.second_worker().trip("relay", BACKOFF, "connect") == pytest.approx(until)
        assert harness.spool.mailer_state("relay").failures == 1

    def test_a_trouble_without_any_backoff_is_a_mistake(self, harness: Harness):
        with pytest.raises(ValueError, match="backoff is empty"):
            harness.spool.trip("relay", (), "connect")

    def test_after_a_pause_one_mail_goes_alone_as_the_probe(self, harness: Harness):
        put(harness.spool, 5)
        spool = tripped(harness)
        assert len(claim(spool)) == 1
        answer = harness.second_worker().claim(LANES, 50, LEASE)
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(LEASE)

    def test_a_probe_of_one_lane_holds_back_the_other_lanes(self, harness: Harness):
        put(harness.spool, 2, lane=Lane.HIGH)
        put(harness.spool, 2, lane=Lane.BULK)
        assert len(claim(tripped(harness))) == 1
        assert claim(harness.spool, lanes=[Lane.BULK]) == ()

    def test_a_probe_that_succeeds_opens_the_gate(self, harness: Harness):
        put(harness.spool, 5)
        spool = tripped(harness)
        probe = claim_one(spool)
        spool.recover("relay")
        assert len(claim(harness.second_worker())) == 4
        assert spool.mailer_state("relay").failures == 0
        assert spool.done(probe, accepted("a@a.org"))

    def test_a_probe_that_fails_closes_the_gate_for_longer(self, harness: Harness):
        put(harness.spool, 5)
        spool = tripped(harness)
        probe = claim_one(spool)
        until = spool.trip("relay", BACKOFF, "connect")
        assert until - spool.now() == pytest.approx(15)
        assert spool.snooze(probe, until)
        assert claim(spool) == ()
        harness.advance(15)
        assert len(claim(spool)) == 1

    @pytest.mark.parametrize("end", ["defer", "snooze", "done", "lapse"])
    def test_when_the_lease_of_a_probe_ends_the_next_probe_may_go(self, harness: Harness, end):
        put(harness.spool, 5)
        spool = tripped(harness)
        probe = claim_one(spool)
        if end == "defer":
            assert spool.defer(probe, spool.now() + 500, deferred("a@a.org"))
        elif end == "snooze":
            assert spool.snooze(probe, spool.now() + 500)
        elif end == "done":
            assert spool.done(probe, accepted("a@a.org"))
        else:
            harness.advance(LEASE)
        assert len(claim(spool)) == 1
        assert claim(spool) == ()

    def test_a_pause_that_ends_before_the_lease_of_the_probe_is_told_in_time(self, harness: Harness):
        spool = harness.spool
        put(spool, lane=Lane.HIGH)
        put(spool, lane=Lane.BULK)
        spool.trip("relay", BACKOFF, "connect")
        harness.advance(5)
        assert len(claim(spool)) == 1
        assert spool.claim(LANES, 10, LEASE).next_in == pytest.approx(LEASE)
        spool.trip("relay", BACKOFF, "connect")
        assert spool.claim([Lane.BULK], 10, LEASE).next_in == pytest.approx(15)
        harness.advance(15)
        assert len(claim(spool)) == 1

    def test_the_probe_is_out_for_as_long_as_its_lease_is_extended(self, harness: Harness):
        put(harness.spool, 5)
        spool = tripped(harness)
        probe = claim_one(spool)
        assert spool.mark(probe, 900)
        harness.advance(890)
        assert claim(spool) == ()
        assert spool.renew(probe, 100)
        harness.advance(99)
        assert claim(spool) == ()
        harness.advance(1)
        assert len(claim(spool)) == 1

    def test_recover_leaves_a_pause_by_a_person(self, harness: Harness):
        put(harness.spool)
        harness.spool.pause("relay", "moving")
        harness.spool.trip("relay", BACKOFF, "connect")
        harness.spool.recover("relay")
        found = harness.spool.mailer_state("relay")
        assert (found.paused_by_person, found.failures, found.paused_until) == (True, 0, None)
        assert claim(harness.spool) == ()

    def test_resume_opens_the_gate_whoever_closed_it(self, harness: Harness):
        put(harness.spool, 5)
        harness.spool.pause("relay")
        harness.spool.trip("relay", BACKOFF, "login refused")
        harness.spool.resume("relay")
        assert len(claim(harness.spool)) == 5
        found = harness.spool.mailer_state("relay")
        assert (found.failures, found.paused_until, found.paused_by_person) == (0, None, False)

    def test_a_breaker_pauses_its_own_mailer_only(self, harness: Harness):
        put(harness.spool, 3, mailer="other")
        harness.spool.trip("relay", BACKOFF, "connect")
        assert len(claim(harness.spool)) == 3

    def test_a_rate_of_14_a_second_is_14_a_second_with_a_burst_of_1(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=14, burst=1)})
        put(harness.spool, 400)
        times = sent_within(harness, 10)
        assert 139 <= len(times) <= 142
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps[1:]) == pytest.approx(1 / 14, abs=1e-3)

    def test_a_rate_is_kept_by_workers_that_come_a_little_late(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=14, burst=1)})
        put(harness.spool, 400)
        assert 139 <= len(sent_within(harness, 10, late=0.02)) <= 142

    def test_after_a_pause_in_the_traffic_no_more_than_the_burst_goes_at_once(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=14, burst=5)})
        put(harness.spool, 400)
        sent_within(harness, 2)
        harness.advance(3600)
        assert len(claim(harness.spool)) == 5
        assert claim(harness.spool) == ()

    def test_a_rate_below_one_a_second_lets_the_first_mail_go_at_once(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=0.1)})
        put(harness.spool, 10)
        assert sent_within(harness, 45) == pytest.approx([0, 10, 20, 30, 40], abs=0.2)

    def test_a_rate_counts_over_all_lanes_and_workers(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=1, burst=3)})
        put(harness.spool, 2, lane=Lane.HIGH)
        put(harness.spool, 10, lane=Lane.BULK)
        assert len(claim(harness.spool)) + len(claim(harness.second_worker())) == 3
        assert claim(harness.spool) == ()

    def test_a_rate_of_one_mailer_does_not_hold_up_another(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=1)})
        put(harness.spool, 3)
        put(harness.spool, 3, mailer="other")
        assert sorted(len(claim(harness.spool)) for _ in range(3)) == [0, 1, 3]

    def test_a_snoozed_mail_gives_back_what_it_took_from_the_rate(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=1, burst=2)})
        put(harness.spool, 5)
        for leased in claim(harness.spool):
            assert harness.spool.snooze(leased, harness.spool.now() + 1000)
        assert len(claim(harness.spool)) == 2
        assert claim(harness.spool) == ()

    def test_a_domain_has_a_rate_of_its_own_and_the_others_go_on(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_rate={"slow.org": 2})})
        put(harness.spool, 5, domain="slow.org")
        put(harness.spool, 5, domain="fast.org")
        put(harness.spool, 5)
        assert len(claim(harness.spool)) == 11
        answer = harness.spool.claim(LANES, 50, LEASE)
        assert answer.leased == ()
        assert answer.next_in == pytest.approx(0.5, abs=0.06)
        harness.advance(0.5)
        assert [leased.mail.domain for leased in claim(harness.spool)] == ["slow.org"]

    def test_a_domain_rate_counts_over_all_groups_and_lanes(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_rate={"slow.org": 1})})
        for lane in LANES:
            for group in ("a", "b", None):
                put(harness.spool, 3, domain="slow.org", group=group, lane=lane)
        assert 10 <= len(sent_within(harness, 10)) <= 11

    def test_streams_behind_one_domain_take_turns(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_rate={"slow.org": 1})})
        put(harness.spool, 10, domain="slow.org", group="a")
        put(harness.spool, 10, domain="slow.org", group="b")
        served = []
        for _ in range(6):
            served += [leased.mail.group for leased in claim(harness.spool)]
            harness.advance(1)
        assert sorted(map(str, served)) == ["a"] * 3 + ["b"] * 3

    def test_the_case_of_a_domain_does_not_matter(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_concurrency={"Slow.ORG": 1})})
        put(harness.spool, domain="slow.org")
        put(harness.spool, domain="SLOW.org")
        assert len(claim(harness.spool)) == 1

    def test_no_more_mails_than_allowed_are_leased_for_a_domain_at_one_time(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_concurrency={"slow.org": 2})})
        put(harness.spool, 6, domain="slow.org")
        put(harness.spool, 1, domain="fast.org")
        first = [leased for leased in claim(harness.spool) if leased.mail.domain == "slow.org"]
        assert len(first) == 2
        assert claim(harness.second_worker()) == ()
        assert harness.spool.done(first[0], accepted("a@slow.org"))
        assert len(claim(harness.second_worker())) == 1
        assert claim(harness.second_worker()) == ()

    def test_a_dead_worker_frees_its_seats_at_a_domain(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_concurrency={"slow.org": 2})})
        put(harness.spool, 6, domain="slow.org")
        leased = claim(harness.spool)
        assert harness.spool.mark(leased[0], LEASE + 30)
        harness.advance(LEASE)
        assert len(claim(harness.second_worker())) == 1
        assert claim(harness.second_worker()) == ()
        harness.advance(30)
        assert len(claim(harness.second_worker())) == 1

    def test_the_probe_of_a_capped_domain_takes_one_seat_and_one_turn(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(rate=100, burst=9, domain_concurrency={"slow.org": 2})})
        put(harness.spool, 6, domain="slow.org")
        assert len(claim(tripped(harness))) == 1
        harness.spool.recover("relay")
        assert len(claim(harness.spool)) == 1
        assert claim(harness.spool) == ()

    def test_a_claim_that_parks_many_streams_asks_to_be_called_again_and_comes_to_what_is_behind_them(
        self, open_harness: OpenHarness
    ):
        harness = open_harness(limits={"relay": Limits(domain_concurrency={"slow.org": 1})})
        put(harness.spool, domain="slow.org")
        assert len(claim(harness.spool)) == 1
        spool = harness.spool
        waiting = [new_mail(spool, domain="slow.org", group=f"group {number}") for number in range(1_200)]
        assert all(spool.put(waiting))
        harness.advance(1)
        (behind,) = put(spool)
        answer = spool.claim(LANES, 10, LEASE)
        assert (answer.leased, answer.next_in) == ((), 0)
        assert harness.second_worker().has_ready(LANES)
        answer = harness.second_worker().claim(LANES, 10, LEASE)
        assert [leased.mail.id for leased in answer.leased] == [behind.id]
        assert answer.next_in == pytest.approx(LEASE - 1)

    def test_a_mail_behind_a_capped_domain_is_found_by_a_look_once_its_time_has_come(self, open_harness: OpenHarness):
        harness = open_harness(limits={"relay": Limits(domain_rate={"slow.org": 0.2})})
        put(harness.spool, 2, domain="slow.org")
        assert len(claim(harness.spool)) == 1
        assert harness.spool.claim(LANES, 1, LEASE).next_in == pytest.approx(5, abs=0.1)
        assert not harness.spool.has_ready(LANES)
        harness.advance(5)
        assert harness.second_worker().has_ready(LANES)
