"""How much memory of Redis a queued mail takes beyond its own bytes.

    python -m tests.bench.spool_memory [--json] [--mails 50000]

Mails whose payloads have 600 to 1,400 bytes, in a private redis-server: `used_memory` before and after. The goal is at most 500
bytes a mail beyond its payload. The parts: what the key of the record takes with its head (MEMORY USAGE less the payload), its
place in the due index, and what remains: mostly tables that grow by doubling.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from mailworker.spool.record import Mail
from tests.bench.spool_server import mails, opened
from tests.processes import RedisServer

GOAL = 500


def measured(number: int, **fields: Any) -> dict[str, float]:
    """Return bytes a mail."""
    with RedisServer() as server:
        client, spool = opened(server.port)
        spool.now()
        before = client.info("memory")["used_memory"]
        payload = 0

        def counted() -> Any:
            nonlocal payload
            for mail in mails(number, spool.now(), **fields):
                payload += len(mail.payload)
                yield mail

        spool.put_and_wake(counted())
        used = client.info("memory")["used_memory"] - before
        some = [f"{{mailworker}}:m:{place:032x}" for place in range(0, number, max(number // 2000, 1))]
        redis: Any = client
        records: float = sum(redis.memory_usage(key) for key in some) / len(some)
        heads: float = sum(redis.get(key).index(b"\n") for key in some) / len(some)
        indexes: int = sum(redis.memory_usage(key, samples=0) for key in redis.scan_iter("*:due:*"))
    mean = payload / number
    return {
        "payload": mean,
        "beyond": used / number - mean,
        "head": heads,
        "record": records - mean - heads,
        "index": indexes / number,
        "rest": used / number - records - indexes / number,
    }


#: Kinds of mail, by what is set beside the defaults.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "group": {"group": "newsletter-2026-11"},
    "everything": {
        "group": "newsletter-2026-11",
        "mailer": "marketing",
        "domain": "example.org",
        "expires_at": 1_900_000_000.0,
        "fail_silently": True,
    },
}


def main() -> None:
    assert set(KINDS["everything"]) <= set(Mail.__dataclass_fields__)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mails", type=int, default=50_000)
    options = parser.parse_args()
    figures = {kind: measured(options.mails, **fields) for kind, fields in KINDS.items()}
    if options.json:
        print(json.dumps({"mails": options.mails, "goal": GOAL, "bytes": figures}, indent=2))
        return
    for kind, of in figures.items():
        print(
            f"{kind:>10}: {of['beyond']:.0f} bytes beyond a payload of {of['payload']:.0f} (goal {GOAL}): head {of['head']:.0f}, "
            f"key and allocator {of['record']:.0f}, index {of['index']:.0f}, rest {of['rest']:.0f}"
        )


if __name__ == "__main__":
    main()
