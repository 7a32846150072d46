"""What large mails cost a worker: `python -m tests.bench.large`.

A real worker sends one mail of each kind and size from a private Redis to an SMTP server here. Printed are the octets of memory
that each adds to the delivering process at the most, over its octets on the wire (the goal is 2), and the CPU seconds for each
megabyte; a figure that grows with the size would say that something is not linear. About 0.4 MB come on top whatever the size:
blocks on their way, and pages of the program that are touched for the first time. `--encrypted` with encryption keys, `--pool
threads` with a thread in place of a process, `--again` sends each mail twice in one worker. Needs a redis-server and Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid

from cryptography.fernet import Fernet

from mailworker import settings
from mailworker.queue import app as apps
from mailworker.queue import dispatch
from mailworker.testing.script import Script
from mailworker.testing.smtpd import ScriptedServer
from tests.large_mails import KINDS, Cost, scales
from tests.processes import RedisServer

GOAL = 2.0

_MB = 1_000_000


def measured(kind: str, sizes: list[float], *, pool: str, key: str, again: bool) -> list[Cost]:
    """Return what each size costs, in a worker of its own."""
    costs = []
    for size in sizes:
        with RedisServer() as server, ScriptedServer(Script(size=None)) as relay:
            env = {
                "MAILWORKER_BROKER_URL": server.url,
                "MAILWORKER_SPOOL_URL": server.url,
                "MAILWORKER_NAMESPACE": f"t{uuid.uuid4().hex[:10]}",
                "MAILWORKER_MAX_MESSAGE_SIZE": str(2**30),
                "MAILWORKER_ENCRYPTION_KEYS": key,
            }
            try:
                with settings.override(**{name: value for name, value in env.items() if value}):
                    with scales(relay, env, "--pool", pool) as one:
                        message = KINDS[kind](int(size * _MB))
                        costs += [one.weighed(message) for _ in range(2 if again else 1)]
                    dispatch.close(apps.current())
            finally:
                apps.uninstall()
    return costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="*", type=float, default=[1.5, 3, 6, 12, 25], help="megabytes on the wire")
    parser.add_argument("--pool", choices=("prefork", "threads"), default="prefork")
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    key = Fernet.generate_key().decode() if asked.encrypted else ""
    found = {}
    for kind in asked.kinds:
        costs = measured(kind, asked.sizes, pool=asked.pool, key=key, again=asked.again)
        found[kind] = [
            {"size": cost.size, "factor": round(cost.factor, 3), "cpu_s_per_mb": round(cost.cpu / cost.size * _MB, 4)}
            for cost in costs
        ]
        if not asked.json:
            for one in found[kind]:
                sys.stdout.write(
                    f"{kind:<8} {one['size'] / _MB:>6.2f} MB  memory {one['factor']:.3f} times its size  "
                    f"CPU {one['cpu_s_per_mb'] * 1000:.1f} ms a megabyte\n"
                )
            sys.stdout.flush()
    if asked.json:
        sys.stdout.write(
            json.dumps({"goal": GOAL, "pool": asked.pool, "encrypted": asked.encrypted, "costs": found}) + "\n"
        )


if __name__ == "__main__":
    main()
