"""The tasks that wait in kombu's memory transport."""

from __future__ import annotations

from typing import Any

from kombu import Connection

from mailworker.lane import LANES
from mailworker.queue import lanes


def woken() -> list[str]:
    """Take the wake-ups out of the broker; return their lanes."""
    return [lane for (lane,) in taken("mailworker.drain")]


def taken(task: str) -> list[Any]:
    """Take all tasks out of the broker, which are of this name; return their arguments."""
    found: list[Any] = []
    with Connection("memory://") as connection:
        for lane in LANES:
            queue = lanes.declared(lanes.queue_name("mailworker", lane))(connection.default_channel)
            queue.declare()
            while (one := queue.get(no_ack=True)) is not None:
                assert one.headers["task"] == task
                found.append(one.payload[0])
    return found
