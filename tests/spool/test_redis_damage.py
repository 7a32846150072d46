"""Records that somebody, or a broken disk, has written over in Redis: each ends as a dead letter, and workers go on.

What becomes of a damage in each place is asked of a real Redis. fakeredis takes several times as long, and runs the same scripts:
it shows for one place that it reads each damage in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis

from mailworker.lane import LANES
from mailworker.spool.base import Leased
from mailworker.spool.record import Content, Mail, State
from mailworker.spool.redis import RedisSpool
from tests import processes
from tests.spool.harness import LEASE, accepted, claim, claim_one, claimed_ids, deferred, ids, put, rejected, state
from tests.spool.test_redis import RedisHarness


def head(**changes: Any) -> bytes:
    fields = {"v": 1, "l": "normal", "m": "relay", "c": "1700000000.000000", **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\npayload"


DAMAGES = {
    "a wrong version": head(v=2),
    "no version": head(v=None),
    "no line feed": head().replace(b"\n", b""),
    "nothing at all": b"",
    "half of its head": head()[:20],
    "a list": b"[1, 2]\npayload",
    "a number": b"1\npayload",
    "null": b"null\npayload",
    "no JSON": b"{'v': 1}\npayload",
    "no time": head(c=None),
    "a time in words": head(c="yesterday"),
    "a time in hexadecimal digits": head(d="0x10"),
    "a number for a time": head(c=1700000000),
    "a number for its mailer": head(m=7),
    "no known lane": head(l="urgent"),
    "no known state": head(s="lost"),
    "another state than its place": head(s="sent"),
    "another mailer than its place": head(m="other"),
    "another group than its place": head(g="strangers"),
    "outcomes that are a list": head(out=["accepted"]),
    "an outcome that is a number": head(out={"a@a.org": 250}),
    "an outcome of no class": head(out={"a@a.org": "x250 - fine"}),
    "attempts in words": head(a="two"),
    "half an attempt": head(a=0.5),
    "fewer attempts than none": head(a=-1),
    "a lapse that is a list": head(p=[]),
    "a reason that is an object": head(u={"text": "so"}),
    "contents that are an object": head(x={"name": "c1"}),
    "contents that are numbers": head(x=[1]),
    "null for an attempt": head(a=None).replace(b'"v"', b'"a": null, "v"'),
    "a field that nobody knows": head(zzz=1),
    "deep nesting": b'{"v":1,"l":' + b"[" * 2000 + b"]" * 2000 + b"}\npayload",
    "a number beyond all numbers": head().replace(b'"v"', b'"a": 1e999, "v"'),
    "a mailer in bytes that are no UTF-8": head().replace(b"relay", b"rel\xff\xfey"),
    "a reason in bytes that are no UTF-8": head(u="so").replace(b'"so"', b'"\xff\xfe"'),
    "a recipient in bytes that are no UTF-8": head(out={"a@a.org": "d450 - later"}).replace(b"a@a", b"\xff@a"),
    "zeros": b"\0" * 300,
}

each_damage = pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in DAMAGES.items()])

FAKE = "fakeredis"
REAL = pytest.param("a redis-server", marks=pytest.mark.integration)


def damage(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with each damage, on a real Redis."""
    on_each: Callable[..., None] = each_damage(pytest.mark.parametrize("connect", [REAL], indirect=True)(test))
    return on_each


@pytest.fixture(scope="module")
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


@pytest.fixture(params=[FAKE, REAL])
def connect(request) -> Callable[[], Any]:
    if request.param == FAKE:
        server = fakeredis.FakeServer()
        return lambda: fakeredis.FakeStrictRedis(server=server)
    port = request.getfixturevalue("redis_server").port
    return lambda: redis.Redis(port=port)


@pytest.fixture
def harness(connect) -> RedisHarness:
    return RedisHarness(connect, {}, 1000.0)


@pytest.fixture
def spool(harness) -> RedisSpool:
    assert isinstance(harness.spool, RedisSpool)
    return harness.spool


