"""A worker that knows some mailers only, beside others that know more: during a deploy that adds one, say."""

from __future__ import annotations

from collections.abc import Callable, Collection

import fakeredis
import pytest

from mailworker.lane import LANES, Lane
from mailworker.spool.base import Limits
from mailworker.spool.redis import RedisSpool
from tests.direct import Direct
from tests.spool.harness import LEASE, claim, claimed_ids, put
from tests.spool.test_redis import PARTS, RedisHarness

LIMITS = {"relay": Limits(rate=100, burst=50)}


@pytest.fixture
def harness() -> RedisHarness:
    server = fakeredis.FakeServer()
    return RedisHarness(lambda: fakeredis.FakeStrictRedis(server=server), LIMITS, 1000.0)


@pytest.fixture
def knowing(harness: RedisHarness) -> Callable[[Collection[str] | None], RedisSpool]:
    """Return a worker's access that knows these mailers."""

    def opened(mailers: Collection[str] | None) -> RedisSpool:
        server = Direct(harness._connect())
        return RedisSpool(server, harness.namespace, limits=LIMITS, mailers=mailers, parts=PARTS, clock_age=-1)

    return opened


def test_a_worker_takes_no_mail_of_a_mailer_that_it_does_not_know(harness, knowing):
    (new,) = put(harness.spool, mailer="new", lane=Lane.HIGH)
    (old,) = put(harness.spool, mailer="relay")
    worker = knowing(["relay", "other"])
    assert claimed_ids(worker) == [old.id]
    assert claim(worker) == ()
    assert claim(worker, mailer="new") == ()
    assert claimed_ids(knowing(["new"])) == [new.id]


def test_a_worker_that_is_told_of_no_mailers_knows_all_and_one_that_is_told_there_are_none_takes_nothing(
    harness, knowing
):
    put(harness.spool, mailer="new")
    assert claim(knowing([])) == ()
    assert len(claim(knowing(None))) == 1


def test_mail_of_an_unknown_mailer_is_nothing_that_a_worker_waits_for(harness, knowing):
    put(harness.spool, mailer="new")
    put(harness.spool, mailer="new", lane=Lane.HIGH, due_at=harness.spool.now() + 5)
    put(harness.spool, mailer="relay", due_at=harness.spool.now() + 7)
    worker = knowing(["relay"])
    assert worker.claim(LANES, 10, LEASE).next_in == pytest.approx(7)
    assert worker.claim([Lane.HIGH], 10, LEASE).next_in is None
    assert not worker.has_ready(LANES)
    assert worker.waits(LANES, 10.0) == {Lane.NORMAL: pytest.approx(7)}
    assert worker.waits([Lane.HIGH], 10.0) == {}


def test_who_knows_a_mailer_finds_its_mail_at_once_after_others_have_passed_it_by(harness, knowing):
    (new,) = put(harness.spool, mailer="new")
    for _ in range(3):
        assert claim(knowing(["relay"])) == ()
    worker = knowing(["relay", "new"])
    assert worker.has_ready(LANES)
    assert worker.waits(LANES, 1.0) == {Lane.NORMAL: 0}
    assert claimed_ids(worker) == [new.id]


def test_a_look_tells_which_unknown_mailers_have_mail_ready(harness, knowing):
    worker = knowing(["relay"])
    assert worker.strangers == ()
    put(harness.spool, mailer="relay")
    put(harness.spool, mailer="later", due_at=harness.spool.now() + 5)
    put(harness.spool, mailer="nöw", lane=Lane.BULK)
    put(harness.spool, mailer="newer", lane=Lane.HIGH)
    put(harness.spool, mailer="newer", lane=Lane.BULK)
    worker.waits(LANES, 10.0)
    assert worker.strangers == ("newer", "nöw")
    worker.waits([Lane.HIGH], 10.0)
    assert worker.strangers == ("newer",)
    knowing(None).waits(LANES, 10.0)
    assert knowing(None).strangers == ()


def test_an_unknown_mailer_whose_mail_has_gone_is_no_stranger_any_more(harness, knowing):
    worker = knowing(["relay"])
    (mail,) = put(harness.spool, mailer="gone")
    worker.waits(LANES, 1.0)
    assert worker.strangers == ("gone",)
    assert harness.spool.cancel(mail.id)
    worker.waits(LANES, 1.0)
    assert worker.strangers == ()


def test_a_lease_of_an_unknown_mailer_that_ran_out_is_mail_that_waits_for_it(harness, knowing):
    worker = knowing(["relay"])
    put(harness.spool, mailer="new")
    assert len(claim(harness.spool)) == 1
    worker.waits(LANES, 1.0)
    assert worker.strangers == ()
    harness.advance(LEASE)
    worker.waits(LANES, 1.0)
    assert worker.strangers == ("new",)
