"""Whether a bulk goes at the rate that was asked for: `python -m tests.bench.bulk_rate`.

Four worker processes share the rate on one Redis, and know nothing of each other. The relay, a server of ours, notes when it has answered
each mail with 250. Of these moments only is judged: how many there are in ten seconds of the steady part, which begins two seconds
after the first of them, when the burst with which each rate begins is over. Printed is the count of each second.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise

from tests.bench.bulk.place import opened
from tests.bench.latency import until
from tests.bulk_list import Kind, write_to
from tests.chaos.sink import Sink

#: By how much the total may be beside it.
GOAL = 0.05


@dataclass(frozen=True)
class Series:
    """What came.

    Attributes:
        rate: mails a second that were asked for.
        moments: when the relay answered each mail of the steady part, seconds after its first mail of all.
        began: when the steady part begins, by the same clock.
        seconds: how long it is.
    """

    rate: float
    moments: Sequence[float]
    began: float
    seconds: float

    @property
    def each_second(self) -> list[int]:
        """How many came in each second."""
        edges = [bisect_left(self.moments, self.began + number) for number in range(int(self.seconds) + 1)]
        return [after - before for before, after in pairwise(edges)]

    @property
    def share(self) -> float:
        """How many came, as a share of how many should have."""
        return len(self.moments) / (self.rate * self.seconds)

    @property
    def pace(self) -> float:
        """Mails a second between the first and the last of them."""
        return (len(self.moments) - 1) / (self.moments[-1] - self.moments[0])

    def paces(self, seconds: float) -> list[float]:
        """Return the mails a second in each span of so many seconds that begins with a mail, between its first and its last one."""
        found = []
        for first, moment in enumerate(self.moments):
            if moment + seconds > self.began + self.seconds:
                break
            last = bisect_right(self.moments, moment + seconds) - 1
            found.append((last - first) / (self.moments[last] - moment) if last > first else 0.0)
        return found


def steady(rate: float, answered: Sequence[float], settle: float, seconds: float) -> Series:
    """Return the steady part of a run.

    Args:
        rate: mails a second that were asked for.
        answered: when each mail was answered, by any clock.
        settle: seconds after the first mail at which it begins.
        seconds: how long it is.
    """
    moments = sorted(answered)
    after = [each - moments[0] for each in moments]
    first, last = bisect_left(after, settle), bisect_left(after, settle + seconds)
    return Series(rate, after[first:last], settle, seconds)


def measured(rate: float, workers: int, settle: float, seconds: float) -> Series:
    """Run a bulk at a rate, and return its steady part.

    Args:
        rate: mails a second.
        workers: processes that send, each started for itself.
        settle: see `steady`.
        seconds: see `steady`.
    """
    with opened(None) as place, ExitStack() as stack:
        relay = place.receiver
        assert isinstance(relay, Sink)
        write_to(place.rows, round(rate * (settle + seconds + 2)), lambda kind: kind is Kind.GOOD)
        for _ in range(workers):
            stack.enter_context(place.worker("-c", "1"))
        sent = int(place.fill("text", "--rate", f"{rate:g}/s")["new"])
        until(lambda: relay.count() >= sent)
        return steady(rate, list(relay.answered.values()), settle, seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bulk_rate", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--rate", type=float, default=200.0, help="mails a second")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before the steady part")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the steady part")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measured(asked.rate, asked.workers, asked.settle, asked.seconds)
    is_held = abs(found.share - 1) <= GOAL
    if asked.json:
        told = asdict(found) | {"each_second": found.each_second, "share": found.share}
        print(json.dumps({**told, "mails": len(found.moments), "workers": asked.workers, "is_held": is_held}))
    else:
        print(f"asked: {asked.rate:g}/s of {asked.workers} workers; goal: within {GOAL:.0%} over {asked.seconds:g} s")
        print("each second:", *found.each_second)
        print(f"in all {len(found.moments)} mails, {found.share:.1%}: {'held' if is_held else 'missed'}")
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
