"""The sizes that a bulk has to reach, and whether it has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One of them.

    Attributes:
        name: of the figure.
        part: of the bench that measures it.
        title: what it is about.
        unit: of the figure.
        limit: that it has to reach.
        is_least: it has to be that at least; else it has to stay below, or with `may_equal` at most there.
        may_equal: see there.
    """

    name: str
    part: str
    title: str
    unit: str
    limit: float
    is_least: bool = False
    may_equal: bool = False

    @property
    def wanted(self) -> str:
        sign = ">=" if self.is_least else "<=" if self.may_equal else "<"
        return f"{sign} {self.limit:,g}"

    def is_reached(self, value: float) -> bool:
        if self.is_least:
            return value >= self.limit
        return value <= self.limit if self.may_equal else value < self.limit


@dataclass(frozen=True)
class Verdict:
    """A goal and its figure, None if it was not measured."""

    goal: Goal
    value: float | None

    @property
    def is_reached(self) -> bool | None:
        return None if self.value is None else self.goal.is_reached(self.value)

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        known = asdict(self.goal)
        return {name: known[name] for name in ("name", "title", "unit")} | {
            "wanted": self.goal.wanted,
            "measured": self.value,
            "is_reached": self.is_reached,
        }


#: Parts of the bench.
PARTS = ("enqueue", "memory", "drain", "latency")

GOALS = (
    Goal(
        name="enqueue_rate", part="enqueue", title="Rows enqueued from CSV", unit="rows/s", limit=20_000, is_least=True
    ),
    Goal(name="producer_mb", part="enqueue", title="Most memory of the producer", unit="MB", limit=150),
    Goal(
        name="queued_bytes",
        part="enqueue",
        title="Redis beyond a row's data, queued",
        unit="bytes/row",
        limit=450,
        may_equal=True,
    ),
    Goal(
        name="sent_bytes",
        part="memory",
        title="Redis beyond a row's data, all sent",
        unit="bytes/row",
        limit=450,
        may_equal=True,
    ),
    Goal(
        name="drain_text",
        part="drain",
        title="Drained beside single mails, text",
        unit="ratio",
        limit=0.6,
        is_least=True,
    ),
    Goal(
        name="drain_html",
        part="drain",
        title="Drained beside single mails, text and HTML",
        unit="ratio",
        limit=0.6,
        is_least=True,
    ),
    Goal(
        name="fast_p95_ms",
        part="latency",
        title="p95 of a high mail, fast relay",
        unit="ms",
        limit=100,
    ),
    Goal(
        name="slow_p95_ms",
        part="latency",
        title="p95 of a high mail, relay of 100 ms a mail",
        unit="ms",
        limit=300,
    ),
)


def verdicts(figures: Mapping[str, float]) -> list[Verdict]:
    """Return what became of each goal."""
    return [Verdict(goal, figures.get(goal.name)) for goal in GOALS]