class Vandal:
    def __init__(self, harness: RedisHarness) -> None:
        self.client = harness._client
        self.prefix = f"{{{harness.namespace}}}:"

    def write(self, mail: Mail, raw: bytes) -> None:
        self.client.set(f"{self.prefix}m:{mail.id}", raw)

    def delete(self, mail: Mail) -> None:
        assert self.client.delete(f"{self.prefix}m:{mail.id}") == 1


@pytest.fixture
def vandal(harness) -> Vandal:
    return Vandal(harness)


def counted(spool: RedisSpool) -> dict[State, int]:
    found: dict[State, int] = {}
    for (_, _, where), number in spool.stats().counts.items():
        found[where] = found.get(where, 0) + number
    return found


def is_dead_letter(spool: RedisSpool, mail: Mail, raw: bytes) -> None:
    """It is listed, shows its raw bytes, counts as dead, and goes for good."""
    assert mail.id in spool.ids(State.DEAD)
    assert state(spool, mail) is State.DEAD
    record = spool.get(mail.id)
    assert record is not None
    # One that only Python cannot read has been leased before that was found: then its head tells of the lease.
    assert record.payload == raw or (
        b"\xff" in raw and b"\xff" in record.payload and record.payload.endswith(b"payload")
    )
    assert record.ledger.reason
    before = counted(spool)
    assert spool.purge(mail.id)
    assert spool.get(mail.id) is None
    assert spool.ids(State.DEAD) == []
    after = counted(spool)
    assert before.pop(State.DEAD) == 1
    assert after == before


def done(spool: RedisSpool, leased: Leased) -> None:
    assert spool.mark(leased, LEASE)
    assert spool.done(leased, accepted("a@a.org"))


@each_damage
def test_a_due_record_that_was_written_over_is_a_dead_letter_and_the_claim_goes_on(spool, vandal, raw):
    before, mail, behind = put(spool, 3)
    vandal.write(mail, raw)
    leased = claim(spool)
    assert [one.mail.id for one in leased] == ids([before, behind])
    for one in leased:
        done(spool, one)
    assert counted(spool) == {State.SENT: 2, State.DEAD: 1}
    is_dead_letter(spool, mail, raw)


@damage
def test_one_of_a_group_is_a_dead_letter_of_that_group(spool, vandal, raw):
    mail, behind = put(spool, 2, group="news")
    vandal.write(mail, raw)
    assert claimed_ids(spool) == [behind.id]
    assert spool.status_of_group("news") == {State.LEASED: 1, State.DEAD: 1}
    is_dead_letter(spool, mail, raw)
    assert spool.status_of_group("news") == {State.LEASED: 1}


@damage
@pytest.mark.parametrize("group", [None, "news"])
def test_a_leased_record_that_was_written_over_is_a_dead_letter_when_its_lease_ends(harness, spool, vandal, raw, group):
    mail, _ = put(spool, 2, group=group)
    mine, others = claim(spool)
    vandal.write(mail, raw)
    assert not spool.mark(mine, LEASE)
    assert not spool.renew(mine, LEASE)
    assert not spool.done(mine, accepted("a@a.org"))
    assert spool.mark(others, LEASE)
    assert spool.done(others, accepted("a@a.org"))
    harness.advance(LEASE)
    assert claim(spool) == ()
    assert counted(spool) == {State.SENT: 1, State.DEAD: 1}
    if group:
        assert spool.status_of_group(group) == {State.SENT: 1, State.DEAD: 1}
    is_dead_letter(spool, mail, raw)


@damage
@pytest.mark.parametrize("group", [None, "news"])
@pytest.mark.parametrize("call", ["get", "status", "purge", "ids"])
def test_a_dead_record_that_was_written_over_is_still_a_dead_letter(spool, vandal, raw, call, group):
    (mail,) = put(spool, group=group)
    leased = claim_one(spool)
    spool.mark(leased, LEASE)
    spool.bury(leased, rejected("a@a.org"), "no")
    vandal.write(mail, raw)
    if call == "purge":
        assert spool.purge(mail.id)
        assert spool.ids(State.DEAD) == []
        assert counted(spool) == {}
        assert spool.status_of_group("news") == {}
        return
    if call == "ids":
        assert spool.ids(State.DEAD) == [mail.id]
    else:
        assert getattr(spool, call)(mail.id) is not None
    assert counted(spool) == {State.DEAD: 1}
    is_dead_letter(spool, mail, raw)


