"""What the bench found: a value for each scenario, entry, round and measure, and the medians and ratios that follow from them.

A ratio is taken within a round, of two runs that were close in time, and then over the rounds: its median, its least and its most.
What was not measured, because a run failed or was not asked for, is None and never 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Run:
    """One entry in one round of one scenario.

    Attributes:
        scenario, entry, round: which.
        redis: what Redis kept on disk, or that it was not there.
        count: mails that were sent.
        values: measure -> value.
        failure: why there are none.
    """

    scenario: str
    entry: str
    round: int
    redis: str
    count: int
    values: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Spread:
    """A median with its range."""

    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True)
class Value:
    """Which value: measure `of` of an entry in a scenario."""

    scenario: str
    entry: str
    of: str


def spread(values: Sequence[float]) -> Spread | None:
    """Return median and range, if there is any value."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


class Figures:
    """All runs, and what they come to."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.runs = list(runs)

    def add(self, run: Run) -> None:
        self.runs.append(run)

    def scenarios(self) -> list[str]:
        """Return the names of what was run, in order."""
        return list(dict.fromkeys(run.scenario for run in self.runs))

    def entries(self, scenario: str) -> list[str]:
        """Return the entries of a scenario in the order of its first round."""
        return list(dict.fromkeys(run.entry for run in self.runs if run.scenario == scenario))

    def of(self, scenario: str, entry: str) -> list[Run]:
        """Return the runs of an entry, by round."""
        found = [run for run in self.runs if (run.scenario, run.entry) == (scenario, entry)]
        return sorted(found, key=lambda run: run.round)

    def measures(self, scenario: str) -> set[str]:
        """Return what was measured in a scenario, of any entry."""
        return {of for run in self.runs if run.scenario == scenario for of in run.values}

    def values(self, which: Value) -> dict[int, float]:
        """Return round -> value."""
        runs = self.of(which.scenario, which.entry)
        return {run.round: run.values[which.of] for run in runs if which.of in run.values}

    def value(self, which: Value) -> Spread | None:
        """Return the value over the rounds."""
        return spread(list(self.values(which).values()))

    def ratio(self, over: Value, under: Value) -> Spread | None:
        """Return one value as a multiple of another, over the rounds that have both."""
        tops, bottoms = self.values(over), self.values(under)
        return spread([tops[number] / bottoms[number] for number in tops if bottoms.get(number)])

    def plain(self) -> dict[str, Any]:
        """Return all of it for JSON: each run, and the medians by scenario, entry and measure."""
        medians: dict[str, Any] = {}
        for scenario in self.scenarios():
            for entry in self.entries(scenario):
                for of in sorted(self.measures(scenario)):
                    found = self.value(Value(scenario, entry, of))
                    if found is not None:
                        medians.setdefault(scenario, {}).setdefault(entry, {})[of] = asdict(found)
        return {"medians": medians, "runs": [asdict(run) for run in self.runs]}
