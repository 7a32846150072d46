"""The goals of the bench, all of them ratios within one run, and whether they are reached.

The median of the rounds decides; that one round was better or worse is shown beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.figures import Figures, Spread, Value
from tests.bench.scenario import (
    CELERY_EMAIL,
    CHILDREN,
    LOOP,
    ONE,
    ONE_THREAD,
    OURS,
    SCENARIOS,
    THREADS,
    Entry,
)


@dataclass(frozen=True)
class Goal:
    """One of them.

    Attributes:
        title: what it is about.
        beside: what ours is compared with.
        over, under: the two values of the ratio.
        limit: that the ratio has to reach.
        is_least: whether it has to be that at least, or at most.
    """

    title: str
    beside: str
    over: Value
    under: Value
    limit: float
    is_least: bool = True

    @property
    def wanted(self) -> str:
        if self.is_least:
            return f">= {self.limit:g}"
        return f"<= 1/{1 / self.limit:g}" if self.limit < 1 else f"<= {self.limit:g}"


@dataclass(frozen=True)
class Verdict:
    """A goal and what was measured of it.

    Attributes:
        ratio: None if it was not measured.
    """

    goal: Goal
    ratio: Spread | None

    @property
    def is_reached(self) -> bool | None:
        if self.ratio is None:
            return None
        if self.goal.is_least:
            return self.ratio.median >= self.goal.limit
        return self.ratio.median <= self.goal.limit

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "goal": self.goal.title,
            "beside": self.goal.beside,
            "wanted": self.goal.wanted,
            "ratio": None if self.ratio is None else asdict(self.ratio),
            "is_reached": self.is_reached,
        }


def _entry(scenario: str, contender: str) -> str:
    """Return the label of the first entry of a contender."""
    entries = next(each.entries for each in SCENARIOS if each.name == scenario)
    return next(entry.label for entry in entries if entry.contender == contender)


def _goal(title: str, scenario: str, of: str, contender: str, limit: float, is_least: bool = True) -> Goal:
    ours, theirs = (Value(scenario, _entry(scenario, name), of) for name in (OURS, contender))
    return Goal(title, contender, ours, theirs, limit, is_least)


def _far(title: str, of: str, ours: Entry, theirs: Entry, limit: float, is_least: bool = True) -> Goal:
    over, under = (Value("far", entry.label, of) for entry in (ours, theirs))
    return Goal(title, theirs.setting, over, under, limit, is_least)


GOALS = (
    _goal("Single messages drained", "singles", "rate", CELERY_EMAIL, 10),
    _goal("Single messages drained", "singles", "rate", LOOP, 1),
    _goal("send_mass_mail drained", "mass", "rate", CELERY_EMAIL, 4),
    _goal("Enqueue, single", "singles", "enqueue_rate", CELERY_EMAIL, 3),
    _goal("20 ms away, one connection", "far", "rate", LOOP, 3.5),
    _far("20 ms away, one process with 16 sessions", "rate", THREADS, ONE_THREAD, 12),
    _far("Memory of one process with 16 sessions", "memory_mb", THREADS, CHILDREN, 1 / 5, is_least=False),
    _goal("CPU per message in the worker", "singles", "cpu_us", CELERY_EMAIL, 1 / 8, is_least=False),
    _goal("CPU per message in the worker", "singles", "cpu_us", LOOP, 1, is_least=False),
    _goal("100 KB attachment drained", "attachment", "rate", CELERY_EMAIL, 2),
)

assert ONE.label == _entry("far", OURS)


def verdicts(figures: Figures) -> list[Verdict]:
    """Return what became of each goal."""
    return [Verdict(goal, figures.ratio(goal.over, goal.under)) for goal in GOALS]
