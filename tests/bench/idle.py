"""What idle workers cost Redis: `python -m tests.bench.idle`.

Some workers with nothing to do share a Redis that is their broker and spool; measured are the commands a second that it
processes for each, those of Celery's own polling and those inside scripts included. The goal is 5.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack

import redis

from tests.processes import RedisServer, Worker


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        env = {"MAILWORKER_BROKER_URL": server.url, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": "1"}
        for _ in range(asked.workers):
            stack.enter_context(Worker(env, "-c", "2"))
        client = stack.enter_context(redis.Redis(port=server.port))
        # What a worker does while it starts is over.
        time.sleep(5)
        before = calls(client)
        time.sleep(asked.seconds)
        after = calls(client)
    rates = {
        name: round((number - before.get(name, 0)) / asked.seconds / asked.workers, 2)
        for name, number in after.items()
        if number > before.get(name, 0) and name != "info"
    }
    found = {"workers": asked.workers, "commands_a_second_each": round(sum(rates.values()), 2), "of_which": rates}
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.write(f"{found['commands_a_second_each']} commands a second for each of {asked.workers} idle workers\n")
    for name, rate in sorted(rates.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"  {rate:>6} {name}\n")


def calls(client: redis.Redis) -> dict[str, int]:
    """Return how often each command was processed so far."""
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return {name.removeprefix("cmdstat_"): values["calls"] for name, values in stats.items()}


if __name__ == "__main__":
    main()
