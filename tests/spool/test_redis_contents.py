"""Large pieces of content in Redis: kept once, counted by the mails that have them, gone with the last one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis

from mailworker.lane import LANES
from mailworker.spool.record import Content, Mail, State
from mailworker.spool.redis import RedisSpool
from tests import processes
from tests.direct import Direct
from tests.spool.harness import LEASE, accepted, claim, claim_one, new_mail, put, rejected, state
from tests.spool.test_redis import RedisHarness

MEGABYTE = 2**20


def content(text: bytes) -> Content:
    return Content(hashlib.sha256(text).hexdigest(), text)


ONE, TWO = content(b"one large piece"), content(b"another one")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


@pytest.fixture(params=["fakeredis", pytest.param("a redis-server", marks=pytest.mark.integration)])
def harness(request) -> RedisHarness:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()
        return RedisHarness(lambda: fakeredis.FakeStrictRedis(server=server), {}, 1000.0)
    port = request.getfixturevalue("redis_server").port
    return RedisHarness(lambda: redis.Redis(port=port), {}, 1000.0)


@pytest.fixture
def spool(harness) -> RedisSpool:
    assert isinstance(harness.spool, RedisSpool)
    return harness.spool


@pytest.fixture
def kept(harness) -> Callable[[], dict[str, int]]:
    """Return what is kept: name of a content -> mails that have it."""
    client, prefix = harness._client, f"{{{harness.namespace}}}:content:"

    def read() -> dict[str, int]:
        keys = [key.decode() for key in client.keys(f"{prefix}*")]
        assert all(client.hget(key, "bytes") for key in keys)
        return {key.removeprefix(prefix): int(client.hget(key, "mails")) for key in keys}

    return read


def test_contents_are_kept_once_and_given_out_with_each_mail(spool, kept):
    put(spool, 3, contents=(ONE, TWO))
    put(spool, contents=(TWO,))
    assert kept() == {ONE.name: 3, TWO.name: 4}
    assert [one.mail.contents for one in claim(spool)] == [(ONE, TWO)] * 3 + [(TWO,)]


def test_a_mail_that_is_put_twice_counts_once(spool, kept):
    mail = new_mail(spool, contents=(ONE,))
    assert spool.put([mail, mail]) == [True, False]
    assert spool.put([mail]) == [False]
    assert kept() == {ONE.name: 1}


def test_a_content_that_one_mail_has_twice_is_given_twice_and_goes_with_it(spool, kept):
    put(spool, contents=(ONE, TWO, ONE))
    leased = claim_one(spool)
    assert leased.mail.contents == (ONE, TWO, ONE)
    assert spool.done(leased, accepted("a@a.org"))
    assert kept() == {}


def ends_sent(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.done(claim_one(harness.spool), accepted("a@a.org"))


def ends_cancelled(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.cancel(mail.id)


def ends_cancelled_while_held(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.hold(claim_one(harness.spool), {}, "wait")
    assert harness.spool.cancel(mail.id)


def ends_with_its_group(harness: RedisHarness, mail: Mail) -> None:
    harness.spool.cancel_group("news")
    assert claim(harness.spool) == ()


def ends_with_its_group_when_somebody_looks(harness: RedisHarness, mail: Mail) -> None:
    harness.spool.cancel_group("news")
    assert state(harness.spool, mail) is State.CANCELLED


def ends_with_its_group_while_held(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.hold(claim_one(harness.spool), {}, "wait")
    harness.spool.cancel_group("news")
    assert claim(harness.spool) == ()


def ends_with_its_group_at_its_mark(harness: RedisHarness, mail: Mail) -> None:
    leased = claim_one(harness.spool)
    harness.spool.cancel_group("news")
    assert not harness.spool.mark(leased, LEASE)


def ends_expired(harness: RedisHarness, mail: Mail) -> None:
    harness.advance(100)
    assert claim(harness.spool) == ()


def ends_purged(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "no")
    assert harness.spool.purge(mail.id)


def ends_sent_after_a_replay(harness: RedisHarness, mail: Mail) -> None:
    assert harness.spool.bury(claim_one(harness.spool), rejected("a@a.org"), "no")
    assert harness.spool.replay(mail.id)
    ends_sent(harness, mail)


def ends_sent_by_a_late_word(harness: RedisHarness, mail: Mail) -> None:
    leased = claim_one(harness.spool)
    harness.advance(LEASE)
    claim_one(harness.spool)
    assert not harness.spool.done(leased, accepted("a@a.org"))


ENDS = [end for name, end in list(globals().items()) if name.startswith("ends_")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_the_end_of_the_last_mail_is_the_end_of_the_content(harness, spool, kept, end):
    (mail,) = put(spool, contents=(ONE, TWO), group="news", expires_at=spool.now() + 90)
    put(spool, contents=(TWO,), due_at=spool.now() + 10_000)
    assert kept() == {ONE.name: 1, TWO.name: 2}
    end(harness, mail)
    assert kept() == {TWO.name: 1}
    harness.advance(1000)
    claim(spool)
    assert kept() == {TWO.name: 1}


def test_one_that_fails_silently_leaves_no_content_when_it_is_dropped(spool, kept):
    put(spool, contents=(ONE,), fail_silently=True)
    assert spool.bury(claim_one(spool), {}, "no")
    assert kept() == {}


@pytest.mark.parametrize("where", [State.DEAD, State.HELD])
def test_who_is_dead_or_held_keeps_its_contents(harness, spool, kept, where):
    (mail,) = put(spool, contents=(ONE,))
    (spool.bury if where is State.DEAD else spool.hold)(claim_one(spool), {}, "why")
    harness.advance(5000)
    claim(spool)
    record = spool.get(mail.id)
    assert record is not None
    assert record.contents == (ONE,)
    assert kept() == {ONE.name: 1}


def test_what_is_cancelled_as_it_is_put_leaves_no_content_and_takes_none_from_others(spool, kept):
    put(spool, group="news")
    spool.cancel_group("news")
    put(spool, contents=(ONE,), group="news")
    assert kept() == {}
    put(spool, contents=(ONE,))
    put(spool, contents=(ONE,), group="news")
    assert kept() == {ONE.name: 1}


def test_of_mails_in_one_pipeline_each_gets_its_content_also_if_the_first_takes_it_along(spool, kept):
    put(spool, group="news")
    spool.cancel_group("news")
    mails = [new_mail(spool, contents=(ONE, TWO), group="news")] + [new_mail(spool, contents=(TWO, ONE)) for _ in "ab"]
    assert spool.put(mails) == [True] * 3
    assert kept() == {ONE.name: 2, TWO.name: 2}
    assert [one.mail.contents for one in claim(spool)] == [(TWO, ONE)] * 2


def test_a_content_that_vanishes_between_two_looks_is_brought_again(harness, spool, kept):
    class Vanishing(Direct):
        """Lets the content's last mail end after each pipeline."""

        def run(self, call: Any) -> Any:
            answer = super().run(call)
            for one in harness.spool.ids(State.DUE):
                harness.spool.cancel(one)
            return answer

    other = RedisSpool(Vanishing(harness._client), harness.namespace, parts=spool._calls._scripts, clock_age=-1)
    put(spool, contents=(ONE, TWO))
    mails = [new_mail(spool, contents=(ONE, TWO)) for _ in range(3)]
    assert other.put(mails) == [True] * 3
    put(spool, contents=(TWO,))
    assert kept() == {TWO.name: 1}


