"""What the bench asks of each contender, however it queues and drains."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.bench.child import Child
from tests.bench.place import Place
from tests.bench.scenario import Entry, Scenario

#: Seconds that queueing may take.
_PATIENCE = 1800.0


class Contender(ABC):
    """Somebody who sends mail.

    Attributes:
        name: as it is shown.
        keeps: what its queue is in: "Redis", "SQLite", or "" for none.
        producers: how many processes queue at a time where that is not measured.
    """

    name: ClassVar[str]
    keeps: ClassVar[str] = ""
    producers: ClassVar[int] = 1

    def prepare(self, place: Place) -> None:  # noqa: B027 - most have nothing to prepare
        """Make what it needs before anything is queued."""

    def env(self, place: Place, entry: Entry) -> dict[str, str]:
        """Return the environment of its processes."""
        return place.env

    def produce(self, place: Place, scenario: Scenario, entry: Entry, first: int, count: int, *more: str) -> Child:
        """Start a process that queues so many mails."""
        argv = [sys.executable, "-m", "tests.bench.producer", scenario.how, scenario.letter.value]
        log = place.folder / f"producer-{first}{''.join(more)}.log"
        return Child([*argv, str(first), str(count), *more], self.env(place, entry), log)

    @abstractmethod
    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        """Start what sends the mails that are queued, or so many that never were in a queue."""

    def is_done(self, place: Place, count: int, child: Child) -> bool:
        """Tell whether it says itself that all mails are sent, or has ended well."""
        return not child.is_running


def result(child: Child) -> dict[str, float]:
    """Return what a producer printed, once it has ended."""
    child.wait(_PATIENCE)
    found: dict[str, float] = json.loads(child.log.read_text().splitlines()[-1])
    return found
