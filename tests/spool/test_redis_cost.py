"""What calls cost Redis, in commands: the same whether a hundred mails or many wait, and few on the way of a mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from mailworker.lane import LANES, Lane
from mailworker.spool.base import Claim, Leased, Limits
from mailworker.spool.record import Mail, State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.script import scripts
from tests import processes
from tests.direct import Direct
from tests.spool.harness import LEASE, accepted, claim, put, rejected

pytestmark = pytest.mark.integration

#: Many are more than any call looks at.
FEW, MANY = 100, 5_000
LIMITS = {"relay": Limits(domain_concurrency={"busy.org": 1})}


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


@pytest.fixture
def spool(client) -> RedisSpool:
    return RedisSpool(Direct(client), "cost", limits=LIMITS)


def commands(client: redis.Redis, call: Callable[[], Any]) -> dict[str, int]:
    """Return how often which command was run by a call, those of its scripts among them."""
    client.config_resetstat()
    call()
    stats: dict[str, Any] = client.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {name: number for name, number in counts.items() if not name.startswith(("info", "config"))}


def fill(spool: RedisSpool, number: int, **fields: Any) -> None:
    now = spool.now()
    base = {"payload": b"m", "created_at": now, "due_at": now, **fields}
    name = f"{fields.get('group', '')}{fields.get('domain', '')}"
    spool.put(Mail(id=f"{name}-{place:016d}", **base) for place in range(number))


GROUP_CALLS: dict[str, Callable[[RedisSpool], Any]] = {
    "pause_group": lambda spool: spool.pause_group("news"),
    "resume_group": lambda spool: spool.resume_group("news"),
    "cancel_group": lambda spool: spool.cancel_group("news"),
    "status_of_group": lambda spool: spool.status_of_group("news"),
}


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_a_word_to_a_group_costs_the_same_for_few_mails_and_for_many(client, spool, name):
    costs = []
    for number in (FEW, MANY):
        client.flushdb()
        fill(spool, number, group="news")
        spool.pause_group("news")
        costs.append(commands(client, lambda: GROUP_CALLS[name](spool)))
    assert costs[0] == costs[1]
    assert sum(costs[0].values()) < 30


def paused_group(spool: RedisSpool) -> None:
    spool.pause_group("news")


def taken_seat(spool: RedisSpool) -> None:
    assert len(claim(spool, 5, [Lane.NORMAL])) == 1


def paused_mailer(spool: RedisSpool) -> None:
    spool.pause("other")


@pytest.mark.parametrize(
    ("behind", "close"),
    [({"group": "news"}, paused_group), ({"domain": "busy.org"}, taken_seat), ({"mailer": "other"}, paused_mailer)],
)
def test_a_claim_beside_a_closed_gate_costs_the_same_whatever_waits_behind_it(client, spool, behind, close):
    costs = []
    for number in (FEW, MANY):
        client.flushdb()
        spool.resume("other")
        fill(spool, number, **behind)
        close(spool)
        put(spool, 20)
        cost = commands(client, lambda: spool.claim(LANES, 10, LEASE))
        assert spool.stats().counts["relay", Lane.NORMAL, State.LEASED] >= 10
        costs.append(cost)
    assert costs[0] == costs[1]
    assert sum(costs[0].values()) < 60


@pytest.mark.parametrize("gate", ["domain", "group"])
def test_one_claim_parks_a_bounded_number_of_streams(client, spool, gate):
    now = spool.now()
    domain = "busy.org" if gate == "domain" else None
    groups = [f"group {n}" for n in range(5_000)]
    if gate == "domain":
        put(spool, domain="busy.org")
        assert len(claim(spool)) == 1
    else:
        for group in groups:
            spool.pause_group(group)
    spool.put(
        Mail(id=group.rjust(32, "0"), payload=b"m", created_at=now, due_at=now, group=group, domain=domain)
        for group in groups
    )
    answered: list[Claim] = []
    for _ in range(4):
        cost = commands(client, lambda: answered.append(spool.claim(LANES, 10, LEASE)))
        assert 1_000 < sum(cost.values()) < 10_000
        assert (answered[-1].leased, answered[-1].next_in) == ((), 0)
    spool.claim(LANES, 10, LEASE)
    # Now all are parked, and nothing is looked at any more.
    assert sum(commands(client, lambda: spool.claim(LANES, 10, LEASE)).values()) < 30


def test_one_claim_moves_a_bounded_number_of_streams_whose_next_mails_are_due_later(client, spool):
    now = spool.now()
    pairs = range(3_000)
    spool.put(Mail(id=f"a{n:031x}", payload=b"m", created_at=now, due_at=now, group=f"group {n}") for n in pairs)
    spool.put(Mail(id=f"b{n:031x}", payload=b"m", created_at=now, due_at=now + 900, group=f"group {n}") for n in pairs)
    taken: list[Leased] = []
    for _ in range(60):
        cost = commands(client, lambda: taken.extend(claim(spool, 50)))
        assert sum(cost.values()) < 7_000
    assert len(taken) == 3_000
    while (answer := spool.claim(LANES, 10, LEASE)).next_in == 0:
        assert answer.leased == ()
    assert sum(commands(client, lambda: spool.claim(LANES, 10, LEASE)).values()) < 30


def test_a_mail_behind_more_streams_than_one_claim_moves_is_told_of_at_once(client, spool):
    now, groups = spool.now(), [f"group {n}" for n in range(1_200)]
    for name, due_at in (("a", now - 10), ("b", now + 900)):
        spool.put(
            Mail(id=f"{name} {group}", payload=b"m", created_at=now - 10, due_at=due_at, group=group)
            for group in groups
        )
    put(spool, 2)
    for _ in range(24):
        assert len(claim(spool, 50)) == 50
    # Of the mails of no group: the next one of them stands behind all these groups, which have nothing ready.
    assert spool.claim(LANES, 1, LEASE).next_in == 0
    assert len(claim(spool, 50)) == 1


def test_a_cancelled_group_costs_each_later_claim_no_more_than_a_few_of_its_mails(client, spool):
    fill(spool, MANY, group="news")
    spool.cancel_group("news")
    cost = commands(client, lambda: spool.claim(LANES, 1, LEASE))
    assert sum(cost.values()) < 65 * 8
    assert spool.status_of_group("news") == {State.CANCELLED: MANY}


LARGE = b"m" * 400_000

LISTS: dict[str, Callable[[RedisSpool, list[str]], Any]] = {
    "status": lambda spool, ids: [spool.status(one) for one in ids],
    "statuses": lambda spool, ids: list(spool.statuses(ids)),
    "ids": lambda spool, ids: spool.ids(State.DEAD) + spool.ids(State.DUE) + spool.ids(State.SENT),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_one_can_ask_of_mails_moves_no_payloads(client, spool, name):
    ids = [mail.id for mail in put(spool, 30, payload=LARGE)]
    dead, _, sent, *_ = claim(spool, 20)
    assert spool.bury(dead, rejected("a@a.org"), "no")
    assert spool.done(sent, accepted("a@a.org"))
    client.config_resetstat()
    answered = LISTS[name](spool, ids)
    assert len(answered) >= 12
    assert client.info("stats")["total_net_output_bytes"] < len(LARGE) / 4


def test_a_status_costs_the_same_for_a_small_mail_and_for_a_large_one(client, spool):
    costs = []
    for payload in (b"m", LARGE):
        (mail,) = put(spool, payload=payload)
        costs.append(commands(client, lambda: spool.status(mail.id)))  # noqa: B023 - called at once
    assert costs[0] == costs[1]
    assert "get" not in costs[0]


def test_the_status_of_a_large_mail_whose_lease_ran_out_leaves_its_payload_as_it_is(client):
    spool = RedisSpool(Direct(client), "cost", limits=LIMITS)
    (mail,) = put(spool, payload=LARGE, group="news")
    (leased,) = spool.claim(LANES, 1, 1e-6).leased
    status = spool.status(mail.id)
    assert (status and status.state, leased.mail.id) == (State.DUE, mail.id)
    record = spool.get(mail.id)
    assert record is not None
    assert record.payload == LARGE
    spool.cancel_group("news")
    status = spool.status(mail.id)
    assert (status and status.state) == State.CANCELLED
    record = spool.get(mail.id)
    assert record is not None
    assert record.payload == b""


def test_the_look_of_an_idle_worker_costs_three_commands(client, spool):
    put(spool, 3, due_at=spool.now() + 1000)
    assert sum(commands(client, lambda: spool.waits(LANES, 1.0)).values()) <= 3


def test_tidying_costs_a_command_for_each_row_and_a_few_where_there_is_nothing_to_do(client, spool):
    put(spool, 2_000, payload=b"m")
    put(spool, lane=Lane.HIGH, mailer="other")
    for leased in claim(spool, 500):
        assert spool.done(leased, accepted("a@a.org"))
    assert len(claim(spool, 100)) == 100
    assert not spool.tidy()
    assert sum(commands(client, spool.tidy).values()) <= 7


def test_the_way_of_a_plain_mail_costs_few_commands(client, spool):
    put(spool, 400)
    first = claim(spool, 50)
    assert sum(commands(client, lambda: put(spool)).values()) <= 12
    assert sum(commands(client, lambda: claim(spool, 50)).values()) <= 50
    for name, most, say in (
        ("mark", 6, lambda one: spool.mark(one, LEASE)),
        ("renew", 5, lambda one: spool.renew(one, LEASE)),
        ("done", 9, lambda one: spool.done(one, accepted("a@a.org"))),
    ):
        leases = iter(first)
        cost = commands(client, lambda: say(next(leases)))  # noqa: B023 - called at once
        assert sum(cost.values()) <= most, (name, cost)


def test_a_limit_of_sessions_costs_a_mail_one_command_and_without_it_none(client):
    costs = []
    for limits in ({}, {"relay": Limits(sessions=1)}):
        client.flushdb()
        spool = RedisSpool(Direct(client), "cost", limits=limits)
        fill(spool, 3)
        first, second, _ = claim(spool, 3, slot="me")
        assert spool.step(None, first, LEASE).answer() == (False, True)
        made: list[tuple[bool, bool]] = []
        done = (first, accepted("a@a.org"))
        costs.append(commands(client, lambda: made.append(spool.step(done, second, LEASE).answer())))  # noqa: B023
        assert made == [(True, True)]
    without, limited = costs
    assert limited.pop("zadd") == without.pop("zadd") + 1
    assert limited == without
