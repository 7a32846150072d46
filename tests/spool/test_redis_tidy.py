"""What tidying does of its own accord, while nothing comes in and nothing goes out."""

from __future__ import annotations

import fakeredis
import pytest

from mailworker.lane import LANES
from mailworker.spool.record import State
from mailworker.spool.redis import RedisSpool
from tests.spool.harness import LEASE, accepted, claim, put, state
from tests.spool.test_redis import RedisHarness

RETENTION = 1000.0


@pytest.fixture
def harness() -> RedisHarness:
    server = fakeredis.FakeServer()
    return RedisHarness(lambda: fakeredis.FakeStrictRedis(server=server), {}, RETENTION)


@pytest.fixture
def spool(harness: RedisHarness) -> RedisSpool:
    assert isinstance(harness.spool, RedisSpool)
    return harness.spool


def records(harness: RedisHarness) -> list[bytes]:
    """Return the records of all mails as they lie there."""
    client = harness._client
    return [client.get(key) for key in client.keys(f"{{{harness.namespace}}}:m:*")]


def test_tidying_forgets_what_is_past_its_retention_and_keeps_the_rest(harness, spool):
    put(spool, 3)
    for leased in claim(spool, 2):
        assert spool.done(leased, accepted("a@a.org"))
    harness.advance(RETENTION - 1)
    assert spool.tidy() is False
    assert len(records(harness)) == 3
    harness.advance(1)
    assert spool.tidy() is False
    assert len(records(harness)) == 1
    assert not harness._client.exists(f"{{{harness.namespace}}}:finished")


def test_tidying_does_some_of_it_and_says_whether_more_is_left(harness, spool):
    put(spool, 700)
    for leased in claim(spool, 700):
        assert spool.done(leased, accepted("a@a.org"))
    harness.advance(RETENTION)
    assert spool.tidy() is True
    assert 0 < len(records(harness)) < 700
    assert spool.tidy() is False
    assert records(harness) == []


def test_tidying_takes_the_payloads_of_a_cancelled_group_away_so_that_they_are_forgotten_in_time(harness, spool):
    mails = put(spool, 600, group="news", payload=b"a body")
    spool.cancel_group("news")
    assert spool.tidy() is True
    assert spool.tidy() is False
    assert not any(b"a body" in record for record in records(harness))
    assert {state(spool, mail) for mail in mails} == {State.CANCELLED}
    harness.advance(RETENTION)
    while spool.tidy():
        pass
    assert records(harness) == []


def test_tidying_ends_leases_that_have_run_out(harness, spool):
    (mail,) = put(spool)
    assert len(claim(spool)) == 1
    harness.advance(LEASE)
    assert spool.tidy() is False
    assert harness._client.zcard(f"{{{harness.namespace}}}:leases:normal/relay") == 0
    assert [leased.mail.id for leased in spool.claim(LANES, 1, LEASE).leased] == [mail.id]
