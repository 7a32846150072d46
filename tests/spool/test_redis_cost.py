"""What calls cost Redis, in commands: the same whether a hundred mails or many wait, and few on the way of a mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from mailworker.lane import LANES, Lane
from mailworker.spool.base import Limits
from mailworker.spool.record import Mail, State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.script import scripts
from tests import processes
from tests.spool.harness import LEASE, accepted, claim, put
from tests.spool.test_redis import Direct

pytestmark = pytest.mark.integration

FEW, MANY = 100, 20_000
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


def test_a_cancelled_group_costs_each_later_claim_no_more_than_a_few_of_its_mails(client, spool):
    fill(spool, MANY, group="news")
    spool.cancel_group("news")
    cost = commands(client, lambda: spool.claim(LANES, 1, LEASE))
    assert sum(cost.values()) < 65 * 8
    assert spool.status_of_group("news") == {State.CANCELLED: MANY}


def test_the_look_of_an_idle_worker_costs_three_commands(client, spool):
    put(spool, 3, due_at=spool.now() + 1000)
    assert sum(commands(client, lambda: spool.waits(LANES, 1.0)).values()) <= 3


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