@damage
def test_a_held_record_that_was_written_over_becomes_a_dead_letter(spool, vandal, raw):
    (mail,) = put(spool, group="news")
    spool.hold(claim_one(spool), deferred("a@a.org"), "in doubt")
    vandal.write(mail, raw)
    assert spool.ids(State.HELD) == []
    assert spool.status_of_group("news") == {State.DEAD: 1}
    is_dead_letter(spool, mail, raw)


@damage
@pytest.mark.parametrize("held", [False, True])
def test_in_a_cancelled_group_it_is_a_dead_letter_and_the_others_are_cancelled(spool, vandal, raw, held):
    mail, other = put(spool, 2, group="news")
    if held:
        for leased in claim(spool):
            spool.hold(leased, {}, "wait")
    spool.cancel_group("news")
    vandal.write(mail, raw)
    assert claim(spool) == ()
    assert state(spool, other) is State.CANCELLED
    assert spool.status_of_group("news") == {State.CANCELLED: 1, State.DEAD: 1}
    is_dead_letter(spool, mail, raw)


@damage
@pytest.mark.parametrize("call", ["ids", "get", "nothing"])
def test_a_finished_record_that_was_written_over_becomes_a_dead_letter(harness, spool, vandal, raw, call):
    mail, other = put(spool, 2, group="news")
    for leased in claim(spool):
        done(spool, leased)
    vandal.write(mail, raw)
    assert spool.put([mail]) == [False]
    if call == "ids":
        assert spool.ids(State.SENT) == [other.id]
    elif call == "get":
        assert spool.get(mail.id) is not None
    harness.advance(1000)
    assert claim(spool) == ()
    assert counted(spool) == {State.DEAD: 1}
    assert spool.status_of_group("news") == {State.DEAD: 1}
    is_dead_letter(spool, mail, raw)
    assert spool.status_of_group("news") == {}


@pytest.mark.parametrize("group", [None, "news"])
def test_a_due_record_that_was_deleted_leaves_the_books_and_the_claim_goes_on(spool, vandal, group, caplog):
    mail, behind = put(spool, 2, group=group)
    vandal.delete(mail)
    assert claimed_ids(spool) == [behind.id]
    assert counted(spool) == {State.LEASED: 1}
    if group:
        assert spool.status_of_group(group) == {State.LEASED: 1}
    assert any(mail.id in text and "lost" in text for text in caplog.messages)


@pytest.mark.parametrize("group", [None, "news"])
@pytest.mark.parametrize("call", ["mark", "renew", "done", "snooze", "bury"])
def test_a_leased_record_that_was_deleted_leaves_the_books_when_its_lease_ends(harness, spool, vandal, group, call):
    (mail,) = put(spool, group=group)
    leased = claim_one(spool)
    vandal.delete(mail)
    arguments: dict[str, tuple[Any, ...]] = {
        "mark": (LEASE,),
        "renew": (LEASE,),
        "done": (accepted("a@a.org"),),
        "snooze": (spool.now(),),
        "bury": ({}, "no"),
    }
    assert not getattr(spool, call)(leased, *arguments[call])
    harness.advance(LEASE)
    assert claim(spool) == ()
    assert counted(spool) == {}
    assert spool.status_of_group("news") == {}


@pytest.mark.parametrize("where", [State.DEAD, State.HELD])
def test_a_dead_or_held_record_that_was_deleted_leaves_the_books_when_they_are_listed(spool, vandal, where):
    (mail,) = put(spool, group="news")
    leased = claim_one(spool)
    if where is State.DEAD:
        spool.bury(leased, {}, "no")
    else:
        spool.hold(leased, {}, "wait")
    vandal.delete(mail)
    assert spool.ids(where) == []
    assert counted(spool) == {}
    assert spool.status_of_group("news") == {}


