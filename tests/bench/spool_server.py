"""What the spool's benches share: a private Redis, mails of a size, and what the server says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from mailworker.lane import Lane
from mailworker.spool.record import Mail
from mailworker.spool.redis import RedisSpool
from tests.direct import Direct


def opened(port: int) -> tuple[redis.Redis, RedisSpool]:
    """Return a client of a local Redis and an empty spool in it."""
    client = redis.Redis(port=port)
    return client, RedisSpool(Direct(client), "mailworker")


def mails(number: int, now: float, lane: Lane = Lane.BULK, **fields: Any) -> Iterator[Mail]:
    """Yield mails whose payloads have 600 to 1,400 bytes, all sizes alike."""
    block = bytes(range(256)) * 6
    for place in range(number):
        size = 600 + place * 397 % 801
        yield Mail(id=f"{place:032x}", payload=block[:size], lane=lane, created_at=now, due_at=now, **fields)


def cpu(client: redis.Redis) -> float:
    """Return the seconds of CPU that the server has used, system time included."""
    used: dict[str, Any] = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
