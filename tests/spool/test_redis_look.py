"""What a worker's look makes of wake-ups: one that was lost costs the time of its flag, and no second look."""

from __future__ import annotations

import fakeredis
import pytest

from mailworker.lane import LANES, Lane
from mailworker.spool.redis import RedisSpool
from tests.spool.harness import new_mail, put
from tests.spool.test_redis import RedisHarness


@pytest.fixture
def harness() -> RedisHarness:
    server = fakeredis.FakeServer()
    return RedisHarness(lambda: fakeredis.FakeStrictRedis(server=server), {}, 1000.0)


@pytest.fixture
def spool(harness: RedisHarness) -> RedisSpool:
    assert isinstance(harness.spool, RedisSpool)
    return harness.spool


def wake_up_is_on_its_way(harness: RedisHarness, spool: RedisSpool, milliseconds: int) -> None:
    """Put a mail in whose wake-up has so much time left; that is the server's own time, which does not stand still."""
    assert spool.put_and_wake([new_mail(spool)]) == ([True], {Lane.NORMAL})
    assert harness._client.pexpire(f"{{{harness.namespace}}}:wake:normal", milliseconds)


def test_a_look_that_meets_a_wake_up_comes_again_when_its_flag_has_run_out(harness, spool):
    wake_up_is_on_its_way(harness, spool, 900_000)
    (wait,) = spool.waits(LANES, 1.0).values()
    assert 600 < wait <= 900
    assert not spool.wake(Lane.NORMAL)


def test_a_wake_up_of_one_lane_says_nothing_of_another(harness, spool):
    wake_up_is_on_its_way(harness, spool, 900_000)
    put(spool, lane=Lane.BULK)
    assert spool.waits([Lane.BULK], 1.0) == {Lane.BULK: 0}


def test_a_lane_whose_wake_up_has_come_may_need_a_worker_at_once(harness, spool):
    wake_up_is_on_its_way(harness, spool, 900_000)
    spool.woken(Lane.NORMAL)
    assert spool.waits(LANES, 1.0) == {Lane.NORMAL: 0}


def test_a_claim_might_find_a_mail_though_a_wake_up_is_on_its_way_for_it(harness, spool):
    wake_up_is_on_its_way(harness, spool, 900_000)
    assert spool.has_ready(LANES)


def test_a_mail_that_is_due_later_is_waited_for_by_its_own_time(harness, spool):
    assert spool.wake(Lane.NORMAL)
    assert harness._client.pexpire(f"{{{harness.namespace}}}:wake:normal", 900_000)
    put(spool, due_at=spool.now() + 0.5)
    assert spool.waits(LANES, 1.0) == {Lane.NORMAL: pytest.approx(0.5)}
