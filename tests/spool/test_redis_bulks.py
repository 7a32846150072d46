"""Bulks in a real Redis: what they cost, what is readable with keys, what stays behind, and what damage does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

from mailworker.lane import LANES, Lane
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool import bulk as bulks
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.bulk import BulkClosed, Plan, Row
from mailworker.spool.record import State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.script import scripts
from tests import processes
from tests.direct import Direct
from tests.spool.harness import LEASE, accepted, claim, deferred, rejected
from tests.spool.test_redis_cost import commands

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


@pytest.fixture
def client(redis_server) -> redis.Redis:
    client = redis.Redis(port=redis_server.port)
    client.flushall()
    for script in scripts().values():
        client.script_load(script.text)
    return client


PLAN = Plan(name="news", letter=b"letter", letter_digest="d")


def opened(client: redis.Redis, **options: Any) -> RedisSpool:
    return RedisSpool(Direct(client), "b", **options)


def fill(spool: RedisSpool, number: int, domain: str = "customers.example", name: str = "news") -> list[Row]:
    spool.bulks.begin(Plan(name=name, letter=b"letter", letter_digest="d"))
    rows = [Row(f"{place:032x}", b"row", domain) for place in range(number)]
    for at in range(0, number, 500):
        spool.bulks.put(name, rows[at : at + 500])
    spool.bulks.end(name)
    return rows


def test_to_look_at_a_bulk_costs_the_same_however_many_mails_it_has(client):
    spool = opened(client)
    fill(spool, 2, name="few")
    assert len(claim(spool, 1)) == 1
    few = commands(client, lambda: spool.bulks.get("few"))
    fill(spool, 4000, name="few")
    assert len(claim(spool, 20)) == 20
    assert commands(client, lambda: spool.bulks.get("few")) == few


def test_to_pause_and_retime_one_costs_the_same_however_many_mails_it_has(client):
    spool = opened(client)
    fill(spool, 50, name="few")
    few = [
        commands(client, lambda: spool.pause_group("few", "why")),
        commands(client, lambda: spool.resume_group("few")),
        commands(client, lambda: spool.bulks.retime("few", bulks.Timetable(rate=5.0))),
    ]
    client.flushall()
    fill(spool, 4000, name="few")
    many = [
        commands(client, lambda: spool.pause_group("few", "why")),
        commands(client, lambda: spool.resume_group("few")),
        commands(client, lambda: spool.bulks.retime("few", bulks.Timetable(rate=5.0))),
    ]
    assert many == few


def test_with_keys_neither_domains_nor_answers_can_be_read_in_redis(client):
    sealer = Sealer([Fernet.generate_key()])
    spool = opened(client, sealing=sealer)
    fill(spool, 3)
    first, second, third = claim(spool)
    spool.mark(first, LEASE)
    spool.step((first, accepted("ann@customers.example")), second, LEASE).answer()
    answer = {"ann@customers.example": Outcome(OutcomeClass.REJECTED, Reply(550, "mailbox-of-ann", "5.1.1"))}
    assert spool.bury(second, answer, "rejected")
    kept = b"\n".join(_all(client))
    for secret in (b"customers.example", b"mailbox-of-ann", b"ann@"):
        assert secret not in kept, secret
    bulk = opened(client, sealing=sealer).bulks.get("news")
    assert bulk is not None
    assert bulk.outcomes == {"customers.example": {OutcomeClass.ACCEPTED: 1, OutcomeClass.REJECTED: 1}}
    assert [error.domain for error in bulk.errors] == ["customers.example"]
    assert bulk.errors[0].outcome.reply == Reply(550, "mailbox-of-ann", "5.1.1")
    # Whoever has another key can still count.
    other = opened(client, sealing=Sealer([Fernet.generate_key()])).bulks.get("news")
    assert other is not None
    ((domain, counts),) = other.outcomes.items()
    assert domain.startswith("(")
    assert sum(counts.values()) == 2
    assert third.mail.domain is None


def _all(client: redis.Redis) -> Iterator[bytes]:
    some: Any = client
    for key in some.scan_iter("*"):
        yield key
        kind = some.type(key)
        if kind == b"string":
            yield some.get(key)
        elif kind == b"hash":
            yield from (part for pair in some.hgetall(key).items() for part in pair)
        elif kind == b"list":
            yield from some.lrange(key, 0, -1)
        elif kind == b"zset":
            yield from some.zrange(key, 0, -1)
        else:
            yield from some.smembers(key)


def test_domains_beyond_a_thousand_are_counted_together(client):
    spool = opened(client)
    spool.bulks.begin(Plan(name="news", letter=b"", letter_digest="d", max_bounces=None))
    rows = [Row(f"{place:032x}", b"row", f"d{place}.example") for place in range(1010)]
    for at in range(0, 1010, 505):
        spool.bulks.put("news", rows[at : at + 505])
    spool.bulks.end("news")
    leased = [one for _ in range(21) for one in claim(spool)]
    for one in leased:
        spool.mark(one, LEASE)
        spool.defer(one, spool.now() - 1, deferred(f"x@{one.mail.domain}"))
    bulk = spool.bulks.get("news")
    assert bulk is not None
    assert len(bulk.outcomes) == bulks.MAX_DOMAINS + 1
    assert bulk.outcomes[""] == {OutcomeClass.DEFERRED: 10}
    for one in [one for _ in range(21) for one in claim(spool)]:
        spool.mark(one, LEASE)
        spool.done(one, accepted(f"x@{one.mail.domain}"))
    bulk = spool.bulks.get("news")
    assert bulk is not None
    total = {kind: sum(counts.get(kind, 0) for counts in bulk.outcomes.values()) for kind in OutcomeClass}
    assert total[OutcomeClass.ACCEPTED] == 1010
    assert total[OutcomeClass.DEFERRED] == 0


def test_what_is_left_of_a_bulk_whose_mails_are_forgotten_goes_after_a_while(client):
    spool = opened(client, retention=0.0)
    fill(spool, 2)
    for leased in claim(spool):
        spool.mark(leased, LEASE)
        spool.done(leased, accepted("x@customers.example"))
    spool.stats()
    left = sorted(key.decode().removeprefix("{b}:") for key in client.keys("*news*"))
    assert left == ["bulk:news", "outcomes:news"]
    assert all(0 < client.ttl(f"{{b}}:{key}") <= 90 * 86_400 for key in left)
    client.delete("{b}:bulk:news")
    assert spool.bulks.all() == []
    assert client.zcard("{b}:bulks") == 0


@pytest.mark.parametrize(
    "record",
    [
        b'{"v":1,"l":"bulk","m":"relay","c":"1700000000.000000","j":1}\nrow',
        b'{"v":1,"l":"bulk","m":"relay","c":"1700000000.000000","j":1,"g":"news"}\nrow',
        b'{"v":1,"l":"bulk","m":"relay","c":"1700000000.000000","j":"1","g":"news","w":"a.org"}\nrow',
    ],
)
def test_a_row_that_says_of_what_it_is_one_no_more_is_a_dead_letter(client, record):
    spool = opened(client)
    first, second = fill(spool, 2)
    client.set(f"{{b}}:m:{first.id}", record)
    assert [one.mail.id for one in claim(spool)] == [second.id]
    status = spool.status(first.id)
    assert status is not None
    assert status.state is State.DEAD
    bulk = spool.bulks.get("news")
    assert bulk is not None
    assert bulk.states == {State.DEAD: 1, State.LEASED: 1}


def test_a_row_that_was_deleted_is_taken_out_of_the_books(client):
    spool = opened(client)
    first, _ = fill(spool, 2)
    client.delete(f"{{b}}:m:{first.id}")
    (leased,) = claim(spool)
    spool.mark(leased, LEASE)
    assert spool.bury(leased, rejected("x@customers.example"), "rejected")
    assert spool.claim(LANES, 5, LEASE).leased == ()
    assert [status.state for status, _ in spool.bulks.mails("news")] == [State.DEAD]
    bulk = spool.bulks.get("news")
    assert bulk is not None
    assert (bulk.left, bulk.rows) == (0, 2)


def test_a_domain_is_named_although_the_first_rows_of_it_did_not_come_in(client):
    sealer = Sealer([Fernet.generate_key()])
    spool = opened(client, sealing=sealer)
    spool.bulks.begin(Plan(name="news", letter=b"letter", letter_digest="d"))
    rows = [Row("a" * 32, b"row", "customers.example")]
    client.delete("{b}:letter:news")
    with pytest.raises(BulkClosed):
        spool.bulks.put("news", rows)
    client.set("{b}:letter:news", b"letter")
    assert spool.bulks.put("news", rows).new == 1
    spool.bulks.end("news")
    (leased,) = claim(spool)
    spool.mark(leased, LEASE)
    spool.done(leased, accepted("ann@customers.example"))
    bulk = spool.bulks.get("news")
    assert bulk is not None
    assert list(bulk.outcomes) == ["customers.example"]


def test_rows_wait_for_as_many_replicas_as_are_asked_for(client):
    spool = opened(client, replicas=1, replica_timeout=0.1)
    spool.bulks.begin(Plan(name="news", letter=b"letter", letter_digest="d"))
    with pytest.raises(SpoolUnavailable, match="0 replicas have the mail in time") as error:
        spool.bulks.put("news", [Row("a" * 32, b"row", "customers.example")])
    assert error.value.maybe_done
    assert opened(client).status("a" * 32) is not None


def one_more(number: int) -> list[Row]:
    return [Row(f"{number:032x}", b"row", "customers.example")]


def test_of_two_that_fill_a_bulk_the_one_that_began_last_opens_the_gate(client):
    older, newer = opened(client), opened(client)
    older.bulks.begin(PLAN)
    older.bulks.put("news", one_more(1))
    newer.bulks.begin(PLAN)
    older.bulks.end("news", 1)
    newer.bulks.put("news", one_more(2))
    assert claim(newer, 5) == ()
    newer.bulks.end("news", 1)
    assert len(claim(newer, 5)) == 2
    bulk = newer.bulks.get("news")
    assert bulk is not None
    assert (bulk.read, bulk.gate) == (2, bulks.BulkGate.OPEN)


def test_rows_of_a_fill_close_the_gate_that_a_later_one_has_opened_until_its_own_end(client):
    older, newer = opened(client), opened(client)
    older.bulks.begin(PLAN)
    older.bulks.put("news", one_more(1))
    newer.bulks.begin(PLAN)
    newer.bulks.end("news")
    # Put once more, since an answer was lost: it changes nothing.
    older.bulks.put("news", one_more(1))
    assert newer.group_gate("news") == "open"
    older.bulks.put("news", one_more(2))
    assert claim(newer, 5) == ()
    older.bulks.end("news")
    assert len(claim(newer, 5)) == 2


def test_who_fills_a_bulk_that_another_has_begun_anew_with_another_letter_is_told(client):
    older, newer = opened(client), opened(client)
    older.bulks.begin(PLAN)
    newer.bulks.begin(replace(PLAN, letter=b"another", letter_digest="e"))
    with pytest.raises(bulks.BulkClosed, match="begun anew by another process, and its mails say something else"):
        older.bulks.put("news", one_more(1))
    newer.bulks.put("news", one_more(2))
    older.bulks.end("news")
    assert claim(newer, 5) == ()


def test_an_end_that_is_said_again_wakes_workers_of_the_same_lane(client):
    spool = opened(client)
    spool.bulks.begin(replace(PLAN, lane=Lane.HIGH))
    assert spool.bulks.end_and_wake("news") is Lane.HIGH
    client.delete("{b}:wake:high")
    assert spool.bulks.end_and_wake("news") is Lane.HIGH


def test_rows_are_put_by_whoever_began_the_bulk(client):
    spool = opened(client)
    fill(spool, 1)
    with pytest.raises(ValueError, match="which was not begun here"):
        opened(client).bulks.put("news", [])
