"""Whether a long queue makes a worker slower: the first mails of a queue of a million beside those of a queue of just so many.

The million is queued once, by `enqueue` of a generator, and filled up again for each round, since a worker takes away only what is
measured. Beside the rates stands how long queueing took, and what Redis needs for a mail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bench.child import ChildError
from tests.bench.contenders.base import result
from tests.bench.contenders.ours import Mailworker, booked
from tests.bench.drain import drained
from tests.bench.figures import Figures
from tests.bench.measure import Bench
from tests.bench.place import Place
from tests.bench.scenario import OURS, Entry, Scenario

NAME = "backlog"
TITLE = "Backlog of a million"

_MILLION = 1_000_000
_QUICK_MILLION = 5_000

SHORT = Entry(contender=OURS, setting="only these are queued")
LONG = Entry(contender=OURS, setting="a million are queued")
SCENARIO = Scenario(name=NAME, title=TITLE, entries=(SHORT, LONG), how="enqueue")


def run(bench: Bench, rounds: int, figures: Figures, note: Callable[[str], None]) -> None:
    """Make the runs of all rounds."""
    count = 0
    try:
        count = bench.count(SCENARIO, SHORT)
        with bench.place(SCENARIO, LONG) as place:
            for number in range(rounds):
                for entry in (SHORT, LONG) if number % 2 == 0 else (LONG, SHORT):
                    values = bench.drain(SCENARIO, SHORT, count) if entry is SHORT else _first(bench, place, count)
                    figures.add(bench.noted(SCENARIO, entry, number, count, values))
                    note(f"{TITLE}, round {number + 1} of {rounds}: {entry.label}: {values['rate']:,.0f} mails/s")
    except ChildError as error:
        figures.add(bench.noted(SCENARIO, LONG, 0, count, {}, str(error)))


def _first(bench: Bench, place: Place, count: int) -> dict[str, float]:
    """Fill a queue up to a million, and send the first of it."""
    contender = Mailworker()
    whole = _MILLION if bench.seconds else max(_QUICK_MILLION, 2 * count)
    waiting = booked(place, "due")
    values: dict[str, float] = {}
    bench.tell(f"{LONG.label}: queues {whole - waiting:,} mails")
    with contender.produce(place, SCENARIO, LONG, waiting, whole - waiting) as producer:
        seconds = result(producer)["seconds"]
    with place.redis() as client:
        info: Any = client.info("memory")
    if not waiting:
        # Only then it is all that was queued that is in Redis, and that was queued in one go.
        values = {
            "enqueue_rate": whole / seconds,
            "enqueue_seconds": seconds,
            "redis_mb": info["used_memory"] / 1e6,
            "redis_bytes": info["used_memory"] / whole,
        }
    bench.tell(f"{LONG.label}: sends {count:,} mails")
    before = place.receiver.count()
    with contender.start(place, SCENARIO, LONG, count) as child:
        found = drained(child, _Since(place, before), count)
    return values | vars(found)


class _Since:
    """A receiver as it looks to somebody who came later."""

    def __init__(self, place: Place, before: int) -> None:
        self.port = place.receiver.port
        self.name = place.receiver.name
        self._place = place
        self._before = before

    def count(self) -> int:
        return self._place.receiver.count() - self._before
