"""The course of a drain: what is claimed, in which order, how long it waits, and who makes way."""

from __future__ import annotations

from typing import Any

import pytest

from mailworker.delivery.speed import Speed
from mailworker.lane import LANES, Lane
from mailworker.spool.base import Claim, SpoolUnavailable
from mailworker.spool.record import State
from tests.delivery.parts import Bench, times


def test_a_spool_that_is_away_at_a_claim_ends_the_drain_and_the_caller_hears_it() -> None:
    bench = Bench()
    bench.put()
    bench.spool.before = times(1, "claim")
    with pytest.raises(SpoolUnavailable):
        bench.pipeline.run()
    assert bench.spool.named("claim") == [("claim", "")]


def test_a_drain_that_may_stay_waits_for_the_mail_that_is_to_come() -> None:
    bench = Bench()
    soon = bench.put(due_at=1000.8)
    assert bench.pipeline.run(stay=1.0) == 1
    assert bench.status(soon).state is State.SENT
    assert max(bench.clock.waits) <= 0.1
    assert sum(bench.clock.waits) == pytest.approx(0.8)


@pytest.mark.parametrize(("stay", "due_in"), [(0.0, 0.1), (1.0, 1.5)])
def test_a_drain_waits_no_longer_than_it_may(stay: float, due_in: float) -> None:
    bench = Bench()
    bench.put(due_at=1000.0 + due_in)
    assert bench.pipeline.run(stay=stay) == 0
    assert bench.clock.waits == []


def test_the_time_that_a_drain_may_stay_counts_anew_after_work() -> None:
    bench = Bench()
    for number in range(1, 6):
        bench.put(due_at=1000.0 + 0.9 * number)
    assert bench.pipeline.run(stay=1.0) == 5


def test_the_time_that_a_drain_may_stay_is_for_all_its_waits_together() -> None:
    bench: Bench = Bench(should_stop=lambda: bench.clock.now > 10_000.0)
    nothing = Claim((), next_in=0.4)
    bench.spool.instead["claim"] = lambda *_: nothing
    assert bench.pipeline.run(stay=1.0) == 0
    assert sum(bench.clock.waits) == pytest.approx(0.8)


def test_a_drain_that_is_told_to_stop_does_not_wait_on() -> None:
    bench: Bench = Bench(should_stop=lambda: bench.clock.now >= 1000.25)
    bench.put(due_at=1001.0)
    assert bench.pipeline.run(stay=5.0) == 0
    assert len(bench.spool.named("claim")) == 1
    assert bench.clock.now < 1000.5


def test_a_claim_that_asks_to_be_made_again_is_made_again_at_once() -> None:
    bench = Bench()
    for _ in range(1001):
        bench.put(expires_at=1000.5)
    bench.clock.now += 1.0
    last = bench.put()
    assert bench.pipeline.run() == 1
    assert bench.status(last).state is State.SENT
    assert bench.clock.waits == []


def test_a_full_batch_wakes_the_next_worker_before_its_own_work_begins() -> None:
    bench = Bench(batch_size=2)
    bench.put_several(5)
    sent_at_wake_up: list[int] = []
    bench.pipeline.run(wake_next=lambda: sent_at_wake_up.append(len(bench.relay.taken)))
    assert sent_at_wake_up == [0, 2]


