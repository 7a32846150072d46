"""A bulk as a picture for a terminal, drawn anew each second while somebody looks on. Pure."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mailworker.cli.bulk.shown import DOMAINS, Shown
from mailworker.cli.bulk.speed import settled, to_send
from mailworker.cli.bulk.standing import Phase
from mailworker.outcome import OutcomeClass

_COLOURS = {
    Phase.FILLING: "cyan",
    Phase.WAITING: "cyan",
    Phase.SENDING: "green",
    Phase.PAUSED: "yellow",
    Phase.FINISHED: "green",
    Phase.CANCELLED: "red",
}

_CLASS_COLOURS = {
    OutcomeClass.ACCEPTED: "green",
    OutcomeClass.DEFERRED: "yellow",
    OutcomeClass.REJECTED: "red",
    OutcomeClass.IN_DOUBT: "magenta",
}

#: Errors that are shown.
_ERRORS = 5

#: Domains that are shown on the smallest terminal, and lines that stand beside them.
_FEWEST, _BESIDE = 3, 26


def picture(shown: Shown, height: int) -> RenderableType:
    """Return what shows a bulk to a person on a terminal.

    Args:
        shown: the bulk.
        height: lines that the terminal has: of the domains, as many are shown as there is room for.
    """
    bulk, now_standing = shown.bulk, shown.standing
    colour = "yellow" if now_standing.is_trouble else _COLOURS[now_standing.phase]
    head = Text.assemble((bulk.plan.name, "bold"), "  ", (now_standing.text, colour))
    parts: list[RenderableType] = [head]
    if now_standing.advice:
        parts.append(Text(now_standing.advice, style="yellow" if now_standing.is_trouble else ""))
    parts += [Text(), _bar(shown), Text(), _facts(shown)]
    if bulk.outcomes:
        parts += [Text(), _domains(shown, max(_FEWEST, min(DOMAINS, height - _BESIDE)))]
    errors = list(shown.errors())[:_ERRORS]
    if errors:
        parts += [Text(), *(_error(*each) for each in errors)]
    return Group(*parts)


def _bar(shown: Shown) -> Table:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(total=1.0, completed=shown.share, complete_style="green", finished_style="green")
    row.add_row(bar, Text(f"{shown.share:.1%}  {settled(shown.bulk):,} of {to_send(shown.bulk):,}"))
    return row


def _facts(shown: Shown) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in shown.facts():
        table.add_row(label, Text(value))
    return table


def _domains(shown: Shown, most: int) -> Table:
    domains = list(shown.domains(most))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), show_footer=len(domains) > 1)
    table.add_column("domain", footer="all", overflow="ellipsis", no_wrap=True)
    for kind, total in shown.outcomes.items():
        table.add_column(kind.value, footer=f"{total:,}", justify="right", no_wrap=True)
    for domain, counts in domains:
        table.add_row(Text(domain), *(_number(kind, counts.get(kind, 0)) for kind in OutcomeClass))
    return table


def _number(kind: OutcomeClass, number: int) -> Text:
    return Text(f"{number:,}", style=_CLASS_COLOURS[kind] if number else "dim")


def _error(at: str, domain: str, kind: str, said: str) -> Text:
    line = Text.assemble((at, "dim"), "  ", domain, "  ", (kind, _CLASS_COLOURS[OutcomeClass(kind)]), "  ", said)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
