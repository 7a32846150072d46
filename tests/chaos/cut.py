"""Connections to a Redis that break while nobody expects it."""

from __future__ import annotations

import contextlib
import random

import redis


def cut(url: str, victims: random.Random) -> None:
    """Close the connections of all clients, or of a few; nothing if it does not answer.

    Args:
        url: of the Redis.
        victims: who it hits.
    """
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
        if victims.random() < 0.5:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            return
        addresses = [each["addr"] for each in client.client_list()]
        for address in victims.sample(addresses, len(addresses) // 3):
            with contextlib.suppress(redis.ResponseError):
                client.execute_command("CLIENT", "KILL", "ADDR", address, "SKIPME", "yes")