def test_a_wake_up_that_fails_stops_no_mail(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ConnectionError("amqp://user:secret@host")

    bench = Bench(batch_size=1)
    bench.put_several(2)
    bench.pipeline.run(wake_next=fail)
    assert len(bench.relay.taken) == 2
    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_password_reset_does_not_wait_behind_a_claimed_batch() -> None:
    bench = Bench()
    bulk = bench.put_several(20, Lane.BULK, due_at=990.0)
    bench.relay.seconds = 0.1
    put_at: list[float] = []

    def during(message: Any) -> None:
        if message.recipients() == ["to2@x.org"]:
            bench.put("reset@x.org", lane=Lane.HIGH)
            put_at.append(len(bench.relay.taken))

    bench.relay.during = during
    bench.pipeline.run()
    assert bench.relay.taken[:5] == ["to0@x.org", "to1@x.org", "to2@x.org", "reset@x.org", "to3@x.org"]
    assert len(bench.relay.taken) == 21
    assert {bench.status(one).attempts for one in bulk} == {1}


def test_what_makes_way_keeps_its_place_in_the_queue() -> None:
    bench = Bench()
    batch = bench.put_several(3, Lane.BULK, due_at=900.0)
    bench.relay.seconds = 0.1
    bench.relay.during = lambda _: bench.put("reset@x.org", lane=Lane.HIGH)
    bench.pipeline.run_batch()
    assert [bench.status(one).state for one in batch] == [State.SENT, State.DUE, State.DUE]
    assert [bench.status(one).next_attempt_at for one in batch[1:]] == [900.0, 900.0]


def test_a_batch_that_makes_way_again_and_again_gets_on_all_the_same() -> None:
    """A gate is what the quick look does not see: the higher mail is ready, and nobody may have it."""
    bench: Bench = Bench(should_stop=lambda: bench.clock.now > 10_000.0)

    def connect() -> None:
        bench.clock.now += 1.0

    bench.relay.on_open = connect
    bench.memory.pause("other")
    bench.put(lane=Lane.HIGH, mailer="other")
    bulk = bench.put_several(20, Lane.BULK)
    bench.relay.seconds = 10.0
    bench.pipeline.run()
    assert {bench.status(one).state for one in bulk} == {State.SENT}
    assert {bench.status(one).attempts for one in bulk} == {1}


def test_a_worker_of_one_lane_makes_way_for_nobody() -> None:
    bench = Bench()
    bench.put_several(3, Lane.BULK)
    bench.put(lane=Lane.HIGH)
    bench.relay.seconds = 10.0
    assert bench.pipeline.run([Lane.BULK]) == 3
    assert bench.spool.named("has_ready") == []


def test_a_spool_that_is_away_when_it_is_asked_for_higher_mail_stops_no_batch() -> None:
    bench = Bench()
    bench.put_several(3, Lane.BULK)
    bench.relay.seconds = 1.0
    bench.spool.before = times(1, "has_ready")
    bench.pipeline.run(LANES)
    assert bench.relay.taken == ["to0@x.org", "to1@x.org", "to2@x.org"]
    assert len(bench.spool.named("has_ready")) == 2


def test_the_size_of_a_batch_follows_the_relays_speed_and_outlives_a_drain() -> None:
    speed = Speed(50)
    bench = Bench(speed=speed)
    bench.relay.seconds = 0.005
    sizes: list[int] = []

    def noted(lanes: Any, limit: int, lease: float, *whose: Any) -> Claim:
        sizes.append(limit)
        return bench.memory.claim(lanes, limit, lease, *whose)

    bench.spool.instead["claim"] = noted
    bench.put_several(200)
    bench.pipeline.run()
    assert sizes[:4] == [5, 10, 20, 40]
    assert max(sizes) == 50
    bench.relay.seconds = 1.0
    bench.put_several(60)
    bench.pipeline.run()
    assert sizes[-1] == 1


def test_the_time_to_connect_does_not_count_as_slowness() -> None:
    speed = Speed(50)
    bench = Bench(speed=speed)

    def connect() -> None:
        bench.clock.now += 3.0

    bench.relay.on_open = connect
    bench.relay.seconds = 0.001
    bench.put_several(5)
    bench.pipeline.run_batch()
    assert speed.size("relay") == 10


def test_a_slow_mailers_mails_that_were_claimed_at_a_fast_ones_pace_go_back_to_their_place() -> None:
    speed = Speed(50)
    for _ in range(5):
        speed.note("fast", 50, 0.01)
        speed.note("slow", 1, 1.0)
    bench = Bench(speed=speed)
    ids = bench.put_several(10, mailer="slow", due_at=900.0)
    bench.pipeline.run_batch()
    assert bench.relay.taken == ["to0@x.org"]
    assert {bench.status(one).state for one in ids[1:]} == {State.DUE}
    mails = [bench.memory.get(one) for one in ids[1:]]
    assert [(mail.due_at, mail.ledger.attempts) for mail in mails if mail] == [(900.0, 0)] * 9