def test_a_claim_hands_over_eight_megabytes_at_most_and_one_mail_at_least(spool):
    put(spool, 20, payload=b"x" * MEGABYTE)
    answer = spool.claim(LANES, 50, LEASE)
    assert len(answer.leased) == 8
    assert answer.next_in == 0
    put(spool, 2, payload=b"x" * 9 * MEGABYTE, due_at=spool.now() - 1)
    assert [len(spool.claim(LANES, 50, LEASE).leased) for _ in range(4)] == [1, 1, 8, 4]


@pytest.mark.parametrize("streams", [1, 2])
def test_contents_count_once_for_all_mails_of_a_claim(spool, streams):
    shared = content(b"s" * 7 * MEGABYTE)
    for stream in range(streams):
        put(spool, 10, contents=(shared,), group=f"group-{stream}")
    assert len(claim(spool)) == 10 * streams
    for number in range(3):
        put(spool, 2, contents=(content(bytes([number]) * 3 * MEGABYTE),), group=f"group-{number % streams}")
    assert sum(len(leased) for leased in iter(lambda: claim(spool), ())) == 6
    for number in range(3):
        put(spool, 2, contents=(content(bytes([number]) * 3 * MEGABYTE),), group=f"group-{number % streams}")
    assert len(claim(spool)) < 6


@pytest.mark.integration
def test_ten_thousand_mails_that_share_a_megabyte_take_one_megabyte_and_their_records(redis_server):
    client = redis.Redis(port=redis_server.port)
    client.flushall()
    spool = RedisSpool(Direct(client), "shared")
    shared = content(b"s" * MEGABYTE)
    before = client.info("memory")["used_memory"]
    put(spool, 10_000, contents=(shared,), payload=b"p" * 1000)
    used = client.info("memory")["used_memory"] - before
    bytes_of_content = client.memory_usage(f"{{shared}}:content:{shared.name}", samples=0) or 0
    assert MEGABYTE <= bytes_of_content < 1.3 * MEGABYTE
    assert used - bytes_of_content < 10_000 * 1600
    for leased in iter(lambda: claim(spool, 500), ()):
        for one in leased:
            assert spool.done(one, {})
    assert client.info("memory")["used_memory"] - before < used - 0.9 * MEGABYTE
