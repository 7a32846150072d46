"""How fast the spool alone is drained, and whether a long queue makes it slower.

    python -m tests.bench.spool_backlog [--json] [--first 20000] [--backlog 1000000] [--batch 50]

One worker claims, marks and ends each mail, without SMTP: the first 20,000 of a queue of 20,000, and then of a queue of a
million, in one run on one private redis-server (nothing kept on disk). What counts is the ratio, and the server's own CPU for
each mail, for a client in Python spends several times as much.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import redis

from mailworker.lane import LANES
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.redis import RedisSpool
from tests.bench.spool_server import cpu, mails, opened
from tests.processes import RedisServer

_ACCEPTED = {"someone@example.org": Outcome(OutcomeClass.ACCEPTED, Reply(250, "Ok: queued as 4F2C81A3", "2.0.0"))}


def filled(client: redis.Redis, spool: RedisSpool, number: int) -> dict[str, float]:
    """Fill an empty spool; return microseconds for each mail, the server's CPU and in all."""
    client.flushall()
    began, used = time.perf_counter(), cpu(client)
    spool.put_and_wake(mails(number, spool.now()))
    return {
        "server_us": (cpu(client) - used) / number * 1e6,
        "wall_us": (time.perf_counter() - began) / number * 1e6,
    }


def drained(client: redis.Redis, spool: RedisSpool, number: int, batch: int) -> dict[str, float]:
    """Claim, mark and end so many mails; return the rate and the server's CPU for each step of a mail."""
    steps = {"claim": 0.0, "mark": 0.0, "done": 0.0}
    began = time.perf_counter()
    left = number
    while left > 0:
        used = cpu(client)
        leased = spool.claim(LANES, min(batch, left), 60.0).leased
        steps["claim"] += cpu(client) - used
        used = cpu(client)
        for one in leased:
            spool.mark(one, 60.0)
        steps["mark"] += cpu(client) - used
        used = cpu(client)
        for one in leased:
            spool.done(one, _ACCEPTED)
        steps["done"] += cpu(client) - used
        left -= len(leased)
    seconds = time.perf_counter() - began
    return {"mails_a_second": number / seconds} | {f"{step}_us": used / number * 1e6 for step, used in steps.items()}


def measured(first: int, backlog: int, batch: int) -> dict[str, Any]:
    """Run the bench; return its figures."""
    with RedisServer() as server:
        client, spool = opened(server.port)
        figures: dict[str, Any] = {"first": first, "batch": batch}
        for number in (first, backlog):
            put = filled(client, spool, number)
            figures[str(number)] = {"put": put, "drain": drained(client, spool, first, batch)}
        short, long = (figures[str(number)]["drain"]["mails_a_second"] for number in (first, backlog))
        return figures | {"ratio": long / short, "goal": ">= 0.8"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--first", type=int, default=20_000)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=50)
    options = parser.parse_args()
    figures = measured(options.first, options.backlog, options.batch)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for number in (options.first, options.backlog):
        put, drain = figures[str(number)]["put"], figures[str(number)]["drain"]
        print(
            f"queue of {number:>9,}: put {put['server_us']:5.1f} us of Redis a mail ({put['wall_us']:.0f} in all); "
            f"drained {drain['mails_a_second']:,.0f}/s, claim {drain['claim_us']:.1f} + mark {drain['mark_us']:.1f} "
            f"+ done {drain['done_us']:.1f} us of Redis a mail"
        )
    print(f"ratio {figures['ratio']:.2f} (goal {figures['goal']})")


if __name__ == "__main__":
    main()
