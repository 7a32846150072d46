"""The bench's tables for the terminal: one for each scenario, and one of the goals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench.figures import Figures, Spread, Value
from tests.bench.goals import Verdict

#: Where nobody says how wide it may be.
_WIDTH = 160


@dataclass(frozen=True)
class _Column:
    of: str
    heading: str
    shown: Callable[[float], str]


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


_COLUMNS = (
    _Column("rate", "mails/s drained", _whole),
    _Column("cpu_us", "CPU, us a mail", _whole),
    _Column("memory_mb", "peak PSS, MB", _whole),
    _Column("enqueue_rate", "mails/s queued", _whole),
    _Column("p50_us", "p50 of a send, us", _whole),
    _Column("p99_us", "p99, us", _whole),
    _Column("enqueue_seconds", "queued in, s", _whole),
    _Column("redis_mb", "Redis, MB", _whole),
    _Column("redis_bytes", "Redis, bytes a mail", _whole),
)


def shown(spread: Spread | None, how: Callable[[float], str]) -> str:
    """Return a median, and its range below it where there is one: beside it the table would be too wide for a terminal."""
    if spread is None:
        return ""
    if spread.rounds == 1:
        return how(spread.median)
    return f"{how(spread.median)}\n{how(spread.least)}-{how(spread.most)}"


def factor(value: float) -> str:
    """Return a ratio, as precise as is worth reading."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def scenario(figures: Figures, name: str, title: str, notes: Mapping[str, str]) -> Table:
    """Return the table of a scenario.

    Args:
        figures: all of them.
        name: of the scenario.
        title: of the table.
        notes: entry -> what is to be said of it.
    """
    table = Table(title=title, title_justify="left", title_style="bold", show_lines=True)
    table.add_column("contender", no_wrap=True)
    table.add_column("Redis")
    table.add_column("mails", justify="right")
    measures = figures.measures(name)
    columns = [column for column in _COLUMNS if column.of in measures]
    for column in columns:
        table.add_column(column.heading, justify="right")
    entries = figures.entries(name)
    table.add_column("first line / this, drained", justify="right")
    for entry in entries:
        runs = figures.of(name, entry)
        failures = [run for run in runs if run.failure is not None]
        label = Text(entry)
        if notes.get(entry):
            label.append(f", {notes[entry]}")
        if failures:
            label.append(f"\n{len(failures)} of {len(runs)} rounds failed", "red")
        values = [shown(figures.value(Value(name, entry, column.of)), column.shown) for column in columns]
        ratio = figures.ratio(Value(name, entries[0], "rate"), Value(name, entry, "rate"))
        counts = f"{max(run.count for run in runs):,}"
        table.add_row(label, runs[0].redis, counts, *values, "" if entry == entries[0] else shown(ratio, factor))
    return table


def goals(verdicts: Iterable[Verdict]) -> Table:
    """Return the table of the goals."""
    table = Table(title="Goals", title_justify="left", title_style="bold")
    for heading in ("goal", "beside"):
        table.add_column(heading)
    for heading in ("wanted", "measured", "least", "most"):
        table.add_column(heading, justify="right")
    table.add_column("reached")
    for verdict in verdicts:
        goal, ratio = verdict.goal, verdict.ratio
        found = ["", "", ""] if ratio is None else [_ratio(each, goal.is_least) for each in _parts(ratio)]
        reached = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("not measured", "dim")}
        table.add_row(goal.title, goal.beside, goal.wanted, *found, reached[verdict.is_reached])
    return table


def console() -> Console:
    """Return where tables go: as wide as the terminal, or wide enough."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH)


def failures(figures: Figures) -> Sequence[str]:
    """Return what went wrong, a text for each run."""
    return [
        f"{run.scenario}, {run.entry}, round {run.round + 1}: {run.failure}"
        for run in figures.runs
        if run.failure is not None
    ]


def _parts(ratio: Spread) -> tuple[float, float, float]:
    return ratio.median, ratio.least, ratio.most


def _ratio(value: float, is_least: bool) -> str:
    # What is to be small reads better as a share.
    return factor(value) if is_least or value >= 1 or not value else f"1/{factor(1 / value)}"
