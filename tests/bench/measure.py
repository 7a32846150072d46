"""One run of one entry: queue the mails, start who sends them, watch, and make sure that all of them went.

How many mails follows from how fast the entry is: a first, short run that counts for nothing says it, so that what is measured
takes as long as was asked for, for the fastest and the slowest alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace

from tests.bench.child import Child, ChildError
from tests.bench.contenders.bare import Limit, Loop
from tests.bench.contenders.base import Contender, result
from tests.bench.contenders.celery_email import DjangoCeleryEmail
from tests.bench.contenders.database import DjangoMailer, PostOffice
from tests.bench.contenders.ours import Mailworker
from tests.bench.drain import drained
from tests.bench.figures import Run
from tests.bench.letters import Letter
from tests.bench.place import Place, Road, opened
from tests.bench.postfix import Postfix
from tests.bench.scenario import CHUNKS, Entry, Scenario

#: Mails of a first run, those far away for each session: some seconds of the slowest, and enough of the fastest to go by.
_FIRST = {Road.NEAR: 2000, Road.TLS: 1000, Road.FAR: 40}
_FIRST_LARGE = 600

#: Mails of a quick run: enough that they do not all go between two looks.
_QUICK = {Road.NEAR: 1000, Road.TLS: 300, Road.FAR: 20}
_QUICK_LARGE = 100
_QUICK_SENDS = 300

#: Sends that are timed one by one.
_SENDS = 20_000

#: More than the time asked for: a first run is rather too slow than too fast.
_SPARE = 1.25

#: Of the mails of a run the rate is taken over so many.
_MEASURED = 0.85

#: Seconds that a contender's own books may take after its last mail.
_PATIENCE = 60.0


class Bench:
    """Makes runs.

    Args:
        postfix: where smtp-sink is.
        seconds: that each rate is to be taken over; None for as few mails as will show that all works.
        tell: hears what happens, for people.
    """

    def __init__(self, postfix: Postfix, seconds: float | None, tell: Callable[[str], None]) -> None:
        self.postfix = postfix
        self.seconds = seconds
        self.tell = tell
        self._counts: dict[tuple[str, str], int] = {}
        every = (Mailworker(), DjangoCeleryEmail(), DjangoMailer(), PostOffice(), Loop(), Limit(postfix))
        self._contenders: dict[str, Contender] = {one.name: one for one in every}

    def run(self, scenario: Scenario, entry: Entry, number: int) -> Run:
        """Run an entry in a round; a failure is part of what is returned."""
        count = 0
        values: dict[str, float] = {}
        failure = None
        try:
            count = self.count(scenario, entry)
            if scenario.timed and self._contenders[entry.contender].keeps:
                values |= self.sends(scenario, entry)
            values |= self.drain(scenario, entry, count)
            if self._learn(scenario, entry, values["rate"]) > count:
                # The machine was busy during the first run: this one was over too soon to be counted.
                count = self.count(scenario, entry)
                values |= self.drain(scenario, entry, count)
        except ChildError as error:
            failure = str(error)
        return self.noted(scenario, entry, number, count, values, failure)

    def noted(
        self,
        scenario: Scenario,
        entry: Entry,
        number: int,
        count: int,
        values: dict[str, float],
        failure: str | None = None,
    ) -> Run:
        """Return a round as the report takes it."""
        return Run(
            scenario=scenario.name,
            entry=entry.label,
            round=number,
            redis=self.redis(scenario, entry),
            count=count,
            values=values,
            failure=failure,
        )

    def redis(self, scenario: Scenario, entry: Entry) -> str:
        """Return what Redis keeps on disk in a run, for the table."""
        keeps = self._contenders[entry.contender].keeps
        if keeps == "Redis":
            return scenario.kept.value
        return f"not used ({keeps})" if keeps else "not used"

    def best_chunk(self, scenario: Scenario, entry: Entry) -> Entry:
        """Return an entry of django-celery-email with the chunk size at which it is fastest."""
        rates: dict[int, float] = {}
        for chunk in CHUNKS:
            # A few chunks even of the largest, and the same number of mails for all.
            count = 20 * CHUNKS[-1] if self.seconds else 2 * CHUNKS[-1]
            rates[chunk] = self.drain(scenario, replace(entry, chunk=chunk), count)["rate"]
            self.tell(f"{entry.label}, chunks of {chunk}: {rates[chunk]:,.0f} mails/s")
        best = max(rates, key=lambda chunk: rates[chunk])
        return replace(entry, chunk=best, note=f"chunks of {best}")

    def sends(self, scenario: Scenario, entry: Entry) -> dict[str, float]:
        """Time single sends of one process, with nobody who delivers.

        Raises:
            ChildError: they did not work.
        """
        count = _SENDS if self.seconds else _QUICK_SENDS
        with self.place(scenario, entry) as place:
            self.tell(f"{entry.label}: {count:,} sends, each timed")
            with self._contenders[entry.contender].produce(place, scenario, entry, 0, count, "--timed") as child:
                found = result(child)
        return {"enqueue_rate": count / found["seconds"], "p50_us": found["p50_us"], "p99_us": found["p99_us"]}

    def drain(self, scenario: Scenario, entry: Entry, count: int) -> dict[str, float]:
        """Queue and send so many mails; return what was measured.

        Raises:
            ChildError: not all of them went.
        """
        contender = self._contenders[entry.contender]
        with self.place(scenario, entry) as place:
            values = self.fill(place, scenario, entry, count)
            self.tell(f"{entry.label}: sends {count:,} mails")
            with contender.start(place, scenario, entry, count) as child:
                found = drained(child, place.receiver, count, lambda n: self.tell(f"{entry.label}: {n:,} of {count:,}"))
                _settle(contender, place, child, count)
        return values | asdict(found)

    def fill(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> dict[str, float]:
        """Queue so many mails; return the rate where one process did it in the way that the scenario is about.

        Raises:
            ChildError: they were not queued.
        """
        contender = self._contenders[entry.contender]
        if not contender.keeps:
            return {}
        producers = contender.producers if scenario.how == "single" else 1
        share = -(-count // producers)
        self.tell(f"{entry.label}: queues {count:,} mails")
        with ExitStack() as stack:
            children = [
                stack.enter_context(contender.produce(place, scenario, entry, first, min(share, count - first)))
                for first in range(0, count, share)
            ]
            found = [result(child) for child in children]
        return {} if scenario.how == "single" else {"enqueue_rate": count / found[0]["seconds"]}

    @contextmanager
    def place(self, scenario: Scenario, entry: Entry) -> Iterator[Place]:
        """Make where a run happens."""
        contender = self._contenders[entry.contender]
        with opened(self.postfix, scenario.road, scenario.kept if contender.keeps == "Redis" else None) as place:
            contender.prepare(place)
            yield place

    def count(self, scenario: Scenario, entry: Entry) -> int:
        """Return how many mails a run is to have."""
        key = (scenario.name, entry.label)
        is_large = scenario.letter is Letter.LARGE
        sessions = entry.sessions if scenario.road is Road.FAR else 1
        if not self.seconds:
            return _QUICK_LARGE if is_large else _QUICK[scenario.road] * sessions
        if key not in self._counts:
            first = _FIRST_LARGE if is_large else _FIRST[scenario.road] * sessions
            self._learn(scenario, entry, self.drain(scenario, entry, first)["rate"])
        return self._counts[key]

    def _learn(self, scenario: Scenario, entry: Entry, rate: float) -> int:
        """Return how many mails a run is to have from now on; never less than before, rounds are to be alike."""
        key = (scenario.name, entry.label)
        needed = rate * (self.seconds or 0) / _MEASURED
        if needed > self._counts.get(key, 0):
            self._counts[key] = round(needed * _SPARE)
        return self._counts.get(key, 0)


def _settle(contender: Contender, place: Place, child: Child, count: int) -> None:
    """Wait until a contender says itself that it is done; a rate that leaves the books for later is none."""
    ends = time.monotonic() + _PATIENCE
    while not contender.is_done(place, count, child):
        if time.monotonic() > ends:
            raise ChildError(f"sent {count} mails, and does not say so: {child.what_it_said()}")
        time.sleep(0.02)
    if not child.is_running:
        child.wait(_PATIENCE)
    if place.receiver.count() != count:
        raise ChildError(f"sent {place.receiver.count()} mails in place of {count}: {child.what_it_said()}")
