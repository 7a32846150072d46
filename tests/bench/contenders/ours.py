"""mailworker, as `mailworker worker` runs it: all defaults, its log line for each mail included."""

from __future__ import annotations

import sys
from typing import Any

from tests.bench.child import Child
from tests.bench.contenders.base import Contender
from tests.bench.place import Place
from tests.bench.scenario import OURS, Entry, Scenario


class Mailworker(Contender):
    name = OURS
    keeps = "Redis"
    producers = 2

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        argv = [sys.executable, "-m", "mailworker", "worker", "-c", str(entry.sessions), "--pool", entry.pool]
        return Child(argv, self.env(place, entry), place.folder / "worker.log")

    def is_done(self, place: Place, count: int, child: Child) -> bool:
        return booked(place, "sent") >= count


def booked(place: Place, state: str) -> int:
    """Return how many mails the spool has in a state."""
    client: Any = place.redis()
    with client:
        counts: dict[bytes, bytes] = client.hgetall("{mailworker}:count")
    return sum(int(number) for name, number in counts.items() if name.decode().endswith(f"/{state}"))
