"""How the demo shows itself: progress bars and a table at a terminal, plain lines anywhere else.

It decides nothing. Everything fits into 80 columns.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from rich.progress import TaskID
    from rich.table import Table

    from mailworker.demo.verdict import Report


#: Columns where nobody looks on, and there is no width to keep to.
_WIDTH = 80

#: Columns in which any table fits: to ask how many it would take.
_ANY_WIDTH = 10_000


class Silent:
    """Shows nothing but what no report will say: for `--json`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have nothing to end."""

    def starting(self, what: str) -> None:
        """Show nothing."""

    def started(self, broker: str, relay: str, processes: int) -> None:
        """Show nothing."""

    def enqueued(self, mails: int, total: int) -> None:
        """Show nothing."""

    def ended(self, mails: int, total: int) -> None:
        """Show nothing."""

    def cut_short(self, files: int, folder: Path) -> None:
        """Say where the mails are, on standard error: what is on standard output may be read by a program."""
        click.echo(f"the demo ends early; {files} .eml files are in {folder}", err=True)


class Lines(Silent):
    """Plain lines, one for each tenth of the way: for logs and pipes."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def started(self, broker: str, relay: str, processes: int) -> None:
        """Tell what runs."""
        click.echo(f"broker: {broker}\nrelay:  {relay}\nworker: {processes} processes")

    def enqueued(self, mails: int, total: int) -> None:
        """Tell each tenth."""
        self._tell("enqueued", mails, total)

    def ended(self, mails: int, total: int) -> None:
        """Tell each tenth."""
        self._tell("done", mails, total)

    def _tell(self, what: str, mails: int, total: int) -> None:
        tenth = mails * 10 // total
        if tenth > self._told.get(what, 0):
            self._told[what] = tenth
            click.echo(f"{what}: {mails} of {total}")


class Bars(Silent):
    """Two progress bars: for a person who waits."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=False, highlight=False)
        self._status = self._console.status("")
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._is_running = False

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def starting(self, what: str) -> None:
        """Say what is being started."""
        self._status.update(f"starting the {what}")

    def started(self, broker: str, relay: str, processes: int) -> None:
        """Say what runs, and show the bars."""
        self._status.stop()
        for name, what in (("broker", broker), ("relay", relay), ("worker", f"{processes} processes")):
            self._console.print(f"[dim]{name:<9}[/] {what}")
        self._progress.start()
        self._is_running = True

    def enqueued(self, mails: int, total: int) -> None:
        """Move the first bar."""
        self._move("enqueued", mails, total)

    def ended(self, mails: int, total: int) -> None:
        """Move the second bar."""
        self._move("done", mails, total)

    def cut_short(self, files: int, folder: Path) -> None:
        """Say where the mails are, below the bars."""
        self._stop()
        super().cut_short(files, folder)

    def _stop(self) -> None:
        self._status.stop()
        if self._is_running:
            self._progress.stop()

    def _move(self, what: str, mails: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=mails)


def is_terminal() -> bool:
    """Tell whether a person looks on."""
    return sys.stdout.isatty()


def show(report: Report) -> None:
    """Print the table of what came of each kind, the rates and the folder."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False, width=None if is_terminal() else _WIDTH)
    table = _table(report, with_calls=True)
    if Measurement.get(console, console.options.update(width=_ANY_WIDTH), table).maximum > console.width:
        # By which call they were made is what a narrow terminal can do without; texts wrap, numbers never.
        table = _table(report, with_calls=False)
    console.print()
    console.print(table)
    console.print()
    console.print(
        f"enqueued  {report.sent} mails in {report.enqueue_seconds:.2f} s = [bold]{report.enqueue_rate:.0f}/s[/]\n"
        f"drained   {report.sent} mails in {report.drain_seconds:.2f} s = [bold]{report.drain_rate:.0f}/s[/]"
    )
    if report.folder is not None:
        # Not through rich: it would fold a long path.
        click.echo(f"{report.files} .eml files in {report.folder}")


def _table(report: Report, *, with_calls: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Mails")
    if with_calls:
        table.add_column("Made with", style="dim", no_wrap=True)
    table.add_column("Sent", justify="right", no_wrap=True, min_width=5)
    table.add_column("Taken", justify="right", no_wrap=True, min_width=5)
    table.add_column("What came of them")
    for row in report.rows:
        style = "green" if row.accepted == row.sent else "yellow"
        call = [row.made_with] if with_calls else []
        table.add_row(row.kind, *call, str(row.sent), str(row.accepted), f"[{style}]{row.result}[/]")
    return table
