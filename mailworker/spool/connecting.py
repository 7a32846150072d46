"""What connections to the spool's Redis have in common, in a thread and on an event loop: how they begin, and for how long an idle
one is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailworker.settings import SpoolServers

#: Seconds after which an idle connection is not trusted any more: below the idle limits of common firewalls.
MAX_IDLE = 30.0

#: Tells the server our name, for people who look at its clients, and asks for its mode: one round trip for both.
GREETING = ("HELLO", 2, "SETNAME", "mailworker")


def login(to: SpoolServers, *, is_sentinel: bool) -> dict[str, Any]:
    """Return redis-py's options for who logs in, and where; RESP3 would cost a round trip.

    Args:
        to: what the URL says.
        is_sentinel: log in as at a Sentinel.
    """
    return {
        "username": to.sentinel_username if is_sentinel else to.username,
        "password": to.sentinel_password if is_sentinel else to.password,
        "db": 0 if is_sentinel else to.database,
        "protocol": 2,
    }


def mode_of(answer: Sequence[Any]) -> str:
    """Return what a server says it is in its answer to the greeting, "standalone" or "cluster"; empty if it does not say."""
    mode = dict(zip(answer[::2], answer[1::2], strict=False)).get(b"mode")
    return mode.decode() if isinstance(mode, bytes) else ""