def test_finished_and_called_back_records_that_were_deleted_leave_the_counts(harness, spool, vandal):
    finished, called_back = put(spool), put(spool, 2, group="news")
    done(spool, claim(spool, 1)[0])
    spool.cancel_group("news")
    for mail in (*finished, called_back[0]):
        vandal.delete(mail)
    assert claim(spool) == ()
    assert spool.status_of_group("news") == {State.CANCELLED: 1}
    harness.advance(1000)
    assert claim(spool) == ()
    assert counted(spool) == {}
    assert spool.status_of_group("news") == {}


def test_a_key_of_another_kind_is_a_dead_letter_too(spool, vandal):
    mail, behind = put(spool, 2)
    vandal.delete(mail)
    vandal.client.rpush(f"{vandal.prefix}m:{mail.id}", "a list")
    assert spool.claim(LANES, 1, LEASE).leased[0].mail.id == behind.id
    assert spool.ids(State.DEAD) == [mail.id]
    assert spool.purge(mail.id)


def test_a_dead_letter_of_raw_bytes_can_be_replayed_and_is_given_out_as_it_is(spool, vandal):
    (mail,) = put(spool)
    vandal.write(mail, b"rubbish")
    assert claim(spool) == ()
    assert spool.replay(mail.id)
    assert claim_one(spool).mail.payload == b"rubbish"


def test_what_was_said_of_a_recipient_can_be_rubbish_and_its_class_still_counts(spool, vandal):
    (mail,) = put(spool)
    vandal.write(mail, head(out={"a@a.org": "a", "b@b.org": "dnonsense", "c@c.org": "r550"}))
    leased = claim_one(spool)
    assert leased.mail.ledger.accepted == {"a@a.org"}
    assert leased.mail.ledger.settled == {"a@a.org", "c@c.org"}


class TestContents:
    """Large pieces of content that are not as they were put."""

    CONTENT = Content("c" * 64, b"large")

    def key(self, vandal: Vandal) -> str:
        return f"{vandal.prefix}content:{self.CONTENT.name}"

    def test_one_that_is_gone_is_told_as_lost_and_the_mail_can_be_given_up(self, spool, vandal):
        put(spool, contents=(self.CONTENT,))
        vandal.client.delete(self.key(vandal))
        leased = claim_one(spool)
        assert leased.mail.contents == (Content(self.CONTENT.name, None),)
        assert spool.bury(leased, {}, "a content is lost")

    @pytest.mark.parametrize("count", [b"0", b"-5", b"99", b"many"])
    def test_a_wrong_count_stops_neither_a_put_nor_an_end(self, spool, vandal, count):
        put(spool, contents=(self.CONTENT,))
        vandal.client.hset(self.key(vandal), "mails", count)
        put(spool, contents=(self.CONTENT,))
        leased = claim(spool)
        assert [one.mail.contents for one in leased] == [(self.CONTENT,)] * 2
        for one in leased:
            done(spool, one)
        assert counted(spool) == {State.SENT: 2}

    def test_one_of_another_kind_is_lost_and_stops_nobody(self, spool, vandal):
        put(spool, contents=(self.CONTENT,))
        vandal.client.delete(self.key(vandal))
        vandal.client.set(self.key(vandal), "a string")
        (leased,) = claim(spool)
        assert leased.mail.contents == (Content(self.CONTENT.name, None),)
        put(spool, contents=(self.CONTENT,))
        assert claim_one(spool).mail.contents == (self.CONTENT,)
        done(spool, leased)

    def test_a_dead_letter_of_raw_bytes_keeps_its_contents_until_it_is_purged(self, spool, vandal):
        (mail,) = put(spool, contents=(self.CONTENT,))
        vandal.write(mail, head(v=2, x=[self.CONTENT.name]))
        assert claim(spool) == ()
        record = spool.get(mail.id)
        assert record is not None
        assert record.contents == (self.CONTENT,)
        assert spool.purge(mail.id)
        assert not vandal.client.exists(self.key(vandal))

    def test_the_names_are_found_in_a_head_however_long_its_outcomes_are(self, spool):
        put(spool, contents=(self.CONTENT,))
        many = [f"someone-with-a-long-name-{number}@example.org" for number in range(300)]
        assert spool.defer(claim_one(spool), spool.now(), deferred(*many))
        assert claim_one(spool).mail.contents == (self.CONTENT,)
