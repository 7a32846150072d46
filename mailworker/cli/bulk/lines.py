"""A bulk as lines of text: where no terminal is, or nobody watches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from mailworker.cli.bulk.shown import Shown
from mailworker.cli.bulk.speed import settled, to_send
from mailworker.outcome import OutcomeClass

#: Characters of the bar.
_BAR = 30

_LABEL = 12

_COLUMNS = [kind.value for kind in OutcomeClass]


def lines(shown: Shown) -> Iterator[str]:
    """Yield the lines that show a bulk to a person.

    Args:
        shown: the bulk.
    """
    bulk, now_standing = shown.bulk, shown.standing
    text = click.style(now_standing.text, fg="yellow") if now_standing.is_trouble else now_standing.text
    yield f"{click.style(bulk.plan.name, bold=True)}: {text}"
    if now_standing.advice:
        yield f"  {now_standing.advice}"
    full = int(shown.share * _BAR)
    yield f"  [{'#' * full}{'-' * (_BAR - full)}] {shown.share:.1%}, {settled(bulk):,} of {to_send(bulk):,}"
    for label, value in shown.facts():
        yield f"  {label:<{_LABEL}}{value}"
    domains = list(shown.domains())
    if domains:
        rows = [[domain, *(f"{counts.get(kind, 0):,}" for kind in OutcomeClass)] for domain, counts in domains]
        total = ["all", *(f"{number:,}" for number in shown.outcomes.values())]
        yield ""
        yield from _table([["domain", *_COLUMNS], *rows, *([total] if len(rows) > 1 else [])])
    errors = list(shown.errors())
    if errors:
        yield ""
        yield "  the last that were not accepted:"
        for at, domain, kind, said in errors:
            yield f"  {at}  {domain}  {kind}  {said}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        yield f"  {row[0]:<{widths[0]}}  {'  '.join(numbers)}"
